"The pruning explorer without a browser: it shows what the library computes, and refuses what cannot be shown."

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from kws_nb.board import reference_model
from kws_nb.core import KwsError
from kws_nb.graph import read_tflite
from kws_nb.integer import round_tinyconv
from kws_nb.models import DSCNN, TinyConv
from kws_nb.patterns import GRANULARITIES, prune_weights, scores
from kws_nb.prune import NORMS, prune_channels
from kws_nb.pruned import Pruning, store_networks
from kws_nb.qat import QuantTinyConv, Scheme
from kws_nb.results import Accuracy
from kws_nb.size import count_operations
from kws_nb.train import evaluate, predict
from kws_nb.widgets import pruning_explorer
from kws_nb.widgets.pruning_explorer import (
    PrunedWeights,
    PruneSettings,
    PruningExplorer,
    PruningGrid,
    board_cost,
    network_cost,
    prune_shown,
    shares,
    shown_weights,
    time_moves,
    where_to_look,
)
from torch import nn

WAYS = (*GRANULARITIES, "channels")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TinyConv().eval()


@pytest.fixture(scope="module")
def clips(model):
    "Random features, and the labels that the network gives them."
    features = np.random.default_rng(0).normal(0, 9, (80, 49, 40)).astype(np.float32)
    labels = predict(model, features).argmax(1)
    assert len(np.unique(labels)) > 1
    return dict(features=features, labels=labels)


@pytest.fixture(scope="module")
def grid(tmp_path_factory, reference):
    "Three networks of some conditions, and the weights of one."
    folder, rows = tmp_path_factory.mktemp("grid"), []
    conditions = ["dense", "dense, tuned", "weights 0.5 l1", "conv rows 0.5 l1, tuned"]
    conditions += [f"weights {share} l1, tuned" for share in (0.25, 0.5)] + [f"{c} channels l1, tuned" for c in (6, 4)]
    for i, name in enumerate(conditions):
        cycles = {"dense, tuned": 256_000, "weights 0.25 l1, tuned": 100_000, "weights 0.5 l1, tuned": 80_000}.get(name)
        rows += [dict(name=name, correct=90 - i - seed, n=100, seed=seed, cycles=cycles) for seed in range(3)]
    (folder / "pruning.json").write_text(json.dumps(dict(data="made up", rows=rows)))
    store_networks(folder / "pruning.safetensors", {"weights 0.5": reference})
    return folder / "pruning.json"


@pytest.fixture(scope="module")
def reference():
    network = round_tinyconv(reference_model())
    return replace(network, conv=np.where(abs(network.conv) < 30, 0, network.conv))


@pytest.fixture
def explorer(model, clips, grid):
    return PruningExplorer(model, **clips, data="noise", grid=grid)


def put(explorer, **settings):
    for name, value in settings.items():
        getattr(explorer.controls, name).value = value


def kept_of(network):
    "Which weights of a pruned network are not zero, as the explorer draws them."
    conv, linear = network.conv.weight.detach(), network.linear.weight.detach()
    return (conv[:, 0] != 0).numpy(), (linear.view(4, 25, 20, -1) != 0).numpy()


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("norm", NORMS)
def test_shown_is_what_the_library_prunes(explorer, model, clips, granularity, norm):
    for share in (0.1, 0.5, 0.9):
        put(explorer, granularity=granularity, norm=norm, share=share)
        pruned = prune_weights(model, share, granularity, norm)
        assert explorer.accuracy == evaluate(pruned, **clips)
        for mine, theirs in zip((explorer.shown.conv_kept, explorer.shown.linear_kept), kept_of(pruned), strict=True):
            assert np.array_equal(mine, theirs)
        assert (
            f"{100 * share:g} % of the {granularity} of both layers, {norm}: {explorer.accuracy}"
            in explorer.title.value
        )


@pytest.mark.parametrize("norm", NORMS)
def test_channels_are_those_of_the_smaller_network(explorer, model, clips, norm):
    put(explorer, granularity="channels", norm=norm)
    found = scores(model.conv.weight.detach(), "channels", norm)
    for channels in range(8, 0, -1):
        put(explorer, share=1 - channels / 8)
        smaller = prune_channels(model, channels=channels, scores=found)
        assert explorer.accuracy == evaluate(smaller, **clips), channels
        kept = explorer.shown.conv_kept.all((1, 2))
        assert np.array_equal(explorer.shown.conv[kept], smaller.conv.weight.detach()[:, 0].numpy())
        assert explorer.shown.flops == count_operations(smaller).flops
        whole = prune_shown(smaller, PruneSettings(0))
        assert explorer.cost == board_cost(explorer.shown) and explorer.cost.flash == board_cost(whole).flash
        assert f"<td>parameters</td>{cell(16_652)}{cell(2081 * channels + 4)}" in explorer.message.value


