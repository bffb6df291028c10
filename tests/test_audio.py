"What a file says of itself is not believed; test_faults has the files that are no audio."

import struct

import numpy as np
import pytest
import soundfile as sf

from kws_nb.audio import example, read_clip
from kws_nb.core import KwsError


def wav(rate, n=16_000):
    "A WAV of n quiet samples that declares this rate."
    sound = np.random.default_rng(0).integers(-99, 99, n).astype("<i2").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(sound),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        rate,
        2 * rate % 2**32,
        2,
        16,
        b"data",
        len(sound),
    )
    return head + sound


@pytest.mark.parametrize("rate", [1, 3, 999, 384_001, 1_000_000, 2_147_483_647, 2**32 - 1])
def test_a_rate_that_no_recording_has(rate):
    "A second at 1 Hz was made 16,000 seconds; soxr fails at other rates with messages of its own."
    with pytest.raises(KwsError, match=r"odd\.wav"):
        read_clip(wav(rate), "odd.wav")


@pytest.mark.parametrize("rate", [1, 3, 384_001, 1_000_000])
def test_a_strange_rate_is_named(rate, tmp_path):
    (tmp_path / "odd.wav").write_bytes(wav(rate, 100))
    with pytest.raises(KwsError, match=rf"odd\.wav declares {rate:,} samples a second.*4,000 to 384,000"):
        read_clip(tmp_path / "odd.wav")


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 44_100, 48_000, 96_000, 384_000])
def test_rates_that_recordings_have(rate):
    assert len(read_clip(wav(rate, rate))) == 16_000


def test_the_examples_come_with_the_package():
    assert {word: len(sf.read(example(word))[0]) for word in ("yes", "no")} == {"yes": 16_000, "no": 16_000}
    with pytest.raises(KwsError, match='"maybe".*no, yes'):
        example("maybe")
