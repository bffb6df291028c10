"The field: streams around a clip, counts of a stream, and a study that is kept."

import json

import numpy as np
import pytest
from kws_nb.core import CLIP_SAMPLES, N_FRAMES, SMOOTHING, KwsError, models_dir
from kws_nb.data import Data, Part
from kws_nb.features import micro_features
from kws_nb.results import digest
from kws_nb.spotter import HostRecognizer, HostSpotter
from kws_nb.studies.field import (
    BEFORE,
    CAUSES,
    carried_features,
    cause_table,
    difference,
    field_study,
    plot_causes,
    plot_operating_points,
    preceded,
    quiet_streams,
    read_study,
    spoken_answers,
    stream_counts,
)


def test_bad_input_says_what_to_do():
    with pytest.raises(KwsError, match="at least one"):
        carried_features(np.zeros((0, CLIP_SAMPLES), np.int16))
    with pytest.raises(KwsError, match="no such file"):
        read_study("nothing.json")


def test_streams_hold_the_clip_unchanged(small):
    part = small.testing
    for name, stream in preceded(part):
        np.testing.assert_array_equal(stream[:, BEFORE:], part.clips, name)
    np.testing.assert_array_equal(quiet_streams(part)[:, BEFORE : BEFORE + CLIP_SAMPLES], part.clips)


def test_counts_of_a_stream():
    "A keyword counts once, in its own slot; all else that is reported is a false alarm."
    at = np.arange(40000 // 640, 3 * 40000 // 640).astype(np.uint32) * 640
    scores = np.full((len(at), 4), -128, np.int8)
    scores[(at > 48000) & (at < 70000), 2] = 127  # yes, in the second slot
    scores[(at > 84000) & (at < 100000), 3] = 127  # no, in the third, where nobody said so
    counts = stream_counts(HostRecognizer(), at, scores, np.array([3, 2, 1]), window_ms=250, threshold=128)
    assert (counts["found"], counts["false"], counts["keywords"]) == (1, 1, 2)


def test_carried_features_are_of_clips_that_something_came_before(small):
    clips = small.testing.clips.copy()
    clips[:, :160] = 0  # see test_state_carried_and_reset
    features = carried_features(clips)
    assert features.shape == (len(clips), N_FRAMES, 40)
    np.testing.assert_array_equal(features, carried_features(clips))
    fresh = (features == micro_features(clips)).all((1, 2)).mean()
    assert 0.2 < fresh < 0.5  # a third come after nothing


def test_study_is_repeatable_and_kept(small, tmp_path):
    parts = (small.training, small.validation, small.testing)
    parts = [Part(part.clips[::5], part.labels[::5], part.words[::5]) for part in parts]
    few = Data("a few clips", *parts, noise=small.noise)
    first = field_study(few, tmp_path / "field.json", 1, 1, progress=False)
    assert {name for pair in CAUSES.values() for name in pair} <= set(first["answers"])
    assert first == json.loads((tmp_path / "field.json").read_text())
    (tmp_path / "field.json").write_text(json.dumps(first | dict(n=-1)))
    assert field_study(few, tmp_path / "field.json", 1, 1, progress=False)["n"] == -1  # read, not made anew
    assert field_study(few, tmp_path / "field.json", 1, 1, seed=1, progress=False)["n"] == len(few.testing)
    assert plot_causes(first).data and plot_operating_points(first).data
    assert cause_table(first).count("\n") == len(CAUSES) + 1


def test_stored_study_is_of_todays_model():
    "Otherwise run the slow cell of studies/field anew, with the real recordings."
    study = read_study()
    for what, name in (("model", "tinyconv.tflite"), ("network", "tinyconv.safetensors")):
        assert study[what] == digest((models_dir() / name).read_bytes()), name
    right = [a == b for a, b in zip(study["answers"]["reference"], study["labels"])]
    assert abs(np.mean(right) - json.loads((models_dir() / "metrics.json").read_text())["accuracy_int8"]) < 1e-9
    assert all(len(answers) == study["n"] for answers in study["answers"].values())
    d, low, high = difference(study, *CAUSES["int8 instead of float"])
    assert low < d < high and SMOOTHING["threshold"] == 200
    assert len(spoken_answers(HostSpotter(), np.zeros((2, CLIP_SAMPLES), np.int16))) == 2
