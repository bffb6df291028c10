"The ladder of builds: the same bytes on every rung, fewer instructions, and no number where bytes differ."

from dataclasses import replace

import numpy as np
import pytest
from small_models import small_model

from kws_nb.layers import core_layers, run_core
from kws_nb.graph import read_tflite
from kws_nb.core import KwsError
from kws_nb.studies.ladder import (
    ANCHORS,
    STEPS,
    Step,
    anchor_table,
    climb,
    ladder,
    ladder_table,
    plot_ladder,
    round_once,
    step_source,
)
from kws_nb.verify import RawBoard, verification_inputs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["clang", pytest.param("gcc", marks=pytest.mark.needs("arm-none-eabi-gcc"))])
def rungs(request):
    return ladder(toolchain=request.param)


def test_rungs_fall(rungs):
    "From -O3 on every step takes fewer instructions and cycles; `climb` has compared all bytes."
    steps = rungs[2:]
    for a, b in zip(steps, steps[1:]):
        assert a.instructions > b.instructions and a.cycles > b.cycles, (a, b)
    assert {r.inputs for r in rungs} == {9} and len(rungs) == len(STEPS)
    assert rungs[0].instructions > rungs[1].instructions, "PAD as an operator costs something"


def test_each_idea_pays(rungs):
    "What the prose says: edges and SMLAD twice or more each, two columns twice, new rows three times."
    by_name = {r.name: r.cycles for r in rungs}
    gains = [
        ("-O3", "edges asked once an output", 3),
        ("edges asked once an output", "int16 pairs: SMLAD", 2),
        ("dense layer: 4 products a word", "two columns in one SMLAL", 2),
        ("two columns in one SMLAL", "only rows that are new (40 ms)", 3),
    ]
    for before, after, factor in gains:
        assert by_name[before] > factor * by_name[after], f"{after}: {by_name[before] / by_name[after]:.2f} times"


def test_shipped_rungs_are_the_shipped_code(reference, rungs):
    board, x = RawBoard(reference), np.full((49, 40, 1), -128, np.int8)
    board.run(x)
    assert abs(board.machine.watched["inference"]["instructions"] / rungs[-2].instructions - 1) < 0.03


@pytest.mark.parametrize("change", [{"multiplier": ("int32_t", [2**30] * 8)}, {"bias": ("int32_t", [0] * 8)}])
def test_a_wrong_kernel_gets_no_number(change):
    wrong = Step("wrong", lambda layers: [replace(layers[0], arrays=layers[0].arrays | change), *layers[1:]])
    with pytest.raises(KwsError, match="of 9 outputs differ"):
        climb(wrong)


def test_models_of_another_shape_are_refused():
    with pytest.raises(KwsError, match="kernel 8 wide"):
        climb(STEPS[4], small_model("depthwise"))


def test_source_of_any_chain(reference):
    "Layers that have no step go through the same generator: the plain chain gives the plain bytes."
    layers, graph = core_layers(read_tflite(reference)), read_tflite(reference)
    inputs = np.stack(list(verification_inputs(graph.inputs[0], 1).values()))
    board = RawBoard(reference, extra={"kws_model.c": step_source(layers).replace('#include "kws_step.h"', "")})
    np.testing.assert_array_equal([board.run(x) for x in inputs], run_core(reference, inputs))


def test_no_single_rounding_no_step(reference):
    layers = core_layers(read_tflite(reference))
    two_sided = [replace(layers[0], fields=layers[0].fields | {"output_offset": 0}), *layers[1:]]
    with pytest.raises(KwsError, match="RELU"):
        round_once(two_sided)


def test_table_and_picture(rungs):
    assert [row[0] for row in ladder_table(rungs).rows] == [step.name for step in STEPS]
    assert len(anchor_table().rows) == len(ANCHORS)
    shown = plot_ladder(rungs)
    assert [len(trace.y) for trace in shown.data] == [len(STEPS), len(ANCHORS)] and shown.layout.xaxis.type == "log"
