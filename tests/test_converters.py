"The litert backend's protocol, with a stand-in for its environment: litert-torch is too large for tests."

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import root

from kws_nb import litert
from kws_nb.convert import CONVERTED, convert
from kws_nb.graph import read_tflite
from kws_nb.core import KwsError, labels_for
from kws_nb.litert import CONVERTERS, LITERT_PACKAGES, convert_checkpoint, convert_litert, litert_python
from kws_nb.models import TinyConv
from kws_nb.train import save_model

pytestmark = pytest.mark.tensorflow

# Called as the real one is: python -c WORKER FOLDER. It checks what it got, and leaves files that were converted here.
STAND_IN = """#!{python}
import os, sys
sys.path[:0] = [p for p in {path!r} if p]
mode = open({mode!r}).read()
if mode == 'hangs':
    import time
    time.sleep(60)
import numpy as np
assert sys.argv[1] == '-c' and 'litert_torch.convert' in sys.argv[2], sys.argv
compile(sys.argv[2], 'worker', 'exec')
leaks = [k for k in os.environ if k.startswith('PYTHON') and k != 'PYTHONNOUSERSITE']
assert not leaks, 'this environment leaks into the other'
folder = sys.argv[3]
clips = np.load(folder + '/clips.npy')
import torch
network = torch.export.load(folder + '/network.pt2').module()
scores = network(torch.as_tensor(clips[:1, :, :, None]))
assert abs(float(scores.sum()) - 1) < 1e-5, 'no softmax'
if mode == 'no package':
    print('Traceback', file=sys.stderr)
    sys.exit("ModuleNotFoundError: No module named 'litert_torch'")
if mode == 'fails': sys.exit('some notes\\nValueError: no kernel for this\\nRun it again with LOG=1')
import shutil
shutil.copy({float_tflite!r}, folder + '/float.tflite')
if mode == 'damaged': open(folder + '/int8.tflite', 'wb').write(b'nothing of the kind')
elif mode != 'one file': shutil.copy({int8_tflite!r}, folder + '/int8.tflite')
open(folder + '/answer.json', 'w').write('{{"versions": {{}}, "float_s": 1, "int8_s": 1}}')
"""


