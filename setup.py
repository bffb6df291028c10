"Metadata comes from settings.ini; a wheel also carries the compiled C core, the firmware's sources and its image."

import hashlib
import shutil
import sys
from configparser import ConfigParser
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.build_py import build_py

root = Path(__file__).parent.resolve()
config = ConfigParser(delimiters=["="])
config.read(root / "settings.ini", encoding="utf-8")
settings = config["DEFAULT"]


class BuildWithCore(build_py):
    "Compiles the C core and the reference model's image into the package, and copies what images are built from."

    def run(self):
        super().run()
        if self.editable_mode:
            return  # a clone compiles its core when it is first needed
        package = Path(self.build_lib) / settings["lib_name"]
        for folder in ("kws", "host", "emulated", "verify", "steps"):
            shutil.copytree(root / "firmware" / folder, package / "_firmware" / folder, dirs_exist_ok=True)
        for folder in ("models", "clips"):
            shutil.copytree(root / "data" / folder, package / "_data" / folder, dirs_exist_ok=True)
        sys.path.insert(0, str(root))
        from kws_nb.board import build_firmware
        from kws_nb.host import compile_core, host_compiler

        compile_core(package / "_core.so", host_compiler())
        image = build_firmware().read_bytes()
        (package / "_data/models/tinyconv.elf").write_bytes(image)
        (package / "_data/models/tinyconv.elf.sha256").write_text(hashlib.sha256(image).hexdigest() + "\n")


class PlatformDistribution(Distribution):
    "The wheel holds a shared library, so it belongs to one platform (but to any Python 3)."

    def has_ext_modules(self):
        return True


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
    cmdclass={"build_py": BuildWithCore},
    distclass=PlatformDistribution,
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
    zip_safe=False,
)
