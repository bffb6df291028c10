"Intervals against published values and scipy; the study on disk: interrupted, damaged, of something else."

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from kws_nb.core import KwsError
from kws_nb.results import (
    Accuracy,
    Study,
    Table,
    check_answers,
    clip_interval,
    digest,
    paired_interval,
    rate_interval,
    rate_limit,
    t_interval,
)


def test_import_is_light():
    "Everything that shows a figure imports it: it loads neither torch nor plotly nor scipy."
    code = "import sys, kws_nb.results; print(sorted({'torch', 'plotly', 'scipy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    "k, n, low, high",
    [
        (81, 263, 0.2553, 0.3662),  # R. G. Newcombe, Statistics in Medicine 17 (1998), 857: table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (9, 10, 0.5958, 0.9821),
        (1247, 1368, 0.8953, 0.92547),
    ],
)
def test_accuracy_is_wilsons(k, n, low, high):
    assert Accuracy(k, n).interval == pytest.approx((low, high), abs=6e-5)
    assert Accuracy(n - k, n).interval == pytest.approx((1 - high, 1 - low), abs=6e-5)


def test_accuracy_at_its_ends():
    assert Accuracy(0, 10).interval[0] == 0 and Accuracy(10, 10).interval[1] == 1
    assert math.isnan(Accuracy(0, 0).value) and all(map(math.isnan, Accuracy(0, 0).interval))
    assert str(Accuracy(900, 1000)) == repr(Accuracy(900, 1000)) == "90.0 % [88.0, 91.7] (n = 1,000)"
    assert all(type(x) is float for x in Accuracy(np.int64(3), np.int64(5)).interval), "JSON takes no numpy scalars"


def test_answers_are_numbers():
    for scores in (np.array([[0.1, 0.9]], np.float32), np.array([[-128, 127]], np.int8)):
        assert check_answers(scores) is scores
    for value in (math.nan, math.inf):
        with pytest.raises(KwsError, match="answers NaN"):
            check_answers(np.array([[0.1, 0.9], [value, 0]]))


def pairs(both, only_first, only_second, neither):
    first = np.repeat([True, True, False, False], [both, only_first, only_second, neither])
    second = np.repeat([True, False, True, False], [both, only_first, only_second, neither])
    return first, second


def test_paired_interval_is_tangos():
    "Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014), 2850: airway hyper-responsiveness, n = 21."
    d, low, high = paired_interval(*pairs(1, 1, 7, 12))
    assert (d, low, high) == pytest.approx((-0.286, -0.517, -0.026), abs=6e-4)


@pytest.mark.parametrize("counts", [(0, 1, 0, 0), (0, 0, 5, 0), (5, 0, 0, 0), (0, 0, 0, 3), (0, 9, 0, 1)])
def test_paired_interval_at_its_ends(counts):
    d, low, high = paired_interval(*pairs(*counts))
    assert -1 <= low <= d + 1e-8 and d - 1e-8 <= high <= 1


def test_paired_interval_without_a_change():
    right, z = np.ones(100, bool), 1.959964
    np.testing.assert_allclose(
        paired_interval(right, right), (0, -z * z / (100 + z * z), z * z / (100 + z * z)), atol=1e-6
    )


@pytest.mark.parametrize("b, c", [(9, 20), (9, 21), (3, 10), (3, 11), (0, 3), (0, 4), (40, 60), (40, 61)])
def test_paired_interval_agrees_with_mcnemar(b, c):
    "It excludes zero exactly when the statistic |b - c|/sqrt(b + c) passes 1.96, and turns round with its arguments."
    new = np.r_[np.ones(b), np.zeros(c), np.ones(200)] > 0
    old = np.r_[np.zeros(b), np.ones(c), np.ones(200)] > 0
    d, low, high = paired_interval(new, old)
    assert d == pytest.approx((b - c) / (200 + b + c)) and low < d < high
    assert (high < 0) == ((c - b) / np.sqrt(b + c) > 1.959964)
    np.testing.assert_allclose(paired_interval(old, new), (-d, -high, -low), atol=1e-9)


def test_paired_interval_covers():
    "Of 400 samples with a true difference of -6 points, about 95 % have it in their interval."
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        kind = rng.choice(4, 300, p=[0.8, 0.03, 0.09, 0.08])  # both, new alone, old alone, neither
        _, low, high = paired_interval((kind == 0) | (kind == 1), (kind == 0) | (kind == 2))
        covered += low <= -0.06 <= high
    assert 0.925 <= covered / 400 <= 0.975


def test_pairs_are_needed():
    for hits, base, says in (([], [], "at least one"), ([1, 0], [1], "same clips")):
        with pytest.raises(KwsError, match=says):
            paired_interval(hits, base)


