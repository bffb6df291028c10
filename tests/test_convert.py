"Conversion: the steps, what is refused, and files that are whole whatever fails."

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from kws_nb import convert as module
from kws_nb.convert import (
    CONVERTED,
    Converted,
    atomic_files,
    model_array,
    check_calibration,
    convert,
    convert_tflite,
    export_onnx,
    export_saved_model,
    run_tflite,
)
from kws_nb.core import KwsError
from kws_nb.graph import read_tflite
from kws_nb.models import TinyConv

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def clips():
    return np.random.default_rng(0).uniform(0, 26, (20, 49, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def converted(clips, tmp_path_factory):
    torch.manual_seed(0)
    return convert(TinyConv(4), clips, tmp_path_factory.mktemp("converted"))


class Network(nn.Module):  # features [n, 49, 40] to four scores, by way of `body`
    def __init__(self, body, inputs=1960):
        super().__init__()
        self.body, self.linear = body, nn.Linear(inputs, 4)

    def forward(self, x):
        return self.linear(self.body(x[:, None]).flatten(1))


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_same_network_same_bytes(converted, clips, tmp_path):
    "Twice the same network and clips: the same float and int8 file."
    torch.manual_seed(0)
    again = convert(TinyConv(4), clips, tmp_path)
    for name in ("float_tflite", "int8_tflite"):
        assert getattr(again, name).read_bytes() == getattr(converted, name).read_bytes(), name


def test_float_file_is_the_network(converted, clips):
    torch.manual_seed(0)
    with torch.no_grad():
        expected = torch.softmax(TinyConv(4).eval()(torch.as_tensor(clips)), 1).numpy()
    np.testing.assert_allclose(run_tflite(converted.float_tflite, clips, "tensorflow"), expected, atol=1e-5)


@pytest.mark.parametrize(("per_channel", "scales"), [(True, 4), (False, 1)])
def test_scales_of_the_filters(converted, clips, per_channel, scales):
    content = convert_tflite(converted.saved_model, clips, per_channel=per_channel)
    conv = next(op for op in read_tflite(content).operators if op.name == "CONV_2D")
    assert len(conv.inputs[1].scale) == scales


def test_array_is_xxd_by_the_known_format():
    text = model_array(bytes(range(14)), "a", 4)
    assert text == (
        "#include <stdalign.h>\n\nalignas(4) const unsigned char a[] = {\n  "
        "0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,\n"
        "  0x0c, 0x0d\n};\nconst unsigned int a_len = 14;\n"
    )


@pytest.mark.needs("xxd")
def test_array_is_xxd_renamed_and_aligned(converted):
    text = subprocess.run(
        ["xxd", "-i", converted.int8_tflite.name],
        cwd=converted.int8_tflite.parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    text = (
        text.replace("int8_tflite", "g_model")
        .replace("unsigned char", "alignas(16) const unsigned char")
        .replace("unsigned int", "const unsigned int")
    )
    assert model_array(converted.int8_tflite.read_bytes()) == "#include <stdalign.h>\n\n" + text


def test_array_compiles_as_c_and_cpp_and_lies_aligned(converted, tmp_path):
    "C and C++ alike; its address is a multiple of 16, and its bytes are the file's."
    from kws_nb.host import host_compiler

    content = converted.int8_tflite.read_bytes()
    (tmp_path / "before.h").write_text("static char odd = 1;\n")
    main = '#include "before.h"\n%s#include <stdio.h>\nint main(void) {\n'
    main += "  unsigned n = (unsigned)((unsigned long long)g_model %% 16) + odd - 1;\n"
    main += '  for (unsigned i = 0; i < g_model_len; i++) n = n * 31 + g_model[i];\n  printf("%%u", n); return 0; }\n'
    expected = 0
    for byte in content:
        expected = (expected * 31 + byte) % 2**32
    for source, standard in (("a.c", "-std=c11"), ("a.cpp", "-std=c++17")):
        (tmp_path / source).write_text(main % model_array(content))
        compiler = host_compiler()
        if source.endswith("cpp"):
            compiler = [*compiler[:-1], "c++"] if compiler[-1] == "cc" else compiler
        subprocess.run(
            [*compiler, standard, "-o", tmp_path / "a.out", tmp_path / source], check=True, capture_output=True
        )
        assert (
            int(subprocess.run([tmp_path / "a.out"], capture_output=True, text=True, check=True).stdout) == expected
        ), source


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "says"), [
    (Network(nn.Sequential(nn.ZeroPad2d((4, 2, 4, 5)), nn.Conv2d(1, 2, (10, 8), 2)), 1000),
     r"padding is \[\(4, 5\), \(4, 2\)\].*SAME would be \[\(4, 5\), \(3, 3\)\]"),
    (Network(nn.Conv2d(1, 2, 3, 2, padding=1), 2 * 25 * 20), r"padding is .* SAME would be \[\(1, 1\), \(0, 1\)\]"),
    (Network(nn.Sequential(nn.ZeroPad2d(1), nn.ReLU()), 51 * 42), "Pad in front of Relu"),
    (Network(Calls(torch.fft.rfft2), 1), r"features \[n, 49, 40\]|ONNX lacks an operator"),
    (Network(Calls(torch.special.bessel_j0)), "ONNX lacks an operator"),
    (Network(Calls(torch.erf)), "TFLite has no operator for Erf"),
    (nn.Sequential(nn.Flatten(), nn.Linear(2000, 4)), r"does not take features \[n, 49, 40\]"),
    (nn.Conv1d(49, 4, 3), r"into \[1, 4, 38\]; expected \[1, scores\]"),
    (TinyConv(labels=("_silence_", "_unknown_", "on")), None),
], ids=["pads", "a convolution's own pads", "a pad in front of no convolution", "complex numbers",
        "an operator ONNX lacks", "an operator TFLite lacks", "another input", "no scores", "fine"])  # fmt: skip
def test_networks(network, says, clips, tmp_path):
    if says is None:
        assert read_tflite(convert(network, clips, tmp_path / "out").int8_tflite).labels == network.labels
        return
    with pytest.raises(KwsError, match=says):
        convert(network, clips, tmp_path / "out")
    assert not list(tmp_path.iterdir()), "a refused conversion left something"


def test_same_padding_of_any_size_is_folded(clips, tmp_path):
    "A second padded convolution has another input size; its SAME is another one."
    body = nn.Sequential(
        nn.ZeroPad2d((3, 3, 4, 5)),
        nn.Conv2d(1, 2, (10, 8), 2),
        nn.ReLU(),
        nn.Conv2d(2, 3, 3, padding=1),
        nn.ReLU(),
        nn.ZeroPad2d((0, 1, 1, 1)),
        nn.Conv2d(3, 2, 3, 2),
    )
    network = Network(body, 2 * 13 * 10).eval()
    result = convert(network, clips, tmp_path)
    assert [op.name for op in read_tflite(result.int8_tflite).operators].count("CONV_2D") == 3
    assert not any("PAD" in op.name for op in read_tflite(result.int8_tflite).operators)
    with torch.no_grad():
        expected = torch.softmax(network(torch.as_tensor(clips)), 1).numpy()
    np.testing.assert_allclose(run_tflite(result.float_tflite, clips, "tensorflow"), expected, atol=1e-5)


def test_weights_that_are_no_numbers(clips, tmp_path):
    model = TinyConv(1)
    model.conv.bias.data[0] = float("nan")
    with pytest.raises(KwsError, match="conv.bias holds numbers that are not finite"):
        convert(model, clips, tmp_path / "out")


@pytest.mark.parametrize(("calibration", "says"), [
    (np.zeros((5, 40, 49)), r"got \[5, 40, 49\]"), (np.zeros((49, 40)), r"got \[49, 40\]"),
    (np.zeros((0, 49, 40)), "no calibration clip"), ([], r"got \[0\]"),
    (np.full((3, 49, 40), np.nan), "clip 0 holds NaN"),
    (np.where(np.arange(3)[:, None, None] == 2, np.inf, np.zeros((3, 49, 40))), "clip 2 holds NaN or infinity"),
    ([[1, 2], [3]], "one array"), (None, "got|one array"), ("yes", "one array"),
], ids=["turned", "one clip", "none", "empty list", "NaN", "infinity", "ragged", "nothing", "text"])  # fmt: skip
def test_calibration(calibration, says, tmp_path):
    with pytest.raises(KwsError, match=says):
        convert(TinyConv(1), calibration, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_calibration_is_checked_where_it_is_used(converted):
    with pytest.raises(KwsError, match="no calibration clip"):
        convert_tflite(converted.saved_model, np.zeros((0, 49, 40)))
    assert check_calibration(np.ones((2, 49, 40), int)).dtype == np.float32


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_written(where, clips, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(KwsError, match="cannot be written.*Name another folder"):
        convert(TinyConv(1), clips, tmp_path / where)
    assert (tmp_path / "file").read_text() == "mine"


# --- a failed conversion leaves what was there ------------------------------------------------------------------------


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def earlier(converted, tmp_path):
    "A folder with an earlier conversion and something else."
    import shutil

    folder = tmp_path / "out"
    shutil.copytree(converted.onnx.parent, folder)
    (folder / "mine.txt").write_text("mine")
    return folder


STEPS = [("export_onnx", 1), ("export_saved_model", 1), ("convert_tflite", 1), ("convert_tflite", 2)]


@pytest.mark.parametrize(("step", "call"), STEPS, ids=[f"{s} {n}" for s, n in STEPS])
@pytest.mark.parametrize(
    "failure",
    [RuntimeError("it failed"), KeyboardInterrupt(), OSError(28, "No space left on device")],
    ids=["failed", "interrupted", "disk full"],
)
def test_failure_at_each_step(step, call, failure, earlier, clips, monkeypatch, tmp_path):
    "The same files, byte for byte, and no others; in a new folder none, and no folder."
    calls, real = [], getattr(module, step)

    def fails(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            raise failure
        return real(*args, **kwargs)

    before = contents(earlier)
    for folder in (earlier, tmp_path / "new"):
        calls.clear()
        monkeypatch.setattr(module, step, fails)
        with pytest.raises(KwsError if isinstance(failure, OSError) else type(failure)):
            convert(TinyConv(2), clips, folder)
    assert contents(earlier) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("call", range(1, 9))
def test_failure_of_each_move(call, earlier, clips, monkeypatch):
    "Four old files and four new ones are moved: whichever move fails, the old set is back."
    import os

    real, calls, before = os.replace, [], contents(earlier)

    def fails(*args):
        calls.append(args)
        if len(calls) == call:
            raise PermissionError(13, "Permission denied")
        real(*args)

    new = {name: f"new {name}" for name in CONVERTED}
    monkeypatch.setattr(module.os, "replace", fails)
    with pytest.raises(KwsError, match="Permission denied"), atomic_files(earlier, CONVERTED) as folder:
        for name, text in new.items():
            (folder / name).write_text(text)
    assert len(calls) >= call and contents(earlier) == before


def test_a_new_set_replaces_all_of_the_old(earlier):
    "What the new set has not is gone: files of two conversions are never side by side."
    with atomic_files(earlier, CONVERTED) as folder:
        (folder / "int8.tflite").write_text("new")
    assert contents(earlier) == {"int8.tflite": b"new", "mine.txt": b"mine"}


def test_paths_of_the_result(converted):
    assert isinstance(converted, Converted) and all(
        p.exists() for p in (converted.onnx, converted.saved_model, converted.float_tflite, converted.int8_tflite)
    )
    assert sorted(p.name for p in converted.onnx.parent.iterdir()) == sorted(CONVERTED)


def test_a_network_is_converted_as_it_answers_not_as_it_trains(clips, tmp_path):
    "Dropout is off, whatever mode the network was in."
    torch.manual_seed(1)
    model = TinyConv(2, dropout=0.9).train()
    saved = export_saved_model(export_onnx(model), tmp_path / "saved")
    with torch.no_grad():
        expected = torch.softmax(model.eval()(torch.as_tensor(clips[:2])), 1).numpy()
    np.testing.assert_allclose(run_tflite(convert_tflite(saved), clips[:2], "tensorflow"), expected, atol=1e-5)


def test_the_stand_ins_leave_no_trace(clips, tmp_path):
    "onnx-tf imports stand-ins; whoever imports tensorflow_probability later gets the real one, if there is one."
    export_saved_model(export_onnx(TinyConv(2)), tmp_path / "saved")
    assert not {"tensorflow_addons", "tensorflow_probability"} & set(sys.modules)
    from onnx_tf.handlers.backend import bernoulli, hardmax

    for stand_in in (hardmax.tfa.seq2seq.hardmax, bernoulli.tfd.Bernoulli):
        with pytest.raises(KwsError, match="which no current TensorFlow has"):
            stand_in(1)


def test_resolver_lines_are_the_operators(converted):
    from kws_nb.arduino import TFLM_OPERATORS, tflm_sources

    header = tflm_sources(converted.int8_tflite)["tflm_model.h"]
    assert set(re.findall(r"resolver\.Add(\w+)\(\)", header)) == {
        TFLM_OPERATORS[op.name] for op in read_tflite(converted.int8_tflite).operators
    }


def test_tensorflow_takes_no_method_for_a_builtin(tmp_path):
    """It knows builtins by id, and a kernel's `input` lives for one cell.

    A method at its address was called without `self`.
    """
    code = (
        "import builtins\nfrom kws_nb.convert import quiet_tensorflow\n"
        "class Kernel:\n    def ask(self): pass\n"
        "kernel, real = Kernel(), builtins.input\nbuiltins.input = kernel.ask\n"
        "with quiet_tensorflow(): from tensorflow.python.autograph.pyct import inspect_utils\n"
        "builtins.input = real\nmethods = [kernel.ask for _ in range(10_000)]\n"
        "print(sum(map(inspect_utils.isbuiltin, methods)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "0", done.stderr[-2000:]
