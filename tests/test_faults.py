"Bad input at the door: a clear message, a non-zero exit, no half-written file."

import errno
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import tflite
from conftest import root

from kws_nb import cli
from kws_nb.audio import check_clip, normalize_peak, normalize_rms, read_clip, to_int16
from kws_nb.board import Board, build_firmware, emulated_port
from kws_nb.codegen import core_sources
from kws_nb.convert import run_tflite
from kws_nb.graph import read_tflite
from kws_nb.core import KwsError, atomic_path, labels_for
from kws_nb.data import OTHER_WORDS
from kws_nb.features import micro_features
from kws_nb.protocol_emulated import read_image
from kws_nb.size import image_size

KWS_NB = Path(sys.executable).parent / "kws-nb"


def said(command, cwd=root, **more):
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, **more)


def kws_nb(*arguments, **environment):
    return said([KWS_NB, *map(str, arguments)], env=os.environ | environment)


@pytest.fixture
def yes():
    return sf.read(root / "data/clips/yes.wav", dtype="float32")[0]


def test_classify_prints_json_lines():
    done = kws_nb("classify", "data/clips/yes.wav", "data/clips/no.wav", "--json")
    first, second = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 0 and first["label"] == "yes" and second["label"] == "no"
    assert set(first) == {"file", "label", "scores", "sample"}
    assert sum(first["scores"].values()) == pytest.approx(1, abs=0.02)
    assert first["sample"] == 15840 and first["file"] == "data/clips/yes.wav"


def test_classify_reads_other_formats(tmp_path, yes):
    "Stereo, 8 kHz, 24 bit, 48 kHz float and FLAC are read; what resampling keeps is the same word."
    from kws_nb.audio import resample

    sf.write(tmp_path / "stereo.wav", np.stack([yes, yes], 1), 16000)
    sf.write(tmp_path / "slow.wav", resample(yes, 16000, 8000), 8000)
    sf.write(tmp_path / "deep.wav", yes, 16000, subtype="PCM_24")
    sf.write(tmp_path / "float.wav", resample(yes, 16000, 48000), 48000, subtype="FLOAT")
    sf.write(tmp_path / "flac.flac", yes, 16000)
    files = sorted(tmp_path.iterdir())
    done = kws_nb("classify", *files, "--json")
    assert done.returncode == 0, done.stderr
    heard = {path.stem: json.loads(line)["label"] for path, line in zip(files, done.stdout.splitlines())}
    assert all(heard[name] == "yes" for name in ("stereo", "deep", "float", "flac")), heard
    slow = read_clip(tmp_path / "slow.wav")  # without the s above 4 kHz, "yes" may be another word
    assert len(slow) == 16000 and np.corrcoef(slow, yes)[0, 1] > 0.9
    np.testing.assert_array_equal(read_clip(tmp_path / "stereo.wav"), read_clip(tmp_path / "flac.flac"))
    np.testing.assert_array_equal(to_int16(read_clip(tmp_path / "deep.wav")), to_int16(yes))


def test_classify_finds_the_word_in_a_long_recording(tmp_path, yes):
    rng = np.random.default_rng(0)
    long = rng.uniform(-0.002, 0.002, 5 * 16000).astype(np.float32)
    long[40_000:56_000] += yes
    sf.write(tmp_path / "long.wav", long, 16000)
    result = json.loads(kws_nb("classify", tmp_path / "long.wav", "--json").stdout)
    assert result["label"] == "yes" and 46_000 < result["sample"] < 60_000


