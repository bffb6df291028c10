"What each extra brings, what asks for it, and the one line that whoever lacks it reads."

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from configparser import ConfigParser
from importlib.metadata import PathDistribution, packages_distributions

import pytest
from conftest import root
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

from kws_nb import extras
from kws_nb.cli import app
from kws_nb.extras import EXTRAS, ONNX_TF, pip_command

MODEL = "data/models/tinyconv"
# what is typed: the extras without which it does not begin
RUNS = {
    "classify data/clips/yes.wav": "",
    f"size {MODEL}.tflite": "",
    "profile": "",
    "serve": "",
    "mlperf build/mlperf": "",
    "headers": "",
    "demo": "train firmware convert onnx-tf",
    "reference": "train firmware convert onnx-tf",
    "bench": "train firmware",
    "download": "train",
    "train": "train convert onnx-tf",
    f"convert {MODEL}.safetensors": "train convert onnx-tf",
    f"convert {MODEL}.safetensors --backend litert": "train",
    f"evaluate {MODEL}.safetensors": "train",
    f"evaluate {MODEL}.tflite": "train convert",
    f"evaluate {MODEL}.tflite --board": "train firmware",
    f"evaluate {MODEL}.tflite --stream --false-alarms 5": "train",
    f"quantize {MODEL}.safetensors": "train",
    f"prune {MODEL}.safetensors --sparsity .8 --pattern rows": "train",
    f"prune {MODEL}.safetensors --structured --channels 4": "train convert onnx-tf",
    f"verify {MODEL}.tflite": "firmware convert",
    f"verify {MODEL}.tflite --engine litert": "firmware convert",
    f"verify {MODEL}.tflite --engine tflite-micro": "firmware convert",
    "size tinyconv": "train",
    f"size {MODEL}.safetensors": "train",
    "arduino": "convert",
}
ABSENT = dict(EXTRAS) | {"onnx-tf": ["onnx_tf"]}
ABSENT["everything"] = [module for modules in list(ABSENT.values()) for module in modules]

# Python without some packages runs every command, imports every module, and says as JSON what came of it.
# What would take longer than a second says that it has begun, and ends.
PROGRAM = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path

absent, runs = json.loads(sys.argv[1])

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in absent else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from kws_nb import cli
from kws_nb.audio import example, fit_length, read_clip, to_int16
from kws_nb.core import KwsError, checkout
from kws_nb.features import micro_features

assert checkout() is None
cli.checkout = lambda: True  # `headers` and `reference` begin in a clone only
features = micro_features(fit_length(to_int16(read_clip(example("yes"))))).shape

def begin(*args, **kwargs): raise KwsError("begun")

for name in ("demo.run_demo", "demo.make_reference", "data.download_speech_commands", "tables.write_frontend_sources",
             "bench.run_bench", "keywords.train_keywords", "keywords.quantize_checkpoint", "keywords.prune_checkpoint",
             "keywords.evaluate_file", "detector.evaluate_stream", "litert.convert_checkpoint", "verify.verify",
             "mlperf.run_mlperf", "arduino.write_arduino_library"):
    module, function = name.split(".")
    module = import_module(f"kws_nb.{module}")
    assert hasattr(module, function), name
    setattr(module, function, begin)

class Screen(io.StringIO):
    def write(self, text):
        super().write(text)
        if "/dev/" in text: raise KeyboardInterrupt  # what is served is open: enough

def run(arguments):
    sys.argv = ["kws-nb", *arguments]
    with redirect_stdout(Screen()) as out, redirect_stderr(io.StringIO()) as err:
        try: cli.main()
        except SystemExit as end: code = end.code or 0
    return code, out.getvalue(), err.getvalue()

def tried(import_it):
    try: import_it()
    except ImportError as error: return str(error)

