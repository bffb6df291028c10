"The quantisation explorer without a browser: what it shows is what the library computes, once for each setting."

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from kws_nb.core import KwsError
from kws_nb.host import torch_threads
from kws_nb.models import DSCNN, TinyConv
from kws_nb.qat import QuantTinyConv, Scheme
from kws_nb.quantize import RANGES, quantize_weights
from kws_nb.results import Accuracy
from kws_nb.train import evaluate
from kws_nb.widgets.quant_explorer import (
    DRAWN_CHANNELS,
    DRAWN_WEIGHTS,
    OnGrid,
    QuantExplorer,
    QuantSettings,
    on_grid,
    quant_figure,
    where_to_look,
)
from torch import nn

ALL = [QuantSettings(*each) for each in product((2, 3, 4, 8), (True, False), (True, False), RANGES)]


@pytest.fixture(scope="module")
def clips():
    "Random features, and labels that an untrained network gets right in part."
    rng = np.random.default_rng(0)
    return dict(features=rng.normal(10, 5, (60, 49, 40)).astype(np.float32), labels=rng.integers(0, 4, 60))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TinyConv().eval()


@pytest.fixture
def weights():
    "Channels of very different spread, with a few weights far away."
    w = torch.randn(4, 500, generator=torch.Generator().manual_seed(1)) * torch.tensor([[0.1], [1], [0.3], [3]])
    w[:, :3] *= 4
    return w


def put(explorer, settings):
    explorer.controls.bits.value, explorer.controls.method.value = settings.bits, settings.method
    explorer.controls.symmetric.value, explorer.controls.per_channel.value = settings.symmetric, settings.per_channel


def passes(explorer):
    "A list that grows by one with each forward pass."
    seen = []
    explorer._rounded.model.register_forward_hook(lambda *_: seen.append(1))
    return seen


@pytest.mark.parametrize("settings", ALL, ids=str)
def test_every_weight_is_on_its_grid(weights, settings):
    shown = on_grid(weights, settings)
    assert shown.grid.shape == (4 if settings.per_channel else 1, 2**settings.bits)
    grid = shown.grid.expand(4, -1)
    step = grid[:, 1:2] - grid[:, :1]
    assert torch.allclose(grid.diff(dim=1), step.expand(-1, grid.shape[1] - 1), rtol=1e-3)
    nearest = (shown.rounded[:, :, None] - grid[:, None]).abs().amin(2)
    assert (nearest <= 1e-5 * step).all(), "a value between the lines that are drawn"
    error = (weights - shown.rounded).abs()
    assert (error[~shown.clamped] <= (step / 2 * 1.0001).expand_as(error)[~shown.clamped]).all()
    ends = torch.cat([grid[:, :1], grid[:, -1:]], 1)
    at_an_end = (shown.rounded[:, :, None] - ends[:, None]).abs().amin(2) <= 1e-5 * step
    assert at_an_end[shown.clamped].all()
    assert shown.rms_error == pytest.approx(error.square().mean().sqrt().item(), rel=1e-5)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_scale_per_channel_errs_no_more(weights, bits, symmetric):
    "With the least squared error each channel may choose its own share of its own, smaller range."
    errors = [on_grid(weights, QuantSettings(bits, symmetric, each, "mse")).rms_error for each in (True, False)]
    assert errors[0] <= errors[1] * 1.0001, errors
    assert bits > 4 or errors[0] < 0.9 * errors[1], "and much less where the channels differ so much"


def test_shown_is_what_the_library_computes(model, clips):
    "`quantize_weights` and `evaluate`: the same accuracy, the same weights of both layers; and the texts say it."
    explorer = QuantExplorer(model, **clips, data="noise")
    for settings in [s for s in ALL if s.symmetric and s.bits in (2, 4)]:
        put(explorer, settings)
        with torch_threads(1):
            rounded = quantize_weights(model, settings.bits, settings.per_channel, settings.method)
            expected = evaluate(rounded, **clips)
        assert explorer.accuracy == expected and explorer.controls.settings == settings
        assert f"weights of {settings.bits} bits: {expected}" in explorer.title.value
        for name in ("conv", "linear"):
            explorer.controls.layer.value = name
            weight = model.get_submodule(name).weight.detach()
            assert torch.equal(explorer.shown.rounded, rounded.get_submodule(name).weight.flatten(1))
            error = (weight.flatten(1) - explorer.shown.rounded).square().mean().sqrt().item()
            notes = [note["text"] for note in explorer.view.figure["layout"]["annotations"]]
            assert notes[0].startswith(name) and f"rms {error:.2g}" in notes[1]
    assert f"float {evaluate(model, **clips)}" in explorer.title.value
    assert "noise" in explorer.title.value and "32-bit biases and float activations stay" in explorer.title.value


