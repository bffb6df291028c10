"Training: resumable, repeatable, and the best epoch is the one that is kept."

import json
import math
import signal
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from conftest import root

from kws_nb.core import LABELS, KwsError
from kws_nb.data import Data, Part
from kws_nb.features import micro_features
from kws_nb.models import TinyConv
from kws_nb.size import count_operations
from kws_nb.train import (
    BETTER,
    REPORT,
    Run,
    Settings,
    compare_recipes,
    draw_unknown,
    epoch_features,
    evaluate,
    fold_standardization,
    load_model,
    save_model,
    train,
    train_epoch,
)


@pytest.fixture(scope="module")
def tiny():
    "Forty random clips of 49 frames, and more of other words: enough to run everything, too few to learn."
    rng = np.random.default_rng(5)

    def part(n):
        labels = np.arange(n) % len(LABELS)
        return Part(rng.integers(-3000, 3000, (n, 16000)).astype(np.int16), labels, [LABELS[label] for label in labels])

    others = replace(part(24), labels=np.ones(24, int))
    return Data(
        "random clips", part(40), part(16), part(12), [rng.integers(-500, 500, 40_000).astype(np.int16)], others
    )


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


def test_same_seed_same_model(small):
    a, b, c = (train(small, Settings(epochs=2, seed=s), progress=False) for s in (0, 0, 1))
    assert same(a.model, b.model) and a.history == b.history
    assert not same(a.model, c.model)


@pytest.mark.parametrize("recipe", [REPORT, BETTER], ids=["report", "better"])
def test_interrupted_and_resumed_equals_uninterrupted(recipe, tiny, tmp_path, monkeypatch):
    import kws_nb.train as module

    settings = replace(recipe, epochs=5, batch_size=16)
    checkpoint, whole = tmp_path / "run.safetensors", train(tiny, settings, progress=False)
    original, calls = module.train_epoch, []

    def stop_in_the_fourth(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(module, "train_epoch", stop_in_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, settings, checkpoint, progress=False)
    assert checkpoint.is_file() and len(list(tmp_path.iterdir())) == 1
    resumed = train(tiny, settings, checkpoint, progress=False)
    assert len(calls) == 4 + 2, "three epochs were done, two were left"
    assert (
        same(resumed.model, whole.model) and resumed.history == whole.history and resumed.best_epoch == whole.best_epoch
    )


KILLED = """
import os, signal, sys
import numpy as np
from kws_nb.data import Data, Part
from kws_nb.train import Settings, train
saved = np.load(sys.argv[1])
part = Part(saved["clips"], saved["labels"], ["word"]*len(saved["labels"]))
def die(history):
    if len(history) == 3: os.kill(os.getpid(), signal.SIGKILL)
train(Data("random clips", part, part, part, [saved["noise"]]), Settings(epochs=4), sys.argv[2], False, after_epoch=die)
"""


def test_a_killed_process_loses_at_most_one_epoch(tiny, tmp_path):
    part, checkpoint = tiny.testing, tmp_path / "runs/run.safetensors"
    np.savez(tmp_path / "data.npz", clips=part.clips, labels=part.labels, noise=tiny.noise[0])
    died = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "data.npz", checkpoint], capture_output=True, text=True, cwd=root
    )
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    assert list(checkpoint.parent.iterdir()) == [checkpoint], "nothing else is left behind"
    data, trained_now = Data("random clips", part, part, part, tiny.noise), []
    resumed = train(data, Settings(epochs=4), checkpoint, False, after_epoch=trained_now.append)
    assert len(trained_now) == 1, "three epochs were saved; the fourth is all that is left to do"
    whole = train(data, Settings(epochs=4), progress=False)
    assert same(resumed.model, whole.model) and resumed.history == whole.history


def test_the_best_validation_epoch_is_kept(small):
    trained = train(small, Settings(epochs=6), progress=False)
    scores = [h["validation"] for h in trained.history]
    assert trained.best_epoch == int(np.argmax(scores))
    assert evaluate(trained.model, micro_features(small.validation.clips), small.validation.labels).value == max(scores)


