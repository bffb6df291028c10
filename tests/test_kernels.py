"The fast kernels: the plain C's and the interpreter's bytes, and their budgets."

import numpy as np
import pytest

from kws_nb.board import build_firmware
from kws_nb.kernels import fast_layers
from kws_nb.layers import core_layers
from kws_nb.convert import run_tflite
from kws_nb.graph import read_tflite
from kws_nb.features import micro_features
from kws_nb.packing import pack_dot4, pack_pairs_filter, requantize, single_rounding
from kws_nb.protocol_emulated import Machine
from kws_nb.size import image_size
from kws_nb.verify import RawBoard, verification_inputs

TOOLCHAINS = ["clang", pytest.param("gcc", marks=pytest.mark.needs("arm-none-eabi-gcc"))]
BUDGET = dict(  # at most 3 % above what was measured
    clang=dict(inference=(173_500, 252_000), streaming=(54_500, 80_000), flash=23_800, ram=11_600),
    gcc=dict(inference=(173_500, 252_000), streaming=(54_300, 80_000), flash=24_500, ram=11_600),
)


@pytest.fixture(scope="module")
def codes(reference, data):
    "Real, extreme and random inputs of the reference model."
    (tensor,) = read_tflite(reference).inputs
    real = tensor.quantize(micro_features(data.testing.clips[-24:]))
    made = [x[..., 0] for x in verification_inputs(tensor, 24).values()]
    edges = np.full((4, 49, 40), -128, np.int8)
    edges[0, 0, :], edges[1, -1, :], edges[2, :, 0], edges[3, :, -1] = 127, 127, 127, 127
    return np.concatenate([real, np.stack(made), edges])


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_fast_equals_interpreter(toolchain, reference, codes):
    board = RawBoard(reference, toolchain)
    np.testing.assert_array_equal([board.run(x) for x in codes], run_tflite(reference, codes, "tflite-micro"))


def test_fast_equals_plain_on_the_board(reference, codes):
    fast, plain = RawBoard(reference), RawBoard(reference, defines=("KWS_PLAIN_C",))
    for x in codes[::9]:
        np.testing.assert_array_equal(fast.run(x), plain.run(x))
    assert plain.machine.watched["inference"]["instructions"] > 40 * fast.machine.watched["inference"]["instructions"]


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_without_optimisation_all_is_plain_c(toolchain, reference, codes):
    "One switch: at -O0 front end and network both leave their assembly, and the image still links and says the same."
    flags = ("-O0", "-fno-sanitize=undefined")  # zig turns the sanitizer on at -O0, and its library is not there
    unoptimised = RawBoard(reference, toolchain, flags=flags)
    expected = run_tflite(reference, codes[::20], "tflite-micro")
    np.testing.assert_array_equal([unoptimised.run(x) for x in codes[::20]], expected)
    names = Machine(build_firmware(reference, toolchain, flags=flags)).symbols
    assert "kws_mel_channels_dsp" not in names and "kws_conv2d_rows_s8" in names


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_callers_keep_their_registers(toolchain, reference, codes):
    "The convolution borrows all 32 of the FPU; AAPCS leaves s16 to s31 to the caller, an interrupted one included."
    from unicorn import arm_const

    board = RawBoard(reference, toolchain)
    uc = board.machine.uc
    kept = [getattr(arm_const, f"UC_ARM_REG_S{i}") for i in range(16, 32)]
    borrowed = [getattr(arm_const, f"UC_ARM_REG_S{i}") for i in range(16)]
    for register in kept:
        uc.reg_write(register, register)
    board.run(codes[0])
    assert any(uc.reg_read(register) for register in borrowed), "the fast convolution has not run"
    assert [uc.reg_read(register) for register in kept] == kept


def test_the_reference_model_takes_the_fast_kernels(reference):
    layers = fast_layers(core_layers(read_tflite(reference)))
    assert [(layer.fast or layer).kernel for layer in layers] == ["conv2d_pairs", "fully_connected_dot4", "softmax"]


@pytest.mark.parametrize("defines", [(), ("KWS_PLAIN_C",)])
@pytest.mark.parametrize("moved", [1, 2, 4, 6, 38, 40, 49, 100])
def test_streaming_equals_full_window(moved, defines, reference, rng):
    board = RawBoard(reference, defines=defines)
    n = 3 if defines else 6
    rows = rng.integers(-128, 128, (49 + moved * n, 40)).astype(np.int8)
    windows = np.stack([rows[moved * i : moved * i + 49] for i in range(n + 1)])
    heard = [board.run(x, moved if i else 0) for i, x in enumerate(windows)]
    np.testing.assert_array_equal(heard, run_tflite(reference, windows, "tflite-micro"))


