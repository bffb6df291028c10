"Pruned networks: trained on with their zeros held, saved, deployed, by command; the grid is kept and resumes."

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kws_nb import cli
from kws_nb.convert import Converted, calibration_clips, run_tflite
from kws_nb.core import KwsError
from kws_nb.features import micro_features
from kws_nb.graph import read_tflite
from kws_nb.grids import unpack_hits
from kws_nb.keywords import prune_checkpoint
from kws_nb.layers import run_core
from kws_nb.pruned import (
    FLOAT,
    Pruning,
    deployed,
    load_pruned,
    nonzeros,
    prune,
    save_pruned,
    store_networks,
    stored_networks,
    tune_pruned,
    uniform,
)
from kws_nb.qat import QuantTinyConv, Scheme, Tuning, augmented, feature_codes, fine_tune
from kws_nb.results import read_results
from kws_nb.studies.pruning import (
    CHANNELS,
    ORDERS,
    SHARES,
    Case,
    add_times,
    on_board,
    board_patterns,
    compare_pruning,
    fit_line,
    for_the_board,
    keep_networks,
    kept_cases,
    measured,
    ship,
    tuned,
    untuned,
)
from kws_nb.train import BETTER, predict, save_model

SHORT = Tuning(epochs=2, batch_size=20)


pytestmark = pytest.mark.usefixtures("one_thread")


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


@pytest.mark.parametrize(
    "says, ask",
    [
        ("expected 0 to less than 1", lambda: uniform(1.0)),
        ("expected 0 to less than 1", lambda: Pruning(linear_share=-0.5)),
        ("no pattern for both layers", lambda: uniform(0.5, "steps")),
        ("no pattern of the conv layer", lambda: Pruning(conv="steps")),
        ("no pattern of the linear layer", lambda: Pruning(linear="rows")),
        ("a quarter, a half", lambda: Pruning(linear="n:4", linear_share=0.6)),
        ("is no norm", lambda: Pruning(norm="l3")),
        ("is no criterion", lambda: Pruning(channels=4, criterion="l9")),
        ("at least one must stay", lambda: Pruning(channels=0)),
        ("not both", lambda: Pruning(channels=4, conv_share=0.5)),
        ("gradual is 2", lambda: uniform(0.5, gradual=2)),
    ],
)
def test_what_cannot_be_is_refused(says, ask):
    with pytest.raises(KwsError, match=says):
        ask()


def test_shares_grow_along_a_cubic():
    grows = uniform(0.8, gradual=0.5)
    assert grows.shares(0.25)["conv"] == pytest.approx(0.8 * (1 - 0.5**3)) and grows.shares()["conv"] == 0.8
    assert grows.shares(0.5) == grows.shares(0.9) == dict(conv=0.8, linear=0.8)
    n4 = Pruning(linear="n:4", linear_share=0.75, gradual=1)
    assert {n4.shares(done / 20)["linear"] for done in range(21)} == {0, 0.25, 0.5, 0.75}


@pytest.mark.parametrize(
    "pruning", [uniform(0.75), Pruning("pairs", "4x1", 0.5, 0.5), Pruning(linear="n:4", linear_share=0.5)]
)
@pytest.mark.parametrize("scheme", [FLOAT, Scheme(8, 8, "lsq"), Scheme(2, 8, "lsq")], ids=str)
def test_zeros_are_held_and_the_rest_moves(model, tiny, pruning, scheme):
    trained = tune_pruned(model, pruning, tiny, SHORT, scheme, progress=False).model
    for name, kept in pruning(model).items():
        before, after = getattr(model, name).weight, getattr(trained, name).weight
        assert (after[~kept] == 0).all() and (after[kept] != before[kept]).float().mean() > 0.99
    integer = deployed(trained, calibration_clips(tiny))
    assert (integer.conv[~pruning(model)["conv"][:, 0].numpy()] == 0).all()
    assert (integer.linear[~pruning(model)["linear"].numpy()] == 0).all()


