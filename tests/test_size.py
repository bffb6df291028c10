"Sizes: the known cases, sums to the byte, foreign models, and what is refused."

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import root
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import NAMES, keras_model, small_model, to_int8

from kws_nb.board import build_firmware
from kws_nb.core import KwsError
from kws_nb.graph import file_parts, read_tflite
from kws_nb.memory import arena, measure_size, plan_memory, size_lines, tflite_liveness, tflm_arena, torch_liveness
from kws_nb.models import TinyConv
from kws_nb.size import (
    BOARDS,
    Operations,
    by_component,
    count_operations,
    count_tflite,
    fits,
    forward_memory,
    image_parts,
    image_size,
    torch_flops,
)
from kws_nb.widgets.size_explorer import SizeExplorer, estimate_size, is_fast


def test_the_courses_known_cases():
    from torch import nn

    assert forward_memory(nn.Linear(3, 5), (3,), batch=2) == 64
    assert count_operations(nn.Linear(2, 3), (2,), batch=10).flops == 150
    assert count_operations(nn.Conv2d(2, 5, 3, padding=1, bias=False), (2, 4, 4), batch=10).flops == 28_800
    assert count_operations(nn.Conv2d(2, 5, 3, padding=1), (2, 4, 4), batch=10).flops == 29_600
    assert forward_memory(TinyConv()) == 7_856


@pytest.mark.parametrize("channels", [1, 3, 8, 16])
def test_tinyconv_is_counted_alike_by_formula_hooks_and_pytorch(channels):
    model = TinyConv(channels).train()
    counted = count_operations(model)
    assert counted == Operations(2081 * channels + 4, 42_000 * channels, 84_500 * channels + 4)
    assert torch_flops(model) == 2 * counted.macs and model.training
    assert sum(row.parameters for row in counted.layers) == counted.parameters
    assert torch_liveness(model).peak == 4 * (1960 + 500 * channels)


def test_the_deployed_file_agrees_with_the_network(reference):
    assert count_tflite(reference) == count_operations(TinyConv())
    assert tflite_liveness(reference).peak == torch_liveness(TinyConv(), bytes_per_value=1).peak == 5_960
    assert sum(file_parts(reference).values()) == reference.stat().st_size
    assert file_parts(reference)["weights and biases"] == 16_640 + 4 * 12 == measure_size(TinyConv()).flash


def test_layers_of_all_kinds_agree_with_pytorchs_counter():
    "Groups, strides, one and two dimensions, transposed: MACs are half of what torch.utils.flop_counter counts."
    from torch import nn

    for layer, shape in (
        (nn.Conv1d(8, 12, 5, stride=2, groups=4), (8, 31)),
        (nn.Conv2d(6, 6, 3, padding=1, groups=6), (6, 9, 7)),
        (nn.Conv2d(3, 4, (2, 5), dilation=2), (3, 12, 14)),
        (nn.ConvTranspose1d(8, 6, 4, stride=2, groups=2), (8, 9)),
        (nn.ConvTranspose2d(4, 5, 3, stride=2), (4, 6, 5)),
        (nn.Linear(7, 3), (4, 7)),
    ):
        assert 2 * count_operations(layer, shape, batch=3).macs == torch_flops(layer, shape, batch=3), layer


def test_normalisations_recurrent_layers_and_shared_weights():
    from torch import nn

    assert count_operations(nn.BatchNorm2d(3), (3, 4, 5)) == Operations(6, 0, 120)
    assert count_operations(nn.LayerNorm(8), (5, 8)) == Operations(16, 0, 80)
    gru, lstm = nn.GRU(5, 4, 2, bidirectional=True, batch_first=True), nn.LSTM(5, 4, batch_first=True)
    assert count_operations(gru, (7, 5)).macs == 7 * 2 * 3 * 4 * (5 + 4 + 8 + 4)
    counted = count_operations(lstm, (7, 5), batch=2)
    assert (counted.macs, counted.flops) == (14 * 4 * 4 * 9, 2 * 14 * 4 * 4 * 9 + 14 * 2 * 16)
    one = nn.Linear(4, 4)
    assert count_operations(nn.Sequential(one, nn.ReLU(), one), (4,)) == Operations(20, 32, 72)


def test_what_cannot_be_counted_is_named():
    import torch
    from torch import nn
    from torch.nn import functional

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2)

        def forward(self, x):
            return self.attention(x, x, x)[0]

    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, 3)

        def forward(self, x):
            return functional.linear(x, self.linear.weight)

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x * self.weight

    for model, shape, says in (
        (Attention(), (4, 8), "MultiheadAttention.*not known"),
        (Hidden(), (5,), "30 FLOPs outside its layers"),
        (nn.Sequential(Own()), (3,), r"Own \(0\)"),
        (nn.PReLU(), (3,), "the model itself"),
        (nn.Linear(4, 2), (3,), "does not take an input"),
    ):
        with pytest.raises(KwsError, match=says):
            count_operations(model, shape)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", NAMES)
