"Sparse kernels: found from the zeros, the interpreter's bytes in every form, fewer cycles the more zeros there are."

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from low_bit_models import Chain, inputs_of

from kws_nb.bench import SPARSE_GOALS, bench_sparse
from kws_nb.codegen import core_sources
from kws_nb.convert import run_tflite
from kws_nb.graph import read_tflite
from kws_nb.integer import round_tinyconv
from kws_nb.kernels import CONNECTED_FORMS, fast_layers, inference_cycles, kernel_names, weight_bytes
from kws_nb.layers import core_layers, run_layers
from kws_nb.packing import (
    kept_units,
    pack_bitmap,
    pack_blocks_4x1,
    pack_blocks_4x4,
    pack_csr,
    pack_kept_filter,
    pack_pairs_filter,
    pack_two_of_four,
)
from kws_nb.sparse import (
    SPARSE_FORMS,
    break_even,
    connected_model,
    kept_weights,
    sparse_tinyconv,
    stored_counts,
    time_host,
)
from kws_nb.verify import RawBoard

TOOLCHAINS = ["clang", pytest.param("gcc", marks=pytest.mark.needs("arm-none-eabi-gcc"))]
FORMS = [form for form in CONNECTED_FORMS if form != "dense"]


def chosen(content, **forms):
    return fast_layers(core_layers(read_tflite(content)), **forms)


def kernels(content, **forms):
    return [kernel for _, kernel in kernel_names(chosen(content, **forms))]


def board(content, toolchain="clang", **forms):
    return RawBoard(content, toolchain, extra=core_sources(content, live=False, **forms))


def equal(content, x, toolchain="clang", **forms):
    "The board's bytes are the interpreter's."
    expected = run_tflite(content, x, "tflite-micro").reshape(len(x), -1)
    fast = board(content, toolchain, **forms)
    np.testing.assert_array_equal([fast.run(one) for one in x], expected)
    return fast


# --- TinyConv --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(reference):
    return round_tinyconv(reference)