def test_the_network_is_the_one_with_all_its_zeros(model, tiny):
    "While weights are taken out, an early epoch may have the least loss; it is not the one that was asked for."
    pruning = uniform(0.9, "rows", gradual=1.0)
    trained = tune_pruned(model, pruning, tiny, replace(SHORT, epochs=3), progress=False)
    zeros = [epoch["zeros"] for epoch in trained.history]
    assert zeros == sorted(zeros) and zeros[0] < zeros[-1] and trained.best_epoch == 2
    assert (trained.model.linear.weight == 0).sum() == 0.9 * 16_000
    plain = fine_tune(model, FLOAT, tiny, SHORT, progress=False)
    assert "zeros" not in plain.history[0]


def test_channels_are_trained_as_a_smaller_network(model, tiny):
    trained = tune_pruned(model, Pruning(channels=3), tiny, SHORT, progress=False).model
    assert trained.channels == 3 and sum(p.numel() for p in trained.parameters()) == 2081 * 3 + 4
    for criterion in ("taylor", "activation", "random", "l2"):
        assert prune(model, Pruning(channels=2, criterion=criterion), tiny).channels == 2
    with pytest.raises(KwsError, match="needs training clips"):
        prune(model, Pruning(channels=2, criterion="taylor"))
    with pytest.raises(KwsError, match="can't be kept"):
        prune(model, Pruning(channels=9))


def test_the_teacher_is_the_dense_network(model, tiny):
    "The loss of a pruned network that is taught differs from that of one that is not."
    pruning = Pruning(channels=4)
    alone, taught = (
        tune_pruned(model, pruning, tiny, replace(SHORT, distilled=share), progress=False).model for share in (0.0, 0.5)
    )
    assert not same(alone, taught)
    by_hand = fine_tune(
        prune(model, pruning), FLOAT, tiny, SHORT, progress=False, epochs=lambda i: augmented(model, tiny, i, SHORT)
    )
    assert same(by_hand.model, taught)


@pytest.mark.parametrize("pruning", [uniform(0.8, "blocks", gradual=0.7), Pruning(channels=4)], ids=str)
def test_an_interrupted_training_goes_on(model, tiny, tmp_path, pruning):
    checkpoint, tuning = tmp_path / "run.safetensors", replace(SHORT, epochs=3)

    class Stop(Exception):
        pass

    def stops(epoch):
        if epoch == 2:
            raise Stop
        return augmented(model, tiny, epoch, tuning)

    common = dict(tuning=tuning, checkpoint=checkpoint, progress=False)
    with pytest.raises(Stop):
        tune_pruned(model, pruning, tiny, epochs=stops, **common)
    resumed = tune_pruned(model, pruning, tiny, **common)
    whole = tune_pruned(model, pruning, tiny, tuning, progress=False)
    assert same(resumed.model, whole.model) and resumed.history == whole.history
    with pytest.raises(KwsError, match="other data or settings"):
        tune_pruned(model, uniform(0.7), tiny, **common)


def test_a_penalty_makes_weights_small(model, tiny):
    plain, penalised = (fine_tune(model, FLOAT, tiny, SHORT, progress=False, penalty=p).model for p in (0.0, 0.01))
    assert penalised.linear.weight.abs().sum() < plain.linear.weight.abs().sum()


def test_a_saved_network_is_the_same(model, tiny, features, tmp_path):
    path = tmp_path / "model.safetensors"
    for pruning in (Pruning("rows", "steps", 0.2, 0.5), Pruning(channels=4)):
        for scheme in (FLOAT, Scheme(4, 8, "lsq")):
            network = tune_pruned(model, pruning, tiny, SHORT, scheme, progress=False).model
            save_pruned(path, network, pruning, seed=3)
            loaded, said = load_pruned(path)
            assert said == pruning and np.abs(predict(loaded, features) - predict(network, features)).max() < 1e-4
            assert nonzeros(loaded) == nonzeros(network) and isinstance(loaded, QuantTinyConv) == (scheme != FLOAT)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'\\"channels\\": 4', b'\\"channels\\": 0'))
    with pytest.raises(KwsError, match="is damaged"):
        load_pruned(path)
    save_model(path, model)
    with pytest.raises(KwsError, match="does not say how it was pruned"):
        load_pruned(path)


