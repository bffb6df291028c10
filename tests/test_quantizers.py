"Quantisers that learn: their gradients against formulas written another way, inside and outside the range."

import pytest
import torch

from kws_nb.core import KwsError
from kws_nb.quantize import MINIFLOATS, fake_quantize, minifloat_grid, quantize_mx, round_to_grid
from kws_nb.quantizers import MXQuantizer, Quantizer, round_minifloat

KINDS = [("int", bits) for bits in range(2, 9)] + [(name, 1 + sum(bits)) for name, bits in MINIFLOATS.items()]


def numbers(shape=(4, 30), spread=1.0, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double() * spread


@pytest.mark.parametrize("name", MINIFLOATS)
def test_rounding_without_a_table_is_the_tables(name):
    grid = minifloat_grid(*MINIFLOATS[name])
    x = torch.cat([torch.linspace(-1, 1, 5001) * grid[-1], grid, (grid[1:] + grid[:-1]) / 2])
    assert torch.equal(round_minifloat(x, *MINIFLOATS[name]), round_to_grid(x, grid))


def quantizer(format, bits, learned, signed=True, shape=(4, 1)):
    made = Quantizer(bits, shape, format, signed, learned).double()
    x = numbers()
    made.start(x if signed else x.abs(), "percentile")
    with torch.no_grad():
        made.log_scale.add_(torch.log(torch.tensor(0.4)))  # so that a good part lies beyond the range
    return made, (x if signed else x + 0.3).requires_grad_()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("learned", ["lsq", "ste"])
@pytest.mark.parametrize("format, bits", KINDS)
def test_gradients_are_slopes_of_what_they_stand_for(format, bits, learned, signed):
    """Straight through means: rounding errors, measured once, are constants. With them kept the value is smooth,
    and its slope can be measured: of s * (clamp(x / s) + error) for LSQ; for range learning, of
    clamp(x, low * s, high * s) and a constant."""
    made, x = quantizer(format, bits, learned, signed)
    weights = numbers(x.shape, seed=1)
    (made(x) * weights).sum().backward()
    low, high = made.low, made.high
    with torch.no_grad():
        scale, v = made.scale, (x / made.scale).clamp(made.low, made.high)
        error = made._rounded(v) - v

        def smooth(x, log_scale):
            s = log_scale.exp()
            if learned == "lsq":
                return (weights * s * ((x / s).clamp(low, high) + error)).sum()
            return (weights * (x.clamp(low * s, high * s) + error * scale)).sum()

        def slope(at, i, step=1e-7):
            moved = torch.zeros_like(at)
            moved.view(-1)[i] = step
            args = [
                (x + sign * moved, made.log_scale) if at is x else (x, made.log_scale + sign * moved)
                for sign in (1, -1)
            ]
            return (smooth(*args[0]) - smooth(*args[1])) / (2 * step)

        inside = (x / scale >= low) & (x / scale <= high)
        assert 0.05 < inside.double().mean() < 0.98
        measured = torch.stack([slope(x, i) for i in range(x.numel())]).view_as(x)
        assert torch.allclose(measured, x.grad, atol=1e-5)
        assert torch.equal(x.grad, weights * inside)
        # LSQ weighs the scale's gradient; what it weighs is the slope
        of_scale = torch.stack([slope(made.log_scale, i) for i in range(4)]).view(4, 1) * made.weight
        assert torch.allclose(of_scale, made.log_scale.grad, rtol=1e-4, atol=1e-6)


def test_the_lessons_three_lines_are_lsq():
    made, x = quantizer("int", 3, "lsq")
    scale, y = made.scale.detach().requires_grad_(), x.detach().clone().requires_grad_()
    expected, got = fake_quantize(y, scale, -4, 3), made(x)
    assert torch.allclose(got, expected)
    got.square().sum().backward()
    expected.square().sum().backward()
    assert torch.allclose(x.grad, y.grad)
    assert torch.allclose(made.log_scale.grad, scale.grad * scale * made.weight)
    n, highest = 30, 3  # Esser et al. 2020, section 2.2
    assert made.weight == pytest.approx(1 / (n * highest) ** 0.5)


@pytest.mark.parametrize("format, bits", KINDS)
def test_codes_times_scale_are_the_values(format, bits):
    for signed in (True, False):
        made, x = quantizer(format, bits, "", signed)
        codes = made.codes(x)
        assert torch.equal(codes * made.scale, made(x))
        if format == "int":
            assert torch.equal(codes, codes.round())
            ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
            assert codes.min() == ends[0] and codes.max() == ends[1]
        else:
            grid = minifloat_grid(*MINIFLOATS[format]).double()
            assert torch.isin(codes, grid).all() and codes.min() == (grid[0] if signed else 0)
        made(x).sum().backward()
        assert made.log_scale.grad is None  # it is not learned


@pytest.mark.parametrize("format, bits", KINDS)
def test_the_mse_start_errs_least(format, bits):
    errors = {}
    for method in ("minmax", "mse"):
        made, x = Quantizer(bits, (4, 1), format), numbers().float()
        made.start(x, method)
        errors[method] = (made(x) - x).square().sum().item()
    assert errors["mse"] <= errors["minmax"]


def test_uneven_codes_cover_what_lies_on_one_side():
    x, errors = numbers().float() + 6, {}
    for symmetric in (True, False):
        made = Quantizer(4, (4, 1))
        made.start(x, "minmax", symmetric)
        errors[symmetric] = (made(x) - x).square().mean().sqrt()
        assert made.high.max() - made.low.max() == 15
    assert errors[False] < 0.7 * errors[True]


@pytest.mark.parametrize("name", MINIFLOATS)
def test_blocks_are_the_lessons(name):
    x = numbers((3, 70)).float().requires_grad_()
    y = MXQuantizer(name)(x)
    values, scale = quantize_mx(x.detach(), *MINIFLOATS[name])
    assert torch.equal(y, values * scale)
    y.sum().backward()
    assert torch.equal(x.grad, (x.detach().abs() <= minifloat_grid(*MINIFLOATS[name])[-1] * scale).float())


def test_zeros_and_constants_need_no_exception():
    for value in (0.0, 2.5):
        for signed in (True, False):
            made, x = Quantizer(4, (), signed=signed), torch.full((3, 5), value, requires_grad=True)
            made.start(x, "mse")
            y = made(x)
            assert torch.allclose(y, x, rtol=1e-5)
            y.sum().backward()
            assert x.grad.isfinite().all() and made.log_scale.grad.isfinite().all()
    assert not MXQuantizer("E2M1")(torch.zeros(2, 40)).any()


BAD = {
    "bits is 1; expected 2 to 8": dict(bits=1),
    "bits is 9; expected 2 to 8": dict(bits=9),
    "E1M1 has 3 bits with its sign; bits is 2": dict(bits=2, format="E1M1"),
    "expected int, E1M1": dict(bits=4, format="E9M9"),
    "'lsq', 'ste' or ''": dict(learned="sgd"),
}


@pytest.mark.parametrize("says", BAD)
def test_what_no_quantiser_can_make_is_refused(says):
    with pytest.raises(KwsError, match=says):
        Quantizer(**BAD[says])


def test_nan_starts_no_scale():
    for x, says in ((torch.tensor([1.0, torch.nan]), "NaN"), (torch.zeros(0), "empty")):
        with pytest.raises(KwsError, match=says):
            Quantizer(4).start(x)
    with pytest.raises(KwsError, match="E9M9"):
        MXQuantizer("E9M9")
