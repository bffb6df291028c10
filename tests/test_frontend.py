"The C front end against TensorFlow's op, the training-side oracle, and against pymicro-features."

import sys
import threading

import numpy as np
import pytest
from conftest import extreme_clips

from kws_nb.core import FEATURE_SCALE, KwsError, firmware_dir
from kws_nb.host import c_core, compile_core, open_core
from kws_nb.features import frontend_integers, micro_features
from kws_nb.tables import frontend_sources


@pytest.fixture(scope="module")
def op():
    import tensorflow as tf
    from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

    def run(clip):
        return audio_microfrontend_op.audio_microfrontend(
            tf.constant(clip),
            sample_rate=16000,
            window_size=30,
            window_step=20,
            num_channels=40,
            out_scale=1,
            out_type=tf.float32,
        ).numpy()

    return run


@pytest.mark.tensorflow
def test_equals_tensorflow_on_every_test_clip(op, data):
    clips = data.testing.clips
    assert len(clips) >= 500
    ours = frontend_integers(clips)
    different = [i for i, clip in enumerate(clips) if not np.array_equal(op(clip), ours[i])]
    words = [data.testing.words[i] for i in different[:5]]
    assert not different, f"{len(different)} of {len(clips)} clips differ, first {different[:5]} ({words})"


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", extreme_clips())
def test_equals_tensorflow_on_extremes(op, name):
    clip = extreme_clips()[name]
    np.testing.assert_array_equal(op(clip), frontend_integers(clip[None])[0])


def test_agrees_with_pymicro_features_at_ten_ms(data):
    from pymicro_features import MicroFrontend

    same = total = 0
    for clip in data.testing.clips[-200:]:
        frontend, theirs, bytes_, at = MicroFrontend(), [], clip.tobytes(), 0
        while at < len(bytes_):
            out = frontend.process_samples(bytes_[at : at + 320])
            at += 2 * out.samples_read or 320
            if out.features:
                theirs.append(out.features)
        ours = micro_features(clip, step_ms=10)
        assert ours.shape == (98, 40) == np.shape(theirs)
        same += (np.abs(ours - theirs) < FEATURE_SCALE / 2).sum()
        total += ours.size
    assert same / total >= 0.99, f"only {100 * same / total:.2f} % of the values agree"


def test_shapes_and_scale():
    clip = np.random.default_rng(0).integers(-999, 999, 16000).astype(np.int16)
    one, batch = micro_features(clip), micro_features(np.stack([clip, clip]))
    assert one.shape == (49, 40) and batch.shape == (2, 49, 40) and one.dtype == np.float32
    np.testing.assert_array_equal(one, frontend_integers(clip[None])[0] * 10 / 256)
    np.testing.assert_array_equal(batch[0], batch[1])
    np.testing.assert_array_equal(batch[1], one)


def test_not_contiguous_clips():
    clips = np.random.default_rng(0).integers(-999, 999, (16000, 3)).astype(np.int16)
    np.testing.assert_array_equal(micro_features(clips.T), micro_features(np.ascontiguousarray(clips.T)))
    assert micro_features(np.zeros((0, 16000), np.int16)).shape == (0, 49, 40)


@pytest.mark.parametrize("step_ms", [20, 10, 7.5])
def test_threads_change_nothing(data, step_ms):
    "Whichever clips share a call, a stretch or a vector: the features are those of each clip alone."
    clips = np.concatenate([data.testing.clips[-150:], np.stack(list(extreme_clips().values()))])
    alone = np.concatenate([frontend_integers(clip[None], step_ms, threads=1) for clip in clips])
    for threads in (None, 1, 2, 3, 7):
        np.testing.assert_array_equal(frontend_integers(clips, step_ms, threads), alone)
    np.testing.assert_array_equal(micro_features(clips, step_ms, threads=3), alone * np.float32(FEATURE_SCALE))


@pytest.mark.parametrize("threads", [0, -1, 1.5])
def test_bad_threads(threads):
    with pytest.raises(KwsError, match="threads"):
        micro_features(np.zeros(16000, np.int16), threads=threads)


@pytest.mark.parametrize(
    "clips, says",
    [
        (np.zeros(16000), "int16"),
        (np.zeros(16000, np.int32), "int16"),
        (np.zeros(0, np.int16), "shorter than one window"),
        (np.zeros(479, np.int16), "shorter than one window"),
        (np.zeros((2, 3, 16000), np.int16), r"\[n, samples\]"),
    ],
)
def test_bad_clips(clips, says):
    with pytest.raises(KwsError, match=says):
        micro_features(clips)


@pytest.mark.parametrize("step_ms", [0, -5, 31])
def test_bad_step(step_ms):
    with pytest.raises(KwsError, match="step_ms"):
        micro_features(np.zeros(16000, np.int16), step_ms)


def test_releases_the_gil():
    "While C computes, another Python thread goes on."
    clips = np.zeros((2000, 16000), np.int16)
    c_core()
    worker, ticks = threading.Thread(target=frontend_integers, args=(clips,)), 0
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-4)
    try:
        worker.start()
        while worker.is_alive():
            ticks += 1
    finally:
        sys.setswitchinterval(interval)
        worker.join()
    assert ticks > 1000, f"this thread got {ticks} turns while the front end ran"


def test_generated_c_is_current():
    "kws_config.h and the tables are what the notebooks generate."
    for name, text in frontend_sources().items():
        assert (firmware_dir() / "kws/src" / name).read_text() == text, f"{name} is stale: run kws-nb headers"


def test_core_compiles_with_pips_compiler(tmp_path, data):
    "On a machine without a C compiler, ziglang's serves; its core gives the same features."
    ffi, lib = open_core(compile_core(tmp_path / "core.so", [sys.executable, "-m", "ziglang", "cc"]))
    clips = np.ascontiguousarray(data.testing.clips[:20])
    out = np.empty((20, 49, 40), np.uint16)
    samples, features = ffi.from_buffer("int16_t[]", clips), ffi.from_buffer("uint16_t[]", out)
    assert lib.kws_host_features(samples, 20, 16000, 320, features) == 0
    np.testing.assert_array_equal(out, frontend_integers(clips))
    assert lib.kws_host_features(samples, 20, 16000, 0, features) != 0
