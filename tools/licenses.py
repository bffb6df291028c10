"""licenses.md: what the requirements of settings.ini bring, and under which licences.

python tools/licenses.py writes it from what the installed packages say of themselves. Versions stay out of it, so that
it differs only when a licence, a home page or a requirement does.
"""

import re
import sys
from configparser import ConfigParser
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

root = Path(__file__).parent.parent

SPDX = {
    "Apache-2.0": "Apache|Apache 2.0|Apache License 2.0|Apache License v2.0|Apache License, Version 2.0|"
    "Apache Software License|Apache Software License 2.0|Apache-2.0",
    "BSD-2-Clause": "BSD 2-Clause License|BSD-2-Clause",
    "BSD-3-Clause": "3-Clause BSD License|BSD 3-Clause|BSD 3-Clause License|BSD-3-Clause",
    "BSD": "BSD|BSD License",
    "ISC": "ISC|ISC License|ISC license|ISC License (ISCL)",
    "LGPL-2.1-or-later": "LGPL-2.1-or-later",
    "MIT": "MIT|MIT License|MIT license|The MIT License (MIT)",
    "MIT OR AFL-2.1": "MIT OR AFL-2.1",
    "MPL-2.0": "MPL-2.0|Mozilla Public License 2.0 (MPL 2.0)",
    "MPL-2.0 AND MIT": "MPL-2.0 AND MIT",
    "PSF-2.0": "PSFL|Python Software Foundation License",
    "public domain": "Public domain|Public Domain",
}
SPDX = {spelling: name for name, spellings in SPDX.items() for spelling in spellings.split("|")}

BESIDE = ("onnx-tf",)  # the Makefile installs it without what it asks for

CUDA = ("nvidia-", "cuda-", "triton")  # torch brings them or not: TEXT speaks of them

# Packages whose metadata say nothing: what their repositories say.
NOT_IN_METADATA = {
    "espeakng-loader": ("none stated", "https://github.com/thewh1teagle/espeakng-loader"),
    "namex": ("Apache-2.0", "https://github.com/fchollet/namex"),
    "tensorflow": ("Apache-2.0", "https://www.tensorflow.org/"),  # instead of tensorflow-cpu, on other systems
    "tflite-micro": ("Apache-2.0", "https://github.com/tensorflow/tflite-micro"),
}

# Compiled libraries inside wheels, whose licence is not the wheel's. File name -> library, licence.
INSIDE = {
    "libunicorn": ("Unicorn's library, made from QEMU", "GPL-2.0-only"),
    "libespeak-ng": ("espeak-ng and its voices", "GPL-3.0-or-later"),
    "libsndfile": ("libsndfile, with LAME and mpg123", "LGPL-2.1-or-later"),
    "libgfortran": ("GCC's Fortran runtime", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libgomp": ("GCC's OpenMP runtime", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libquadmath": ("GCC's quad-precision mathematics", "LGPL-2.1-or-later"),
    "libzmq": ("ZeroMQ", "MPL-2.0"),
}
COPYLEFT = re.compile(r"GPL|MPL|EPL|CDDL|EUPL|OSL")

TEXT = """<!-- Made by `make licenses`; what it says of others is in tools/licenses.py. -->

# Licences

kws_nb is under Apache-2.0 (`LICENSE`); what in it stems from elsewhere stands in `NOTICE`. It contains none of the
packages below: pip fetches each from its makers, and each keeps its own licence. This page says which, and what
follows for somebody who hands kws_nb on. It is no legal advice.

## The copyleft parts

{copyleft}

GCC's exception lets these runtimes go with programs of any licence. MPL-2.0 reaches no further than the files under
it: whoever ships them says where their source is.

## What follows, for what you ship

- **Firmware, the Arduino library, a generated model**: nothing from this page is in it. The C core is ours
  (Apache-2.0), and a few bytes of the compiler's runtime (MIT) come with it. Keep `LICENSE` and `NOTICE` with it. The
  sketch `kws_tflm` brings TensorFlow Lite Micro (Apache-2.0). The emulator and espeak-ng were tools, as a compiler
  is.
- **A model that you trained**: yours. Trained on Speech Commands (CC BY 4.0), it should name the data set.
- **The wheel of kws_nb**: ours alone; it names the others and brings none of them.
- **A program, an image or a container with kws_nb's packages in it**: now you are the one who distributes them.
  - *unicorn*: its Python files are BSD, its library is GPL-2.0-only, and only the emulated board needs it. Who loads
    the library into one program with Apache-2.0 code and hands that on has to satisfy both, and the Free Software
    Foundation holds GPL-2.0-only and Apache-2.0 to be incompatible. So ship without unicorn: a real board, training,
    conversion and the C core on this machine do not use it. Or let your users install it.
  - *espeakng-loader*: the library and the voices inside are GPL-3.0-or-later: ship their source, or ship without.
    kws_nb runs them in a process of its own and takes only sound; only synthetic speech needs them.
  - *soxr*, *soundfile*: LGPL. Leave the libraries files of their own that a user can replace, and add the licence
    text.
- **Sound that espeak-ng spoke** (`data/clips`, synthetic data sets): what a program puts out is in general not under
  its licence. But espeak-ng mixes short recorded consonants from its own GPL data into its speech, and nobody has
  settled whether that matters. To be on the safe side, ship recordings of your own; a trained model holds none of the
  sound.
- **Speech Commands**: not in the repository. CC BY 4.0: who hands clips on names Pete Warden, Google and the licence.

## All packages

{count} packages: what the groups of requirements in `settings.ini` bring to Linux with the versions of
`constraints-3.11.txt`, as their metadata have it. Those in bold are named in `settings.ini` or the `Makefile`; BSD
without a number means that they do not say which. Other versions and systems may bring others; on Linux, PyPI's torch
also brings triton (MIT) and NVIDIA's CUDA libraries, which are proprietary and which nothing here needs.

| package | licence | home page |
|---|---|---|
{packages}
"""


@cache
def direct():
    "The requirements of all groups in settings.ini."
    config = ConfigParser(delimiters=["="])
    config.read(root / "settings.ini", encoding="utf-8")
    groups = [value for key, value in config["DEFAULT"].items() if key.endswith("requirements")]
    return [Requirement(word) for group in groups for word in group.split()]


def _installed(name):
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None  # it is for another system


def closure():
    "Name -> installed distribution, or None: what `direct` brings in this environment."
    found, extras, waiting = {}, {}, [*direct()]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        wanted = {"", *requirement.extras}
        if name.startswith(CUDA) or name in found and wanted <= extras[name]:
            continue
        extras[name] = extras.get(name, set()) | wanted
        found[name] = _installed(name)
        for line in (found[name] and found[name].requires) or []:
            needed = Requirement(line)
            if not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in extras[name]):
                waiting.append(needed)
    return dict(sorted((found | {name: _installed(name) for name in BESIDE}).items()))