def cell(value):
    return f'<td style="text-align:right;padding-left:8px">{value:,}</td>'


@pytest.mark.parametrize("layers", ["conv", "linear"])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_one_layer_alone(explorer, model, clips, layers, granularity):
    "Also where the hidden values are those of the whole network."
    put(explorer, granularity=granularity, layers=layers, share=0.75)
    pruned = prune_weights(model, {layers: 0.75}, granularity)
    assert explorer.accuracy == evaluate(pruned, **clips)
    other = {"conv": "linear", "linear": "conv"}[layers]
    assert getattr(explorer.shown, f"{other}_kept").all() and getattr(explorer.shown, f"{other}_cut") is None
    assert getattr(explorer.shown, f"{layers}_cut") > 0


def test_norms_of_a_single_weight_are_one_and_of_neighbours_are_not(explorer, model):
    "And the screen says so."
    shown = [prune_shown(model, PruneSettings(norm=norm)) for norm in NORMS]
    assert all(np.array_equal(shown[0].linear_kept, each.linear_kept) for each in shown[:3])
    assert not np.array_equal(shown[0].linear_kept, shown[3].linear_kept)
    assert "three masks are identical" in explorer.message.value
    put(explorer, window=3)
    wide = [prune_shown(model, PruneSettings(norm=norm, window=3)) for norm in NORMS[:3]]
    most = max(
        int((wide[0].conv_kept & ~w.conv_kept).sum() + (wide[0].linear_kept & ~w.linear_kept).sum()) for w in wide
    )
    assert most > 100 and f"up to {most:,} are others" in explorer.message.value
    assert not np.array_equal(wide[0].linear_kept, shown[0].linear_kept)


@pytest.mark.parametrize("norm", NORMS[:3])
@pytest.mark.parametrize("granularity", WAYS)
def test_the_cut_lies_between_what_goes_and_what_stays(model, norm, granularity):
    "In the size of one weight: the mean, root mean square or maximum of a group."
    shown = prune_shown(model, PruneSettings(0.5, granularity, norm))
    if granularity == "weights":
        sizes, kept = np.abs(shown.linear), shown.linear_kept
        assert sizes[~kept].max() == pytest.approx(shown.linear_cut, rel=1e-6) and sizes[kept].min() >= shown.linear_cut
    if granularity in ("rows", "channels"):
        groups = shown.conv.reshape(-1, 8) if granularity == "rows" else shown.conv.reshape(8, -1)
        kept = shown.conv_kept.reshape(groups.shape).all(1)
        size = dict(l1=np.abs(groups).mean(1), l2=(groups**2).mean(1) ** 0.5, linf=np.abs(groups).max(1))[norm]
        assert (
            size[~kept].max() == pytest.approx(shown.conv_cut, rel=1e-5) and size[kept].min() > shown.conv_cut * 0.9999
        )
    assert (shown.linear_cut is None) == (granularity == "channels")


def test_random_has_no_cut(model):
    shown = prune_shown(model, PruneSettings(norm="random"))
    assert shown.conv_cut is None and shown.linear_cut is None


def weights_with(kept_conv, kept_linear):
    return PrunedWeights(np.ones((8, 10, 8)), np.ones((4, 25, 20, 8)), kept_conv, kept_linear, None, None)


def test_work_is_counted_by_hand():
    "One filter with 3 taps, of which 2 labels read one value each."
    conv, linear = np.zeros((8, 10, 8), bool), np.zeros((4, 25, 20, 8), bool)
    conv[2, 0, :3] = True
    linear[0, 5, 5, 2] = linear[1, 6, 6, 2] = True
    shown = weights_with(conv, linear)
    assert shown.flops == 2 * (2 * 3 + 2) + 2 + 4, "products twice, two hidden biases, four of the labels"
    assert shown.nonzeros == 5


# What was measured on the emulated board: half rows kept of 20 a filter, rows of hidden values that are read, cycles.
MEASURED = [(20, 200, 250_730), (13, 200, 216_000), (13, 104, 120_000), (12, 120, 130_000),
            (10, 90, 92_000), (6, 150, 113_000), (10, 60, 67_000)]  # fmt: skip


