"TinyConv in whole numbers: the same bytes from numpy, the C core on this machine, the board, and interpreters."

from dataclasses import replace

import numpy as np
import pytest

from kws_nb.board import Board, emulated_port
from kws_nb.convert import run_tflite
from kws_nb.core import KwsError
from kws_nb.features import micro_features
from kws_nb.graph import read_tflite, with_int8_weights
from kws_nb.integer import WEIGHT_BITS, round_tinyconv
from kws_nb.layers import core_layers, run_core
from kws_nb.verify import RawBoard

WIDTHS = [(weights, hidden) for weights in WEIGHT_BITS for hidden in (8, 4, 2)]


@pytest.fixture(scope="module")
def real(reference, data):
    "Codes of test clips."
    return read_tflite(reference).inputs[0].quantize(micro_features(data.testing.clips[-48:]))


@pytest.fixture(scope="module")
def extreme():
    "200 inputs: all codes the same, only the ends of the range, rows and columns of them, ramps."
    rng, shape = np.random.default_rng(7), (49, 40)
    same = [np.full(shape, value) for value in (-128, -127, -1, 0, 1, 126, 127)]
    ends = rng.choice([-128, 127], (100, *shape))
    rows = np.broadcast_to(rng.choice([-128, 127], (40, 49, 1)), (40, *shape))
    columns = np.broadcast_to(rng.choice([-128, 127], (40, 1, 40)), (40, *shape))
    ramps = [(np.arange(1960).reshape(shape) * step % 256) - 128 for step in range(1, 14)]
    codes = np.concatenate([same, ends, rows, columns, ramps]).astype(np.int8)
    assert len(codes) == 200
    return codes


def narrowest(network):
    "With one scale for the linear layer, which is all that TensorFlow Lite Micro takes for int4."
    return replace(network, linear_scale=np.full(len(network.labels), network.linear_scale[0]))


@pytest.mark.parametrize("weights, hidden", WIDTHS)
def test_numpy_host_board_and_interpreter_agree(weights, hidden, reference, real, extreme):
    network = round_tinyconv(reference, weights, hidden)
    content, codes = network.to_tflite(), np.concatenate([real, extreme])
    expected = network.run(codes)
    assert len(np.unique(expected)) > 30, "the outputs hardly differ: nothing is compared"
    np.testing.assert_array_equal(run_core(content, codes), expected)
    np.testing.assert_array_equal(run_tflite(with_int8_weights(content), codes, "tflite-micro"), expected)
    board, some = RawBoard(content), slice(None, None, 4)
    np.testing.assert_array_equal([board.run(x) for x in codes[some]], expected[some])


@pytest.mark.parametrize("hidden", [8, 4, 2])
def test_int4_of_tensorflow_lite_micro(hidden, reference, real, extreme):
    "It reads int4 itself, with one scale for a fully connected layer."
    network, codes = narrowest(round_tinyconv(reference, 4, hidden)), np.concatenate([real, extreme])
    content = network.to_tflite()
    assert [len(op.inputs[1].scale) for op in read_tflite(content).operators] == [8, 1]
    np.testing.assert_array_equal(run_tflite(content, codes, "tflite-micro"), network.run(codes))


