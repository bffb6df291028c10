"The field: every change to a clip is what it says, the host hears what the board hears, and pairs are counted right."

import json

import numpy as np
import pytest

from kws_nb.board import Board
from kws_nb.convert import run_tflite
from kws_nb.core import CLIP_SAMPLES, LABELS, N_FRAMES, SMOOTHING, KwsError, models_dir
from kws_nb.data import Data, Part
from kws_nb.features import micro_features
from kws_nb.results import digest
from kws_nb.studies.field import (
    BEFORE,
    CAUSES,
    IN_PLACE,
    HostSpotter,
    at_level,
    carried_features,
    cause_table,
    difference,
    field_streams,
    field_study,
    own_room,
    plot_causes,
    plot_operating_points,
    preceded,
    quiet_streams,
    read_study,
    reverberated,
    rms,
    room_noise,
    room_response,
    shifted,
    speech_level,
    spoken_answers,
    stream_counts,
    with_gain,
    with_noise,
    with_offset,
    word_stream,
)


@pytest.fixture(scope="module")
def spotter():
    return HostSpotter()


@pytest.fixture
def noise(rng):
    return np.rint(rng.normal(0, 800, (4, CLIP_SAMPLES))).astype(np.int16)


@pytest.fixture
def clips(rng):
    return np.rint(rng.normal(0, 1000, (4, CLIP_SAMPLES))).astype(np.int16)


@pytest.mark.parametrize("snr_db", [20, 10, 5, 0])
def test_the_snr_is_the_one_asked_for(clips, noise, snr_db):
    added = with_noise(clips, noise, snr_db).astype(float) - clips
    np.testing.assert_allclose(20 * np.log10(rms(clips) / rms(added)), snr_db, atol=0.05)
    louder = with_noise(clips, noise, snr_db, 2 * rms(clips)).astype(float) - clips
    np.testing.assert_allclose(20 * np.log10(rms(clips) / rms(louder)), snr_db - 20 * np.log10(2), atol=0.05)


@pytest.mark.parametrize("db", [-20, -3, 6])
def test_gain(clips, db):
    louder, clipped = with_gain(clips, db)
    np.testing.assert_allclose(rms(louder) / rms(clips), 10 ** (db / 20), rtol=1e-3)
    assert not clipped.any()


def test_gain_counts_what_is_clipped():
    clips = np.array([[20000] * 5 + [-20000] * 5 + [100] * 10], np.int16)
    louder, clipped = with_gain(clips, 20)
    assert louder.max() == 32767 and louder.min() == -32768 and clipped[0] == 0.5


def test_shift_keeps_the_length_and_moves_the_right_way():
    clips = np.zeros((1, CLIP_SAMPLES), np.int16)
    clips[0, 8000] = 1000
    for ms in (-400, -20, 0, 20, 400):
        moved = shifted(clips, ms)
        assert moved.shape == clips.shape
        assert moved[0].argmax() == 8000 + 16 * ms
    fill = np.full_like(clips, 7)
    assert (shifted(clips, 100, fill)[0, :1600] == 7).all() and (shifted(clips, 100, fill)[0, 1600:8000] == 0).all()
    assert (shifted(clips, -100, fill)[0, -1600:] == 7).all()


