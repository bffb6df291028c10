"The Arduino library and its sketches, compiled over a thin shim for this machine and a Cortex-M4, run from a WAV file."

import binascii
import os
import re
import shutil
import subprocess
import sys
import wave
import zipfile

import numpy as np
import pytest
from arduino_rules import broken, rules
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
    done = subprocess.run([program], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def run_cortex_m4(program, samples, serial=""):
    machine = Machine(program)
    machine.serial_in.extend(serial.encode())
    machine.audio.extend(samples.tolist())
    machine.run()
    return machine.serial_out.decode().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("sketch", SKETCHES)
def test_sketch_says_the_same_on_both_machines(build, sketch, tmp_path):
    host = run_host(build(sketch, "host"), SOUND, tmp_path)
    assert host == run_cortex_m4(build(sketch, "cortex_m4"), SOUND)
    assert "m-ready" in host
    heard = [prediction for line in host if (prediction := parse_line(line))]
    assert [h.sequence for h in heard] == list(range(len(heard)))
    assert [d.label for line in host if (d := parse_detection(line))] == ["yes"]


@pytest.mark.slow
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
@pytest.mark.slow
def test_overruns_are_reported(build, sketch, tmp_path):
    "An interrupt that brings more than the ring holds."
    lines = run_host(build(sketch, "host", chunk=5000), SOUND, tmp_path)
    overruns = [fields for line in lines if (fields := parse_fields(line)) and fields[0] == "overrun"]
    assert overruns and sum(int(lost) for _, _, lost in overruns) > 904
    assert not any(parse_line(line) for line in lines)  # never a second without a gap


@pytest.mark.slow
def test_live_takes_commands(build, tmp_path):
    serial = "name%threshold 255%bogus%stream off%"
    host = run_host(build("kws_live", "host"), SOUND, tmp_path, serial)
    assert host == run_cortex_m4(build("kws_live", "cortex_m4"), SOUND, serial)
    assert "m-name-dut-[kws_nb tinyconv]" in host and "e-[Unknown command: bogus]" in host
    assert not any(parse_line(line) for line in host)


def unpacked(library, folder):
    "What the IDE makes of the ZIP."
    with zipfile.ZipFile(library.with_suffix(".zip")) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {library.name}, "one folder at the top"
        assert all(entry.external_attr >> 16 == 0o644 for entry in archive.infolist()), (
            "all may read what root unpacked"
        )
        archive.extractall(folder)
    return folder / library.name


def test_zip_keeps_the_rules_of_arduino(library, tmp_path):
    assert broken(unpacked(library, tmp_path)) == []
    assert broken(FIRMWARE) == [], "and so does the folder that it is made from"


def test_zip_carries_licence_and_notice(library, tmp_path):
    folder = unpacked(library, tmp_path)
    for name in ("LICENSE", "NOTICE"):
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes(), f"cp {name} firmware/kws"


def with_fields(**changes):
    "Change fields of library.properties; None takes one away."

    def damage(folder):
        path = folder / "library.properties"
        fields = dict(line.split("=", 1) for line in path.read_text().splitlines()) | changes
        path.write_text("".join(f"{key}={value}\n" for key, value in fields.items() if value is not None))

    return damage


def with_file(name, text=""):
    def damage(folder):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)

    return damage


def without(name):
    def damage(folder):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def renamed(old, new):
    return lambda folder: (folder / old).rename(folder / new)


