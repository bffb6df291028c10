"Representations: each hears a tone in the same place, costs what its formulas say; its contest can be recomputed."

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from kws_nb.core import CLIP_SAMPLES, N_CHANNELS, N_FRAMES, WINDOW_SAMPLES, KwsError, models_dir
from kws_nb.data import Part
from kws_nb.features import (
    FFT_SIZE,
    N_BINS,
    filter_tables,
    log_table,
    mel_spectrogram,
    micro_features,
    pcan_tables,
    spectrogram,
)
from kws_nb.models import TinyConv
from kws_nb.results import Accuracy, clip_interval, t_interval
from kws_nb.studies.representations import (
    CONTEST,
    LEVELS_DB,
    REFERENCE,
    REPRESENTATIONS,
    SNRS_DB,
    WINDOW,
    Standardized,
    bin_features,
    centered_mel_features,
    compare_representations,
    comparison_table,
    conditions,
    dct_matrix,
    feature_flops,
    linear_bank,
    linear_features,
    mel_bank,
    mel_features,
    mfcc_features,
    power_spectra,
    tiny_conv,
)
from kws_nb.size import count_operations
from kws_nb.train import REPORT, Settings, epoch_features, train


def tone(hz, level=0.1):
    return np.rint(32767 * level * np.sin(2 * np.pi * hz * np.arange(CLIP_SAMPLES) / 16000)).astype(np.int16)[None]


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_shape_and_determinism(name, rng):
    "[n, 49, width] of float32; the same bits twice, and a clip's features do not depend on its neighbours."
    clips = rng.integers(-3000, 3000, (300, CLIP_SAMPLES)).astype(np.int16)
    shown = REPRESENTATIONS[name].fitted(clips)
    values = shown(clips)
    assert values.shape == (300, N_FRAMES, REPRESENTATIONS[name].width) and values.dtype == np.float32
    assert (values == shown(clips)).all() and np.allclose(values[257:259], shown(clips[257:259]), atol=1e-4)


@pytest.mark.parametrize("hz", [300, 1000, 2500, 6000])
def test_a_tone_lands_in_its_channel(hz):
    bin_ = round(hz * FFT_SIZE / 16000)
    assert bin_features(tone(hz)).mean((0, 1)).argmax() == bin_
    assert linear_features(tone(hz)).mean((0, 1)).argmax() == bin_ * N_CHANNELS // N_BINS
    channel = mel_features(tone(hz)).mean((0, 1)).argmax()
    starts = filter_tables()[0]
    assert starts[channel] <= bin_ < starts[channel + 2]
    assert abs(micro_features(tone(hz)).mean((0, 1)).argmax() - channel) <= 1, (
        "of a steady tone PCAN makes a channel and its neighbour equally loud"
    )
    assert (mfcc_features(tone(hz)) @ dct_matrix().T).mean((0, 1)).argmax() == channel


def test_spectrum_is_torchaudios():
    "With its window in ours' place: torchaudio's Hann window is half a sample aside, its windows centred in the FFT."
    ours, theirs = power_spectra(tone(1000))[0].numpy().T, spectrogram(tone(1000)[0].astype(np.float32))
    assert np.allclose(ours[28:37].sum(0), theirs[28:37].sum(0), rtol=0.02)


def test_mel_filters_are_torchaudios_but_for_their_corners(rng):
    "Ours are straight in mel, torchaudio's in Hz: on noise the channels agree within half a decibel on average."
    noise = rng.normal(0, 2000, (4, CLIP_SAMPLES)).astype(np.int16)
    theirs = np.stack([10 * np.log10(mel_spectrogram(n.astype(np.float32)).T) for n in noise])
    assert abs((mel_features(noise) - theirs).mean((0, 1))[8:]).mean() < 0.5, "the lowest channels hold one bin or two"


