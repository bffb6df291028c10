"TinyConv quantised after training and in training: simulated, as integers, on disk, by command; bad input is refused."

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from kws_nb import cli
from kws_nb.convert import calibration_clips
from kws_nb.core import KwsError
from kws_nb.features import MAX_FEATURE
from kws_nb.grids import unpack_hits
from kws_nb.keywords import quantize_checkpoint
from kws_nb.layers import quantize_multiplier
from kws_nb.models import TinyConv
from kws_nb.packing import requantize
from kws_nb.qat import (
    INPUT_SCALE,
    LEARNED,
    Scheme,
    Tuning,
    augmented,
    feature_codes,
    fine_tune,
    is_deployable,
    load_quantized,
    post_train,
    save_quantized,
    to_integer,
)
from kws_nb.quantize import MINIFLOATS, RANGES
from kws_nb.studies.quantization import after_training, compare_quantization, in_training
from kws_nb.train import BETTER, predict, save_model

WIDTHS = range(2, 9)
SHORT = Tuning(epochs=2, batch_size=20)


pytestmark = pytest.mark.usefixtures("one_thread")


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


def test_eight_bits_answer_like_float(model, features, calibration):
    expected = predict(model, features)
    for method in RANGES:
        said = predict(post_train(model, Scheme(8, 8, method), calibration), features)
        assert np.abs(said - expected).max() < 0.2 and (said.argmax(1) == expected.argmax(1)).mean() > 0.96
    nothing = post_train(model, Scheme(None, None), calibration)
    assert np.abs(predict(nothing, features) - expected).max() < 1e-5


def test_codes_are_those_of_the_scheme(model, calibration):
    for weights in WIDTHS:
        for activations in (weights, 8):
            quantized = post_train(model, Scheme(weights, activations), calibration)
            for name, shape in (("conv", (8, 1, 1, 1)), ("linear", (4, 1))):
                rounds = quantized.rounds[name]
                codes = rounds.codes(getattr(quantized, name).weight)
                assert torch.equal(codes, codes.round()) and rounds.scale.shape == shape
                assert codes.min() >= -(2 ** (weights - 1)) and codes.max() <= 2 ** (weights - 1) - 1
            hidden = quantized.hidden(quantized.quantize_input(torch.as_tensor(calibration)))
            codes = quantized.rounds["hidden"].codes(hidden)
            assert codes.min() == 0 and codes.max() == 2**activations - 1


def test_what_the_scheme_leaves_out_stays_as_it_is(model, calibration):
    one = post_train(model, Scheme(2, None, layers=("linear",)), calibration)
    assert set(one.rounds) == {"linear"} and torch.equal(one.folded()[0], model.conv.weight)
    hidden = post_train(model, Scheme(None, 2), calibration)
    assert set(hidden.rounds) == {"hidden"}
    whole = post_train(model, Scheme(4, 8, per_channel=False), calibration)
    assert all(quantizer.scale.shape == () for quantizer in whole.rounds.values())
    uneven = post_train(model, Scheme(4, None, symmetric=False), calibration).rounds["conv"]
    assert (uneven.high - uneven.low == 15).all() and not (uneven.low == -8).all()
    course = post_train(model, Scheme(2, 2, course=True), calibration)
    assert len(course.folded()[1].unique()) <= 4  # biases of two bits
    assert 2 <= len(course.quantize_input(torch.as_tensor(calibration)).unique()) <= 4


@pytest.mark.parametrize("name", MINIFLOATS)
def test_small_floats_and_shared_scales_run(model, features, calibration, name):
    bits = 1 + sum(MINIFLOATS[name])
    expected = predict(model, features).argmax(1)
    for format in (name, f"MX {name}"):
        said = predict(post_train(model, Scheme(bits, bits, "mse", format), calibration), features).argmax(1)
        assert (said == expected).mean() > 0.8, format


def test_every_feature_has_a_code_of_its_own_place():
    every = np.arange(MAX_FEATURE + 1, dtype=np.float32)[None, :, None] * 10 / 256
    codes = feature_codes(every)
    assert codes.dtype == np.int8 and codes.min() == -128 and codes.max() == 127
    assert np.abs((codes + 128.0) * INPUT_SCALE - every).max() <= INPUT_SCALE / 2 * 1.0001