def test_asymmetric_accuracy_is_that_of_its_weights(model, clips):
    explorer = QuantExplorer(model, **clips)
    explorer.controls.symmetric.value, explorer.controls.bits.value = False, 2
    by_hand = TinyConv()
    by_hand.load_state_dict(model.state_dict())
    for layer in (by_hand.conv, by_hand.linear):
        layer.weight.data = on_grid(layer.weight.detach(), explorer.controls.settings).rounded.reshape(
            layer.weight.shape
        )
    assert explorer.accuracy == evaluate(by_hand, **clips)


def test_a_setting_that_was_seen_costs_no_forward_pass(model, clips):
    "One for each new setting, none for the same again nor for another layer; and the way back shows the same."
    explorer = QuantExplorer(model, **clips)
    seen, first = passes(explorer), (explorer.title.value, explorer.message.value, explorer.view.figure["data"][:4])
    for bits in (5, 6, 5, 4, 6):
        explorer.controls.bits.value = bits
    assert len(seen) == 2, "5 and 6; 4 was there from the start"
    explorer.controls.bits.value = 4
    again = (explorer.title.value, explorer.message.value, explorer.view.figure["data"][:4])
    assert len(seen) == 2 and again == first
    explorer.controls.layer.value = "conv"
    assert len(seen) == 2 and again != (explorer.title.value, explorer.message.value, explorer.view.figure["data"][:4])
    for control, value in (
        (explorer.controls.method, "mse"),
        (explorer.controls.symmetric, False),
        (explorer.controls.per_channel, False),
    ):
        control.value = value
    assert len(seen) == 5


def test_the_model_that_is_given_stays(model, clips):
    "Also its mode; and what happens to it later changes nothing here."
    given = TinyConv()
    given.load_state_dict(model.state_dict())
    before = {name: value.clone() for name, value in given.state_dict().items()}
    explorer = QuantExplorer(given, **clips)
    explorer.controls.bits.value = 2
    assert given.training and all(torch.equal(value, before[name]) for name, value in given.state_dict().items())
    accuracy = explorer.accuracy
    nn.init.zeros_(given.linear.weight)
    explorer.controls.bits.value = 3
    explorer.controls.bits.value = 2
    assert explorer.accuracy == accuracy and explorer.shown.weights.any()


@pytest.mark.slow
def test_every_end_of_every_control(model, clips):
    "All kinds of settings, both layers, give a figure with finite numbers, a sentence, and an accuracy."
    explorer = QuantExplorer(model, **clips)
    for settings in [replace(s, bits=bits) for s in ALL if s.bits == 8 for bits in (2, 8)]:
        put(explorer, settings)
        for name in ("conv", "linear"):
            explorer.controls.layer.value = name
            assert "Look at</b> The" in explorer.message.value and "nan" not in explorer.message.value
            layout = explorer.view.figure["layout"]
            assert all(np.isfinite(layout[axis]["range"]).all() for axis in layout if axis[1:5] == "axis")


def figure_of(shown, names=None):
    return json.loads(quant_figure(shown, 4, {4: Accuracy(9, 10)}, Accuracy(10, 10), "a layer", names).to_json())


def test_the_figure_holds_both_ends_of_many_weights():
    "Eight of 64 channels, 1,500 of many weights: the extremes are among them, and what is left out is said."
    weight = torch.randn(64, 300, generator=torch.Generator().manual_seed(0))
    shown = on_grid(weight)
    figure = quant_figure(shown, 4, {4: Accuracy(9, 10)}, Accuracy(10, 10))
    bars = [trace for trace in figure.data if trace.type == "bar"]
    dots = [trace for trace in figure.data if trace.yaxis == "y2"]
    assert len(bars) == DRAWN_CHANNELS and sum(len(t.x) for t in dots) <= DRAWN_WEIGHTS
    assert list(figure.layout.yaxis.ticktext)[::-1][:1] + list(figure.layout.yaxis.ticktext)[:1] == ["0", "63"]
    assert [max(t.x) for t in dots if len(t.x)][-1] == pytest.approx(weight[63].max().item())
    assert "drawn" in figure.layout.xaxis2.title.text
    assert sum(sum(t.customdata) for t in bars) == DRAWN_CHANNELS * 300, "each weight is in one bar"
    assert "drawn" not in figure_of(on_grid(weight[:4]))["layout"]["xaxis2"]["title"]["text"]


def test_crosses_are_the_clamped():
    weight = torch.cat(
        [0.1 * torch.randn(1, 2000, generator=torch.Generator().manual_seed(0)), torch.tensor([[1.0]])], 1
    )
    shown = on_grid(weight, QuantSettings(3, method="mse"))
    assert shown.clamped.sum() >= 1 and shown.clamped[0, -1]
    figure = quant_figure(shown, 3, {3: Accuracy(9, 10)}, Accuracy(10, 10))
    dots, crosses = (trace for trace in figure.data if trace.yaxis == "y2")
    assert 1 <= len(crosses.x) <= shown.clamped.sum() and len(dots.x) + len(crosses.x) == DRAWN_WEIGHTS
    assert crosses.marker.symbol == "x" and f"{shown.clamped.sum()} clamped (×)" in figure.layout.annotations[1].text
    assert f"{shown.clamped.sum()} of 2,001" in where_to_look(shown, QuantSettings(3, method="mse"))


