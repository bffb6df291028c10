"""Damaged models through everything that reads one, in a process of its own: the worker of test_damaged_models.

`python damaged_models.py N SEED FILE...` prints a JSON object: how many changed files were refused and run, and what
went wrong. Any error that is no KwsError is wrong; whether memory stays within bounds, the caller's limits say.
"""

import json
import resource
import sys
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import tflite

from kws_nb.codegen import core_sources
from kws_nb.core import KwsError
from kws_nb.graph import read_tflite, with_int8_weights
from kws_nb.layers import run_core
from kws_nb.memory import measure_size
from kws_nb.verify import verification_inputs

WORDS = (-(2**31), -2, -1, 0, 1, 2, 3, 5, 8, 40, 255, 32767, 32768, 65536, 2**24, 2**30, 2**31 - 1)


def shape_words(content):
    "Where the words of all tensors' shapes lie."
    places, subgraph = [], tflite.Model.GetRootAs(content).Subgraphs(0)
    for i in range(subgraph.TensorsLength()):
        table = subgraph.Tensors(i)._tab
        if offset := table.Offset(4):
            start = table.Vector(offset)
            places += [start + 4 * j for j in range(table.VectorLen(offset))]
    return places


def data_ranges(content):
    "First byte and end of each stored constant."
    model, ranges = tflite.Model.GetRootAs(content), []
    for i in range(model.BuffersLength()):
        table = model.Buffers(i)._tab
        if offset := table.Offset(4):
            start = table.Vector(offset)
            ranges.append((start, start + table.VectorLen(offset)))
    return ranges


class Damager:
    "Changes words of shapes, bytes anywhere, and bytes outside the weights, one kind after the other."

    def __init__(self, content):
        self.content, self.shapes = content, shape_words(content)
        inside = np.zeros(len(content), bool)
        for start, end in data_ranges(content):
            inside[start:end] = True
        self.outside = np.flatnonzero(~inside)

    def damage(self, kind, rng):
        changed = bytearray(self.content)
        if kind == 0:
            for at in rng.choice(self.shapes, rng.integers(1, 3)):
                old = int.from_bytes(changed[at : at + 4], "little", signed=True)
                value = int(rng.choice([*WORDS, old + 1, old - 1, 2 * old, old // 2]))
                changed[at : at + 4] = (value & 0xFFFFFFFF).to_bytes(4, "little")
        else:
            places = self.outside if kind == 1 else np.arange(len(changed))
            for at in rng.choice(places, rng.integers(1, 4)):
                changed[at] = rng.integers(0, 256)
        return bytes(changed)


def use(content):
    "What `kws-nb size` and `kws-nb verify` do with a model, but for the compiler."
    measure_size(content)
    core_sources(content, live=False)
    with_int8_weights(content)
    inputs = verification_inputs(read_tflite(content).inputs[0], 1)
    run_core(content, np.stack(list(inputs.values())[-2:]))


def main(n, seed, *files):
    sources, outcomes, wrong = [Damager(Path(path).read_bytes()) for path in files], Counter(), []
    for source in sources:
        use(source.content)
    for i in range(int(n)):
        source = i % len(sources)
        content = sources[source].damage(i // len(sources) % 3, np.random.default_rng([int(seed), i]))
        try:
            use(content)
            outcomes["ran"] += 1
        except KwsError as error:
            outcomes["refused"] += 1
            if len(str(error)) > 400 or "\n" in str(error):
                wrong.append((i, files[source], str(error)))
        except Exception:
            wrong.append((i, files[source], traceback.format_exc()[-1500:]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(dict(outcomes=outcomes, wrong=wrong[:5], n_wrong=len(wrong), peak_kib=peak)))


if __name__ == "__main__":
    main(*sys.argv[1:])