package = Path(cli.__file__).parent
names = [".".join(path.relative_to(package.parent).with_suffix("").parts) for path in sorted(package.rglob("*.py"))]
modules = {name: tried(lambda: import_module(name)) for name in names if "__init__" not in name}
others = {name: tried(lambda: __import__(name)) for name in absent}
came = dict(runs={text: run(text.split()) for text in runs}, modules=modules, others=others, features=features)
print(json.dumps(came))
"""


@pytest.fixture(scope="module", params=ABSENT)
def without(request, wheel):
    "The extra that is absent, and what came of everything where only the wheel is."
    _, environment = wheel
    (Path(environment["HOME"]) / "kws_nb_files/build").mkdir(parents=True, exist_ok=True)  # nothing is said of it then
    extra, runs = request.param, list(RUNS)
    if extra in ("firmware", "everything"):  # with ziglang it would build the image
        runs.append(f"classify data/clips/yes.wav --board emulated://nano33ble?model={MODEL}.tflite")
    command = [sys.executable, "-P", "-c", PROGRAM, json.dumps([ABSENT[extra], runs])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return extra, json.loads(done.stdout)


def pip_for(extra, needs):
    "The pip commands that the line has to name; nothing where the run does not need what is absent."
    needs = needs.split()
    if extra == "everything":
        return pip_command(*(ABSENT[need][0] for need in needs))
    return pip_command(*ABSENT[extra]) if extra in needs else ""


def test_every_command_is_run():
    assert {text.split()[0] for text in RUNS} == set(get_command(app).commands)


@pytest.mark.slow
def test_a_command_names_what_it_lacks_or_works(without):
    "One line with the pip command before the work begins; what needs nothing of the extra, works."
    extra, came = without
    for text, (code, out, err) in came["runs"].items():
        command, needs = text.split()[0], RUNS.get(text)
        if needs is None:
            assert code == 1 and err.count("\n") == 1 and pip_command("ziglang") in err, err
        elif expected := pip_for(extra, needs):
            assert code == 1 and not out, (text, err)
            said = re.fullmatch(
                r"Error: (.+) (?:is|are) not installed, and kws-nb (.+) needs? (?:it|them): (.+)\n", err
            )
            assert said and said[2].split()[0] == command, (text, err)
            assert said[3] == expected, (text, err)
            assert set(re.split(", | and ", said[1])) <= set(ABSENT[extra]), (text, err)
        elif command == "profile" and extra in ("notebook", "everything"):
            assert code == 0 and "cycles" in out, err
            assert err.startswith("No picture: plotly is not installed") and pip_command("plotly") in err
        else:
            ended = {(0, ""), (1, "Error: begun\n"), (130, "Interrupted.\n")}
            assert (code, err) in ended, (text, code, err)


@pytest.mark.slow
def test_what_the_base_does_is_done_without_any_extra(without):
    extra, came = without
    assert came["features"] == [49, 40] and came["runs"]["serve"][0] == 130
    code, out, err = came["runs"]["classify data/clips/yes.wav"]
    assert (code, err) == (0, "") and "yes.wav: yes at sample" in out, extra


@pytest.mark.slow
def test_a_module_names_what_it_lacks_or_is_imported(without):
    "An import from Python says the same line; other people's imports say what they always say."
    extra, came = without
    pip = {pip_command(module) for module in ABSENT[extra]}
    failed = {name: text for name, text in came["modules"].items() if text}
    for name, text in failed.items():
        assert re.match(r"\w+ is not installed, and kws_nb[\w.]+ needs it: ", text), (name, text)
        assert text.split(": ", 1)[1] in pip, (name, text)
    heavy = {
        "train": {"train", "models", "quantize", "quantizers", "qat", "prune", "patterns", "pruned", "grids"},
        "notebook": {"widgets.explorer", "widgets.recorder"},
    }
    expected = heavy.get(extra, set()) if extra != "everything" else heavy["train"] | heavy["notebook"]
    assert {f"kws_nb.{name}" for name in expected} <= set(failed), failed
    assert extra in (*heavy, "everything") or not failed, failed
    for name, text in came["others"].items():
        assert text.startswith("No module named"), (name, text)


def requirements():
    "Extra, or `base` -> its requirements."
    settings = ConfigParser(delimiters=["="])
    settings.read(root / "settings.ini")
    lists = {key: value for key, value in settings["DEFAULT"].items() if key.endswith("requirements")}
    names = {key: "base" if key == "requirements" else key.removesuffix("_requirements") for key in lists}
    return {names[key]: [Requirement(line) for line in value.split()] for key, value in lists.items()}


def packages(extra):
    return {canonicalize_name(requirement.name) for requirement in requirements()[extra]}


@pytest.mark.parametrize("here", [("linux", "aarch64"), ("darwin", "x86_64"), ("linux", "x86_64")])
def test_where_pip_cannot_bring_tflite_micro_that_is_said(here, monkeypatch):
    monkeypatch.setattr(extras.sys, "platform", here[0])
    monkeypatch.setattr(extras, "machine", lambda: here[1])
    said = str(extras.NotInstalled(["tflite_micro"], "verify"))
    assert ("pip install" in said) == (here == ("linux", "x86_64")), said
    assert "verify needs" in said if "pip" not in said else said.endswith('pip install "kws_nb[convert]"'), said


@pytest.mark.slow
def test_the_wheel_has_the_extras(wheel):
    "As settings.ini names them; `all` is what is not for development or Colab."
    (path,) = wheel[0].glob("*.dist-info")
    installed, names = PathDistribution(path), requirements()
    assert set(installed.metadata.get_all("Provides-Extra")) == {*names, "all"} - {"base"}
    asked = [Requirement(line) for line in installed.requires]
    assert {canonicalize_name(r.name) for r in asked if not r.marker} == packages("base")
    for extra in {*names} - {"base"}:
        lines = [r for r in asked if r.marker and f'extra == "{extra}"' in str(r.marker)]
        assert {canonicalize_name(r.name) for r in lines} == packages(extra), extra
    everything = {canonicalize_name(r.name) for r in asked if 'extra == "all"' in str(r.marker)}
    assert everything == set().union(*map(packages, EXTRAS))


def test_each_extra_brings_the_modules_that_it_is_named_for():
    brought_by = packages_distributions()
    for extra, modules in EXTRAS.items():
        for module in modules:
            names = {canonicalize_name(name) for name in brought_by.get(module, [module])}
            assert names & packages(extra), f"[{extra}] brings no {module}"
            assert not names & packages("base"), f"{module} is in the base already"


def test_every_package_that_the_modules_import_is_asked_for():
    "A new import has to stand in settings.ini, and that of an extra in `EXTRAS`."
    brought_by = packages_distributions()
    alone = {"onnx_tf", "brevitas"}  # without their dependencies; who imports them says how to install them
    in_extras = {module for modules in EXTRAS.values() for module in modules} | alone
    for path in (root / "kws_nb").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for module in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"kws_nb"}:
                distributions = {canonicalize_name(name) for name in brought_by.get(module, ())}
                assert module in in_extras or distributions & packages("base"), f"{path.name} imports {module}"


# what Google Colab had in August 2026, of googlecolab/backend-info; nothing of it may be replaced
COLAB = """
anywidget 0.9.21, cffi 2.1.1, ipython 7.34.0, ipywidgets 7.7.1, librosa 0.11.0, numpy 2.1.3, plotly 5.24.1,
pyyaml 6.0.3, rich 13.9.4, safetensors 0.8.0, scipy 1.16.3, soundfile 0.14.0, soxr 1.1.0, tensorflow 2.20.0,
torch 2.11.0, torchaudio 2.11.0, tqdm 4.67.3, traitlets 5.7.1, typer 0.27.1
"""


def test_requirements_are_ranges_that_keep_what_colab_has():
    colab = dict(entry.split() for entry in COLAB.replace("\n", " ").split(","))
    for extra, lines in requirements().items():
        for requirement in lines:
            assert not any(part.operator in ("==", "===", "~=") for part in requirement.specifier), requirement
            version = colab.get(canonicalize_name(requirement.name))
            if version and extra != "dev":
                assert requirement.specifier.contains(version), f"{requirement} would replace Colab's {version}"
    big = {"torch", "torchaudio", "tensorflow", "tensorflow-cpu", "jupyterlab", "plotly", "ipywidgets", "ipython"}
    assert not big & (packages("colab") | packages("base"))
    lacks = packages("train") | packages("notebook") | packages("firmware") | packages("convert")
    assert lacks - big - set(colab) <= packages("colab"), "Colab has these no more than we bring them"


@pytest.mark.parametrize("path", sorted(root.glob("constraints-*.txt")), ids=lambda path: path.stem)
def test_onnx_tf_is_named_with_the_version_of_the_constraints(path):
    (version,) = re.findall(r"^onnx[-_]tf==(.*)$", path.read_text(), re.M)
    assert ONNX_TF.endswith(f" onnx-tf=={version}")
