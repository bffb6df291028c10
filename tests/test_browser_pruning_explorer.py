"The pruning explorer in a real browser, as wide as a laptop and a phone: a control moves, text and figure follow."

import json

import numpy as np
import pytest
import torch
from explorer_page import (
    FIGURE,
    assert_explained,
    assert_fits_a_laptop,
    assert_fits_a_phone,
    button,
    explorer_page,
    slide,
    tabs,
    waits_for_texts,
)
from kws_nb.models import TinyConv
from kws_nb.train import predict
from kws_nb.widgets.pruning_explorer import PruningExplorer

pytestmark = pytest.mark.needs("chromium")
GONE = f"[0, 1].map(i => {FIGURE}.data[i].z.reduce((n, row) => n + [...row].filter(code => code == -101).length, 0))"
SOURCES = (
    "import numpy as np, torch\nfrom kws_nb.models import TinyConv\nfrom kws_nb.train import predict\n"
    "from kws_nb.widgets.pruning_explorer import PruningExplorer",
    "torch.manual_seed(0)\nmodel = TinyConv().eval()\n"
    "features = np.random.default_rng(0).normal(0, 9, (60, 49, 40)).astype(np.float32)\n"
    "labels = predict(model, features).argmax(1)\n"
    "explorer = PruningExplorer(model, features, labels, data='noise', grid='grid.json')\n"
    "explorer.controls.share.value = .6\nexplorer",
)


@pytest.fixture(scope="module")
def grid():
    "Made up: three networks that were trained on, at three shares."
    names = "dense, tuned", "weights 0.5 l1, tuned", "weights 0.75 l1, tuned"
    rows = [dict(name=name, correct=95 - i - seed, n=100) for i, name in enumerate(names) for seed in range(3)]
    return json.dumps(dict(data="made up", rows=rows))


@pytest.fixture(scope="module")
def twin(grid, tmp_path_factory):
    "The same explorer, here."
    path = tmp_path_factory.mktemp("grid") / "grid.json"
    path.write_text(grid)
    torch.manual_seed(0)
    model = TinyConv().eval()
    features = np.random.default_rng(0).normal(0, 9, (60, 49, 40)).astype(np.float32)
    explorer = PruningExplorer(model, features, predict(model, features).argmax(1), data="noise", grid=path)
    explorer.controls.share.value = 0.6  # before it is shown
    return explorer


@pytest.fixture(scope="module")
def page(lab, grid):
    (lab[1] / "grid.json").write_text(grid)
    with explorer_page(lab, "pruning_explorer.ipynb", SOURCES) as page:
        yield page


def table(twin):
    "Its numbers."
    return [part.split("<")[0] for part in twin.message.value.split('padding-left:8px">')[1:]]


def shows(page, twin):
    "Texts, numbers and the figure in the page are those of the explorer here; nothing that a page says was an error."
    waits_for_texts(page, twin)
    cells = "[...document.querySelectorAll('.kws-explorer-message td')].map(cell => cell.textContent)"
    page.wait_for_function(f"cells => cells.every(cell => {cells}.includes(cell))", arg=table(twin), timeout=60_000)
    kept = twin.shown.conv_kept, twin.shown.linear_kept
    gone = [int((~each).sum()) for each in kept]
    page.wait_for_function(f"gone => {GONE}.join() == gone.join()", arg=gone, timeout=60_000)
    point = twin.view.figure["data"][-1]
    drawn = f"JSON.stringify([{FIGURE}.data.at(-1).x, {FIGURE}.data.at(-1).y])"
    page.wait_for_function(f"point => {drawn} == JSON.stringify(point)", arg=[point["x"], point["y"]], timeout=60_000)
    assert page.errors == []


def test_slider_changes_text_and_figure(page, twin):
    "What was set before it was shown; two steps more by keyboard; and back, where all is as it was."
    shows(page, twin)
    before, picture = page.evaluate(GONE), page.locator(".js-plotly-plot").screenshot()
    slide(page, "ArrowRight", 2)
    twin.controls.share.value = 0.65
    shows(page, twin)
    assert page.evaluate(GONE) != before and page.locator(".js-plotly-plot").screenshot() != picture
    slide(page, "ArrowLeft", 2)
    twin.controls.share.value = 0.6
    shows(page, twin)
    assert page.evaluate(GONE) == before


@pytest.mark.parametrize(
    ("name", "control", "value"),
    [
        ("and neighbours", "window", 3),
        ("l∞", "norm", "linf"),
        ("linear", "layers", "linear"),
        ("both", "layers", "both"),
        ("over ms", "over", "ms"),
        ("over share", "over", "share"),
        ("rows", "granularity", "rows"),
        ("random", "norm", "random"),
        ("channels", "granularity", "channels"),
        ("l1", "norm", "l1"),
        ("weights", "granularity", "weights"),
        ("trained on", "tuned", True),
        ("as pruned", "tuned", False),
    ],
)
def test_buttons_change_text_and_figure(page, twin, name, control, value):
    button(page, name).click()
    getattr(twin.controls, control).value = value
    shows(page, twin)
    assert page.locator(".kws-explorer-controls .widget-readout").inner_text() == twin.controls.share.label


def test_what_has_no_meaning_cannot_be_pressed(page, twin):
    button(page, "channels").click()
    twin.controls.granularity.value = "channels"
    shows(page, twin)
    for name in ("weight alone", "and neighbours", "both", "conv", "linear"):
        assert button(page, name).is_disabled(), name
    button(page, "weights").click()
    twin.controls.granularity.value = "weights"
    shows(page, twin)
    assert button(page, "and neighbours").is_enabled() and button(page, "conv").is_enabled()


def test_all_can_be_reached_and_moved_by_keyboard(page, twin):
    "Tab goes from the slider to each button in turn, Space presses it; arrow keys are JupyterLab's, from cell to cell."
    slide(page, "Home")
    twin.controls.share.value = 0
    shows(page, twin)
    order = tabs(page, "l2", "over ms")
    ways = ["weights", "blocks", "rows", "channels", "l1", "l2", "l∞", "random", "weight alone", "and neighbours"]
    assert order == [*ways, "both", "conv", "linear", "as pruned", "trained on", "over share", "over ms"]
    twin.controls.norm.value = "l2"
    shows(page, twin)
    assert page.evaluate("document.activeElement.textContent.trim()") == "over ms", "drawing leaves the focus"
    slide(page, "End")
    twin.controls.share.value = 0.975
    shows(page, twin)


def test_fits_a_laptop(page):
    "At 1280 × 800 with the cell's input scrolled off, all controls, texts and panels are in view, side by side."
    assert_fits_a_laptop(page)


def test_on_a_phone_the_figure_is_below_the_controls(page, twin):
    "At 390 pixels nothing is cut off, no title runs out of the figure, and the slider still moves all."
    assert_fits_a_phone(page, ".annotation-text, .xtick text", slack=1)
    slide(page, "ArrowLeft")
    twin.controls.share.value = 0.95
    shows(page, twin)
    page.set_viewport_size({"width": 1280, "height": 800})


def test_wrong_arguments_are_explained_in_the_cell(lab, page):
    "A network without the layers, and a grid that is no grid: the cell's error is the sentence."
    (lab[1] / "broken.json").write_text('{"rows": [')
    for source, says in (
        ("PruningExplorer(torch.nn.Linear(3, 4))", "Linear has not TinyConv's layers"),
        ("PruningExplorer(TinyConv(), grid='broken.json')", "broken.json is damaged"),
    ):
        assert_explained(lab, page, says, SOURCES[0], source)
