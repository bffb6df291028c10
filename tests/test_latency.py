"Times are never asserted: only how they are taken, that engines agree first, and that what is missing is said."

import subprocess
import sys

import numpy as np
import pytest
import torch

from kws_nb.codegen import core_sources
from kws_nb.convert import run_tflite
from kws_nb.graph import read_tflite
from kws_nb.core import KwsError, models_dir
from kws_nb.features import micro_features
from kws_nb.latency import (
    LayerRate,
    Roof,
    build_engines,
    core_engine,
    first_calls,
    latency_table,
    litert_engine,
    micro_engine,
    onnx_engine,
    plot_latencies,
    plot_roofline,
    probabilities,
    time_calls,
    time_cuda,
    time_engines,
    time_layers,
    torch_engine,
)
from kws_nb.models import TinyConv
from kws_nb.train import load_model


class FakeClock:
    "A function whose first calls take long, and the clock that sees it: no time of this machine is involved."

    def __init__(self, slow_calls, slow=0.05, fast=0.001):
        self.now, self.calls, self.slow_calls, self.slow, self.fast = 0.0, 0, slow_calls, slow, fast

    def call(self):
        self.calls += 1
        self.now += self.slow if self.calls <= self.slow_calls else self.fast

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def model():
    return load_model(models_dir() / "tinyconv.safetensors")[0]


@pytest.fixture(scope="module")
def features(data):
    return micro_features(data.testing.clips[:20])


@pytest.fixture(scope="module")
def int8(reference):
    return reference.read_bytes()


@pytest.fixture(scope="module")
def codes(int8, features):
    return read_tflite(int8).inputs[0].quantize(features)


def test_warmup_is_not_timed():
    clock = FakeClock(slow_calls=12)
    row = time_calls(clock.call, warmup=12, seconds=0.1, timer=clock)
    assert max(row.times) == pytest.approx(0.001) and clock.calls > 12 + len(row.times)
    clock = FakeClock(slow_calls=12)
    assert max(time_calls(clock.call, warmup=0, seconds=0.1, timer=clock).times) == pytest.approx(0.05)


def test_short_calls_are_timed_in_blocks():
    clock = FakeClock(slow_calls=0, fast=1e-6)
    row = time_calls(clock.call, seconds=0.01, timer=clock)
    assert row.block == pytest.approx(100, abs=1) and row.median == pytest.approx(1e-6)
    assert len(row.times) * row.block * 1e-6 >= 0.01


def test_long_calls_are_timed_at_least_five_times():
    clock = FakeClock(slow_calls=0, fast=30.0)
    assert len(time_calls(clock.call, seconds=0.01, timer=clock).times) == 5


def test_a_real_clock():
    row = time_calls(lambda: sum(range(100)), "sum", batch=7, seconds=0.02)
    low, median, high = row.quartiles
    assert 0 < min(row.times) <= low <= median <= high <= max(row.times) and row.iqr == high - low >= 0
    assert (
        (row.name, row.batch, row.threads) == ("sum", 7, 1)
        and "IQR" in str(row)
        and f"{len(row.times):4} blocks" in str(row)
    )


def test_threads_are_set_and_given_back():
    seen, before = set(), torch.get_num_threads()
    time_calls(lambda: seen.add(torch.get_num_threads()), threads=before + 1, seconds=0.001)
    assert seen == {before + 1} and torch.get_num_threads() == before

    def fails():
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        time_calls(fails, threads=before + 1)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("wrong", [dict(seconds=0), dict(seconds=-1), dict(warmup=-1), dict(threads=0)])
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(KwsError, match="expected 0 or more calls"):
        time_calls(int, **wrong)