def test_ten_decibels_are_ten_decibels(rng):
    clip = rng.normal(0, 500, (1, CLIP_SAMPLES))
    quiet, loud = (np.rint(clip * gain).astype(np.int16) for gain in (1, 10**0.5))
    for features in (bin_features, linear_features, mel_features):
        assert np.median(features(loud) - features(quiet)) == pytest.approx(10, abs=0.02)
    assert np.allclose(centered_mel_features(loud), centered_mel_features(quiet), atol=0.5)
    first, *others = (mfcc_features(loud) - mfcc_features(quiet)).mean((0, 1))
    assert first == pytest.approx(10 * math.sqrt(N_CHANNELS), abs=0.1) and np.abs(others).max() < 0.05, (
        "level moves only the first coefficient"
    )


def test_mfcc_inverts_to_log_mel(rng):
    clips = rng.integers(-9999, 9999, (3, CLIP_SAMPLES)).astype(np.int16)
    assert np.allclose(dct_matrix() @ dct_matrix().T, np.eye(N_CHANNELS), atol=1e-6)
    assert np.allclose(mfcc_features(clips) @ dct_matrix().T, mel_features(clips), atol=1e-3)
    assert np.allclose(mfcc_features(clips, 13), mfcc_features(clips)[..., :13], atol=1e-3)


def test_digital_silence_is_finite():
    for shown in REPRESENTATIONS.values():
        assert np.isfinite(shown.features(np.zeros((1, CLIP_SAMPLES), np.int16))).all()


@pytest.mark.parametrize(
    "features", [bin_features, linear_features, mel_features, centered_mel_features, mfcc_features]
)
def test_bad_clips(features):
    for clips, says in (
        (np.zeros((2, CLIP_SAMPLES)), "to_int16"),
        (np.zeros((2, 8000), np.int16), "fit_length"),
        (np.zeros((0, CLIP_SAMPLES), np.int16), "at least one"),
        (np.zeros(CLIP_SAMPLES, np.int16), r"\[n, 16000\]"),
        (np.zeros((1, 1, CLIP_SAMPLES), np.int16), r"\[n, 16000\]"),
    ):
        with pytest.raises(KwsError, match=says):
            features(clips)


def test_bad_arguments(small):
    clips = np.zeros((1, CLIP_SAMPLES), np.int16)
    for n in (0, 41):
        with pytest.raises(KwsError, match="1 to 40"):
            mfcc_features(clips, n)
    with pytest.raises(KwsError, match="silence"):
        conditions(Part(clips, np.array([2]), ["yes"]))
    for names in ([], ["log-mel"], [REFERENCE, "wavelets"]):
        with pytest.raises(KwsError, match=REFERENCE):
            compare_representations(small, [0], 1, names)
    for seeds in ([], range(10)):
        with pytest.raises(KwsError, match="1 to 9"):
            compare_representations(small, seeds, 1, [REFERENCE])
    with pytest.raises(KwsError, match="wavelets"):
        feature_flops("wavelets")


class Counted:
    "A number that counts what is done with it."

    done = 0

    def __init__(self, value):
        self.value = value

    def _count(self, value):
        Counted.done += 1
        return Counted(value)

    def __add__(self, other):
        return self._count(self.value + getattr(other, "value", other))

    def __sub__(self, other):
        return self._count(self.value - getattr(other, "value", other))

    def __mul__(self, other):
        return self._count(self.value * getattr(other, "value", other))

    def __lshift__(self, n):
        return self._count((self.value << getattr(n, "value", n)) & 0xFFFFFFFFFFFFFFFF)

    def __rshift__(self, n):
        return self._count(self.value >> getattr(n, "value", n))

    def __and__(self, mask):
        return self._count(self.value & mask)

    def __lt__(self, other):
        return self._count(self.value < getattr(other, "value", other)).value

    def __rsub__(self, other):
        return self._count(other - self.value)

    __radd__, __rmul__ = __add__, __mul__

    def log(self):
        return self._count(math.log10(self.value))

    def bit_length(self):
        return self._count(self.value.bit_length())


def counted(function, *args):
    Counted.done = 0
    return function(*args), Counted.done