def test_evaluation_is_deterministic(small):
    model, clips, labels = TinyConv(), small.testing.clips, small.testing.labels
    features = micro_features(clips)
    torch.manual_seed(1)
    first = evaluate(model.train(), features, labels)
    torch.manual_seed(2)
    assert first == evaluate(model.train(), features, labels)
    assert features.tobytes() == micro_features(clips).tobytes()


def test_validation_clips_are_heard_as_they_are(tiny):
    heard = []

    def features(clips):
        heard.append(clips.copy())
        return micro_features(clips)

    train(tiny, Settings(epochs=2), progress=False, features=features)
    assert (heard[0] == tiny.validation.clips).all()
    assert sum(len(clips) == len(tiny.validation) for clips in heard) == 1, "once, and never augmented"


def test_wrong_labels_are_refused(tiny):
    features = micro_features(tiny.testing.clips)
    for labels, says in (
        (tiny.testing.labels + 1, "4 is no label"),
        (tiny.testing.labels - 1, "-1 is no label"),
        (tiny.testing.labels[1:], "12 clips need 12 labels"),
        (tiny.testing.labels / 2, "is no label"),
    ):
        with pytest.raises(KwsError, match=says):
            evaluate(TinyConv(), features, labels)
    for name in ("training", "validation"):
        part = getattr(tiny, name)
        with pytest.raises(KwsError, match="is no label"):
            train(replace(tiny, **{name: replace(part, labels=part.labels + 1)}), progress=False)


def test_an_empty_class_or_part_is_refused(tiny):
    for label, name in enumerate(LABELS):
        kept = tiny.training.labels != label
        with pytest.raises(KwsError, match=f"no clip of {name}"):
            train(
                replace(
                    tiny,
                    training=replace(tiny.training, clips=tiny.training.clips[kept], labels=tiny.training.labels[kept]),
                ),
                progress=False,
            )
    with pytest.raises(KwsError, match="validation part is empty"):
        train(replace(tiny, validation=Part(tiny.validation.clips[:0], tiny.validation.labels[:0], [])), progress=False)


def test_what_is_not_finite_is_refused(tiny, tmp_path):
    def broken(clips):
        features = micro_features(clips)
        features[3 if len(clips) == len(tiny.training) else len(clips) :, 5, 5] = np.nan
        return features

    with pytest.raises(KwsError, match="features of .* training clips are NaN"):
        train(tiny, progress=False, features=broken)
    with pytest.raises(KwsError, match="features of .* validation clips are NaN"):
        train(tiny, progress=False, features=lambda clips: micro_features(clips) * np.nan)
    with pytest.raises(KwsError, match="loss is .* take a lower one"):
        train(tiny, Settings(lr=1e30, epochs=3, batch_size=8), tmp_path / "run.safetensors", progress=False)
    model = TinyConv()
    torch.nn.init.constant_(model.linear.bias, math.nan)
    with pytest.raises(KwsError, match="answers NaN"):
        evaluate(model, micro_features(tiny.testing.clips), tiny.testing.labels)


@pytest.mark.parametrize(
    "field",
    [
        dict(schedule="step"),
        dict(epochs=0),
        dict(batch_size=0),
        dict(unknown=0),
        dict(lr=0.0),
        dict(lr=math.nan),
        dict(dropout=1.0),
        dict(channels=0),
    ],
    ids=str,
)
def test_settings_that_make_no_sense(field):
    with pytest.raises(KwsError, match=next(iter(field))):
        Settings(**field)


def test_the_reports_recipe_is_the_default():
    assert REPORT == Settings() and (REPORT.lr, REPORT.weight_decay, REPORT.batch_size, REPORT.epochs) == (
        1e-3,
        1e-4,
        100,
        50,
    )
    assert (REPORT.schedule, REPORT.standardize, REPORT.unknown) == ("constant", False, 1)
    assert BETTER.channels == REPORT.channels and BETTER.epochs == REPORT.epochs, "the same network, trained as long"


