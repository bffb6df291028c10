"The stream test, rules that belong to a model, and training in a stream."

import json
import shutil
import sys
from dataclasses import asdict, replace

import kws_nb.board
import kws_nb.detector
import numpy as np
import pytest
from kws_nb.board import Board, build_firmware, emulated_port, reference_model
from kws_nb.cli import main
from kws_nb.codegen import core_sources
from kws_nb.core import CLIP_SAMPLES, LABELS, SAMPLE_RATE, SMOOTHING, KwsError
from kws_nb.data import Data, Part, noise_crops, synthetic_noise
from kws_nb.detector import (
    COUNTS_FROM,
    COUNTS_UNTIL,
    Listened,
    StreamResult,
    choose_rule,
    count_detections,
    det_curve,
    evaluate_stream,
    listen,
)
from kws_nb.rules import DEFAULT_RULE, Rule, keep_rule, metrics_file, rule_of
from kws_nb.spotter import HostRecognizer, HostSpotter
from kws_nb.stream_training import LEFT_OUT, StreamSettings, stream_windows, window_labels
from kws_nb.streams import Spoken, Streams, mixed_streams, noise_streams, spoken_clips, stream_test


@pytest.fixture(scope="module")
def spoken():
    "Words by synthetic voices, as a data set."
    words = ["yes", "no", "go", "left"] * 3
    clips: list[Spoken] = spoken_clips(words)
    rng = np.random.default_rng(0)
    silence = noise_crops([np.int16(3000 * x) for x in synthetic_noise(2)], 6, rng)
    labels = np.array([0] * 6 + [LABELS.index(w) if w in LABELS else 1 for w in words])
    part = Part(np.concatenate([silence, np.stack([c.samples for c in clips])]), labels, ["_silence_"] * 6 + words)
    noise = [np.int16(3000 * x) for x in synthetic_noise(2)]
    return Data("spoken", part, part, part, noise)


@pytest.fixture(scope="module")
def streams(spoken):
    return mixed_streams(spoken.testing, LABELS, "few", np.random.default_rng(1), 2, 60)


def test_streams_are_what_the_test_says(spoken):
    many = stream_test(spoken, 0.5)
    again, other = stream_test(spoken, 0.5), stream_test(spoken, 0.5, seed=1)
    assert many.samples.shape == (3, 600 * SAMPLE_RATE) and many.hours == 0.5
    assert np.array_equal(many.samples, again.samples) and not np.array_equal(many.samples, other.samples)
    stream, label, clip, begin, end = many.words.T
    gaps = np.diff(clip)[np.diff(stream) == 0] - CLIP_SAMPLES
    assert (
        0.5 * SAMPLE_RATE - 1 <= gaps.min() < 0.6 * SAMPLE_RATE
        and 2.9 * SAMPLE_RATE < gaps.max() <= 3 * SAMPLE_RATE + 1
    )
    assert (clip <= begin).all() and (begin < end).all() and (end <= clip + CLIP_SAMPLES).all()
    shares = np.bincount(label, minlength=4) / len(label)
    assert shares[0] == 0 and np.allclose(shares[1:], (0.7, 0.15, 0.15), atol=0.05)
    with pytest.raises(KwsError, match="ten minutes are the least"):
        stream_test(spoken, 0.01)
    with pytest.raises(KwsError, match="lacks one of them"):
        mixed_streams(
            Part(spoken.testing.clips[6:], spoken.testing.labels[6:], []), LABELS, "", np.random.default_rng()
        )


def test_noise_alone_has_no_words_and_varies(spoken):
    noise = noise_streams(spoken, 1 / 6)
    loud = np.sqrt((noise.samples[0].reshape(60, -1).astype(float) ** 2).mean(1))
    assert noise.words.shape == (0, 5) and loud.max() > 10 * loud.min() > 0


def test_every_detection_counts_once():
    "By a plain loop over words and detections."
    rng = np.random.default_rng(0)
    samples = np.zeros((3, 120 * SAMPLE_RATE), np.int16)
    words, detections = [], []
    for stream in range(3):
        clips = np.cumsum(rng.integers(1.5 * SAMPLE_RATE, 4 * SAMPLE_RATE, 30))
        words += [(stream, rng.integers(1, 4), c, c + 4000, c + 12_000) for c in clips]
        at = np.sort(rng.choice(118 * SAMPLE_RATE, 80, replace=False)) + 1
        detections.append(np.stack([at, rng.integers(0, 4, 80), np.full(80, 255)], 1))
    streams = Streams("random", LABELS, samples, np.array(words))
    found, false = {}, 0
    for stream, heard in enumerate(detections):
        for at, label, _ in heard:
            near = [w for w in words if w[0] == stream and w[1] == label >= 2]
            near = [w for w in near if w[2] + COUNTS_FROM <= at <= w[2] + COUNTS_UNTIL]
            false += label >= 2 and (not near or near[-1] in found)
            if near:
                found.setdefault(near[-1], (at - near[-1][4]) / 16)
    result = count_detections(streams, detections)
    assert 0 < len(found) == result.found and false == result.false_alarms
    np.testing.assert_allclose(sorted(result.latency_ms), sorted(found.values()), atol=0.1)


