"Any int8 model on the emulated board: every operator, shapes of all kinds, and what is refused."

import json

import numpy as np
import pytest
from small_models import NAMES, keras_model, small_model, to_int8
from typer.testing import CliRunner

import kws_nb.verify
from kws_nb.cli import app
from kws_nb.codegen import core_sources
from kws_nb.kernels import fast_layers
from kws_nb.layers import core_layers, run_core
from kws_nb.convert import run_tflite
from kws_nb.graph import read_tflite
from kws_nb.core import KwsError
from kws_nb.size import count_tflite
from kws_nb.verify import RawBoard, verification_inputs, verify

pytestmark = pytest.mark.tensorflow  # which makes the models


def kernels(content):
    return [(layer.fast or layer).kernel for layer in fast_layers(core_layers(read_tflite(content)))]


@pytest.mark.parametrize("name", NAMES)
def test_small_models(name):
    """On the board and on this machine the bytes of TensorFlow Lite Micro.

    TensorFlow's own interpreter has LiteRT's kernels, of which the fully connected one rounds once instead of twice:
    see test_network. All others give the same bytes.
    """
    content = small_model(name)
    result = verify(content, 12, engine="tflite-micro")
    assert result and result.inputs == 18, result
    inputs = np.stack(list(verification_inputs(read_tflite(content).inputs[0], 64).values()))
    engines = ("tflite-micro", "tensorflow", "litert")
    micro, full, lite = (run_tflite(content, inputs, e).reshape(len(inputs), -1) for e in engines)
    np.testing.assert_array_equal(run_core(content, inputs), micro)
    np.testing.assert_array_equal(full, lite)
    if "FULLY_CONNECTED" not in {op.name for op in read_tflite(content).operators}:
        np.testing.assert_array_equal(full, micro)
    assert [kernel for _, kernel in result.kernels] == kernels(content)
    if name.startswith("pairs"):
        other = {"too large": "conv2d_dot4", "a constant channel": "conv2d_pairs_sparse"}  # nobody reads that channel
        assert kernels(content)[0] == next((other[k] for k in other if k in name), "conv2d_pairs")
    if "shifted" in name:
        assert read_tflite(content).inputs[0].zero_point > -128


@pytest.mark.parametrize("name", ["conv, many channels", "depthwise", "pairs, 20 wide"])
def test_per_tensor(name):
    content = small_model(name, per_channel=False)
    (weights,) = {
        len(op.inputs[1].scale) for op in read_tflite(content).operators if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")
    }
    assert weights == 1 and verify(content, 12, engine="tflite-micro")


def test_a_constant_channel_does_not_slow_its_layer_down():
    "TFLite writes such a channel with a bias of ±2^30; the others' sums are as small as ever."
    content = small_model("constant channels")
    for layer in core_layers(read_tflite(content))[:3]:
        assert {2**30} <= set(np.abs(layer.arrays["bias"][1])), layer.kernel
    assert kernels(content) == ["conv2d_dot4", "depthwise_taps", "conv2d_dot4", "fully_connected_dot4"]


def test_any_zero_point_of_the_input_costs_about_the_same():
    "TinyConv with inputs that reach below 0: its padding is their zero point. (880,338 instructions without.)"
    import tensorflow as tf

    L, rng, instructions = tf.keras.layers, np.random.default_rng(0), []
    for below in (0, 0.8):
        tf.keras.utils.set_random_seed(1)
        convolution = L.Conv2D(8, (10, 8), strides=2, padding="same", activation="relu")
        network = keras_model((49, 40, 1), [convolution, L.Flatten(), L.Dense(4), L.Softmax()])
        content = to_int8(network, np.abs(rng.normal(0, 4, (8, 49, 40, 1))).astype(np.float32) - below)
        result = verify(content, 6, engine="tflite-micro")
        assert result and result.kernels[0][1] == "conv2d_pairs", result
        instructions.append(result.instructions)
    assert read_tflite(content).inputs[0].zero_point > -128 and instructions[1] < 1.04 * instructions[0]


@pytest.mark.needs("arm-none-eabi-gcc")
@pytest.mark.parametrize("name", ["conv, many channels", "pairs, 28 wide", "pairs, shifted", "DS-CNN"])
def test_gcc(name):
    assert verify(small_model(name), 12, engine="tflite-micro", toolchain="gcc")


