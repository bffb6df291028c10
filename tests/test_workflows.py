"GitHub's workflows: pinned, with no more rights than they need, and about what is there."

import json
import re

import pytest
import yaml
from conftest import root

workflows = sorted((root / ".github/workflows").iterdir())
parsed = {path.name: yaml.safe_load(path.read_text()) for path in workflows}
jobs = {(name, job): value for name, workflow in parsed.items() for job, value in workflow["jobs"].items()}
steps = [step for job in jobs.values() for step in job["steps"]]
commands = "\n".join(step["run"] for step in steps if "run" in step)


def test_there_are_four():
    assert set(parsed) == {"test.yml", "docs.yml", "wheels.yml", "weekly.yml"}


@pytest.mark.parametrize("path", workflows, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path):
    "And the version stands behind it, for readers and for the tools that renew it."
    used = [line.split("uses:")[1] for line in path.read_text().splitlines() if "uses:" in line]
    assert used and not [
        line for line in used if not re.fullmatch(r" [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
    ]


def test_one_action_has_one_version():
    used = {step["uses"] for step in steps if "uses" in step}
    assert len(used) == len({name.split("@")[0] for name in used})


def test_rights_are_few_and_time_is_limited():
    "Only the two that publish may do more than read, and those check out and run nothing of ours."
    assert all(workflow["permissions"] == {"contents": "read"} for workflow in parsed.values())
    more = {key: job["permissions"] for key, job in jobs.items() if "permissions" in job}
    pages, pypi = ("docs.yml", "deploy"), ("wheels.yml", "publish")
    assert more == {pages: {"pages": "write", "id-token": "write"}, pypi: {"id-token": "write"}}
    for key in more:
        assert jobs[key]["environment"]["name"] in ("github-pages", "pypi")
        assert not [step for step in jobs[key]["steps"] if "run" in step or "checkout" in step["uses"]]
    assert jobs[pypi]["if"] == "startsWith(github.ref, 'refs/tags/v')" and {"sdist", "smoke"} == set(
        jobs[pypi]["needs"]
    )
    assert all(job["timeout-minutes"] <= 360 for job in jobs.values())
    assert all(step["with"]["persist-credentials"] is False for step in steps if "checkout" in step.get("uses", ""))


def test_no_command_is_put_together_from_what_others_write():
    "An expression inside a command would be run as a part of it."
    assert "${{" not in commands and "secrets" not in "".join(path.read_text() for path in workflows)


def test_what_they_name_is_there():
    targets = re.findall(r"^([\w. ]+):(?!=)", (root / "Makefile").read_text(), re.M)
    targets = {name for line in targets for name in line.split()} | {".venv/installed"}
    assert "INSTALLED := .venv/installed" in (root / "Makefile").read_text()
    named = re.findall(r"\bmake (\S+)", commands)
    assert set(named) == {"test", "docs", ".venv/installed"} and set(named) <= targets
    scripts = re.findall(r"\b(?:tests|tools|nbs)/[\w/]+\.\w+", "".join(path.read_text() for path in workflows))
    assert "tests/smoke.py" in scripts and not [name for name in scripts if not (root / name).is_file()]


def test_pythons_and_platforms():
    pythons = jobs["test.yml", "test"]["strategy"]["matrix"]["python"]
    wheel, smoke = (jobs["wheels.yml", job]["strategy"]["matrix"] for job in ("wheel", "smoke"))
    assert pythons == smoke["python"] == ["3.11", "3.12", "3.13"] and wheel["runner"] == smoke["runner"]
    for system in ("ubuntu-24.04", "ubuntu-24.04-arm", "macos-15", "macos-15-intel", "windows-2025"):
        assert system in wheel["runner"], system


def test_weekly_runs_every_slow_cell():
    "The notebooks in its list are those that have one."
    slow = []
    for path in sorted((root / "nbs").rglob("*.ipynb")):
        sources = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]
        if any(source.startswith("#| slow") for source in sources):
            slow.append(str(path.relative_to(root)))
    assert slow and jobs["weekly.yml", "slow"]["strategy"]["matrix"]["notebook"] == slow