PRUNED = [Pruning(channels=1), Pruning(channels=4), Pruning(channels=7), uniform(0.8)]
PRUNED += [uniform(0.5, "rows"), uniform(0.75, "blocks"), Pruning("pairs", "4x4", 0.5, 0.5)]


@pytest.mark.parametrize("pruning", PRUNED, ids=str)
def test_the_core_answers_as_an_interpreter_does(model, features, calibration, pruning):
    network = deployed(prune(model, pruning), calibration)
    content, codes = network.to_tflite(), feature_codes(features[::10])
    expected = run_tflite(content, codes, "tflite-micro")
    assert np.array_equal(run_core(content, codes), expected) and np.array_equal(network.run(codes), expected)


@pytest.mark.slow
@pytest.mark.parametrize("pruning", PRUNED, ids=str)
def test_every_test_clip_is_answered_alike(model, data, pruning):
    "Of every pruned network, on every test clip: the core's bytes are the interpreter's."
    content = deployed(prune(model, pruning), calibration_clips(data)).to_tflite()
    codes = feature_codes(micro_features(data.testing.clips))
    assert np.array_equal(run_core(content, codes), run_tflite(content, codes, "tflite-micro"))


def test_networks_are_stored_and_read(model, features, calibration, tmp_path):
    networks = {str(p): deployed(prune(model, p), calibration) for p in (uniform(0.5), Pruning(channels=2))}
    path = tmp_path / "networks.safetensors"
    store_networks(path, networks)
    codes = feature_codes(features[:20])
    for name, network in stored_networks(path).items():
        assert np.array_equal(network.run(codes), networks[name].run(codes))
        assert np.array_equal(network.conv, networks[name].conv)
    with pytest.raises(KwsError, match="no such file"):
        stored_networks(tmp_path / "none")


def test_the_grid_names_each_run_once():
    cases = [*tuned(), *untuned()]
    assert len({str(case) for case in cases}) == len(cases)
    plain = {case.pruning for case in cases if case.start == "float" and not case.bits and case.distilled}
    assert plain >= {*(uniform(share) for share in SHARES), *(Pruning(channels=c) for c in CHANNELS)}
    assert {case.order for case in cases if case.bits} == set(ORDERS)
    assert {str(case) for case, _ in measured()} <= {str(case) for case in cases}
    assert {str(case) for case in kept_cases().values()} <= {str(case) for case in tuned()}
    assert {"dense", "4 channels", "weights 0.8", "rows 0.5", "blocks 0.5"} <= set(kept_cases())


def test_times_of_this_machine_go_beside_the_rows(tmp_path):
    path = tmp_path / "pruning.json"
    path.write_text(json.dumps(dict(rows=[])))
    found = add_times(path, seconds=0.01)
    assert json.loads(path.read_text()) == json.loads(json.dumps(dict(rows=[], host=found)))
    assert [row["channels"] for row in found] == list(range(1, 9))
    for row in found:
        low, high = row["quartiles"]
        assert 0 < row["fastest"] <= low <= row["median"] <= high and row["blocks"] >= 5


def test_a_line_is_fitted():
    assert fit_line([1, 2, 3], [59, 63, 67]) == pytest.approx((55, 4, 1))
    assert fit_line([1, 2, 3], [1, 3, 2])[2] == pytest.approx(0.25)


COST = ("cycles", "instructions", "flash", "image", "board_same")
OPERATORS = ["CONV_2D", "FULLY_CONNECTED"]