def test_engines_agree(model, features, int8, codes):
    "The float engines to the last digits; the int8 engines byte for byte, but for LiteRT's one rounding."
    eager = torch_engine(model, features)()
    assert eager.shape == (20, 4) and np.allclose(eager.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(onnx_engine(model, features)(), eager, atol=1e-5)
    expected = run_tflite(int8, codes, "tflite-micro")
    np.testing.assert_array_equal(micro_engine(int8, codes)(), expected)
    np.testing.assert_array_equal(core_engine(core_sources(int8), codes)(), expected)
    for threads in (1, 2):
        assert np.abs(litert_engine(int8, codes, threads)().astype(int) - expected).max() <= 1
    assert np.abs(probabilities(expected) - eager).max() < 0.1


@pytest.mark.slow
def test_compiled_pytorch_agrees_or_says_why_not(model, features):
    builders = {
        "eager": lambda: torch_engine(model, features[:1]),
        "compiled": lambda: torch_engine(model, features[:1], compiled=True),
    }
    engines, missing = build_engines(builders, tolerance=1e-5)
    assert "eager" in engines and {*engines, *missing} == {"eager", "compiled"}
    assert all(": " in reason for reason in missing.values())


def test_the_core_gives_fresh_arrays(int8, codes):
    "A second run must not change what the first returned."
    engine = core_engine(core_sources(int8), codes)
    first = engine()
    first[:] = 0
    assert engine().any()


def test_a_model_that_does_not_compile_is_named(int8, codes):
    sources = core_sources(int8) | {"kws_model.c": "no C at all"}
    with pytest.raises(KwsError, match="does not compile"):
        core_engine(sources, codes)


def test_the_core_refuses_what_it_cannot_read(int8, codes, features):
    "C would read past the end of a short clip, and floats would wrap."
    sources = core_sources(int8)
    for x in (features, codes[:, :48], codes.astype(np.int16)):
        with pytest.raises(KwsError, match="1960 for a clip"):
            core_engine(sources, x)


def test_other_scores_are_not_timed(model, features):
    def other():
        torch.manual_seed(1)
        return torch_engine(TinyConv(), features)

    with pytest.raises(KwsError, match="another gives other scores than PyTorch"):
        build_engines({"PyTorch": lambda: torch_engine(model, features), "another": other})


def test_missing_engines_are_rows_with_a_reason(model, features):
    def absent():
        raise ImportError("No module named 'fast_engine'")

    def broken():
        def run():
            raise RuntimeError("no compiler found\nand a long story")

        return run

    rows = time_engines(
        {"absent": absent, "PyTorch": lambda: torch_engine(model, features[:1]), "broken": broken},
        batch=1,
        seconds=0.01,
    )
    assert [row.name for row in rows] == ["absent", "PyTorch", "broken"]
    assert [bool(row.times) for row in rows] == [False, True, False]
    assert "fast_engine" in str(rows[0]) and rows[2].reason == "RuntimeError: no compiler found"
    assert np.isnan(rows[0].median)
    assert "not available: ImportError" in latency_table(rows)._repr_markdown_() and "nan" not in str(
        latency_table(rows)
    )
    shown = [y for trace in plot_latencies(rows).data for y in trace.y]
    assert shown == ["PyTorch"], "a time was drawn that was never taken"


def test_no_gpu_no_times(model, features):
    if torch.cuda.is_available():
        row = time_cuda(model, features[:1], repeats=20)
        assert len(row.times) == 20 and min(row.times) > 0
    else:
        with pytest.raises(KwsError, match="nothing measured"):
            time_cuda(model, features)


@pytest.mark.slow
def test_first_call_of_a_fresh_process():
    (run,) = first_calls(1)
    assert set(run) == {"profiler_ms", "clock_ms", "later_ms"} and min(run.values()) > 0


def test_first_call_that_fails_says_why(monkeypatch):
    monkeypatch.setattr("kws_nb.latency._FIRST_CALL", "raise SystemExit('it broke')")
    with pytest.raises(KwsError, match="it broke"):
        first_calls(1)


def test_layers_have_the_models_work():
    conv, linear = time_layers(TinyConv(), seconds=0.001)
    assert (conv.macs, linear.macs) == (320_000, 16_000)
    assert conv.bytes == 4 * (648 + 58 * 46 + 4000) and linear.bytes == 4 * (16_004 + 4000 + 4)
    (first, _) = time_layers(TinyConv(), batch=3, seconds=0.001)
    assert first.macs == 3 * conv.macs and first.intensity > conv.intensity, "weights are read once for all three"


def test_roof():
    roof = Roof("x", macs_per_s=100.0, bytes_per_s=200.0)
    assert roof.attainable(0.25) == 50 and roof.attainable(0.5) == 100 and roof.attainable(9) == 100
    assert roof.in_turn(0.5) == 50 and roof.in_turn(1e9) == pytest.approx(100)
    line, points = plot_roofline({roof: [LayerRate("fc", macs=40, bytes=20, seconds=2.0)]}).data
    assert (points.x[0], points.y[0]) == (2, 20e-6) and max(line.y) == 100e-6


def test_importing_loads_no_engine():
    "The engines are imported when they are built."
    engines = {"torch", "onnxruntime", "tflite_micro", "ai_edge_litert", "tensorflow", "plotly"}
    code = f"import sys, kws_nb.latency; print(sorted({engines} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