@pytest.mark.parametrize(
    "name", ["conv same, stride 3", "pairs, 12 wide", "pairs, shifted, 6 taps", "constant channels", "pad"]
)
def test_fast_equals_plain(name):
    content = small_model(name)
    fast, plain = RawBoard(content), RawBoard(content, defines=("KWS_PLAIN_C",))
    for x in verification_inputs(read_tflite(content).inputs[0], 4).values():
        np.testing.assert_array_equal(fast.run(x), plain.run(x))


@pytest.mark.parametrize("name", ["DS-CNN", "pairs, shifted"])
def test_streaming_any_model(name, rng):
    "Rows move up one at a time; where the first layer's stride is 2, every other move computes all of it again."
    content = small_model(name)
    _, height, width, _ = read_tflite(content).inputs[0].shape
    board, rows = RawBoard(content), rng.integers(-128, 128, (height + 15, width, 1)).astype(np.int8)
    moves = (0, 2, 2, 1, 3, 3)
    for i, moved in enumerate(moves):
        at = sum(moves[: i + 1])
        window = rows[at : at + height]
        np.testing.assert_array_equal(
            board.run(window, moved), run_tflite(content, window[None], "tflite-micro").reshape(-1)
        )


def refused(layers, shape=(8, 8, 2)):
    rng = np.random.default_rng(0)
    return to_int8(keras_model(shape, layers), rng.standard_normal((4, *shape)).astype(np.float32))


def test_refused_by_name():
    import tensorflow as tf

    L = tf.keras.layers
    for layers, says in [
        ([L.Conv2D(2, 2), L.Activation("tanh")], "has no TANH; it has CONV_2D"),
        ([L.MaxPool2D()], "has no MAX_POOL_2D.*Use an average"),
        ([L.Conv2D(2, 2, dilation_rate=2)], "[Dd]ilation"),
        ([L.Conv2D(4, 2, groups=2)], "2 groups"),
        ([L.Dense(3)], "FULLY_CONNECTED on|no "),
        ([L.Softmax()], "64 distributions|8 distributions|distributions"),
    ]:
        with pytest.raises(KwsError, match=says):
            verify(refused(layers), 1)


def test_open_batch_and_one_dimension():
    "Shapes computed at run time, and Conv1D's extra dimension, cost nothing."
    import tensorflow as tf

    L, rng = tf.keras.layers, np.random.default_rng(0)
    network = tf.keras.Sequential(
        [L.Input((16, 6)), L.Conv1D(8, 3, activation="relu"), L.Flatten(), L.Dense(4), L.Softmax()]
    )
    content = to_int8(network, rng.standard_normal((4, 16, 6)).astype(np.float32))
    assert {"SHAPE", "EXPAND_DIMS"} & {op.name for op in read_tflite(content).operators}
    assert kernels(content) == ["conv2d_dot4", "fully_connected_dot4", "softmax"] and verify(
        content, 8, engine="tflite-micro"
    )


def test_branches_are_refused():
    import tensorflow as tf

    L = tf.keras.layers
    x = tf.keras.Input((8, 8, 2), batch_size=1)
    y = L.Conv2D(2, 3, padding="same")(x)
    network = tf.keras.Model(x, L.Add()([y, L.Conv2D(2, 1)(y)]))
    content = to_int8(network, np.random.default_rng(0).standard_normal((4, 8, 8, 2)).astype(np.float32))
    with pytest.raises(KwsError, match="no ADD.*chain of layers"):
        verify(content, 1)


def test_float_models_are_refused(tmp_path):
    import tensorflow as tf

    network = keras_model((4,), [tf.keras.layers.Dense(3)])
    content = tf.lite.TFLiteConverter.from_keras_model(network).convert()
    with pytest.raises(KwsError, match="float32 tensor.*calibration"):
        verify(content, 1)


def test_a_batch_that_is_joined_with_another_dimension_is_no_damage():
    "Keras' Dense over a sequence with an open batch: [n, 49, 40] as [49 n, 40], n recorded as 1 on one side only."
    import tensorflow as tf

    for batch in (None, 1):
        x = tf.keras.Input((49, 40), batch_size=batch)
        network = tf.keras.Model(x, tf.keras.layers.Dense(4)(tf.keras.layers.Dense(16)(x)))
        content = tf.lite.TFLiteConverter.from_keras_model(network).convert()
        if batch:
            assert count_tflite(content).macs == 49 * (40 * 16 + 16 * 4)
            continue
        with pytest.raises(KwsError, match="any number of inputs at a time.*Convert it with a batch of 1"):
            count_tflite(content)


