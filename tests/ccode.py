"What the tests of the C code share: compile the core with sanitizers, for this machine."

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from kws_nb.board import reference_model
from kws_nb.codegen import core_sources
from kws_nb.core import build_dir, checkout
from kws_nb.host import sources_hash

ROOT = checkout()
CORE, HOST, C_TESTS = (ROOT / "firmware" / name for name in ("kws/src", "host", "tests"))
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
QEMU = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "stdio", "-semihosting"]
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]


@lru_cache(1)
def compiler():
    "gcc or clang: the sanitizers' libraries come with either."
    return next(found for found in map(shutil.which, ("gcc", "clang")) if found)


@lru_cache(1)
def has_libfuzzer():
    if not shutil.which("clang"):
        return False
    probe = build_dir() / "tests/libfuzzer_probe"
    probe.parent.mkdir(parents=True, exist_ok=True)
    source = (
        "#include <stddef.h>\n#include <stdint.h>\n"
        "int LLVMFuzzerTestOneInput(const uint8_t* d, size_t n) { (void)d; (void)n; return 0; }\n"
    )
    command = ["clang", "-fsanitize=fuzzer,address,undefined", "-x", "c", "-", "-o", str(probe)]
    return subprocess.run(command, input=source, text=True, capture_output=True).returncode == 0


@lru_cache(1)
def model_folder():
    "The reference model as C."
    sources = core_sources(reference_model())
    folder = build_dir() / f"tests/model-{sources_hash([], sources)}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in sources.items():
        (folder / name).write_text(text)
    return folder


def core_units():
    return [*sorted(CORE.glob("*.c")), model_folder() / "kws_model.c"]


def compile_program(name, units, flags=(), cc=None):
    "Compile C files to a program of this machine, cached by all that they depend on."
    cc = cc or compiler()
    units = [Path(unit) for unit in units]
    inputs = [*CORE.glob("*.[ch]"), *HOST.glob("*.h"), *C_TESTS.glob("*.[ch]"), *model_folder().iterdir(), *units]
    command = [cc, *WARNINGS, *SANITIZE, *flags, "-I", CORE, "-I", HOST, "-I", model_folder(), *units, "-lm"]
    program = build_dir() / f"tests/{name}-{sources_hash(inputs, [str(part) for part in command])}"
    if not program.is_file():
        program.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([str(part) for part in (*command, "-o", program)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return program


def run_program(program, *arguments, **kwargs):
    done = subprocess.run([str(part) for part in (program, *arguments)], capture_output=True, timeout=900, **kwargs)
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


def clip_source(samples):
    "What QEMU's image hears, as C."
    values = ", ".join(map(str, samples.tolist()))
    return f"""#include <stdint.h>
const int16_t port_clip[] = {{{values}}};
const uint32_t port_clip_samples = {len(samples)};
"""
