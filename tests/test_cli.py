"The command line: its version, its help at 80 columns, its groups, completion, and how little it loads."

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import root
from typer.main import get_command
from typer.testing import CliRunner

from kws_nb.cli import app

COMMANDS = get_command(app).commands
GROUPS = ["Learn", "Model", "Board", "Develop"]


def shown(*args):
    result = CliRunner().invoke(app, [*args], env={"COLUMNS": "80"}, prog_name="kws-nb")
    assert result.exit_code == 0, result.output
    return result.output


def without_blanks(text):
    "However the lines are broken."
    return re.sub(r"\s+", "", text)


def test_version_is_that_of_settings():
    (version,) = re.findall(r"^version = (.*)$", (root / "settings.ini").read_text(), re.M)
    assert shown("--version") == f"kws_nb {version}\n"


def test_commands_are_grouped():
    "Each in one of four groups, which the help shows in this order."
    assert {command.rich_help_panel for command in COMMANDS.values()} == set(GROUPS)
    heads = re.findall(r"^(\w+):$", shown("--help"), re.M)
    assert heads == ["Options", *GROUPS]
    for name, command in COMMANDS.items():
        section = shown("--help").split(f"\n{command.rich_help_panel}:\n")[1].split("\n\n")[0]
        assert re.search(rf"^  {name} ", section, re.M), f"{name} is not under {command.rich_help_panel}"


def test_help_shows_whole_summaries():
    text = shown("--help")
    for name, command in COMMANDS.items():
        assert without_blanks(command.help) in without_blanks(text), f"the summary of {name} is cut"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_whole_at_80_columns(name):
    text, command = shown(name, "--help"), COMMANDS[name]
    assert max(map(len, text.splitlines())) <= 80
    for says in (command.help, *(parameter.help for parameter in command.params)):
        assert says and without_blanks(says) in without_blanks(text), f"cut, or without help: {says}"
    for parameter in command.params:
        assert all(option in text for option in parameter.opts), parameter.name


def program(tmp_path):
    "A folder with the command in it, as pip writes it, and an environment whose home is empty."
    script = tmp_path / "bin/kws-nb"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom kws_nb.cli import main\nmain()\n")
    script.chmod(0o755)
    path = os.pathsep.join([str(script.parent), os.environ["PATH"]])
    return os.environ | {"HOME": str(tmp_path), "PATH": path, "PYTHONPATH": str(root)}


def test_completion_installs_and_completes(tmp_path):
    "In a real bash: installed in an empty home, it completes a command, an option, and nothing where there is nothing."
    environment = program(tmp_path)

    def bash(script):
        done = subprocess.run(
            [shutil.which("bash"), "--norc", "-c", script + "\ntrue"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "_kws_nb_completion" in bash("kws-nb --show-completion")
    assert "bash completion installed" in bash("kws-nb --install-completion")

    def completed(*words):
        line = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}"
        return bash(f'source ~/.bashrc; {line}; _kws_nb_completion kws-nb; echo "${{COMPREPLY[@]}}"').split()

    assert completed("kws-nb", "si") == ["size"]
    assert completed("kws-nb", "train", "--ep") == ["--epochs"]
    assert completed("kws-nb", "nothing") == []


def test_help_loads_little():
    "`kws-nb --help` loads typer and pyserial, whose handlers kws_nb extends: no numpy, no rich, nothing of a lesson."
    code = """
import atexit, json, sys
here = set(sys.modules)
atexit.register(lambda: print(json.dumps(sorted(set(sys.modules) - here))))
from kws_nb.cli import main
main()
"""
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-c", code, "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    packages = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert packages <= {"kws_nb", "serial", "typer", "annotated_doc", "shellingham"}, packages
    assert {name for name in loaded if name.startswith("kws_nb.")} == {"kws_nb.cli", "kws_nb.core"}


def test_a_wrong_command_is_one_message():
    result = CliRunner().invoke(app, ["nothing"])
    assert result.exit_code == 2 and "No such command 'nothing'" in result.output
