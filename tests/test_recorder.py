"What the recorder accepts from a browser, and where it writes."

import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile as sf
from kws_nb.audio import read_clip, to_int16
from kws_nb.core import KwsError, data_dir
from kws_nb.data import split_of
from kws_nb.recordings import delete_recording, loudest_second, recordings, save_recording, silence_warning
from kws_nb.widgets.recorder import LARGEST_UPLOAD, Recorder, decode_samples, read_upload

SOUND = (0.3 * np.sin(np.arange(16000) * 0.1)).astype("<f4")


def ask(recorder, *buffers, **message):
    "A message as the browser sends it; returns what the page shows."
    recorder._answer(recorder, message, [memoryview(b) for b in buffers])
    return recorder.error


def encoded(samples, **options):
    file = io.BytesIO()
    sf.write(file, samples, 16000, **options)
    return file.getvalue()


def with_value(value):
    samples = SOUND.copy()
    samples[99] = value
    return samples.tobytes()


# ---- bytes from the browser


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("seconds", [0.1, 1, 2.5])
def test_any_rate_gives_the_same_tone(rate, seconds):
    n = round(rate * seconds)
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(n) / rate)).astype("<f4")
    samples = decode_samples(tone.tobytes(), rate, seconds)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(16000 * seconds)) / 16000)
    assert samples.dtype == np.float32 and samples.shape == wanted.shape
    np.testing.assert_allclose(samples[200:-200], wanted[200:-200], atol=1e-3)


@pytest.mark.parametrize(
    "data, rate, says",
    [
        (SOUND.tobytes()[:-1], 16000, "float32"),
        (b"", 16000, "0 samples"),
        (SOUND.tobytes()[:-8], 16000, "15,998 samples"),
        (SOUND.tobytes() * 60, 16000, "960,000 samples"),
        (SOUND.tobytes(), 48000, "48,000"),
        (with_value(np.nan), 16000, "NaN"),
        (with_value(-np.inf), 16000, "NaN or infinite"),
        (with_value(1e30), 16000, "1e\\+30"),
        (SOUND.tobytes(), 0, "sample rate of 0"),
        (SOUND.tobytes(), 7999, "sample rate"),
        (SOUND.tobytes(), 1e9, "sample rate"),
        (SOUND.tobytes(), "16000", "sample rate"),
        (SOUND.tobytes(), None, "sample rate of None"),
    ],
)
def test_bad_samples_from_the_browser(data, rate, says, tmp_path):
    with pytest.raises(KwsError, match=says):
        decode_samples(data, rate)
    recorder = Recorder(root=tmp_path)
    assert ask(recorder, SOUND.tobytes(), do="take", rate=16000) == ""
    assert ask(recorder, data, do="take", rate=rate)
    np.testing.assert_array_equal(recorder.samples, SOUND)  # the recording before it is kept
    assert ask(recorder, SOUND.tobytes(), do="take", rate=16000) == "", "the error goes when it works again"


def test_noise_instead_of_samples(rng):
    "Random bytes are no sound: each of 200 blocks is refused, whatever numbers they happen to be."
    for _ in range(200):
        with pytest.raises(KwsError):
            decode_samples(rng.bytes(64000), 16000)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"do": "nonsense"},
        {"do": ["take"]},
        {"do": "take"},
        {"do": "upload"},
        {"do": "trim"},
        {"do": "save"},
        {"do": "load"},
        {"do": "delete"},
    ],
)
def test_incomplete_messages_are_answered(message, tmp_path):
    recorder = Recorder(root=tmp_path)
    assert ask(recorder, **message)
    assert not list(tmp_path.iterdir())
    with pytest.raises(KwsError, match="Nothing is recorded"):
        _ = recorder.samples


@pytest.mark.parametrize("seconds", [0, -1, 0.09, 61, float("nan"), float("inf")])
def test_impossible_lengths(seconds):
    with pytest.raises(KwsError, match="not possible"):
        Recorder(seconds=seconds)
    recorder = Recorder()
    with pytest.raises(KwsError, match="not possible"):
        recorder.seconds = seconds


