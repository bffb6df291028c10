"Which weights and channels are pruned: masks, patterns, norms, smaller networks; what can't be is refused."

import numpy as np
import pytest
import torch
import torch_pruning

from kws_nb.core import KwsError
from kws_nb.models import TinyConv
from kws_nb.patterns import (
    GRANULARITIES,
    PATTERNS,
    PICTURE,
    groups,
    hold,
    mask,
    masks,
    prune_weights,
    scores,
)
from kws_nb.prune import CRITERIA, NORMS, channel_scores, keep, neighbourhood, prune_channels
from kws_nb.size import count_operations
from kws_nb.train import predict

OUTSIDE = (-0.1, 1, 1.5, float("nan"))


pytestmark = pytest.mark.usefixtures("one_thread")


def layer(model, kind):
    return getattr(model, kind).weight.detach()


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_pattern_has_each_weight_once(model, kind):
    weight = layer(model, kind)
    for pattern in PATTERNS[kind]:
        place = groups(weight, pattern)
        assert torch.equal(place.flatten().sort().values, torch.arange(weight.numel())), pattern


def test_what_the_groups_are(model):
    conv, linear = layer(model, "conv"), layer(model, "linear")
    frames, columns = PICTURE
    assert groups(conv, "pairs")[:4].tolist() == [[0, 2], [4, 6], [1, 3], [5, 7]]
    assert groups(conv, "half rows")[1].tolist() == [1, 3, 5, 7]
    assert groups(conv, "rows")[11].tolist() == list(range(88, 96))
    assert groups(conv, "channels").shape == (8, 80)

    def where(place):  # output, frame, column, channel of places in the linear layer
        return np.array(np.unravel_index(np.asarray(place), (4, frames, columns, 8)))

    block = where(groups(linear, "4x1")[1])  # the second four columns of output 0, frame 0, channel 0
    assert block.T.tolist() == [[0, 0, c, 0] for c in (4, 5, 6, 7)]
    block = where(groups(linear, "4x4")[5])  # channel 1's first columns
    assert block.T.tolist() == [[o, 0, c, 1] for o in range(4) for c in range(4)]
    for step in (0, 9, 199):
        output, frame, column, channel = where(groups(linear, "steps")[step])
        assert len(set(frame)) == len(set(channel)) == 1 and (frame[0], channel[0]) == divmod(step, 8)
        assert len({*zip(output, column)}) == 80
    assert set(where(groups(linear, "channels")[3])[3]) == {3}


def test_a_dead_step_is_never_asked_for(model, features):
    "The values of one channel in one frame may be anything where all their weights are gone."
    pruned = prune_weights(model, dict(linear=0.5), "steps")
    kept = mask(layer(model, "linear"), 0.5, "steps").view(4, *PICTURE, 8)[0, :, 0]
    hidden = torch.relu(model.conv(model.pad(torch.as_tensor(features)[:, None])))
    hidden = torch.where(kept.T[:, :, None], hidden, 1e6)
    said = pruned.linear(hidden.permute(0, 2, 3, 1).flatten(1)).detach()
    assert torch.allclose(said, pruned(torch.as_tensor(features)).detach(), atol=1e-3)


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize("share", (0, 0.25, 0.5, 0.75, 0.9))
def test_the_smallest_groups_go(model, kind, share):
    weight = layer(model, kind)
    for pattern in PATTERNS[kind]:
        if pattern == "n:4" and share == 0.9:
            continue
        kept = mask(weight, share, pattern)
        place = groups(weight, pattern)
        if pattern == "n:4":
            left = kept.flatten()[place]
            assert (left.sum(1) == 4 - 4 * share).all()
            size = weight.flatten()[place].abs()
            assert (torch.where(left, size, 9).amin(1) >= torch.where(left, 0, size).amax(1)).all()
            continue
        left = kept.flatten()[place]
        assert torch.equal(left.all(1), left.any(1)), "a group stays or goes as a whole"
        assert (~left.all(1)).sum() == round(share * len(place))
        size = weight.flatten()[place].double().abs().sum(1)
        if share:
            assert size[left.all(1)].min() >= size[~left.all(1)].max()


def test_the_three_norms_are_one_for_single_weights(model):
    torch.manual_seed(1)
    random = torch.randn(4, 4000) * torch.logspace(-12, 3, 4000)
    for weight in (layer(model, "conv"), layer(model, "linear"), random, torch.zeros(4, 4000), torch.ones(4, 4000)):
        for share in (0.125, 0.375, 0.625, 0.9):
            l1, l2, linf = (mask(weight, share, norm=norm) for norm in NORMS[:3])
            assert torch.equal(l1, l2) and torch.equal(l1, linf)
    rows = [scores(layer(model, "conv"), "rows", norm) for norm in NORMS[:3]]
    assert len({tuple(score.argsort().tolist()) for score in rows}) == 3, "for groups they differ"


