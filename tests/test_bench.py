"The budget of the live image: every goal of `make bench`, and no more than 3 % above what was reached."

import json

import explorer_moves
import pytest
from conftest import root

from kws_nb.bench import GOALS, LOW_BIT_GOALS, SPARSE_GOALS, bench, run_bench
from kws_nb.training_bench import TRAINING_GOALS

REACHED = dict(
    inference_instructions=172_228,
    inference_cycles_estimated=250_730,
    streaming_hop_instructions=53_995,
    frontend_frame_instructions=20_811,
    frontend_init_instructions=271,
    flash_bytes=41_276,
    ram_bytes=15_904,
)


@pytest.mark.parametrize("toolchain", ["clang", pytest.param("gcc", marks=pytest.mark.needs("arm-none-eabi-gcc"))])
def test_budget(toolchain):
    result = bench(toolchain)
    for key, (what, _, goal, _) in GOALS.items():
        assert result[key] <= goal, f"{what}: {result[key]:,} is over the goal of {goal:,}"
        assert result[key] <= 1.03 * REACHED[key], f"{what}: {result[key]:,} is over the budget of {REACHED[key]:,}"


@pytest.mark.slow
def test_bench_prints_and_writes(capsys):
    result = run_bench()
    assert json.loads((root / "build/bench.json").read_text()) == result
    assert set(GOALS) | set(LOW_BIT_GOALS) | set(SPARSE_GOALS) | set(TRAINING_GOALS) | {"compiler", "latency"} <= set(
        result
    )
    assert len(result["latency"]) == 4 and all(ms > 0 for ms in result["latency"].values()), result["latency"]
    shown = capsys.readouterr().out
    assert all(f"{result[key]:,}" in shown and anchor in shown for key, (_, _, _, anchor) in GOALS.items())
    assert all(f"{result[key]}" in shown for key in TRAINING_GOALS)
    assert all(f"{result[key]:,}" in shown for key in LOW_BIT_GOALS | SPARSE_GOALS)


@pytest.mark.slow
def test_the_explorer_is_timed_beside_the_rest(tmp_path, capsys):
    "What was measured before stays in the file."
    path = tmp_path / "bench.json"
    path.write_text('{"flash_bytes": 1}')
    explorer_moves.keep(path)
    kept = json.loads(path.read_text())
    assert kept["flash_bytes"] == 1 and 0 < kept["explorer"]["median"] <= kept["explorer"]["slowest"]
    assert f"{kept['explorer']['median']}" in capsys.readouterr().out