def pruned(network, units, read):
    "units: bool [8, 20], kept half rows; read: bool [8, 25], rows of outputs that are read."
    conv, linear = network.conv.copy(), network.linear.reshape(-1, 25, 20, 8).copy()
    for c, unit in zip(*np.nonzero(~units)):
        conv[c, unit // 2, unit % 2 :: 2] = 0
    linear *= read.T[None, :, None, :]
    return replace(network, conv=conv, linear=linear.reshape(len(linear), -1)).to_tflite(softmax=True)


def _pattern(name, rng):
    units, read = np.ones((8, 20), bool), np.ones((8, 25), bool)
    if name == "random":
        return rng.random((8, 20)) < 0.6, rng.random((8, 25)) < 0.5
    if name == "dense":
        pass
    elif name == "empty filters":
        units[[0, 3, 7]] = False
    elif name == "edges of the kernel":
        units[:, :6], units[:, 14:] = False, False
        units[1, 6:14], units[1, :3], units[2, 17:] = False, True, True
    elif name == "only above or below the image":
        units[:] = False
        units[:4, :5], units[4:, 16:] = True, True
    elif name == "one row":
        read[:] = False
        read[5, 24] = True
    elif name == "first and last rows":
        read[:, 1:24] = False
    elif name == "no row":
        read[:] = False
    elif name == "nothing":
        units[:] = False
    return units, read


PATTERNS = (
    "random",
    "dense",
    "empty filters",
    "edges of the kernel",
    "only above or below the image",
    "one row",
    "first and last rows",
    "no row",
    "nothing",
)


@pytest.fixture(scope="module")
def codes(rng):
    x = rng.integers(-128, 128, (8, 49, 40)).astype(np.int8)
    x[0], x[1] = -128, 127
    return x


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize(
    "name, convolution",
    [(name, "half_rows") for name in PATTERNS]
    + [(name, "output_rows") for name in ("random", "dense", "empty filters", "no row")],
)
def test_pruned_tinyconv_equals_the_interpreter(name, convolution, network, codes, rng):
    content = pruned(network, *_pattern(name, rng))
    assert "conv2d_pairs_sparse" in kernels(content, convolution=convolution)[0]
    machine = equal(content, codes, convolution=convolution)
    rows = rng.integers(-128, 128, (49 + 2 * 9, 40)).astype(np.int8)  # and a window that moves
    windows = np.stack([rows[2 * i : 2 * i + 49] for i in range(10)])
    heard = [machine.run(x, 2 if i else 0) for i, x in enumerate(windows)]
    np.testing.assert_array_equal(heard, run_tflite(content, windows, "tflite-micro"))


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
@pytest.mark.parametrize("convolution", ["half_rows", "output_rows"])
def test_windows_that_move_anyhow(convolution, toolchain, network, rng):
    content = pruned(network, *_pattern("random", rng))
    machine, row = board(content, toolchain, convolution=convolution), 0
    rows = rng.integers(-128, 128, (600, 40)).astype(np.int8)
    machine.run(rows[:49])
    for moved in (2, 2, 10, 1, 2, 40, 38, 2, 4, 100, 6, 0, 2, 2):
        row += moved
        window = rows[row : row + 49]
        np.testing.assert_array_equal(machine.run(window, moved), run_tflite(content, window[None], "tflite-micro")[0])


def test_plain_c_takes_the_zeros_as_they_are(network, codes, rng):
    content = pruned(network, *_pattern("random", rng))
    plain = RawBoard(content, defines=("KWS_PLAIN_C",))
    np.testing.assert_array_equal(
        [plain.run(x) for x in codes[:3]], run_tflite(content, codes[:3], "tflite-micro").reshape(3, -1)
    )


def test_the_pattern_is_chosen_by_its_cycles(network, rng):
    dense = np.ones((8, 20), bool), np.ones((8, 25), bool)
    assert kernels(pruned(network, *dense)) == ["conv2d_pairs", "fully_connected_dot4", "softmax"]
    few = dense[0].copy()
    few[0, 0] = False  # one half row less: leaving it out costs more than multiplying by it
    assert kernels(pruned(network, few, dense[1]))[0] == "conv2d_pairs"
    units, read = _pattern("random", rng)
    for pattern, half_rows in (((dense[0], read), False), ((units, read), True), ((units, dense[1]), True)):
        fast = chosen(pruned(network, *pattern))[0].fast
        assert (fast.kernel, fast.fields["filter_words"] == 0) == ("conv2d_pairs_sparse", half_rows)


def test_a_channel_that_is_constant_is_not_computed(network, codes):
    conv, bias = network.conv.copy(), network.conv_bias.copy()
    conv[2], bias[2] = 0, 5000
    bias[5] = -(2**28)  # cut off by the RELU, whatever comes in
    content = replace(network, conv=conv, conv_bias=bias).to_tflite(softmax=True)
    fast = chosen(content)[0].fast
    assert fast.arrays["read_rows"][1][[2, 5]].tolist() == [0, 0]
    equal(content, codes)


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_callers_keep_their_registers(toolchain, network, codes, rng):
    from unicorn import arm_const

    fast = board(pruned(network, *_pattern("random", rng)), toolchain, convolution="half_rows")
    uc = fast.machine.uc
    kept = [getattr(arm_const, f"UC_ARM_REG_S{i}") for i in range(16, 32)]
    for register in kept:
        uc.reg_write(register, register)
    fast.run(codes[2])
    assert [uc.reg_read(register) for register in kept] == kept


def test_fewer_cycles_the_more_zeros():
    "Counted from the layers, and by the emulator: the same within 1 %."
    for change in (dict(half_rows=(20, 17, 13, 9, 5, 1, 0)), dict(output_rows=(200, 190, 150, 104, 60, 20, 1, 0))):
        ((name, values),) = change.items()
        layers = [chosen(sparse_tinyconv(**{name: value})) for value in values]
        cycles, sizes = [inference_cycles(one) for one in layers], [weight_bytes(one) for one in layers]
        assert cycles == sorted(cycles, reverse=True) and sizes == sorted(sizes, reverse=True), (name, cycles, sizes)
        for value, estimate in list(zip(values, cycles))[2:5:2]:
            machine = RawBoard(sparse_tinyconv(**{name: value}))
            machine.run(np.zeros((49, 40), np.int8))
            counted = machine.machine.watched["inference"]["cycles"]
            assert abs(estimate / counted - 1) < 0.01, (name, value, estimate, counted)


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_goals(toolchain):
    result = bench_sparse(toolchain)
    for key, (what, _, goal, anchor) in SPARSE_GOALS.items():
        assert result[key] <= goal * result[anchor], f"{what}: {result[key]:,} of {result[anchor]:,}"
    assert result["streaming_hop_sparse_cycles_estimated"] < 0.75 * result["streaming_hop_cycles_estimated"]


# --- other shapes ----------------------------------------------------------------------------------------------------

CHAINS = {  # layers, kernel of the convolution
    "20 wide": (lambda c: c((23, 40, 1)).convolve(3, (10, 8), (3, 2)), True),
    "12 wide": (lambda c: c((12, 23, 1)).convolve(5, (9, 7), (1, 2)), True),
    "28 wide": (lambda c: c((14, 56, 1)).convolve(2, (10, 8), (2, 2)), True),
    "input from 50": (lambda c: c((12, 40, 1), zero_point=-78).convolve(4, (10, 6), (2, 2)), True),
    "the second layer": (lambda c: c((24, 40, 1)).convolve(1, (3, 3)).convolve(4, (10, 8), (2, 2)), True),
    "33 rows": (lambda c: c((33, 24, 1)).convolve(2, (3, 8), (1, 2)), False),
    "stride 1": (lambda c: c((9, 24, 1)).convolve(4, (5, 8), (1, 1)), False),
    "three channels": (lambda c: c((9, 12, 3)).convolve(4, (3, 3)), False),
}


class SparseChain(Chain):
    "Small weights, with zeros in half rows and in rows of outputs."

    def _layer(self, name, kind, options, weights, shape, zero, channels, axis=0, taps=1):
        import low_bit_models

        rng, before = np.random.default_rng(self.n), low_bit_models.random_codes
        codes = rng.integers(-40, 41, weights)
        if name == "CONV_2D":
            for columns in (slice(0, None, 2), slice(1, None, 2)):
                codes[:, :, columns] *= rng.random(codes.shape[:2])[..., None, None] < 0.5
            self.map = shape
        else:
            codes.reshape(len(codes), *self.map)[...] *= rng.random((self.map[0], 1, self.map[2])) < 0.5
        low_bit_models.random_codes = lambda *_: codes
        try:
            return super()._layer(name, kind, options, weights, shape, zero, channels, axis, taps)
        finally:
            low_bit_models.random_codes = before


@pytest.mark.parametrize("name", CHAINS)
def test_other_shapes(name):
    build, sparse = CHAINS[name]
    content = build(lambda shape, **more: SparseChain(shape, 8, **more)).connect(3).finish()
    *_, convolution, _ = kernels(content)
    assert convolution.startswith("conv2d_pairs_sparse") == sparse
    x = inputs_of(content, 8)
    machine = equal(content, x)
    moves = x.shape[1] > 20
    if moves:
        rows = np.random.default_rng(3).integers(-128, 128, (x.shape[1] + 30, *x.shape[2:])).astype(np.int8)
        for i in range(0, 30, 3):
            window = rows[i : i + x.shape[1]]
            expected = run_tflite(content, window[None], "tflite-micro").reshape(-1)
            np.testing.assert_array_equal(machine.run(window, 3 if i else 0), expected)


# --- fully connected layers ------------------------------------------------------------------------------------------


def random_weights(form, shape, sparsity, seed):
    rng = np.random.default_rng(seed)
    return (rng.integers(-127, 128, shape) * kept_weights(form, shape, sparsity, seed)).astype(np.int8)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(4, 4000), (5, 384), (1, 8), (9, 32)])
