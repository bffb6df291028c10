"""The section notebooks where there is no clone: a wheel, its extras, and an empty folder.

python tools/standalone.py [--fresh] [--python python3.12] [NOTEBOOK …]

Without --fresh, the packages are those of a Python that has them, and only what the extras ask for: links, made in
seconds. With it, pip installs everything into a new environment: minutes, and gigabytes.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from configparser import ConfigParser
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sections = sorted((root / "nbs").glob("0*.ipynb"))
settings = ConfigParser(delimiters=["="])
settings.read(root / "settings.ini", encoding="utf-8")
OUTSIDE = {name: value for name, value in os.environ.items() if not re.match("PYTHON|VIRTUAL_ENV|KWS_NB_HOME", name)}
EXTRAS = ("", "train_", "notebook_", "firmware_", "convert_")  # what kws_nb[all] brings
ONNX_TF = "onnx-tf==1.10.0"  # without its dependencies: it asks for a package that is gone
FIRST = ("#| hide", "#| eval: false")  # how a section's first cell begins, which is for Colab

REQUIRED = """
import json, re, sys
from importlib.metadata import distribution
from packaging.requirements import Requirement
def name(text): return re.sub(r'[-_.]+', '-', text).lower()
found, waiting = {}, [(Requirement(line), '') for line in sys.argv[1:]]
seen = set()
while waiting:
    asked, extra = waiting.pop()
    if asked.marker and not asked.marker.evaluate({'extra': extra}): continue
    for extra in ('', *asked.extras):
        if (key := (name(asked.name), extra)) in seen: continue
        seen.add(key)
        found[key[0]] = there = distribution(asked.name)
        if key[0] != 'onnx-tf': waiting += [(Requirement(line), extra) for line in there.requires or ()]
entries = {str(d.locate_file(path.parts[0])) for d in found.values() for path in d.files if '..' not in path.parts}
print(json.dumps(sorted(e for e in entries if not e.endswith('__pycache__'))))
"""

EXECUTE = """
import json, re, sys
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
path, *left_out = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
flags = re.compile('|'.join([r'^#\\|\\s*eval:\\s*false', *(rf'^#\\|\\s*{flag}\\b' for flag in left_out)]), re.M)
first, *others = notebook.cells
notebook.cells = [first, *(cell for cell in others if cell.cell_type != 'code' or not flags.search(cell.source))]
try: NotebookClient(notebook, timeout=600, kernel_name='python3').execute()
except CellExecutionError as error: sys.exit(str(error))
"""


def build_wheel(folder):
    "The wheel of this clone."
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, root]
    subprocess.run(command, check=True, capture_output=True)
    return next(Path(folder).glob("*.whl"))


def pip(python, *arguments):
    "Install into the environment of `python`, with this one's pip."
    command = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], check=True, stdout=sys.stderr, env=OUTSIDE)


def linked_environment(folder, wheel, python=sys.executable):
    "The Python of a new environment: the wheel, and links to what its extras need, in the environment of `python`."
    asked = [line for extra in EXTRAS for line in settings["DEFAULT"][f"{extra}requirements"].split()]
    command = [python, "-c", REQUIRED, *asked, ONNX_TF]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=OUTSIDE)
    if done.returncode:
        raise SystemExit(f"{python} lacks what the extras name:\n{done.stderr}")
    subprocess.run([python, "-m", "venv", "--without-pip", folder / "env"], check=True, cwd=folder)
    (packages,) = (folder / "env/lib").glob("python3*/site-packages")
    for entry in map(Path, json.loads(done.stdout)):
        (packages / entry.name).symlink_to(entry)
    pip(folder / "env/bin/python", "--no-deps", "--no-index", wheel)
    return folder / "env/bin/python"


def fresh_environment(folder, wheel, python):
    "The Python of a new environment into which pip has installed the wheel with its extras, in exact versions."
    subprocess.run([python, "-m", "venv", "--without-pip", folder / "env"], check=True, cwd=folder)
    made = folder / "env/bin/python"
    version = subprocess.run([made, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True)
    constraints = root / f"constraints-{version.stdout.decode().strip()}.txt"
    pip(made, "--constraint", constraints, f"kws_nb[all] @ {wheel.as_uri()}")
    pip(made, "--no-deps", ONNX_TF)
    return made


def surroundings(home, **more):
    "The environment of somebody who has no clone, and whose home folder is `home`."
    kept = OUTSIDE | {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "TQDM_DISABLE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return kept | more


def run_alone(python, notebook, folder, environment):
    "Copy a notebook into the empty `folder` and execute it there; without the cells that are flagged as slow."
    folder.mkdir(parents=True)
    copy = Path(shutil.copy(notebook, folder))
    command = [python, "-c", EXECUTE, copy.name, *settings["DEFAULT"]["tst_flags"].split()]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("notebooks", nargs="*", type=Path, default=sections)
    args = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), time.time()
        make = fresh_environment if args.fresh else linked_environment
        python = make(folder, build_wheel(folder), args.python)
        print(f"{time.time() - start:5.0f} s  the environment", flush=True)
        for notebook in args.notebooks:
            start = time.time()
            home = folder / "home" / notebook.stem
            home.mkdir(parents=True)
            done = run_alone(python, notebook, folder / notebook.stem, surroundings(home))
            failed += done.returncode != 0
            print(f"{time.time() - start:5.0f} s  {notebook.name}", flush=True)
            if done.returncode:
                print(done.stderr[-3000:])
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