def licence(name, package):
    "As an SPDX expression where the metadata say so or leave no doubt."
    if name in NOT_IN_METADATA:
        return NOT_IN_METADATA[name][0]
    if package is None:
        return "not installed where this list was made"
    metadata = package.metadata
    if metadata.get("License-Expression"):
        return metadata["License-Expression"]
    classifiers = [
        line.split(" :: ")[-1] for line in metadata.get_all("Classifier") or [] if line.startswith("License")
    ]
    for said in (*(metadata.get("License") or "").splitlines()[:1], *classifiers):
        if said in SPDX:
            return SPDX[said]
    return "unknown"


def home_page(name, package):
    pages = [line.split(", ", 1) for line in package.metadata.get_all("Project-URL") or []] if package else []
    pages = {label.lower(): url for label, url in pages}
    named = [pages.get(label) for label in ("homepage", "home", "repository", "source", "source code", "documentation")]
    candidates = [NOT_IN_METADATA.get(name, ("", ""))[1], package and package.metadata.get("Home-page"), *named]
    return next((url for url in candidates if url and url != "UNKNOWN"), f"https://pypi.org/project/{name}")


def copyleft(name, package):
    "Part and licence of what is under a licence that asks for more than a notice."
    parts = {("the package", said) for said in [licence(name, package)] if COPYLEFT.search(said)}
    files = (package and package.read_text("RECORD")) or ""
    return sorted(parts | {INSIDE[start] for start in INSIDE if f"/{start}" in files})


def package_row(name, package):
    shown = (
        f"**{name}**" if name in {*BESIDE, *(canonicalize_name(requirement.name) for requirement in direct())} else name
    )
    said = licence(name, package)
    inside = " and ".join(dict.fromkeys(other for _, other in copyleft(name, package) if other != said))
    return f"| {shown} | {said}{f'; inside: {inside}' if inside else ''} | {home_page(name, package)} |"


def copyleft_rows(name, package):
    return [f"| {name} | {part} | {said} |" for part, said in copyleft(name, package)]


def licenses_text():
    packages = closure()
    parts = ["| package | what | licence |", "|---|---|---|"]
    parts += [row for name, package in packages.items() for row in copyleft_rows(name, package)]
    rows = [package_row(name, package) for name, package in packages.items()]
    return TEXT.format(copyleft="\n".join(parts), count=len(rows), packages="\n".join(rows))


if __name__ == "__main__":
    if sys.version_info[:2] != (3, 11):
        sys.exit("licenses.md lists the packages of constraints-3.11.txt: run this with Python 3.11")
    unknown = [name for name, package in closure().items() if licence(name, package) == "unknown"]
    if unknown:
        sys.exit(
            f"No licence is known for {', '.join(unknown)}: add its spelling to SPDX, or the package to NOT_IN_METADATA"
        )
    (root / "licenses.md").write_text(licenses_text())
