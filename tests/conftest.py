"What the tests share: the data set, the reference model, a board, and a word about what was left out."

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from kws_nb.host import order_triton

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("KWS_NB_HOME", None)  # in a clone, tests write to the clone
root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root / "tools"))
PACKAGES = {
    "chromium": "chromium",
    "node": "nodejs",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "xxd": "xxd",
    "python3.11": "python3.11-venv",
    "python3.12": "python3.12-venv",
    "python3.13": "python3.13-venv",
}
PYTHONS = ("3.11", "3.12", "3.13")
NOT_QUICK = ("browser", "notebooks", "tensorflow", "slow")
left_out = {}
order_triton()  # before a test imports TensorFlow


@cache
def find_command(name):
    "Where a command is; a Python that answers, which a shim of pyenv may not, though pyenv has that version."
    if not name.startswith("python"):
        return shutil.which(name)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for path in filter(None, (shutil.which(name), *pyenv.glob(f"versions/{name.removeprefix('python')}.*/bin/python"))):
        if subprocess.run([path, "-c", "import ensurepip"], capture_output=True).returncode == 0:
            return path
    return None


class NoTensorFlow:
    "Under `--quick`, a finder before all others: a test that imports TensorFlow, by whatever way, must be marked."

    def find_spec(self, name, path=None, target=None):  # PyTorch only looks where TensorFlow would be
        return ModuleSpec(name, self) if name == "tensorflow" else None

    def create_module(self, spec):
        pytest.fail("it imports TensorFlow, which --quick leaves out: mark this test tensorflow")

    def exec_module(self, module):
        pass


def pytest_addoption(parser):
    parser.addoption(
        "--quick", action="store_true", help="only tests that need neither browser, notebooks nor TensorFlow"
    )


def pytest_configure(config):
    if config.getoption("quick"):
        sys.meta_path.insert(0, NoTensorFlow())


def is_quick(item):
    in_a_browser = any("chromium" in mark.args for mark in item.iter_markers("needs"))
    return not in_a_browser and not any(item.get_closest_marker(name) for name in NOT_QUICK)


def pytest_collection_modifyitems(config, items):
    "A test whose command is not installed is deselected and reported; `--quick` leaves out what is slow."
    chosen, dropped = [], []
    for item in items:
        if config.getoption("quick") and not is_quick(item):
            dropped.append(item)
            continue
        missing = [c for mark in item.iter_markers("needs") for c in mark.args if not find_command(c)]
        (dropped if missing else chosen).append(item)
        for command in missing:
            left_out.setdefault(command, []).append(item.nodeid)
    items[:] = chosen
    config.hook.pytest_deselected(items=dropped)


def pytest_sessionfinish(session):
    "A worker of several tells the first process what was left out."
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = left_out


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    left_out.update(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(terminalreporter):
    for command, names in left_out.items():
        terminalreporter.write_line(
            f"left out for want of {command} (apt-get install {PACKAGES[command]}): {', '.join(names)}"
        )


@pytest.fixture(scope="session")
def data():
    "Real recordings where KWS_NB_DATA or data/speech_commands has them, else synthetic speech."
    from kws_nb.data import load_data

    return load_data()


@pytest.fixture(scope="session")
def small(data):
    "A few clips of the data set."
    from kws_nb.data import Data, Part

    def some(part, n):
        chosen = np.linspace(0, len(part) - 1, n).astype(int)
        return Part(part.clips[chosen], part.labels[chosen], [part.words[i] for i in chosen])

    return Data(
        "a few clips", some(data.training, 300), some(data.validation, 100), some(data.testing, 100), data.noise
    )


@pytest.fixture(scope="session")
def reference():
    "The int8 model that comes with the project."
    from kws_nb.board import reference_model

    return reference_model()


@pytest.fixture
def one_thread():
    from kws_nb.host import torch_threads

    with torch_threads(1):
        yield


@pytest.fixture(scope="module")
def model():
    "The reference network as it was trained."
    from kws_nb.core import models_dir
    from kws_nb.train import load_model

    return load_model(models_dir() / "tinyconv.safetensors")[0]


@pytest.fixture(scope="module")
def features(small):
    from kws_nb.features import micro_features

    return micro_features(small.testing.clips)


@pytest.fixture(scope="module")
def calibration(small):
    from kws_nb.convert import calibration_clips

    return calibration_clips(small, 40)


@pytest.fixture(scope="module")
def tiny():
    "Forty random clips: enough to run everything, too few to learn."
    from kws_nb.data import Data, Part

    rng = np.random.default_rng(5)

    def part(n):
        labels = np.arange(n) % 4
        return Part(rng.integers(-3000, 3000, (n, 16000)).astype(np.int16), labels, ["a"] * n)

    return Data("random clips", part(40), part(16), part(12), [rng.integers(-500, 500, 40_000).astype(np.int16)])


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    "JupyterLab, and the folder whose notebooks it shows."
    from jupyterlab import jupyterlab

    folder = tmp_path_factory.mktemp("lab")
    for name in ("settings.ini", "kws_nb/__init__.py"):  # enough for a notebook's export cell
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, folder / name)
    (folder / "nbs").mkdir()
    with jupyterlab(folder / "nbs") as url:
        yield url, folder / "nbs"


@pytest.fixture(scope="session")
def _board():
    from kws_nb.board import Board

    with Board() as board:
        yield board


@pytest.fixture
def board(_board):
    "The emulated board with the reference model, as after its start."
    _board.command("stream on")
    _board.command("hop 2")
    return _board


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    "An sdist of this clone, and the wheel that is built from its contents alone: two files."
    folder = tmp_path_factory.mktemp("built")
    code = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, folder], cwd=root, check=True, capture_output=True)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*command, folder / sdist.name.removesuffix(".tar.gz")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="session")
def wheel(built, tmp_path_factory):
    "The folder that the wheel installs, and the environment of somebody who has no compiler and no clone."
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(built[1]) as archive:
        archive.extractall(folder / "site")
    home = folder / "home"
    home.mkdir()
    return folder / "site", {"PATH": "/nowhere", "HOME": str(home), "PYTHONPATH": str(folder / "site")}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def extreme_clips():
    "Noise of all levels, silence, full-scale square waves, single impulses, constants: name -> int16 [16000]."
    rng, t, clips = np.random.default_rng(1), np.arange(16000), {}
    for level in (0, 1, 3, 30, 300, 3000, 12000, 40000):
        clips[f"noise {level}"] = np.clip(rng.standard_normal(16000) * level, -32768, 32767)
    for hz in (50, 440, 1000, 3999):
        clips[f"square {hz}"] = np.where(np.sin(2 * np.pi * hz * t / 16000) >= 0, 32767, -32768)
    for at in (0, 100, 239, 240, 5000, 15999):
        for value in (32767, -32768, 1, -1):
            clips[f"impulse {value} at {at}"] = np.where(t == at, value, 0)
    for value in (-32768, 32767):
        clips[f"constant {value}"] = np.full(16000, value)
    clips["alternating"] = np.where(t % 2, 32767, -32768)
    return {name: clip.astype(np.int16) for name, clip in clips.items()}
