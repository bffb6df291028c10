"The Arduino library and its sketches, compiled over a thin shim for this machine and a Cortex-M4, run from a WAV file."

import binascii
import os
import re
import shutil
import subprocess
import sys
import wave

import numpy as np
import pytest
from ccode import C_TESTS, ROOT, SANITIZE

from kws_nb.arduino import write_arduino_library
from kws_nb.audio import read_clip, to_int16
from kws_nb.board import Board, parse_detection, parse_fields, parse_line, reference_model
from kws_nb.core import KwsError, MICROPHONE_SETTLING_MS
from kws_nb.protocol_emulated import Machine

SHIM, BOARD, FIRMWARE = C_TESTS / "arduino", ROOT / "firmware/emulated", ROOT / "firmware/kws"
SKETCHES = ("kws_live", "kws_tflm")
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
ZIG = [sys.executable, "-m", "ziglang"]
CORTEX_M4 = [
    "-target",
    "thumb-freestanding-eabihf",
    "-mcpu=cortex_m4+vfp4d16sp",
    "-O2",
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
]
SETTLING = np.zeros(MICROPHONE_SETTLING_MS * 16, np.int16)
YES = to_int16(read_clip(ROOT / "data/clips/yes.wav"))
SOUND = np.concatenate([SETTLING, YES, np.zeros(6000, np.int16)])


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_arduino_library(tmp_path_factory.mktemp("arduino") / "kws_nb")


