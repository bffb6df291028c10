"The demo as a user runs it, and its figures."

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from conftest import root

pytestmark = pytest.mark.slow

KEYS = set(
    "data n_test accuracy_float accuracy_int8 accuracy_board board_equals_interpreter frontend_instructions_per_frame "
    "inference_instructions inference_ms_estimated flash_bytes ram_bytes".split()
)


@pytest.fixture(scope="module")
def demo():
    done = subprocess.run(
        [Path(sys.executable).parent / "kws-nb", "demo"], capture_output=True, text=True, cwd=root, env=os.environ
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((root / "build/demo.json").read_text()), done.stdout


def test_shows_every_clip_and_a_table(demo):
    result, shown = demo
    assert KEYS <= set(result)
    assert shown.count("the board heard") == result["n_test"] >= 500
    assert f"{result['flash_bytes']:,}" in shown and result["data"] in shown


def test_accuracy(demo, data):
    "On real recordings the figures the project promises; on synthetic speech that it has learned something."
    result, _ = demo
    assert result["data"] == data.name and result["n_test"] == len(data.testing)
    least = 0.80 if "synthetic" in data.name else 0.87
    assert result["accuracy_float"] >= least
    assert abs(result["accuracy_int8"] - result["accuracy_float"]) <= 0.01
    for name in ("float", "int8", "board"):
        low, high = result[f"interval_{name}"]
        assert low < result[f"accuracy_{name}"] < high and high - low < 0.08


def test_board_is_the_interpreter(demo):
    result, _ = demo
    assert result["board_equals_interpreter"] == 1 and result["accuracy_board"] == result["accuracy_int8"]


def test_fits_the_board(demo):
    result, _ = demo
    assert result["flash_bytes"] < 2**20 and result["ram_bytes"] < 2**18
    assert (
        0 < result["ram_stack_bytes"] < 4096
        and result["ram_bytes"] == result["ram_static_bytes"] + result["ram_stack_bytes"]
    )
    assert 10_000 < result["frontend_instructions_per_frame"] < 100_000 and result["inference_instructions"] >= 168_000


def test_reference_metrics_belong_to_the_reference_model(reference):
    "metrics.json describes the model beside it: its size in flash is that of the image built from it."
    from kws_nb.board import build_firmware
    from kws_nb.size import image_size
    from kws_nb.train import BETTER, load_model

    metrics = json.loads((root / "data/models/metrics.json").read_text())
    _, about = load_model(root / "data/models/tinyconv.safetensors")
    assert (
        metrics["data"] == about["data"]
        and metrics["accuracy_float"] >= 0.87
        and metrics["board_equals_interpreter"] == 1
    )
    assert metrics["sha256"] == {
        name: hashlib.sha256((root / "data/models" / name).read_bytes()).hexdigest()
        for name in ("tinyconv.safetensors", "tinyconv.tflite")
    }
    best = max(metrics["seeds"], key=lambda run: run["validation"])
    assert (
        len(metrics["seeds"]) == 5
        and best["seed"] == metrics["settings"]["seed"] == about["seed"]
        and best["test"] == metrics["accuracy_float"]
    )
    assert metrics["settings"] == asdict(replace(BETTER, seed=best["seed"])), (
        "the recipe has changed since: run kws-nb reference"
    )
    assert metrics["flash_bytes"] == image_size(build_firmware()).flash, (
        "run kws-nb reference: the firmware has changed"
    )
