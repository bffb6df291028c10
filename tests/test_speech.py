"espeak-ng's voices, and what they say."

import numpy as np
import pytest

from kws_nb.core import KwsError
from kws_nb.speech import speak, synthetic_voices


def test_voices_are_in_one_split_only():
    voices = synthetic_voices()
    everyone = sum(voices.values(), [])
    assert len(everyone) == len(set(everyone)) >= 30
    spoken = [s.tobytes() for s in speak([("yes", v, 160, 50) for v in everyone])]
    assert len(set(spoken)) == len(everyone), "two voices sound exactly alike"
    assert min(len(s) for s in spoken) > 4 * 2000, "a voice is silent"


def test_speech_is_the_same_each_time():
    utterances = [("yes", "en-us+f3", 160, 50), ("no", "en+m2", 130, 30), ("yes", "en-us+f3", 160, 50)]
    first, second = speak(utterances), speak(utterances)
    assert all(np.array_equal(a, b) for a, b in zip(first, second))


def test_unknown_voice():
    with pytest.raises(KwsError, match="no voice"):
        speak([("yes", "zz-nowhere", 160, 50)])