def test_folded_standardization_is_the_same_network(tiny):
    mean, deviation, x = 8.7, 8.6, torch.as_tensor(micro_features(tiny.testing.clips))
    inside = TinyConv().eval()
    inside.pad.value = -mean / deviation
    folded = fold_standardization(inside, mean, deviation)
    assert folded.pad.value == 0
    with torch.no_grad():
        assert torch.allclose(folded(x), inside((x - mean) / deviation), atol=1e-4)


def test_a_standardised_run_returns_an_ordinary_network(tiny, tmp_path):
    trained = train(tiny, replace(BETTER, epochs=2), progress=False)
    save_model(tmp_path / "m.safetensors", trained.model)
    features = micro_features(tiny.validation.clips)
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert evaluate(loaded, features, tiny.validation.labels).value == trained.history[trained.best_epoch]["validation"]
    with pytest.raises(KwsError, match="standardize is for TinyConv"):
        train(
            tiny,
            replace(BETTER, epochs=1),
            progress=False,
            model=lambda channels, dropout: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1960, 4)),
        )


def test_unknown_words_are_drawn_anew(tiny):
    assert draw_unknown(tiny, 1, np.random.default_rng(0)) is tiny
    a, b = (draw_unknown(tiny, 2, np.random.default_rng(seed)) for seed in (0, 1))
    assert np.bincount(a.training.labels).tolist() == np.bincount(b.training.labels).tolist() == [10, 20, 10, 10]
    assert (a.training.clips != b.training.clips).any()
    pool = {
        clip.tobytes() for clip in np.concatenate([tiny.training.clips[tiny.training.labels == 1], tiny.more.clips])
    }
    drawn = [clip.tobytes() for clip in a.training.clips[a.training.labels == 1]]
    assert len(set(drawn)) == 20 and set(drawn) <= pool, "none twice, all of the training part"
    assert len(a.training.words) == len(a.training) and a.validation is tiny.validation
    assert len(draw_unknown(tiny, 9, np.random.default_rng(0)).training) == 30 + 34, "no more than there are"
    assert draw_unknown(replace(tiny, more=None), 2, np.random.default_rng(0)).training is tiny.training


def test_epochs_do_not_depend_on_each_other(tiny):
    assert epoch_features(tiny, 3, 1).tobytes() == epoch_features(tiny, 3, 1).tobytes()
    assert epoch_features(tiny, 3, 1).tobytes() != epoch_features(tiny, 4, 1).tobytes()