@pytest.mark.parametrize("ends", ["int16", "float32"])
def test_models_of_16_bits_are_refused_with_a_remedy(ends):
    import tensorflow as tf

    network = keras_model((4,), [tf.keras.layers.Dense(3)])
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, ends)
    converter.representative_dataset = lambda: [[np.ones((1, 4), np.float32)]]
    content = converter.convert()
    with pytest.raises(KwsError, match="16 bits: convert with tf.lite.OpsSet.TFLITE_BUILTINS_INT8 instead"):
        verify(content, 1)
    assert hasattr(tf.lite.OpsSet, "TFLITE_BUILTINS_INT8")


def test_a_model_that_takes_one_vector():
    "[1, 1960] is evaluated, compiled and run as [1, 49, 40, 1] is; [1, 40, 49, 1] is something else."
    import tensorflow as tf

    L, rng = tf.keras.layers, np.random.default_rng(0)
    features = np.abs(rng.normal(0, 4, (8, 49, 40))).astype(np.float32)
    flat = to_int8(keras_model((1960,), [L.Dense(4), L.Softmax()]), features.reshape(8, -1))
    codes = run_tflite(flat, features, "tflite-micro")
    np.testing.assert_array_equal(codes, run_tflite(flat, features.reshape(8, -1), "tflite-micro"))
    np.testing.assert_array_equal(codes, run_core(flat, features))
    assert "KWS_LABELS 4" in core_sources(flat)["kws_model.h"]
    turned = to_int8(keras_model((40, 49, 1), [L.Flatten(), L.Dense(4), L.Softmax()]), features.reshape(8, 40, 49, 1))
    with pytest.raises(KwsError, match="takes .1, 40, 49, 1., the features are .8, 49, 40."):
        run_tflite(turned, features)
    with pytest.raises(KwsError, match=r"the spotter needs \[1, 49, 40, 1\] or \[1, 1960\]"):
        core_sources(turned)


def test_too_large_for_the_board():
    import tensorflow as tf

    content = refused([tf.keras.layers.Conv2D(64, 1)], (80, 80, 2))
    with pytest.raises(KwsError, match="too large for the board"):
        verify(content, 0)


def test_activations_share_memory():
    "Nine layers of 25 x 5 x 64 take the memory of two."
    import tensorflow as tf

    L = tf.keras.layers
    layers = [L.Conv2D(64, (10, 4), strides=2, padding="same")] + [L.Conv2D(64, 1) for _ in range(8)]
    header = core_sources(refused(layers, (49, 10, 1)), live=False)["kws_model.h"]
    words = int(header.split("KWS_DSP ? ")[1].split(" ")[0])
    assert 4 * words <= 3 * 25 * 5 * 64 + 64


def test_generated_code_is_readable():
    code = core_sources(small_model("DS-CNN"), live=False)["kws_model.c"]
    for text in (
        "// --- DEPTHWISE_CONV_2D, 13 x 5 x 16 to 13 x 5 x 16 ---",
        "static void depthwise_conv2d_1(",
        "enum {",
        "AVERAGE_POOL_3_OUTPUT = ",
    ):
        assert text in code
    assert max(map(len, code.splitlines())) <= 1200


def test_command(tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    path.write_bytes(small_model("mean"))
    done = CliRunner().invoke(app, ["verify", str(path), "--n", "5", "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.output)
    assert (result["inputs"], result["identical"], result["different"]) == (11, 11, []) and result["instructions"] > 0
    wrong = run_tflite(
        path, np.stack(list(verification_inputs(read_tflite(path).inputs[0], 5).values())), "tflite-micro"
    ).copy()
    wrong[7, 0] ^= 1
    monkeypatch.setattr(kws_nb.verify, "run_tflite", lambda *_: wrong)
    done = CliRunner().invoke(app, ["verify", str(path), "--n", "5"])
    assert "CONV_2D, 9 x 7 x 6 to 7 x 5 x 6: conv2d_dot4" in done.output and "6 to 3: fully_connected" in done.output
    assert done.exit_code == 1 and "10 of 11" in done.output and "different: random 1" in done.output
