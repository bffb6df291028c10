"MLPerf Tiny: our runner on the emulated board, and the public one where a checkout of it is (KWS_NB_MLPERF)."

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kws_nb.audio import read_clip, to_int16
from kws_nb.core import LABELS, KwsError, checkout
from kws_nb.mlperf import pack_mlperf, run_mlperf

# The runner finds a board by its USB numbers, which a served one has not: this stands in for that look-up alone. Power
# is not measured, so neither a USB library nor an energy monitor's need be there.
LOOK_UP = """
import os, sys, types
from serial.tools import list_ports

port = types.SimpleNamespace(vid=0x2341, pid=0x805A, device=os.environ["KWS_NB_DEVICE"], description="nano33ble")
list_ports.comports = lambda *_: [port]
for name in ("usb", "usb.core", "joulescope"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["usb"].core = sys.modules["usb.core"]
sys.modules["usb.core"].find = lambda **_: []
sys.modules["joulescope"].scan = lambda: []
"""


def spoken(n):
    "n noises and words, each label in turn: what the board makes of them is the interpreter's affair."
    rng = np.random.default_rng(15)
    words = {w: to_int16(read_clip(checkout() / f"data/clips/{w}.wav")) for w in ("yes", "no")}
    clips, labels = [], []
    for i in range(n):
        label = i % len(LABELS)
        noise = rng.normal(0, 30, 16000)
        clips.append(words.get(LABELS[label], 0) + noise * (20 if LABELS[label] == "_unknown_" else 1))
        labels.append(label)
    return np.clip(clips, -32768, 32767).astype(np.int16), np.array(labels)


def test_what_is_packed_is_what_the_runner_reads(tmp_path):
    folder = pack_mlperf(tmp_path / "set", *spoken(4), iterations=33)
    assert (folder / "kws01/y_labels.csv").read_text().splitlines()[3] == "000003.bin,4,3"
    assert [path.stat().st_size for path in sorted((folder / "kws01").glob("*.bin"))] == [1960] * 4
    assert "0x2341: 0x805A" in (folder / "devices.yaml").read_text()
    assert "infer 33 10" in (folder / "tests_performance.yaml").read_text()


def test_both_modes_print_in_the_runners_form(tmp_path):
    folder, said = pack_mlperf(tmp_path / "set", *spoken(8)), []
    accuracy = run_mlperf(folder, "accuracy", say=said.append)
    assert len(accuracy.values) == 8 and all(accuracy.values[2::4]) and all(accuracy.values[3::4])
    assert re.fullmatch(r"Top 1% = [0-9.]+", said[-1])
    performance = run_mlperf(folder, "performance", iterations=5, say=said.append)
    assert len(performance.values) == 5 and performance.result > 1
    assert re.fullmatch(r"Median throughput is +[0-9]+\.[0-9]{3} inf\./sec\.", said[-1])


def test_a_set_of_another_models_size_is_refused(tmp_path):
    folder = pack_mlperf(tmp_path / "set", *spoken(1))
    for size, error in ((490, "The input is not complete"), (1961, "at most the input's")):
        (folder / "kws01/000000.bin").write_bytes(bytes(size))
        with pytest.raises(KwsError, match=error):
            run_mlperf(folder)


def test_nothing_is_overwritten_and_a_damaged_set_is_named(tmp_path):
    folder = pack_mlperf(tmp_path / "set", *spoken(2))
    with pytest.raises(KwsError, match="is there already"):
        pack_mlperf(folder, *spoken(1))
    truth = folder / "kws01/y_labels.csv"
    for text, error in (("", "every input is missing"), ("x", "damaged"), ("x.bin,4,0", "x.bin is missing")):
        truth.write_text(text)
        with pytest.raises(KwsError, match=error):
            run_mlperf(folder)
    truth.unlink()
    with pytest.raises(KwsError, match="holds no packed set"):
        run_mlperf(folder)


if "KWS_NB_MLPERF" in os.environ:  # a checkout of github.com/mlcommons/tiny

    @pytest.fixture(scope="module")
    def public_runner(tmp_path_factory):
        "Runs it, unmodified, against `kws-nb serve`: mode and folder -> what it says."
        work = tmp_path_factory.mktemp("mlperf")
        (work / "sitecustomize.py").write_text(LOOK_UP)
        main = Path(os.environ["KWS_NB_MLPERF"]).resolve() / "benchmark/runner/main.py"
        command = [sys.executable, "-c", "from kws_nb.cli import main; main()", "serve"]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        served = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

        def run(mode, folder):
            script = {"a": "tests_accuracy.yaml", "p": "tests_performance.yaml"}[mode]
            arguments = ["-d", folder / "devices.yaml", "-t", folder / script, "-s", folder, "-m", mode]
            paths = os.pathsep.join([str(work), *filter(None, [os.environ.get("PYTHONPATH")])])
            environment = os.environ | {"KWS_NB_DEVICE": device, "PYTHONPATH": paths, "MPLBACKEND": "agg"}
            command = [sys.executable, main, *arguments]
            ran = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
            return ran.stdout + ran.stderr

        try:
            device = served.stdout.readline().strip()
            yield run
        finally:
            served.terminate()
            served.wait(60)

    @pytest.fixture(scope="module")
    def packed(tmp_path_factory):
        "The runner wants ten seconds or more of performance mode."
        return pack_mlperf(tmp_path_factory.mktemp("packed") / "set", *spoken(20), iterations=4000)

    def test_the_public_runner_agrees_on_accuracy(public_runner, packed):
        said = re.search(r"Top 1% = ([0-9.]+)", public_runner("a", packed))[1]
        assert float(said) == pytest.approx(100 * run_mlperf(packed).result, abs=0.05)

    def test_the_public_runner_agrees_on_performance(public_runner, packed):
        said = re.search(r"Median throughput is +([0-9.]+) inf", public_runner("p", packed))[1]
        assert float(said) == pytest.approx(run_mlperf(packed, "performance", iterations=50).result, rel=0.01)
