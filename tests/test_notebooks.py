"Every notebook runs from top to bottom; the sections in test_standalone. (Counted here: nbdev_test only says Success.)"

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import root
from test_repository import dotted, notebooks

from standalone import sections

pytestmark = pytest.mark.notebooks


@pytest.mark.parametrize("path", [path for path in notebooks if path not in sections], ids=dotted)
def test_notebook_runs(path):
    command = [Path(sys.executable).parent / "nbdev_test", "--path", path, "--n_workers", "1"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=root, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    assert done.returncode == 0 and "Success" in done.stdout + done.stderr, (done.stdout + done.stderr)[-3000:]