@pytest.fixture(scope="module")
def clips():
    return np.random.default_rng(0).uniform(0, 26, (6, 49, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def converted(clips, tmp_path_factory):
    torch.manual_seed(0)
    return convert(TinyConv(2), clips, tmp_path_factory.mktemp("converted"))


@pytest.fixture
def stand_in(converted, tmp_path, monkeypatch):
    "A python that plays the litert environment, and how it shall behave."
    mode, python = tmp_path / "mode", tmp_path / "python"
    python.write_text(
        STAND_IN.format(
            python=sys.executable,
            path=sys.path,
            mode=str(mode),
            float_tflite=str(converted.float_tflite),
            int8_tflite=str(converted.int8_tflite),
        )
    )
    python.chmod(0o755)
    mode.write_text("works")
    monkeypatch.setenv("KWS_NB_LITERT_PYTHON", str(python))
    return mode


def test_what_goes_over_and_what_comes_back(stand_in, converted, clips, tmp_path):
    result = convert_litert(TinyConv(2), clips, tmp_path / "out")
    assert (result.onnx, result.saved_model) == (None, None)
    assert (
        result.int8_tflite.read_bytes() == converted.int8_tflite.read_bytes()
        and result.float_tflite.read_bytes() == converted.float_tflite.read_bytes()
    )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["float.tflite", "int8.tflite"]


def test_labels_travel(stand_in, clips, tmp_path):
    words = labels_for(["on", "off"])
    assert read_tflite(convert_litert(TinyConv(2, labels=words), clips, tmp_path / "out").int8_tflite).labels == words


def test_a_conversion_replaces_the_other_converters_files(stand_in, converted, clips, tmp_path):
    import shutil

    shutil.copytree(converted.onnx.parent, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == set(CONVERTED)
    convert_litert(TinyConv(2), clips, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"float.tflite", "int8.tflite"}


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("no package", "lacks a package .*litert_torch.*pip install litert-torch"),
        ("fails", "cannot convert the network: ValueError: no kernel for this"),
        ("hangs", "not ready after 2 s"),
        ("damaged", "TFL3"),
        ("one file", "left no int8.tflite"),
    ],
)
def test_failures_leave_what_was_there(mode, says, stand_in, clips, tmp_path):
    stand_in.write_text(mode)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/int8.tflite").write_text("earlier")
    with pytest.raises(KwsError, match=says):
        convert_litert(TinyConv(2), clips, tmp_path / "out", timeout_s=2 if mode == "hangs" else 120)
    assert [(p.name, p.read_text()) for p in (tmp_path / "out").iterdir()] == [("int8.tflite", "earlier")]


def test_the_same_refusals_as_the_default(stand_in, clips, tmp_path):
    with pytest.raises(KwsError, match="holds NaN"):
        convert_litert(TinyConv(2), clips * np.nan, tmp_path / "out")
    with pytest.raises(KwsError, match="does not take features"):
        convert_litert(torch.nn.Linear(3, 4), clips, tmp_path / "out")


def test_without_the_environment(monkeypatch, tmp_path):
    "The error names both ways to get it; a wrong path is named."
    monkeypatch.delenv("KWS_NB_LITERT_PYTHON", raising=False)
    monkeypatch.setattr(litert, "build_dir", lambda: tmp_path)
    with pytest.raises(KwsError) as caught:
        litert_python()
    for part in ("--install-litert", "-m venv", "-m pip install " + " ".join(LITERT_PACKAGES)):
        assert part in str(caught.value), part
    monkeypatch.setenv("KWS_NB_LITERT_PYTHON", str(tmp_path / "none"))
    with pytest.raises(KwsError, match="names .*none, and there is no such file"):
        litert_python()
    (tmp_path / "none").write_text("no program")
    with pytest.raises(KwsError, match="does not run"):
        convert_litert(TinyConv(1), np.ones((1, 49, 40), np.float32), tmp_path / "out")


def test_another_backend_is_named(tmp_path):
    with pytest.raises(KwsError, match="'xla' is no converter; there are onnx-tf, litert"):
        convert_checkpoint("x.safetensors", tmp_path, "xla")


def kws_nb(*args, **environment):
    return subprocess.run(
        [Path(sys.executable).parent / "kws-nb", *args],
        capture_output=True,
        text=True,
        cwd=root,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_model(path, TinyConv(2))
    return path


def test_command(checkpoint, tmp_path):
    done = kws_nb("convert", checkpoint, "--output", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (
        answer["operators"] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"] and answer["backend"] == "onnx-tf"
    )
    assert {Path(p).name: n for p, n in answer["bytes"].items()} == {
        p.name: p.stat().st_size for p in (tmp_path / "out").iterdir() if p.is_file()
    }


def test_command_with_the_other_backend(checkpoint, stand_in, tmp_path):
    done = kws_nb("convert", checkpoint, "--output", tmp_path / "out", "--backend", "litert")
    assert done.returncode == 0 and "int8 operators: CONV_2D" in done.stdout, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["float.tflite", "int8.tflite"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Name a checkpoint"),
        (("none.safetensors",), "no such file"),
        (("none.safetensors", "--backend", "xla"), "is no converter"),
        (("none.safetensors", "--backend", "litert"), "/nowhere"),
    ],
)
def test_command_refuses(arguments, says):
    done = kws_nb("convert", *arguments, KWS_NB_LITERT_PYTHON="/nowhere/python")
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr


def test_stored_comparison_is_of_both_and_complete():
    result = json.loads((root / "data/models/converters.json").read_text())
    assert set(result["rows"]) == set(CONVERTERS) and result["n"] > 500
    for name, row in result["rows"].items():
        same = row["same_bytes_as_tflite_micro"]
        assert same["core"] == result["n"], name
        assert same["tensorflow"] == same["litert"] > 0.99 * result["n"], f"{name}: one rounding, in few clips"
        assert row["board_same"] and row["int8_bytes"] < row["float_bytes"]
    assert abs(result["same_answers"] - result["n"]) <= 0.02 * result["n"]
    older, today = result["older"], result["rows"]["onnx-tf"]
    assert (
        older["board_same"] and older["operators"] == today["int8_operators"] and older["bytes"] < today["int8_bytes"]
    )


def test_stored_calibration_study():
    "Five seeds of each count, of each split, and no answer counted twice."
    study = json.loads((root / "data/models/calibration.json").read_text())
    for run in study["runs"]:
        if "correct" in run:
            assert run["correct"] == study["float_correct"] - run["only_float"] + run["only_int8"], run
    for split in ("training", "validation", "testing"):
        seeds = [run["seed"] for run in study["runs"] if run["source"] == split and run["n"] == 10]
        assert sorted(seeds) == study["seeds"], split
