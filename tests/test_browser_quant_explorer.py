"The quantisation explorer in a real browser, as wide as a laptop and a phone: a control moves, text and figure follow."

import numpy as np
import pytest
import torch
from jupyterlab import cells_of, chromium, run_notebook, write_notebook
from kws_nb.models import TinyConv
from kws_nb.widgets.quant_explorer import QuantExplorer

pytestmark = pytest.mark.needs("chromium")
FIGURE = "document.querySelector('.js-plotly-plot')"
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
    url, folder = lab
    write_notebook(folder / "quant_explorer.ipynb", *SOURCES)
    with chromium(viewport={"width": 1280, "height": 800}) as page:
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        run_notebook(page, url, "quant_explorer.ipynb")
        page.wait_for_function(f"{FIGURE}?.data?.length", timeout=240_000)
        page.wait_for_timeout(2000)  # the notebook scrolls to its end
        yield page


def button(page, name):
    return page.locator(".kws-explorer-controls").get_by_role("button", name=name, exact=True)


def slide(page, key, times=1):
    page.locator(".kws-explorer-controls .noUi-handle").focus()
    for _ in range(times):
        page.keyboard.press(key)


def shows(page, twin):
    "Texts and numbers in the page are those of the explorer here; nothing that a page says was an error."
    layout = twin.view.figure["layout"]
    titles = f"[...{FIGURE}.querySelectorAll('.annotation-text')].map(title => title.textContent)"
    page.wait_for_function(
        f"texts => texts.every(text => {titles}.includes(text))",
        arg=[note["text"] for note in layout["annotations"]],
        timeout=60_000,
    )
    said = "document.querySelector('.kws-explorer').innerHTML.includes"
    for text in (str(twin.accuracy), twin.message.value.split(">Look at</b>")[1].split("<br>")[0]):
        page.wait_for_function(f"text => {said}(text)", arg=text, timeout=60_000)
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
    order = []
    for _ in range(20):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.closest('.kws-explorer-controls button')?.textContent.trim()")
        order += [name] if name else []  # between slider and buttons there is the slider's number
        if name == "percentile":
            page.keyboard.press("Space")
        if name == "linear":
            break
    pairs = ["symmetric", "asymmetric", "per channel", "per tensor", "min-max", "percentile", "MSE", "conv", "linear"]
    assert order == pairs
    twin.controls.method.value = "percentile"
    shows(page, twin)
    assert page.evaluate("document.activeElement.textContent.trim()") == "linear", "what is drawn anew leaves the focus"


def test_fits_a_laptop(page):
    "At 1280 × 800 with the cell's input scrolled off, all controls, texts and panels are in view, side by side."
    page.evaluate("document.querySelector('.kws-explorer').scrollIntoView({block: 'start'})")
    view = page.locator(".jp-WindowedPanel-outer").bounding_box()
    names = ("controls", "figure", "message")
    boxes = {name: page.locator(f".kws-explorer-{name}").bounding_box() for name in names}
    for name, box in boxes.items():
        assert box["y"] >= view["y"] - 1 and box["y"] + box["height"] <= view["y"] + view["height"] + 1, (name, box)
        assert box["x"] + box["width"] <= view["x"] + view["width"], (name, box)
    assert boxes["figure"]["x"] >= boxes["controls"]["x"] + boxes["controls"]["width"]
    assert boxes["message"]["y"] >= boxes["controls"]["y"] + boxes["controls"]["height"]


def test_on_a_phone_the_figure_is_below_the_controls(page, twin):
    "At 390 pixels nothing is cut off, no title runs out of the figure, and the slider still moves all."
    page.set_viewport_size({"width": 390, "height": 844})
    if page.locator(".jp-FileBrowser").is_visible():
        page.keyboard.press("Escape")
        page.keyboard.press("Control+b")
    page.wait_for_function(f"{FIGURE}._fullLayout.width < 380", timeout=60_000)
    page.wait_for_timeout(500)
    names = ("controls", "figure", "message")
    boxes = [page.locator(f".kws-explorer-{name}").bounding_box() for name in names]
    for above, below in zip(boxes, boxes[1:], strict=False):
        assert below["y"] >= above["y"] + above["height"] - 1
    plot = page.locator(".js-plotly-plot").bounding_box()
    assert plot["width"] > 230 and all(box["x"] + box["width"] <= 390 for box in boxes)
    for box in page.locator(".js-plotly-plot .annotation-text").all():
        text = box.bounding_box()
        assert text["x"] >= plot["x"] and text["x"] + text["width"] <= plot["x"] + plot["width"], box.text_content()
    slide(page, "ArrowRight")
    twin.controls.bits.value = 3
    shows(page, twin)
    page.set_viewport_size({"width": 1280, "height": 800})


def test_wrong_arguments_are_explained_in_the_cell(lab, page):
    "NaN among the weights, and labels that do not match: the cell's error is the sentence."
    url, folder = lab
    bad = "network = TinyConv()\nnetwork.conv.weight.data[0] = torch.nan\nQuantExplorer(network)"
    for source, says in (
        (bad, "conv.weight holds NaN or infinity"),
        ("QuantExplorer(TinyConv(), features, labels[:5])", "60 clips need 60 labels, got shape (5,)"),
    ):
        write_notebook(folder / "wrong.ipynb", SOURCES[0], f"features, labels = {CLIPS}", source)
        other = page.context.new_page()
        run_notebook(other, url, "wrong.ipynb")
        other.get_by_text(says).first.wait_for(timeout=240_000)
        (error,) = cells_of(other)[2][1]
        assert error["ename"] == "KwsError" and says in error["evalue"]
        other.close()