@pytest.mark.parametrize("gain, silent", [(1, False), (0.004, False), (0.003, True), (1e-9, True), (0, True)])
def test_silence_is_kept_with_a_warning(gain, silent, tmp_path):
    recorder = Recorder(root=tmp_path)
    assert ask(recorder, (SOUND * np.float32(gain)).tobytes(), do="take", rate=16000) == ""
    assert ("silent" in recorder.warning) == silent == bool(silence_warning(recorder.samples))
    assert len(recorder.samples) == 16000


# ---- uploads


@pytest.mark.parametrize(
    "format, subtype",
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "FLOAT"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"),
        ("AIFF", "PCM_16"),
    ],
)
def test_uploads_of_many_formats(format, subtype, tmp_path):
    recorder = Recorder(root=tmp_path)
    data = encoded(np.stack([SOUND, SOUND], 1), format=format, subtype=subtype)
    assert ask(recorder, data, do="upload", name="clip") == ""
    n = min(len(recorder.samples), 16000)
    assert n >= 15000 and np.corrcoef(recorder.samples[:n], SOUND[:n])[0, 1] > 0.9


WAV, FLAC = encoded(SOUND, format="WAV", subtype="PCM_16"), encoded(SOUND, format="FLAC")


@pytest.mark.parametrize(
    "data, says",
    [
        (b"", "not a readable audio file"),
        (b"GIF89a" + bytes(99), "not a readable audio file"),
        (b"%PDF-1.7 " * 99, "not a readable audio file"),
        (WAV[:20_000], "19,956 of 32,000 bytes"),
        (WAV[:44], "cut off"),
        (WAV[:30], "not a readable audio file"),
        (FLAC[:40], "not a readable audio file"),
        (encoded(np.zeros(0), format="WAV"), "is empty"),
        (encoded(np.where(np.arange(99) == 9, np.nan, 0), format="WAV", subtype="FLOAT"), "NaN"),
        (encoded(np.zeros(61 * 16000), format="FLAC"), "lasts 61 s"),
        (bytes(LARGEST_UPLOAD + 1), "8.0 MB"),
    ],
    ids="empty gif pdf half header-only headerless short-flac no-samples nan minute large".split(),
)
def test_foreign_and_truncated_uploads(data, says, tmp_path):
    recorder = Recorder(root=tmp_path)
    assert ask(recorder, SOUND.tobytes(), do="take", rate=16000) == ""
    error = ask(recorder, data, do="upload", name="my file.wav")
    assert error.startswith("my file.wav") and says in error
    np.testing.assert_array_equal(recorder.samples, SOUND)


def test_damaged_uploads_never_do_worse(rng):
    "200 files with bytes changed: samples or a KwsError, nothing else."
    refused = 0
    for i in range(200):
        data = bytearray((WAV, FLAC)[i % 2])
        for at in rng.integers(0, min(len(data), 200), rng.integers(1, 6)):
            data[at] = rng.integers(256)
        try:
            assert np.isfinite(read_upload(bytes(data))).all()
        except KwsError:
            refused += 1
    assert 0 < refused < 200


# ---- the loudest second


def test_loudest_second_has_the_most_energy(rng):
    for _ in range(20):
        samples = rng.standard_normal(3000) * np.repeat(rng.uniform(0, 1, 30), 100)
        n = int(rng.integers(1, 3000))
        kept = loudest_second(samples, n)
        best = max(np.sum(samples[i : i + n] ** 2) for i in range(3000 - n + 1))
        assert len(kept) == n and np.sum(kept**2) >= 0.99 * best - 1e-9


@pytest.mark.parametrize("at", [0, 1, 9_000, 30_000, 47_000])
def test_the_word_is_whole_and_in_the_middle(at):
    samples = np.zeros(48_000, np.int16)
    samples[at : at + 900] = 20_000
    kept = loudest_second(samples)
    assert kept.dtype == np.int16 and len(kept) == 16_000
    first, last = np.flatnonzero(kept)[[0, -1]]
    assert np.count_nonzero(kept) >= 890
    if 16_000 < at < 32_000:
        assert abs(first - (16_000 - 1 - last)) <= 20


def test_two_words_are_not_averaged_into_the_gap():
    samples = np.zeros(64_000)
    samples[1000:2000] = samples[60_000:61_000] = 1
    assert np.sum(loudest_second(samples)) >= 990


def test_full_scale_integers_do_not_overflow():
    samples = np.zeros(32_000, np.int16)
    samples[20_000:] = -32768
    assert np.count_nonzero(loudest_second(samples)) > 11_800


