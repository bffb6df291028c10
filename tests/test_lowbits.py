"Weights of 4 and 2 bits: packed files, their kernels in plain C and with DSP instructions, and what they cost."

import json
from dataclasses import replace

import numpy as np
import pytest
from low_bit_models import Chain, inputs_of, random_codes
from typer.testing import CliRunner

from kws_nb.arduino import tflm_sources
from kws_nb.bench import LOW_BIT_GOALS, bench_low_bits
from kws_nb.cli import app
from kws_nb.convert import run_tflite
from kws_nb.core import KwsError
from kws_nb.graph import read_tflite, with_int8_weights
from kws_nb.integer import round_tinyconv
from kws_nb.kernels import fast_layers, kernel_names
from kws_nb.layers import core_layers, run_core
from kws_nb.memory import measure_size
from kws_nb.packing import pack_bits, pack_dot4_w2, pack_dot4_w4, unpack_bits
from kws_nb.verify import RawBoard, verify

TOOLCHAINS = ["clang", pytest.param("gcc", marks=pytest.mark.needs("arm-none-eabi-gcc"))]
BITS = (4, 2)
CHAINS = {  # layers; kernels of the second and later layers, those of 2 bits
    "connected": lambda c: c((8,)).connect(24).connect(40).connect(112).connect(120).connect(13).connect(5),
    "connected, long": lambda c: c((16,)).connect(448).connect(456).connect(1008).connect(9),
    "connected, odd": lambda c: c((7,)).connect(9).connect(3).connect(1),
    "connected, one word": lambda c: c((8,)).connect(8).connect(8).connect(3),
    "convolutions": lambda c: c((9, 7, 5)).convolve(6, (3, 2)).convolve(7, (1, 1)).connect(5),
    "a column": lambda c: c((9, 1, 3)).convolve(4, (3, 1), (2, 1)).convolve(5, (2, 1), padding="VALID").connect(3),
    "depthwise": lambda c: c((9, 6, 8)).convolve(8, (3, 3), depthwise=True).convolve(6, (1, 1)),
    "depthwise of one channel": lambda c: c((9, 6, 1)).convolve(6, (3, 3), depthwise=True).connect(4),
    "pairs, 20 wide": lambda c: c((23, 40, 1)).convolve(3, (10, 8), (3, 2)).connect(4),
    "pairs, 12 wide": lambda c: c((12, 23, 1)).convolve(2, (9, 7), (1, 2)).connect(3),
    "pairs, shifted": lambda c: (
        c((12, 40, 1), zero_point=-77).convolve(4, (10, 6), (2, 2), activation="RELU6").connect(4)
    ),
}


def chain(name, bits, **kwargs):
    return CHAINS[name](lambda shape, **more: Chain(shape, bits, **kwargs, **more)).finish()


def kernels(content):
    return [kernel for _, kernel in kernel_names(fast_layers(core_layers(read_tflite(content))))]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", CHAINS)
def test_plain_fast_host_and_interpreter_agree(name, bits):
    content = chain(name, bits)
    x = inputs_of(content)
    expected = run_tflite(with_int8_weights(content), x, "tflite-micro").reshape(len(x), -1)
    assert len(np.unique(expected)) > 3, "the outputs hardly differ: nothing is compared"
    np.testing.assert_array_equal(run_core(content, x), expected)
    fast, plain = RawBoard(content), RawBoard(content, defines=("KWS_PLAIN_C",))
    np.testing.assert_array_equal([fast.run(one) for one in x], expected)
    np.testing.assert_array_equal([plain.run(one) for one in x[::9]], expected[::9])


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("kind", ["extreme", "least", "most"])
@pytest.mark.parametrize("name", ["connected, long", "convolutions", "pairs, 20 wide"])
def test_extreme_weights(name, kind, bits):
    content = chain(name, bits, kind=kind)
    x = inputs_of(content, 8)
    expected = run_tflite(with_int8_weights(content), x, "tflite-micro").reshape(len(x), -1)
    fast = RawBoard(content)
    np.testing.assert_array_equal([fast.run(one) for one in x], expected)


@pytest.mark.needs("arm-none-eabi-gcc")
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", ["connected, long", "convolutions", "pairs, 20 wide"])
def test_gcc(name, bits):
    assert verify(chain(name, bits), 12, toolchain="gcc")