@pytest.mark.parametrize("hidden", [8, 4, 2])
def test_int4_of_litert(hidden, reference, real):
    "It reads int4, too; in fully connected layers it rounds once instead of twice, so that codes may be off by one."
    network = round_tinyconv(reference, 4, hidden)
    difference = run_tflite(network.to_tflite(), real, "litert").astype(int) - network.run(real)
    assert abs(difference).max() <= 1 and (difference != 0).mean() < (0.05 if hidden == 8 else 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("weights, hidden", [(8, 8), (4, 8), (2, 8), (2, 2)])
def test_every_test_clip_on_the_board(weights, hidden, reference, data):
    network = round_tinyconv(reference, weights, hidden)
    codes = read_tflite(reference).inputs[0].quantize(micro_features(data.testing.clips))
    board, expected = RawBoard(network.to_tflite()), network.run(codes)
    different = [i for i, x in enumerate(codes) if not np.array_equal(board.run(x), expected[i])]
    assert not different, f"{len(different)} of {len(codes)} clips differ, first {different[0]}"


def test_eight_bits_are_the_reference(reference, real):
    network = round_tinyconv(reference)
    whole = network.to_tflite(softmax=True)
    np.testing.assert_array_equal(run_core(whole, real), run_core(reference, real))
    assert [op.name for op in read_tflite(whole).operators] == ["CONV_2D", "FULLY_CONNECTED", "SOFTMAX"]


def test_one_clip_two_shapes_none(reference, real):
    network = round_tinyconv(reference, 4, 4)
    np.testing.assert_array_equal(network.run(real[:1].reshape(1, 1960)), network.run(real)[:1])
    assert network.run(real[:0]).shape == (0, 4)


@pytest.mark.parametrize("bits", range(2, 9))
def test_relu6_clamps_at_the_highest_hidden_code(bits, reference):
    (convolution, _) = core_layers(read_tflite(round_tinyconv(reference, 8, bits).to_tflite()))
    assert (convolution.fields["activation_min"], convolution.fields["activation_max"]) == (-128, -129 + 2**bits)


def test_the_hidden_scale_is_free(reference, real):
    "A RELU does not mind a positive factor: scales of both layers change by it, and no output does (but for rounding)."
    network = round_tinyconv(reference, 4, 4)
    other = replace(
        network,
        hidden_scale=4 * network.hidden_scale,
        conv_scale=4 * network.conv_scale,
        linear_scale=network.linear_scale / 4,
    )
    np.testing.assert_array_equal(other.run(real), network.run(real))
    assert other.to_tflite() == network.to_tflite()


def test_labels_of_its_own(reference, real):
    words = ("_silence_", "_unknown_", "left")
    network = round_tinyconv(reference, 2)
    network = replace(
        network,
        labels=words,
        linear=network.linear[:3],
        linear_scale=network.linear_scale[:3],
        linear_bias=network.linear_bias[:3],
    )
    content = network.to_tflite(softmax=True)
    assert read_tflite(content).labels == words and read_tflite(network.to_tflite()).labels == words
    np.testing.assert_array_equal(run_core(network.to_tflite(), real), network.run(real))
    assert np.array_equal(network.run(real), round_tinyconv(reference, 2).run(real)[:, :3])


@pytest.mark.parametrize("bits", [4, 2])
def test_classify_on_the_live_board(bits, reference, data, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(round_tinyconv(reference, bits, 8).to_tflite(softmax=True))
    clips = data.testing.clips[-3:]
    with Board(emulated_port(model=path)) as board:
        heard = [board.classify(clip).codes for clip in clips]
    np.testing.assert_array_equal(heard, run_core(path, micro_features(clips)))


def test_what_cannot_be_is_refused(reference):
    network = round_tinyconv(reference, 2)
    nan = np.full(8, np.nan)
    for changes, says in [
        (dict(conv=network.conv[..., None]), r"conv has the shape \[8, 10, 8, 1\]; expected \[any, any, any\]"),
        (dict(conv=network.conv[:0]), "conv must be whole numbers, at least one"),
        (dict(conv=network.conv + 0.5), "conv must be whole numbers.*Round the values"),
        (dict(conv=network.conv * np.nan), "conv must be whole numbers"),
        (dict(conv=np.zeros((8, 50, 8))), "filters of 50 × 8; 49 × 40 are the most"),
        (dict(conv=network.conv + 2), "conv holds .* the codes go from -2 to 1"),
        (dict(linear=network.linear - 3), "linear holds .* the codes go from -2 to 1"),
        (dict(linear=network.linear[:, :-1]), r"linear has the shape \[4, 3999\]; expected \[4, 4000\]"),
        (dict(linear_bias=np.full(4, 2.0**31)), "linear_bias holds .* the codes go from -2147483648"),
        (dict(linear_bias=np.full(4, 2**31 - 1)), "sums that do not fit 32 bits"),
        (dict(conv_bias=network.conv_bias[:-1]), r"conv_bias has the shape \[7\]; expected \[8\]"),
        (dict(conv_scale=nan), "conv_scale must be finite and above 0, got nan"),
        (dict(linear_scale=np.zeros(4)), "linear_scale must be finite and above 0, got 0.0"),
        (dict(linear_scale=np.ones(3)), r"linear_scale has the shape \[3\]; expected \[4\]"),
        (dict(input_scale=-1.0), "input_scale must be finite and above 0, got -1.0"),
        (dict(hidden_scale=np.inf), "hidden_scale must be finite"),
        (dict(output_scale=[1.0]), "output_scale has the shape .*; expected a number"),
        (dict(output_scale=1e-30), "too small beside its input's"),
        (dict(input_zero_point=128), "input_zero_point is 128; expected one of -128 to 127"),
        (dict(output_zero_point=0.5), "output_zero_point is 0.5"),
        (dict(hidden_bits=9), "hidden_bits is 9; expected one of 2 to 8"),
        (dict(weight_bits=3), "weight_bits is 3; expected one of 8, 4, 2"),
        (dict(labels=("_silence_", "_unknown_")), "No keyword is named"),
    ]:
        with pytest.raises(KwsError, match=says):
            replace(network, **changes)
            pytest.fail(f"{list(changes)} was taken")
    for codes in (np.zeros((2, 49, 40)), np.zeros((2, 49, 39), np.int8), np.zeros(1960, np.int8)):
        with pytest.raises(KwsError, match=r"expected int8 \[n, 49, 40\] or \[n, 1960\]"):
            network.run(codes)


def test_only_tinyconv_is_rounded(reference):
    from low_bit_models import Chain

    with pytest.raises(
        KwsError, match="The model has FULLY_CONNECTED; TinyConv is one CONV_2D and one FULLY_CONNECTED"
    ):
        round_tinyconv(Chain((8,), 8).connect(3).finish())
