"Metadata comes from settings.ini; a wheel also carries the compiled C core, the firmware's sources and its image."

import hashlib
import platform
import shutil
import sys
from configparser import ConfigParser
from pathlib import Path
from sysconfig import get_platform

from setuptools import Distribution, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

root = Path(__file__).parent.resolve()
config = ConfigParser(delimiters=["="])
config.read(root / "settings.ini", encoding="utf-8")
settings = config["DEFAULT"]

# The platform of a wheel: what zig compiles its core for, on any machine. Both name the oldest glibc or macOS.
TARGETS = {
    "manylinux_2_17_x86_64": "x86_64-linux-gnu.2.17",
    "manylinux_2_17_aarch64": "aarch64-linux-gnu.2.17",
    "macosx_11_0_x86_64": "x86_64-macos.11.0",
    "macosx_11_0_arm64": "aarch64-macos.11.0",
    "win_amd64": "x86_64-windows-gnu",
}


def this_platform():
    "The platform of `TARGETS` that this Python runs on, else `None`."
    machine = get_platform().rpartition("-")[2]
    machine = platform.machine() if machine == "universal2" else machine
    system = {"darwin": "macosx_11_0", "win32": "win"}.get(sys.platform)
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        system = "manylinux_2_17"
    return next((name for name in TARGETS if name == f"{system}_{machine}"), None)


class BuildWithCore(build_py):
    "Compiles the C core and the reference model's image into the package, and copies what images are built from."

    def run(self):
        package = Path(self.build_lib) / settings["lib_name"]
        if not self.editable_mode:
            shutil.rmtree(package, ignore_errors=True)  # of an earlier build: what is gone since then
        super().run()
        if self.editable_mode:
            return  # a clone compiles its core when it is first needed
        for folder in ("kws", "host", "emulated", "verify", "steps"):
            shutil.copytree(root / "firmware" / folder, package / "_firmware" / folder, dirs_exist_ok=True)
        for folder in ("models", "clips"):
            shutil.copytree(root / "data" / folder, package / "_data" / folder, dirs_exist_ok=True)
        sys.path.insert(0, str(root))
        from kws_nb.board import build_firmware

        self.compile_core(package)
        image = build_firmware().read_bytes()
        (package / "_data/models/tinyconv.elf").write_bytes(image)
        (package / "_data/models/tinyconv.elf.sha256").write_text(hashlib.sha256(image).hexdigest() + "\n")

    def compile_core(self, package):
        from kws_nb.host import LIBRARY_SUFFIX, compile_core, host_compiler

        wanted = self.get_finalized_command("bdist_wheel").plat_name
        if wanted not in TARGETS:  # for this machine, which the wheel's name says
            compile_core(package / f"_core{LIBRARY_SUFFIX}", host_compiler())
            return
        suffix = {"mac": ".dylib", "win": ".dll"}.get(wanted[:3], ".so")
        names = ["-Wl,-install_name,@rpath/_core.dylib"] if suffix == ".dylib" else []
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", TARGETS[wanted], "-s", *names]
        compile_core(package / f"_core{suffix}", zig)


class PlatformDistribution(Distribution):
    "The wheel holds a shared library, so it belongs to one platform."

    def has_ext_modules(self):
        return True


class AnyPython(bdist_wheel):
    "The library knows nothing of Python, which opens it by cffi: one wheel for all versions."

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


def requirements(name):
    return [line for line in settings.get(name, "").split() if line]


def classifiers():
    lines = settings["classifiers"].strip().splitlines()
    return lines + [f"Programming Language :: Python :: {version}" for version in settings["python_versions"].split()]


def project_urls():
    repository = settings["git_url"]
    return {
        "Documentation": settings["doc_host"] + settings["doc_baseurl"],
        "Source": repository,
        "Issues": f"{repository}/issues",
        "Changelog": f"{repository}/blob/{settings['branch']}/CHANGELOG.md",
    }


extras = {key.removesuffix("_requirements"): requirements(key) for key in settings if key.endswith("_requirements")}
extras["all"] = [line for name in ("train", "notebook", "firmware", "convert") for line in extras[name]]

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=(root / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=settings["author"],
    author_email=settings["author_email"],
    license_expression="Apache-2.0",
    license_files=["LICENSE", "NOTICE", "licenses.md"],
    url=settings["git_url"],
    project_urls=project_urls(),
    classifiers=classifiers(),
    keywords=settings["keywords"],
    packages=find_packages(include=["kws_nb", "kws_nb.*"]),
    package_data={"kws_nb.widgets": ["*.mjs", "*.css", "*.png"]},
    python_requires=f">={settings['min_python']}",
    install_requires=requirements("requirements"),
    extras_require=extras,
    entry_points={
        "console_scripts": [settings["console_scripts"]],
        "nbdev": [f"{settings['lib_name']}={settings['lib_name']}._modidx:d"],
    },
    cmdclass={"build_py": BuildWithCore, "bdist_wheel": AnyPython},
    distclass=PlatformDistribution,
    options={"bdist_wheel": {"plat_name": this_platform()}} if this_platform() else {},
    zip_safe=False,
)