def test_a_stream_equals_the_emulated_board(streams, tmp_path):
    "A model's own rule, in the firmware: the same detections, and the board shows it."
    rule = Rule(360, 90, 750, 2)
    model = shutil.copy(reference_model(), tmp_path / "model.tflite")
    keep_rule(model, rule)
    samples = streams.samples[0]
    with Board(emulated_port(image=build_firmware(model))) as board:
        settings = board.settings(stream="on")
        board.hear(samples)
        reported = [(d.sample, LABELS.index(d.label), d.score) for d in board.detections]
        heard = np.array([h.codes for h in board.predictions])
    assert settings == dict(stream="on", hop=2, threshold=90, window=360, suppression=750, count=2)
    at, scores = HostSpotter(model).hear(samples[None])
    np.testing.assert_array_equal(scores[0], heard)
    np.testing.assert_array_equal(HostRecognizer().detect(at, scores[0], **asdict(rule)), reported)
    listened = listen(model, streams)
    np.testing.assert_array_equal(listened.scores[0], scores[0])
    result = listened.detect(rule)
    assert result.found > 3 and result.keywords == len(streams.keywords)


def made_up(streams):
    "Scores that are high where a keyword was, and now and then where none was."
    at = CLIP_SAMPLES + 640 * np.arange((streams.samples.shape[1] - CLIP_SAMPLES) // 640)
    scores = np.full((len(streams.samples), len(at), 4), -128, np.int8)
    rng = np.random.default_rng(3)
    for stream, label, clip, *_ in streams.words:
        near = (at >= clip + CLIP_SAMPLES) & (at < clip + CLIP_SAMPLES + 6400)
        scores[stream, near, max(label, 2)] = rng.integers(-128, 128) if label == 1 else rng.integers(40, 128)
    return Listened(streams, at, scores)


def test_the_chosen_rule_is_the_best_of_all(streams):
    listened, rates = made_up(streams), (0, 60, 400)
    for rate in rates:
        rule, result = choose_rule(listened, rate, (120, 360), (500, 1000))
        assert result.alarms_an_hour <= rate and listened.detect(rule) == result
        tried = [
            listened.detect(replace(rule, window_ms=window, suppression_ms=suppression, threshold=threshold))
            for window in (120, 360)
            for suppression in (500, 1000)
            for threshold in range(256)
        ]
        assert result.found == max(r.found for r in tried if r.alarms_an_hour <= rate)
    found = [result.found for _, result in det_curve(listened, Rule(120, 0, 500))]
    assert found[0] >= found[-1] and len(found) == 64
    with pytest.raises(KwsError, match="0 or more"):
        choose_rule(listened, -1)


def test_a_result_has_intervals():
    result = StreamResult(75, 100, 10, 2.0, (100.0, 200.0))
    told = result.as_dict()
    assert told["recall"]["value"] == 0.75 and told["false_alarms_an_hour"]["value"] == 5
    low, high = told["false_alarms_an_hour"]["interval"]
    assert 2.3 < low < 2.5 and 9.1 < high < 9.3  # Poisson, exact: 4.795 and 18.39 of 10
    assert json.loads(json.dumps(told))["latency_ms"] == [105, 150, 195]


def test_a_rule_belongs_to_its_model(tmp_path):
    model = shutil.copy(reference_model(), tmp_path / "some.tflite")
    assert rule_of(model) == DEFAULT_RULE and asdict(DEFAULT_RULE) == SMOOTHING
    assert core_sources(model) == core_sources(reference_model().read_bytes())
    metrics_file(model).write_text(json.dumps(dict(labels=["yes"])))
    keep_rule(model, Rule(500, 99), false_alarms=5)
    kept = json.loads((tmp_path / "some.json").read_text())
    assert kept["labels"] == ["yes"] and kept["rule"]["threshold"] == 99 and kept["rule"]["false_alarms"] == 5
    header = core_sources(model)["kws_model.h"]
    assert "#define KWS_RECOGNIZER_THRESHOLD 99\n" in header and "#define KWS_RECOGNIZER_WINDOW_MS 500\n" in header
    for wrong in (dict(threshold="high"), dict(window_ms=0), ["a list"]):
        metrics_file(model).write_text(json.dumps(dict(rule=wrong)))
        with pytest.raises(KwsError, match="is damaged"):
            rule_of(model)


def test_evaluate_keeps_the_rule(spoken, tmp_path):
    model = shutil.copy(reference_model(), tmp_path / "model.tflite")
    told = evaluate_stream(model, 1 / 6, 100, spoken)
    assert told.rule == rule_of(model) and told.kept == tmp_path / "metrics.json"
    assert evaluate_stream(model, 1 / 6, data=spoken).result == told.result
    assert told.validation and told.validation.alarms_an_hour <= 100
    assert told.as_dict()["rule"] == asdict(told.rule) and "kept in" in str(told)
    with pytest.raises(KwsError, match="an int8 .tflite"):
        evaluate_stream(tmp_path / "model.safetensors")


def test_the_command_tells_as_much(spoken, tmp_path, monkeypatch, capsys):
    "`kws-nb evaluate MODEL --stream`, as text and as JSON; what can't be is refused."
    monkeypatch.setattr(kws_nb.detector, "load_data", lambda words: spoken)
    model = shutil.copy(reference_model(), tmp_path / "model.tflite")

    def run(*more):
        monkeypatch.setattr(sys, "argv", ["kws-nb", "evaluate", str(model), *more])
        try:
            main()
        except SystemExit as end:
            assert end.code in (0, None, 1)
        return capsys.readouterr()

    out, _ = run("--stream", "--hours", ".17")
    assert "rule: 1000 ms, threshold 200" in out and "false alarms an hour (0.17 h)" in out
    told = json.loads(run("--stream", "--hours", ".17", "--false-alarms", "60", "--json")[0])
    assert told["rule"] == asdict(rule_of(model)) and told["recall"]["n"] > 30
    for wrong in (["--stream", "--board"], ["--false-alarms", "5"]):
        assert "leave --board out, and name --stream" in run(*wrong)[1]
    assert "0 or more" in run("--stream", "--hours", ".17", "--false-alarms", "-1")[1]


def test_windows_have_the_label_of_what_is_in_them(streams):
    labels = window_labels(streams)
    ends = np.arange(labels.shape[1]) * 320 + 480
    assert (labels[:, :48] == LEFT_OUT).all()
    for stream, label, clip, *_ in streams.keywords:
        late = (ends - clip - CLIP_SAMPLES) / SAMPLE_RATE
        assert (labels[stream, (late >= -0.125) & (late <= 0.35)] == label).all()
    busy = np.zeros(labels.shape, bool)
    for stream, _, _, begin, end in streams.words:
        busy[stream] |= (ends > begin) & (ends < end + CLIP_SAMPLES)
    assert (labels[~busy] <= 0).all(), "where no word is in it, a window is silence, or has half a keyword's clip"


def test_epochs_are_drawn_anew_and_repeat(spoken):
    few = StreamSettings(seconds=60, windows=(5, 20, 20), clips=1)
    (x, y), (again, _), (other, _) = (stream_windows(spoken, few, epoch) for epoch in (0, 0, 1))
    assert np.array_equal(x, again) and not np.array_equal(x[:45], other[:45])
    assert x.shape == (45 + len(spoken.training), 49, 40) and np.bincount(y[:45]).tolist()[:2] == [5, 20]
    for wrong in (dict(windows=(1, 2)), dict(seconds=30)):
        with pytest.raises(KwsError, match="expected"):
            StreamSettings(**wrong)


def test_the_image_of_a_wheel_is_taken_for_the_rule_that_it_was_built_with(tmp_path, monkeypatch):
    monkeypatch.setattr(kws_nb.board, "checkout", lambda: None)
    monkeypatch.setattr(kws_nb.board, "prebuilt_image", lambda: "as delivered")
    assert build_firmware() == "as delivered"
    model = tmp_path / "tinyconv.tflite"
    model.write_bytes(reference_model().read_bytes())
    monkeypatch.setattr(kws_nb.board, "reference_model", lambda: model)
    keep_rule(model, Rule(threshold=123))
    image = build_firmware()
    assert image != "as delivered"
    with Board(emulated_port(image=image)) as board:
        assert board.settings()["threshold"] == 123
