"The C code on this machine, under the address and undefined-behaviour sanitizers and without a compiler's warning."

import re
import shutil
import struct
from collections import deque

import numpy as np
import pytest
from ccode import C_TESTS, CORE, HOST, compile_program, core_units, has_libfuzzer, model_folder, run_program

from kws_nb.audio import read_clip, to_int16
from kws_nb.board import reference_model
from kws_nb.convert import run_tflite
from kws_nb.graph import read_tflite
from kws_nb.core import LABELS, SMOOTHING, checkout
from kws_nb.features import micro_features

CLIPS = sorted((checkout() / "data/clips").glob("*.wav"))


@pytest.mark.parametrize("clip", [path.stem for path in CLIPS])
def test_frontend_gives_the_golden_features(clip, tmp_path):
    samples = tmp_path / "samples"
    samples.write_bytes(to_int16(read_clip(checkout() / f"data/clips/{clip}.wav")).astype("<i2").tobytes())
    units = [CORE / name for name in ("kws_frontend.c", "kws_tables.c")]
    program = compile_program("test_frontend", [C_TESTS / "test_frontend.c", *units])
    run_program(program, samples, C_TESTS / f"golden/{clip}.features")


def test_batches_give_what_the_stream_gives():
    units = [CORE / "kws_frontend.c", CORE / "kws_tables.c", *HOST.glob("kws_host_*.c")]
    run_program(compile_program("test_host", [C_TESTS / "test_host.c", *units]))


def test_square_root_at_once_equals_digit_by_digit():
    run_program(compile_program("test_sqrt", [C_TESTS / "test_sqrt.c"], ["-O3"]))


def test_network_gives_the_interpreters_bytes():
    features = np.stack([micro_features(to_int16(read_clip(path))) for path in CLIPS])
    real = read_tflite(reference_model()).inputs[0].quantize(features)
    rng = np.random.default_rng(0)
    constant = [np.full((49, 40), value, np.int8) for value in (-128, -1, 0, 127)]
    extreme = np.stack([*constant, rng.choice([-128, 127], (49, 40)).astype(np.int8)])
    windows = np.concatenate([real.reshape(-1, 49, 40), extreme, rng.integers(-128, 128, (10, 49, 40), np.int8)])
    program = compile_program("run_model", [C_TESTS / "run_model.c", *core_units()])
    scores = np.frombuffer(run_program(program, input=windows.tobytes()), np.int8).reshape(-1, len(LABELS))
    np.testing.assert_array_equal(scores, run_tflite(reference_model(), windows).reshape(-1, len(LABELS)))


def test_protocol():
    run_program(compile_program("test_protocol", [C_TESTS / "test_protocol.c", *core_units()]))


def test_ring():
    run_program(compile_program("test_ring", [C_TESTS / "test_ring.c", CORE / "kws_ring.c"]))


def test_functions_in_headers_are_static_inline():
    "A plain `static` one is a warning in each file that doesn't call it, and one without either is defined twice."
    stand_ins = C_TESTS / "arduino"  # other people's headers, in C++
    headers = [header for header in sorted((checkout() / "firmware").rglob("*.h")) if stand_ins not in header.parents]
    bodies = {}
    for header in headers:
        for kind, name in re.findall(r"^(\w[^;{}#/\n]*?)\b(\w+)\([^;{}]*\)\s*\{", header.read_text(), re.MULTILINE):
            bodies[header.name, name] = kind
    assert ("kws_math.h", "kws_sqrt64") in bodies and ("kws_mel_plain.h", "mel_filter_bank") in bodies
    assert [body for body, kind in bodies.items() if "static inline " not in kind] == []


def test_one_header_chooses_the_kernels():
    "Two switches once disagreed: at -O0 the network was fast and the front end plain."
    units = [path for path in (checkout() / "firmware").rglob("*") if path.suffix in (".c", ".h", ".S")]
    asking = [unit.name for unit in units if re.search("__ARM_FEATURE|__ARM_FP|KWS_PLAIN_C", unit.read_text())]
    assert asking == ["kws_cpu.h"]


class Reference:
    "TensorFlow Lite Micro's RecognizeCommands, told again in Python; what it says about silence is left out."

    def __init__(self, window_ms, threshold, suppression_ms, minimum_count):
        self.set(window_ms, threshold, suppression_ms, minimum_count)
        self.reset()

    def set(self, window_ms, threshold, suppression_ms, minimum_count):
        self.window, self.quarter, self.suppression = window_ms * 16, window_ms // 4 * 16, suppression_ms * 16
        self.threshold, self.minimum_count = threshold, minimum_count

    def reset(self):
        self.results, self.last_label, self.last_sample = deque(maxlen=64), 0, -(10**9)

    def process(self, sample, codes):
        self.results.append((sample, np.array(codes) + 128))
        while self.results[0][0] < sample - self.window:
            self.results.popleft()
        if len(self.results) < self.minimum_count or sample - self.results[0][0] < self.quarter:
            return None
        averages = sum(scores for _, scores in self.results) // len(self.results)
        top = int(np.argmax(averages))
        since = sample - self.last_sample if self.last_label != 0 else 10**9
        if averages[top] <= self.threshold or (top == self.last_label and since <= self.suppression):
            return None
        self.last_label, self.last_sample = top, sample
        return None if top == 0 else (sample, top, int(averages[top]))


