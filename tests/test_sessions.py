"What a board said: who was heard as what, when, and what is kept when a board vanishes."

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import serial
from kws_nb.board import Board, Detected, Heard
from kws_nb.core import KEYWORDS, LABELS, KwsError
from kws_nb.sessions import *
from kws_nb.streams import Trial, make_stream
from words import nine_words

SAID = "yes no s y n p no no yes no p no".split()
HEARD = ["yes", "no", "yes", "_unknown_", "nothing", "_unknown_", "no", "yes", "no", "nothing", "no", "no"]


@pytest.fixture(scope="module")
def spoken():
    return nine_words()


def trial(word, k=0):
    "The k-th trial of a stream of 3 s each."
    begin = 48000 * k
    return Trial(word, "", begin, begin + 36000, begin + 44000, begin + 68000)


def scored(trials, found, n_samples=None):
    detections = [Detected(i, sample, label, 210) for i, (sample, label) in enumerate(found)]
    return score_trials(Session({"name": "made up"}, trials, LABELS, n_samples or trials[-1].until, detections))


@pytest.mark.parametrize(
    "found, heard, latency, again, alarms",
    [
        ([], "nothing", None, (), 0),
        ([(52000, "yes")], "yes", 500.0, (), 0),
        ([(40000, "yes")], "yes", -250.0, (), 0),
        ([(52000, "no"), (60000, "yes")], "no", 500.0, ("yes",), 0),
        ([(50000, "_unknown_")], "_unknown_", 375.0, (), 0),
        ([(36000, "yes")], "yes", -500.0, (), 0),
        ([(35999, "yes")], "nothing", None, (), 1),
        ([(68000, "yes")], "yes", 1500.0, (), 0),
        ([(68001, "yes")], "nothing", None, (), 1),
        ([(10000, "no"), (52000, "yes"), (52640, "yes"), (70000, "yes")], "yes", 500.0, ("yes",), 2),
    ],
)
def test_each_kind_of_outcome(found, heard, latency, again, alarms):
    score = scored([trial("yes")], found, 80000)
    (outcome,) = score.outcomes
    assert (outcome.heard, outcome.latency_ms, outcome.again) == (heard, latency, again)
    assert len(score.false_alarms) == alarms and score.gap_s == 3.0


def test_unknown_between_words_is_no_false_alarm():
    score = scored([trial("yes")], [(1000, "_unknown_"), (2000, "no")], 80000)
    assert len(score.alarms) == 2 and [d.label for d in score.false_alarms] == ["no"]


def test_unfinished_trials_do_not_count():
    trials = [trial("yes"), trial("no", 1)]
    score = scored(trials, [(50000, "yes"), (100000, "no")], trials[1].until - 1)
    assert len(score.outcomes) == 1 and not score.alarms, "the second word may still be heard"
    assert score.gap_s == (trials[1].start - 32000) / 16000


def test_the_rows_of_table_2():
    words = ["yes"] * 10 + ["no"] * 10 + ["s", "marvin"]
    trials = [trial(word, k) for k, word in enumerate(words)]
    labels = ["yes"] * 8 + ["no", None] + ["no"] * 9 + ["_unknown_"] + [None, "yes"]
    score = scored(trials, [(t.end + 16 * 400, label) for t, label in zip(trials, labels) if label])
    yes, no, letters, others = table2(score).rows
    assert yes == ("yes", 10, 8, "80 % [49, 94]", "yes 8, no 1, nothing 1", "400 (400 to 400)", 0)
    assert no[:5] == ("no", 10, 9, "90 % [60, 98]", "no 9, _unknown_ 1")
    assert letters[:5] == ("letters", 1, 1, "100 % [21, 100]", "nothing 1") and others[2] == 0
    assert [row[2] for row in table2(score, "as_unknown").rows] == [8, 9, 0, 0]
    notes = table2_notes(score)
    assert '"letters" has 1 trial:' in notes and '"yes"' not in notes, "ten trials get no note"
    assert "| yes | 10 | 8 |" in score._repr_markdown_() and "made up" in str(score)
    with pytest.raises(KwsError, match="no way of counting"):
        table2(score, "kindly")


