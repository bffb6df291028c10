"The explorer without a browser: settings to arrays, two libraries that agree, sliders to figures."

import base64
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from conftest import root
from hypothesis import given, settings
from hypothesis import strategies as st
from kws_nb.audio import read_clip
from kws_nb.core import FEATURE_SCALE, KwsError
from kws_nb.widgets.explorer import (
    FeatureSettings,
    SpectrogramExplorer,
    clip_choices,
    explore,
    hz_ticks,
    spectrogram_figure,
)
from kws_nb.features import MAX_FEATURE, import_torchaudio, mel_filters, mel_spectrogram, mfcc, power_to_db, spectrogram


@pytest.fixture(scope="module")
def clip():
    return read_clip(root / "data/clips/yes.wav")


def difference(a, b):
    "The largest difference, as a part of the largest value."
    assert a.shape == b.shape
    return np.abs(a - b).max() / np.abs(a).max()


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_libraries_agree(data):
    "To 1e-4 of the largest value, whatever the settings."
    win_length = data.draw(st.integers(16, 1024), "window")
    n_fft = data.draw(st.integers((win_length + 1) // 2, 1024).map(lambda n: 2 * n), "n_fft")
    f_min = data.draw(st.integers(0, 4000), "f_min")
    mels = dict(
        f_min=f_min,
        f_max=data.draw(st.integers(f_min + 2000, 8000), "f_max"),
        n_mels=data.draw(st.integers(13, 64), "n_mels"),
    )
    frames = dict(n_fft=n_fft, win_length=win_length, hop_length=data.draw(st.integers(40, 640), "hop"))
    noise = np.random.default_rng(n_fft).normal(0, 0.1, 4000).astype(np.float32)
    assert difference(spectrogram(noise, **frames), spectrogram(noise, backend="librosa", **frames)) < 1e-4
    fewest = min(
        mel_filters(mels["n_mels"], n_fft, f_min, mels["f_max"], library).max(axis=1).min()
        for library in ("torchaudio", "librosa")
    )
    if fewest > 1e-3:  # no filter so narrow that it only just holds a bin
        for f in (mel_spectrogram, mfcc):
            assert difference(f(noise, **frames, **mels), f(noise, backend="librosa", **frames, **mels)) < 1e-4


def test_library_calls(clip):
    "The same as the libraries' own classes and functions from samples to coefficients."
    import librosa
    import torch

    transforms, samples = import_torchaudio().transforms, torch.tensor(clip)
    frames = dict(n_fft=512, win_length=480, hop_length=320, center=False)
    mels = dict(f_min=125.0, f_max=7500.0, n_mels=40)
    assert difference(mel_spectrogram(clip), transforms.MelSpectrogram(16000, **frames, **mels)(samples).numpy()) < 1e-6
    assert difference(mfcc(clip), transforms.MFCC(16000, 13, melkwargs=frames | mels)(samples).numpy()) < 1e-6
    expected = librosa.feature.melspectrogram(
        y=clip, sr=16000, **frames, n_mels=40, fmin=125, fmax=7500, htk=True, norm=None
    )
    assert difference(mel_spectrogram(clip, backend="librosa"), expected) < 1e-6
    assert np.array_equal(power_to_db(expected), librosa.power_to_db(expected))


@pytest.mark.parametrize("backend", ["torchaudio", "librosa"])
@pytest.mark.parametrize("function", [spectrogram, mel_spectrogram, mfcc])
def test_batch_is_its_clips(function, backend, clip):
    "A quiet clip beside a loud one gets what it gets alone; int16 is float times 32768."
    batch = np.stack([clip, clip / 1000])
    features = function(batch, backend=backend)
    for alone, together in zip(batch, features, strict=True):
        assert difference(function(alone, backend=backend), together) < 1e-6
    assert np.array_equal(function(np.rint(clip * 32768).astype(np.int16)), function(clip))


BAD_CLIPS = {
    "empty": (np.zeros(0, np.float32), "empty"),
    "no clips": (np.zeros((0, 16000), np.float32), "no clips"),
    "NaN": (np.full(16000, np.nan), "NaN"),
    "infinite": (np.full(16000, np.inf, np.float32), "infinite"),
    "one NaN in a batch": (np.stack([np.zeros(16000), np.r_[np.nan, np.zeros(15999)]]), "NaN"),
    "short": (np.zeros(511, np.float32), "shorter than one frame"),
    "three dimensions": (np.zeros((2, 2, 16000)), "shape"),
    "one number": (np.float32(0), "shape"),
    "wide integers": (np.zeros(16000, np.int64), "int64"),
    "text": (np.array(["yes"]), "expected float"),
}


@pytest.mark.parametrize("function", [spectrogram, mel_spectrogram, mfcc])
@pytest.mark.parametrize("name", BAD_CLIPS)
def test_bad_clip(function, name):
    samples, message = BAD_CLIPS[name]
    with pytest.raises(KwsError, match=message):
        function(samples)


@pytest.mark.parametrize(
    ("function", "bad", "message"),
    [
        (spectrogram, dict(n_fft=256), "shorter than the window"),
        (spectrogram, dict(n_fft=513), "even"),
        (spectrogram, dict(hop_length=0), "hop_length is 0"),
        (spectrogram, dict(win_length=20.5), "win_length is 20.5"),
        (spectrogram, dict(backend="kaldi"), "torchaudio, librosa"),
        (mel_spectrogram, dict(f_min=4000, f_max=4000), "f_min is 4000"),
        (mel_spectrogram, dict(f_max=8001), "8000"),
        (mel_spectrogram, dict(f_min=-1), "f_min is -1"),
        (mel_spectrogram, dict(f_max=np.nan), "f_max nan"),
        (mel_spectrogram, dict(n_mels=0), "n_mels is 0"),
        (mel_spectrogram, dict(n_mels=128), "1 of 128 mel filters"),
        (mel_spectrogram, dict(n_mels=128, backend="librosa"), "1 of 128 mel filters"),
        (mfcc, dict(n_mfcc=41), "only 40"),
        (mfcc, dict(top_db=0), "top_db is 0"),
    ],
)
def test_bad_setting(function, bad, message, clip):
    with pytest.raises(KwsError, match=message):
        function(clip, **bad)


SLIDERS = st.builds(
    FeatureSettings,
    win_length=st.integers(5, 64).map(lambda ms: 16 * ms),
    hop_length=st.integers(5, 40).map(lambda ms: 16 * ms),
    n_fft=st.sampled_from([128, 256, 512, 1024, 2048]),
    n_mels=st.integers(13, 128),
    f_min=st.integers(0, 160).map(lambda n: 25 * n),
    f_max=st.integers(160, 320).map(lambda n: 25 * n),
    top_db=st.integers(4, 20).map(lambda n: 5 * n),
)


@settings(deadline=None, max_examples=60)
@given(SLIDERS, st.sampled_from([0, 0.003, 1]))
def test_settings_to_arrays(s, level):
    "A picture of the promised shape and range, or a sentence."
    samples = level * np.sin(np.arange(16000) ** 2 / 5000).astype(np.float32)
    try:
        explored = explore(samples, s)
    except KwsError as error:
        assert s.n_fft < s.win_length or "between two bins" in str(error) or s.f_min == s.f_max
        return
    frames = 1 + (16000 - s.n_fft) // s.hop_length
    shapes = {name: values.shape for name, values in explored.items()}
    assert shapes == dict(
        waveform=(16000,), stft=(s.n_fft // 2 + 1, frames), mel=(s.n_mels, frames), mfcc=(13, frames), device=(40, 49)
    )
    for name in ("stft", "mel"):
        assert explored[name].dtype == np.int8 and explored[name].min() >= -s.top_db
        assert explored[name].max() == (0 if level == 1 else explored[name].max())
    assert level or explored["stft"].max() == -s.top_db, "silence is dark"
    assert 0 <= explored["device"].min() and explored["device"].max() <= MAX_FEATURE * FEATURE_SCALE


def taken_out(trace):
    "The numbers of a trace, which it loses."
    array = trace["z" if "z" in trace else "y"]
    return np.frombuffer(base64.b64decode(array.pop("bdata")), array["dtype"]).astype(float)


def equal(shown, samples, settings):
    "What the widget shows is what is drawn afresh; numbers to 0.11, for librosa's last bit may turn a rounding."
    shown, fresh = json.loads(json.dumps(shown)), plain(spectrogram_figure(samples, settings))
    for a, b in zip(shown["data"], fresh["data"], strict=True):
        np.testing.assert_allclose(taken_out(a), taken_out(b), atol=0.11)
    return shown == fresh


def plain(figure):
    return json.loads(figure.to_json())


def test_every_slider_extreme(clip):
    "From end to end of every slider: the figure drawn afresh, or a message that says why not, and the last one stays."
    explorer = SpectrogramExplorer({"yes": clip})
    good, refused = FeatureSettings(), []
    for control in explorer.controls.children:
        start = control.value
        if hasattr(control, "options"):
            ends = (control.options[0], control.options[-1])
        else:
            ends = [(v, v) if isinstance(start, tuple) else v for v in (control.min, control.max)]
        for value in (*ends, start):
            control.value = value
            try:
                explore(clip, explorer.controls.settings)
                good = explorer.controls.settings
                assert "frames = 1 +" in explorer.message.value
            except KwsError as error:
                refused.append(str(error)[:20])
                assert str(error)[:20] in explorer.message.value and "last settings that work" in explorer.message.value
            assert equal(explorer.panels.figure, clip, good)
        explorer.controls.n_fft.value = 512  # which the longest window took along
    assert explorer.controls.settings == good == FeatureSettings()
    assert len(refused) == 4, refused  # n_fft 128, n_mels 128, 0-0 Hz, 8000-8000 Hz


def test_a_longer_window_takes_n_fft_along(clip):
    """It used to be an error message, though only one n_fft can be meant: the next that holds the window.

    One move of the slider is one picture.
    """
    explorer, sent = SpectrogramExplorer({"yes": clip}), []
    explorer.panels.send = sent.append
    for ms, n_fft in ((32, 512), (33, 1024), (64, 1024), (20, 1024)):
        explorer.controls.window_ms.value = ms
        settings = replace(FeatureSettings(), win_length=16 * ms, n_fft=n_fft)
        assert explorer.controls.settings == settings and "frames = 1 +" in explorer.message.value
        assert equal(explorer.panels.figure, clip, settings)
    assert len(sent) == 4
    explorer.controls.n_fft.value = 128
    assert "shorter than the window" in explorer.message.value, "a shorter n_fft does not shorten the window"


def test_only_what_changes_is_sent(clip):
    explorer, sent = SpectrogramExplorer({"yes": clip}), []
    explorer.panels.send = sent.append
    explorer.controls.n_mels.value = 30
    explorer.controls.top_db.value = 60
    assert [[sorted(trace) for trace in message["traces"]] for message in sent] == [
        [[], [], ["z"], ["z"], []],
        [[], ["z"], ["z"], ["z"], []],
    ]
    assert sorted(sent[1]["layout"]) == ["coloraxis.cmin"]


def test_clips(clip, tmp_path):
    "The caller's first, then recordings, newest first, then the synthetic words; a bad one gets a message."
    import soundfile as sf

    for when, name in enumerate(("yes/b_nohash_0", "no/a_nohash_0", "yes/a_nohash_1")):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        sf.write(path, clip, 16000)
        os.utime(path, (when, when))
    choices = clip_choices({"b": clip, "a": clip}, tmp_path)
    assert list(choices) == [
        "b",
        "a",
        "recorded: yes/a_nohash_1",
        "recorded: no/a_nohash_0",
        "recorded: yes/b_nohash_0",
        "synthetic: no",
        "synthetic: yes",
    ]
    (tmp_path / "yes/b_nohash_0.wav").write_text("no sound")
    bad = {
        "NaN": np.full(16000, np.nan),
        "two channels": np.zeros((16000, 2)),
        "short": clip[:100],
        "long": np.tile(clip, 11),
        "gone": tmp_path / "gone.wav",
    }
    explorer = SpectrogramExplorer(
        bad | {"recorded": tmp_path / "yes/b_nohash_0.wav", "int16": (clip * 32768).astype(np.int16)}
    )
    for name, message in dict(
        NaN="NaN", short="shorter", long="11.0 s", gone="no such file", recorded="not a readable"
    ).items():
        explorer.clip.value = name
        assert message in explorer.message.value, name
    explorer.clip.value = "two channels"
    assert "one channel" in explorer.message.value and not explorer.audio.value
    explorer.controls.n_mels.value = 30  # nothing to draw: no traceback either
    explorer.clip.value = "int16"
    settings = replace(FeatureSettings(), n_mels=30)
    assert (
        equal(explorer.panels.figure, (clip * 32768).astype(np.int16), settings) and len(explorer.audio.value) == 32044
    )
    with pytest.raises(KwsError, match="expected a dict"):
        SpectrogramExplorer([clip])


def test_panels_are_linked_and_labelled(clip):
    figure = plain(spectrogram_figure(clip))
    layout = figure["layout"]
    assert [layout[f"xaxis{n}"].get("matches") for n in ("", 2, 3, 4, 5)] == ["x5", "x5", "x5", "x5", None]
    assert [layout[f"yaxis{n}"]["title"]["text"] for n in ("", 2, 3, 4, 5)] == [
        "amplitude",
        "kHz",
        "Hz",
        "coefficient",
        "Hz",
    ]
    assert layout["xaxis5"]["title"]["text"] == "time, s"
    assert [trace.get("coloraxis") for trace in figure["data"]] == [
        None,
        "coloraxis",
        "coloraxis",
        "coloraxis2",
        "coloraxis3",
    ]
    assert (layout["coloraxis3"]["cmin"], layout["coloraxis3"]["cmax"]) == (0, 26)
    rows, labels = hz_ticks(40, 125, 7500)
    filters = mel_filters()
    for row, label in zip(rows, labels, strict=True):
        if label != "125":  # lower down, a filter's peak lies between bins
            assert abs(filters[:, round(int(label.replace(",", "")) / 31.25)].argmax() - row) < 1
    assert len(figure["data"][1]["z"]["bdata"]) < 17_000, "a byte a value"