# ---- files


BAD_NAMES = [
    "",
    " ",
    ".",
    "..",
    "../yes",
    "a/b",
    "a\\b",
    "c:yes",
    "/etc",
    ".hidden",
    "y\0es",
    "-",
    "ja!",
    "straße",
    "x" * 41,
    None,
]


@pytest.mark.parametrize("label", BAD_NAMES)
def test_bad_labels(label, tmp_path):
    with pytest.raises(KwsError, match="label"):
        save_recording(SOUND, label, root=tmp_path / "recordings")
    recorder = Recorder(root=tmp_path / "recordings")
    ask(recorder, SOUND.tobytes(), do="take", rate=16000)
    assert "label" in ask(recorder, do="save", label=label or "", speaker="me")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("speaker", [*BAD_NAMES, "me_nohash_0", "a_b"])
def test_bad_speakers(speaker, tmp_path):
    with pytest.raises(KwsError, match="speaker"):
        save_recording(SOUND, "yes", speaker, root=tmp_path / "recordings")
    assert not list(tmp_path.iterdir())


def test_saved_as_speech_commands_stores_its_clips(tmp_path):
    path = save_recording(SOUND, " Yes ", "Ada", tmp_path)
    info = sf.info(path)
    assert path == tmp_path / "yes/ada_nohash_0.wav" and (info.samplerate, info.channels, info.subtype) == (
        16000,
        1,
        "PCM_16",
    )
    np.testing.assert_array_equal(to_int16(read_clip(path)), to_int16(SOUND))
    assert split_of(path) == split_of("no/ada_nohash_7.wav")


def test_never_overwrites(tmp_path):
    first = save_recording(SOUND, "yes", root=tmp_path)
    before = first.read_bytes()
    (tmp_path / "yes/me_nohash_7.wav").write_bytes(b"somebody else's")
    (tmp_path / "yes/me_nohash_x.wav").write_bytes(b"no number")
    second = save_recording(-SOUND, "yes", root=tmp_path)
    assert second.name == "me_nohash_8.wav" and first.read_bytes() == before
    assert (tmp_path / "yes/me_nohash_7.wav").read_bytes() == b"somebody else's"


def test_a_name_taken_at_the_last_moment_is_left_alone(tmp_path, monkeypatch):
    import kws_nb.recordings as module

    def rival(start):  # between the look and the creation
        (tmp_path / f"yes/me_nohash_{start}.wav").write_bytes(b"somebody else's")
        return iter(range(start, start + 9))

    monkeypatch.setattr(module, "count", rival)
    assert save_recording(SOUND, "yes", root=tmp_path).name == "me_nohash_1.wav"
    assert (tmp_path / "yes/me_nohash_0.wav").read_bytes() == b"somebody else's"


def test_many_at_once_each_get_a_name(tmp_path):
    clips = [np.full(2000, i, np.int16) for i in range(32)]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda clip: save_recording(clip, "yes", root=tmp_path), clips))
    assert len(set(paths)) == 32 == len(recordings(root=tmp_path))
    for clip, path in zip(clips, paths):
        np.testing.assert_array_equal(to_int16(read_clip(path)), clip)


def test_a_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(path, *args, **options):
        path.write_bytes(b"RIFF half a cl")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sf, "write", full)
    recorder = Recorder(root=tmp_path)
    ask(recorder, SOUND.tobytes(), do="take", rate=16000)
    assert "No space left" in ask(recorder, do="save", label="yes", speaker="me")
    assert list((tmp_path / "yes").iterdir()) == [] == recorder._saved


def test_a_reader_never_sees_half_a_clip(tmp_path, monkeypatch):
    seen, write = [], sf.write

    def watched(path, *args, **options):
        seen.append(recordings(root=tmp_path))
        write(path, *args, **options)
        seen.append(recordings(root=tmp_path))

    monkeypatch.setattr(sf, "write", watched)
    assert recordings(root=tmp_path) == []
    path = save_recording(SOUND, "yes", root=tmp_path)
    assert seen == [[], []] and recordings(root=tmp_path) == [path]