def speech_like(rng, n, step):
    "Stretches in which one label wins, of every length."
    sample, label = 0, 0
    for _ in range(n):
        if rng.random() < 0.06:
            label = int(rng.integers(0, 4))
        sample += int(step if rng.random() < 0.97 else rng.integers(0, 40) * 320)
        codes = rng.integers(-128, -60, 4)
        codes[label] = rng.integers(50, 128)
        yield sample, codes.tolist()


def recognize(lines):
    program = compile_program("run_recognizer", [C_TESTS / "run_recognizer.c", CORE / "kws_recognizer.c"])
    return run_program(program, input="\n".join(lines).encode() + b"\n").decode().splitlines()


SETTINGS = [
    SMOOTHING,
    dict(window_ms=500, threshold=150, suppression_ms=0, minimum_count=1),
    dict(window_ms=3000, threshold=100, suppression_ms=500, minimum_count=64),
    dict(window_ms=1, threshold=0, suppression_ms=65535, minimum_count=1),
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("step", [320, 640, 3200])
def test_recognizer_equals_the_reference(settings, step):
    reference, expected = Reference(**settings), []
    lines = ["set {window_ms} {suppression_ms} {threshold} {minimum_count}".format(**settings)]
    for n, (sample, codes) in enumerate(speech_like(np.random.default_rng(step), 4000, step)):
        if n == 3000:
            lines.append("reset")
            reference.reset()
        lines.append(" ".join(map(str, (sample, *codes))))
        if detection := reference.process(sample, codes):
            expected.append("{} {} {}".format(*detection))
    assert recognize(lines) == expected
    assert len(expected) > 2 or settings["minimum_count"] * step > settings["window_ms"] * 16


def test_recognizer_starts_with_the_courses_constants():
    lines = [f"{sample} -128 -128 127 -128" for sample in range(0, 40_000, 640)]
    reference = Reference(**SMOOTHING)
    found = [reference.process(int(line.split()[0]), [-128, -128, 127, -128]) for line in lines]
    assert recognize(lines) == ["{} {} {}".format(*d) for d in found if d] == ["4480 2 255", "28800 2 255"]


def test_recognizer_survives_the_wrap_of_the_sample_count():
    start = 2**32 - 3200
    lines = [f"{(start + n * 640) % 2**32} -128 -128 127 -128" for n in range(10)]
    assert recognize(lines) == [f"{(start + 7 * 640) % 2**32} 2 255"]


def test_recognizer_refuses_settings_out_of_range():
    assert recognize(["set 0 0 0 1", "set 1 0 0 0", "set 1 0 0 65", "set 65535 65535 255 64"]) == ["refused"] * 3


FUZZED = ("kws_protocol.c", "kws_line.c", "kws_report.c", "kws_recognizer.c")


def fuzzed_units():
    "The protocol, and the model with its kernels, which nobody calls."
    return [*(CORE / name for name in FUZZED), *CORE.glob("kws_*_s8.c"), model_folder() / "kws_model.c"]


CORPUS = sorted((C_TESTS / "corpus").iterdir())


@pytest.mark.slow
def test_protocol_survives_the_corpus_and_random_changes():
    program = compile_program("replay_protocol", [C_TESTS / "fuzz_protocol.c", *fuzzed_units()])
    assert run_program(program, 40_000, *CORPUS) == f"{len(CORPUS)} files, 40000 changed inputs\n".encode()


@pytest.mark.slow
def test_protocol_survives_a_fuzzer(tmp_path):
    "libFuzzer looks for new paths for 15 s; where there is none, the replay above goes on with more changes."
    units = [C_TESTS / "fuzz_protocol.c", *fuzzed_units()]
    if not has_libfuzzer():
        run_program(compile_program("replay_protocol", units), 80_000, *CORPUS)
        return
    flags = ["-fsanitize=fuzzer", "-DKWS_LIBFUZZER"]
    program = compile_program("fuzz_protocol", units, flags, cc=shutil.which("clang"))
    found = tmp_path / "found"
    found.mkdir()
    # Linux counts the memory of whoever started it into its peak: so single allocations are limited instead
    memory = ["-rss_limit_mb=0", "-malloc_limit_mb=64"]
    limits = ["-max_total_time=15", "-max_len=600", "-seed=1", "-timeout=300", *memory]
    places = [f"-dict={C_TESTS / 'protocol.dict'}", f"-artifact_prefix={tmp_path}/", found, C_TESTS / "corpus"]
    run_program(program, *limits, *places)


def test_golden_features_are_whole():
    for path in (C_TESTS / "golden").iterdir():
        assert len(path.read_bytes()) == 49 * 40 * struct.calcsize("<H")
