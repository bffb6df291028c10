"The networks beside TinyConv: their sizes against what their papers say, and that they can be trained and used."

import pytest
import torch

from kws_nb.core import LABELS, KwsError
from kws_nb.models import CRNN, DSCNN, BCResNet, SparkNet, TinyConv

NETWORKS = [TinyConv, DSCNN, CRNN, BCResNet, SparkNet]


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def features(model, n, seed=0):
    return torch.randn(n, *getattr(model, "shape", (49, 40)), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "make, published, tolerance",
    [
        (lambda: BCResNet(12, (101, 40)), 9_232, 0),
        (lambda: SparkNet(12, (101, 32)), 4_636, 0),
        (lambda: SparkNet(12, (101, 32), channels=32), 11_500, 0),
        (lambda: CRNN(2, (151, 40)), 229_000, 0.003),  # published in thousands
    ],
)
def test_parameters_are_the_published_ones(make, published, tolerance):
    assert abs(parameters(make()) - published) <= tolerance * published


def test_dscnn_has_the_published_variables():
    "Keras counts the running statistics of batch normalisation: 24,908 for MLPerf Tiny's model of 12 labels."
    model = DSCNN(12)
    statistics = sum(b.numel() for name, b in model.named_buffers() if "running" in name)
    assert parameters(model) + statistics == 24_908


@pytest.mark.parametrize("Network", NETWORKS)
def test_shapes_and_gradients(Network):
    "Logits for each label; every parameter has a say in the loss."
    torch.manual_seed(0)
    model = Network()
    logits = model(features(model, 5))
    assert logits.shape == (5, len(LABELS)) and logits.isfinite().all()
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3, 0])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("Network", NETWORKS)
def test_a_clip_does_not_depend_on_its_batch(Network):
    "In use nothing is random, and no clip sees its neighbours."
    torch.manual_seed(0)
    model = Network().eval()
    x = features(model, 4)
    with torch.no_grad():
        together, again = model(x), model(x)
        alone = torch.cat([model(clip[None]) for clip in x])
    assert torch.equal(together, again)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("Network", NETWORKS)
def test_same_seed_same_network(Network):
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(Network().eval())
    x = features(models[0], 2)
    assert torch.equal(models[0](x), models[1](x))


@pytest.mark.parametrize("Network", NETWORKS)
def test_other_shapes_are_refused(Network):
    model = Network()
    frames, channels = getattr(model, "shape", (49, 40))
    for shape in [
        (1, channels, frames + 1),
        (1, frames, channels + 1),
        (frames, channels),
        (1, 1, frames, channels),
        (0,),
    ]:
        with pytest.raises(KwsError, match=f"{frames}, {channels}"):
            model(torch.zeros(shape))


def test_bcresnet_names_what_it_cannot_halve():
    with pytest.raises(KwsError, match="40 mel channels"):
        BCResNet(shape=(49, 10))


def test_sparknet_learns_in_noise_and_answers_without():
    "Its gates are noisy while it is trained: two passes differ, in use they don't."
    torch.manual_seed(0)
    model = SparkNet()
    x = features(model, 2)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
