"The course's definitions of quantisation: codes, ranges, straight-through rounding, minifloats, shared scales."

import ml_dtypes
import numpy as np
import pytest
import torch

from kws_nb.core import KwsError
from kws_nb.quantize import (
    MINIFLOATS,
    RANGES,
    fake_quantize,
    find_range,
    minifloat_grid,
    quantize_asymmetric,
    quantize_minifloat,
    quantize_mx,
    quantize_symmetric,
    round_to_grid,
)

BITS = range(2, 9)
KNOWN = {
    "E2M1": ml_dtypes.float4_e2m1fn,
    "E3M2": ml_dtypes.float6_e3m2fn,
    "E2M3": ml_dtypes.float6_e2m3fn,
    "E4M3": ml_dtypes.float8_e4m3fn,
    "E5M2": ml_dtypes.float8_e5m2,
}


@pytest.fixture
def weights():
    return torch.randn(4, 8, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bits", BITS)
def test_symmetric_codes_are_the_courses(weights, bits):
    codes, scale = quantize_symmetric(weights, bits)
    top = 2 ** (bits - 1) - 1
    assert scale.item() == pytest.approx(weights.abs().max().item() / top)
    assert torch.equal(codes, codes.round()) and codes.min() >= -top - 1 and codes.max() <= top
    assert codes.abs().max() == top  # the greatest number has the last code
    assert ((codes * scale - weights).abs() <= scale / 2 + 1e-6).all()
    clipped, _ = quantize_symmetric(weights, bits, largest=weights.abs().max() / 4)
    assert clipped.min() == -top - 1 and clipped.max() == top


@pytest.mark.parametrize("bits", BITS)
def test_asymmetric_codes_hold_zero_exactly(weights, bits):
    for x in (weights, weights.abs() + 1, -weights.abs() - 1):
        codes, scale, zero_point = quantize_asymmetric(x, bits)
        assert (codes.min() == 0 or x.min() > 0) and (codes.max() == 2**bits - 1 or x.max() < 0)
        assert zero_point == zero_point.round() and 0 <= zero_point <= 2**bits - 1
        assert (((codes - zero_point) * scale - x).abs() <= scale * 1.001).all()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("method", RANGES)
def test_a_scale_for_each_channel_is_that_of_the_channel_alone(weights, method, symmetric):
    for dim in range(3):
        low, high = find_range(weights, method, 4, dim, symmetric)
        for i, part in enumerate(weights.unbind(dim)):
            alone = find_range(part, method, 4, symmetric=symmetric)
            assert low.flatten()[i] == alone[0] and high.flatten()[i] == alone[1]
    codes, scale = quantize_symmetric(weights, 4, 1)
    assert scale.shape == (1, 8, 1) and torch.equal(codes[:, 3], quantize_symmetric(weights[:, 3], 4)[0])


@pytest.mark.parametrize("bits", BITS)
def test_the_mse_range_errs_least(weights, bits):
    def error(x, symmetric, low, high):
        if symmetric:
            codes, scale = quantize_symmetric(x, bits, largest=high)
            return (codes * scale - x).square().sum()
        codes, scale, zero_point = quantize_asymmetric(x, bits, low=low, high=high)
        return ((codes - zero_point) * scale - x).square().sum()

    for x, symmetric in ((weights, True), (weights, False), (weights.relu(), False)):
        errors = {method: error(x, symmetric, *find_range(x, method, bits, symmetric=symmetric)) for method in RANGES}
        assert errors["mse"] <= errors["minmax"] and errors["mse"] <= 1.02 * errors["percentile"], errors


def test_zeros_and_constants_are_exact(weights):
    for value in (0.0, 1e-45, 3.0, -3.0):
        x = torch.full((4, 6), value)
        for bits in BITS:
            for dim in (None, 0):
                codes, scale = quantize_symmetric(x, bits, dim)
                assert torch.allclose(codes * scale, x, rtol=1e-6, atol=1e-44)
                codes, scale, zero_point = quantize_asymmetric(x, bits, dim)
                assert torch.allclose((codes - zero_point) * scale, x, rtol=1e-6, atol=1e-44)
        for e, m in MINIFLOATS.values():
            values, scale = quantize_minifloat(x, e, m, 0)
            assert torch.allclose(values * scale, x, rtol=1e-6, atol=1e-44)
    values, scale = quantize_mx(torch.zeros(2, 40), 2, 1)
    assert not values.any() and scale.isfinite().all()


BAD = {
    "2 to 8": [dict(bits=1), dict(bits=9), dict(bits=0), dict(bits=3.5)],
    "empty": [dict(x=torch.zeros(0))],
    "NaN": [dict(x=torch.tensor([1.0, torch.nan])), dict(x=torch.tensor([torch.inf]))],
}


@pytest.mark.parametrize("function", [quantize_symmetric, quantize_asymmetric, find_range])
@pytest.mark.parametrize("says", BAD)
def test_what_has_no_codes_is_refused(function, says):
    for bad in BAD[says]:
        with pytest.raises(KwsError, match=says):
            function(**(dict(x=torch.ones(3), bits=4) | bad))


def test_an_unknown_method_is_refused():
    with pytest.raises(KwsError, match="minmax, percentile, mse"):
        find_range(torch.ones(3), "best")


@pytest.mark.parametrize("bits", BITS)
def test_the_gradient_passes_within_the_range_only(bits):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = torch.tensor(0.3, requires_grad=True)
    x = (torch.linspace(low - 2.2, high + 2.2, 60) * 0.3).requires_grad_()
    fake_quantize(x, scale, low, high).sum().backward()
    v = (x / scale).detach()
    inside = (v >= low) & (v <= high)
    assert torch.equal(x.grad, inside.float()) and not inside.all() and inside.any()
    steps = torch.where(inside, v.round() - v, v.clamp(low, high))  # Esser et al. 2020, equation 3
    assert scale.grad == pytest.approx(steps.sum().item(), rel=1e-4)


@pytest.mark.parametrize("name", KNOWN)
def test_a_minifloat_is_the_known_format(name):
    grid, kind = minifloat_grid(*MINIFLOATS[name]), KNOWN[name]
    known = np.arange(2 ** (1 + sum(MINIFLOATS[name])), dtype=np.uint8).view(kind).astype(np.float32)
    assert np.array_equal(grid.numpy(), np.unique(known[np.isfinite(known)]))
    spread = torch.randn(20_000, generator=torch.Generator().manual_seed(2)) * grid[-1] / 4
    x = torch.cat([spread.clamp(-grid[-1], grid[-1]), (grid[1:] + grid[:-1]) / 2, grid])
    assert np.array_equal(round_to_grid(x, grid).numpy(), x.numpy().astype(kind).astype(np.float32))
    assert torch.equal(round_to_grid(torch.tensor([1e9, -1e9]), grid), grid[[-1, 0]])  # saturates


def test_e1m1_is_int3_with_a_sign():
    assert minifloat_grid(1, 1).tolist() == [-3, -2, -1, 0, 1, 2, 3]
    x = torch.randn(500, generator=torch.Generator().manual_seed(3))
    values, scale = quantize_minifloat(x, 1, 1)
    codes, int_scale = quantize_symmetric(x, 3)
    assert scale == int_scale and torch.equal(values, codes)


@pytest.mark.parametrize("bits", [(0, 3), (1, 0), (2, 0), (5, 3), (-1, 4)])
def test_what_is_no_minifloat_is_refused(bits):
    with pytest.raises(KwsError, match="3 to 8 bits"):
        minifloat_grid(*bits)


@pytest.mark.parametrize("name", MINIFLOATS)
def test_a_block_shares_a_power_of_two(name):
    x = torch.randn(3, 100, generator=torch.Generator().manual_seed(4)) * 10.0 ** torch.arange(-1, 2)[:, None]
    values, scale = quantize_mx(x, *MINIFLOATS[name])
    grid = minifloat_grid(*MINIFLOATS[name])
    assert torch.isin(values, grid).all() and torch.equal(scale.log2(), scale.log2().round())
    for i, block in enumerate(x.split(32, 1)):  # the last has 4
        shared = scale[:, 32 * i : 32 * i + 32]
        expected = block.abs().amax(1).log2().floor() - grid[-1].log2().floor()
        assert torch.equal(shared, 2.0 ** expected[:, None].expand_as(shared))
    ends = grid[-1] * scale
    assert ((values * scale - x.clamp(-ends, ends)).abs() <= scale * (grid[-1] - grid[-2]) / 2).all()