def converted(model, calibration, folder):
    "In place of TensorFlow: the same network without it."
    path = Path(folder) / "int8.tflite"
    path.write_bytes(deployed(model, calibration).to_tflite())
    return Converted(None, None, path, path)


CASES = [
    Case(),
    Case(uniform(0.5)),
    Case(uniform(0.5), True),
    Case(uniform(0.5, norm="random")),
    Case(Pruning(channels=4), True, distilled=False),
    *(Case(Pruning(channels=4), True, bits=4, order=order) for order in ORDERS),
    *(Case(uniform(0.5), True, bits=4, order=order) for order in ORDERS),
    Case(Pruning(channels=2), start="scratch"),
    Case(uniform(0.375), start="penalty"),
]


def test_a_grid_is_kept_and_grows(tiny, tmp_path, monkeypatch):
    path, recipe = tmp_path / "pruning.json", replace(BETTER, epochs=1)
    monkeypatch.setattr("kws_nb.studies.pruning.LONG", 2)
    boards = [(CASES[0], 0), (CASES[2], 1)]
    onnx = [(Case(Pruning(channels=4), True), 0)]
    cost = dict(zip(COST, (9_000, 8_000, 700, 900, 12)))
    monkeypatch.setattr("kws_nb.studies.pruning.on_board", lambda content, codes: (np.zeros((12, 4)), cost))
    monkeypatch.setattr("kws_nb.studies.pruning.convert", converted)
    common = dict(tuning=SHORT, recipe=recipe, folder=tmp_path, n_processes=0, progress=False, boards=boards, onnx=onnx)
    first = compare_pruning(tiny, path, range(2), CASES, **common)
    assert json.loads(path.read_text()) == first
    assert [row["name"] for row in first["rows"]] == [str(case) for case in CASES for _ in range(2)]
    for row in first["rows"]:
        assert row["correct"] == unpack_hits(row).sum() and row["n"] == 12 and row["n_validation"] == 16
        assert {"method", "pattern", "share", "tuned", "seed", "cycles", "flash", "nonzeros"} <= set(row)
        assert ("integer_correct" in row) == row["tuned"]
    costs = {(row["name"], row["seed"]): row for row in first["rows"] if row["cycles"]}
    assert [*costs] == [("dense", 0), ("weights 0.5 l1, tuned", 1)]
    assert all(row[key] == cost[key] for row in (*costs.values(), *first["converted"]) for key in COST)
    assert [(row["channels"], row["operators"]) for row in first["converted"]] == [(4, OPERATORS)]
    channels = [row for row in first["rows"] if row.get("channels")]
    assert {row["channels"] for row in channels} == {2, 4} and {row["pattern"] for row in channels} == {"channels"}

    def trained(*args, **kwargs):
        raise AssertionError("it is done already")

    monkeypatch.setattr("kws_nb.studies.pruning.tune_pruned", trained)
    assert compare_pruning(tiny, path, range(2), CASES, **common) == first
    more = compare_pruning(tiny, path, range(2), [*CASES, Case(uniform(0.25))], **common)
    assert [row for row in more["rows"] if row["share"] != 0.25] == first["rows"]
    assert len(more["rows"]) == len(first["rows"]) + 2 and more["converted"] == first["converted"]
    cost["cycles"] = 7
    anew = compare_pruning(tiny, path, range(2), CASES, again=True, **common)
    assert {row["cycles"] for row in anew["rows"]} == {7, None}, "measured again, and not trained"


def test_what_is_measured_on_the_board(model, features, calibration):
    content = deployed(prune(model, Pruning("half rows", "steps", 0.5, 0.5)), calibration).to_tflite()
    _, cost = on_board(content, feature_codes(features[:10]))
    assert cost["board_same"] == 10 and cost["cycles"] > cost["instructions"] > 50_000
    assert cost["image"] > cost["flash"] > 8_000


