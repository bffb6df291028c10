"The repository is in order: what is generated is current, what is pinned is exact, what is imported is light."

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from email.parser import Parser
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import PYTHONS, NoTensorFlow, root

notebooks = sorted(p for p in (root / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
modules = sorted(p for p in (root / "kws_nb").rglob("*.py") if p.name not in ("__init__.py", "_modidx.py"))


def dotted(path):
    "The name of a module in `kws_nb`, or of a notebook in `nbs`, without the package."
    return ".".join(path.relative_to(root / path.relative_to(root).parts[0]).with_suffix("").parts)


def cells(path, kind="code"):
    return [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == kind]


def test_top_level():
    folders, settings = "nbs kws_nb firmware data .ci/run", "settings.ini setup.py _quarto.yml Makefile"
    others = "README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md CITATION.cff LICENSE NOTICE licenses.md .github"
    for name in f"{folders} {settings} {others}".split():
        assert (root / name).exists(), name
    assert (root / "nbs/_quarto.yml").resolve() == root / "_quarto.yml"
    listed = re.findall(r"[\w/]+\.ipynb", (root / "_quarto.yml").read_text())
    there = [str(p.relative_to(root / "nbs")) for p in notebooks]
    assert sorted(listed) == sorted(there), "_quarto.yml lists other notebooks than nbs/ has"


def test_notebooks_are_clean_and_modules_are_what_they_export(tmp_path):
    "Export from a copy of the notebooks, clean the copy, and compare."
    for name in ("nbs", "settings.ini"):
        (shutil.copytree if name == "nbs" else shutil.copy)(root / name, tmp_path / name)
    (tmp_path / "kws_nb").mkdir()
    shutil.copy(root / "kws_nb/__init__.py", tmp_path / "kws_nb/__init__.py")
    done = subprocess.run([Path(sys.executable).parent / "nbdev_export"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    subprocess.run([Path(sys.executable).parent / "nbdev_clean"], cwd=tmp_path, check=True, capture_output=True)
    for path in notebooks:
        copy = tmp_path / path.relative_to(root)
        assert path.read_text() == copy.read_text(), f"{path.name} is not clean: run make export"
    for path in [*modules, root / "kws_nb/_modidx.py"]:
        copy = tmp_path / path.relative_to(root)
        assert copy.is_file(), f"{path} is exported by no notebook: delete it"
        assert path.read_text() == copy.read_text(), f"{path.name} is stale: run make export"


@pytest.mark.parametrize("path", notebooks, ids=dotted)
def test_notebook_is_clean(path):
    text = path.read_text()
    assert not re.search(r"/(work|root|home|tmp)/", text), "a path of some machine"
    for cell in cells(path):
        source = "".join(cell["source"])
        assert cell["execution_count"] is None and len(source.splitlines()) <= 50
        assert not any(o["output_type"] == "error" for o in cell["outputs"])
        assert not any("application/vnd.jupyter.widget-view+json" in o.get("data", {}) for o in cell["outputs"]), (
            "a live widget or a progress bar was stored: run make outputs"
        )
        assert not any(o.get("name") == "stderr" for o in cell["outputs"]), f"stderr was stored: {source[:60]}"
    shown = [c for c in cells(path) if not re.match(r"#\|\s*(export|hide|default_exp|hw|slow)", "".join(c["source"]))]
    assert any(c["outputs"] for c in shown), "no stored outputs"


def is_for_types(node):
    "What only a type checker reads."
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def executed_for_the_site(cell):
    "Cells that nbdev executes alone, in order, when it makes the pages: those that show an import or export something."
    source = "".join(cell["source"])
    tree = ast.parse("\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))))
    imports = (ast.Import, ast.ImportFrom)
    exported = re.match(r"#\|\s*exports?\b", source)
    never = re.search(r"^#\|\s*eval:\s*false", source, re.M)
    if (
        never
        or "nbdev_export()" in source
        or not exported
        and not any(isinstance(node, imports) for node in ast.walk(tree))
    ):
        return [], []
    plain = [node for node in tree.body if isinstance(node, imports)]
    around = [node for node in tree.body if isinstance(node, ast.With) or is_for_types(node)]
    quiet = [node for node in around if all(isinstance(n, imports) for n in node.body)]
    return plain + quiet, [node for node in tree.body if node not in plain + quiet]


@pytest.mark.parametrize("path", notebooks, ids=dotted)
def test_imports_have_cells_of_their_own(path):
    "nbdev executes a cell with an import, and not what is defined above it: mixed with other code it breaks the site."
    for cell in cells(path):
        imported, other = executed_for_the_site(cell)
        shown = not re.match(r"#\|\s*exports?\b", "".join(cell["source"]))
        assert not (other and (imported or shown)), f"imports and other code: {''.join(cell['source'])[:200]}"


def test_readme_is_the_index_notebook():
    from docs import readme_text

    assert (root / "README.md").read_text() == readme_text(), "README.md is stale: run make readme"


def test_readme_says_how_to_start():
    "The commands that a new user needs, and every command of kws-nb that works on a user's own files."
    readme = (root / "README.md").read_text()
    for command in (
        "git clone",
        "make demo",
        "make test",
        "make lab",
        "make bench",
        "KWS_NB_DATA",
        *(f"kws-nb {c}" for c in "download classify size verify profile serve arduino".split()),
    ):
        assert command in readme, f"README.md does not mention {command}"


def required():
    "The distributions that settings.ini names, in all of its groups."
    lines = re.findall(r"^(?:\w+_)?requirements = (.*)$", (root / "settings.ini").read_text(), re.M)
    return {re.sub(r"[-_.]+", "-", re.split(r"[<>=;]", word)[0]).lower() for line in lines for word in line.split()}


@pytest.mark.parametrize("python", PYTHONS)
def test_versions_are_exact(python):
    lines = [line for line in (root / f"constraints-{python}.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^=<>~+ ]+", line) for line in lines)
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    names = (required() | {"onnx-tf"}) - {"tensorflow"}  # tensorflow: where there is no CPU build of its own name
    assert len(names) > 20 and names <= pinned, names - pinned


def make(folder, pythons, *options):
    "`make print`, which shows the Python it chose, where only `pythons` (name -> version, None: a broken shim) are."
    (folder / "bin").mkdir()
    for name, version in pythons.items():
        script = f"echo {version}" if version in PYTHONS else "exit 1"
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    for name in "Makefile settings.ini setup.py pyproject.toml".split():
        shutil.copy(root / name, folder / name)
    command = [shutil.which("make"), "--eval", "print: ; $(info chosen: $(PYTHON)) @:", *(options or ["print"])]
    return subprocess.run(command, cwd=folder, env={"PATH": str(folder / "bin")}, capture_output=True, text=True)


@pytest.mark.parametrize(
    "pythons, chosen",
    [
        ({"python3": "3.11", "python3.13": "3.13"}, "python3"),
        ({"python3": "3.14", "python3.11": "3.11", "python3.12": "3.12"}, "python3.12"),
        ({"python3": None, "python3.13": None, "python3.11": "3.11"}, "python3.11"),
        ({"python3.9": "3.9"}, ""),
    ],
)
def test_make_takes_a_python_that_answers(pythons, chosen, tmp_path):
    done = make(tmp_path, pythons)
    assert done.stdout.split("\n")[0].strip() == f"chosen: {chosen}".strip(), done.stderr


def test_make_says_which_python_it_needs(tmp_path):
    (tmp_path / "none").mkdir()
    done = make(tmp_path / "none", {"python3": "3.14"}, ".venv/installed")
    assert done.returncode and "Python 3.11, 3.12 or 3.13 is needed. Name one: make PYTHON=" in done.stdout
    (tmp_path / "old").mkdir()
    done = make(tmp_path / "old", {"python3.9": "3.9"}, ".venv/installed", "PYTHON=python3.9")
    assert done.returncode and "python3.9 is another version" in done.stdout


@pytest.mark.parametrize(
    "there, named, says",
    [
        ("echo 3.11", "python3.12", ".venv is of another Python than python3.12. Remove it first: rm -r .venv"),
        ("echo 3.11", "python3.9", "python3.9 is another version"),
        ("exit 1", "", ".venv is of another Python than 3.11, 3.12 or 3.13. Remove it first: rm -r .venv"),
    ],
)
def test_make_says_that_an_environment_is_of_another_python(there, named, says, tmp_path):
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").write_text(f"#!/bin/sh\n{there}\n")
    (tmp_path / ".venv/bin/python").chmod(0o755)
    pythons = {"python3.12": "3.12", "python3.9": "3.9"}
    done = make(tmp_path, pythons, ".venv/installed", *([f"PYTHON={named}"] if named else []))
    assert done.returncode and says in done.stdout + done.stderr


# What only these modules may load when they are imported, since they are about it: networks and training, widgets.
ABOUT = {
    "torch": {
        *(
            "models",
            "train",
            "quantize",
            "quantizers",
            "qat",
            "prune",
            "patterns",
            "pruned",
            "grids",
            "stream_training",
        ),
        *("widgets.size_explorer", "widgets.quant_explorer", "widgets.pruning_explorer"),  # TinyConv in other shapes
        *("studies.representations", "studies.field", "studies.converters", "studies.quantization", "studies.pruning"),
        "studies.stream",
    },
    "ipywidgets": {"widgets"},  # the whole package
    "anywidget": {"widgets"},
    "tensorflow": set(),
    "librosa": set(),
}


@pytest.mark.slow
def test_import_is_light():
    "import kws_nb loads nothing; each module, imported in a process of its own, only what it is about."
    code = (
        "import importlib, json, os, sys\nimport kws_nb\nassert 'numpy' not in sys.modules\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    if not (child := os.fork()):\n"
        "        importlib.import_module(f'kws_nb.{name}')\n"
        "        print(json.dumps([name, [h for h in json.loads(sys.argv[2]) if h in sys.modules]]), flush=True)\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0, name\n"
    )
    names = [dotted(path) for path in modules]
    done = run(code, os.environ, root, json.dumps(names), json.dumps(list(ABOUT)))
    loaded = dict(map(json.loads, done.stdout.splitlines()))
    assert sorted(loaded) == sorted(names), done.stderr[-2000:]
    heavy = {name: [h for h in found if not {name, name.split(".")[0]} & ABOUT[h]] for name, found in loaded.items()}
    assert not {name: found for name, found in heavy.items() if found}, heavy


def imports_of(path):
    "The modules of `kws_nb` that a module imports, at its head or inside its functions."
    package = ["kws_nb", *path.relative_to(root / "kws_nb").parent.parts]
    names = {dotted(p) for p in modules}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            for name in (module, *(f"{module}.{alias.name}" for alias in node.names)):
                if name.startswith("kws_nb.") and name.removeprefix("kws_nb.") in names:
                    yield name.removeprefix("kws_nb.")


def test_the_way_of_the_data_has_no_circle_and_no_import_upward():
    "Lessons and library never import a study or a widget; widgets no study; and nothing imports itself round a corner."
    imports = {dotted(path): set(imports_of(path)) for path in modules}
    assert imports["train"] and imports["board"], "no imports were found"
    for name, used in imports.items():
        room = name.split(".")[0] if "." in name else ""
        above = {"": ("studies.", "widgets."), "widgets": ("studies.",), "studies": ("widgets.",)}[room]
        assert not [u for u in used if u.startswith(above)], f"{name} imports upward: {used}"
    list(TopologicalSorter(imports).static_order())  # raises CycleError, which names the circle


def test_no_text_speaks_of_what_is_gone():
    "Letters of notebooks, modules and folders of former times; and every `kws_nb.x.y` that a text names is there."
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split()
    kinds = {".md", ".py", ".mjs", ".c", ".h", ".S", ".ino", ".toml", ".yml", ".ini", ".html"}
    texts = {name: (root / name).read_text() for name in listed if Path(name).suffix in kinds}
    for path in notebooks:
        every = json.loads(path.read_text())["cells"]
        texts[str(path.relative_to(root))] = "\n".join("".join(cell["source"]) for cell in every)
    names, gone = {dotted(path) for path in modules}, r"\b0[1-8][a-m](?:_\w+)?\b|kws_nb/" + r"static|KWS_" + "FAST"
    rooms = {"studies", "widgets"}
    for name, text in texts.items():
        assert not (found := re.search(gone, text)) or name == "tests/test_board.py", f"{name} speaks of {found[0]}"
        for room, module in re.findall(r"\bkws_nb\.(studies|widgets)\.(\w+)", text):
            assert f"{room}.{module}" in names, f"{name} speaks of kws_nb.{room}.{module}, which is not there"
        for module in {n.split(".")[1] for n in names if n.split(".")[0] in rooms}:
            assert not re.search(rf"\bkws_nb\.{module}\b", text), f"{name}: kws_nb.{module} is in a room"


def imported_names(path):
    "Module and name of each `from kws_nb.module import name` of a module, a notebook or a test."
    texts = ["".join(cell["source"]) for cell in cells(path)] if path.suffix == ".ipynb" else [path.read_text()]
    for text in texts:
        for module, names in re.findall(r"^ *from (?:kws_nb)?\.+([\w.]+) import (\([^)]*\)|[\w, ]+)", text, re.M):
            for name in filter(None, (part.strip() for part in names.strip("()").split(","))):
                yield module, name.split(" as ")[0]


def test_names_are_imported_from_the_room_where_they_live():
    "Nobody takes a name from a module that has it from another, nor a private one."
    define = re.compile(r"^(?:def|class) (\w+)|^([\w, ]+?)\s*[:=]", re.M)
    own = {dotted(path): set(define.findall(path.read_text())) for path in modules}
    own = {name: {n.strip() for pair in found for part in pair for n in part.split(",")} for name, found in own.items()}
    for path in [*modules, *notebooks, *sorted((root / "tests").glob("*.py"))]:
        for module, name in imported_names(path):
            if module in own:
                assert name in own[module], f"{path.name} imports {name} from {module}, where it does not live"
                assert name[0] != "_", f"{path.name} imports {name}, a private name of {module}"


@pytest.mark.parametrize("path", notebooks, ids=dotted)
def test_code_fits_the_page(path):
    "Lines that the site shows: at most 92 characters. (The others: at most 120, says ruff.)"
    for cell in cells(path):
        source = "".join(cell["source"])
        if re.search(r"^#\|\s*(export\b(?!s)|hide|default_exp|echo:\s*false)", source, re.M):
            continue
        wide = [line for line in source.splitlines() if len(line) > 92]
        assert not wide, f"{path.name}: {len(wide[0])} characters: {wide[0]}"


@pytest.mark.slow
def test_quick_needs_neither_browser_notebooks_nor_tensorflow(monkeypatch):
    "What `make quick` selects: no test of these, no import of TensorFlow, and most of the others."

    def selected(*options):
        command = [sys.executable, "-m", "pytest", "--collect-only", *options]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]
        return [line for line in done.stdout.splitlines() if line.startswith("tests/") and "::" in line]

    quick, whole = selected("--quick"), selected()
    assert set(quick) < set(whole) and len(quick) > len(whole) / 2
    left_out = {"test_notebooks", "test_site", "test_browser", "test_browser_recorder", "test_convert"}
    assert not [name for name in quick if name.split("/")[1].split(".py")[0] in left_out]
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoTensorFlow(), *sys.meta_path])
    with pytest.raises(pytest.fail.Exception, match="mark this test tensorflow"):
        import tensorflow.lite  # noqa: F401


@pytest.mark.slow
def test_what_is_left_out_is_said_by_several_processes_too(tmp_path):
    "The last lines of `make test` name each command that is missing, and its tests."
    command = [sys.executable, "-m", "pytest", "--numprocesses", "2", "tests/test_widgets.py"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=os.environ | {"PATH": str(tmp_path)})
    said = "left out for want of node (apt-get install nodejs): tests/test_widgets.py::"
    assert done.returncode in (0, 5) and done.stdout.count(said) == 1, done.stdout[-2000:] + done.stderr


def test_ruff():
    done = subprocess.run(
        [Path(sys.executable).parent / "ruff", "check", "."], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]


def run(code, environment, folder, *args):
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, cwd=folder, env=environment
    )


@pytest.mark.slow
def test_wheel_carries_what_the_widgets_show(wheel):
    "Scripts, styles and pictures beside the modules, and each widget reads its own where only the wheel is."
    site, environment = wheel
    here = root / "kws_nb/widgets"
    names = sorted(path.name for path in here.iterdir() if path.suffix in (".mjs", ".css", ".png"))
    assert (
        "explorer.mjs" in names
        and "recorder.css" in names
        and {"size_explorer.png", "quant_explorer.png", "pruning_explorer.png"} <= {*names}
    )
    for name in names:
        assert (site / "kws_nb/widgets" / name).read_bytes() == (here / name).read_bytes(), name
    assert (site / "kws_nb/py.typed").is_file(), "without this file a type checker believes no annotation"
    code = """
from kws_nb.widgets.explorer import SpectrogramExplorer
from kws_nb.widgets.pruning_explorer import PruningExplorer
from kws_nb.widgets.quant_explorer import QuantExplorer
from kws_nb.widgets.recorder import Recorder
from kws_nb.widgets.size_explorer import SizeExplorer
rounded = QuantExplorer(features=[[[1.]*40]*49], labels=[0])
pruned = PruningExplorer(features=[[[1.]*40]*49], labels=[0], grid='none.json')
for widget in (SpectrogramExplorer(), Recorder(root='.'), SizeExplorer(), rounded, pruned):
    assert 'image/png' in widget._repr_mimebundle_(), widget
"""
    done = run(code, environment | {"KWS_NB_STATIC": "1"}, site)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_wheel_says_what_it_is(wheel):
    "Licence, notice and the list of other licences in it; classifiers, and addresses that settings.ini has."
    (info,) = wheel[0].glob("*.dist-info")
    for name in ("LICENSE", "NOTICE", "licenses.md"):
        assert (info / "licenses" / name).read_bytes() == (root / name).read_bytes(), name
    metadata = Parser().parsestr((info / "METADATA").read_text())
    assert metadata["License-Expression"] == "Apache-2.0"
    classifiers = metadata.get_all("Classifier")
    for version in ("3.11", "3.12", "3.13"):
        assert f"Programming Language :: Python :: {version}" in classifiers
    addresses = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert set(addresses) == {"Documentation", "Source", "Issues", "Changelog"}
    settings = (root / "settings.ini").read_text()
    assert f"git_url = {addresses['Source']}\n" in settings and addresses["Issues"].startswith(addresses["Source"])
    assert addresses["Changelog"].startswith(addresses["Source"])


@pytest.mark.slow
def test_wheel_classifies_without_the_repository(wheel, tmp_path):
    "The wheel carries compiled core, reference model and image: classifying needs neither compiler nor ziglang."
    site, environment = wheel
    code = (
        "import sys; sys.modules['ziglang'] = None\n"
        "from kws_nb.core import checkout; assert checkout() is None\n"
        "from kws_nb.board import Board; from kws_nb.audio import example, read_clip, to_int16\n"
        "print(Board().classify(to_int16(read_clip(example('no')))).label)"
    )
    done = run(code, environment, tmp_path)
    assert done.stdout.strip() == "no", done.stderr[-2000:]
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site/kws_nb/_data/models/tinyconv.elf").write_bytes(b"damaged")
    done = run(code, environment | {"PYTHONPATH": str(tmp_path / "site")}, tmp_path)
    assert done.returncode and "missing or damaged" in done.stderr


def readme_examples():
    "The Python of the README, block after block, and what it prints below each."
    blocks = re.findall(r"^```python\n(.*?)^```\n((?:\n|    [^\n]*\n)*)", (root / "README.md").read_text(), re.M | re.S)
    return [(code, textwrap.dedent(printed).strip()) for code, printed in blocks]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["clone", "wheel"])