@pytest.mark.parametrize(("units", "alive", "cycles"), MEASURED)
def test_the_cost_is_near_what_was_measured(units, alive, cycles):
    "Two per cent: it is not known here which rows they were."
    rng = np.random.default_rng(units)
    half_rows = np.stack([rng.permutation(20) < units for _ in range(8)]).reshape(8, 10, 2)
    conv = np.tile(half_rows, (1, 1, 4))  # even columns, odd columns
    read = (rng.permutation(200) < alive).reshape(25, 8)
    linear = np.broadcast_to(read[None, :, None], (4, 25, 20, 8))
    cost = board_cost(weights_with(conv, linear))
    assert cost.cycles == pytest.approx(cycles, rel=0.02), cost


def test_few_zeros_here_and_there_save_the_board_nothing(explorer, model):
    whole = board_cost(prune_shown(model, PruneSettings(0)))
    assert whole.flash == 17_424 and whole.dense
    put(explorer, share=0.5)
    assert explorer.cost == whole and "would take longer" in explorer.message.value
    put(explorer, granularity="rows")
    assert explorer.cost.cycles < 0.6 * whole.cycles and "conv2d_pairs_sparse" in explorer.message.value
    assert f"{explorer.cost.ms:.2f}" in explorer.message.value
    assert explorer.cost.ms == pytest.approx(explorer.cost.cycles / 64_000)


def test_flash_is_counted_by_hand():
    "Half of the steps and of the half rows: 80 bytes a step, 8 a half row, 20 a filter, 48 beside them."
    conv = np.zeros((8, 10, 8), bool)
    conv[:, :5] = True
    linear = np.zeros((4, 25, 20, 8), bool)
    linear[:, 5:18] = True
    assert board_cost(weights_with(conv, linear)).flash == 80 * 13 * 8 + 48 + 8 * (20 + 8 * 10)


def test_networks_of_other_shapes_have_a_cost():
    torch.manual_seed(0)
    five = TinyConv(5, labels=("_silence_", "_unknown_", "yes", "no", "up"))
    two = prune_shown(TinyConv(2), PruneSettings(0))
    assert board_cost(two).cycles < board_cost(prune_shown(five, PruneSettings(0))).cycles


def test_a_setting_that_was_seen_costs_no_forward_pass(explorer):
    seen = []
    original = pruning_explorer.evaluate
    try:
        pruning_explorer.evaluate = lambda *given: seen.append(1) or original(*given)
        for share in (0.6, 0.7, 0.6, 0.5):
            put(explorer, share=share)
        assert len(seen) == 2, "0.6 and 0.7; 0.5 was there from the start"
        put(explorer, over="ms")
        assert len(seen) == 2, "another axis"
        put(explorer, granularity="rows")
        assert len(seen) == 3, "one control that moves another draws once"
    finally:
        pruning_explorer.evaluate = original


def test_the_model_that_is_given_stays(clips, model):
    given = TinyConv()
    given.load_state_dict(model.state_dict())
    before = {name: value.clone() for name, value in given.state_dict().items()}
    explorer = PruningExplorer(given, **clips, grid="none.json")
    put(explorer, share=0.9)
    assert given.training and all(torch.equal(value, before[name]) for name, value in given.state_dict().items())
    accuracy = explorer.accuracy
    nn.init.zeros_(given.linear.weight)
    put(explorer, share=0.8)
    put(explorer, share=0.9)
    assert explorer.accuracy == accuracy and explorer.shown.linear.any()


def curves(explorer):
    "The lines of the grid that are drawn: what they are -> x."
    found = [t for t in explorer.view.figure["data"] if t.get("xaxis") == "x5" and "lines+markers" == t["mode"]]
    return {trace["hovertemplate"].split(":")[0]: trace["x"] for trace in found}


def test_lines_are_those_of_the_grid(explorer):
    assert curves(explorer) == {
        "weights, trained on": [0, 25, 50],
        "weights, as pruned": [0, 50],
        "channels, trained on": [0, 25, 50],
    }
    put(explorer, layers="conv", granularity="rows")
    assert curves(explorer)["rows, trained on"] == [0, 50]
    put(explorer, over="ms", layers="both", granularity="weights")
    assert curves(explorer) == {
        "weights, trained on": pytest.approx([1.25, 1.5625, 4]),
        "weights, as pruned": pytest.approx([1.25, 4]),
        "channels, trained on": pytest.approx([4]),
    }, "of those that were put on the board"


