"The speed of features and of an epoch, beside TensorFlow's operator and a plain loader, in processor time of one run."

import time

import numpy as np
import pytest

from kws_nb.core import KwsError
from kws_nb.host import n_cores
from kws_nb.studies.training_speed import speed_table
from kws_nb.training_bench import (
    TRAINING_GOALS,
    feature_functions,
    loader_functions,
    plain_loader,
    take_turns,
    training_bench_lines,
    training_minutes,
)

pytestmark = pytest.mark.tensorflow


def ratio(times, n):
    first, *_, last = times
    return np.median(times[first] / times[last]) * n[last] / n[first]


def test_features_are_four_times_as_fast_as_tensorflows_operator(data):
    ways = feature_functions(data.training.clips[:100])
    first, *others = (way() for way in ways.values())
    for other in others:
        np.testing.assert_array_equal(first, other)
    times = take_turns(ways, 5, time.process_time)
    measured = ratio(times, dict.fromkeys(times, 100))
    assert measured >= 4, f"only {measured:.1f} times as fast"


def test_an_epoch_is_ten_times_as_fast_as_the_plain_loaders(data):
    "On two cores. In processor time, which nobody else's work changes, that is five times: the plain loader uses one."
    functions, n = loader_functions(data)
    measured = ratio(take_turns(functions, 3, time.process_time), n)
    assert measured >= 5, f"only {measured:.1f} times less work"
    assert len(n) == 2 and list(n.values())[1] == len(data.training) and str(n_cores()) in list(n)[1]


def test_plain_loader_gives_the_same_kind_of_batches(data):
    features, labels = zip(*plain_loader(data.validation, data.noise, batch_size=len(data.validation)))
    assert len(features) == 1 and features[0].shape == (len(data.validation), 49, 40)
    np.testing.assert_array_equal(np.bincount(labels[0]), np.bincount(data.validation.labels))
    assert 0 <= features[0].min() and 5 < features[0].mean() < 20 and features[0].max() < 27


def test_minutes_grow_with_the_clips(data):
    import torch

    threads = torch.get_num_threads()
    assert training_minutes(data, 1) > 0
    assert torch.get_num_threads() == threads


def test_refuses_no_rounds():
    with pytest.raises(KwsError, match="rounds is 0"):
        take_turns({}, 0)


def test_tables():
    table = str(
        speed_table(
            dict(slow=np.array([4.0, 2.0, 3.0]), fast=np.array([1.0, 1.0, 1.0])), dict(slow=1_000_000, fast=2_000_000)
        )
    )
    assert "3 (2 to 4)" in table and "6.0 (5.0 to 7.0)" in table
    lines = training_bench_lines({key: 7.5 for key in TRAINING_GOALS})
    assert len(lines) == 3 and all(
        "7.5" in line and goal in line for line, (_, goal) in zip(lines, TRAINING_GOALS.values())
    )
