"Training: resumable, repeatable, and the best epoch is the one that is kept."

import json

import numpy as np
import pytest
import torch

from kws_nb.core import KwsError
from kws_nb.features import micro_features
from kws_nb.models import TinyConv
from kws_nb.size import count_operations
from kws_nb.train import Accuracy, Settings, evaluate, load_model, save_model, train


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


def test_same_seed_same_model(small):
    a, b, c = (train(small, Settings(epochs=2, seed=s), progress=False) for s in (0, 0, 1))
    assert same(a.model, b.model) and a.history == b.history
    assert not same(a.model, c.model)


def test_interrupted_and_resumed_equals_uninterrupted(small, tmp_path, monkeypatch):
    import kws_nb.train as module

    checkpoint, whole = tmp_path / "run.safetensors", train(small, Settings(epochs=5), progress=False)
    original, calls = module._run_epoch, []

    def stop_in_the_fourth(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(module, "_run_epoch", stop_in_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        train(small, Settings(epochs=5), checkpoint, progress=False)
    assert checkpoint.is_file() and len(list(tmp_path.iterdir())) == 1
    resumed = train(small, Settings(epochs=5), checkpoint, progress=False)
    assert len(calls) == 4 + 2, "three epochs were done, two were left"
    assert same(resumed.model, whole.model) and resumed.history == whole.history and resumed.best_epoch == whole.best_epoch


def test_the_best_validation_epoch_is_kept(small):
    trained = train(small, Settings(epochs=6), progress=False)
    scores = [h["validation"] for h in trained.history]
    assert trained.best_epoch == int(np.argmax(scores))
    assert evaluate(trained.model, micro_features(small.validation.clips), small.validation.labels).value == max(scores)


def test_evaluation_is_deterministic(small):
    model, features = TinyConv(), micro_features(small.testing.clips)
    assert evaluate(model.train(), features, small.testing.labels) == evaluate(model.train(), features, small.testing.labels)


def test_checkpoint_of_another_run(small, tmp_path):
    train(small, Settings(epochs=1), tmp_path / "run.safetensors", progress=False)
    with pytest.raises(KwsError, match="other data or settings"):
        train(small, Settings(epochs=1, lr=2e-3), tmp_path / "run.safetensors", progress=False)


def test_damaged_checkpoint(small, tmp_path):
    path = tmp_path / "run.safetensors"
    train(small, Settings(epochs=1), path, progress=False)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(KwsError, match="damaged"):
        train(small, Settings(epochs=2), path, progress=False)


def test_damaged_or_foreign_model(tmp_path):
    save_model(tmp_path / "m.safetensors", TinyConv(3), note="a note")
    model, about = load_model(tmp_path / "m.safetensors")
    assert model.channels == 3 and about["note"] == "a note"
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "m.safetensors").read_bytes()[:-500])
    (tmp_path / "text.safetensors").write_text("no model")
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    save_file(TinyConv(2).state_dict(), tmp_path / "shape.safetensors", metadata=dict(kws_nb=json.dumps(dict(model="TinyConv", channels=3))))
    for name, says in (("half", "damaged"), ("text", "damaged"), ("foreign", "holds no TinyConv"), ("shape", "does not fit"), ("nowhere", "no such file")):
        with pytest.raises(KwsError, match=says):
            load_model(tmp_path / f"{name}.safetensors")


def test_wrong_shape():
    with pytest.raises(KwsError, match=r"\[n, 49, 40\]"):
        TinyConv()(torch.zeros(2, 40, 49))


def test_intervals():
    "Wilson's interval, against the values of its formula."
    assert Accuracy(9, 10).interval == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert Accuracy(0, 10).interval[0] == 0 and Accuracy(10, 10).interval[1] == 1
    assert Accuracy(1247, 1368).interval == pytest.approx((0.8953, 0.9254), abs=1e-4)
    assert np.isnan(Accuracy(0, 0).value)


def test_parameters_and_operations():
    for c in (1, 3, 8):
        counted = count_operations(TinyConv(c))
        assert (counted.parameters, counted.macs, counted.flops) == (2081 * c + 4, 42_000 * c, 84_500 * c + 4)
    with pytest.raises(KwsError, match="LSTM"):
        count_operations(torch.nn.Sequential(torch.nn.LSTM(40, 4)))
