"The spotter on this machine: what it hears and detects is what the board does, byte for byte."

import subprocess

import numpy as np
import pytest
from ccode import CORE, HOST, WARNINGS, compiler, model_folder
from kws_nb.board import Board
from kws_nb.conditions import reverberated
from kws_nb.convert import run_tflite
from kws_nb.core import LABELS, N_FRAMES, SMOOTHING, KwsError, models_dir
from kws_nb.features import micro_features
from kws_nb.spotter import HostRecognizer, HostSpotter


@pytest.fixture(scope="module")
def spotter():
    return HostSpotter()


def test_one_window_equals_the_interpreter(spotter, small):
    clips = small.testing.clips
    expected = run_tflite(models_dir() / "tinyconv.tflite", micro_features(clips))
    np.testing.assert_array_equal(spotter.hear(clips)[1][:, 0], expected)


def test_a_stream_equals_the_emulated_board(spotter, small):
    "Scores, times and detections at an easy threshold, with the front end's state carried over from clip to clip."
    keywords = small.testing.clips[small.testing.labels >= 2]
    board = Board()
    board.settings(threshold=100)
    echoing = np.concatenate(reverberated(keywords[:3], 0.3))
    for stream in (np.concatenate(keywords[:4]), echoing, 0 * np.concatenate(keywords[:2])):
        at, scores = spotter.hear(stream[None])
        board.command("reset")
        heard = board.hear(stream)
        assert [h.sample for h in heard] == at.tolist()
        assert [list(h.codes) for h in heard] == scores[0].tolist()
        found = spotter.detect(at, scores[0], threshold=100)
        assert [[d.sample, LABELS.index(d.label), d.score] for d in board.detections] == found.tolist()


def test_state_carried_and_reset(spotter, small):
    """The last window of a longer stream is what the carried front end's last rows give; a fresh start forgets,
    and zeros before change nothing."""
    clips = small.testing.clips[-6:].copy()
    clips[:, :160] = 0  # the window before the clip's first one reaches 10 ms into it
    before = small.testing.clips[40:46]
    hop = 100  # frames: the second window is over the clip
    carried = spotter.hear(np.concatenate([before, before, clips], axis=1), hop)[1][:, -1]
    whole = micro_features(np.concatenate([before, before, clips], axis=1))[:, -N_FRAMES:]
    np.testing.assert_array_equal(carried, run_tflite(models_dir() / "tinyconv.tflite", whole))
    assert (whole != micro_features(clips)).any()
    after_zeros = micro_features(np.concatenate([0 * before, 0 * before, clips], axis=1))[:, -N_FRAMES:]
    np.testing.assert_array_equal(after_zeros, micro_features(clips))
    again = spotter.hear(np.concatenate([clips, clips], axis=1))[1]
    np.testing.assert_array_equal(again[:, 0], spotter.hear(clips)[1][:, 0])


def smoothed(at, scores, window_ms, minimum_count):
    "The averages by their definition: of the last 64 predictions that are no older than the window."
    out = np.full(scores.shape, -1)
    for i, now in enumerate(at):
        first = max(i - 63, next(k for k in range(i + 1) if now - at[k] <= window_ms * 16))
        kept = scores[first : i + 1].astype(int) + 128
        if len(kept) >= minimum_count and now - at[first] >= window_ms // 4 * 16:
            out[i] = kept.sum(0) // len(kept)
    return out


@pytest.mark.parametrize("n_labels", [1, 3, 4, 12, 66])
def test_averages_are_what_their_definition_says(n_labels, rng):
    recognizer = HostRecognizer(n_labels)
    for window_ms, minimum_count in ((1000, 3), (1, 1), (500, 10), (3000, 64)):
        at = 16000 + np.cumsum(rng.integers(1, 1500, 150))
        scores = rng.integers(-128, 128, (150, n_labels))
        scores[:, 0] = 127  # something is always heard
        found = recognizer.average(at, scores, window_ms, minimum_count)
        np.testing.assert_array_equal(found, smoothed(at, scores, window_ms, minimum_count))


@pytest.mark.parametrize("n_labels", [3, 12])
def test_what_is_detected_is_a_maximum_above_the_threshold(n_labels, rng):
    at = 16000 + 640 * np.arange(400)
    scores = np.full((400, n_labels), -128, np.int8)
    for first in range(0, 400, 25):
        scores[first : first + 25, rng.integers(n_labels)] = 127
    recognizer = HostRecognizer(n_labels)
    averages = recognizer.average(at, scores)
    found = recognizer.detect(at, scores, threshold=150)
    assert len(found) > 3
    for sample, label, score in found:
        row = averages[np.searchsorted(at, sample)]
        assert row[label] == row.max() == score > 150 and label > 0
    assert len(recognizer.detect(at, scores, threshold=255)) == 0


@pytest.mark.parametrize(
    "what, message",
    [
        (lambda s, c: s.hear(c[:, :9000]), "fit_length"),
        (lambda s, c: s.hear(c[:0]), "at least one"),
        (lambda s, c: s.hear(c / 2), "to_int16"),
        (lambda s, c: s.hear(c, 0), "hop"),
        (lambda s, c: s.hear(c, 2**16), "hop"),
        (lambda s, c: s.detect([1], [[1] * 4], window_ms=0), "refuses"),
        (lambda s, c: s.detect([1], [[1] * 4], threshold=256), "refuses"),
        (lambda s, c: s.detect([1], [[1] * 4], minimum_count=65), "refuses"),
        (lambda s, c: s.detect([1], [[1] * 4], suppression_ms=-1), "refuses"),
        (lambda s, c: s.detect([1], [[1] * 4], window_ms="long"), "refuses"),
        (lambda s, c: s.detect([1], [[1] * 4], window=100), "no setting window"),
        (lambda s, c: s.detect([1, 2], [[1] * 4]), "at each time"),
        (lambda s, c: s.detect([1], [[1] * 5]), "4 at each time"),
        (lambda s, c: s.average([1], [[1] * 4], window_ms=0), "refuses"),
        (lambda s, c: HostRecognizer(0), "1 to 255"),
    ],
)
def test_what_cannot_be_asked(spotter, what, message):
    with pytest.raises(KwsError, match=message):
        what(spotter, np.ones((2, 16000), np.int16))


def test_nothing_to_detect(spotter):
    assert spotter.detect([], np.zeros((0, 4))).shape == (0, 3) and SMOOTHING["threshold"] == 200


@pytest.mark.parametrize("name", ["kws_stream_hear.c", "kws_stream_detect.c"])
def test_the_c_has_no_warnings(name):
    folders = [part for folder in (CORE, HOST, model_folder()) for part in ("-I", folder)]
    command = [compiler(), *WARNINGS, "-fsyntax-only", *folders, HOST / name]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
