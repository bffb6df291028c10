"The quantisation explorer in a real browser, as wide as a laptop and a phone: a control moves, text and figure follow."

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
from kws_nb.widgets.quant_explorer import QuantExplorer

pytestmark = pytest.mark.needs("chromium")
SUMS = f"{FIGURE}.data.map(trace => Array.from(trace.x).reduce((sum, x) => sum + (x || 0), 0))"
CLIPS = "np.random.default_rng(0).normal(10, 5, (60, 49, 40)), np.arange(60) % 4"
SOURCES = (
    "import numpy as np, torch\nfrom kws_nb.models import TinyConv\n"
    "from kws_nb.widgets.quant_explorer import QuantExplorer",
    "torch.manual_seed(0)\n"
    f"features, labels = {CLIPS}\n"
    "explorer = QuantExplorer(TinyConv(), features, labels, data='noise')\nexplorer.controls.bits.value = 5\nexplorer",
)


@pytest.fixture(scope="module")
def twin():
    "The same explorer, here."
    torch.manual_seed(0)
    features, labels = np.random.default_rng(0).normal(10, 5, (60, 49, 40)), np.arange(60) % 4
    explorer = QuantExplorer(TinyConv(), features, labels, data="noise")
    explorer.controls.bits.value = 5  # before it is shown
    return explorer


@pytest.fixture(scope="module")
def page(lab):
    with explorer_page(lab, "quant_explorer.ipynb", SOURCES) as page:
        yield page


def shows(page, twin):
    "Texts and numbers in the page are those of the explorer here; nothing that a page says was an error."
    layout = twin.view.figure["layout"]
    titles = f"[...{FIGURE}.querySelectorAll('.annotation-text')].map(title => title.textContent)"
    page.wait_for_function(
        f"texts => texts.every(text => {titles}.includes(text))",
        arg=[note["text"] for note in layout["annotations"]],
        timeout=60_000,
    )
    waits_for_texts(page, twin)
    drawn = page.evaluate(f"{FIGURE}.data.map(trace => trace.x.length)")
    grids = [2**twin.controls.bits.value * 3] * len(twin.shown.grid)
    assert [n for trace, n in enumerate(drawn) if trace % 2 and trace < 2 * len(grids)] == grids
    assert page.evaluate(f"{FIGURE}._fullLayout.yaxis.ticktext") == layout["yaxis"]["ticktext"]
    assert page.errors == []


def test_slider_changes_text_and_figure(page, twin):
    "What was set before it was shown; two bits fewer by keyboard; and back, where all is as it was."
    shows(page, twin)
    before, picture = page.evaluate(SUMS), page.locator(".js-plotly-plot").screenshot()
    slide(page, "ArrowLeft", 2)
    twin.controls.bits.value = 3
    shows(page, twin)
    assert page.evaluate(SUMS) != before and page.locator(".js-plotly-plot").screenshot() != picture
    slide(page, "ArrowRight", 2)
    twin.controls.bits.value = 5
    shows(page, twin)
    assert page.evaluate(SUMS)[:-2] == before[:-2], "all but the accuracy over bits, which has one more"


@pytest.mark.parametrize(
    ("name", "control", "value"),
    [
        ("per tensor", "per_channel", False),
        ("asymmetric", "symmetric", False),
        ("MSE", "method", "mse"),
        ("conv", "layer", "conv"),
    ],
)
def test_buttons_change_text_and_figure(page, twin, name, control, value):
    button(page, name).click()
    getattr(twin.controls, control).value = value
    shows(page, twin)


def test_all_can_be_reached_and_moved_by_keyboard(page, twin):
    "Tab goes from the slider to each button in turn, Space presses it; arrow keys are JupyterLab's, from cell to cell."
    slide(page, "Home")
    twin.controls.bits.value = 2
    shows(page, twin)
    order = tabs(page, "percentile", "linear")
    pairs = ["symmetric", "asymmetric", "per channel", "per tensor", "min-max", "percentile", "MSE", "conv", "linear"]
    assert order == pairs
    twin.controls.method.value = "percentile"
    shows(page, twin)
    assert page.evaluate("document.activeElement.textContent.trim()") == "linear", "what is drawn anew leaves the focus"


def test_fits_a_laptop(page):
    "At 1280 × 800 with the cell's input scrolled off, all controls, texts and panels are in view, side by side."
    assert_fits_a_laptop(page)


def test_on_a_phone_the_figure_is_below_the_controls(page, twin):
    "At 390 pixels nothing is cut off, no title runs out of the figure, and the slider still moves all."
    assert_fits_a_phone(page)
    slide(page, "ArrowRight")
    twin.controls.bits.value = 3
    shows(page, twin)
    page.set_viewport_size({"width": 1280, "height": 800})


def test_wrong_arguments_are_explained_in_the_cell(lab, page):
    "NaN among the weights, and labels that do not match: the cell's error is the sentence."
    bad = "network = TinyConv()\nnetwork.conv.weight.data[0] = torch.nan\nQuantExplorer(network)"
    for source, says in (
        (bad, "conv.weight holds NaN or infinity"),
        ("QuantExplorer(TinyConv(), features, labels[:5])", "60 clips need 60 labels, got shape (5,)"),
    ):
        assert_explained(lab, page, says, SOURCES[0], f"features, labels = {CLIPS}", source)
