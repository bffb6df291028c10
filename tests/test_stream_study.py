"The study of streams: kept, resumed, and what its stored figures promise."

import hashlib
import json

import kws_nb.studies.stream
import numpy as np
import pytest
from kws_nb.core import KwsError, models_dir
from kws_nb.data import Data, Part
from kws_nb.graph import read_tflite
from kws_nb.results import read_results
from kws_nb.rules import Rule, rule_of, stream_model
from kws_nb.stream_training import STREAM_SETTINGS
from kws_nb.studies.stream import PEER, RATES, plot_study, stream_study, stream_table


@pytest.fixture(scope="module")
def stored():
    return read_results(models_dir() / "stream.json")


def judged(model, data, rates, hours):
    "What a run of the study leaves, made up."
    n = len(str(model))
    test = dict(found=50 + n % 7, keywords=100, false_alarms=10, hours=hours)
    rule = dict(window_ms=500, threshold=150, suppression_ms=1000, minimum_count=3)
    one = dict(rule=rule, validation=test, test=test, latency_ms=None, noise=0, curve=[[0, 60, 20], [4, 40, 0]])
    return dict(clips=[9, 10], rules={str(rate): one for rate in rates}, delivered=dict(test=test, noise=0))


def test_study_goes_on_and_is_read(tmp_path, monkeypatch):
    part = Part(np.zeros((1, 16000), np.int16), np.array([2]), ["yes"])
    data, asked = Data("nothing", part, part, part, []), []

    def network(data, settings):
        if settings.seed == 1 and len(asked) < 3:
            asked.append("stop")
            raise KeyboardInterrupt
        return f"{settings.seed}.tflite"

    def counted(*about):
        asked.append(about[0])
        return judged(*about)

    monkeypatch.setattr(kws_nb.studies.stream, "_judged", counted)
    monkeypatch.setattr(kws_nb.studies.stream, "stream_network", network)
    monkeypatch.delenv("KWS_NB_PEERS", raising=False)
    path = tmp_path / "stream.json"
    with pytest.raises(KeyboardInterrupt):
        stream_study(data, path, [0, 1], progress=False)
    study = stream_study(data, path, [0, 1], progress=False)
    assert [run["seed"] for run in study["runs"]] == [0, 1] and "peer" not in study
    assert asked.count("0.tflite") == 1, "what was done is not done again"
    n = len(asked)
    assert stream_study(data, path, [0, 1], progress=False) == study == json.loads(path.read_text())
    assert len(asked) == n, "a finished study is read"
    path.write_text(json.dumps(study | dict(peer=study["reference"])))
    assert "peer" in stream_study(data, path, [0, 1, 2], progress=False), "a stored peer is taken over"
    monkeypatch.setenv("KWS_NB_PEERS", str(tmp_path))
    with pytest.raises(KwsError, match=f"which has no {PEER}"):
        stream_study(data, path, [0], progress=False)
    assert len(stream_table(study).rows) == 2 * (1 + len(RATES)) and len(plot_study(study).data) == 3


def test_goals_are_met(stored):
    "Five seeds: recall at no more than TensorFlow's false alarms, clips within a point, and silence in noise."
    runs, reference = stored["runs"], stored["reference"]
    assert len(runs) == 5 and stored["hours"] >= 2
    tests = [run["rules"]["50"]["test"] for run in runs]
    assert all(t["false_alarms"] / t["hours"] <= 190 for t in tests)
    assert np.mean([t["found"] / t["keywords"] for t in tests]) >= 0.75
    clips = np.mean([run["clips"][0] / run["clips"][1] for run in runs])
    assert clips >= reference["clips"][0] / reference["clips"][1] - 0.01
    assert all(rule["noise"] <= 1 for run in runs for rule in run["rules"].values())
    peer = stored["peer"]["delivered"]["test"]
    assert all(t["found"] / t["keywords"] > peer["found"] / peer["keywords"] for t in tests)


def test_the_stored_model_is_what_its_figures_say(stored):
    kept = read_results(stream_model().with_suffix(".json"))
    for name, sha256 in kept["sha256"].items():
        assert hashlib.sha256((models_dir() / name).read_bytes()).hexdigest() == sha256, name
    run = next(run for run in stored["runs"] if run["seed"] == kept["settings"]["seed"])
    assert rule_of(stream_model()) == Rule(**run["rules"]["20"]["rule"])
    assert kept["int8"]["accuracy"]["value"] == run["clips"][0] / run["clips"][1]
    assert read_tflite(stream_model()).labels == tuple(kept["labels"])
    settings = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(STREAM_SETTINGS).items()}
    assert stored["settings"] == settings
