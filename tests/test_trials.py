"Words in a stream: who was heard as what, when, and what is kept when a board vanishes."

import json
from collections import Counter

import numpy as np
import pytest
import serial
import soundfile as sf
from conftest import root
from jupyterlab import chromium, fake_microphone, run_notebook, write_notebook
from kws_nb.board import Board, Detected, Heard
from kws_nb.core import KEYWORDS, LABELS, KwsError
from kws_nb.recordings import save_recording
from kws_nb.results import Accuracy
from kws_nb.studies.trials import *
from kws_nb.studies.trials import _in_turn

SAID = "yes no s y n p no no yes no p no".split()
HEARD = ["yes", "no", "yes", "_unknown_", "nothing", "_unknown_", "no", "yes", "no", "nothing", "no", "no"]


def tone(start, end, rng, level=0.3):
    "A second of faint noise and a tone from one sample to another."
    samples = rng.normal(0, 1e-3, 16000)
    samples[start:end] += level * np.sin(2 * np.pi * np.arange(1, end - start + 1) / 16)
    return samples


def trial(word, k=0):
    "The k-th trial of a stream of 3 s each."
    begin = 48000 * k
    return Trial(word, "", begin, begin + 36000, begin + 44000, begin + 68000)


def scored(trials, found, n_samples=None):
    detections = [Detected(i, sample, label, 210) for i, (sample, label) in enumerate(found)]
    return score_trials(Session({"name": "made up"}, trials, LABELS, n_samples or trials[-1].until, detections))


@pytest.fixture(scope="module")
def spoken():
    "Synthetic speech: three yes, three no, three letters, from three voices."
    rng = np.random.default_rng(0)
    return Recorded("espeak-ng", spoken_clips(["yes", "no", "s"] * 3), (3 * rng.standard_normal(16000)).astype(np.int16))


# ---- where a word ends


@pytest.mark.parametrize("start, end", [(0, 4800), (4800, 9600), (8000, 16000), (6400, 7200)])
@pytest.mark.parametrize("level", [0.02, 0.3, 0.99])
def test_word_span_of_a_tone(start, end, level, rng):
    found = word_span(tone(start, end, rng, level))
    assert np.abs(np.subtract(found, (start, end))).max() <= 160, "one level is 10 ms"


def test_word_span_leaves_clicks_out(rng):
    samples = tone(4800, 9600, rng)
    samples[100:120] = samples[15000:15020] = 0.9
    assert word_span(samples) == (4800, 9600)


def test_word_span_bridges_a_short_pause(rng):
    samples = tone(4800, 12000, rng)
    samples[7200:8800] = rng.normal(0, 1e-3, 1600)
    assert word_span(samples) == (4800, 12000), "the stop in 'eight' is no end"


def test_word_span_where_nothing_stands_out(rng):
    for samples in (np.zeros(16000, np.int16), rng.normal(0, 0.1, 16000), np.full(16000, 0.5)):
        assert word_span(samples) == (0, 16000)


def test_padding_is_no_background(rng):
    samples = tone(3200, 8000, rng)
    samples[9600:] = 0
    assert word_span(samples) == (3200, 8000)


# ---- what a detection counts for


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
    assert {name: a.correct for name, a in count_right(SAID, HEARD).items()} == dict(exactly=4, as_unknown=6, or_nothing=7)
    assert Counter("letters" if len(word) == 1 else word for word in SAID) == dict(letters=5, no=5, yes=2)
    with pytest.raises(KwsError, match="12 words were said, and 11"):
        count_right(SAID, HEARD[1:])


def test_a_keyword_missed_is_never_right():
    for heard in ("nothing", "_unknown_", "no"):
        assert not any(a.correct for a in count_right(["yes"], [heard]).values())


# ---- what the figures say


def test_chance_to_tell_by_simulation(rng):
    for n, true, other in ((20, 0.8, 0.91), (100, 0.8, 0.91), (50, 0.9, 0.5)):
        runs = rng.binomial(n, true, 4000)
        tells = [not low <= other <= high for low, high in (Accuracy(k, n).interval for k in range(n + 1))]
        told = np.mean(np.array(tells)[runs])
        assert abs(told - chance_to_tell(n, true, other)) < 0.03