LONG = "k" * 64
DAMAGES = {
    "LS001": without("src"),
    "LS002": lambda folder: folder.rename(folder.parent / LONG),
    "LS003": lambda folder: folder.rename(folder.parent / "kws nb"),
    "LS004": with_file(".gitmodules"),
    "LS005": lambda folder: (folder / "link").symlink_to("README.md"),
    "LS006": with_file(".development"),
    "LS007": with_file("extras/flash.exe"),
    "LS008": without("src/kws_nb.h"),
    "LS009": renamed("src", "Src"),
    "LS010": with_file("utility/x.h"),
    "LS011": with_file("extra/x.txt"),
    "LS012": with_file("Extras/x.txt"),
    "LP001": without("library.properties"),
    "LP002": renamed("library.properties", "library.property"),
    "LP003": renamed("library.properties", "Library.properties"),
    "LP004": with_file("src/library.properties"),
    "LP005": with_file("library.properties", "name kws_nb"),
    "LP006": with_fields(include="kws.h"),
    "LP007": with_fields(name=None),
    "LP008": with_fields(name=""),
    "LP009": with_fields(name=LONG),
    "LP010": with_fields(name=LONG[:33]),
    "LP011": with_fields(name="kws&nb"),
    "LP012": with_fields(name="Arduino_kws"),
    "LP014": with_fields(name="kws_arduino"),
    "LP015": with_fields(name="kws nb"),
    "LP016": with_fields(name="kws_library"),
    "LP019": with_fields(version=None),
    "LP020": with_fields(version="one"),
    "LP021": with_fields(version="0.1"),
    "LP023": with_fields(author=None),
    "LP024": with_fields(author=""),
    "LP025": with_fields(maintainer=None),
    "LP026": with_fields(maintainer=""),
    "LP027": with_fields(maintainer="Arduino"),
    "LP028": with_fields(email="kws_nb@example.org"),
    "LP029": with_fields(email=""),
    "LP030": with_fields(email="arduino@example.org"),
    "LP031": with_fields(sentence=None),
    "LP032": with_fields(sentence=""),
    "LP034": with_fields(paragraph=None),
    "LP036": with_fields(sentence="Words out.", paragraph="Words out. And more."),
    "LP037": with_fields(category=None),
    "LP038": with_fields(category="Audio"),
    "LP039": with_fields(category="Uncategorized"),
    "LP040": with_fields(url=None),
    "LP041": with_fields(url="kws-nb"),
    "LP043": with_fields(architectures=None),
    "LP044": with_fields(architectures=""),
    "LP045": with_fields(architectures="nordicnrf52"),
    "LP046": with_fields(architectures="MBED_nano"),
    "LP047": with_fields(depends="a;b"),
    "LP049": with_fields(dot_a_linkage="yes"),
    "LP050": lambda folder: (with_fields(dot_a_linkage="true")(folder), renamed("src", "code")(folder)),
    "LP051": with_fields(includes=""),
    "LP052": with_fields(includes="other.h"),
    "LP053": with_fields(precompiled="yes"),
    "LP054": lambda folder: (with_fields(precompiled="full")(folder), renamed("src", "code")(folder)),
    "LP055": with_fields(ldflags="-l"),
    "LP056": with_fields(url=""),
    "LP057": with_fields(maintainer="The Arduino friends"),
    "LP058": with_fields(depends="other (>one)"),
    "LC001": with_file("src/x.h", "#include <arduino.h>\n"),
    "LD001": without("README.md"),
    "LD002": without("LICENSE"),
    "LD003": with_file("src/sketch/sketch.ino"),
    "LD004": without("examples"),
    "LD005": renamed("examples", "exmaples"),
    "LD006": renamed("examples", "Examples"),
    "SS001": renamed("examples/kws_live/kws_live.ino", "examples/kws_live/live.ino"),
    "SS002": with_file("examples/kws_live/a b.h"),
    "SS003": with_file(f"examples/kws_live/{LONG}.h"),
    "SS004": with_file("examples/kws_live/kws_live.pde"),
    "SS005": with_file("examples/kws_live/SRC/x.h"),
    "SC001": with_file("examples/kws_live/x.h", '#include "ARDUINO.H"\n'),
    "keywords.txt: one tab": with_file("keywords.txt", "kws_ring KEYWORD1\n"),
    "keywords.txt: a known kind": with_file("keywords.txt", "kws_ring\tKEYWORD9\n"),
    "keywords.txt: each name once": with_file("keywords.txt", "kws_ring\tKEYWORD1\n" * 2),
}


def test_every_rule_of_arduino_can_fail(library, tmp_path):
    "A copy of the library for each rule, damaged so that it breaks this rule."
    names = list(rules(library))
    assert len(names) == len(DAMAGES)
    for number, damage in DAMAGES.items():
        home = tmp_path / str(len(list(tmp_path.iterdir())))
        folder = shutil.copytree(library, home / library.name, ignore=shutil.ignore_patterns("kws_*.c"))
        damage(folder)
        (folder,) = home.iterdir()
        assert any(rule.startswith(number) for rule in broken(folder)), f"{number} is not noticed"


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
