"Words one after the other: found, refused with a reason, and where the truth says they are."

from collections import Counter

import kws_nb.streams
import numpy as np
import pytest
import soundfile as sf
from kws_nb.core import KwsError
from kws_nb.data import Part
from kws_nb.recordings import save_recording
from kws_nb.streams import *
from words import nine_words, tone


@pytest.fixture(scope="module")
def spoken():
    return nine_words()


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
    says = dict(silent="silent", short="6 ms", nan="NaN", noise="not a readable")
    says = {f"yes/{name}.wav": text for name, text in says.items()}
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
    asked = []

    def recordings(word, root=None):
        asked.append(word)
        return [1] if word == "no" else []

    def folder_clips(folder, words, n):
        return Recorded(" ".join(words), [Spoken("no", np.zeros(16000, np.int16))])

    monkeypatch.setattr(kws_nb.streams, "recordings", recordings)
    monkeypatch.setattr(kws_nb.streams, "folder_clips", folder_clips)
    assert trial_clips(data=data).name == "no _unknown_" and asked == ["yes", "no"]


def test_test_clips(data):
    recorded = trial_clips(n=12, data=data)
    words = Counter(clip.word for clip in recorded.clips)
    assert words["yes"] == words["no"] == 12 and sum(words.values()) == 36 and len(words) > 5
    assert "test part" in recorded.name and len(recorded.noise) >= 16000 and recorded.noise.any()
    again = trial_clips(n=12, data=data)
    assert [c.word for c in again.clips] == [c.word for c in recorded.clips], "the same seed, the same words"
    with pytest.raises(KwsError, match='no "xyz"'):
        trial_clips(["xyz"], data=data)


def test_every_speaker_once_before_anybody_twice(rng):
    paths = [f"{speaker}{n}" for speaker in "abcd" for n in range(5)]
    assert sorted(p[0] for p in in_turn(paths, 4, rng, lambda p: p[0])) == list("abcd")
    assert Counter(p[0] for p in in_turn(paths, 10, rng, lambda p: p[0])).most_common()[0][1] == 3


def test_stream_holds_every_word_where_it_says(spoken):
    stream = make_stream(spoken, gaps="zeros")
    assert sorted(t.word for t in stream.trials) == sorted(c.word for c in spoken.clips)
    assert len(stream.samples) == 9 * 48000 + 32000
    for k, t in enumerate(stream.trials):
        assert t.begin == k * 48000 and not stream.samples[t.begin : t.begin + 32000].any()
        said = stream.samples[t.begin + 32000 : t.begin + 48000]
        clip = next(c.samples for c in spoken.clips if np.array_equal(c.samples, said))
        assert (t.start, t.end) == tuple(t.begin + 32000 + np.array(word_span(clip))) and t.until == t.end + 24000
    assert make_stream(spoken).samples[:32000].any(), "noise in the gaps"


def test_streams_that_cannot_be(spoken):
    with pytest.raises(KwsError, match="too short"):
        make_stream(spoken, gap_s=1)
    with pytest.raises(KwsError, match="fills no gaps"):
        make_stream(spoken, gaps="music")
    with pytest.raises(KwsError, match="no word"):
        make_stream(Recorded("nothing", []))


def test_word_stream_has_every_word_in_its_slot(small):
    part = small.testing
    samples, labels = word_stream(part, 0)
    assert len(samples) == len(labels) * SLOT and sorted(labels) == sorted(part.labels[part.labels > 0])
    np.testing.assert_array_equal(samples, word_stream(part, 0)[0])
    assert (samples != word_stream(part, 1)[0]).any(), "another order"
    words = part.clips[part.labels > 0].astype(float)
    slots = samples.reshape(-1, SLOT)[:, :16000]
    found = [np.abs(words - slot).mean(1).argmin() for slot in slots.astype(float)]
    assert (part.labels[part.labels > 0][found] == labels).all(), "a word is nearest to its own slot"
    with pytest.raises(KwsError, match="no words"):
        word_stream(Part(part.clips[:4], np.zeros(4, int), []), 0)


def test_equal_seeds_speak_equally():
    said, again = spoken_clips(["yes", "s"]), spoken_clips(["yes", "s"])
    assert [c.word for c in said] == ["yes", "s"]
    assert all(np.array_equal(a.samples, b.samples) and len(a.samples) == 16000 for a, b in zip(said, again))
