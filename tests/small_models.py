"Tiny int8 models of every operator, built with Keras and TensorFlow's converter when a test asks for them."

from functools import lru_cache

import numpy as np


def _build(name, k):  # input shape, layers, kind of input
    L = k.layers

    def same(filters, kernel, strides=1):
        return L.Conv2D(filters, kernel, strides=strides, padding="same", activation="relu")

    def end(labels, *more):
        return [L.Flatten(), L.Dense(labels), *more]

    separable = [L.DepthwiseConv2D(3, padding="same", activation="relu"), L.Conv2D(16, 1, activation="relu")]
    one_channel = L.DepthwiseConv2D((5, 4), strides=(2, 1), depth_multiplier=6, padding="same", activation="relu")
    ds_cnn = [same(16, (10, 4), 2), *separable, L.AveragePooling2D((13, 5)), *end(12, L.Softmax())]
    constant = [
        L.Conv2D(8, 3, padding="same", activation="relu6"),
        *separable,
        L.Flatten(),
        L.Dense(6, activation="relu"),
    ]
    pooled = [
        L.Conv2D(3, 2),
        L.AveragePooling2D((3, 2), strides=2, padding="same"),
        L.Flatten(),
        L.Dense(7, activation="relu"),
    ]
    return {
        "conv, many channels": ((9, 7, 5), [L.Conv2D(6, (3, 2), activation="relu"), *end(5)], "signed"),
        "conv 1x1, stride 2": ((8, 6, 8), [L.Conv2D(10, 1, strides=2, activation="relu6"), *end(3)], "signed"),
        "conv same, stride 3": ((10, 11, 3), [L.Conv2D(4, 4, strides=3, padding="same")], "positive"),
        "depthwise": ((9, 6, 8), [separable[0], L.Conv2D(6, 1)], "signed"),
        "depthwise, 3 for each channel": (
            (8, 9, 2),
            [L.DepthwiseConv2D((2, 3), strides=2, depth_multiplier=3)],
            "signed",
        ),
        "depthwise, one channel": ((20, 16, 1), [one_channel, *end(4, L.Softmax())], "positive"),
        "average pool": ((9, 7, 3), pooled, "signed"),
        "mean": ((9, 7, 6), [L.Conv2D(6, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(3)], "signed"),
        "mean, dimensions kept": (
            (9, 7, 5),
            [L.Conv2D(5, 2), L.GlobalAveragePooling2D(keepdims=True), L.Conv2D(3, 1)],
            "signed",
        ),
        "pad": ((7, 6, 3), [L.ZeroPadding2D(((1, 2), (0, 3))), L.Conv2D(4, 3, strides=2, activation="relu")], "signed"),
        "fully connected": ((37,), [L.Dense(11, activation="relu6"), L.Dense(4), L.Softmax()], "signed"),
        "fully connected, long": ((1300,), [L.Dense(9), L.Dense(4)], "signed"),
        "pairs, 20 wide": ((23, 40, 1), [same(3, (10, 8), (3, 2)), *end(4, L.Softmax())], "positive"),
        "pairs, 12 wide": ((11, 23, 1), [same(5, (9, 7), (1, 2)), *end(3)], "positive"),
        "pairs, 28 wide": ((6, 56, 1), [same(2, (10, 8), 2), *end(3)], "positive"),
        "pairs, largest sums": ((12, 40, 1), [same(4, (8, 8), 2), *end(4)], "positive"),
        "pairs, sums too large": ((20, 40, 1), [same(2, (10, 8), 2), *end(4)], "positive"),
        "fully connected, largest sums": ((1100,), [L.Dense(5)], "signed"),
        "DS-CNN": ((25, 10, 1), ds_cnn, "signed"),
        "pairs, shifted": ((23, 40, 1), [same(3, (10, 8), (3, 2)), *end(4, L.Softmax())], "shifted"),
        "pairs, shifted, 6 taps": ((11, 40, 1), [same(2, (10, 6), (1, 2)), *end(3)], "shifted"),
        "constant channels": ((9, 8, 3), constant, "signed"),
        "pairs, a constant channel": ((12, 40, 1), [same(4, (8, 8), 2), *end(4)], "positive"),
    }[name]


NAMES = (
    "conv, many channels",
    "conv 1x1, stride 2",
    "conv same, stride 3",
    "depthwise",
    "depthwise, 3 for each channel",
    "depthwise, one channel",
    "average pool",
    "mean",
    "mean, dimensions kept",
    "pad",
    "fully connected",
    "fully connected, long",
    "pairs, 20 wide",
    "pairs, 12 wide",
    "pairs, 28 wide",
    "pairs, largest sums",
    "pairs, sums too large",
    "fully connected, largest sums",
    "DS-CNN",
    "pairs, shifted",
    "pairs, shifted, 6 taps",
    "constant channels",
    "pairs, a constant channel",
)


def keras_model(shape, layers):
    import tensorflow as tf

    x = tf.keras.Input(shape, batch_size=1)
    y = x
    for layer in layers:
        y = layer(y)
    return tf.keras.Model(x, y)


def to_int8(network, inputs, per_channel=True):
    "The network as a full int8 .tflite, calibrated with the inputs."
    from kws_nb.convert import quiet_tensorflow

    with quiet_tensorflow():
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        converter.representative_dataset = lambda: [[x[None]] for x in inputs]
        converter._experimental_disable_per_channel = not per_channel
        return converter.convert()


def _make_constant(layer):
    "Two channels that give the same whatever comes in: no weights, and a bias that a RELU cuts off, or doesn't."
    if not layer.weights:
        return
    weights, bias = (value.copy() for value in layer.get_weights())
    depthwise = "depthwise" in layer.name
    for channel, value in ((1, -4.0), (2, 3.0)):
        weights[(..., channel, slice(None)) if depthwise else (..., channel)] = 0
        bias[channel] = value
    layer.set_weights([weights, bias])


@lru_cache
def small_model(name, per_channel=True):
    "The bytes of an int8 .tflite with random weights."
    import tensorflow as tf

    tf.keras.utils.set_random_seed(len(name))
    shape, layers, kind = _build(name, tf.keras)
    network, rng = keras_model(shape, layers), np.random.default_rng(0)
    for weights in network.weights:
        weights.assign(rng.normal(0, 0.3, weights.shape))
        if "sums" in name:  # all weights become 127 or -127; the first outputs' all 127
            signs = rng.choice([-1.0, 1.0], weights.shape)
            signs[..., 0] = 1
            weights.assign(signs * 0.3 * (len(weights.shape) > 1))
    if "constant" in name:
        for layer in network.layers:
            _make_constant(layer)
    inputs = rng.normal(0, 1, (8, *shape)).astype(np.float32)
    if kind != "signed":
        inputs = np.abs(inputs) - (0.4 if kind == "shifted" else 0)  # a zero point of -128, or above
    return to_int8(network, inputs, per_channel)