def test_foreign_models(name):
    "Keras networks that nothing here was written for: operations and parameters are those of the kernels' loops."
    content = small_model(name)
    graph, counted = read_tflite(content), count_tflite(content)
    assert counted.uncounted == () and sum(file_parts(content).values()) == len(content)
    constants = {id(t): t.size for op in graph.operators for t in op.inputs if t is not None and t.is_parameter}
    assert counted.parameters == sum(constants.values()) > 0
    expected = 0
    for op in graph.operators:
        if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            positions = np.prod(op.outputs[0].shape[:-1])
            expected += positions * op.inputs[1].size
    assert counted.macs == expected
    alive = tflite_liveness(content)
    assert alive.peak <= arena(alive)[1] and alive.peak >= max(
        op.inputs[0].bytes + op.outputs[0].bytes
        for op in graph.operators
        if op.name not in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
    )


@pytest.mark.tensorflow
def test_a_foreign_network_is_the_same_in_pytorch_and_tflite():
    "A residual net in both: products, parameters and peak agree."
    import tensorflow as tf
    import torch
    from torch import nn

    layers = tf.keras.layers
    x = tf.keras.Input((12, 10, 4), batch_size=1)
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    z = layers.DepthwiseConv2D(3, padding="same", activation="relu")(y)
    network = tf.keras.Model(x, layers.Dense(5)(layers.GlobalAveragePooling2D()(layers.Add()([y, z]))))
    for weights in network.weights[1::2]:  # a bias of zeros would not be stored
        weights.assign(np.linspace(0.1, 1, weights.shape[0]))
    content = to_int8(network, np.random.default_rng(0).normal(0, 1, (4, 12, 10, 4)).astype(np.float32))

    class Net(nn.Module):
        shape = (4, 12, 10)

        def __init__(self):
            super().__init__()
            self.first, self.second, self.linear = (
                nn.Conv2d(4, 8, 3, padding=1),
                nn.Conv2d(8, 8, 3, padding=1, groups=8),
                nn.Linear(8, 5),
            )

        def forward(self, x):
            y = torch.relu(self.first(x))
            return self.linear((y + torch.relu(self.second(y))).mean((2, 3)))

    counted, ours = count_tflite(content), count_operations(Net())
    assert {"ADD", "MEAN"} <= {row.kind for row in counted.layers}
    assert (counted.parameters, counted.macs) == (ours.parameters, ours.macs)
    assert tflite_liveness(content).peak == torch_liveness(Net(), bytes_per_value=1).peak == 3 * 12 * 10 * 8


@pytest.fixture(scope="module")
def unusual():
    "A float convolution and an operator that neither our lists nor TensorFlow Lite Micro know."
    import tensorflow as tf

    x = tf.keras.Input((8, 8, 1), batch_size=1)
    y = tf.keras.layers.Conv2D(2, 3)(x)
    z = tf.keras.layers.Lambda(lambda y: tf.math.atan2(y, y))(y)
    return tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(x, z)).convert()


@pytest.mark.tensorflow
def test_unknown_operators_are_named_and_float_models_read(unusual):
    counted, alive = count_tflite(unusual), tflite_liveness(unusual)
    assert counted.uncounted == ("ATAN2",) and counted.macs == 36 * 2 * 9
    assert next(row for row in counted.layers if row.kind == "ATAN2").macs is None
    assert {t.dtype for op in read_tflite(unusual).operators for t in op.outputs} == {"float32"}
    assert alive.live == [4 * (64 + 72), 4 * 144]
    with pytest.raises(KwsError, match="TensorFlow Lite Micro does not run the model"):
        tflm_arena(unusual)


@pytest.mark.tensorflow
def test_an_open_size_is_said():
    "A file whose input has any number of frames was counted for one of them without a word."
    import tensorflow as tf

    def lines(frames):
        x = tf.keras.Input((frames, 40), batch_size=1)
        model = tf.keras.Model(x, tf.keras.layers.Conv1D(4, 1)(x))
        size = measure_size(tf.lite.TFLiteConverter.from_keras_model(model).convert())
        return "\n".join(size_lines(size, fits(size.flash, size.ram, "nano33ble")))

    says = "leaves the size of its input open; all of this is for [1, 1, 40]"
    assert says in lines(None) and "open" not in lines(49)