def test_silence_is_no_keyword(tmp_path):
    sf.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    done = kws_nb("classify", tmp_path / "silent.wav", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["label"] in ("_silence_", "_unknown_")


def bad_files(folder, yes):
    sf.write(folder / "empty.wav", np.zeros(0), 16000)
    sf.write(folder / "nan.wav", np.where(np.arange(16000) == 99, np.nan, yes), 16000, subtype="FLOAT")
    sf.write(folder / "whole.flac", yes, 16000)
    (folder / "truncated.flac").write_bytes((folder / "whole.flac").read_bytes()[:40])
    sf.write(folder / "cut.wav", yes, 16000, subtype="PCM_16")
    (folder / "cut.wav").write_bytes((folder / "cut.wav").read_bytes()[: 44 + 20_000])
    (folder / "text.wav").write_text("this is no sound")
    (folder / "nothing.wav").write_bytes(b"")
    unreadable = dict.fromkeys(("truncated.flac", "text.wav", "nothing.wav"), "not a readable audio file")
    return unreadable | {
        "empty.wav": "is empty",
        "nan.wav": "NaN",
        "cut.wav": "20,000 of 32,000 bytes",
        "missing.wav": "no such file",
    }


def test_classify_refuses_bad_files_and_goes_on(tmp_path, yes):
    expected = bad_files(tmp_path, yes)
    before = sorted(p.name for p in tmp_path.iterdir())
    done = kws_nb("classify", *(tmp_path / name for name in expected), "data/clips/yes.wav", "--json")
    errors = done.stderr.splitlines()
    assert done.returncode == 1 and len(errors) == len(expected), done.stderr
    for (name, says), error in zip(expected.items(), errors):
        assert error.startswith("Error: ") and name in error and says in error
    assert json.loads(done.stdout)["label"] == "yes"
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_directory_instead_of_a_file(tmp_path):
    assert "no such file" in kws_nb("classify", tmp_path).stderr


@pytest.mark.parametrize(
    "samples, says",
    [
        ([], "empty"),
        ([0.0, np.nan], "NaN"),
        ([0.0, np.inf], "NaN or infinite"),
        (np.zeros((2, 9)), "one channel"),
        (np.zeros(9, np.uint8), "int16"),
    ],
)
def test_bad_samples(samples, says):
    with pytest.raises(KwsError, match=says):
        to_int16(np.asarray(samples))
    if says != "int16":
        for function in (check_clip, normalize_peak, normalize_rms):
            with pytest.raises(KwsError, match=says):
                function(np.asarray(samples))


def test_full_scale_saturates():
    assert to_int16(np.array([1.0, -1.0, 1.5, -2.0])).tolist() == [32767, -32768, 32767, -32768]


def test_data_folder_without_keywords(tmp_path):
    (tmp_path / "bird").mkdir()
    done = kws_nb("demo", KWS_NB_DATA=str(tmp_path))
    assert done.returncode == 1 and 'clips of "yes"' in done.stderr and "Traceback" not in done.stderr


def test_board_that_is_not_there():
    done = kws_nb("classify", "data/clips/yes.wav", "--board", "/dev/ttyNOSUCH")
    assert done.returncode == 1 and "cannot be opened" in done.stderr and "Traceback" not in done.stderr


def test_damaged_models(tmp_path, reference):
    content = reference.read_bytes()
    (tmp_path / "half.tflite").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.tflite").write_text("no model")
    (tmp_path / "empty.tflite").write_bytes(b"")
    for name, says in (("half", "damaged"), ("text", "TFL3"), ("empty", "TFL3"), ("nowhere", "no such file")):
        path = tmp_path / f"{name}.tflite"
        with pytest.raises(KwsError, match=says):
            read_tflite(path)
        done = kws_nb("classify", "data/clips/yes.wav", "--board", f"emulated://nano33ble?model={path}")
        assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr


def test_a_tensor_that_two_operators_write_is_refused(reference):
    content = bytearray(reference.read_bytes())
    graph = tflite.Model.GetRootAs(bytes(content)).Subgraphs(0)
    table = graph.Operators(0)._tab
    place, elsewhere = table.Vector(table.Offset(8)), graph.Operators(1).Outputs(0)  # offset 8: the outputs
    assert int.from_bytes(content[place : place + 4], "little") == graph.Operators(0).Outputs(0)
    content[place : place + 4] = elsewhere.to_bytes(4, "little")
    with pytest.raises(KwsError, match="a tensor is written twice.*Convert the model again"):
        read_tflite(bytes(content))


def test_every_cut_of_a_model_is_refused_or_whole(reference):
    content = reference.read_bytes()
    for n in range(8, len(content), 997):
        try:
            core_sources(content[:n])
        except KwsError:
            continue
        pytest.fail(f"a model cut after {n} bytes was taken for whole")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    "TinyConv with 200 channels and 12 labels: 1.2 MB of weights."
    from kws_nb.convert import convert
    from kws_nb.models import TinyConv

    calibration = np.random.default_rng(0).uniform(0, 26, (4, 49, 40)).astype(np.float32)
    model = TinyConv(200, labels=labels_for(OTHER_WORDS[:10])).eval()
    return convert(model, calibration, tmp_path_factory.mktemp("large")).int8_tflite


@pytest.mark.tensorflow
def test_model_too_large_for_the_board(large, tmp_path, monkeypatch):
    "In a folder of its own: another process may build firmware meanwhile."
    monkeypatch.setattr("kws_nb.board.build_dir", lambda: tmp_path)
    with pytest.raises(KwsError, match="too large for the board: .* overflows by [0-9,]+ bytes"):
        build_firmware(large)
    assert list(tmp_path.glob("firmware/*")) == []


def test_features_of_the_wrong_shape(reference):
    with pytest.raises(KwsError, match=r"takes \[1, 49, 40, 1\]"):
        run_tflite(reference, micro_features(np.zeros((2, 8000), np.int16)))


@pytest.mark.tensorflow
def test_model_of_the_wrong_shape(tmp_path):
    import tensorflow as tf

    x = tf.keras.Input((49, 40, 1), batch_size=1)
    scores = tf.keras.layers.Dense(12)(tf.keras.layers.Flatten()(x))
    converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(x, scores))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter.representative_dataset = lambda: [[np.ones((1, 49, 40, 1), np.float32)]]
    with pytest.raises(KwsError, match="gives 12 scores, and there are 4 labels"):
        core_sources(converter.convert())


