"`kws-nb profile`: the table adds up, and the page is there."

import json

from typer.testing import CliRunner

from kws_nb.cli import app
from kws_nb.core import build_dir


def test_profile_of_the_board():
    done = CliRunner().invoke(app, ["profile", "--json"])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.output.splitlines()]
    assert {"kws_model_invoke", "kws_frontend_process", "main"} <= {row["function"] for row in rows}
    assert [row["cycles"] for row in rows] == sorted((row["cycles"] for row in rows), reverse=True)
    by_name = {row["function"]: row for row in rows}
    assert by_name["main"]["cycles_with_callees"] == sum(row["cycles"] for row in rows)
    assert "kws_model_invoke" in (build_dir() / "profile.html").read_text()


def test_profile_names_a_board_that_keeps_no_tree():
    done = CliRunner().invoke(app, ["profile", "--board", "emulated://uno"])
    assert done.exit_code == 1 and "nano33ble" in str(done.exception)
