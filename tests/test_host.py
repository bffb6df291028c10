"C for this machine: found, compiled once, loaded; and what is said where that does not work."

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import root

import kws_nb.host as host
from kws_nb.core import KwsError
from kws_nb.host import compile_c, host_compiler, load_c, share_out

DOUBLE = {
    "double.h": "#define FACTOR 2\n",
    "double.c": '#include "double.h"\nint twice(int n) { return FACTOR * n; }\n',
}


@pytest.fixture
def build(tmp_path, monkeypatch):
    "A build folder with nothing in it."
    monkeypatch.setattr(host, "build_dir", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize("cc", ["", " ", "\t", "no-such-compiler -O2"])
def test_a_compiler_that_is_none_is_passed_over(cc, monkeypatch):
    "CC=' ' was an IndexError."
    monkeypatch.setenv("CC", cc)
    assert host_compiler()[0] not in ("", "no-such-compiler")


def test_cc_with_arguments_is_used(monkeypatch):
    monkeypatch.setenv("CC", f"{sys.executable} -m ziglang cc")
    assert host_compiler() == [sys.executable, "-m", "ziglang", "cc"]


def test_a_compiler_in_a_folder_with_blanks_is_one_word(build, tmp_path, monkeypatch):
    path = tmp_path / "My Tools" / "cc"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {" ".join(host_compiler())} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    assert host_compiler() == [str(path)]
    assert load_c("double", [], ["int twice(int n);"], generated=DOUBLE)[1].twice(21) == 42


def test_no_compiler_at_all(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(KwsError, match="pip install ziglang"):
        host_compiler()


def test_compiled_once_and_again_when_something_changes(build, monkeypatch):
    compiled = []
    monkeypatch.setattr(host, "compile_c", lambda *args: compiled.append(args[0]) or compile_c(*args))

    def twice(generated, n=21):
        return load_c("double", [], ["int twice(int n);"], generated=generated)[1].twice(n)

    assert twice(DOUBLE) == twice(DOUBLE) == 42 and len(compiled) == 1
    assert twice(DOUBLE | {"double.h": "#define FACTOR 3\n"}) == 63 and len(compiled) == 2, "a header is a source too"
    left = sorted(path.name for path in build.rglob("*") if path.is_file())
    assert left == sorted(path.name for path in compiled), "nothing else is left"


def test_several_at_once(build):
    with ThreadPoolExecutor(4) as pool:
        libs = list(pool.map(lambda _: load_c("double", [], ["int twice(int n);"], generated=DOUBLE)[1], range(4)))
    assert [lib.twice(k) for k, lib in enumerate(libs)] == [0, 2, 4, 6]
    assert len(list(build.glob("c/*"))) == 1


def test_a_file_on_disk_is_a_source(build, tmp_path):
    folder = tmp_path / "with, % and &"
    folder.mkdir()
    (folder / "value.h").write_text("#include <stdint.h>\n#define VALUE 1\nint32_t value(void);\n")
    (folder / "value.c").write_text('#include "value.h"\nint32_t value(void) { return VALUE; }\n')
    header = folder / "value.h"

    def value():
        return load_c("value", [folder / "value.c"], ["int32_t value(void);"], [folder])[1].value()

    assert value() == 1
    header.write_text(header.read_text().replace("VALUE 1", "VALUE 2"))
    assert value() == 2


def test_what_does_not_compile_is_told_in_the_compilers_last_lines(build, monkeypatch):
    many = "\n".join(f"int f{k}(void) {{ return undeclared_{k}; }}" for k in range(100))
    with pytest.raises(KwsError, match="The C of wrong does not compile.*Set CC") as caught:
        load_c("wrong", [], [], generated={"wrong.c": many})
    assert len(str(caught.value).splitlines()) <= 13 and not list(build.glob("c/*"))
    monkeypatch.setenv("CC", f"{sys.executable} -c raise(SystemExit(3))")
    with pytest.raises(KwsError, match="does not compile"):
        load_c("double", [], [], generated=DOUBLE)


def test_what_cannot_be_loaded(build, monkeypatch):
    "As with a compiler for another machine."

    def for_another_machine(output, *args):
        output.parent.mkdir(exist_ok=True)
        output.write_bytes(b"for another machine")

    monkeypatch.setattr(host, "compile_c", for_another_machine)
    with pytest.raises(KwsError, match="cannot be loaded.*CC must name a compiler for this machine"):
        load_c("double", [], [], generated=DOUBLE)


def test_every_host_file_is_named():
    "A file that nobody compiles would go unnoticed; kws_stream_*.c need a model."
    found = {path.name for path in (host.firmware_dir() / "host").glob("*.c")}
    assert found - {"kws_stream_hear.c", "kws_stream_detect.c"} == set(host.HOST_SOURCES)


def test_every_stretch_once():
    seen = np.zeros(1000, int)

    def work(first, end):
        seen[first:end] += 1

    for times, threads in enumerate((1, 2, 5), 1):
        share_out(work, 1000, threads, 7)
        assert (seen == times).all()
    for threads in (0, -1, 1.5, "2"):
        with pytest.raises(KwsError, match="threads is"):
            share_out(print, 1, threads)


def test_import_is_light():
    code = "import sys, kws_nb.host; print([m for m in ('torch', 'cffi', 'ipywidgets', 'numpy') if m in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(host.checkout())}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("first", ["nothing", "triton", "tensorflow"])
def test_triton_is_loaded_before_tensorflow_or_not_at_all(first, tmp_path, monkeypatch):
    "Stand-ins, since only PyTorch's CUDA build brings triton: the real ones crash Python in the other order."
    for name in ("triton", "tensorflow"):
        (tmp_path / f"{name}.py").write_text("")
    code = (
        "import sys\n"
        f"if {first!r} != 'nothing': __import__({first!r})\n"
        "from kws_nb.host import order_triton\norder_triton()\norder_triton()\n"
        "print('loaded' if sys.modules['triton'] else 'kept away')"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == ("kept away" if first == "tensorflow" else "loaded"), done.stderr
