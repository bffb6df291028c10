"A test set of one's own: recorded word by word, counted, and sent to the board."

import numpy as np
import pytest
from conftest import root
from jupyterlab import chromium, fake_microphone, run_notebook, write_notebook
from kws_nb.core import KwsError
from kws_nb.sessions import table2
from kws_nb.widgets.trial_recorder import record_trials
from words import nine_words


@pytest.fixture(scope="module")
def spoken():
    return nine_words()


def test_recording_goes_on_to_the_next_word(tmp_path, spoken):
    recorder = record_trials(("yes", "no"), 2, root=tmp_path)
    yes, no = spoken.clips[:2]
    assert recorder.missing() == dict(yes=2, no=2) and recorder.send.disabled and recorder.recorder.label == "yes"
    steps = [(yes, dict(yes=1, no=2), "yes"), (yes, dict(no=2), "no"), (no, dict(no=1), "no"), (no, {}, "no")]
    for clip, missing, label in steps:
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
    imports = "from kws_nb.widgets.trial_recorder import *"
    shown = "shown = record_trials(n=1, root='trials')\nshown.recorder.countdown = 0\nshown"
    write_notebook(folder / "trials.ipynb", imports, shown)
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