def compile_all(c, cpp, units, include, flags, link, output):
    objects, folder = [], output.parent
    for unit in units:
        is_cpp, language = (
            unit.suffix in (".cpp", ".ino"),
            {".c": "c", ".S": "assembler-with-cpp"}.get(unit.suffix, "c++"),
        )
        command = [
            *(cpp if is_cpp else c),
            *WARNINGS,
            *flags,
            *{"c": ["-std=c11"], "c++": ["-std=c++17"]}.get(language, []),
        ]
        if is_cpp:
            command += ["-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-include", "Arduino.h"]
        skipped = {BOARD} if is_cpp else set()  # its string.h is C
        headers = [part for place in include if place not in skipped for part in ("-I", place)]
        objects.append(folder / f"{output.stem}-{unit.stem}-{unit.suffix[1:]}.o")
        command += [*headers, "-x", language, "-c", unit, "-o", objects[-1]]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    done = subprocess.run([str(part) for part in (*link, *objects, "-o", output)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output


def units_of(library, sketch):
    folder = library / "examples" / sketch
    return [
        folder / f"{sketch}.ino",
        *folder.glob("*.c"),
        *sorted((library / "src").glob("*.c")),
        SHIM / "shim.cpp",
        SHIM / "main.c",
    ]


@pytest.fixture(scope="module")
def build(library, tmp_path_factory):
    "Sketch, machine and interrupt size -> program."
    folder, built = tmp_path_factory.mktemp("sketches"), {}

    def compile_sketch(sketch, machine, chunk=256):
        key = sketch, machine, chunk
        if key in built:
            return built[key]
        shared, output = [f"-DSHIM_CHUNK={chunk}"], folder / f"{sketch}-{machine}-{chunk}"
        port = folder / f"port-{machine}"  # port.h alone: string.h beside it is for machines without a C library
        port.mkdir(exist_ok=True)
        shutil.copy(BOARD / "port.h", port)
        if machine == "host":
            units, include = [*units_of(library, sketch), SHIM / "port_host.c"], [SHIM, library / "src", port]
            c, cpp = (["gcc"], ["g++"]) if shutil.which("g++") else ([*ZIG, "cc"], [*ZIG, "c++"])
            flags = SANITIZE if shutil.which("g++") else ["-O1"]
            built[key] = compile_all(c, cpp, units, include, [*flags, *shared], [*cpp, *flags], output)
        else:
            assembly = sorted((library / "src").glob("*.S"))
            units, include = (
                [*units_of(library, sketch), *assembly, BOARD / "port.c", BOARD / "startup.c"],
                [SHIM, library / "src", port, BOARD],
            )
            link = [*ZIG, "cc", *CORTEX_M4, "-Wl,--gc-sections", "-Wl,-e,reset_handler", f"-Wl,-T,{BOARD / 'link.ld'}"]
            built[key] = compile_all([*ZIG, "cc"], [*ZIG, "c++"], units, include, [*CORTEX_M4, *shared], link, output)
        return built[key]

    return compile_sketch


def run_host(program, samples, tmp_path, serial=""):
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    environment = {**os.environ, "KWS_WAV": str(path), "KWS_SERIAL": serial}
    done = subprocess.run([program], env=environment, capture_output=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def run_cortex_m4(program, samples, serial=""):
    machine = Machine(program)
    machine.serial_in.extend(serial.encode())
    machine.audio.extend(samples.tolist())
    machine.run()
    return machine.serial_out.decode().splitlines()


@pytest.mark.parametrize("sketch", SKETCHES)
def test_sketch_says_the_same_on_both_machines(build, sketch, tmp_path):
    host = run_host(build(sketch, "host"), SOUND, tmp_path)
    assert host == run_cortex_m4(build(sketch, "cortex_m4"), SOUND)
    assert "m-ready" in host
    heard = [prediction for line in host if (prediction := parse_line(line))]
    assert [h.sequence for h in heard] == list(range(len(heard)))
    assert [d.label for line in host if (d := parse_detection(line))] == ["yes"]


def test_sketches_say_what_the_board_says(build, tmp_path):
    "After the settling time the lines are those of the live image, whoever runs the network."
    with Board() as board:
        expected = board.hear(SOUND[len(SETTLING) :])
    for sketch in SKETCHES:
        lines = run_host(build(sketch, "host"), SOUND, tmp_path)
        assert [prediction for line in lines if (prediction := parse_line(line))] == expected


@pytest.mark.parametrize("sketch", SKETCHES)
def test_the_settling_time_is_not_heard(build, sketch, tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(-32768, 32768, len(SETTLING), np.int16)
    quiet, loud = (
        run_host(build(sketch, "host"), np.concatenate([before, YES]), tmp_path) for before in (SETTLING, noise)
    )
    assert quiet == loud
    assert any(parse_line(line) for line in quiet)


@pytest.mark.parametrize("sketch", SKETCHES)
def test_overruns_are_reported(build, sketch, tmp_path):
    "An interrupt that brings more than the ring holds."
    lines = run_host(build(sketch, "host", chunk=5000), SOUND, tmp_path)
    overruns = [fields for line in lines if (fields := parse_fields(line)) and fields[0] == "overrun"]
    assert overruns and sum(int(lost) for _, _, lost in overruns) > 904
    assert not any(parse_line(line) for line in lines)  # never a second without a gap


def test_live_takes_commands(build, tmp_path):
    serial = "name%threshold 255%bogus%stream off%"
    host = run_host(build("kws_live", "host"), SOUND, tmp_path, serial)
    assert host == run_cortex_m4(build("kws_live", "cortex_m4"), SOUND, serial)
    assert "m-name-dut-[kws_nb tinyconv]" in host and "e-[Unknown command: bogus]" in host
    assert not any(parse_line(line) for line in host)


def test_library_is_laid_out_as_arduino_asks():
    properties = dict(line.split("=", 1) for line in (FIRMWARE / "library.properties").read_text().splitlines())
    assert {
        "name",
        "version",
        "author",
        "maintainer",
        "sentence",
        "paragraph",
        "category",
        "url",
        "architectures",
    } <= set(properties)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_. -]*", properties["name"]) and re.fullmatch(
        r"\d+\.\d+\.\d+", properties["version"]
    )
    assert properties["category"] in {
        "Display",
        "Communication",
        "Signal Input/Output",
        "Sensors",
        "Device Control",
        "Timing",
        "Data Storage",
        "Data Processing",
        "Other",
    }
    assert (FIRMWARE / "src" / properties["includes"]).is_file()
    for sketch in SKETCHES:
        assert (FIRMWARE / "examples" / sketch / f"{sketch}.ino").is_file()


def test_version_is_the_packages():
    (version,) = re.findall("^version=(.*)$", (FIRMWARE / "library.properties").read_text(), flags=re.M)
    assert f"version = {version}\n" in (ROOT / "settings.ini").read_text()


def test_keywords_are_those_of_the_headers():
    rows = [
        line.split("\t")
        for line in (FIRMWARE / "keywords.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    headers = "".join(path.read_text() for path in (FIRMWARE / "src").glob("*.h"))
    assert {kind for _, kind in rows} == {"KEYWORD1", "KEYWORD2", "LITERAL1"}
    for word, _ in rows:
        assert re.search(rf"\b{word}\b", headers), f"{word} is in no header"


def test_readme_lines_are_whole():
    lines = re.findall(r"^m-kws-.*\*[0-9A-F]{4}$", (FIRMWARE / "README.md").read_text(), flags=re.M)
    for line in lines:
        body, _, crc = line.rpartition("*")
        assert f"{binascii.crc_hqx(body.encode(), 0xFFFF):04X}" == crc, line
    assert len(lines) == 2


def test_model_and_arena_are_those_of_the_file(library):
    header = (library / "examples/kws_tflm/tflm_model.h").read_text()
    assert re.findall(r"Add(\w+)\(", header) == ["Conv2D", "FullyConnected", "Reshape", "Softmax"]
    assert 6000 < int(re.search(r"kTensorArenaBytes = (\d+)", header)[1]) < 16_000
    array = (library / "examples/kws_tflm/g_model.c").read_text()
    assert bytes(int(byte, 16) for byte in re.findall("0x([0-9a-f]{2})", array)) == reference_model().read_bytes()


def test_another_folder_is_not_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(KwsError, match="no Arduino library"):
        write_arduino_library(tmp_path / "mine")