def test_what_was_trained_on_comes_from_the_grid(explorer, grid, reference):
    "Mean and interval of its networks, the weights that it keeps; the slider offers its shares only."
    put(explorer, tuned=True)
    assert [share for _, share in explorer.controls.share.options] == [0, 0.25, 0.5]
    assert (
        explorer.controls.share.value == 0.5
        and explorer.accuracy == PruningGrid(grid).accuracies["weights 0.5 l1, tuned"]
    )
    assert str(explorer.accuracy).startswith("84.0 % [81.5, 86.5] (3 networks, n = 100 each)")
    assert "trained on: 84.0 %" in explorer.title.value and "in int8" in explorer.message.value
    assert np.array_equal(explorer.shown.conv_kept, reference.conv != 0)
    assert explorer.shown.linear == pytest.approx(shown_weights(reference).linear)
    assert explorer.cost == network_cost(reference)
    put(explorer, share=0.25)
    assert "as pruned: the grid keeps none" in explorer.message.value
    put(explorer, norm="random")
    assert "has not trained this on" in explorer.message.value and isinstance(explorer.accuracy, Accuracy)
    assert len(explorer.controls.share.options) == 40
    put(explorer, tuned=False, norm="l1")
    assert "trained on:" not in explorer.title.value


def test_shown_weights_are_those_that_the_integers_stand_for(reference):
    shown = shown_weights(reference)
    assert shown.conv[3] == pytest.approx(reference.conv[3] * reference.conv_scale[3])
    flat = reference.linear[1].reshape(25, 20, 8) * reference.linear_scale[1]
    assert shown.linear[1] == pytest.approx(flat), "channels last"
    assert read_tflite(reference.to_tflite()) and not shown.conv_kept.all()


def test_without_a_grid(model, clips, tmp_path):
    explorer = PruningExplorer(model, **clips, grid=tmp_path / "pruning.json")
    assert "There is no pruning.json" in explorer.message.value and not curves(explorer)
    assert explorer.controls.tuned.disabled


@pytest.mark.slow
def test_every_way_gives_a_figure(explorer):
    "Finite numbers, a sentence; and what has no meaning cannot be set."
    for granularity in WAYS:
        for norm in NORMS:
            put(explorer, granularity=granularity, norm=norm)
            single = granularity == "weights" and norm != "random"
            assert explorer.controls.window.disabled != single
            assert explorer.controls.layers.disabled == (granularity == "channels")
            for _, share in explorer.controls.share.options[:: 13 if granularity != "channels" else 1]:
                put(explorer, share=share)
                assert "Look at</b> " in explorer.message.value and "nan" not in explorer.message.value
                layout = explorer.view.figure["layout"]
                assert all(np.isfinite(layout[axis]["range"]).all() for axis in ("xaxis5", "yaxis5", "yaxis"))


def test_pictures_are_upright(model):
    "Time to the right, frequency upwards, a row for each channel, a picture for each label; grey where it is gone."
    conv, linear = np.ones((8, 10, 8), bool), np.ones((4, 25, 20, 8), bool)
    conv[3, 7, 1] = linear[2, 20, 4, 5] = False
    shown = replace(weights_with(conv, linear), conv=np.ones((8, 10, 8)))
    filters, inputs = (trace["z"] for trace in pruning_explorer._pictures(shown))
    assert [tuple(x) for x in np.argwhere(filters == -101)] == [(3 * 9 + (7 - 1), 7)]
    assert [tuple(x) for x in np.argwhere(inputs == -101)] == [(5 * 21 + (19 - 4), 2 * 26 + 20)]
    assert filters.shape == (72, 11) and inputs.shape == (168, 104) and filters.dtype == np.int8


def test_a_share_that_would_be_all_leaves_the_picture(clips):
    "Of a network of one channel, 10 rows."
    torch.manual_seed(1)
    small = TinyConv(1).eval()
    labels = predict(small, clips["features"]).argmax(1)
    explorer = PruningExplorer(small, clips["features"], labels, grid="none.json")
    put(explorer, granularity="rows")
    before = explorer.view.figure
    put(explorer, share=0.975)
    assert "would be all" in explorer.message.value and "last settings that work" in explorer.message.value
    assert explorer.view.figure is before
    put(explorer, share=0.5)
    assert "would be all" not in explorer.message.value