@pytest.mark.tensorflow
def test_a_float_model_is_refused(tmp_path):
    from kws_nb.convert import convert_tflite, export_onnx, export_saved_model
    from kws_nb.models import TinyConv

    content = convert_tflite(export_saved_model(export_onnx(TinyConv(1)), tmp_path / "saved"))
    with pytest.raises(KwsError, match="full int8"):
        core_sources(content)


def test_files_are_whole_or_not_there(tmp_path):
    with pytest.raises(RuntimeError):
        with atomic_path(tmp_path / "x.txt") as path:
            path.write_text("half")
            raise RuntimeError("power cut")
    assert not list(tmp_path.iterdir())


def test_wav_stream_of_unknown_length_is_read(tmp_path, yes):
    "What a program leaves that wrote to a pipe: the length was not known."
    sf.write(tmp_path / "a.wav", yes, 16000, subtype="PCM_16")
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(content)
    np.testing.assert_array_equal(to_int16(read_clip(tmp_path / "a.wav")), to_int16(yes))


def test_a_full_disk_is_a_message(tmp_path):
    "The kernel refuses more than 64 KB a file, as a full disk does. Before: a traceback."

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    done = said([KWS_NB, "arduino", tmp_path / "library"], preexec_fn=small_files)
    assert done.returncode == 1 and done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
    assert "cannot be written: File too large. Make room there" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] in ([], ["library"])


NO_ROOM = [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("No space left on device (os error 28)")]


@pytest.mark.parametrize("error", NO_ROOM, ids=["OSError", "of a library"])
def test_a_file_that_finds_no_room(tmp_path, error):
    with pytest.raises(KwsError, match="x.txt cannot be written: No space left on device. Make room there"):
        with atomic_path(tmp_path / "x.txt") as path:
            path.write_text("half")
            raise error
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refused(**_):
        raise PermissionError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", refused)
    says = "x.txt cannot be written: Read-only file system. Use a folder in which you may write"
    with pytest.raises(KwsError, match=says):
        with atomic_path(tmp_path / "x.txt"):
            pass


def copy_checkout(folder):
    "What a clone needs to build and listen."
    for name in ("kws_nb", "firmware", "data/clips", "data/models"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "settings.ini", folder)
    return folder


def in_checkout(folder, *arguments, **environment):
    command = [sys.executable, "-c", "from kws_nb.cli import main; main()", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(folder)} | environment
    environment = {name: value for name, value in environment.items() if value is not None}
    return said(command, cwd=folder, env=environment)


def test_a_checkout_that_cannot_be_written(tmp_path):
    "Whoever runs the tests may be root, who may write anywhere: here `build` is a file."
    clone = copy_checkout(tmp_path / "clone")
    (clone / "build").write_text("in the way")
    done = in_checkout(clone, "classify", "data/clips/yes.wav")
    assert done.returncode == 1 and done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
    assert f"{clone / 'build'} cannot be written: File exists" in done.stderr


ODD_NAME = "a,b %41 c&d #e"
NO_HOME = dict(HOME=None, XDG_CACHE_HOME=None)


PLACES = {"odd name": (ODD_NAME, {}), "no home": ("plain", NO_HOME), "both": (ODD_NAME, NO_HOME)}