def radix2(re, im):
    "A complex FFT, every butterfly with a whole complex product: 5 N log2 N."
    if len(re) == 1:
        return re, im
    (ar, ai), (br, bi) = radix2(re[::2], im[::2]), radix2(re[1::2], im[1::2])
    out = []
    for k in range(len(ar)):
        c, s = math.cos(2 * math.pi * k / len(re)), -math.sin(2 * math.pi * k / len(re))
        tr, ti = br[k] * c - bi[k] * s, br[k] * s + bi[k] * c
        out.append((ar[k] + tr, ai[k] + ti, ar[k] - tr, ai[k] - ti))
    lr, li, hr, hi = zip(*out)
    return lr + hr, li + hi


def test_float_operations_by_brute_force(rng):
    "One frame in numbers that count, stage by stage; the FFT as half of a complex one."
    samples = rng.integers(-9999, 9999, CLIP_SAMPLES).astype(np.int16)[None]

    def cost(name):
        return {s.name: s.per_frame for s in feature_flops(name)}

    frame, n = counted(lambda: [Counted(float(x)) * float(w) for x, w in zip(samples[0, :WINDOW_SAMPLES], WINDOW)])
    assert n == cost("log-mel")["window"]
    frame += [Counted(0.0)] * (FFT_SIZE - WINDOW_SAMPLES)
    (re, im), n = counted(radix2, frame, [Counted(0.0)] * FFT_SIZE)
    assert n == 5 * FFT_SIZE * math.log2(FFT_SIZE) == 2 * cost("log-mel")["FFT"]
    power, n = counted(lambda: [a * a + b * b for a, b in zip(re[:N_BINS], im[:N_BINS])])
    assert n == cost("log-mel")["power"]
    for name, bank, features in (
        ("spectrogram", linear_bank(), linear_features),
        ("log-mel", mel_bank(), mel_features),
    ):
        channels, n = counted(
            lambda bank=bank: [sum(p * float(w) for p, w in zip(power, weights) if w) for weights in bank.T]
        )
        assert n == cost(name)["filters"]
        logs, n = counted(lambda channels=channels: [(c + 15.0).log() * 10 for c in channels])
        assert n == cost(name)["log"] and [x.value for x in logs] == pytest.approx(features(samples)[0, 0], abs=0.01)
    for name, width in (("MFCC", 40), ("MFCC, 13 of 40", 13)):
        cepstrum, n = counted(
            lambda width=width: [sum(x * float(w) for x, w in zip(logs, row)) for row in dct_matrix(width).T]
        )
        assert n == cost(name)["DCT"] and [x.value for x in cepstrum] == pytest.approx(
            mfcc_features(samples, width)[0, 0], abs=0.05
        )
        _, n = counted(lambda cepstrum=cepstrum: [(x - 1.0) * 2.0 for x in cepstrum])
        assert n == cost(name)["standardise"]


def noise_of(energy, estimate):  # kws_frontend.c, an even channel
    scaled = energy << 10
    noise = (scaled * (409 << 18) + estimate * (15975 << 18)) >> 32
    subtracted = (scaled - noise) >> 10 if noise < scaled else Counted(0)
    floor = energy * (819 << 18) >> 32
    return (subtracted if floor < subtracted else floor), noise


def pcan_of(energy, estimate):
    parabolas = pcan_tables()[1]
    assert not estimate < 3
    zeros = 32 - estimate.bit_length()
    y0, a, b = parabolas[(30 - zeros).value]
    fraction = Counted((estimate << (zeros + 1)).value & 0xFFFFFFFF) >> 22
    gain = (((fraction * b >> 5) + Counted(a) * 32) * fraction + (1 << 14) >> 15) + y0
    snr = energy * gain >> 6
    return snr * snr >> 20 if snr < 2 << 12 else (snr >> 6) - 64


def log_of(x):
    assert not x < 1
    integer = x.bit_length() - 1
    fraction = Counted((x << (31 - integer) << 1).value & 0xFFFFFFFF) >> 16
    low, high = log_table()[(fraction >> 9).value :][:2]
    log2 = (integer + 3 << 16) + fraction + (((Counted(int(high)) - int(low)) * (fraction & 0x1FF) >> 16) + int(low))
    return (log2 * 45426 + ((1 << 15) + (1 << 25)) << 6) >> 32


