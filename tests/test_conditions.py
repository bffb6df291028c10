"Conditions: every change to a clip is what it says, and no other."

import numpy as np
import pytest
from kws_nb.conditions import *
from kws_nb.core import CLIP_SAMPLES, KwsError
from kws_nb.data import Part


@pytest.fixture
def noise(rng):
    return np.rint(rng.normal(0, 800, (4, CLIP_SAMPLES))).astype(np.int16)


@pytest.fixture
def clips(rng):
    return np.rint(rng.normal(0, 1000, (4, CLIP_SAMPLES))).astype(np.int16)


@pytest.mark.parametrize("snr_db", [20, 10, 5, 0])
def test_the_snr_is_the_one_asked_for(clips, noise, snr_db):
    added = with_noise(clips, noise, snr_db).astype(float) - clips
    np.testing.assert_allclose(20 * np.log10(rms(clips) / rms(added)), snr_db, atol=0.05)
    louder = with_noise(clips, noise, snr_db, 2 * rms(clips)).astype(float) - clips
    np.testing.assert_allclose(20 * np.log10(rms(clips) / rms(louder)), snr_db - 20 * np.log10(2), atol=0.05)


def test_noise_at_a_level_of_nothing_is_nothing(clips, noise):
    "A clip of zeros has no SNR of its own; with a level to count from it has."
    clips[0] = 0
    out = with_noise(clips, noise, 10, rms(clips))
    assert not out[0].any() and (out[1] != clips[1]).any()


@pytest.mark.parametrize("db", [-20, -3, 6])
def test_gain(clips, db):
    louder, clipped = with_gain(clips, db)
    np.testing.assert_allclose(rms(louder) / rms(clips), 10 ** (db / 20), rtol=1e-3)
    assert not clipped.any()


def test_gain_counts_what_is_clipped():
    clips = np.array([[20000] * 5 + [-20000] * 5 + [100] * 10], np.int16)
    louder, clipped = with_gain(clips, 20)
    assert louder.max() == 32767 and louder.min() == -32768 and clipped[0] == 0.5


def test_shift_keeps_the_length_and_moves_the_right_way():
    clips = np.zeros((1, CLIP_SAMPLES), np.int16)
    clips[0, 8000] = 1000
    for ms in (-400, -20, 0, 20, 400):
        moved = shifted(clips, ms)
        assert moved.shape == clips.shape
        assert moved[0].argmax() == 8000 + 16 * ms
    fill = np.full_like(clips, 7)
    assert (shifted(clips, 100, fill)[0, :1600] == 7).all() and (shifted(clips, 100, fill)[0, 1600:8000] == 0).all()
    assert (shifted(clips, -100, fill)[0, -1600:] == 7).all()


def test_echo_falls_as_its_rt60_says(rng, clips):
    for rt60 in (0.3, 0.6):
        response = room_response(rt60, rng)
        left = 10 * np.log10(np.square(response[::-1]).cumsum()[::-1])
        assert left[len(response) // 4] == pytest.approx(-15, abs=1.5)  # a quarter of the way: a quarter of 60 dB
        assert np.square(response[1:]).sum() == pytest.approx(1)  # as much as the direct sound
        np.testing.assert_allclose(rms(reverberated(clips, rt60)), rms(clips), rtol=0.01)
    np.testing.assert_array_equal(reverberated(clips[:2], 0.3, 5), reverberated(clips[:2], 0.3, 5))
    assert (reverberated(0 * clips, 0.3) == 0).all()


def test_an_echo_is_the_convolution(rng):
    "Against the sum written out, for a click and for noise."
    clips = np.zeros((2, 2000), np.int16)
    clips[0, 100] = 8000
    clips[1] = rng.normal(0, 1000, 2000)
    for i, (clip, heard) in enumerate(zip(clips.astype(float), reverberated(clips, 0.3, seed=7))):
        response = room_response(0.3, np.random.default_rng((7, 2, i)))
        wanted = np.convolve(clip, response)[:2000]
        wanted *= np.sqrt((clip**2).sum() / (wanted**2).sum())
        np.testing.assert_array_equal(heard, to_samples(wanted))


def test_offset(clips):
    assert (with_offset(clips, 0.01).astype(int) - clips == 328).all()


def test_own_room_is_the_quietest_stretch(clips):
    clips[0, 3200:6400] //= 10
    room = own_room(clips, 50000)
    assert room.shape == (4, 50000)
    np.testing.assert_array_equal(room[0, :3200], clips[0, 3200:6400])
    np.testing.assert_array_equal(room[0, 3200:6400], clips[0, 3200:6400][::-1])


def test_noise_is_of_the_part_and_without_a_seam(small):
    part = small.testing
    noise = room_noise(part, 40000)
    assert noise.shape == (len(part), 40000)
    np.testing.assert_array_equal(noise[:, 16000:32000], noise[:, :16000][:, ::-1])
    silence = {clip.tobytes() for clip in part.clips[part.labels == 0]}
    assert all(n[:CLIP_SAMPLES].tobytes() in silence for n in noise)


def test_at_level(noise):
    np.testing.assert_allclose(rms(at_level(noise, np.array([30, 300, 1000, 3000]))), [30, 300, 1000, 3000], rtol=0.01)


@pytest.mark.parametrize(
    "what, message",
    [
        (lambda c, n: with_noise(c, n, np.nan), "finite"),
        (lambda c, n: with_noise(c, n, np.inf), "finite"),
        (lambda c, n: with_noise(c, 0 * n, 10), "silent"),
        (lambda c, n: with_noise(0 * c, n, 10), "undefined"),
        (lambda c, n: with_noise(c, n[:2], 10), "as long as itself"),
        (lambda c, n: with_noise(c / 2, n, 10), "to_int16"),
        (lambda c, n: with_noise(c[:0], n[:0], 10), "at least one"),
        (lambda c, n: with_gain(c, 61), "-60 to 60"),
        (lambda c, n: with_gain(c, np.nan), "-60 to 60"),
        (lambda c, n: with_offset(c, 0.6), "-0.5 to 0.5"),
        (lambda c, n: shifted(c, -1000), "leaves nothing"),
        (lambda c, n: reverberated(c, 0), "RT60"),
        (lambda c, n: room_noise(Part(c[:0], np.zeros(0, int), []), 100), "silence clip"),
        (lambda c, n: speech_level(Part(c[:0], np.zeros(0, int), [])), "empty"),
        (lambda c, n: check_clips(c[0]), r"\[n, samples\]"),
    ],
)
def test_bad_input_says_what_to_do(clips, noise, what, message):
    with pytest.raises(KwsError, match=message):
        what(clips, noise)
