"The int8 network: three interpreters, the C core on this machine and the C core on the board give the same bytes."

import numpy as np
import pytest
from conftest import extreme_clips

from kws_nb.audio import fit_length
from kws_nb.codegen import core_sources
from kws_nb.layers import core_layers, run_core
from kws_nb.convert import run_tflite
from kws_nb.graph import read_tflite
from kws_nb.core import KwsError
from kws_nb.host import c_core
from kws_nb.features import MAX_FEATURE, micro_features


@pytest.fixture(scope="module")
def expected(data, reference):
    return run_tflite(reference, micro_features(data.testing.clips))  # by TensorFlow Lite Micro


def test_graph_is_exactly_four_operators(reference):
    graph = read_tflite(reference)
    assert [op.name for op in graph.operators] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]
    assert graph.inputs[0].shape == (1, 49, 40, 1) and graph.inputs[0].dtype == graph.outputs[0].dtype == "int8"


def _rounded_once(reference, features):
    "The core's outputs, but the fully connected layer's sums are requantised with one rounding instead of two."
    graph = read_tflite(reference)
    convolution, connected, softmax = core_layers(graph)
    ffi, lib = c_core()
    arrays = {k: ffi.new(f"{t}[]", np.asarray(v).tolist()) for k, (t, v) in convolution.arrays.items()}
    struct = ffi.new("kws_conv2d *", convolution.fields | arrays)
    f, a = connected.fields, {k: np.asarray(v, np.int64) for k, (_, v) in connected.arrays.items()}
    outputs = []
    for codes in graph.inputs[0].quantize(features):
        hidden, scores = ffi.new("int8_t[]", convolution.outputs), ffi.new("int8_t[4]")
        lib.kws_conv2d_s8(struct, ffi.new("int8_t[]", codes.tobytes()), hidden)
        x = np.frombuffer(ffi.buffer(hidden), np.int8).astype(np.int64) + f["input_offset"]
        sums = a["bias"] + (a["weights"].reshape(4, -1) * x).sum(1)
        shift = 31 - a["shift"]
        logits = np.clip(
            (sums * a["multiplier"] + (1 << (shift - 1)) >> shift) + f["output_offset"],
            f["activation_min"],
            f["activation_max"],
        )
        lib.kws_softmax_s8(
            ffi.new("kws_softmax *", softmax.fields), ffi.new("int8_t[]", logits.astype(np.int8).tobytes()), scores
        )
        outputs.append(list(scores))
    return np.array(outputs, np.int8)


@pytest.mark.parametrize("engine", [pytest.param("tensorflow", marks=pytest.mark.tensorflow), "litert"])
def test_others_agree_but_for_one_rounding(engine, data, reference, expected):
    """The fully connected kernel of LiteRT, which TensorFlow has too, rounds a sum once; TFLite Micro's rounds twice.

    It matters where the first of the two roundings makes a tie: about one sum in two thousand, by one unit.
    """
    features = micro_features(data.testing.clips)
    theirs = run_tflite(reference, features, engine)
    np.testing.assert_array_equal(theirs, _rounded_once(reference, features))
    assert (theirs != expected).any(1).mean() < 0.01


def test_core_equals_interpreter(data, reference, expected):
    np.testing.assert_array_equal(run_core(reference, micro_features(data.testing.clips)), expected)


def test_core_equals_interpreter_on_random_and_extreme_codes(reference, rng):
    codes = np.concatenate(
        [rng.integers(-128, 128, (200, 49, 40)), [np.full((49, 40), v) for v in (-128, -1, 0, 127)]]
    ).astype(np.int8)
    np.testing.assert_array_equal(run_core(reference, codes), run_tflite(reference, codes, "tflite-micro"))


