"What pip gets: the sdist builds, and the wheel's name promises no more than its core keeps."

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string

import pytest
from conftest import root
from elftools.elf.elffile import ELFFile
from kws_nb.host import compile_core

SYSTEM = {"libc.so.6", "libm.so.6"}  # libraries that every Linux of a manylinux tag has


def needs(path):
    "Processor, libraries and newest glibc that a shared library of Linux asks for."
    with open(path, "rb") as file:
        elf = ELFFile(file)
        dynamic, versions = elf.get_section_by_name(".dynamic"), elf.get_section_by_name(".gnu.version_r")
        libraries = {tag.needed for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED"}
        names = [version.name for _, asked in versions.iter_versions() for version in asked] if versions else []
        numbers = [tuple(map(int, name.removeprefix("GLIBC_").split("."))) for name in names]
        return elf.get_machine_arch(), libraries, max(numbers, default=(0, 0))


def targets():
    "The table of setup.py, which runs when it is imported."
    text = re.search(r"^TARGETS = (\{.*?^\})", (root / "setup.py").read_text(), re.M | re.S)[1]
    return ast.literal_eval(text)


def zig(target):
    return [sys.executable, "-m", "ziglang", "cc", "-target", target, "-s"]


@pytest.mark.slow
def test_the_wheels_name_is_true(built, tmp_path):
    "For any Python 3: nothing of Python is in the core. For any Linux from the glibc on that the name says."
    _, wheel = built
    name = re.fullmatch(r"kws_nb-[\d.]+-py3-none-manylinux_(\d+)_(\d+)_(x86_64|aarch64)\.whl", wheel.name)
    assert name, f"{wheel.name}: PyPI refuses this, or it is for one Python only"
    with zipfile.ZipFile(wheel) as archive:
        libraries = [file for file in archive.namelist() if re.search(r"\.(so|dylib|dll|pyd)\b", file)]
        assert libraries == ["kws_nb/_core.so"]
        core = archive.extract(libraries[0], tmp_path)
        about = archive.read(next(file for file in archive.namelist() if file.endswith("/WHEEL"))).decode()
    assert message_from_string(about)["Root-Is-Purelib"] == "false"
    machine, linked, glibc = needs(core)
    assert machine == {"x86_64": "x64", "aarch64": "AArch64"}[name[3]]
    assert linked <= SYSTEM and glibc <= (int(name[1]), int(name[2])), f"it needs {linked} and glibc {glibc}"


@pytest.mark.slow
def test_core_compiles_for_other_linux_and_for_macos(tmp_path):
    machine, linked, glibc = needs(compile_core(tmp_path / "_core.so", zig(targets()["manylinux_2_17_aarch64"])))
    assert machine == "AArch64" and linked <= SYSTEM and glibc <= (2, 17)
    library = compile_core(tmp_path / "_core.dylib", zig(targets()["macosx_11_0_arm64"])).read_bytes()
    assert library[:4] == b"\xcf\xfa\xed\xfe" and b"_kws_host_features\0" in library and b"libSystem" in library


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["host/kws_host_features.c", "host/kws_host_features_avx2.c", "kws/src/kws_frontend.c"]
)
def test_core_compiles_for_windows(unit, tmp_path):
    "Not linked: zig would first compile the whole C library of Windows."
    command = [*zig(targets()["win_amd64"]), "-std=c11", "-O3", "-fPIC", "-Wall", "-Wextra", "-Werror", "-c"]
    folders = ["-I", root / "firmware/kws/src", "-o", tmp_path / "unit.obj"]
    done = subprocess.run([*command, root / "firmware" / unit, *folders], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "unit.obj").read_bytes()[:2] == b"\x64\x86"


@pytest.mark.slow
def test_sdist_has_the_sources(built):
    "What git has of the notebooks, the C and the data, and nothing that was built."
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    folders = (
        "nbs",
        "kws_nb",
        "firmware",
        "data",
        "settings.ini",
        "setup.py",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    )
    listed = subprocess.run(["git", "ls-files", "-z", *folders], cwd=root, capture_output=True, text=True, check=True)
    missing = set(filter(None, listed.stdout.split("\0"))) - names
    assert not {name for name in missing if not name.endswith("/.gitignore")}, missing
    assert not [name for name in names if re.search(r"\.(so|elf|pyc|whl)$|^build/|^tests/|_firmware/", name)]


def test_what_builds_a_wheel_is_pinned():
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in project["build-system"]["requires"])
    for path in sorted(root.glob("constraints-*.txt")):
        pins = {line.strip() for line in path.read_text().splitlines()}
        other = [line for line in project["build-system"]["requires"] if line not in pins and "numpy" not in line]
        assert not other, f"{path.name} has other versions: the wheel's image would be another than the clone's"
