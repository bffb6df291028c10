"Each section runs alone: a copy of its notebook in an empty folder, an installed wheel with its extras, and no clone."

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import root
from test_repository import cells

from standalone import FIRST, fresh_environment, linked_environment, run_alone, sections, surroundings

SOURCES = {path: "".join(cells(path)[0]["source"]) for path in sections}
COLAB = """
import os, sys
def enable_custom_widget_manager(): print("widgets")
"""
PIP = """
import os, sys
with open(os.environ["ASKED"], "a") as file: print(*sys.argv[1:], file=file)
if os.environ.get("REFUSED", "nothing") in sys.argv[-1]: sys.exit("no network")
"""


@pytest.fixture(scope="session")
def alone(built, tmp_path_factory):
    "The Python of an environment with the wheel. KWS_NB_FRESH=python3.12: that Python, and pip installs everything."
    folder, python = tmp_path_factory.mktemp("alone"), os.environ.get("KWS_NB_FRESH")
    return fresh_environment(folder, built[1], python) if python else linked_environment(folder, built[1])


@pytest.fixture(scope="session")
def spoken(data):
    "The folder of the synthetic speech, which is spoken once; empty where there is a data set."
    from kws_nb.core import data_dir

    return data_dir() / "cache"


@pytest.mark.slow
@pytest.mark.notebooks
@pytest.mark.parametrize("path", sections, ids=lambda path: path.stem)
def test_section_runs_where_only_the_wheel_is(path, alone, spoken, tmp_path):
    "It writes nothing beside itself and nothing into the package; what it writes is in the folder that is named."
    home = tmp_path / "home"
    if spoken.is_dir():
        shutil.copytree(spoken, home / "kws_nb_files/data/cache")
    home.mkdir(exist_ok=True)
    (package,) = alone.parent.parent.glob("lib/python3*/site-packages/kws_nb")

    def files():
        return {str(p): p.stat().st_mtime_ns for p in package.rglob("*") if p.suffix not in (".pyc", "")}

    before = files()
    done = run_alone(alone, path, tmp_path / "empty", surroundings(home))
    assert done.returncode == 0, done.stderr[-3000:]
    assert os.listdir(tmp_path / "empty") == [path.name], "something was written beside the notebook"
    assert files() == before, "something was written into the package"
    assert set(os.listdir(home)) - {"kws_nb_files"} <= {".cache", ".config", ".ipython", ".jupyter", ".local", ".keras"}


@pytest.mark.slow
def test_the_environment_has_only_what_the_extras_bring(alone, tmp_path):
    "Neither the clone nor what is installed for the tests."
    code = (
        "import kws_nb, json\nfrom importlib.util import find_spec\nfrom kws_nb.core import checkout, home_dir\n"
        "names = 'nbdev pytest kaleido pymicro_features torch tensorflow onnx_tf jupyterlab ziglang'.split()\n"
        "print(json.dumps([[n for n in names if find_spec(n)], checkout(), kws_nb.__file__, str(home_dir())]))"
    )
    done = subprocess.run([alone, "-c", code], cwd=tmp_path, env=surroundings(tmp_path), capture_output=True, text=True)
    found, clone, package, home = json.loads(done.stdout)
    assert found == ["torch", "tensorflow", "onnx_tf", "jupyterlab", "ziglang"] and clone is None
    assert not Path(package).is_relative_to(root) and home == str(tmp_path / "kws_nb_files")


def test_a_section_names_nothing_of_a_clone():
    for path in sections:
        for cell in cells(path):
            source = "".join(cell["source"])
            assert not re.search(r"\bcheckout\(|nbdev_export|\.\./|['\"](data|firmware|build)/", source), source[:200]


def test_the_first_cell_is_the_same_in_each_section():
    assert len(sections) == 8 and len(set(SOURCES.values())) == 1
    source = SOURCES[sections[0]]
    assert tuple(source.splitlines()[:2]) == FIRST, "the cell has to be hidden, and left out when the site is made"
    settings = (root / "settings.ini").read_text()
    (address,) = re.findall(r"^git_url = (.*)$", settings, re.M)
    assert f"git+{address}" in source and "colab_requirements" in settings
    assert len(source.splitlines()) <= 20 and all(len(line) <= 92 for line in source.splitlines())


