"The pruning explorer in a real browser, as wide as a laptop and a phone: a control moves, text and figure follow."

import json

import numpy as np
import pytest
import torch
from jupyterlab import cells_of, chromium, run_notebook, write_notebook
from kws_nb.models import TinyConv
from kws_nb.train import predict
from kws_nb.widgets.pruning_explorer import PruningExplorer

pytestmark = pytest.mark.needs("chromium")
FIGURE = "document.querySelector('.js-plotly-plot')"
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
    url, folder = lab
    (folder / "grid.json").write_text(grid)
    write_notebook(folder / "pruning_explorer.ipynb", *SOURCES)
    with chromium(viewport={"width": 1280, "height": 800}) as page:
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        run_notebook(page, url, "pruning_explorer.ipynb")
        page.wait_for_function(f"{FIGURE}?.data?.length", timeout=240_000)
        page.wait_for_timeout(2000)  # the notebook scrolls to its end
        yield page


def button(page, name):
    return page.locator(".kws-explorer-controls").get_by_role("button", name=name, exact=True)


def slide(page, key, times=1):
    page.locator(".kws-explorer-controls .noUi-handle").focus()
    for _ in range(times):
        page.keyboard.press(key)


def table(twin):
    "Its numbers."
    return [part.split("<")[0] for part in twin.message.value.split('padding-left:8px">')[1:]]


def shows(page, twin):
    "Texts, numbers and the figure in the page are those of the explorer here; nothing that a page says was an error."
    said = "document.querySelector('.kws-explorer').innerHTML.includes"
    look = twin.message.value.split(">Look at</b>")[1].split("<br>")[0]
    for text in (str(twin.accuracy), look):
        page.wait_for_function(f"text => {said}(text)", arg=text, timeout=60_000)
    cells = "[...document.querySelectorAll('.kws-explorer-message td')].map(cell => cell.textContent)"
    page.wait_for_function(f"cells => cells.every(cell => {cells}.includes(cell))", arg=table(twin), timeout=60_000)
    kept = twin.shown.conv_kept, twin.shown.linear_kept
    gone = [int((~each).sum()) for each in kept]
    page.wait_for_function(f"gone => {GONE}.join() == gone.join()", arg=gone, timeout=60_000)
    point = twin.view.figure["data"][-1]
    shown = page.evaluate(f"{FIGURE}.data.at(-1)")
    assert (shown["x"], shown["y"]) == (point["x"], point["y"])
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
    order = []
    for _ in range(30):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.closest('.kws-explorer-controls button')?.textContent.trim()")
        order += [name] if name else []
        if name == "l2":
            page.keyboard.press("Space")
        if name == "over ms":
            break
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
    for box in page.locator(".js-plotly-plot .annotation-text, .js-plotly-plot .xtick text").all():
        text = box.bounding_box()
        assert text["x"] >= plot["x"] - 1 and text["x"] + text["width"] <= plot["x"] + plot["width"] + 1, (
            box.text_content()
        )
    slide(page, "ArrowLeft")
    twin.controls.share.value = 0.95
    shows(page, twin)
    page.set_viewport_size({"width": 1280, "height": 800})


def test_wrong_arguments_are_explained_in_the_cell(lab, page):
    "A network without the layers, and a grid that is no grid: the cell's error is the sentence."
    url, folder = lab
    (folder / "broken.json").write_text('{"rows": [')
    for source, says in (
        ("PruningExplorer(torch.nn.Linear(3, 4))", "Linear has not TinyConv's layers"),
        ("PruningExplorer(TinyConv(), grid='broken.json')", "broken.json is damaged"),
    ):
        write_notebook(folder / "wrong.ipynb", SOURCES[0], source)
        other = page.context.new_page()
        run_notebook(other, url, "wrong.ipynb")
        other.get_by_text(says).first.wait_for(timeout=240_000)
        (error,) = cells_of(other)[1][1]
        assert error["ename"] == "KwsError" and says in error["evalue"]
        other.close()