@pytest.mark.parametrize(
    "samples, says",
    [([], "empty"), ([np.nan], "NaN"), (np.zeros((2, 9)), "one channel"), (np.zeros(9, np.uint8), "int16")],
)
def test_what_is_no_clip_is_not_saved(samples, says, tmp_path):
    with pytest.raises(KwsError, match=says):
        save_recording(np.asarray(samples), "yes", root=tmp_path / "recordings")
    assert not list(tmp_path.iterdir())


def test_the_list_is_in_the_order_of_numbers(tmp_path):
    for name in ("no/me_nohash_0.wav", *(f"yes/me_nohash_{i}.wav" for i in (10, 9, 0)), "yes/ada_nohash_3.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(WAV)
    (tmp_path / "yes/notes_nohash_.wav").write_bytes(WAV)
    (tmp_path / "README.md").write_text("not a recording")
    names = [path.relative_to(tmp_path).as_posix() for path in recordings(root=tmp_path)]
    assert names == [
        "no/me_nohash_0.wav",
        "yes/ada_nohash_3.wav",
        "yes/me_nohash_0.wav",
        "yes/me_nohash_9.wav",
        "yes/me_nohash_10.wav",
    ]
    assert len(recordings("no", tmp_path)) == 1 and recordings("other", tmp_path) == []
    with pytest.raises(KwsError, match="label"):
        recordings("../yes", tmp_path)


def test_deletes_only_inside_the_folder(tmp_path):
    root, outside = tmp_path / "recordings", tmp_path / "yes/me_nohash_0.wav"
    saved = save_recording(SOUND, "yes", root=root)
    outside.parent.mkdir()
    outside.write_bytes(WAV)
    (root / "me_nohash_0.wav").write_bytes(WAV)
    (root / "yes/notes.txt").write_text("mine")
    os.symlink(outside, root / "yes/me_nohash_5.wav")
    os.symlink(tmp_path / "yes", root / "no")
    refused = [
        outside,
        "../yes/me_nohash_0.wav",
        "yes/../../yes/me_nohash_0.wav",
        "me_nohash_0.wav",
        "yes",
        "",
        ".",
        "yes/notes.txt",
        "yes/me_nohash_5.wav",
        "no/me_nohash_0.wav",
        "/etc/passwd",
    ]
    recorder = Recorder(root=root)
    for path in refused:
        with pytest.raises(KwsError, match="none of the recordings"):
            delete_recording(path, root)
        for request in ("delete", "load"):
            assert "none of the recordings" in ask(recorder, do=request, name=str(path))
    assert outside.read_bytes() == WAV and (root / "yes/notes.txt").exists() and (root / "me_nohash_0.wav").exists()
    delete_recording(saved, root)
    assert not saved.exists()
    with pytest.raises(KwsError, match="not there any more"):
        delete_recording(saved, root)


def test_the_widget_saves_plays_and_deletes(tmp_path, monkeypatch):
    recorder, sent = Recorder(seconds=3, root=tmp_path), []
    monkeypatch.setattr(
        recorder, "send", lambda message, buffers: sent.append((message, np.frombuffer(buffers[0], "<f4")))
    )
    samples = np.concatenate([np.zeros(16000, "<f4"), SOUND, np.zeros(16000, "<f4")])
    assert ask(recorder, samples.tobytes(), do="take", rate=16000) == "" == ask(recorder, do="trim")
    kept = recorder.samples
    np.testing.assert_array_equal(kept, loudest_second(samples))
    assert ask(recorder, do="save", label="yes", speaker="ada") == "" and (recorder.label, recorder.speaker) == (
        "yes",
        "ada",
    )
    assert recorder._saved == ["yes/ada_nohash_0.wav"]
    assert ask(recorder, do="load", name="yes/ada_nohash_0.wav") == ""
    assert sent[0][0] == {"do": "play"} and np.abs(sent[0][1] - kept).max() < 1e-4
    assert ask(recorder, do="delete", name="yes/ada_nohash_0.wav") == "" and recorder._saved == [] == recordings(
        root=tmp_path
    )


def test_recordings_are_not_in_git():
    import subprocess

    done = subprocess.run(["git", "check-ignore", "-q", data_dir() / "recordings/yes/me_nohash_0.wav"], cwd=data_dir())
    assert done.returncode == 0, "a voice would be committed"


def test_stored_outputs_hold_a_picture(monkeypatch):
    monkeypatch.setenv("KWS_NB_STATIC", "1")
    bundle = Recorder()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png"} and len(bundle["image/png"]) < 55_000