def test_echo_falls_as_its_rt60_says(rng, clips):
    for rt60 in (0.3, 0.6):
        response = room_response(rt60, rng)
        left = 10 * np.log10(np.square(response[::-1]).cumsum()[::-1])
        assert left[len(response) // 4] == pytest.approx(-15, abs=1.5)  # a quarter of the way: a quarter of 60 dB
        assert np.square(response[1:]).sum() == pytest.approx(1)  # as much as the direct sound
        np.testing.assert_allclose(rms(reverberated(clips, rt60)), rms(clips), rtol=0.01)
    np.testing.assert_array_equal(reverberated(clips[:2], 0.3, 5), reverberated(clips[:2], 0.3, 5))
    assert (reverberated(0 * clips, 0.3) == 0).all()


def test_offset(clips):
    assert (with_offset(clips, 0.01).astype(int) - clips == 328).all()


def test_own_room_is_the_quietest_stretch(clips):
    clips[0, 3200:6400] //= 10
    room = own_room(clips, 50000)
    assert room.shape == (4, 50000)
    np.testing.assert_array_equal(room[0, :3200], clips[0, 3200:6400])
    np.testing.assert_array_equal(room[0, 3200:6400], clips[0, 3200:6400][::-1])


def test_noise_is_of_the_part_and_without_a_seam(small):
    part = small.testing
    noise = room_noise(part, 40000)
    assert noise.shape == (len(part), 40000)
    np.testing.assert_array_equal(noise[:, 16000:32000], noise[:, :16000][:, ::-1])
    silence = {clip.tobytes() for clip in part.clips[part.labels == 0]}
    assert all(n[:CLIP_SAMPLES].tobytes() in silence for n in noise)


@pytest.mark.parametrize(
    "what, message",
    [
        (lambda c, n: with_noise(c, n, np.nan), "finite"),
        (lambda c, n: with_noise(c, n, np.inf), "finite"),
        (lambda c, n: with_noise(c, 0 * n, 10), "silent"),
        (lambda c, n: with_noise(0 * c, n, 10), "undefined"),
        (lambda c, n: with_noise(c, n[:2], 10), "as long as itself"),
        (lambda c, n: with_noise(c / 2, n, 10), "to_int16"),
        (lambda c, n: with_noise(c[:0], n[:0], 10), "at least one"),
        (lambda c, n: with_gain(c, 61), "-60 to 60"),
        (lambda c, n: with_gain(c, np.nan), "-60 to 60"),
        (lambda c, n: with_offset(c, 0.6), "-0.5 to 0.5"),
        (lambda c, n: shifted(c, -1000), "leaves nothing"),
        (lambda c, n: reverberated(c, 0), "RT60"),
        (lambda c, n: carried_features(c[:0]), "at least one"),
        (lambda c, n: room_noise(Part(c[:0], np.zeros(0, int), []), 100), "silence clip"),
        (lambda c, n: speech_level(Part(c[:0], np.zeros(0, int), [])), "empty"),
        (lambda c, n: word_stream(Part(c, np.zeros(4, int), []), 0), "no words"),
        (lambda c, n: HostSpotter().hear(c[:, :9000]), "fit_length"),
        (lambda c, n: HostSpotter().hear(c[:0]), "at least one"),
        (lambda c, n: read_study("nothing.json"), "no such file"),
    ],
)
def test_bad_input_says_what_to_do(clips, noise, what, message):
    with pytest.raises(KwsError, match=message):
        what(clips, noise)


def test_one_window_equals_the_interpreter(spotter, small):
    clips = small.testing.clips
    np.testing.assert_array_equal(spotter.hear(clips)[1][:, 0], run_tflite(models_dir() / "tinyconv.tflite", micro_features(clips)))


def test_a_stream_equals_the_emulated_board(spotter, small):
    "Scores, times and detections, with the front end's state carried over from clip to clip; the detections at an easy threshold."
    keywords = small.testing.clips[small.testing.labels >= 2]
    board = Board()
    board.settings(threshold=100)
    for stream in (np.concatenate(keywords[:4]), field_streams(small.testing)[-1], 0 * np.concatenate(keywords[:2])):
        at, scores = spotter.hear(stream[None])
        board.command("reset")
        heard = board.hear(stream)
        assert [h.sample for h in heard] == at.tolist()
        assert [list(h.codes) for h in heard] == scores[0].tolist()
        found = spotter.detect(at, scores[0], threshold=100)
        assert [[d.sample, LABELS.index(d.label)] for d in board.detections] == found.tolist()


def test_state_carried_and_reset(spotter, small):
    "The last window of a longer stream is what the carried front end's last rows give; a fresh start forgets, and zeros before change nothing."
    clips = small.testing.clips[-6:].copy()
    clips[:, :160] = 0  # the window before the clip's first one reaches 10 ms into it
    before = small.testing.clips[40:46]
    carried = spotter.hear(np.concatenate([before, before, clips], axis=1), IN_PLACE)[1][:, -1]
    whole = micro_features(np.concatenate([before, before, clips], axis=1))[:, -N_FRAMES:]
    np.testing.assert_array_equal(carried, run_tflite(models_dir() / "tinyconv.tflite", whole))
    assert (whole != micro_features(clips)).any()
    zeros = np.zeros((6, BEFORE), np.int16)
    np.testing.assert_array_equal(micro_features(np.concatenate([zeros, clips], axis=1))[:, -N_FRAMES:], micro_features(clips))
    again = spotter.hear(np.concatenate([clips, clips], axis=1))[1]
    np.testing.assert_array_equal(again[:, 0], spotter.hear(clips)[1][:, 0])


def test_streams_hold_the_clip_unchanged(small):
    part = small.testing
    for name, stream in preceded(part):
        np.testing.assert_array_equal(stream[:, BEFORE:], part.clips, name)
    np.testing.assert_array_equal(quiet_streams(part)[:, BEFORE : BEFORE + CLIP_SAMPLES], part.clips)


def test_at_level(noise):
    np.testing.assert_allclose(rms(at_level(noise, np.array([30, 300, 1000, 3000]))), [30, 300, 1000, 3000], rtol=0.01)


def test_counts_of_a_stream(spotter, small):
    "A keyword counts once, in its own slot; all else that is reported is a false alarm."
    at = np.arange(40000 // 640, 3 * 40000 // 640).astype(np.uint32) * 640
    scores = np.full((len(at), 4), -128, np.int8)
    scores[(at > 48000) & (at < 70000), 2] = 127  # yes, in the second slot
    scores[(at > 84000) & (at < 100000), 3] = 127  # no, in the third, where nobody said so
    counts = stream_counts(spotter, at, scores, np.array([3, 2, 1]), window_ms=250, threshold=128)
    assert (counts["found"], counts["false"], counts["keywords"]) == (1, 1, 2)
    samples, labels = word_stream(small.testing, 0)
    assert len(samples) == len(labels) * 40000 and sorted(labels) == sorted(small.testing.labels[small.testing.labels > 0])
    np.testing.assert_array_equal(samples, word_stream(small.testing, 0)[0])


def test_carried_features_are_of_clips_that_something_came_before(small):
    clips = small.testing.clips.copy()
    clips[:, :160] = 0  # see test_state_carried_and_reset
    features = carried_features(clips)
    assert features.shape == (len(clips), N_FRAMES, 40)
    np.testing.assert_array_equal(features, carried_features(clips))
    fresh = (features == micro_features(clips)).all((1, 2)).mean()
    assert 0.2 < fresh < 0.5  # a third come after nothing


def test_study_is_repeatable_and_kept(small, tmp_path):
    few = Data("a few clips", *(Part(p.clips[::5], p.labels[::5], p.words[::5]) for p in (small.training, small.validation, small.testing)), noise=small.noise)
    first = field_study(few, tmp_path / "field.json", 1, 1, progress=False)
    assert {name for pair in CAUSES.values() for name in pair} <= set(first["answers"])
    assert first == json.loads((tmp_path / "field.json").read_text())
    (tmp_path / "field.json").write_text(json.dumps(first | dict(n=-1)))
    assert field_study(few, tmp_path / "field.json", 1, 1, progress=False)["n"] == -1  # read, not made anew
    assert field_study(few, tmp_path / "field.json", 1, 1, seed=1, progress=False)["n"] == len(few.testing)
    assert plot_causes(first).data and plot_operating_points(first).data and cause_table(first).count("\n") == len(CAUSES) + 1


def test_stored_study_is_of_todays_model():
    "Otherwise run the slow cell of studies/field anew, with the real recordings."
    study = read_study()
    assert (study["model"], study["network"]) == (digest((models_dir() / "tinyconv.tflite").read_bytes()), digest((models_dir() / "tinyconv.safetensors").read_bytes()))
    right = [a == b for a, b in zip(study["answers"]["reference"], study["labels"])]
    assert abs(np.mean(right) - json.loads((models_dir() / "metrics.json").read_text())["accuracy_int8"]) < 1e-9
    assert all(len(answers) == study["n"] for answers in study["answers"].values())
    d, low, high = difference(study, *CAUSES["int8 instead of float"])
    assert low < d < high and SMOOTHING["threshold"] == 200
    assert len(spoken_answers(HostSpotter(), np.zeros((2, CLIP_SAMPLES), np.int16))) == 2