def test_a_cut_or_garbled_model_is_refused_in_time(reference, rng):
    "Every cut is refused; with single bytes garbled it is refused or read, but never crashes or hangs."
    content = reference.read_bytes()
    for n in [*range(0, 4096, 64), *range(4096, len(content), 977), len(content) - 1]:
        with pytest.raises(KwsError):
            measure_size(content[:n])
            pytest.fail(f"a model cut after {n} bytes was taken for whole")
    for _ in range(300):
        garbled = bytearray(content)
        for at in rng.integers(0, len(content), 3):
            garbled[at] = rng.integers(0, 256)
        try:
            measure_size(bytes(garbled))
        except KwsError as error:
            assert "damaged" in str(error) or "supported" in str(error) or "TFL3" in str(error), error


buffers = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 8), st.integers(0, 3)), max_size=12).map(
    lambda rows: [(n, first, first + length) for n, first, length in rows]
)


@settings(max_examples=300, deadline=None)
@given(buffers)
def test_memory_plan_never_overlaps(rows):
    places, total = plan_memory(rows)
    alive = [sum(n for n, first, last in rows if first <= step <= last) for step in range(12)]
    assert total >= max(alive)
    for i, (size, first, last) in enumerate(rows):
        assert places[i] % 4 == 0 and places[i] + size <= total
        for j in range(i):
            other, start, end = rows[j]
            assert last < start or end < first or places[i] + size <= places[j] or places[j] + other <= places[i]


@settings(deadline=None)
@given(st.lists(st.integers(1, 100), min_size=2, max_size=10))
def test_memory_plan_reaches_the_peak_where_sizes_fall(sizes):
    "In a chain whose maps only get smaller the plan takes the peak and no more."
    sizes = sorted((4 * n for n in sizes), reverse=True)
    chain = [(n, i, i + 1) for i, n in enumerate(sizes)]
    assert plan_memory(chain)[1] == sizes[0] + sizes[1]


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["DS-CNN", "depthwise", "mean", "pad", "fully connected"])
def test_tensorflow_lite_micro_needs_what_the_plan_says(name):
    "Its head is our plan for tensors that are never shared, within alignment and scratch; its parts are the tail's."
    content = small_model(name)
    micro, plan = tflm_arena(content), arena(tflite_liveness(content, share_views=False))[1]
    assert micro.total == micro.head + micro.tail and sum(micro.parts.values()) <= micro.tail
    assert plan <= micro.head <= 1.25 * plan + 2048, (plan, micro)


def test_tensorflow_lite_micros_arena_for_tinyconv(reference):
    assert tflm_arena(reference).head == arena(tflite_liveness(reference, share_views=False))[1] == 8_000


@pytest.mark.parametrize("toolchain", ["clang", pytest.param("gcc", marks=pytest.mark.needs("arm-none-eabi-gcc"))])
def test_every_byte_of_an_image_has_a_place(toolchain):
    image = build_firmware(toolchain=toolchain)
    parts, size = image_parts(image), image_size(image)
    assert sum(by_component(parts).values()) == size.flash and sum(by_component(parts, "RAM").values()) == size.ram
    assert "other" not in by_component(parts), [p for p in parts if p.component == "other"]
    assert by_component(parts)["network: model"] == 17_648 and by_component(parts)["padding"] < 100
    ends = 0
    for part in sorted((p for p in parts if p.memory == "flash"), key=lambda p: p.address):
        assert part.address == ends and part.bytes > 0, part
        ends += part.bytes
    from elftools.elf.elffile import ELFFile

    with image.open("rb") as file:
        loaded = sum(s["p_filesz"] for s in ELFFile(file).iter_segments() if s["p_type"] == "PT_LOAD")
    assert loaded == size.flash


def test_an_image_with_initial_values_and_without_a_front_end(reference):
    "The verifying image has other sources; what no source defines would be called other."
    image = build_firmware(reference, board="verify", live=False)
    components = by_component(image_parts(image))
    assert (
        sum(components.values()) == image_size(image).flash
        and "front end: code" not in components
        and "other" not in components
    )


def test_no_image():
    for path, says in ((root / "README.md", "no firmware image"), (root / "nowhere.elf", "no such file")):
        with pytest.raises(KwsError, match=says):
            image_parts(path)


def test_fit_says_what_is_too_big_and_by_how_much():
    board = BOARDS["nano33ble"]
    assert fits(board.flash, board.ram, "nano33ble")
    too_big = fits(board.flash + 5, board.ram + 7, board)
    assert not too_big and too_big.problems == ("flash is too small by 5 bytes", "RAM is too small by 7 bytes")
    assert all(b.source and b.flash > b.ram > 0 for b in BOARDS.values())


def run_size(*arguments):
    code = "import sys; from kws_nb.cli import main; sys.argv = ['kws-nb', 'size', *sys.argv[1:]]; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=root)