def test_networks_of_the_grid_are_kept_and_the_best_for_the_board_is_shipped(tiny, tmp_path):
    recipe, path = replace(BETTER, epochs=1), tmp_path / "pruning.json"
    common = dict(tuning=SHORT, recipe=recipe, folder=tmp_path)
    dense, board = Case(tuned=True), [Case(pruning, True) for pruning in board_patterns()]
    cases = dict(dense=dense, half=Case(uniform(0.5), True))
    compare_pruning(tiny, path, [0, 1], list(cases.values()), [], [], n_processes=0, progress=False, **common)
    kept = keep_networks(tiny, tmp_path / "kept.safetensors", cases=cases, **common)
    codes = feature_codes(micro_features(tiny.testing.clips))
    for name, network in stored_networks(tmp_path / "kept.safetensors").items():
        assert np.array_equal(network.run(codes), kept[name].run(codes))
        (row,) = [row for row in read_results(path)["rows"] if row["name"] == str(cases[name]) and row["seed"] == 0]
        assert (network.run(codes).argmax(1) == tiny.testing.labels).sum() == row["integer_correct"]
    shipped = ship(tiny, path, tmp_path / "sparse.tflite", case=cases["half"], **common)
    assert read_results(path)["shipped"] == shipped and shipped["name"] == "weights 0.5 l1, tuned"
    heard = run_core(tmp_path / "sparse.tflite", codes).argmax(1)
    assert (heard == tiny.testing.labels).sum() == shipped["correct"]

    def rows(case, cycles, flash, right):
        return [dict(name=str(case), seed=seed, cycles=cycles, flash=flash, validation=right) for seed in (0, 1)]

    fast, good, big = board[:3]
    made = [*rows(dense, 100, 100, 90), *rows(fast, 40, 40, 80), *rows(good, 48, 53, 85), *rows(big, 40, 60, 89)]
    made += [row for case in board[3:] for row in rows(case, 60, 40, 88)]
    assert for_the_board(dict(rows=made)) == good
    with pytest.raises(KwsError, match="No pattern has 30% of the cycles"):
        for_the_board(dict(rows=made), cycles=0.3)


def test_an_interrupted_grid_goes_on(tiny, tmp_path, monkeypatch):
    path, done = tmp_path / "pruning.json", []
    common = dict(tuning=SHORT, recipe=replace(BETTER, epochs=1), folder=tmp_path, n_processes=0, progress=False)
    common |= dict(boards=[], onnx=[])
    cases = [Case(uniform(0.5), True), Case(Pruning(channels=4), True)]

    def interrupted_at(n):
        def tune(model, pruning, *args, **kwargs):
            if len(done) == n:
                raise KeyboardInterrupt
            done.append(str(pruning))
            return tune_pruned(model, pruning, *args, **kwargs)

        return tune

    monkeypatch.setattr("kws_nb.studies.pruning.tune_pruned", interrupted_at(1))
    with pytest.raises(KeyboardInterrupt):
        compare_pruning(tiny, path, [0], cases, **common)
    assert not path.exists() and len(done) == 1
    monkeypatch.setattr("kws_nb.studies.pruning.tune_pruned", interrupted_at(5))
    assert len(compare_pruning(tiny, path, [0], cases, **common)["rows"]) == len(done) == 2


