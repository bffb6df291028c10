"Words of one's own: from the data to the name that the board says; and the default, which stays what it is."

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from test_data import tree  # noqa: F401, a fixture

from kws_nb import data as kws_data
from kws_nb import recordings
from kws_nb.arduino import write_arduino_library
from kws_nb.board import Board, build_firmware
from kws_nb.cli import main
from kws_nb.codegen import core_sources
from kws_nb.convert import convert, run_tflite
from kws_nb.graph import read_tflite
from kws_nb.core import KEYWORDS, LABELS, MOST_KEYWORDS, KwsError, labels_for, models_dir
from kws_nb.data import LEAST_CLIPS, SPLITS, load_data, read_speech_commands, split_of, synthetic_speech
from kws_nb.demo import listen
from kws_nb.features import micro_features
from kws_nb.keywords import evaluate_file, train_keywords
from kws_nb.live import load_session, plot_heard, save_session
from kws_nb.models import TinyConv
from kws_nb.prune import prune_channels
from kws_nb.train import BETTER, load_model, predict, save_model

pytestmark = pytest.mark.slow

WORDS = ("on", "off")
TAKES = dict(training=2, validation=1, testing=2)


@pytest.fixture(scope="module")
def spoken():
    return synthetic_speech(WORDS, TAKES)


