"The line protocol on the emulated board, spoken to as MLPerf Tiny's runner speaks, and with our own commands."

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import serial

from kws_nb.audio import read_clip, to_int16
from kws_nb.board import Board, parse_detection, parse_line, reference_model
from kws_nb.convert import run_tflite
from kws_nb.graph import read_tflite
from kws_nb.core import LABELS, SMOOTHING, KwsError, checkout
from kws_nb.features import micro_features

CLIPS = {path.stem: to_int16(read_clip(path)) for path in (checkout() / "data/clips").glob("*.wav")}
RUNNER_BYTES = 31  # of data that the runner puts into one command


class Runner:
    "What the runner asks and reads, and nothing else: commands end with %, an answer with a line that holds m-ready."

    def __init__(self, serial):
        self.serial = serial

    def ask(self, command):
        self.serial.write(f"{command}%".encode())
        lines = []
        while not lines or "m-ready" not in lines[-1]:
            line = self.serial.read_until(b"\n")
            assert line.endswith(b"\r\n"), f"no answer to {command}"
            lines.append(line.decode("ascii").strip())
        return lines

    def find(self, command, pattern):
        return [match[1] for line in self.ask(command) if (match := re.match(pattern, line))]

    def load(self, data):
        self.ask(f"db load {len(data)}")
        for at in range(0, len(data), RUNNER_BYTES):
            answer = self.ask("db " + "".join(f"{byte:02x}" for byte in data[at : at + RUNNER_BYTES]))
        return answer

    def infer(self, runs, warmups):
        answer = self.ask(f"infer {runs} {warmups}")
        laps = [int(m[1]) for line in answer if (m := re.match(r"^m-lap-us-([0-9]+)$", line))]
        results = [m[1] for line in answer if (m := re.match(r"^m-results-\[([^]]+)\]$", line))]
        assert len(laps) == 2 and len(results) == 1
        return laps[1] - laps[0], [float(value) for value in results[0].split(",")]


@pytest.fixture
def board():
    with Board() as opened:
        yield opened


@pytest.fixture
def runner(board):
    return Runner(board.serial)


def test_runner_identifies_the_board(runner):
    assert runner.find("name", r"^m-name-dut-\[([^]]+)]$") == ["kws_nb tinyconv"]
    assert runner.find("profile", r"^m-model-\[([^]]+)]$") == ["kws01"]
    assert len(runner.find("profile", r"^m-profile-\[([^]]+)]$")) == 1


def test_runner_accuracy_mode_gives_the_interpreters_scores(runner):
    features = np.stack([micro_features(clip) for clip in CLIPS.values()])
    codes = read_tflite(reference_model()).inputs[0].quantize(features)
    for word, window, scores in zip(CLIPS, codes, run_tflite(reference_model(), codes)):
        assert runner.load(window.tobytes()) == ["m-load-done", "m-ready"]
        _, results = runner.infer(1, 0)
        assert results == [round((int(code) + 128) / 256 + 1e-9, 3) for code in scores]
        assert LABELS[int(np.argmax(results))] == word


def test_runner_performance_mode_times_only_the_runs(runner):
    runner.load(bytes(1960))
    one, _ = runner.infer(1, 0)
    three, _ = runner.infer(3, 2)
    assert one > 1000 and three == pytest.approx(3 * one, rel=0.01)


def test_timestamps_count_up(runner):
    first, second = (int(runner.find("timestamp", r"^m-lap-us-([0-9]+)$")[0]) for _ in range(2))
    assert second > first


def test_loading_is_not_disturbed_by_the_microphone(board, runner):
    runner.load(bytes(range(200)))
    board.hear(CLIPS["yes"])
    assert runner.ask("db print 8")[0] == "m-buffer-00-01-02-03-04-05-06-07"
    assert board.settings(stream="on")["stream"] == "on"
    assert board.classify(CLIPS["yes"]).label == "yes"


