"Damaged models: refused with a message or run within their own memory, never more."

import json
import os
import resource
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import root
from damaged_models import shape_words
from low_bit_models import Chain
from small_models import NAMES, small_model

from kws_nb.arduino import write_arduino_library
from kws_nb.codegen import core_sources
from kws_nb.core import KwsError
from kws_nb.graph import read_tflite
from kws_nb.integer import round_tinyconv
from kws_nb.memory import measure_size

MOST_MEMORY = 1 << 30  # bytes: of one allocation, and more than enough for all of them


def address_sanitizer():
    "gcc's runtime library; None: there is none here."
    if not shutil.which("gcc"):
        return None
    name = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    return name if Path(name).is_file() else None


def limits():
    "Of a process: the interpreter and numpy with their threads take some address space of their own."
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY + (2 << 30),) * 2)


@pytest.mark.tensorflow
def test_2000_damaged_models_are_refused_or_run_within_bounds(tmp_path, reference):
    """Words of shapes, single bytes: through sizes, code generation and the C kernels on this machine.

    Where gcc's address sanitizer is there, the kernels are compiled with it, every array of theirs is an allocation of
    its own, and an allocation of more than a gibibyte ends the run. Elsewhere the process has that limit.
    """
    files = [reference, *(tmp_path / f"{name.replace(' ', '_')}.tflite" for name in NAMES)]
    for file, name in zip(files[1:], NAMES):
        file.write_bytes(small_model(name))
    for bits in (4, 2):  # packed weights: of TinyConv, and of layers whose weights end within a byte
        chain = Chain((9, 7, 3), bits).convolve(5, (3, 1), activation="RELU6").connect(3)
        for name, content in (("tinyconv", round_tinyconv(reference, bits).to_tflite(True)), ("chain", chain.finish())):
            files.append(tmp_path / f"{name}_{bits}.tflite")
            files[-1].write_bytes(content)
    environment, sanitizer = dict(os.environ, PYTHONPATH=str(root)), address_sanitizer()
    if sanitizer:
        limit = f"allocator_may_return_null=1:max_allocation_size_mb={MOST_MEMORY >> 20}"
        environment |= dict(LD_PRELOAD=sanitizer, PYTHONMALLOC="malloc", ASAN_OPTIONS=f"detect_leaks=0:{limit}")
        environment["CC"] = "gcc -fsanitize=address"

    def run(seed):
        command = [sys.executable, root / "tests/damaged_models.py", "1000", str(seed), *files]
        limited = dict(preexec_fn=None if sanitizer else limits, timeout=900)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, **limited)
        assert done.returncode == 0, done.stderr[:3000]
        return json.loads(done.stdout)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, (0, 1)))
    for result in results:
        assert not result["n_wrong"], result["wrong"]
        assert sum(result["outcomes"].values()) == 1000 and min(result["outcomes"].values()) > 100, result["outcomes"]
        assert sanitizer or result["peak_kib"] << 10 < MOST_MEMORY


def changed(content, at, value):
    result = bytearray(content)
    result[at] = value
    return bytes(result)


def test_every_changed_dimension_is_refused(reference):
    "One byte in a shape: the file is whole, all its weights are there, and it is refused."
    content = reference.read_bytes()
    words = shape_words(content)
    assert len(words) > 15
    for at in words:
        for value in (content[at] + 1, content[at] ^ 128):
            with pytest.raises(KwsError, match="damaged|inputs at a time|the spotter needs|2 groups"):
                core_sources(changed(content, at, value % 256))
                pytest.fail(f"byte {at} made {value}")


def test_a_changed_scale_is_refused(reference):
    "The scales of the biases are those of input times weights; a scale that was changed alone does not fit the others."
    content = reference.read_bytes()
    graph = read_tflite(content)
    for tensor in (graph.inputs[0], graph.operators[0].inputs[1], graph.operators[0].outputs[0]):
        at = content.index(tensor.scale[:1].astype("<f4").tobytes()) + 3
        with pytest.raises(KwsError, match="biases have other scales|damaged"):
            core_sources(changed(content, at, content[at] ^ 2))


def test_arduino_writes_nothing_of_a_damaged_model(reference, tmp_path):
    content = reference.read_bytes()
    path, folder = tmp_path / "model.tflite", tmp_path / "kws_nb"
    at = content.index(np.array([1, 25, 20, 8], "<i4").tobytes()) + 8
    path.write_bytes(changed(content, at, 21))
    with pytest.raises(KwsError, match="tensors of CONV_2D do not fit together.*should be .1, 25, 20, 8."):
        write_arduino_library(folder, path)
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("bits", [4, 2])
def test_every_changed_dimension_of_packed_weights_is_refused(bits, reference):
    content = round_tinyconv(reference, bits).to_tflite()
    for at in shape_words(content):
        with pytest.raises(KwsError, match="damaged|inputs at a time|the spotter needs|2 groups"):
            core_sources(changed(content, at, (content[at] + 1) % 256))
            pytest.fail(f"byte {at} was changed")


@pytest.mark.tensorflow
def test_tensors_without_names_are_no_damage(reference):
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(reference.read_bytes(), 0))
    for tensor in model.subgraphs[0].tensors:
        tensor.name = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    content, named = bytes(builder.Output()), measure_size(reference)
    unnamed = measure_size(content)
    assert (unnamed.operations, unnamed.ram) == (named.operations, named.ram) and unnamed.flash_parts["names"] == 0
    assert sum(unnamed.flash_parts.values()) == len(content)
    assert core_sources(content)["kws_model.c"] == core_sources(reference)["kws_model.c"]