def test_weights_that_are_all_alike():
    "Zeros have any grid; a figure is drawn all the same."
    for weight in (torch.zeros(3, 7), torch.full((3, 7), 0.5), torch.tensor([[1.0]])):
        for settings in (QuantSettings(), QuantSettings(2, False, False, "mse"), QuantSettings(3, method="percentile")):
            shown = on_grid(weight, settings)
            assert shown.rms_error <= 0.3 and figure_of(shown)["data"]
    assert on_grid(torch.zeros(3, 7)).rms_error == 0


def test_other_networks_and_features_on_a_list(clips):
    "Ten layers, double precision, features of another shape."
    torch.manual_seed(0)
    explorer = QuantExplorer(DSCNN().double(), clips["features"][:, :, :10], clips["labels"].tolist())
    assert len(explorer.controls.layer.options) == 10 and "10 layers" in explorer.title.value
    explorer.controls.layer.value = explorer.controls.layer.options[0]
    assert len(explorer.shown.weights) == 64 and "_silence_" not in json.dumps(explorer.view.figure["layout"]["yaxis"])


def with_bad_weight(value):
    network = TinyConv()
    network.conv.weight.data[0, 0, 0, 0] = value
    return network


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(model="tinyconv.safetensors"), r"a str; expected a network, for example load_model\(path\)\[0\]"),
        (dict(model=(TinyConv(), {})), "a tuple; expected a network"),
        (dict(model=nn.ReLU()), "nothing to quantise"),
        (dict(model=with_bad_weight(torch.nan)), "conv.weight holds NaN or infinity: load the model again"),
        (dict(model=with_bad_weight(torch.inf)), "conv.weight holds NaN or infinity"),
        (dict(model=QuantTinyConv(Scheme())), "by itself; the explorer takes the float network"),
        (dict(model=nn.Linear(3, 4)), "Linear does not take features"),
        (dict(features=np.zeros((0, 49, 40)), labels=[]), "at least one clip"),
        (dict(features=[]), "at least one clip"),
        (dict(features=np.full((60, 49, 40), np.nan)), "look at what computes them"),
        (dict(features=np.zeros((60, 49, 41))), "Expected features"),
        (dict(features="clips"), "take those of micro_features"),
        (dict(features=[[1.0], [2.0, 3.0]]), "take those of micro_features"),
        (dict(labels=[1, 2]), "60 clips need 60 labels"),
        (dict(labels=np.full(60, 4)), "4 is no label"),
        (dict(labels=np.full(60, 0.5)), "0.5 is no label"),
        (dict(labels=None), "give both, or none"),
        (dict(features=None), "give both, or none"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_explored(model, clips, change, says):
    with pytest.raises(KwsError, match=says):
        QuantExplorer(**dict(model=model, **clips) | change)


@pytest.mark.slow
def test_by_itself_it_takes_the_reference_and_validation(data):
    explorer = QuantExplorer()
    n = len(data.validation)
    assert f"{data.name}, validation part" in explorer.title.value and f"(n = {n:,})" in explorer.title.value
    assert explorer.view.figure["layout"]["yaxis"]["ticktext"] == ["no", "yes", "_unknown_", "_silence_"]


def test_no_grid_leaves_the_picture(weights):
    "The axis reaches from the least to the greatest of weights and values."
    for settings in ALL:
        shown = on_grid(weights, settings)
        low, high = figure_of(shown)["layout"]["xaxis2"]["range"]
        assert low < min(weights.min(), shown.grid.min()) and max(weights.max(), shown.grid.max()) < high


def test_the_sentence_fits_the_picture(weights):
    "Each of its kinds, and none says what is not so."
    unclamped = OnGrid(weights, weights, torch.zeros_like(weights, dtype=bool), torch.zeros(1, 8))
    assert "uses 7" in where_to_look(on_grid(weights, QuantSettings(3)), QuantSettings(3))
    assert "uses 3" in where_to_look(on_grid(weights, QuantSettings(2)), QuantSettings(2))
    for bits, symmetric, per_channel, says in (
        (3, False, False, "for all"),
        (5, True, True, "The rows"),
        (8, True, True, "half a step"),
    ):
        settings = QuantSettings(bits, symmetric, per_channel)
        grid = replace(unclamped, grid=torch.arange(2.0**bits)[None])
        assert says in where_to_look(grid, settings) and "uses" not in where_to_look(grid, settings)