def in_whole_numbers(quantized, integer, x):
    "Scores from the simulation's codes: sums of products of them, then TFLite's two roundings."

    def outputs(sums, factors, zero_point, low, high):
        scaled = [requantize(sums[..., i], *quantize_multiplier(f)) for i, f in enumerate(factors)]
        return np.clip(np.stack(scaled, -1) + zero_point, low, high)

    conv = quantized.rounds["conv"].codes(quantized.conv.weight).double()
    codes = torch.as_tensor(feature_codes(x)).double() + 128
    sums = torch.nn.functional.conv2d(quantized.pad(codes[:, None]), conv, stride=2).permute(0, 2, 3, 1).numpy()
    scale = np.float64(integer.conv_scale) * np.float32(integer.input_scale) / np.float32(integer.hidden_scale)
    top = 2**quantized.scheme.activations - 1
    hidden = outputs(sums.astype(np.int64) + integer.conv_bias, scale, 0, 0, top).reshape(len(x), -1)
    linear = quantized.rounds["linear"].codes(quantized.linear.weight).numpy().astype(np.int64)
    scale = np.float64(integer.linear_scale) * np.float32(integer.hidden_scale) / np.float32(integer.output_scale)
    return outputs(hidden @ linear.T + integer.linear_bias, scale, integer.output_zero_point, -128, 127)


@pytest.mark.parametrize("weights", WIDTHS)
def test_the_integer_network_has_the_simulations_codes(model, features, calibration, weights):
    """All scores are those of the codes. The float simulation rounds once what TFLite rounds twice, and it has no int32
    biases: a score of it may lie a few codes away, most with 2 bits, where each hidden code is a third of the range."""
    extreme = np.random.default_rng(3).choice([0.0, MAX_FEATURE * 10 / 256], (40, 49, 40)).astype(np.float32)
    x = np.concatenate([features, extreme, np.zeros_like(extreme[:1]), np.full_like(extreme[:1], extreme.max())])
    for activations in {8, weights}:
        quantized = post_train(model, Scheme(weights, activations), calibration)
        integer = to_integer(quantized, calibration)
        assert integer.hidden_bits == activations and integer.weight_bits == {2: 2, 3: 4, 4: 4}.get(weights, 8)
        scores = integer.run(feature_codes(x)).astype(int)
        expected = in_whole_numbers(quantized, integer, x)
        if activations == 8:
            assert np.array_equal(scores, expected)
        else:  # the file has other scales with the same codes, rounded to float32 once more
            assert np.abs(scores - expected).max() <= 1 and (scores == expected).mean() > 0.99
        with torch.no_grad():
            logits = quantized(torch.as_tensor(x)).numpy()
        simulated = np.clip(logits / integer.output_scale + integer.output_zero_point, -128, 127)
        assert np.abs(scores - simulated).max() < 4
        n = len(features)
        assert (scores[:n].argmax(1) == logits[:n].argmax(1)).mean() >= 0.97


def test_a_standardised_network_is_folded(model, calibration, features):
    quantized = post_train(model, Scheme(4, 8), calibration)
    before = predict(quantized, features)
    codes = quantized.rounds["conv"].codes(quantized.conv.weight)
    quantized.standardize(8.0, 6.0)
    assert torch.equal(quantized.rounds["conv"].codes(quantized.conv.weight), codes)
    after = predict(quantized, features)  # the bias also makes up for the weights' rounding
    assert (before.argmax(1) == after.argmax(1)).mean() > 0.9
    integer = to_integer(quantized, calibration)
    assert (integer.run(feature_codes(features)).argmax(1) == after.argmax(1)).mean() >= 0.97