def test_a_comparison_is_read_again_or_made_anew(tiny, tmp_path, monkeypatch):
    import kws_nb.train as module

    monkeypatch.setattr(module, "build_dir", lambda: tmp_path / "build")
    path, recipes = tmp_path / "recipes.json", dict(report=replace(REPORT, epochs=2), better=replace(BETTER, epochs=2))
    result = compare_recipes(tiny, recipes, [0, 1], path=path, progress=False)
    assert json.loads(path.read_text()) == result and result["n"] == dict(training=40, validation=16, testing=12)
    check_counts(result)

    def refuse(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train", refuse)
    assert compare_recipes(tiny, recipes, [0, 1], path=path, progress=False) == result
    with pytest.raises(AssertionError, match="trained again"):
        compare_recipes(tiny, recipes, [0, 2], path=path, progress=False)
    trained = []
    monkeypatch.setattr(
        module, "train", lambda *args, **options: trained.append(args[1].seed) or train(*args, **options)
    )
    more = compare_recipes(tiny, recipes, [0, 1, 2], path=path, progress=False)
    assert trained == [2, 2], "the runs that are known are kept"
    assert more["seeds"] == [0, 1, 2] and all(more["runs"][name][:2] == result["runs"][name] for name in recipes)
    check_counts(more)
    many = replace(tiny, labels=tuple(f"word {i}" for i in range(11)))
    with pytest.raises(KwsError, match="up to 10 labels"):
        compare_recipes(many, recipes, [0], progress=False)


def test_an_interrupted_comparison_goes_on(tiny, tmp_path, monkeypatch):
    "Until the study on disk was one thing, only the networks were kept, and every clip was asked again."
    import kws_nb.train as module

    monkeypatch.setattr(module, "build_dir", lambda: tmp_path / "build")
    path, recipes, trained = tmp_path / "recipes.json", dict(report=replace(REPORT, epochs=2)), []

    def stop_at_the_third(data, settings, *args, **options):
        trained.append(settings.seed)
        if trained == [0, 1, 2]:
            raise KeyboardInterrupt
        return train(data, settings, *args, **options)

    monkeypatch.setattr(module, "train", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        compare_recipes(tiny, recipes, range(4), path=path, progress=False)
    assert not path.exists()
    result = compare_recipes(tiny, recipes, range(4), path=path, progress=False)
    assert trained == [0, 1, 2, 2, 3] and json.loads(path.read_text()) == result
    assert [p.name for p in tmp_path.glob("recipes*")] == ["recipes.json"]
    check_counts(result)


def check_counts(result):
    "All that a comparison says of its runs follows from their answers."
    for name, runs in result["runs"].items():
        assert [run["seed"] for run in runs] == result["seeds"]
        for run in runs:
            assert len(run["history"]) == result["recipes"][name]["epochs"]
            assert run["best_epoch"] == int(np.argmax([h["validation"] for h in run["history"]]))
            for part in ("validation", "testing"):
                assert len(run["answers"][part]) == len(result["labels"][part]) == result["n"][part]
                assert run["correct"][part] == sum(a == b for a, b in zip(run["answers"][part], result["labels"][part]))
            assert (
                round(run["correct"]["validation"] / result["n"]["validation"], 4)
                == run["history"][run["best_epoch"]]["validation"]
            )


@pytest.mark.parametrize("name", ["recipes", "widths"])
def test_stored_comparisons_follow_from_their_counts(name):
    result = json.loads((root / f"data/models/{name}.json").read_text())
    check_counts(result)
    assert asdict(replace(BETTER, seed=0)) in result["recipes"].values(), (
        "the recipe has changed since: run the slow cells of 04_training"
    )


def test_an_epoch_keeps_to_its_device():
    "PyTorch's meta device stands for a GPU: whatever stays behind on the CPU is refused there as on a GPU."
    from functools import partial

    device = torch.device("meta")
    run = Run(BETTER, "", partial(TinyConv, labels=LABELS), 8.7, 8.6, torch.zeros(4), device)
    x, y = torch.zeros(210, 49, 40, device=device), torch.zeros(210, dtype=torch.int64, device=device)
    for result in train_epoch(run, x, y):
        assert result.device == device and result.shape == (3,)
    moments = [value for moments in run.optimizer.state.values() for name, value in moments.items() if name != "step"]
    assert len(moments) == 2 * 4 and {value.device for value in moments} == {device}
    run.offset = run.offset.new_zeros(4, device="cpu")
    with pytest.raises(RuntimeError, match="device"):
        train_epoch(run, x, y)


def test_a_device_that_is_not_there(tiny, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(KwsError, match="no device here"):
        train(tiny, Settings(epochs=1), progress=False, device="cuda")
    assert same(
        train(tiny, Settings(epochs=1), progress=False).model,
        train(tiny, Settings(epochs=1), progress=False, device="cpu").model,
    )


def test_threads_are_given_back(tiny):
    before, seen = torch.get_num_threads(), []
    train(tiny, Settings(epochs=1), progress=False, after_epoch=lambda history: seen.append(torch.get_num_threads()))
    with pytest.raises(KwsError, match="loss"):
        train(tiny, Settings(lr=1e30, epochs=3, batch_size=8), progress=False)
    assert seen == [1] and torch.get_num_threads() == before


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
    save_file(
        TinyConv(2).state_dict(),
        tmp_path / "shape.safetensors",
        metadata=dict(kws_nb=json.dumps(dict(model="TinyConv", channels=3))),
    )
    for name, says in (
        ("half", "damaged"),
        ("text", "damaged"),
        ("foreign", "holds no TinyConv"),
        ("shape", "does not fit"),
        ("nowhere", "no such file"),
    ):
        with pytest.raises(KwsError, match=says):
            load_model(tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize(
    "about",
    [
        *(dict(channels=c) for c in ("abc", -3, 0, 10**9, 1e9, 8.0, True, None, [8], {"n": 8})),
        *(
            dict(labels=x)
            for x in (
                5,
                "yes",
                [],
                ["yes", "no"],
                [*LABELS, 7],
                [*LABELS, ["a"]],
                {"a": 1},
                None,
                [*LABELS, "another"],
                [*LABELS[:3], "yes"],
            )
        ),
    ],
    ids=str,
)
def test_checkpoint_whose_metadata_is_of_the_wrong_type(about, tmp_path):
    "Each ended in a traceback, and 10**9 channels in a request for 400 GB."
    from safetensors.torch import save_file

    path = tmp_path / "m.safetensors"
    about = dict(model="TinyConv", channels=8, labels=LABELS) | about
    save_file(TinyConv(8).state_dict(), path, metadata=dict(kws_nb=json.dumps(about)))
    with pytest.raises(KwsError):
        load_model(path)


@pytest.mark.parametrize(
    "text", ["null", "3", '"TinyConv"', "[]", "{}", "[" * 100_000, "{", '{"model": "TinyConv"}'], ids=lambda t: t[:20]
)
def test_checkpoint_whose_metadata_is_something_else(text, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "m.safetensors"
    save_file(TinyConv(8).state_dict(), path, metadata=dict(kws_nb=text))
    with pytest.raises(KwsError, match="damaged|holds no TinyConv"):
        load_model(path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_checkpoint_that_is_not_finite(value, tmp_path):
    "It was evaluated as if it were a model: every clip was silence, and the exit status was 0."
    model = TinyConv()
    torch.nn.init.constant_(model.linear.bias, value)
    save_model(tmp_path / "m.safetensors", model)
    with pytest.raises(KwsError, match="linear.bias has numbers that are not finite"):
        load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda w: w.update({"linear.weight": w["linear.weight"].T.contiguous()}), "linear.weight is float32 .4000, 4"),
        (lambda w: w.update({"conv.bias": torch.zeros(7)}), "conv.bias is float32 .7., and not float32 .8."),
        (lambda w: w.update({"conv.bias": w["conv.bias"].to(torch.int32)}), "conv.bias is int32"),
        (lambda w: w.update({name: values.half() for name, values in w.items()}), "conv.weight is float16"),
        (lambda w: w.pop("linear.bias"), "it has no linear.bias"),
        (lambda w: w.update(more=torch.zeros(1)), "it has more, too"),
    ],
)  # fmt: skip
def test_checkpoint_with_other_tensors(change, says, tmp_path):
    "Wrong shapes ended in PyTorch's own lines; whole numbers and halves were taken for weights."
    from safetensors.torch import save_file

    path, tensors = tmp_path / "m.safetensors", TinyConv(8).state_dict()
    change(tensors)
    save_file(tensors, path, metadata=dict(kws_nb=json.dumps(dict(model="TinyConv", channels=8))))
    with pytest.raises(KwsError, match=says) as told:
        load_model(path)
    assert "\n" not in str(told.value)


def test_wrong_shape():
    with pytest.raises(KwsError, match=r"\[n, 49, 40\]"):
        TinyConv()(torch.zeros(2, 40, 49))


def test_parameters_and_operations():
    for c in (1, 3, 8):
        counted = count_operations(TinyConv(c))
        assert (counted.parameters, counted.macs, counted.flops) == (2081 * c + 4, 42_000 * c, 84_500 * c + 4)
    with pytest.raises(KwsError, match="Bilinear"):
        count_operations(torch.nn.Sequential(torch.nn.Bilinear(40, 40, 4)))