def test_examples_of_the_readme_run_as_printed(place, wheel, tmp_path):
    "With no import but those that are printed, and with the printed results, in a clone and where only the wheel is."
    examples = readme_examples()
    assert len(examples) >= 6 and any(printed for _, printed in examples)
    code = (
        "import ast, json, sys\nnames = {}\n"
        "for source in json.loads(sys.argv[1]):\n"
        "    tree = ast.parse(source)\n"
        "    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None\n"
        "    exec(compile(tree, 'README.md', 'exec'), names)\n"
        "    value = eval(compile(ast.Expression(last.value), 'README.md', 'eval'), names) if last else None\n"
        "    if value is not None: print(value)\n"
        "    print('---')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(root)} if place == "clone" else wheel[1]
    done = run(
        code, environment, root if place == "clone" else tmp_path, json.dumps([source for source, _ in examples])
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [part.strip() for part in done.stdout.split("---\n")[:-1]] == [printed for _, printed in examples]


@pytest.mark.slow
def test_images_are_built_reproducibly(tmp_path):
    "The same bytes from another folder, with an empty compiler cache."
    from kws_nb.board import build_firmware

    for name in ("kws_nb", "firmware", "data/models", "settings.ini"):
        (shutil.copy if name == "settings.ini" else shutil.copytree)(root / name, tmp_path / name)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "ZIG_GLOBAL_CACHE_DIR": str(tmp_path / "zig")}
    done = subprocess.run(
        [sys.executable, "-c", "from kws_nb.board import *; print(build_firmware())"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.stdout.startswith(str(tmp_path)), done.stderr
    assert Path(done.stdout.strip()).read_bytes() == build_firmware().read_bytes()
