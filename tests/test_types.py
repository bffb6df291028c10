"Annotations: on all that is public, right as a checker sees them, and shipped."

import ast
import os
import subprocess
import sys
from functools import cache

import pytest
from conftest import root
from test_repository import cells, dotted, is_for_types, modules, notebooks

CONSUMER = """
from pathlib import Path

import numpy as np

from kws_nb.audio import example, read_clip, to_int16
from kws_nb.board import Board, Heard
from kws_nb.features import micro_features
from kws_nb.graph import Graph, read_tflite

clip = to_int16(read_clip(example("yes")))
features: np.ndarray = micro_features(clip)
graph: Graph = read_tflite(Path("model.tflite"))
with Board("emulated://nano33ble", timeout=5.0) as board:
    heard: Heard = board.classify(clip)
label: str = heard.label
"""


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    "A function that says what mypy says; what it has understood of one program it remembers for the next."
    cache = tmp_path_factory.mktemp("mypy")

    def run(*files, folder=root):
        options = [f"--config-file={root / 'pyproject.toml'}", f"--cache-dir={cache}"]
        command = [sys.executable, "-m", "mypy", *options, *files]
        environment = os.environ | {"MYPYPATH": str(root)}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.slow
def test_the_package_has_the_types_that_it_names(mypy):
    code, said = mypy()
    assert code == 0, said
    assert f"in {len(modules) + 3} source files" in said, f"not all modules were checked: {said}"


@pytest.mark.slow
def test_types_of_what_a_program_uses(mypy, tmp_path):
    "A program of somebody else: its calls are right; each wrong one is an error of its own."
    wrong = {
        "Board(timeout='5')": "arg-type",
        "board.classify('yes.wav')": "arg-type",
        "micro_features('yes.wav')": "arg-type",
        "read_tflite(5)": "arg-type",
        "n: int = heard.label": "assignment",
        "graph.layers": "attr-defined",
    }
    (tmp_path / "right.py").write_text(CONSUMER)
    (tmp_path / "wrong.py").write_text(CONSUMER + "\n".join(wrong))
    code, said = mypy("right.py", "wrong.py", folder=tmp_path)
    found = [line.rpartition("[")[2].rstrip("]") for line in said.splitlines() if ": error: " in line]
    assert found == list(wrong.values()) and "right.py" not in said, said


@cache
def tree(path):
    return ast.parse(path.read_text())


def public(path):
    "Name and definition of each function and method of a module that others may call, also of a class's private bases."
    classes = {node.name: node for node in tree(path).body if isinstance(node, ast.ClassDef)}

    def methods(node):
        yield from (part for part in node.body if isinstance(part, ast.FunctionDef))
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id in classes:
                yield from methods(classes[base.id])

    exported = next(
        ast.literal_eval(n.value) for n in tree(path).body if isinstance(n, ast.Assign) and n.targets[0].id == "__all__"
    )
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef) and node.name in exported:
            yield node.name, node, node.args.args
        if isinstance(node, ast.ClassDef) and node.name in exported:
            for method in methods(node):
                special = method.name in ("__init__", "__call__", "__enter__", "__len__", "__bool__", "__str__")
                if special or method.name[0] != "_":
                    yield f"{node.name}.{method.name}", method, method.args.args[1:]


@pytest.mark.parametrize("path", modules, ids=dotted)
def test_what_is_public_is_annotated(path):
    for name, node, arguments in public(path):
        bare = [a.arg for a in [*node.args.posonlyargs, *arguments, *node.args.kwonlyargs] if a.annotation is None]
        assert not bare, f"{name} does not say of what type {', '.join(bare)} is"
        assert node.returns is not None, f"{name} does not say what it returns (-> None: nothing)"


def test_all_that_is_public_was_looked_at():
    names = {f"{dotted(path)}.{name}" for path in modules for name, *_ in public(path)}
    some = "features.micro_features board.Board.classify board.Board.read_lines models.TinyConv.forward cli.main"
    assert set(some.split()) <= names
    assert len(names) > 400


def bound(nodes):
    "The names that imports among these nodes bind."
    return {
        (a.asname or a.name).split(".")[0] for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names
    }


@pytest.mark.parametrize("path", notebooks, ids=dotted)
def test_the_site_knows_what_only_the_checker_imports(path):
    "nbdev evaluates quoted annotations on its pages: before a notebook exports them, it imports their names itself."
    wanted, known = set(), set()
    for cell in cells(path):
        source = "".join(cell["source"])
        lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
        body = ast.parse("\n".join(lines)).body
        if source.startswith("#| export") and any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in body):
            break
        known |= bound(body)
        wanted |= {name for node in body if is_for_types(node) for name in bound(node.body)}
    assert wanted <= known, f"a hidden cell at the head must import {wanted - known}"