def test_the_reports_list():
    right = {name: a.correct for name, a in count_right(SAID, HEARD).items()}
    assert right == dict(exactly=4, as_unknown=6, or_nothing=7)
    assert Counter("letters" if len(word) == 1 else word for word in SAID) == dict(letters=5, no=5, yes=2)
    with pytest.raises(KwsError, match="12 words were said, and 11"):
        count_right(SAID, HEARD[1:])


def test_a_keyword_missed_is_never_right():
    for heard in ("nothing", "_unknown_", "no"):
        assert not any(a.correct for a in count_right(["yes"], [heard]).values())


def test_stream_on_the_emulated_board(spoken, tmp_path):
    stream, path = make_stream(spoken), tmp_path / "kept.json"
    session = hear_trials(stream, path=path)
    assert session.done == 9 and session.n_samples == len(stream.samples) and load_trials(path) == session
    with Board() as board:
        board.command("reset")
        board.hear(stream.samples)  # in one piece
        assert board.detections == session.detections and board.predictions == session.heard
    assert detect_words(session.heard) == session.detections
    score = score_trials(session)
    assert len(score.outcomes) == 9 and set(score.rows()) == {"yes", "no", "letters"}
    assert sum(score.right(word).correct for word in KEYWORDS) >= 2, score
    assert all(-1000 < ms <= 1500 for row in score.rows() for ms in score.latencies(row))
    figure = plot_trials(stream, session, 0, 9)
    assert len(figure.data) == 1 + len(LABELS) + 1 and len(figure.layout.shapes) == 4, "three words and the threshold"
    open_end = replace(session, trials=[replace(trial, end=None) for trial in session.trials])  # as announced words are
    assert len(plot_trials(stream, open_end, 0, 9).layout.shapes) == 4


BOARD_SETTINGS = [
    dict(threshold=120),
    dict(threshold=150, suppression=0),
    dict(window=500, count=10),
    dict(hop=1, threshold=100),
]


@pytest.mark.parametrize("settings", BOARD_SETTINGS)
def test_words_detected_on_the_host_are_the_boards(settings, spoken):
    "The rule of kws_recognizer.c, compiled for this machine and for the Cortex-M4, on the same predictions."
    with Board() as board:
        board.settings(**settings)
        heard = board.hear(make_stream(spoken).samples[: 6 * 48000])
        names = dict(threshold="threshold", suppression="suppression_ms", window="window_ms", count="minimum_count")
        rule = {names[name]: value for name, value in settings.items() if name in names}
        found = detect_words(heard, **rule)
        assert found == board.detections and found
        averages = smooth_scores(heard, rule.get("window_ms", 1000), rule.get("minimum_count", 3))
        at = {h.sample: row for h, row in zip(heard, averages)}
        assert all(at[d.sample][LABELS.index(d.label)] == at[d.sample].max() == d.score for d in found)


def test_latency_of_a_constructed_word():
    "The network is sure of yes for 24 predictions; the average of 26 exceeds 200 of 255 with the 21st."
    yes, silence = (-128, -128, 127, -128), (127, -128, -128, -128)
    heard = [Heard(n, 16000 + 640 * n, "", yes if 56 <= n < 80 else silence) for n in range(120)]
    (found,) = detect_words(heard)
    session = Session({}, [Trial("yes", "", 0, 48000, 56000, 80000)], LABELS, 92000, [found])
    assert found.sample == 16000 + 640 * (55 + 21) == 64640
    assert score_trials(session).outcomes[0].latency_ms == (found.sample - 56000) / 16


def vanishing_board(after):
    "An emulated board that is unplugged after so many samples."
    board, left = Board(), [after]
    feed = board.serial.feed

    def failing(samples):
        left[0] -= len(samples)
        if left[0] < 0:
            raise serial.SerialException("device disconnected")
        feed(samples)

    board.serial.feed = failing
    return board