@pytest.mark.tensorflow
def test_a_checkpoint_is_pruned_with_all_its_files(model, tiny, tmp_path):
    checkpoint, test = tmp_path / "float.safetensors", micro_features(tiny.testing.clips)
    save_model(checkpoint, model)
    for pruning in (uniform(0.8, "rows"), Pruning(channels=4)):
        folder, dense, pruned, int8 = prune_checkpoint(
            checkpoint, pruning, tmp_path / "out", SHORT, data=tiny, progress=False
        )
        metrics = json.loads((folder / "metrics.json").read_text())
        assert {p.name for p in folder.iterdir()} == {"model.safetensors", "model.tflite", "metrics.json"}
        for name, found in dict(dense=dense, pruned=pruned, int8=int8).items():
            assert metrics[name]["accuracy"]["value"] == found.accuracy.value
            assert len(metrics[name]["accuracy"]["interval"]) == 2 and metrics[name]["accuracy"]["n"] == 12
        network, said = load_pruned(folder / "model.safetensors")
        channels = pruning.channels or 8
        assert said == pruning and metrics["nonzeros"] == nonzeros(network)
        assert (metrics["parameters"], metrics["flops"]) == (2081 * channels + 4, 84_500 * channels + 4)
        assert metrics["validation"]["n"] == 16 and metrics["weight_bytes"] < 20_000
        content = (folder / "model.tflite").read_bytes()
        assert read_tflite(content).labels == model.labels
        assert np.array_equal(run_core(content, test), run_tflite(content, test, "tflite-micro"))


def command(monkeypatch, capsys, *words):
    monkeypatch.setattr("sys.argv", ["kws-nb", *map(str, words)])
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


def test_the_command(model, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("kws_nb.keywords.load_data", lambda words: tiny)
    checkpoint, out = tmp_path / "float.safetensors", tmp_path / "out"
    save_model(checkpoint, model)
    common = ("prune", checkpoint, "--epochs", 1, "--out", out)
    code, shown, said = command(monkeypatch, capsys, *common, "--sparsity", 0.8, "--pattern", "rows", "--json")
    assert code == 0, said
    metrics = json.loads(shown)
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert metrics["pruning"]["conv"] == "rows" and metrics["pruning"]["linear_share"] == 0.8
    code, shown, said = command(monkeypatch, capsys, *common, "--conv", 0.2, "--linear", 0.5)
    assert code == 0 and shown.count("(n = 12)") == 3 and "kws-nb classify --board" in shown, said
    for words, says in (
        (("--sparsity", 1), "expected 0 to less than 1"),
        (("--sparsity", 0.5, "--pattern", "stripes"), "expected weights, blocks, rows"),
        (("--conv", 0.5, "--conv-pattern", "steps"), "expected weights, pairs"),
        (("--structured", "--channels", 9), "9 channels of 8 can't be kept"),
        (("--structured", "--channels", 0), "at least one must stay"),
        (("--structured",), "Name --channels or --sparsity"),
        (("--structured", "--sparsity", 1.5), "expected 0 to less than 1"),
        (("--channels", 4), "--channels is for --structured"),
        (("--sparsity", 0.5, "--conv", 0.5), "--sparsity is for both layers"),
        ((), "Name what to remove"),
        (("--sparsity", 0.5, "--epochs", 0), "epochs is 0"),
    ):
        code, shown, said = command(monkeypatch, capsys, "prune", checkpoint, "--out", out, *words)
        assert code == 1 and not shown and said.startswith("Error: ") and says in said, said

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("kws_nb.keywords.prune_checkpoint", interrupted)
    code, shown, said = command(monkeypatch, capsys, *common, "--structured", "--sparsity", 0.5)
    assert (
        code == 130 and f"kws-nb prune {checkpoint} --epochs 1 --out {out} --structured --sparsity 0.5 --resume" in said
    )


def test_a_training_that_was_interrupted_asks_for_resume(model, tiny, tmp_path):
    checkpoint, out, pruning = tmp_path / "float.safetensors", tmp_path / "out", uniform(0.5)
    save_model(checkpoint, model)
    tune_pruned(model, pruning, tiny, SHORT, checkpoint=out / "unfinished/checkpoint.safetensors", progress=False)
    with pytest.raises(KwsError, match="Go on with --resume, or remove"):
        prune_checkpoint(checkpoint, pruning, out, SHORT, data=tiny, progress=False)
    prune_checkpoint(checkpoint, pruning, out, SHORT, resume=True, data=tiny, progress=False)
    assert not (out / "unfinished").exists()
