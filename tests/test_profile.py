"`kws-nb profile`: the table adds up, and the page is there."

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from kws_nb.board import Board
from kws_nb.cli import app
from kws_nb.core import KwsError, build_dir
from kws_nb.profile import EMULATED_COLUMN, REAL_COLUMN, REPORT_COLUMN, STAGES
from kws_nb.profile import bench_columns, bench_table, packed_instructions, plot_stages, profile_board


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


def test_instructions_by_name():
    "Counted by name they are as many as the machine's own counter says, and SMLAD is among them."
    with Board() as board:
        board.hear(np.zeros(16000, np.int16))
        assert sum(board.machine.executed.values()) == board.machine.instructions
        assert packed_instructions(board.machine.executed)["SIMD: two products in one, as SMLAD"] > 8000


def test_what_is_heard_first_is_not_counted():
    sound = np.random.default_rng(0).integers(-8000, 8000, 16000).astype(np.int16)
    calls = {call.function: call.calls for call in profile_board(sound, first=sound)}
    assert "kws_model_invoke" not in calls or not calls["kws_model_invoke"], "the first window was full before"
    assert calls["kws_model_slide"] == 25


def test_columns_of_table_1(monkeypatch):
    "A board that is not named leaves its column empty; a named one fills it; an estimate never does."
    monkeypatch.delenv("KWS_NB_BOARD", raising=False)
    columns = bench_columns(2)
    assert list(columns) == [REPORT_COLUMN, EMULATED_COLUMN, REAL_COLUMN] and columns[REAL_COLUMN] == {}
    assert all(row[-1] == "–" for row in bench_table(columns).rows)
    with pytest.raises(KwsError, match="its times are estimates"):
        bench_columns(2, "emulated://nano33ble")
    opened = []
    monkeypatch.setattr("kws_nb.profile.Board", lambda port: opened.append(port) or Board("emulated://nano33ble"))
    monkeypatch.setenv("KWS_NB_BOARD", "/dev/ttyACM0")
    assert bench_columns(2)[REAL_COLUMN] == columns[EMULATED_COLUMN] and opened[-1] == "/dev/ttyACM0"
    shares = plot_stages(columns).data
    assert [trace.name for trace in shares] == list(STAGES)
    assert [sum(trace.x[i] for trace in shares) for i in (0, 1)] == pytest.approx([1, 1])
