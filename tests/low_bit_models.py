"Small networks with weights of 8, 4 or 2 bits, in any shape: files that no converter here writes."

import numpy as np

from kws_nb.graph import read_tflite
from kws_nb.integer import TfliteWriter


def random_codes(rng, bits, shape, kind="any"):
    high = 2 ** (bits - 1)
    if kind == "extreme":
        return rng.choice([-high, high - 1], shape)
    if kind in ("least", "most"):
        return np.full(shape, -high if kind == "least" else high - 1)
    if bits == 2:  # of mean 0, so that long sums stay small
        return rng.choice(4, shape, p=[0.1, 0.2, 0.3, 0.4]) - 2
    return rng.integers(-high, high, shape)


class Chain:
    "Layers one after the other, with scales that spread the outputs over the codes."

    def __init__(self, shape, bits, seed=0, kind="any", zero_point=-128):
        self.file, self.bits, self.kind, self.rng = TfliteWriter(), bits, kind, np.random.default_rng(seed)
        self.shape, self.scale, self.zero, self.n = tuple(shape), np.float32(0.1), zero_point, 0
        self.input = self.last = self.file.tensor("input", (1, *shape), "int8", self.scale, zero_point)

    def _layer(self, name, kind, options, weights, shape, zero, channels, axis=0, taps=1):
        codes = random_codes(self.rng, self.bits, weights, self.kind)
        scales = self.rng.uniform(0.5, 2, channels).astype(np.float32)
        biases = self.rng.integers(-40, 40, channels) * taps // 8
        w = self.file.tensor(
            f"w{self.n}", weights, f"int{self.bits}" if self.bits < 8 else "int8", scales, 0, codes, axis
        )
        b = self.file.tensor(f"b{self.n}", (channels,), "int32", self.scale * scales, 0, biases)
        spread = 60 * 2 ** (self.bits - 1) * max(taps, 1) ** 0.5 * (8 if self.kind in ("least", "most") else 1)
        scale = np.float32(self.scale * spread / 64)
        y = self.file.tensor(f"y{self.n}", (1, *shape), "int8", scale, zero)
        self.last = self.file.operator(name, kind, options, (self.last, w, b), y)
        self.shape, self.scale, self.zero, self.n = tuple(shape), scale, zero, self.n + 1
        return self

    def connect(self, outputs, zero=0):
        inputs = int(np.prod(self.shape))
        return self._layer(
            "FULLY_CONNECTED", "FullyConnectedOptions", {}, (outputs, inputs), (outputs,), zero, outputs, taps=inputs
        )

    def convolve(self, channels, kernel, stride=(1, 1), padding="SAME", activation="RELU", zero=-128, depthwise=False):
        height, width, inputs = self.shape
        out = [
            -(-n // s) if padding == "SAME" else (n - k) // s + 1 for n, k, s in zip((height, width), kernel, stride)
        ]
        options = dict(Padding=padding, StrideH=stride[0], StrideW=stride[1], FusedActivationFunction=activation)
        options |= dict(DilationHFactor=1, DilationWFactor=1)
        if depthwise:
            options["DepthMultiplier"] = channels // inputs
        name, kind = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", "Conv2DOptions")
        weights = (1, *kernel, channels) if depthwise else (channels, *kernel, inputs)
        taps = int(np.prod(kernel)) * (1 if depthwise else inputs)
        return self._layer(name, kind, options, weights, (*out, channels), zero, channels, 3 * depthwise, taps)

    def finish(self):
        return self.file.finish(self.input, self.last)


def inputs_of(content, n=24, seed=1):
    "Random and extreme codes for a model."
    rng, shape = np.random.default_rng(seed), read_tflite(content).inputs[0].shape[1:]
    extreme = [np.full(shape, value) for value in (-128, 127, -1, 0)]
    edges = rng.choice([-128, 127], (n // 2, *shape))
    return np.concatenate([extreme, edges, rng.integers(-128, 128, (n, *shape))]).astype(np.int8)