def test_micro_operations_by_brute_force():
    """Noise, PCAN and logarithm of one channel as kws_frontend.c spells them; butterfly and split as sums of the
    products, sums and shifts of kws_fft.c."""
    cost = {s.name: s.per_frame for s in feature_flops(REFERENCE)}
    for energy, estimate in ((5000, 40_000), (900, 300_000), (60_000, 100)):
        (reduced, noise), n = counted(noise_of, Counted(energy), Counted(estimate))
        assert n == cost["noise"] / N_CHANNELS
        compressed, n = counted(pcan_of, reduced, noise)
        assert n == cost["PCAN"] / N_CHANNELS
        scaled, n = counted(log_of, compressed)
        assert n == cost["log"] / N_CHANNELS - 1, "and one product to scale"
        assert scaled.value == pytest.approx(64 * math.log(8 * compressed.value), abs=1)
    rounded = 2  # + (1 << 14), >> 15
    divided, multiplied, added = 2 * (1 + rounded), 6 + 2 * rounded, 2
    butterfly = 4 * divided + 3 * multiplied + 8 * added + 1
    split = 1 + 2 * divided + 2 * added + multiplied + 4 * 2
    assert cost["FFT"] == 4 * 64 * butterfly + 128 * split + divided + 2
    assert len(filter_tables()[1]) * 3 == cost["power"]


def test_classifier_of_any_width():
    "Parameters and FLOPs by their formulas; 40 wide it is TinyConv."
    for width in (13, 40, 257):
        c, out = 8, math.ceil(width / 2)
        counts = count_operations(tiny_conv(width), (N_FRAMES, width))
        assert counts.parameters == 81 * c + 25 * out * c * 4 + 4
        assert counts.flops == 25 * out * c * (2 * 80 + 1) + 2 * 25 * out * c * 4 + 4
    assert count_operations(REPRESENTATIONS["MFCC"].model()).parameters == 16_652
    same, any_width = TinyConv(2, 0), tiny_conv(N_CHANNELS, 2, 0)  # the second flattens with the channels first
    weights = same.linear.weight.data.reshape(4, 25, 20, 2).permute(0, 3, 1, 2).flatten(1)
    any_width.load_state_dict(
        {"2.weight": same.conv.weight, "2.bias": same.conv.bias, "6.weight": weights, "6.bias": same.linear.bias}
    )
    x = torch.randn(3, N_FRAMES, N_CHANNELS)
    assert torch.allclose(same(x), any_width(x), atol=1e-5)
    with pytest.raises(RuntimeError):
        tiny_conv(13)(torch.zeros(1, N_FRAMES, 40))


def test_standardized(rng):
    clips = rng.normal(0, 1000, (50, CLIP_SAMPLES)).astype(np.int16)
    values = Standardized(mel_features, clips)(clips)
    assert np.allclose(values.mean((0, 1)), 0, atol=1e-3) and np.allclose(values.std((0, 1)), 1, atol=1e-3)


def test_levels_and_noise(small):
    "Each condition is what its name says: level within rounding, noise within clipping; the same each time."

    def rms(clips):
        return np.sqrt(np.square(clips, dtype=float).mean(1))

    found, clips = conditions(small.testing), small.testing.clips
    assert list(found) == [f"level {db}" for db in LEVELS_DB] + [f"SNR {db}" for db in SNRS_DB]
    assert (found["level 0"] == clips).all()
    loud = rms(clips) > 300
    assert 20 * np.log10(rms(found["level -20"])[loud] / rms(clips)[loud]) == pytest.approx(-20, abs=0.1)
    for db in SNRS_DB:
        noise = found[f"SNR {db}"] - clips.astype(float)
        assert np.median(20 * np.log10(rms(clips)[loud] / rms(noise)[loud])) == pytest.approx(db, abs=0.1)
    assert all((a == b).all() for a, b in zip(found.values(), conditions(small.testing).values()))