def test_a_word_is_detected_once(board):
    sound = np.concatenate([CLIPS["yes"], np.zeros(8000, np.int16)] * 2)
    board.settings(suppression=65535)
    board.hear(sound)
    first, *more = [d for d in board.detections if d.label == "yes"]
    assert first.sequence == 0 and first.sample < 24_000 and not more
    board.settings(suppression=SMOOTHING["suppression_ms"])
    board.command("reset")
    board.hear(sound)
    found = [d for d in board.detections if d.label == "yes"]
    assert len(found) == 2 and (found[0].sample, found[0].score) == (first.sample, first.score)
    assert found[1].sample - found[0].sample > SMOOTHING["suppression_ms"] * 16
    for detection in found:
        near = [h for h in board.predictions if detection.sample - 16_000 <= h.sample <= detection.sample]
        mean = np.mean([h.codes[LABELS.index(detection.label)] + 128 for h in near])
        assert detection.score == int(mean) > SMOOTHING["threshold"]


def test_smoothing_is_set_at_run_time(board):
    names = dict(threshold="threshold", window="window_ms", suppression="suppression_ms", count="minimum_count")
    constants = {name: SMOOTHING[constant] for name, constant in names.items()}
    assert board.settings() == dict(stream="on", hop=2, **constants)
    changed = dict(threshold=100, window=200, suppression=0, count=2)
    assert board.settings(**changed) == dict(stream="on", hop=2, **changed)
    board.hear(CLIPS["yes"])
    assert not board.detections  # one second holds one prediction
    board.hear(np.concatenate([CLIPS["yes"], np.zeros(4000, np.int16)]))
    assert board.detections[0].label in LABELS
    with pytest.raises(KwsError, match="threshold takes 0 to 255"):
        board.settings(threshold=256)


def test_the_bench_times_each_stage(board):
    times = board.bench(3)
    assert list(times) == ["preprocessing", "inference", "postprocessing"]
    for spread in times.values():
        for unit in ("us", "cycles"):
            assert spread[f"min_{unit}"] <= spread[f"mean_{unit}"] <= spread[f"max_{unit}"]
        assert spread["mean_cycles"] == pytest.approx(64 * spread["mean_us"], abs=64 * 2)
    before = board.machine.watched["inference"]
    board.bench(2)
    after = board.machine.watched["inference"]
    per_call = (after["cycles"] - before["cycles"]) / 2
    assert after["calls"] - before["calls"] == 2
    assert times["inference"]["mean_cycles"] == pytest.approx(per_call, rel=0.01)


def test_noise_on_the_line_ends_with_one_command(board):
    rng = np.random.default_rng(0)
    for length in (1, 95, 96, 97, 5000):
        board.serial.write(rng.integers(0, 256, length, np.uint8).tobytes())
        board.serial.write(b"%")
        board.serial.reset_input_buffer()
        assert board.command("name") == ["m-name-dut-[kws_nb tinyconv]"]


def test_lines_that_were_cut_or_garbled_are_no_lines():
    heard, detected = "m-kws-heard,1,15840,yes,-128,-128,127,-127*E071", "m-kws-detected,0,20640,yes,203*A1E3"
    for line, parse in ((heard, parse_line), (detected, parse_detection)):
        assert parse(line)
        for at in range(len(line)):
            assert parse(line[:at]) is None
            assert parse(line[:at] + chr(ord(line[at]) ^ 1) + line[at + 1 :]) is None


def test_the_runner_can_open_the_board_as_a_serial_device():
    "`kws-nb serve`, and a program that knows nothing but devices."
    command = [sys.executable, "-c", "from kws_nb.cli import main; main()", "serve"]
    environment = os.environ | {"PYTHONPATH": str(checkout())}
    served = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        device = served.stdout.readline().strip()
        assert device.startswith("/dev/")
        with serial.Serial(device, 115200, timeout=60) as port:
            runner = Runner(port)
            port.write(b"%name%")  # how much of the greeting was lost at the opening is not known
            lines = iter(lambda: port.read_until(b"\n"), b"")
            assert any(line.startswith(b"m-name-dut-") for line in lines) and next(lines) == b"m-ready\r\n"
            assert runner.find("name", r"^m-name-dut-\[([^]]+)]$") == ["kws_nb tinyconv"]
            assert runner.load(bytes(1960)) == ["m-load-done", "m-ready"]
            elapsed_us, results = runner.infer(10, 1)
            assert elapsed_us > 1000 and len(results) == len(LABELS)
    finally:
        served.terminate()
        served.wait(60)