def test_means():
    values = [0.1, 0.2, 0.3, 0.4, 0.5]
    ours = stats.ttest_1samp(values, 0).confidence_interval()
    assert t_interval(values) == pytest.approx((ours.low, ours.high))
    assert t_interval(values) == pytest.approx((0.3 - 0.196324, 0.3 + 0.196324), abs=1e-5)
    assert t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5) and all(map(math.isnan, t_interval([0.9])))
    d = np.array([1, 0, 0, -1, 0])  # of one seed
    half = 1.959964 * math.sqrt(0.5) / math.sqrt(5)
    assert clip_interval(d + 1, np.ones(5), 1) == pytest.approx((-half, half))
    hits, base = np.random.default_rng(0).integers(0, 6, (2, 500))
    difference = (hits - base) / 5
    half = stats.norm.ppf(0.975) * difference.std(ddof=1) / np.sqrt(500)
    assert clip_interval(hits, base, 5) == pytest.approx((difference.mean() - half, difference.mean() + half))


def test_rates():
    assert rate_limit(0, 1) == pytest.approx(2.9957, abs=1e-3), "the rule of three"
    assert rate_limit(3, 2) == pytest.approx(7.7537 / 2, abs=1e-3)
    assert rate_limit(0, 0) == math.inf and rate_limit(500, 1) == pytest.approx(538.4, abs=1)
    # F. Garwood, Biometrika 28 (1936), 437: exact limits of a Poisson mean
    for k, low, high in ((0, 0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390)):
        assert rate_interval(k, 1) == pytest.approx((low, high), abs=1e-3)
    assert rate_interval(7, 0) == (0, math.inf)


def test_table():
    table = Table(("what", "bytes"), (("weights", 16_640), ("biases", None)))
    assert str(table) == "what      bytes\nweights  16,640\nbiases"
    assert table._repr_markdown_().splitlines()[1:] == ["| :-- | --: |", "| weights | 16,640 |", "| biases |  |"]


def test_digest_names_content():
    assert digest(b"abc") == "ba7816bf8f01cfea", "bytes are hashed as they are: the name of a file's content"
    assert digest(np.arange(3)) == digest(np.arange(3)) != digest(np.arange(4))
    assert digest("a", 1) != digest("a", 2) and len(digest()) == 16


class Runs:
    "A study of squares that counts what is computed, and can be interrupted."

    def __init__(self, path, numbers=(1, 2, 3), stop=None, **more):
        self.ran, study = [], Study(path, dict(numbers=numbers) | more)
        self.study = study
        self.result = study.finished or study.finish(
            rows=[study.run(str(n), self.square, n, stop=stop) for n in numbers]
        )

    def square(self, n, stop):
        if n == stop:
            raise KeyboardInterrupt
        self.ran.append(n)
        return dict(of=n, square=(n * n,))


def test_study_is_run_once(tmp_path):
    first, second = Runs(tmp_path / "squares.json"), Runs(tmp_path / "squares.json")
    assert first.ran == [1, 2, 3] and second.ran == []
    assert first.result == second.result == json.loads((tmp_path / "squares.json").read_text()), (
        "computed and read are the same"
    )
    assert first.result["rows"][1] == dict(of=2, square=[4])
    assert [p.name for p in tmp_path.iterdir()] == ["squares.json"], "something is left over"
    nothing = Runs(None)
    assert nothing.result == first.result and len(list(tmp_path.iterdir())) == 1


def test_interrupted_study_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Runs(tmp_path / "squares.json", stop=3)
    assert not (tmp_path / "squares.json").exists(), "half a result"
    again = Runs(tmp_path / "squares.json")
    assert again.ran == [3] and [r["of"] for r in again.result["rows"]] == [1, 2, 3]
    assert [p.name for p in tmp_path.iterdir()] == ["squares.json"]


def test_study_of_something_else_is_no_result(tmp_path):
    "It is replaced when the new one is whole, not before; what was begun of either is kept apart."
    path = tmp_path / "squares.json"
    old = Runs(path, data="old").result
    for data in ("new", "newer"):
        with pytest.raises(KeyboardInterrupt):
            Runs(path, stop=2, data=data)
    assert json.loads(path.read_text()) == old
    assert Runs(path, data="new").ran == [2, 3]
    assert Runs(path, data="newer").ran == [2, 3] and json.loads(path.read_text())["data"] == "newer"


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"study"', "\x00\xff"])
def test_damaged_study(tmp_path, text):
    "A traceback of the JSON reader, until the study was one thing."
    path = tmp_path / "squares.json"
    path.write_text(text)
    with pytest.raises(KwsError, match="squares.json is damaged or no study.*Remove it"):
        Runs(path)
    assert path.read_text() == text, "what might be repaired was overwritten"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"about": {}, "runs": {}}', '{"runs": {}}', '{"about": {"numbers": [1, 2, 3]}, "runs": []}']
)
def test_damaged_runs(tmp_path, text):
    with pytest.raises(KeyboardInterrupt):
        Runs(tmp_path / "squares.json", stop=2)
    (unfinished,) = tmp_path.iterdir()
    unfinished.write_text(text)
    with pytest.raises(KwsError, match="unfinished is damaged or no study.*Remove it"):
        Runs(tmp_path / "squares.json")


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        Runs(tmp_path / "squares.json", stop=2)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises((OSError, KwsError)):
        Runs(tmp_path / "squares.json")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