def test_training_clips_are_the_same_for_every_representation(small):
    heard = []

    def spy(clips):
        heard.append(clips.copy())
        return mel_features(clips)

    epoch_features(small, 3, 1, spy)
    epoch_features(small, 3, 1, lambda clips: heard.append(clips.copy()))
    assert (heard[0] == heard[1]).all()


def test_checkpoint_of_another_representation_is_refused(small, tmp_path):
    path = tmp_path / "run.safetensors"
    log_mel = Standardized(mel_features, small.training.clips)
    trained = train(small, Settings(epochs=1), path, False, log_mel)
    assert train(small, Settings(epochs=1), path, False, log_mel).history == trained.history
    for other in (micro_features, mel_features, Standardized(mfcc_features, small.training.clips)):
        with pytest.raises(KwsError, match="other data or settings"):
            train(small, Settings(epochs=2), path, False, other)


@pytest.mark.slow
def test_contest(small, tmp_path, monkeypatch):
    "Repeatable; read again only for the same data and settings; its table has a line for each representation."
    import kws_nb.studies.representations as module

    results = []
    for folder in ("a", "b"):
        monkeypatch.setattr(module, "build_dir", lambda folder=folder: tmp_path / folder)
        results.append(
            compare_representations(
                small, [0, 1], 1, ["MFCC, 13 of 40", REFERENCE], tmp_path / f"{folder}.json", progress=False
            )
        )
    assert json.dumps(results[0]) == json.dumps(results[1])
    monkeypatch.setattr(module, "_run", lambda *_: pytest.fail("ran again what the file holds"))
    again = compare_representations(
        small, [0, 1], 1, ["MFCC, 13 of 40", REFERENCE], tmp_path / "a.json", progress=False
    )
    assert again == json.loads(json.dumps(results[0]))
    with pytest.raises(pytest.fail.Exception):
        compare_representations(small, [0, 1], 2, ["MFCC, 13 of 40", REFERENCE], tmp_path / "a.json", progress=False)
    assert len(comparison_table(again).splitlines()) == 4
    assert again["representations"][REFERENCE]["difference"]["level 0"] == 0


def test_the_stored_result_can_be_recomputed():
    "Every mean, interval and difference of data/models/representations.json follows from its counts."
    result = json.loads((models_dir() / "representations.json").read_text())
    assert result["settings"] == {name: value for name, value in asdict(REPORT).items() if name != "seed"}, (
        "the recipe has changed since: run the slow cell of studies/representations"
    )
    n, seeds, reference = result["n_test"], result["seeds"], result["representations"][result["reference"]]
    assert result["names"] == list(result["representations"]) == list(CONTEST) and len(seeds) == 5 and n == 843
    for name, r in result["representations"].items():
        hits, reference_hits = (np.array([int(d) for d in some["hits"]]) for some in (r, reference))
        assert len(hits) == n and hits.sum() == sum(r["correct"]["level 0"])
        assert r["difference_clips"] == pytest.approx(clip_interval(hits, reference_hits, len(seeds)))
        for condition, correct in r["correct"].items():
            assert len(correct) == len(seeds) and all(0 <= c <= n for c in correct)
            assert r["accuracy"][condition] == pytest.approx(np.mean(correct) / n)
            assert r["interval_seeds"][condition] == pytest.approx(t_interval(np.array(correct) / n))
            assert r["interval_clips"][condition] == pytest.approx(Accuracy(round(np.mean(correct)), n).interval)
            difference = (np.array(correct) - reference["correct"][condition]) / n
            assert r["difference"][condition] == pytest.approx(difference.mean())
            assert r["difference_seeds"][condition] == pytest.approx(t_interval(difference))
        shown = REPRESENTATIONS[name]
        cost = count_operations(shown.model(), (N_FRAMES, shown.width))
        assert (r["parameters"], r["flops"]) == (cost.parameters, cost.flops)
        assert r["feature_flops"] == N_FRAMES * sum(s.per_frame for s in feature_flops(name))
