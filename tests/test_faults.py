"Bad input at the door: a clear message, a non-zero exit, no half-written file."

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from conftest import root

from kws_nb.audio import check_clip, normalize_peak, normalize_rms, read_clip, to_int16
from kws_nb.codegen import core_sources
from kws_nb.convert import read_tflite, run_tflite
from kws_nb.core import KwsError, atomic_path
from kws_nb.features import micro_features

KWS_NB = Path(sys.executable).parent / "kws-nb"


def kws_nb(*arguments, **environment):
    return subprocess.run([KWS_NB, *map(str, arguments)], capture_output=True, text=True, env=os.environ | environment, cwd=root)


@pytest.fixture
def yes():
    return sf.read(root / "data/clips/yes.wav", dtype="float32")[0]


def test_classify_prints_json_lines():
    done = kws_nb("classify", "data/clips/yes.wav", "data/clips/no.wav", "--json")
    first, second = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 0 and first["label"] == "yes" and second["label"] == "no"
    assert set(first) == {"file", "label", "scores", "sample"} and sum(first["scores"].values()) == pytest.approx(1, abs=0.02)
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
    return {"empty.wav": "is empty", "nan.wav": "NaN", "truncated.flac": "not a readable audio file", "cut.wav": "20,000 of 32,000 bytes", "text.wav": "not a readable audio file",
            "nothing.wav": "not a readable audio file", "missing.wav": "no such file"}  # fmt: skip


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
    [([], "empty"), ([0.0, np.nan], "NaN"), ([0.0, np.inf], "NaN or infinite"), (np.zeros((2, 9)), "one channel"), (np.zeros(9, np.uint8), "int16")],
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
    "TinyConv with 600 channels: 1.2 MB of weights."
    from kws_nb.convert import convert
    from kws_nb.models import TinyConv

    calibration = np.random.default_rng(0).uniform(0, 26, (4, 49, 40)).astype(np.float32)
    return convert(TinyConv(600).eval(), calibration, tmp_path_factory.mktemp("large")).int8_tflite


def test_model_too_large_for_the_board(large):
    from kws_nb.board import build_firmware
    from kws_nb.core import build_dir

    before = set((build_dir() / "firmware").glob("*"))
    with pytest.raises(KwsError, match="too large for the board: .* overflows by [0-9,]+ bytes"):
        build_firmware(large)
    assert set((build_dir() / "firmware").glob("*")) == before


def test_features_of_the_wrong_shape(reference):
    with pytest.raises(KwsError, match=r"takes \[1, 49, 40, 1\]"):
        run_tflite(reference, micro_features(np.zeros((2, 8000), np.int16)))


def test_model_of_the_wrong_shape(tmp_path):
    import tensorflow as tf

    x = tf.keras.Input((49, 40, 1), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(x, tf.keras.layers.Dense(12)(tf.keras.layers.Flatten()(x))))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter.representative_dataset = lambda: [[np.ones((1, 49, 40, 1), np.float32)]]
    with pytest.raises(KwsError, match="gives 12 scores, and there are 4 labels"):
        core_sources(converter.convert())


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