def test_a_neighbourhood_is_the_norm_of_three():
    weight = torch.tensor([[3.0, -4.0, 0.0, 12.0]])
    assert neighbourhood(weight, "l2").tolist() == [[5, 5, pytest.approx(160**0.5), 12]]
    assert neighbourhood(weight, "linf").tolist() == [[4, 4, 12, 12]]
    assert neighbourhood(weight, "l1", 1).tolist() == [[3, 4, 0, 12]]
    with pytest.raises(KwsError, match="needs a middle"):
        neighbourhood(weight, "l2", 2)
    with pytest.raises(KwsError, match="Only single weights"):
        scores(torch.zeros(8, 1, 10, 8), "rows", window=3)


def test_random_is_a_control_that_can_be_repeated(model):
    weight = layer(model, "linear")
    one, same, other = (mask(weight, 0.5, norm="random", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other) and one.sum() == 8000
    assert mask(weight, 0.5, "n:4", "random").sum() == 8000


def test_nothing_removed_is_exact_and_everything_is_refused(model, features):
    expected = predict(model, features)
    for granularity in GRANULARITIES:
        assert np.array_equal(predict(prune_weights(model, 0, granularity), features), expected)
    same = prune_channels(model)
    assert np.array_equal(predict(same, features), expected) and same is not model
    assert np.array_equal(predict(prune_channels(model, channels=8), features), expected)
    for share in OUTSIDE:
        for pruned in (prune_weights, prune_channels):
            with pytest.raises(KwsError, match="expected 0 to less than 1"):
                pruned(model, share)
    with pytest.raises(KwsError, match="would be all"):
        prune_channels(model, 0.99)
    with pytest.raises(KwsError, match="would be all"):
        mask(layer(model, "conv"), 0.999, "channels")
    for channels in (0, 9, -1, 2.5):
        with pytest.raises(KwsError, match="can't be kept"):
            prune_channels(model, channels=channels)


@pytest.mark.parametrize(
    "says, ask",
    [
        ("no layer to prune; there are conv, linear", lambda m: masks(m, dict(fc=0.5))),
        ("no layer to prune", lambda m: masks(m, 0.5, dict(dropout="weights"))),
        ("no pattern of a conv layer", lambda m: masks(m, 0.5, "steps")),
        ("no pattern of a linear layer", lambda m: masks(m, dict(linear=0.5), dict(linear="rows"))),
        ("no norm", lambda m: masks(m, 0.5, norm="l3")),
        ("is no norm", lambda m: channel_scores(m, "best")),
        ("a quarter, a half", lambda m: masks(m, dict(linear=0.4), dict(linear="n:4"))),
        ("needs training clips", lambda m: channel_scores(m, "taylor")),
        ("needs training clips", lambda m: channel_scores(m, "activation")),
        ("needs one share, l1", lambda m: masks(m, dict(conv=0.5, linear=0.2), everywhere=True)),
        ("needs one share, l1", lambda m: masks(m, 0.5, norm="l2", everywhere=True)),
        ("The mask of conv is", lambda m: hold(m, dict(conv=torch.ones(3, dtype=torch.bool)))),
        ("is for TinyConv", lambda m: groups(torch.zeros(4, 100), "steps")),
        ("need 4 or 8 taps", lambda m: groups(torch.zeros(8, 1, 3, 3), "pairs")),
        ("NaN or infinite", lambda m: keep(torch.tensor([1.0, torch.nan]), 0.5)),
    ],
)
def test_what_cannot_be_is_refused(model, says, ask):
    with pytest.raises(KwsError, match=says):
        ask(model)


def test_one_threshold_for_both_layers(model):
    kept = masks(model, 0.8, everywhere=True)
    size = torch.cat([layer(model, name).abs().flatten() for name in kept])
    stays = torch.cat([mask.flatten() for mask in kept.values()])
    assert (~stays).sum() == round(0.8 * 16_640) and size[stays].min() >= size[~stays].max()
    shares = {name: (~k).float().mean().item() for name, k in kept.items()}
    assert abs(shares["conv"] - shares["linear"]) > 0.1, "the layers lose different shares"


def test_each_layer_may_have_its_own_share(model):
    kept = masks(model, dict(conv=0.5, linear=0.25), dict(conv="rows", linear="4x4"))
    assert {name: k.float().mean().item() for name, k in kept.items()} == dict(conv=0.5, linear=0.75)
    pruned = prune_weights(model, dict(linear=0.5))
    assert torch.equal(pruned.conv.weight, model.conv.weight)
    assert (pruned.linear.weight == 0).sum() == 8000 and (model.linear.weight == 0).sum() < 8000


def test_a_channel_that_is_zero_may_go(features):
    torch.manual_seed(0)
    model = TinyConv().eval()
    with torch.no_grad():
        for gone in (3, 6):
            model.conv.weight[gone] = model.conv.bias[gone] = 0
    smaller = prune_channels(model, 0.25)
    assert smaller.channels == 6 and np.abs(predict(smaller, features) - predict(model, features)).max() < 1e-5


@pytest.mark.parametrize("channels", range(1, 9))
def test_a_smaller_network_is_really_smaller(model, features, channels):
    "And answers as the dense one does when the other channels' values are taken away."
    smaller = prune_channels(model, channels=channels)
    counted = count_operations(smaller)
    assert (counted.parameters, counted.flops) == (2081 * channels + 4, 84_500 * channels + 4)
    kept = keep(channel_scores(model), 1 - channels / 8)
    hidden = torch.relu(model.conv(model.pad(torch.as_tensor(features)[:, None]))) * kept[:, None, None]
    expected = model.linear(hidden.permute(0, 2, 3, 1).flatten(1)).detach()
    assert torch.allclose(smaller(torch.as_tensor(features)).detach(), expected, atol=1e-5)
    assert torch.equal(smaller.conv.weight, model.conv.weight[kept])


def test_the_report_s_thresholds(model):
    found = [prune_channels(model, share).channels for share in (0.125, 0.25, 0.375, 0.5, 0.65, 0.9)]
    assert found == [7, 6, 5, 4, 3, 1]


def test_criteria(model, features, small):
    labels = torch.as_tensor(small.testing.labels)
    x = torch.as_tensor(features)
    for criterion in CRITERIA:
        found = channel_scores(model, criterion, x, labels)
        assert found.shape == (8,) and found.isfinite().all() and (found >= 0).all()
    taylor = channel_scores(model, "taylor", x, labels)
    silent = prune_weights(model, 0)
    with torch.no_grad():
        silent.linear.weight.view(4, *PICTURE, 8)[..., 2] = 0  # what nobody reads changes no loss
    assert channel_scores(silent, "taylor", x, labels)[2] == 0 and taylor[2] > 0
    scaled = replace_filter(model, 5, 3.0)
    assert torch.isclose(channel_scores(scaled)[5], 3 * channel_scores(model)[5])
    chosen = prune_channels(model, channels=2, scores=torch.arange(8.0))
    assert torch.equal(chosen.conv.weight, model.conv.weight[6:])


def replace_filter(model, channel, factor):
    changed = prune_weights(model, 0)
    with torch.no_grad():
        changed.conv.weight[channel] *= factor
    return changed


class ChannelsFirst(TinyConv):
    "The same network with the inputs of its linear layer in the order that other libraries expect."

    def __init__(self, model):
        super().__init__(model.channels, labels=model.labels)
        state = dict(model.state_dict())
        state["linear.weight"] = self.turned(model.linear.weight.detach(), model.channels)
        self.load_state_dict(state)
        self.eval()

    @staticmethod
    def turned(weight, channels):
        return weight.view(len(weight), -1, channels).transpose(1, 2).flatten(1)

    def forward(self, x):
        return self.linear(torch.relu(self.conv(self.pad(x[:, None]))).flatten(1))


@pytest.mark.parametrize("norm, p", (("l1", 1), ("l2", 2)))
@pytest.mark.parametrize("channels", (7, 4, 1))
def test_another_library_removes_the_same_channels(model, features, channels, norm, p):
    "torch-pruning chooses the same filters, takes the same columns, and its network answers the same."
    ours = prune_channels(model, channels=channels, scores=channel_scores(model, norm))
    theirs, x = ChannelsFirst(model), torch.as_tensor(features)
    assert torch.allclose(theirs(x), model(x), atol=1e-5)
    pruner = torch_pruning.pruner.MagnitudePruner(
        theirs,
        example_inputs=torch.zeros(1, *model.shape),
        importance=torch_pruning.importance.MagnitudeImportance(p=p, group_reduction="first", normalizer=None),
        pruning_ratio=1 - channels / 8,
        ignored_layers=[theirs.linear],
    )
    pruner.step()
    assert torch.equal(theirs.conv.weight, ours.conv.weight) and torch.equal(theirs.conv.bias, ours.conv.bias)
    assert torch.equal(theirs.linear.weight, ChannelsFirst.turned(ours.linear.weight, channels))
    assert torch.allclose(theirs(x), ours(x), atol=1e-5)