def test_trials_needed():
    n = trials_needed(0.8, 0.91, most=200)
    assert all(chance_to_tell(m, 0.8, 0.91) >= 0.8 for m in range(n, 200)) and chance_to_tell(n - 1, 0.8, 0.91) < 0.8
    assert 50 < n < 90, "the normal approximation says 67"
    with pytest.raises(KwsError, match="too few"):
        trials_needed(0.9, 0.91, most=100)
    for rates in ((0.8, 0.8), (1, 0.9), (0.8, 1.2)):
        with pytest.raises(KwsError, match="Two different rates"):
            trials_needed(*rates)


# ---- clips and streams


def test_bad_files_are_named(tmp_path, rng):
    sound = tone(4800, 9600, rng)
    save_recording(sound.astype(np.float32), "yes", root=tmp_path)
    folder = tmp_path / "yes"
    sf.write(folder / "me_nohash_1.wav", np.stack([sound[::2], sound[::2]], 1), 8000)  # stereo, 8 kHz
    sf.write(folder / "me_nohash_2.wav", np.tile(sound, 3), 16000)  # 3 s
    sf.write(folder / "silent.wav", np.zeros(16000), 16000)
    sf.write(folder / "short.wav", sound[5000:5100], 16000)
    sf.write(folder / "nan.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    (folder / "noise.wav").write_bytes(b"no sound at all")
    (folder / "notes.txt").write_text("is left alone")
    recorded = folder_clips(tmp_path)
    assert [clip.speaker for clip in recorded.clips] == ["me"] * 3
    assert all(clip.samples.shape == (16000,) and clip.samples.dtype == np.int16 for clip in recorded.clips)
    says = {"yes/silent.wav": "silent", "yes/short.wav": "6 ms", "yes/nan.wav": "NaN", "yes/noise.wav": "not a readable"}
    assert recorded.refused.keys() == says.keys()
    for name, text in says.items():
        assert text in recorded.refused[name] and name in repr(recorded) and str(tmp_path) not in recorded.refused[name]


def test_folders_without_words(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(KwsError, match="holds no recordings"):
            folder_clips(folder)
    (tmp_path / "loose.wav").write_bytes(b"in no folder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(KwsError, match="a folder for each word"):
        folder_clips(tmp_path)
    (tmp_path / "yes").mkdir()
    (tmp_path / "yes/a.wav").write_bytes(b"broken")
    with pytest.raises(KwsError, match="none of 1 files"):
        folder_clips(tmp_path)
    with pytest.raises(KwsError, match='has no "no"; it has yes'):
        folder_clips(tmp_path, ["no"])


def test_other_folders_are_unknown_words(tmp_path, data, rng):
    for word in ("no", "s", "wow", "yes"):
        save_recording(tone(4800, 9600, rng).astype(np.float32), word, root=tmp_path)
    assert [c.word for c in trial_clips(folder=tmp_path, data=data).clips] == ["yes", "no", "s", "wow"]
    assert [c.word for c in trial_clips(["no"], folder=tmp_path, data=data).clips] == ["no"]
    assert [c.word for c in folder_clips(tmp_path).clips] == ["no", "s", "wow", "yes"]


def test_own_recordings_come_first(tmp_path, monkeypatch, data):
    import kws_nb.studies.trials

    asked = []
    monkeypatch.setattr(kws_nb.studies.trials, "recordings", lambda word, root=None: asked.append(word) or ([1] if word == "no" else []))
    monkeypatch.setattr(kws_nb.studies.trials, "folder_clips", lambda folder, words, n: Recorded(" ".join(words), [Spoken("no", np.zeros(16000, np.int16))]))
    assert trial_clips(data=data).name == "no _unknown_" and asked == ["yes", "no"]


def test_test_clips(data):
    recorded = trial_clips(n=12, data=data)
    words = Counter(clip.word for clip in recorded.clips)
    assert words["yes"] == words["no"] == 12 and sum(words.values()) == 36 and len(words) > 5
    assert "test part" in recorded.name and len(recorded.noise) >= 16000 and recorded.noise.any()
    assert [c.word for c in trial_clips(n=12, data=data).clips] == [c.word for c in recorded.clips], "the same seed, the same words"
    with pytest.raises(KwsError, match='no "xyz"'):
        trial_clips(["xyz"], data=data)


def test_every_speaker_once_before_anybody_twice(rng):
    paths = [f"{speaker}{n}" for speaker in "abcd" for n in range(5)]
    assert sorted(p[0] for p in _in_turn(paths, 4, rng, lambda p: p[0])) == list("abcd")
    assert Counter(p[0] for p in _in_turn(paths, 10, rng, lambda p: p[0])).most_common()[0][1] == 3


def test_stream_holds_every_word_where_it_says(spoken):
    stream = make_stream(spoken, gaps="zeros")
    assert sorted(t.word for t in stream.trials) == sorted(c.word for c in spoken.clips)
    assert len(stream.samples) == 9 * 48000 + 32000
    for k, t in enumerate(stream.trials):
        assert t.begin == k * 48000 and not stream.samples[t.begin : t.begin + 32000].any()
        clip = next(c.samples for c in spoken.clips if np.array_equal(c.samples, stream.samples[t.begin + 32000 : t.begin + 48000]))
        assert (t.start, t.end) == tuple(t.begin + 32000 + np.array(word_span(clip))) and t.until == t.end + 24000
    assert make_stream(spoken).samples[:32000].any(), "noise in the gaps"


def test_streams_that_cannot_be(spoken):
    with pytest.raises(KwsError, match="too short"):
        make_stream(spoken, gap_s=1)
    with pytest.raises(KwsError, match="fills no gaps"):
        make_stream(spoken, gaps="music")
    with pytest.raises(KwsError, match="no word"):
        make_stream(Recorded("nothing", []))


# ---- the board


def test_stream_on_the_emulated_board(spoken, tmp_path):
    stream, path = make_stream(spoken), tmp_path / "kept.json"
    session = hear_trials(stream, path=path)
    assert session.done == 9 and session.n_samples == len(stream.samples) and load_trials(path) == session
    with Board() as board:
        board.command("reset")
        board.hear(stream.samples)  # in one piece
        assert board.detections == session.detections and board.predictions == session.heard
    assert detect_words(session.heard, smooth_scores(session.heard)) == session.detections, "Python's averages are the board's"
    score = score_trials(session)
    assert len(score.outcomes) == 9 and set(score.rows()) == {"yes", "no", "letters"}
    assert sum(score.right(word).correct for word in KEYWORDS) >= 2, score
    assert all(-1000 < ms <= 1500 for row in score.rows() for ms in score.latencies(row))
    figure = plot_trials(stream, session, 0, 9)
    assert len(figure.data) == 1 + len(LABELS) + 1 and len(figure.layout.shapes) == 4, "three words and the threshold"


@pytest.mark.parametrize("settings", [dict(threshold=120), dict(threshold=150, suppression=0), dict(window=500, count=10), dict(hop=1, threshold=100)])
def test_averages_in_python_are_the_boards(settings, spoken):
    with Board() as board:
        board.settings(**settings)
        heard = board.hear(make_stream(spoken).samples[: 6 * 48000])
        averages = smooth_scores(heard, settings.get("window", 1000), settings.get("count", 3))
        found = detect_words(heard, averages, settings.get("threshold", 200), settings.get("suppression", 1500))
        assert found == board.detections and found


def test_latency_of_a_constructed_word():
    "The network is sure of yes for 24 predictions; the average of 26 exceeds 200 of 255 with the 21st."
    yes, silence = (-128, -128, 127, -128), (127, -128, -128, -128)
    heard = [Heard(n, 16000 + 640 * n, "", yes if 56 <= n < 80 else silence) for n in range(120)]
    (found,) = detect_words(heard, smooth_scores(heard))
    session = Session({}, [Trial("yes", "", 0, 48000, 56000, 80000)], LABELS, 92000, [found])
    assert score_trials(session).outcomes[0].latency_ms == (found.sample - 56000) / 16 and found.sample == 16000 + 640 * (55 + 21) == 64640


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


@pytest.mark.parametrize("after", [1000, 3 * 48000, 5 * 48000 + 30000, 9 * 48000 - 1])
def test_a_board_that_vanishes(after, spoken, tmp_path):
    stream, path = make_stream(spoken), tmp_path / "kept.json"
    with pytest.raises(KwsError, match=r"disconnected\. \d of 9 trials are heard and kept in kept.json: the same call goes on"):
        hear_trials(stream, vanishing_board(after), path)
    before = load_trials(path)
    assert before.done == max(0, (after // 48000) - 1), "the last word's 1.5 s are not over"
    session, whole = hear_trials(stream, path=path), hear_trials(stream, path=tmp_path / "whole.json")
    assert session.done == 9 and [h.sample for h in session.heard] == sorted({h.sample for h in session.heard})
    last = before.trials[before.done - 1].until if before.done else 0
    assert [d for d in session.detections if d.sample <= last] == [d for d in before.detections if d.sample <= last]
    assert [o.heard for o in score_trials(session).outcomes[: before.done]] == [o.heard for o in score_trials(whole).outcomes[: before.done]]
    pairs = zip(score_trials(session).outcomes, score_trials(whole).outcomes)
    assert sum(a.heard != b.heard for a, b in pairs) <= 1, "the front end has settled, but for a word on the threshold"


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
                board.serial.feed(np.concatenate([silence, clips.get(line.rpartition('say "')[2].strip('"'), silence), silence]))

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
    assert all(t.until - t.start == 48000 for t in session.trials) and np.all(np.diff([t.start for t in session.trials]) >= 48000)
    outcomes = score_trials(session).outcomes
    assert all(o.latency_ms is None for o in outcomes) and sum(o.heard == o.trial.word for o in outcomes) >= 2
    with pytest.raises(KwsError, match="own microphone"):
        with Board() as board:
            board.machine = None
            hear_trials(make_stream(spoken), board)
    with pytest.raises(KwsError, match="too short"):
        announce_trials(board, seconds=1)


# ---- your own voice


def test_recording_goes_on_to_the_next_word(tmp_path, spoken):
    recorder = record_trials(("yes", "no"), 2, root=tmp_path)
    yes, no = spoken.clips[:2]
    assert recorder.missing() == dict(yes=2, no=2) and recorder.send.disabled and recorder.recorder.label == "yes"
    for clip, missing, label in ((yes, dict(yes=1, no=2), "yes"), (yes, dict(no=2), "no"), (no, dict(no=1), "no"), (no, {}, "no")):
        recorder.recorder._recorded = clip.samples / np.float32(32768)
        recorder.recorder.save()
        assert recorder.missing() == missing and recorder.recorder.label == label and not recorder.send.disabled
    assert "All are recorded" in recorder.shown.value
    recorder.hear()
    assert "yes" in recorder.result.value and [row[1] for row in table2(recorder.score).rows] == [2, 2]
    recorder.board = "emulated://nowhere"
    recorder.hear()
    assert "cannot be opened" in recorder.result.value


@pytest.mark.needs("chromium")
def test_record_and_send_in_a_browser(lab):
    "Two words recorded, one after the other, sent to the board, and a table on the page."
    url, folder = lab
    write_notebook(folder / "trials.ipynb", "from kws_nb.studies.trials import *", "shown = record_trials(n=1, root='trials')\nshown.recorder.countdown = 0\nshown")
    with chromium(*fake_microphone(root / "data/clips/yes.wav"), permissions=["microphone"]) as page:
        run_notebook(page, url, "trials.ipynb")
        for left in ("Still to record: no 1 of 1", "All are recorded."):
            page.click(".kws-record")
            page.get_by_text("Recorded: 1.00 s").wait_for()
            page.click(".kws-save")
            page.get_by_text(left).wait_for()
        assert sorted(p.parent.name for p in folder.glob("trials/*/*.wav")) == ["no", "yes"]
        page.get_by_text("Send to the board").click()
        page.get_by_text('"no" has 1 trial').wait_for(timeout=60_000)


def test_recorder_without_a_kernel_is_a_picture(monkeypatch, tmp_path):
    monkeypatch.setenv("KWS_NB_STATIC", "1")
    shown = record_trials(n=10, root=tmp_path)._repr_mimebundle_()
    assert shown["image/png"] and shown["text/plain"] == "TrialRecorder: 0 of 10 yes, 0 of 10 no"
    with pytest.raises(KwsError, match="1 or more"):
        record_trials(n=0)
    with pytest.raises(KwsError, match="file name"):
        record_trials(["a/b"])


# ---- the study


def test_study_is_kept_and_read(spoken, tmp_path, monkeypatch):
    few = Recorded("a few", [clip for clip in spoken.clips if clip.word != "s"][:4], spoken.noise)
    study = trial_study(few, tmp_path / "study.json", thresholds=(150, 200))
    import kws_nb.studies.trials

    monkeypatch.setattr(kws_nb.studies.trials, "hear_trials", None)
    assert trial_study(few, tmp_path / "study.json", thresholds=(150, 200)) == study == json.loads((tmp_path / "study.json").read_text())
    with pytest.raises(TypeError):
        trial_study(few, tmp_path / "study.json", thresholds=(100,))  # another study is not read
    rows = study_table(study).rows
    assert [row[0] for row in rows] == ["each clip alone", "stream, threshold 150", "stream, threshold 200"]
    assert sum(study["streams"]["zeros"]["200"]["heard"]["yes"].values()) == study["n"]["yes"]