def test_nothing_heard_is_nothing_detected():
    assert detect_words([]) == [] and len(smooth_scores([])) == 0


@pytest.mark.slow
@pytest.mark.parametrize("after", [1000, 3 * 48000, 5 * 48000 + 30000, 9 * 48000 - 1])
def test_a_board_that_vanishes(after, spoken, tmp_path):
    stream, path = make_stream(spoken), tmp_path / "kept.json"
    says = r"disconnected\. \d of 9 trials are heard and kept in kept.json: the same call goes on"
    with pytest.raises(KwsError, match=says):
        hear_trials(stream, vanishing_board(after), path)
    before = load_trials(path)
    assert before.done == max(0, (after // 48000) - 1), "the last word's 1.5 s are not over"
    session, whole = hear_trials(stream, path=path), hear_trials(stream, path=tmp_path / "whole.json")
    assert session.done == 9 and [h.sample for h in session.heard] == sorted({h.sample for h in session.heard})
    last = before.trials[before.done - 1].until if before.done else 0
    assert [d for d in session.detections if d.sample <= last] == [d for d in before.detections if d.sample <= last]
    resumed, at_once = ([o.heard for o in score_trials(s).outcomes] for s in (session, whole))
    assert resumed[: before.done] == at_once[: before.done]
    differ = sum(a != b for a, b in zip(resumed, at_once))
    assert differ <= 1, "the front end has settled, but for a word on the threshold"


def test_kept_sessions_that_do_not_fit(spoken, tmp_path):
    stream, path = make_stream(spoken), tmp_path / "kept.json"
    path.write_text('{"kws_nb": "trials"')
    with pytest.raises(KwsError, match="damaged"):
        hear_trials(stream, path=path)
    path.write_text(json.dumps(dict(kws_nb="session")))
    with pytest.raises(KwsError, match="no session of trials"):
        load_trials(path)
    with pytest.raises(KwsError, match="cannot be read"):
        load_trials(tmp_path / "missing.json")
    save_trials(path, Session({"name": "others"}, [trial("yes")], LABELS))
    with pytest.raises(KwsError, match="other trials"):
        hear_trials(stream, path=path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept.json"], "nothing half-written is left"


def test_announced_trials(spoken, tmp_path):
    clips, silence = {c.word: c.samples for c in spoken.clips}, np.zeros(16000, np.int16)
    lines = []

    def obey(board, until=10**9):
        def say(line):
            lines.append(line)
            if len(lines) <= until:
                word = line.rpartition('say "')[2].strip('"')
                board.serial.feed(np.concatenate([silence, clips.get(word, silence), silence]))

        return say

    path = tmp_path / "announced.json"
    with Board() as board:
        board.settings(threshold=120)
        board.timeout = 0.3
        with pytest.raises(KwsError, match="said nothing for 0.3 s. 2 of 4 trials"):
            announce_trials(board, n=2, path=path, say=obey(board, 3))
        board.timeout = 5
        session = announce_trials(board, n=2, path=path, say=obey(board))
    assert sum("say" in line and "/4" in line for line in lines) == 3 + 2, "the third is announced again"
    with Board() as board:
        board.settings(threshold=120)
        assert announce_trials(board, n=2, path=path, say=None) == session, "a whole one is read"
    assert sorted(t.word for t in session.trials) == ["no", "no", "yes", "yes"] and session.done == 4
    assert all(t.until - t.start == 48000 for t in session.trials)
    assert np.all(np.diff([t.start for t in session.trials]) >= 48000)
    outcomes = score_trials(session).outcomes
    assert all(o.latency_ms is None for o in outcomes) and sum(o.heard == o.trial.word for o in outcomes) >= 2
    with pytest.raises(KwsError, match="own microphone"):
        with Board() as board:
            board.machine = None
            hear_trials(make_stream(spoken), board)
    with pytest.raises(KwsError, match="too short"):
        announce_trials(board, seconds=1)
