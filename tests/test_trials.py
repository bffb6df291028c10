"The study of trials: what so few of them can tell, and that it is kept."

import json

import kws_nb.studies.trials
import numpy as np
import pytest
from kws_nb.core import KwsError
from kws_nb.results import Accuracy
from kws_nb.streams import Recorded
from kws_nb.studies.trials import chance_to_tell, study_table, trial_study, trials_needed
from words import nine_words


@pytest.fixture(scope="module")
def spoken():
    return nine_words()


def test_chance_to_tell_by_simulation(rng):
    for n, true, other in ((20, 0.8, 0.91), (100, 0.8, 0.91), (50, 0.9, 0.5)):
        runs = rng.binomial(n, true, 4000)
        tells = [not low <= other <= high for low, high in (Accuracy(k, n).interval for k in range(n + 1))]
        told = np.mean(np.array(tells)[runs])
        assert abs(told - chance_to_tell(n, true, other)) < 0.03


def test_trials_needed():
    n = trials_needed(0.8, 0.91, most=200)
    assert all(chance_to_tell(m, 0.8, 0.91) >= 0.8 for m in range(n, 200)) and chance_to_tell(n - 1, 0.8, 0.91) < 0.8
    assert 50 < n < 90, "the normal approximation says 67"
    with pytest.raises(KwsError, match="too few"):
        trials_needed(0.9, 0.91, most=100)
    for rates in ((0.8, 0.8), (1, 0.9), (0.8, 1.2)):
        with pytest.raises(KwsError, match="Two different rates"):
            trials_needed(*rates)


def test_study_is_kept_and_read(spoken, tmp_path, monkeypatch):
    few = Recorded("a few", [clip for clip in spoken.clips if clip.word != "s"][:4], spoken.noise)
    path = tmp_path / "study.json"
    study = trial_study(few, path, thresholds=(150, 200))
    monkeypatch.setattr(kws_nb.studies.trials, "hear_trials", None)
    assert trial_study(few, path, thresholds=(150, 200)) == study == json.loads(path.read_text())
    with pytest.raises(TypeError):
        trial_study(few, path, thresholds=(100,))  # another study is not read
    rows = study_table(study).rows
    assert [row[0] for row in rows] == ["each clip alone", "stream, threshold 150", "stream, threshold 200"]
    assert sum(study["streams"]["zeros"]["200"]["heard"]["yes"].values()) == study["n"]["yes"]
