"The package uses nothing that only Linux has: everything works where that is taken away."

import ast
import os
import subprocess
import sys

import pytest
import serial
from conftest import root
from kws_nb import core, host, protocol_emulated
from kws_nb.core import KwsError
from kws_nb.protocol_emulated import serve
from test_repository import dotted, modules

# What Windows lacks, and kws_nb may not ask for. Others may: they are made for the system that they run on.
MODULES = "fcntl grp pty pwd resource termios tty"
ATTRIBUTES = {
    "os": """fork forkpty getegid geteuid getgid getpgid getuid killpg mkfifo openpty process_cpu_count
        sched_getaffinity sched_setaffinity setsid sysconf ttyname uname wait waitid""",
    "signal": "SIGALRM SIGHUP SIGKILL SIGUSR1 alarm pthread_kill setitimer",
}
TAKE_AWAY = f"""
import builtins, os, signal, sys, types
imported, poor = builtins.__import__, {{name: types.ModuleType(name) for name in {ATTRIBUTES!r}}}
for name, module in poor.items():
    lacking = {ATTRIBUTES!r}[name].split()
    vars(module).update({{key: value for key, value in vars(sys.modules[name]).items() if key not in lacking}})
def import_poorly(name, globals=None, *more, **others):
    if (globals or {{}}).get("__name__", "").split(".")[0] == "kws_nb":
        if name.split(".")[0] in {MODULES.split()!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        if name in poor: return poor[name]
    return imported(name, globals, *more, **others)
builtins.__import__ = import_poorly
"""
# Neither is UTF-8 what a text is read as there, unless somebody says so.
NO_UTF8 = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": "cp1252"}


def run(code, *arguments, environment=None, cwd=root):
    environment = os.environ | NO_UTF8 | {"PYTHONPATH": str(root)} | (environment or {})
    command = [sys.executable, "-c", TAKE_AWAY + code, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, errors="replace")


def test_what_is_taken_away_is_missed():
    done = run("exec('import pty', {'__name__': 'kws_nb.board'})")
    assert "No module named 'pty'" in done.stderr
    done = run("exec('import os; os.getuid()', {'__name__': 'kws_nb.board'})")
    assert "has no attribute 'getuid'" in done.stderr
    done = run("import pathlib; pathlib.Path(sys.argv[1]).read_text()", str(root / "README.md"))
    assert "UnicodeDecodeError: 'ascii'" in done.stderr


@pytest.mark.slow
def test_every_module_imports():
    names = [f"kws_nb.{dotted(path)}" for path in modules]
    done = run("import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)", *names)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["clone", "wheel"])
def test_features_board_size_and_serve(place, wheel, tmp_path):
    "What an installed wheel is tried with on each system."
    code = "import runpy; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    environment = wheel[1] if place == "wheel" else None
    done = run(code, str(root / "tests/smoke.py"), place, environment=environment, cwd=tmp_path)
    assert done.stdout.strip().endswith("works"), done.stderr[-2000:]


@pytest.mark.slow
def test_serve_offers_a_socket_where_there_are_no_devices():
    code = "from kws_nb.cli import main; sys.argv = ['kws-nb', 'serve']; main()"
    environment = os.environ | NO_UTF8 | {"PYTHONPATH": str(root)}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    served = subprocess.Popen([sys.executable, "-c", TAKE_AWAY + code], cwd=root, env=environment, **pipes)
    try:
        name = served.stdout.readline().strip()
        assert name.startswith("socket://127.0.0.1:"), served.stderr.read()
        for program in range(2):  # the second finds nothing of the first
            with serial.serial_for_url(name, timeout=60) as port:
                port.write(b"%name%")  # how much of the greeting was lost at the opening is not known
                assert port.read_until(b"[kws_nb tinyconv]").endswith(b"[kws_nb tinyconv]"), program
                port.write(b"half a comm")
    finally:
        served.kill()
        _, said = served.communicate()
    assert "makes no serial devices: a socket stands in" in said


def test_serve_says_which_tcp_port_is_taken():
    with protocol_emulated.socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(KwsError, match=f"TCP port {number} cannot be offered.*0 for any"):
            serve(tcp=number)


def calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node, node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


@pytest.mark.parametrize("path", modules, ids=dotted)
def test_text_is_utf8(path):
    "On Windows a text is read and written as cp1252 unless a call says otherwise."
    for call, name in calls(path):
        given = {keyword.arg for keyword in call.keywords}
        modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        opens_text = name == "open" and (modes or "mode" in given) and not any("b" in mode for mode in modes)
        if name in ("read_text", "write_text") or "text" in given and name in ("run", "Popen") or opens_text:
            assert "encoding" in given, f"{path.name}:{call.lineno}: {ast.unparse(call)[:80]}"


@pytest.mark.parametrize(
    "system, suffix, compilers",
    [
        ("linux", ".so", ["cc", "gcc", "clang"]),
        ("darwin", ".dylib", ["cc", "gcc", "clang"]),
        ("win32", ".dll", ["gcc"]),
    ],
)
def test_libraries_have_the_systems_name_and_compiler(system, suffix, compilers, monkeypatch):
    "Clang on Windows is Microsoft's kind: its libraries show no function that is not marked."
    source, asked = (root / "kws_nb/host.py").read_text(), []
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.delenv("CC", raising=False)
    there = {"__name__": "kws_nb.host_elsewhere", "__package__": "kws_nb"}
    exec(compile(source, "host.py", "exec"), there)
    assert there["LIBRARY_SUFFIX"] == suffix
    monkeypatch.setattr(host.shutil, "which", lambda name: asked.append(name))
    assert there["host_compiler"]() == [sys.executable, "-m", "ziglang", "cc"] and asked == compilers


def test_zigs_cache_needs_no_user_number(monkeypatch, tmp_path):
    "Where the clone's path has a %, which zig's linker takes for something else."
    from kws_nb import board

    monkeypatch.delattr(os, "getuid")
    for name in ("ZIG_GLOBAL_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(board, "build_dir", lambda: tmp_path / "100 %")
    monkeypatch.setattr(board.tempfile, "tempdir", str(tmp_path))
    assert board._environment()["ZIG_GLOBAL_CACHE_DIR"] == str(tmp_path / "kws_nb-zig-user")


def test_what_is_written_has_the_same_line_ends_everywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "linesep", "\r\n")
    core.write_json(tmp_path / "a.json", {"µ": 1})
    assert b"\r" not in (tmp_path / "a.json").read_bytes()