@pytest.mark.slow
@pytest.mark.parametrize("name, environment", PLACES.values(), ids=PLACES)
def test_a_checkout_in_a_folder_of_any_name_and_without_a_home(tmp_path, reference, name, environment):
    "A comma ended the linker's flag, %41 became A in the port, & and # ended its option, and zig asked for HOME."
    clone = copy_checkout(tmp_path / name)
    model = clone / "my,%41&#.tflite"
    shutil.copy(reference, model)
    listen = ["classify", "data/clips/no.wav", "--json", "--board", emulated_port(model=model)]
    done = in_checkout(clone, *listen, **environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"] == "no"
    (image,) = (clone / "build/firmware").glob("*.elf")
    with Board(emulated_port(image=image)) as board:
        assert board.command("name") == ["m-name-dut-[kws_nb tinyconv]"]
    assert image.read_bytes() == build_firmware().read_bytes()


def test_a_port_says_any_path():
    assert emulated_port() == "emulated://nano33ble"
    assert emulated_port(model="/a b/%41&,#.tflite") == "emulated://nano33ble?model=/a%20b/%2541%26%2C%23.tflite"


@pytest.mark.parametrize(
    "option, says",
    [
        ("image=", "The option image is empty"),
        ("model=", "The option model is empty"),
        ("image=/no/such.elf", "/no/such.elf: no such file"),
        ("image=/", "/: no such file"),
        (f"image={root / 'settings.ini'}", "is no firmware image, or damaged"),
        (f"image={os.path.realpath(sys.executable)}", "is for another processor"),
        ("image=a&b=c", "Unknown option b"),
    ],
)
def test_an_image_that_is_none(option, says):
    "Before: the reference model's image for an empty name, a traceback for the others."
    with pytest.raises(KwsError, match=re.escape(says)):
        Board(f"emulated://nano33ble?{option}")
    done = kws_nb("classify", "data/clips/yes.wav", "--board", f"emulated://nano33ble?{option}")
    assert done.returncode == 1 and says in done.stderr and done.stderr.count("\n") == 1


def test_a_damaged_image_is_refused_or_crashes_clearly(tmp_path):
    "Cut, or with bytes that were changed: in the headers and tables, where the reader of ELF files raises much."
    whole, rng = build_firmware().read_bytes(), np.random.default_rng(0)
    changed = [whole[:n] for n in range(0, len(whole), len(whole) // 40)]
    for at in [*range(0, 180, 3), *rng.integers(len(whole) - 12_000, len(whole), 60)]:
        changed.append(whole[:at] + bytes([whole[at] ^ int(rng.integers(1, 256))]) + whole[at + 1 :])
    for i, content in enumerate(changed):
        (tmp_path / "x.elf").write_bytes(content)
        try:
            read_image(tmp_path / "x.elf")
        except KwsError as error:
            assert "x.elf" in str(error), i


@pytest.mark.slow
def test_an_image_keeps_its_symbols(tmp_path):
    "Told to link for size, zig leaves them out, and the board asked for them with an AttributeError."
    small = build_firmware(flags=("-Os",))
    assert image_size(small).flash < image_size(build_firmware()).flash
    with Board(emulated_port(image=small)) as board:
        assert board.classify(to_int16(read_clip(root / "data/clips/yes.wav"))).label == "yes"
        assert board.machine.watched["inference"]["calls"] == 1 and board.machine.stack_bytes > 0


@pytest.mark.slow
def test_an_image_without_symbols_says_so(tmp_path):
    with pytest.raises(KwsError, match="has no symbol table"):
        Board(emulated_port(image=build_firmware(flags=("-Wl,-s",))))


@pytest.mark.parametrize("port", ["foo://", "loop://"])
def test_serve_of_what_is_no_emulated_board(port):
    "An echo was opened and offered, and no program took it for a board."
    done = kws_nb("serve", "--board", port)
    assert done.returncode == 1 and f"{port} is no emulated board" in done.stderr and done.stderr.count("\n") == 1


def test_a_blank_compiler_is_none():
    "CC=' ' was split into no words, and the first of them was asked for."
    code = "from kws_nb.host import host_compiler; print(host_compiler())"
    done = said([sys.executable, "-c", code], env=os.environ | {"CC": " ", "PYTHONPATH": str(root)})
    assert done.returncode == 0 and "cc" in done.stdout, done.stderr


@pytest.mark.parametrize("command", ["headers", "reference"])
def test_the_files_of_an_installed_package_are_left_alone(command, monkeypatch):
    monkeypatch.setattr(cli, "checkout", lambda: None)
    with pytest.raises(KwsError, match=f"kws-nb {command} changes files of the repository"):
        getattr(cli, command)()


MISSES = "is not installed, and this command needs it"


@pytest.mark.parametrize(
    "raised, says, code",
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/file"), "Error: /a/file: No space left on device\n", 1),
        (OSError("no number"), "Error: no number\n", 1),
        (ModuleNotFoundError("No module named 'x_y.z'", name="x_y.z"), f"Error: x_y {MISSES}: pip install kws_nb\n", 1),
        (KeyboardInterrupt(), "Interrupted.\n", 130),
        (SystemExit(130), "Interrupted.\n", 130),
    ],
)
def test_what_a_command_raises_is_one_line(raised, says, code, monkeypatch, capsys):
    def app():
        raise raised

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code and capsys.readouterr().err == says