def test_which_kernel_a_layer_gets():
    assert kernels(chain("pairs, 20 wide", 4)) == ["conv2d_pairs_packed", "fully_connected_dot4_w4"]
    assert kernels(chain("pairs, 20 wide", 2)) == ["conv2d_pairs_packed", "fully_connected_dot4_w2"]
    assert kernels(chain("convolutions", 2)) == ["conv2d_dot4_packed"] * 2 + ["fully_connected_packed"]
    assert kernels(chain("depthwise of one channel", 4))[0] == "conv2d_dot4_packed"
    # no kernel for the bits: they are stored in more, and it is said
    assert kernels(chain("depthwise", 4))[0] == "depthwise_taps, int4 stored in 8 bits"
    first, *others = kernels(chain("connected, one word", 2))  # an input at any address
    assert first == "fully_connected_dot4_w4, int2 stored in 4 bits" and others == ["fully_connected_dot4_w2"] * 2
    least = kernels(chain("connected, long", 2, kind="least"))
    assert set(least) == {"fully_connected_dot4_w4, int2 stored in 4 bits"}


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("share", [1, 0.25, 1 / 64])
def test_outputs_on_a_finer_scale_than_the_sums(share, bits, reference, rng):
    "Few hidden levels and small weights: the factor may be above 1/2, where int8 layers never are."
    network = round_tinyconv(reference, bits, 2)
    network = replace(network, output_scale=share * network.output_scale)
    content, x = network.to_tflite(), rng.integers(-128, 128, (12, 49, 40)).astype(np.int8)
    shifts = core_layers(read_tflite(content))[1].arrays["shift"][1]
    assert share == 1 or max(shifts) >= 0
    assert kernels(content) == ["conv2d_pairs_packed", f"fully_connected_dot4_w{bits}"]
    board = RawBoard(content)
    np.testing.assert_array_equal([board.run(one) for one in x], network.run(x))