def first_cell(folder, *, colab=True, there=(), **environment):
    "Run the first cell in an empty folder; in Colab, with stand-ins for it, pip and what is `there`."
    stand_ins, empty = folder / "stand-ins", folder / "empty"
    empty.mkdir()
    if colab:
        (stand_ins / "google/colab").mkdir(parents=True)
        (stand_ins / "google/colab/__init__.py").touch()
        (stand_ins / "google/colab/output.py").write_text(COLAB)
    for name in ("pip", *there):
        (stand_ins / name).mkdir(parents=True, exist_ok=True)
        (stand_ins / name / "__init__.py").touch()
    (stand_ins / "pip/__main__.py").write_text(PIP)
    asked = folder / "asked"
    environment = surroundings(folder, PYTHONPATH=str(stand_ins), ASKED=str(asked), **environment)
    code = SOURCES[sections[0]] + "\nimport os; print(os.environ.get('KWS_NB_HOME'))"
    command = [sys.executable, "-S", "-c", code]  # -S: without what is installed here
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
    return done, asked.read_text().splitlines() if asked.exists() else [], empty


def test_the_first_cell_installs_in_colab(tmp_path):
    "It says first how long it takes, asks pip for the package and for onnx-tf alone, and switches the widgets on."
    done, asked, empty = first_cell(tmp_path)
    assert done.returncode == 0, done.stderr
    assert asked == [
        "install --quiet kws_nb[colab] @ git+https://github.com/kws-nb/kws_nb",
        "install --quiet --no-deps onnx-tf==1.10.0",
    ]
    first, second, widgets, installed, slow, home = done.stdout.splitlines()
    assert (
        re.fullmatch(r"Installing kws_nb\[colab\] @ .* - both take about .* minutes\.", first) and "onnx-tf" in second
    )
    assert widgets == "widgets" and installed.endswith(f"goes to {home}.") and home == str(empty / "kws_nb_files")
    assert "#| slow" in slow


def test_the_first_cell_installs_once(tmp_path):
    "Run again, or in another notebook of the session, it only switches the widgets on."
    done, asked, _ = first_cell(tmp_path, there=("kws_nb", "onnx_tf"))
    assert done.returncode == 0 and not asked and done.stdout.startswith("widgets\n"), done.stderr


@pytest.mark.parametrize("what", ["kws_nb", "onnx-tf"])
def test_the_first_cell_says_what_could_not_be_installed(what, tmp_path):
    done, asked, _ = first_cell(tmp_path, REFUSED=what)
    assert done.returncode and what in asked[-1] and "widgets" not in done.stdout
    assert re.search(rf"{what}.* could not be installed\. Run this cell again:\nno network", done.stderr), done.stderr


def test_the_first_cell_does_nothing_elsewhere(tmp_path):
    done, asked, empty = first_cell(tmp_path, colab=False)
    assert done.stdout == "None\n" and not done.stderr and not asked and not os.listdir(empty)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.slow
def test_what_is_written_goes_to_the_folder_that_is_named(named, wheel, tmp_path):
    "`KWS_NB_HOME`, else `kws_nb_files` in the home folder; a study's results are copied there before they change."
    site, environment = wheel
    home = tmp_path / ("elsewhere" if named else "kws_nb_files")
    environment = environment | {"HOME": str(tmp_path)} | ({"KWS_NB_HOME": str(home)} if named else {})
    code = (
        "from kws_nb.core import *\nfrom kws_nb.recordings import recordings_dir\n"
        "print(build_dir(), recordings_dir(), study_file('recipes.json'), sep='\\n')\n"
        "assert study_file('recipes.json').read_bytes() == (models_dir()/'recipes.json').read_bytes()\n"
        "study_file('recipes.json').write_text('{}')\nassert study_file('recipes.json').read_text() == '{}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = [home / name for name in ("build", "data/recordings", "data/models/recipes.json")]
    assert done.stdout.split() == [str(path) for path in written]
    assert done.stderr == f"kws_nb writes to {home}\n", "whoever has no clone is told the folder, once"
    assert (site / "kws_nb/_data/models/recipes.json").stat().st_size > 1000


def test_without_a_home_folder_the_remedy_is_named(monkeypatch):
    from kws_nb import core

    monkeypatch.setattr(core, "checkout", lambda: None)
    monkeypatch.setattr(core.Path, "expanduser", lambda path: (_ for _ in ()).throw(RuntimeError))
    with pytest.raises(core.KwsError, match="in KWS_NB_HOME"):
        core.home_dir()