@pytest.fixture(scope="module")
def own(spoken, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "on-off"
    return train_keywords(WORDS, folder, replace(BETTER, epochs=40), data=spoken, progress=False)


# --- all the way -----------------------------------------------------------------------------------------------------


def test_the_board_says_the_new_word_by_name(own, spoken):
    folder, network, int8 = own
    labels = (*LABELS[:2], *WORDS)
    assert load_model(folder / "model.safetensors")[0].labels == labels == read_tflite(folder / "model.tflite").labels
    with Board(f"emulated://nano33ble?model={folder}/model.tflite") as board:
        assert board.labels == labels
        codes = listen(board, spoken.testing, lambda line: None)
        heard = [board.classify(spoken.testing.clips[spoken.testing.words.index(word)]) for word in WORDS]
    np.testing.assert_array_equal(codes, run_tflite(folder / "model.tflite", micro_features(spoken.testing.clips)))
    assert [h.label for h in heard] == list(WORDS) and set(heard[0].scores) == set(labels)
    assert int8.accuracy.value > 0.5 and abs(int8.accuracy.correct - network.accuracy.correct) <= 2
    np.testing.assert_array_equal(int8.counts.sum(1), np.bincount(spoken.testing.labels))


def test_what_training_leaves(own, spoken):
    folder, _, int8 = own
    assert {p.name for p in folder.iterdir()} == {"model.safetensors", "model.tflite", "metrics.json"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["labels"] == list(spoken.labels) and metrics["n"] == {s: len(getattr(spoken, s)) for s in SPLITS}
    assert metrics["int8"]["accuracy"]["n"] == len(spoken.testing) and metrics["int8"]["counts"] == int8.counts.tolist()
    assert set(metrics["int8"]["recall"]) == set(spoken.labels) and metrics["data"].startswith("synthetic")
    for name, digest in metrics["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_a_copy_still_knows_its_words(own, spoken, tmp_path):
    copy = shutil.copy(own[0] / "model.tflite", tmp_path / "another.tflite")
    again = evaluate_file(copy, data=spoken)
    assert again.labels == (*LABELS[:2], *WORDS)
    np.testing.assert_array_equal(again.counts, own[2].counts)


def test_live_sessions_and_the_arduino_library_have_the_words(own, spoken, tmp_path):
    model = own[0] / "model.tflite"
    with Board(f"emulated://nano33ble?image={build_firmware(model)}") as board:
        heard = board.hear(np.concatenate(list(spoken.testing.clips[-3:])))
    assert [line.name for line in plot_heard(heard).data] == [*LABELS[:2], *WORDS]
    save_session(tmp_path / "s.jsonl", heard)
    assert load_session(tmp_path / "s.jsonl") == heard
    library = write_arduino_library(tmp_path / "library", model)
    assert '"_silence_", "_unknown_", "on", "off"' in (library / "src/kws_model.c").read_text()


def test_pruned_channels_keep_the_labels():
    assert prune_channels(TinyConv(4, labels=labels_for(["a"])), 0.5).labels == (*LABELS[:2], "a")


@pytest.mark.parametrize(
    "words",
    [("stop",), ("one", "two", "three", "four", "five"), tuple(f"{i:02}" + "x" * 38 for i in range(MOST_KEYWORDS))],
    ids=("1", "5", "most"),
)
def test_any_number_of_words(words, tmp_path, rng):
    "Their names and scores fit the board's lines, and the scores are the interpreter's."
    model = TinyConv(2, labels=labels_for(words)).eval()
    int8 = convert(model, rng.uniform(0, 26, (8, 49, 40)).astype(np.float32), tmp_path).int8_tflite
    clips = rng.integers(-9000, 9000, (2, 16_000), np.int16)
    with Board(f"emulated://nano33ble?model={int8}") as board:
        assert board.labels == model.labels
        heard = [board.classify(clip) for clip in clips]
    np.testing.assert_array_equal([h.codes for h in heard], run_tflite(int8, micro_features(clips)))
    assert predict(model, micro_features(clips)).shape == (2, len(words) + 2)


def test_scores_without_names_are_refused(tmp_path, rng):
    "A file of five scores that names no labels."
    from kws_nb.convert import convert_tflite, export_onnx, export_saved_model

    saved = export_saved_model(export_onnx(TinyConv(1, labels=labels_for("abc"))), tmp_path / "saved")
    with pytest.raises(KwsError, match="5 scores, and there are 4 labels"):
        core_sources(convert_tflite(saved, rng.uniform(0, 26, (8, 49, 40)).astype(np.float32)))


# --- words and data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "says"), [((), "No keyword"), (("on", "on"), "named twice"),
                                             (("_silence_",), "can be no keyword"), (("On",), "can be no keyword"),
                                             (("a,b",), "can be no keyword"), (("a" * 41,), "can be no keyword"),
                                             ([f"w{i}" for i in range(65)], "at most 64")])  # fmt: skip
def test_words_that_can_be_no_keywords(words, says):
    with pytest.raises(KwsError, match=says):
        labels_for(words)
    with pytest.raises(KwsError, match=says):
        load_data(words=words)


def test_words_of_the_tree(tree):  # noqa: F811
    data = read_speech_commands(tree, words=("cat", "yes"))
    assert data.labels == (*LABELS[:2], "cat", "yes")
    for split in SPLITS:
        part = getattr(data, split)
        assert all(data.labels[label] == word for label, word in zip(part.labels, part.words) if label != 1)
        assert {word for label, word in zip(part.labels, part.words) if label == 1} <= {"bird", "no"}


def test_a_word_that_is_nowhere_and_one_with_too_few_clips(tree, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setattr(recordings, "data_dir", lambda: tmp_path / "data")
    with pytest.raises(KwsError, match='no word "hullo": .* has bird, cat, no, yes; data/recordings has no words'):
        load_data(tree, words=("hullo",))
    for path in [p for p in (tree / "cat").iterdir() if split_of(p.name) == "validation"]:
        path.unlink()
    with pytest.raises(KwsError, match='"cat" has .* 0 validation, .* under a name such as guest'):
        load_data(tree, words=("cat",))


@pytest.fixture
def recorded(monkeypatch, tmp_path, rng):
    "Records clips of a word by a speaker of each part."
    monkeypatch.setattr(recordings, "data_dir", lambda: tmp_path / "data")

    def record(word, splits=SPLITS):
        for split in splits:
            for _ in range(LEAST_CLIPS[split]):
                recordings.save_recording(
                    rng.uniform(-0.5, 0.5, 20_000).astype(np.float32), word, kws_data._speaker_for(split)
                )

    return record


def test_recordings_are_data(tree, recorded):  # noqa: F811
    recorded("computer", SPLITS[:2])
    with pytest.raises(KwsError, match="0 testing clips"):
        load_data(tree, words=("computer",))
    recorded("computer", SPLITS[2:])
    data = load_data(tree, words=("computer", "cat"))
    assert [data.testing.words.count(word) for word in ("computer", "cat")] == [
        2,
        sum(split_of(p.name) == "testing" for p in (tree / "cat").iterdir()),
    ]
    assert data.training.clips.shape[1] == 16_000 and data.name.endswith("and 14 recordings")


def test_recordings_of_yes_do_not_change_the_default(tree, recorded):  # noqa: F811
    before = load_data(tree)
    recorded("yes")
    np.testing.assert_array_equal(load_data(tree, words=KEYWORDS).training.clips, before.training.clips)
    assert len(load_data(tree, words=("yes",)).testing) > 0


def test_a_recorded_word_among_synthetic_voices(recorded, monkeypatch, tmp_path):
    "One speaker is enough: espeak-ng's voices are in every part."
    monkeypatch.setattr(kws_data, "data_dir", lambda: tmp_path / "data")
    recorded("hey_you", ("training",))
    data = synthetic_speech(("hey_you",), dict(training=1, validation=1, testing=1))
    assert [getattr(data, split).words.count("hey_you") for split in SPLITS] == [32 + 10, 8, 8]
    assert data.name == "synthetic speech (espeak-ng) and 10 recordings"


def test_the_default_data_is_what_it_was(monkeypatch):
    "What is spoken, and how it is put together."
    said = []

    def speak(utterances, about=None):
        said.extend(utterances)
        return [np.full(8000, 0.1 * (1 + i % 9), np.float32) for i in range(len(utterances))]

    monkeypatch.setattr(kws_data, "speak", speak)
    part = kws_data._synthesize("testing", 3, KEYWORDS, [])
    assert (
        hashlib.sha256(repr((said, part.labels.tolist(), part.words)).encode() + part.clips.tobytes()).hexdigest()[:16]
        == "3d26ae356791e899"
    )


def test_the_cache_belongs_to_what_made_it(monkeypatch):
    def path():
        return kws_data._cache_path("testing", 3, KEYWORDS, [])

    before = path()
    assert path() == before and before.name.startswith("synthetic-testing-")
    assert kws_data._cache_path("testing", 4, KEYWORDS, []) != before
    monkeypatch.setattr(kws_data, "_place", lambda samples, noise, rng: samples)
    assert path() != before, "clips that older code made are not read"


# --- checkpoints and commands ----------------------------------------------------------------------------------------


def test_a_checkpoint_without_labels_has_the_default_ones(tmp_path):
    from safetensors.torch import save_file

    save_file(
        TinyConv(1).state_dict(),
        tmp_path / "old.safetensors",
        metadata=dict(kws_nb=json.dumps(dict(model="TinyConv", channels=1))),
    )
    assert load_model(tmp_path / "old.safetensors")[0].labels == LABELS
    save_model(tmp_path / "new.safetensors", TinyConv(1, labels=labels_for(["up"])))
    assert load_model(tmp_path / "new.safetensors")[0].labels == (*LABELS[:2], "up")


def test_interrupted_and_resumed(spoken, tmp_path, monkeypatch):
    from kws_nb import train as module

    original, calls = module.train_epoch, []

    def stop_in_the_second(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*args)

    settings = replace(BETTER, epochs=3)
    whole, _, _ = train_keywords(WORDS, tmp_path / "whole", settings, data=spoken, progress=False)
    monkeypatch.setattr(module, "train_epoch", stop_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        train_keywords(WORDS, tmp_path / "two", settings, data=spoken, progress=False)
    with pytest.raises(KwsError, match="interrupted. Go on with --resume"):
        train_keywords(WORDS, tmp_path / "two", settings, data=spoken, progress=False)
    resumed, _, _ = train_keywords(WORDS, tmp_path / "two", settings, resume=True, data=spoken, progress=False)
    assert len(calls) == 2 + 2
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def command(monkeypatch, capsys, *words):
    "What `kws-nb` prints, and how it ends."
    monkeypatch.setattr(sys, "argv", ["kws-nb", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0, *capsys.readouterr()


def test_commands(tree, monkeypatch, capsys, tmp_path):  # noqa: F811
    monkeypatch.setenv("KWS_NB_DATA", str(tree))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    out = tmp_path / "my words"
    code, shown, _ = command(monkeypatch, capsys, "train", "--words", "Cat, bird", "--epochs", 2, "--out", out)
    assert code == 0 and "recall" in shown and "cat " in shown and "model=" + str(out).replace(" ", "%20") in shown
    code, shown, _ = command(monkeypatch, capsys, "evaluate", out / "model.safetensors", "--json")
    assert code == 0 and json.loads(shown)["labels"] == [*LABELS[:2], "cat", "bird"]
    tables = [command(monkeypatch, capsys, "evaluate", out / "model.tflite", *board) for board in ((), ("--board",))]
    assert tables[0] == tables[1] and tables[0][0] == 0, "the board is the interpreter"
    refused = [
        (("train", "--words", "cat,cat", "--out", out), "named twice"),
        (("train", "--words", "cat", "--epochs", 0), "epochs is 0"),
        (("train", "--words", "cat", "--out", out / "model.tflite"), "is a file"),
        (("evaluate", out / "model.safetensors", "--board"), "int8 .tflite"),
        (("evaluate", out / "metrics.json"), "neither a"),
        (("evaluate", out / "nothing.tflite"), "no such file"),
    ]
    for arguments, says in refused:
        code, shown, said = command(monkeypatch, capsys, *arguments)
        assert code == 1 and not shown and said.startswith("Error: ") and says in said, (arguments, said)


def test_a_model_that_answers_nan_is_not_evaluated(monkeypatch, capsys, tmp_path):
    "It printed a table like any other, all clips heard as silence, and ended with 0."
    from kws_nb import keywords

    checkpoint = tmp_path / "nan.safetensors"
    model = TinyConv()
    model.linear.bias.data[1] = float("nan")
    save_model(checkpoint, model)
    code, shown, said = command(monkeypatch, capsys, "evaluate", checkpoint)
    assert code == 1 and not shown and "not finite" in said
    data = load_data()
    monkeypatch.setattr(
        keywords, "run_tflite", lambda path, features: np.full((len(features), len(LABELS)), np.nan, np.float32)
    )
    with pytest.raises(KwsError, match="answers NaN"):
        evaluate_file(models_dir() / "tinyconv.tflite", data=data)


@pytest.mark.parametrize(
    "about",
    [
        dict(labels=5),
        dict(channels="abc"),
        dict(channels=-3),
        dict(channels=10**9),
        dict(channels=1e9),
        dict(labels=[["a"]]),
    ],
    ids=str,
)
def test_a_checkpoint_that_describes_itself_wrongly(about, monkeypatch, capsys, tmp_path):
    from safetensors.torch import save_file

    checkpoint = tmp_path / "wrong.safetensors"
    save_file(
        TinyConv().state_dict(),
        checkpoint,
        metadata=dict(kws_nb=json.dumps(dict(model="TinyConv", channels=8) | about)),
    )
    code, shown, said = command(monkeypatch, capsys, "evaluate", checkpoint)
    assert code == 1 and not shown and said.startswith("Error: ") and "Traceback" not in said


def test_import_is_light():
    "Nothing of torch, until something is trained or a checkpoint is read."
    heavy = {"torch", "plotly", "scipy"}
    code = f"import sys, kws_nb.keywords, kws_nb.demo, kws_nb.bench; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_an_interrupted_command_says_how_to_go_on(monkeypatch, capsys):
    from kws_nb import keywords

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(keywords, "train_keywords", interrupted)
    code, shown, said = command(monkeypatch, capsys, "train", "--words", "on,off")
    assert code == 130 and not shown and "kws-nb train --words on,off --resume" in said