@pytest.mark.tensorflow
@pytest.mark.parametrize("input_scale", [0.001, 0.02, 0.2, 2.0, 20.0])
def test_softmax_equals_tflite(input_scale, rng):
    "Against a one-operator model, over scales that reach every branch of the fixed-point exponential."
    import tensorflow as tf

    x = tf.keras.Input((4,), batch_size=1)
    network = tf.keras.Model(x, tf.keras.layers.Softmax()(x))
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    span = np.float32(input_scale * 127)
    converter.representative_dataset = lambda: [[np.array([[-span, span, 0, 0]], np.float32)]]
    content = converter.convert()
    codes = rng.integers(-128, 128, (300, 4)).astype(np.int8)
    interpreter = tf.lite.Interpreter(
        model_content=content, experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    (layer,) = core_layers(read_tflite(content))
    ffi, lib = c_core()
    struct = ffi.new("kws_softmax *", layer.fields)
    for code in codes:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], code[None])
        interpreter.invoke()
        out = ffi.new("int8_t[4]")
        lib.kws_softmax_s8(struct, ffi.new("int8_t[]", code.tobytes()), out)
        assert list(out) == interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].tolist()


@pytest.mark.slow
def test_board_equals_interpreter_on_every_test_clip(board, data, expected):
    assert len(expected) >= 500
    different = [i for i, clip in enumerate(data.testing.clips) if board.classify(clip).codes != tuple(expected[i])]
    assert not different, f"{len(different)} of {len(expected)} clips differ, first {different[0]}"


@pytest.mark.parametrize("name", list(extreme_clips())[::5])
def test_board_equals_interpreter_on_extremes(name, board, reference):
    clip = extreme_clips()[name]
    assert board.classify(clip).codes == tuple(run_tflite(reference, micro_features(clip)[None])[0])


def test_odd_chunks_give_the_same(board, data, rng):
    clip = data.testing.clips[-1]
    whole = board.classify(clip)
    board.command("reset")
    heard, at = [], 0
    while at < len(clip):
        step = int(rng.integers(1, 700))
        heard += board.hear(clip[at : at + step], chunk=step)
        at += step
    assert [(h.sample, h.codes) for h in heard] == [(whole.sample, whole.codes)]


def test_feature_quantisation_is_exact(reference):
    "The board's integer formula gives numpy's codes for every feature there is."
    import re

    (tensor,) = read_tflite(reference).inputs
    header = core_sources(reference)["kws_model.h"]
    multiplier, shift = (
        int(re.search(rf"{name} (\d+)", header)[1]) for name in ("FEATURE_MULTIPLIER", "FEATURE_SHIFT")
    )
    features = np.arange(MAX_FEATURE + 1)
    codes = np.clip((features * multiplier + (1 << (shift - 1)) >> shift) + tensor.zero_point, -128, 127)
    np.testing.assert_array_equal(codes, tensor.quantize(features * 10 / 256))


def test_hearing_two_seconds_equals_sliding_windows(board, reference, data):
    "Every prediction of a longer recording is that of the features so far."
    samples = np.concatenate([data.testing.clips[-1], data.testing.clips[-2]])
    board.command("reset")
    heard = board.hear(samples)
    features = micro_features(samples)
    assert [h.sample for h in heard] == [480 + 320 * (48 + 2 * i) for i in range(len(heard))] and len(heard) == 26
    windows = np.stack([features[2 * i : 2 * i + 49] for i in range(len(heard))])
    np.testing.assert_array_equal([h.codes for h in heard], run_tflite(reference, windows))


def test_short_clip_is_padded(board, reference):
    clip = np.random.default_rng(0).integers(-3000, 3000, 5000).astype(np.int16)
    assert board.classify(clip).codes == tuple(run_tflite(reference, micro_features(fit_length(clip))[None])[0])


@pytest.mark.tensorflow
def test_unsupported_operators_are_named():
    import tensorflow as tf

    x = tf.keras.Input((49, 40, 1), batch_size=1)
    y = tf.keras.layers.Dense(4, activation="softmax")(tf.keras.layers.Flatten()(tf.keras.layers.Activation("tanh")(x)))
    converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(x, y))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter.representative_dataset = lambda: [
        [np.random.default_rng(i).standard_normal((1, 49, 40, 1)).astype(np.float32)] for i in range(4)
    ]
    with pytest.raises(KwsError, match="no TANH"):
        core_sources(converter.convert())
