"The widgets' logic, in node."

import subprocess

import pytest
from conftest import root


@pytest.mark.needs("node")
@pytest.mark.parametrize("path", sorted((root / "tests/widgets").glob("*.test.mjs")), ids=lambda p: p.name)
def test_logic(path):
    done = subprocess.run(["node", "--test", path], capture_output=True, text=True)
    assert done.returncode == 0 and "# fail 0" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