@pytest.mark.slow
def test_command_line(tmp_path, reference):
    for model in ("tinyconv", reference, root / "data/models/tinyconv.safetensors"):
        done = run_size(model)
        assert (
            done.returncode == 0
            and "16,652 parameters, 336,000 MACs, 676,004 FLOPs" in done.stdout
            and "fits" in done.stdout
        ), done.stderr
    row = json.loads(run_size(reference, "--json", "--board", "esp32s3").stdout)
    assert (row["flash"], row["ram"], row["operations"]["macs"], row["fit"]["fits"], row["not_counted"]) == (
        reference.stat().st_size,
        5_960,
        336_000,
        True,
        [],
    )
    assert sum(row["flash_parts"].values()) == row["flash"] and max(row["live"]) == row["ram"]
    (tmp_path / "half.tflite").write_bytes(reference.read_bytes()[:9000])
    (tmp_path / "text.tflite").write_text("no model")
    (tmp_path / "text.safetensors").write_text("no model")
    for model, says in (
        ("half.tflite", "damaged"),
        ("text.tflite", "TFL3"),
        ("nowhere.tflite", "no such file"),
        ("text.safetensors", "damaged"),
        ("nothing", "a network of kws_nb.models"),
    ):
        done = run_size(tmp_path / model if "." in model else model)
        assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr, done.stderr
    done = run_size("tinyconv", "--board", "uno")
    assert done.returncode == 1 and "there are nano33ble" in done.stderr


@pytest.mark.slow
def test_command_line_says_what_does_not_fit(tmp_path):
    from kws_nb.train import save_model

    save_model(tmp_path / "large.safetensors", TinyConv(600))
    done = run_size(tmp_path / "large.safetensors")
    assert (
        done.returncode == 1 and "flash is too small by 201,840 bytes. RAM is too small by 39,816 bytes" in done.stdout
    ), done.stdout[-300:]
    assert run_size(tmp_path / "large.safetensors", "--board", "stm32l4r5").returncode == 0


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "channels, kernel, stride",
    [
        (5, (10, 8), (2, 2)),
        (3, (9, 7), (3, 2)),
        (4, (4, 6), (1, 2)),
        (6, (5, 5), (2, 2)),
        (7, (3, 4), (3, 3)),
        (2, (12, 10), (1, 1)),
    ],
)
def test_estimates_are_what_the_board_measures(channels, kernel, stride):
    "Shapes that the model was not fitted to, built and run: size within 128 bytes, time within 5 %."
    import tensorflow as tf

    from kws_nb.protocol_emulated import CLOCK_HZ
    from kws_nb.verify import RawBoard, verification_inputs

    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(0)
    network = keras_model(
        (49, 40, 1),
        [
            layers.Conv2D(channels, kernel, strides=stride, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(4),
            layers.Softmax(),
        ],
    )
    rng = np.random.default_rng(0)
    for weights in network.weights[1::2]:  # a bias of zeros would not be stored
        weights.assign(rng.normal(0, 0.1, weights.shape))
    content = to_int8(network, np.abs(rng.normal(0, 4, (8, 49, 40, 1))).astype(np.float32))
    estimate = estimate_size(channels, kernel, stride)
    counted = count_tflite(content)
    exact = counted.parameters, counted.macs, tflite_liveness(content).peak
    assert (estimate.parameters, estimate.macs, estimate.peak_ram) == exact
    size = image_size(build_firmware(content))
    ram = estimate.ram - (616 if is_fast(kernel, stride) else 488)
    assert abs(estimate.flash - size.flash) <= 128 and abs(ram - size.ram) <= 16, (estimate, size)
    board = RawBoard(content)
    for x in list(verification_inputs(read_tflite(content).inputs[0], 1).values())[-1:]:
        board.run(x)
    cycles = board.machine.watched["inference"]["cycles"]
    assert abs(estimate.ms * CLOCK_HZ / 1000 / cycles - 1) < 0.05, (estimate.ms, 1000 * cycles / CLOCK_HZ)


def test_explorer_at_its_extremes():
    "Every slider at both ends, alone and together, gives an answer; none shows a time for bits without a kernel."
    explorer = SizeExplorer()
    names = list(explorer.controls)
    for name in names:
        control = explorer.controls[name]
        start = control.value
        for value in (
            (control.min, control.max)
            if hasattr(control, "min")
            else [v if not isinstance(v, tuple) else v[1] for v in control.options]
        ):
            control.value = value
            assert "parameters" in explorer.shown.value and "nan" not in explorer.shown.value
        control.value = start
    for name in names[:5]:
        explorer.controls[name].value = explorer.controls[name].min
    explorer.controls["channels"].value = explorer.controls["channels"].max
    assert "flash is too small" in explorer.shown.value
    explorer.controls["bits"].value = 4
    assert "no estimate of the time" in explorer.shown.value