@pytest.mark.parametrize("hidden", range(2, 9))
@pytest.mark.parametrize("bits", BITS)
def test_fewer_hidden_levels_cost_little(bits, hidden, reference, rng):
    "Every width has the fast kernels, in plain C the same bytes, and at most 6,000 instructions more than 8 bits."
    network = round_tinyconv(reference, bits, hidden)
    content, x = network.to_tflite(), rng.integers(-128, 128, (8, 49, 40)).astype(np.int8)
    assert kernels(content) == ["conv2d_pairs_packed", f"fully_connected_dot4_w{bits}"]
    board = RawBoard(content)
    np.testing.assert_array_equal([board.run(one) for one in x], network.run(x))
    watched = board.machine.watched["inference"]
    assert watched["instructions"] / watched["calls"] < {4: 175_500, 2: 168_500}[bits] + 6_000 * (hidden < 8)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_bits_are_packed_as_tflite_has_them(bits, rng):
    codes = random_codes(rng, bits, 1001)
    content = pack_bits(codes, bits)
    assert len(content) == -(-1001 * bits // 8)
    np.testing.assert_array_equal(unpack_bits(content, bits, 1001), codes)
    assert pack_bits(np.array([1, -1]), 4) == b"\xf1" and pack_bits(np.array([1, 0, -1, -2]), 2) == b"\xb1"


def test_packed_dot_products_of_4_bits(rng):
    "kws_dot4_w4_s8's arithmetic, word by word."
    weights, x = random_codes(rng, 4, (6, 24)), rng.integers(-128, 128, 24)
    packed = pack_dot4_w4(weights).astype(np.int64)
    for group, four in zip(packed, (weights[:4], weights[4:])):
        for o, w in enumerate(four):
            total = 0
            for step, word in enumerate(group[o::4]):
                for up, inputs in ((12, (0, 2)), (8, (1, 3)), (4, (4, 6)), (0, (5, 7))):
                    masked = int(word) << up & 0xF000F000
                    for half, i in enumerate(inputs):
                        total += (((masked >> 16 * half & 0xFFFF) ^ 0x8000) - 0x8000) * x[8 * step + i]
            assert total == 4096 * (w @ x)


@pytest.mark.parametrize("sums, fits", [(63, True), (64, False)])
def test_what_two_bits_gather_between_two_looks(sums, fits):
    "28 inputs, of which 1 - w adds up to as much as 14 bits hold."
    low = np.zeros(28, int)
    low[: sums // 3], low[sums // 3] = 3, sums % 3
    weights = np.stack([low * 0, 1 - low, low * 0, low * 0])
    weights = np.pad(weights, ((0, 0), (0, 4)), constant_values=0)
    assert (pack_dot4_w2(np.roll(weights, 4, axis=1)) is not None) == fits


@pytest.mark.parametrize("hidden", [8, 2])
@pytest.mark.parametrize("bits", BITS)
def test_streaming_equals_full_window(bits, hidden, reference, rng):
    content = round_tinyconv(reference, bits, hidden).to_tflite(softmax=True)
    board, moves = RawBoard(content), (0, 2, 2, 10, 1, 2, 40, 2, 4)
    rows, at = rng.integers(-128, 128, (200, 40)).astype(np.int8), 0
    for moved in moves:
        at += moved
        window = rows[at : at + 49]
        np.testing.assert_array_equal(board.run(window, moved), run_core(content, window[None])[0])


@pytest.mark.parametrize("bits", BITS)
def test_callers_keep_their_registers(bits, reference, rng):
    "AAPCS leaves s16 to s31 to the caller."
    from unicorn import arm_const

    board = RawBoard(round_tinyconv(reference, bits).to_tflite())
    kept = [getattr(arm_const, f"UC_ARM_REG_S{i}") for i in range(16, 32)]
    for register in kept:
        board.machine.uc.reg_write(register, register)
    board.run(rng.integers(-128, 128, (49, 40)).astype(np.int8))
    assert [board.machine.uc.reg_read(register) for register in kept] == kept


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("n", [1, 7])
def test_a_truncated_buffer_is_refused(bits, n):
    "The number of a buffer's bytes is made smaller, or the shape larger: neither is read."
    content = chain("connected, one word", bits)
    size = 64 * bits // 8
    for old, new in (
        (size.to_bytes(4, "little") + b"", (size - n).to_bytes(4, "little")),
        (np.array([8, 8], "<i4").tobytes(), np.array([8, 8 + n], "<i4").tobytes()),
    ):
        at, refused = content.find(old), 0
        while at >= 0:
            try:
                read_tflite(content[:at] + new + content[at + len(old) :])
            except KwsError as error:
                assert "damaged" in str(error)
                refused += 1
            at = content.find(old, at + 1)
        assert refused >= 2


def test_a_file_of_few_bits_as_int8(reference):
    "The same network: values, scales and operators."
    for bits in BITS:
        content = round_tinyconv(reference, bits).to_tflite()
        whole = with_int8_weights(content)
        for old, new in zip(read_tflite(content).operators, read_tflite(whole).operators):
            assert (old.inputs[1].dtype, new.inputs[1].dtype) == (f"int{bits}", "int8")
            np.testing.assert_array_equal(new.inputs[1].data, old.inputs[1].data)
            np.testing.assert_array_equal(new.inputs[1].scale, old.inputs[1].scale)
        assert with_int8_weights(whole) == whole
    with pytest.raises(KwsError, match="no .tflite file"):
        with_int8_weights(b"something else")


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_goals(toolchain):
    "Instructions as shares of the int8 model's; cycles by the model of the processor; bytes of the weights."
    result = bench_low_bits(toolchain)
    for key, (what, unit, goal, beside) in LOW_BIT_GOALS.items():
        limit = goal * result[beside] if beside else goal
        assert 0.9 * limit <= result[key] <= limit, f"{key}: {result[key]:,} {unit}, the goal is {limit:,.0f} ({what})"


def test_size_counts_packed_bytes(reference):
    whole = measure_size(round_tinyconv(reference).to_tflite())
    for bits in BITS:
        size = measure_size(round_tinyconv(reference, bits).to_tflite())
        assert size.operations.macs == whole.operations.macs and size.operations.parameters == 16_652
        assert size.flash_parts["weights and biases"] == 16_640 * bits // 8 + 4 * 12
        assert sum(row.weight_bytes for row in size.operations.layers) == 16_640 * bits // 8 + 4 * 12
        assert sum(size.flash_parts.values()) == size.flash


@pytest.mark.parametrize("bits", BITS)
def test_commands(bits, reference, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(round_tinyconv(reference, bits).to_tflite(softmax=True))
    done = CliRunner().invoke(app, ["verify", str(path), "--n", "3", "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.output)
    assert result["inputs"] == result["identical"] == 9 and result["engine"] == "tflite-micro, weights as int8"
    assert result["kernels"][1][1] == f"fully_connected_dot4_w{bits}"
    done = CliRunner().invoke(app, ["size", str(path)])
    assert done.exit_code == 0 and f"{16_640 * bits // 8 + 48:,}" in done.output, done.output
    sources = tflm_sources(path)["g_model.c"]
    assert f"g_model_len = {len(with_int8_weights(path))}" in sources