@pytest.mark.parametrize("sparsity", [0.5, 0.95])
def test_every_form_equals_the_interpreter(form, shape, sparsity, rng):
    weights = random_weights(form, shape, sparsity, sum(shape))
    weights[-1] = 0  # an output of zeros
    weights[0, : shape[1] // 2] = 0  # and a distance above 255
    content = connected_model(weights)
    x = np.concatenate([np.full((1, shape[1]), -128), rng.integers(-128, 128, (6, shape[1]))]).astype(np.int8)
    layers = chosen(content, connected=form)
    assert layers[0].fast.kernel == f"fully_connected_{form}"
    expected = run_tflite(content, x, "tflite-micro").reshape(len(x), -1)
    np.testing.assert_array_equal(run_layers([layers[0].fast], x), expected)  # in plain C
    if sparsity > 0.5 and shape[1] > 32:
        equal(content, x, connected=form)


@pytest.mark.needs("arm-none-eabi-gcc")
@pytest.mark.parametrize("form", FORMS)
def test_gcc(form, rng):
    content = connected_model(random_weights(form, (6, 640), 0.7, 1))
    equal(content, rng.integers(-128, 128, (4, 640)).astype(np.int8), "gcc", connected=form)


def test_the_form_with_the_fewest_cycles_is_taken():
    def taken(form, sparsity):
        return kernels(connected_model(random_weights(form, (4, 4000), sparsity, 3)))[0]

    assert taken("csr", 0.5) == "fully_connected_dot4"
    assert taken("csr", 0.9) == "fully_connected_csr"
    assert taken("blocks_4x1", 0.7) == "fully_connected_blocks_4x1"
    assert taken("blocks_4x4", 0.3) == "fully_connected_blocks_4x4"
    assert kernels(connected_model(np.zeros((4, 4000), np.int8)))[0] != "fully_connected_dot4"


def test_forms_that_do_not_fit_are_refused():
    three = np.tile(np.array([1, 1, 1, 0], np.int8), (4, 8))
    assert pack_two_of_four(three) is None and kernels(connected_model(three), connected="two_of_four") == [
        "fully_connected"
    ]
    assert pack_blocks_4x1(np.ones((2, 6), np.int8)) is None
    assert pack_blocks_4x4(np.array([[-1, -128, 0, 0]])) is None


weights_strategy = st.tuples(
    st.integers(1, 6), st.integers(1, 90), st.sampled_from([0, 0.5, 0.9, 1]), st.integers(0, 1000)
)


def unpack_groups(words, counts, block):
    "What csr (block of 1 input) and blocks of 4 say: place of a block -> weights, for each output."
    found, at = [], 0
    for count in counts:
        row, place = {}, 0
        for group in words[at : at + count * (1 + block)].reshape(count, 1 + block):
            weights = group[1:].copy().view(np.int8).reshape(4, -1)
            for distance, values in zip(group[:1].copy().view(np.uint8), weights):
                place += int(distance)
                row[place] = row.get(place, 0) + values.astype(int)
        found.append(row)
        at += count * (1 + block)
    assert at == len(words)
    return found


@settings(max_examples=60, deadline=None)
@given(weights_strategy)
def test_packed_weights_can_be_read_again(drawn):
    outputs, fours, sparsity, seed = drawn
    weights = random_weights("csr", (outputs, 4 * fours), sparsity, seed)
    if seed % 2:
        weights[:, : 3 * fours] = 0
    for pack, block in ((pack_csr, 1), (pack_blocks_4x1, 4)):
        again = np.zeros_like(weights)
        for row, found in zip(again.reshape(outputs, -1, block), unpack_groups(*pack(weights), block)):
            for place, values in found.items():
                row[place] = values
        np.testing.assert_array_equal(again, weights)
    words, counts = pack_bitmap(weights)
    at = 0
    for row, count in zip(weights, counts):
        bits = np.unpackbits(words[at : at + count].astype(">u4").view(np.uint8))[: len(row)]
        np.testing.assert_array_equal(bits, row != 0)
        n = np.count_nonzero(row)
        at += count
        np.testing.assert_array_equal(words[at : at + -(-n // 4)].copy().view(np.int8)[:n], row[row != 0])
        at += -(-n // 4)
    assert at == len(words)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_a_filter_keeps_what_is_not_zero(seed, share):
    rng = np.random.default_rng(seed)
    units = rng.random(20) < share
    taps = rng.integers(-60, 61, (10, 8))
    for unit in np.flatnonzero(~units):
        taps[unit // 2, unit % 2 :: 2] = 0
    packed = pack_pairs_filter(taps, 100, 1330589429, -9, -128, -128, 127)
    if packed is None:
        return
    kept, words = kept_units(packed["weights"]), pack_kept_filter(packed)
    assert not (kept & ~units).any()
    mask, n = int(words[0]) & 0xFFFFFF, int(words[0]) >> 24
    assert n == kept.sum() == (len(words) - 5) // 2
    assert [bool(mask >> i & 1) for i in range(20)] == kept.tolist()
    whole = np.zeros((20, 2), np.uint32)
    whole[kept] = words[5:].reshape(-1, 2)
    np.testing.assert_array_equal(whole.reshape(10, 4), np.asarray(packed["weights"]))


# --- the stored counts -----------------------------------------------------------------------------------------------


def test_the_stored_counts_are_todays():
    counts = stored_counts()
    rows = {(row["form"], row["sparsity"]): row for row in counts["forms"]}
    assert {form for form, _ in rows} == set(SPARSE_FORMS) == set(counts["named"])
    for form in FORMS:
        weights = random_weights(form, (4, 4000), 0.75, 0)
        weights[(weights == 0) & kept_weights(form, (4, 4000), 0.75)] = 1
        layers = chosen(connected_model(weights), connected=form)
        assert abs(layers[0].fast.cycles / rows[form, 0.75]["cycles"] - 1) < 0.02, form
        assert weight_bytes(layers) == rows[form, 0.75]["bytes"], form
    for form in SPARSE_FORMS:
        for what in ("instructions", "cycles", "bytes"):
            values = [row[what] for row in counts["forms"] if row["form"] == form]
            assert values == sorted(values, reverse=True), (form, what)


def test_break_even():
    assert break_even([0, 0.5, 1], [3, 2, 1], 2.5) == 0.25
    assert break_even([0, 1], [3, 2], 1) is None
    assert break_even([0.5, 1], [0.5, 0.1], 1) == 0.5


def test_times_on_this_machine():
    rows = time_host({"small": ((4, 400), 1)}, (0.5, 0.99), seconds=0.01)
    assert [row["sparsity"] for row in rows] == [0.5, 0.99]
    assert all(row[kind].median > 0 and len(row[kind].times) >= 5 for row in rows for kind in ("dense", "sparse"))