def test_zeros_and_constants_are_exact(calibration, features):
    network = TinyConv(2, 0.0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.linear.bias.copy_(torch.tensor([0.5, -1.0, 2.0, 0.25]))
    for network_bias in (-1.0, 3.0):  # hidden values that are all zero, or all the same
        with torch.no_grad():
            network.conv.bias.fill_(network_bias)
        for method in RANGES:
            quantized = post_train(network, Scheme(2, 2, method), calibration)
            assert torch.allclose(quantized(torch.as_tensor(features)), network.linear.bias.expand(len(features), 4))
            integer = to_integer(quantized, calibration)
            values = (integer.run(feature_codes(features)) - float(integer.output_zero_point)) * integer.output_scale
            assert np.abs(values - network.linear.bias.detach().numpy()).max() <= integer.output_scale / 2 * 1.01


BAD = {
    "bits is 1; expected 2 to 8": dict(weights=1),
    "bits is 9; expected 2 to 8": dict(activations=9),
    "E1M1 has 3 bits with its sign; bits is 2": dict(weights=2, activations=2, format="E1M1"),
    "MX and a minifloat": dict(format="MX int"),
    "format is 'E9M9'": dict(format="E9M9"),
    "method is 'best'": dict(method="best"),
    "layers names 'relu'": dict(layers=("relu",)),
    "course needs weights": dict(weights=None, course=True),
}


@pytest.mark.parametrize("says", BAD)
def test_a_scheme_that_cannot_be_is_refused(says):
    with pytest.raises(KwsError, match=says):
        Scheme(**BAD[says])


@pytest.mark.parametrize(
    "says, bad",
    [
        ("epochs is 0", dict(epochs=0)),
        ("lr is 0", dict(lr=0)),
        ("scale_lr is -1", dict(scale_lr=-1)),
        ("temperature is 0", dict(temperature=0)),
        ("distilled is 2", dict(distilled=2)),
        ("dropout is 1", dict(dropout=1)),
    ],
)
def test_a_tuning_that_cannot_be_is_refused(says, bad):
    with pytest.raises(KwsError, match=says):
        Tuning(**bad)


def test_calibration_without_clips_or_numbers_is_refused(model, calibration):
    with pytest.raises(KwsError, match="no clip to calibrate"):
        post_train(model, Scheme(), calibration[:0])
    with pytest.raises(KwsError, match="NaN or infinite"):
        post_train(model, Scheme(), np.where(calibration > 5, np.nan, calibration))
    quantized = post_train(model, Scheme(), calibration)
    with pytest.raises(KwsError, match="no clip to calibrate"):
        to_integer(quantized, calibration[:0])
    broken = TinyConv()
    with torch.no_grad():
        broken.linear.weight[0, 0] = torch.nan
    with pytest.raises(KwsError, match="NaN"):
        post_train(broken, Scheme(), calibration)


@pytest.mark.parametrize(
    "says, scheme",
    [
        ("must have bits", Scheme(4, None)),
        ("must have bits", Scheme(None, 8)),
        ("E2M1 is no integer", Scheme(4, 4, format="E2M1")),
        ("biases of few bits", Scheme(4, 4, course=True)),
        ("must be symmetric", Scheme(4, 8, symmetric=False)),
        ("both layers", Scheme(4, 8, layers=("conv",))),
    ],
)
def test_what_the_board_does_not_run_is_refused(model, calibration, says, scheme):
    assert not is_deployable(scheme)
    with pytest.raises(KwsError, match=says):
        to_integer(post_train(model, scheme, calibration), calibration)


def test_learned_and_found_ranges_are_not_mixed_up(model, tiny, calibration):
    with pytest.raises(KwsError, match="lsq is learned in training; after it, take one of minmax"):
        post_train(model, Scheme(method="lsq"), calibration)
    with pytest.raises(KwsError, match="mse is for networks that are trained; to train, take one of ste, lsq"):
        fine_tune(model, Scheme(method="mse"), tiny, SHORT, progress=False)


@pytest.mark.parametrize("method", LEARNED)
def test_training_moves_weights_and_scales_and_can_be_repeated(model, tiny, method):
    scheme = Scheme(2, 2, method)
    first, second = (fine_tune(model, scheme, tiny, SHORT, progress=False) for _ in range(2))
    assert same(first.model, second.model) and first.history == second.history
    start = post_train(model, replace(scheme, method="mse"), calibration_clips(tiny))
    start.standardize(float(first.model.mean), float(first.model.deviation))
    moved = [
        name for name, values in start.state_dict().items() if not torch.equal(values, first.model.state_dict()[name])
    ]
    assert {f"rounds.{name}.log_scale" for name in ("conv", "linear", "hidden")} <= set(moved)
    assert {f"{layer}.{what}" for layer in ("conv", "linear") for what in ("weight", "bias")} <= set(moved)
    losses = [epoch["validation_loss"] for epoch in first.history]
    assert first.best_epoch == int(np.argmin(losses))
    assert not same(first.model, fine_tune(model, scheme, tiny, replace(SHORT, seed=1), progress=False).model)


def test_an_interrupted_training_goes_on(model, tiny, tmp_path):
    scheme, checkpoint = Scheme(4, 8, "lsq"), tmp_path / "run.safetensors"

    class Stop(Exception):
        pass

    def stops(epoch):
        if epoch:
            raise Stop
        return augmented(model, tiny, epoch, SHORT)

    with pytest.raises(Stop):
        fine_tune(model, scheme, tiny, SHORT, checkpoint, progress=False, epochs=stops)
    assert checkpoint.is_file()
    resumed = fine_tune(model, scheme, tiny, SHORT, checkpoint, progress=False)
    whole = fine_tune(model, scheme, tiny, SHORT, progress=False)
    assert same(resumed.model, whole.model) and resumed.history == whole.history
    for other in (replace(scheme, weights=3), replace(scheme, method="ste")):
        with pytest.raises(KwsError, match="other data or settings"):
            fine_tune(model, other, tiny, SHORT, checkpoint, progress=False)


def test_a_loss_that_is_no_number_is_refused(model, tiny):
    with pytest.raises(KwsError, match="lower learning rate"):
        fine_tune(model, Scheme(4, 8, "lsq"), tiny, replace(SHORT, lr=1e30), progress=False)


def test_other_labels_are_refused(model, tiny):
    with pytest.raises(KwsError, match="The model knows"):
        fine_tune(TinyConv(labels=("_silence_", "_unknown_", "on")), Scheme(method="lsq"), tiny, SHORT, progress=False)


def test_a_saved_network_is_the_same(model, calibration, features, tmp_path):
    path = tmp_path / "model.safetensors"
    for scheme in (Scheme(2, 8), Scheme(4, None, symmetric=False, layers=("conv",)), Scheme(4, 4, format="MX E2M1")):
        quantized = post_train(model, scheme, calibration)
        save_quantized(path, quantized, seed=3)
        loaded, about = load_quantized(path)
        assert loaded.scheme == scheme and about["seed"] == 3
        assert np.array_equal(predict(loaded, features), predict(quantized, features))
    save_model(path, model)
    with pytest.raises(KwsError, match="no quantised TinyConv"):
        load_quantized(path)
    quantized.scheme = replace(scheme, weights=None)  # what the file then says does not fit its tensors
    save_quantized(path, post_train(model, Scheme(4, 8), calibration))
    content = path.read_bytes()
    path.write_bytes(content.replace(b'\\"weights\\": 4', b'\\"weights\\": 1'))
    with pytest.raises(KwsError, match="is damaged: bits is 1"):
        load_quantized(path)


def test_the_grid_names_each_run_once():
    names = [str(scheme) for scheme in (*after_training(), *in_training())]
    assert len(set(names)) == len(names)
    assert {(s.weights, s.activations) for s in in_training() if s.method == "lsq"} >= {
        *((w, 8) for w in WIDTHS),
        *((w, w) for w in WIDTHS),
        (2, 4),
        (None, None),
    }


def test_a_grid_is_kept_and_grows(tiny, tmp_path, monkeypatch):
    path, recipe = tmp_path / "quantization.json", replace(BETTER, epochs=1)
    after, during = [Scheme(4, 8), Scheme(2, None)], [Scheme(None, None, "lsq"), Scheme(2, 2, "lsq")]
    common = dict(tuning=SHORT, recipe=recipe, folder=tmp_path, n_processes=0, progress=False)
    first = compare_quantization(tiny, path, range(2), after, during, **common)
    assert json.loads(path.read_text()) == first and not list(tmp_path.rglob("clips-*"))
    kinds = {(r["method"], r["weights"], r["activations"]) for r in first["rows"]}
    assert kinds == {
        ("float", None, None),
        ("mse", 4, 8),
        ("mse", 2, None),
        ("float tuned", None, None),
        ("lsq", 2, 2),
    }
    for row in (*first["rows"], *first["integers"]):
        assert row["correct"] == unpack_hits(row).sum() and row["n"] == 12
    assert [(r["name"], r["seed"]) for r in first["integers"]] == [
        (name, seed) for name in ("mse int W4 A8", "lsq int W2 A2") for seed in (0, 1)
    ]
    assert all(r["same"] <= 12 for r in first["integers"]) and not first["library"]

    def trained(*args, **kwargs):
        raise AssertionError("it is done already")

    monkeypatch.setattr("kws_nb.studies.quantization.fine_tune", trained)
    assert compare_quantization(tiny, path, range(2), after, during, **common) == first
    more = compare_quantization(tiny, path, range(2), [*after, Scheme(3, 3)], during, **common)
    assert [r for r in more["rows"] if r["name"] != "mse int W3 A3"] == first["rows"]
    assert len(more["rows"]) == len(first["rows"]) + 2


def test_an_interrupted_grid_goes_on(tiny, tmp_path, monkeypatch):
    path, trained = tmp_path / "quantization.json", []
    common = dict(tuning=SHORT, recipe=replace(BETTER, epochs=1), folder=tmp_path, n_processes=0, progress=False)
    schemes = [Scheme(4, 4, "lsq"), Scheme(2, 2, "lsq")]

    def interrupted_at(n):
        def train_on(model, scheme, *args, **kwargs):
            if len(trained) == n:
                raise KeyboardInterrupt
            trained.append(scheme)
            return fine_tune(model, scheme, *args, **kwargs)

        return train_on

    monkeypatch.setattr("kws_nb.studies.quantization.fine_tune", interrupted_at(1))
    with pytest.raises(KeyboardInterrupt):
        compare_quantization(tiny, path, [0], [], schemes, **common)
    assert not path.exists() and trained == schemes[:1]
    monkeypatch.setattr("kws_nb.studies.quantization.fine_tune", interrupted_at(5))
    result = compare_quantization(tiny, path, [0], [], schemes, **common)
    assert trained == schemes and len(result["rows"]) == 3 and len(result["integers"]) == 2


def test_a_checkpoint_is_quantised_with_all_its_files(model, tiny, tmp_path):
    checkpoint = tmp_path / "float.safetensors"
    save_model(checkpoint, model)
    for scheme in (Scheme(2, 8, "lsq"), Scheme(4, 4, "mse")):
        folder, before, after = quantize_checkpoint(
            checkpoint, scheme, tmp_path / "out", SHORT, data=tiny, progress=False
        )
        metrics = json.loads((folder / "metrics.json").read_text())
        assert {p.name for p in folder.iterdir()} == {"model.safetensors", "model.tflite", "metrics.json"}
        assert metrics["scheme"]["weights"] == scheme.weights and metrics["n"]["testing"] == 12
        assert metrics["integer"]["accuracy"]["value"] == after.accuracy.value
        assert metrics["float"]["accuracy"]["value"] == before.accuracy.value
        quantized, _ = load_quantized(folder / "model.safetensors")
        integer = to_integer(quantized, calibration_clips(tiny))
        assert (folder / "model.tflite").read_bytes() == integer.to_tflite(softmax=True)
        assert ("best_epoch" in metrics) == (scheme.method == "lsq")


def test_a_training_that_was_interrupted_asks_for_resume(model, tiny, tmp_path):
    checkpoint, out = tmp_path / "float.safetensors", tmp_path / "out"
    save_model(checkpoint, model)
    scheme = Scheme(4, 8, "lsq")
    unfinished = out / "unfinished/checkpoint.safetensors"
    fine_tune(model, scheme, tiny, SHORT, unfinished, progress=False)
    with pytest.raises(KwsError, match="Go on with --resume, or remove"):
        quantize_checkpoint(checkpoint, scheme, out, SHORT, data=tiny, progress=False)
    quantize_checkpoint(checkpoint, scheme, out, SHORT, resume=True, data=tiny, progress=False)
    assert not unfinished.parent.exists()
    with pytest.raises(KwsError, match="is a file"):
        quantize_checkpoint(checkpoint, scheme, out / "metrics.json", SHORT, data=tiny, progress=False)
    with pytest.raises(KwsError, match="must have bits"):
        quantize_checkpoint(checkpoint, Scheme(None, 8), out, SHORT, data=tiny, progress=False)


def command(monkeypatch, capsys, *words):
    monkeypatch.setattr("sys.argv", ["kws-nb", *map(str, words)])
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


def test_the_command(model, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("kws_nb.keywords.load_data", lambda words: tiny)
    checkpoint, out = tmp_path / "float.safetensors", tmp_path / "out"
    save_model(checkpoint, model)
    code, shown, said = command(
        monkeypatch, capsys, "quantize", checkpoint, "--weights", 4, "--epochs", 1, "--out", out, "--json"
    )
    assert code == 0, said
    assert json.loads(shown) == json.loads((out / "metrics.json").read_text())
    code, shown, said = command(monkeypatch, capsys, "quantize", checkpoint, "--method", "mse", "--out", out)
    assert code == 0 and shown.count("(n = 12)") == 2 and "kws-nb classify --board" in shown, said
    for words, says in (
        (("--weights", 1), "bits is 1; expected 2 to 8"),
        (("--activations", 16), "bits is 16; expected 2 to 8"),
        (("--method", "best"), "method is 'best'; expected one of minmax"),
        (("--epochs", 0), "epochs is 0"),
    ):
        code, shown, said = command(monkeypatch, capsys, "quantize", checkpoint, "--out", out, *words)
        assert code == 1 and not shown and said.startswith("Error: ") and says in said, said
    code, shown, said = command(monkeypatch, capsys, "quantize", tmp_path / "none.safetensors", "--out", out)
    assert code == 1 and "no such file" in said

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("kws_nb.keywords.quantize_checkpoint", interrupted)
    code, shown, said = command(monkeypatch, capsys, "quantize", checkpoint, "--weights", 2, "--out", out)
    assert code == 130 and f"kws-nb quantize {checkpoint} --weights 2" in said and f"--out {out} --resume" in said