def test_names_are_those_of_the_study():
    settings = [PruneSettings(0.5, name, norm) for name in GRANULARITIES for norm in NORMS]
    for s in settings:
        assert s.run() == str(s.pruning()) and replace(s, tuned=True).run() == f"{s.pruning()}, tuned"
    assert PruneSettings(0.5, "channels").run() == str(Pruning(channels=4))
    assert PruneSettings(0.5, "rows", layers="conv").run() == str(Pruning("rows", conv_share=0.5))
    assert (
        PruneSettings(0, tuned=True).run() == "dense, tuned" and PruneSettings(0.8, tuned=True).network == "weights 0.8"
    )
    assert not PruneSettings(0.8).network and not PruneSettings(0.8, norm="l2", tuned=True).network
    assert shares("channels") == tuple(i / 8 for i in range(8)) and 0.9 in shares("rows") and 0.125 in shares("weights")


def test_many_clips_are_thinned_out(model, clips, monkeypatch):
    monkeypatch.setattr(pruning_explorer, "MOST_CLIPS", 30)
    explorer = PruningExplorer(model, **clips, grid="none.json")
    assert explorer.accuracy.n == 30 and "(n = 30)" in explorer.title.value
    assert np.array_equal(explorer._pruned.features[[0, -1]], clips["features"][[0, -1]])


def test_moves_are_timed(explorer):
    put(explorer, granularity="channels")
    assert len(time_moves(explorer)) == 8 and all(ms > 0 for ms in time_moves(explorer))


def with_bad_weight():
    network = TinyConv()
    network.conv.weight.data[0, 0, 0, 0] = torch.nan
    return network


def without_linear():
    network = TinyConv()
    network.linear = nn.Identity()
    return network


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(model="tinyconv.safetensors"), r"a str; expected a TinyConv, for example load_model\(path\)\[0\]"),
        (dict(model=DSCNN()), "DSCNN has not TinyConv's layers"),
        (dict(model=nn.Linear(3, 4)), "Linear has not TinyConv's layers"),
        (dict(model=without_linear()), "has not TinyConv's layers"),
        (dict(model=QuantTinyConv(Scheme())), "takes the float network"),
        (dict(model=with_bad_weight()), "conv.weight holds NaN or infinity: load the model again"),
        (dict(labels=[0, 1, 2, 3] * 20), "Train it first"),
        (dict(features=np.zeros((0, 49, 40)), labels=[]), "at least one clip"),
        (dict(features=np.full((80, 49, 40), np.nan)), "look at what computes them"),
        (dict(features=np.zeros((80, 49, 41))), "does not take features|Expected features"),
        (dict(features="clips"), "take those of micro_features"),
        (dict(labels=[1, 2]), "80 clips need 80 labels"),
        (dict(labels=None), "give both, or none"),
    ],
)
def test_what_cannot_be_explored(model, clips, change, says):
    with pytest.raises(KwsError, match=says):
        PruningExplorer(**dict(model=model, **clips, grid="none.json") | change)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"rows": [', "damaged"),
        ("[1, 2]", "it holds no names"),
        ('{"rows": [{"seed": 0}]}', "no rows of the study of pruning"),
        ('{"rows": [1]}', "no rows of the study"),
        ('{"rows": 7}', "no rows of the study"),
        ('{"rows": [{"name": "dense", "correct": 1, "n": 0}]}', "no rows of the study"),
    ],
)
def test_a_grid_that_is_none(model, clips, tmp_path, text, says):
    (tmp_path / "pruning.json").write_text(text)
    with pytest.raises(KwsError, match=says):
        PruningExplorer(model, **clips, grid=tmp_path / "pruning.json")


def test_networks_that_are_damaged(grid, tmp_path):
    (tmp_path / "pruning.json").write_text(grid.read_text())
    content = grid.with_suffix(".safetensors").read_bytes()
    for damaged in (b"", content[:100], content[:-2000]):
        (tmp_path / "pruning.safetensors").write_bytes(damaged)
        with pytest.raises(KwsError, match="is damaged"):
            PruningGrid(tmp_path / "pruning.json")


def test_the_sentence_fits_the_picture(model):
    for change, says in (
        (dict(share=0), "Nothing is gone"),
        (dict(norm="random"), "The control"),
        (dict(granularity="blocks"), "go together"),
        (dict(granularity="rows"), "Columns"),
        (dict(granularity="channels"), "Whole rows"),
        (dict(tuned=True), "The histograms"),
    ):
        settings = PruneSettings(**change)
        assert says in where_to_look(prune_shown(model, settings), settings)


@pytest.mark.slow
def test_by_itself_it_takes_the_reference_and_test_clips(data):
    explorer = PruningExplorer(grid="none.json")
    assert f"{data.name}, test part" in explorer.title.value and f"(n = {len(data.testing):,})" in explorer.title.value
    assert explorer.accuracy.value > 0.85, "half of the weights are hardly missed"