def test_streaming_after_mixed_moves(reference, rng):
    board, row, rows = RawBoard(reference), 0, rng.integers(-128, 128, (300, 40)).astype(np.int8)
    board.run(rows[:49])
    for moved in (2, 2, 10, 1, 2, 40, 2, 4):
        row += moved
        window = rows[row : row + 49]
        np.testing.assert_array_equal(board.run(window, moved), run_tflite(reference, window[None], "tflite-micro")[0])


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_budget(toolchain, reference, codes):
    board, budget = RawBoard(reference, toolchain), BUDGET[toolchain]
    for x in codes:
        board.run(x)
    rows = np.concatenate([codes[0], codes[1]])
    for i in range(8):
        board.run(rows[2 * i : 2 * i + 49], 2 if i else 0)
    for name in ("inference", "streaming"):
        measured = board.machine.watched[name]
        spent = measured["instructions"] / measured["calls"], measured["cycles"] / measured["calls"]
        assert all(0.97 * limit <= value <= limit for value, limit in zip(spent, budget[name])), (name, spent)
    size = image_size(board.machine.elf)
    ram = size.ram + board.machine.stack_bytes
    for name, spent in (("flash", size.flash), ("ram", ram)):
        assert 0.97 * budget[name] <= spent <= budget[name], (name, spent)


def test_live_image_fits(reference):
    size = image_size(build_firmware(reference))
    assert size.flash <= 48 * 1024 and size.ram <= 24 * 1024


def test_single_rounding_is_exact_everywhere(rng):
    "Its proof looks at 512 points; here all of the range is looked at."
    found = 0
    for _ in range(20):
        multiplier, shift, zero = int(rng.integers(2**30, 2**31)), -int(rng.integers(8, 12)), -128
        bias, reach = int(rng.integers(-3000, 3000)), int(rng.integers(1000, 1_000_000))

        def f(x, multiplier=multiplier, shift=shift, zero=zero, bias=bias):
            return np.clip(requantize(x + bias, multiplier, shift) + zero, -128, 127)

        packed = single_rounding(f, -reach, reach, multiplier / 2**31 * 2.0**shift, reach)
        if packed is None:
            continue
        found += 1
        b, m, a = packed
        x = np.arange(-reach, reach + 1)
        np.testing.assert_array_equal(np.clip((x + b) * m + (a << 32) >> 39, -128, 127), f(x))
    assert found >= 15
    # rounding half away from zero on both sides of 0 is no straight line

    def two_sided(x):
        return np.clip(requantize(x, 2**30 + 12345, -9), -128, 127)

    assert single_rounding(two_sided, -200_000, 200_000, (2**30 + 12345) / 2**40, 200_000) is None


def test_what_cannot_be_proved_is_not_packed():
    assert pack_pairs_filter(np.full((10, 8), 127), 0, 2**30, -9, -128, -128, 127) is None  # sums of 22 bits
    assert pack_pairs_filter(np.ones((11, 8), int), 0, 2**30, -9, -128, -128, 127) is None  # too many rows
    assert pack_pairs_filter(np.full((10, 8), 9), 0, 2**30, -9, -128, -100, 100) is None  # a clamp that SSAT hasn't
    assert pack_dot4(np.array([[-1, -128, 0, 0]])) is None


def test_packed_dot_products(rng):
    "kws_dot4_s8's arithmetic, word by word."
    weights = rng.integers(-127, 128, (6, 24))
    x = rng.integers(-128, 128, 24)
    packed = pack_dot4(weights).astype(np.int64)
    for group, four in enumerate((weights[:4], weights[4:])):
        for o, w in enumerate(four):
            total = packed[group, o]
            for i, word in enumerate(packed[group, 4 + o :: 4]):
                for half in (0, 1):
                    p, q = x[4 * i + 2 * half : 4 * i + 2 * half + 2]
                    pair = (int(word) >> 16 * half) + 32768 & 0xFFFF
                    pair -= 32768
                    low = (pair + 128 & 0xFF) - 128
                    total += q * pair + (256 * p + 127 - q) * low
            assert total == 256 * (w @ x)


def test_nearly_every_filter_fits_the_fast_convolution(rng):
    "Filters and scales as training makes them: the proof is found, and holds for every sum there is."
    from kws_nb.layers import quantize_multiplier
    from kws_nb.packing import REQUANTIZE_SHIFT, pack_pairs_filter, requantize

    fitted = 0
    for i in range(200):
        weights = rng.standard_normal((10, 8))
        weights = np.rint(127 * weights / np.abs(weights).max()).astype(np.int64)  # symmetric, per channel
        largest = 255 * np.maximum(weights, 0).sum()
        multiplier, shift = quantize_multiplier(rng.uniform(0.8, 4) * 255 / largest)
        bias = int(rng.integers(-largest // 4, largest // 4))
        packed = pack_pairs_filter(weights, bias, multiplier, shift, -128, -128, 127)
        fitted += packed is not None
        if packed and i < 10:
            low = 255 * np.minimum(weights, 0).sum()
            x = np.arange(low, largest + 1)
            low_word, high_word = packed["start"]
            start = low_word >> 21 | (high_word & 0x3FF) << 11  # the middle part
            scaled = (x + start) * packed["multiplier"] + (packed["addend"] << 32)
            fast = np.clip(scaled >> REQUANTIZE_SHIFT, -128, 127)
            np.testing.assert_array_equal(fast, np.clip(requantize(x + bias, multiplier, shift) - 128, -128, 127))
    assert fitted >= 198, f"only {fitted} of 200 filters fit"
