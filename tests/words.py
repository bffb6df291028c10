"Sounds that several tests share: tones, and nine words by espeak-ng."

from functools import lru_cache

import numpy as np
from kws_nb.streams import Recorded, spoken_clips


def tone(start, end, rng, level=0.3):
    "A second of faint noise and a tone from one sample to another."
    samples = rng.normal(0, 1e-3, 16000)
    samples[start:end] += level * np.sin(2 * np.pi * np.arange(1, end - start + 1) / 16)
    return samples


@lru_cache(1)
def nine_words():
    "Synthetic speech: three yes, three no, three letters, from three voices."
    rng = np.random.default_rng(0)
    noise = (3 * rng.standard_normal(16000)).astype(np.int16)
    return Recorded("espeak-ng", spoken_clips(["yes", "no", "s"] * 3), noise)
