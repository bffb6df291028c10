"""Golden features for test_frontend.c, from TensorFlow's audio_microfrontend op.

python firmware/tests/make_golden.py

Needs TensorFlow (the extra `convert`). Writes golden/NAME.features for each data/clips/NAME.wav:
uint16, little-endian, 49 rows of 40.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.experimental.microfrontend.python.ops.audio_microfrontend_op import audio_microfrontend

from kws_nb.audio import read_clip, to_int16
from kws_nb.core import N_CHANNELS, SAMPLE_RATE, STEP_MS, WINDOW_MS

folder = Path(__file__).parent
for path in sorted((folder.parents[1] / "data/clips").glob("*.wav")):
    features = audio_microfrontend(
        tf.constant(to_int16(read_clip(path))),
        sample_rate=SAMPLE_RATE,
        window_size=WINDOW_MS,
        window_step=STEP_MS,
        num_channels=N_CHANNELS,
        out_scale=1,
    )
    (folder / f"golden/{path.stem}.features").write_bytes(np.asarray(features).astype("<u2").tobytes())
