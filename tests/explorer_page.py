"What the browser tests of the explorers share: the page, its controls, and what any explorer has to do."

from contextlib import contextmanager

from jupyterlab import cells_of, chromium, run_notebook, write_notebook

FIGURE = "document.querySelector('.js-plotly-plot')"
PARTS = ("controls", "figure", "message")


@contextmanager
def explorer_page(lab, name, sources):
    "JupyterLab after the notebook has drawn its figure; `errors` collects what the page complains of."
    url, folder = lab
    write_notebook(folder / name, *sources)
    with chromium(viewport={"width": 1280, "height": 800}) as page:
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        run_notebook(page, url, name)
        page.wait_for_function(f"{FIGURE}?.data?.length", timeout=240_000)
        page.wait_for_timeout(2000)  # the notebook scrolls to its end
        yield page


def button(page, name):
    return page.locator(".kws-explorer-controls").get_by_role("button", name=name, exact=True)


def slide(page, key, times=1):
    page.locator(".kws-explorer-controls .noUi-handle").focus()
    for _ in range(times):
        page.keyboard.press(key)


def waits_for_texts(page, twin):
    "The accuracy and the advice of the explorer here."
    said = "document.querySelector('.kws-explorer').innerHTML.includes"
    for text in (str(twin.accuracy), twin.message.value.split(">Look at</b>")[1].split("<br>")[0]):
        page.wait_for_function(f"text => {said}(text)", arg=text, timeout=60_000)


def tabs(page, press, last):
    "Names of the buttons that Tab comes to from the slider on, up to the last; Space presses one of them."
    order = []
    for _ in range(30):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.closest('.kws-explorer-controls button')?.textContent.trim()")
        order += [name] if name else []  # between slider and buttons there is the slider's number
        if name == press:
            page.keyboard.press("Space")
        if name == last:
            break
    return order


def boxes(page):
    return {name: page.locator(f".kws-explorer-{name}").bounding_box() for name in PARTS}


def assert_fits_a_laptop(page):
    page.evaluate("document.querySelector('.kws-explorer').scrollIntoView({block: 'start'})")
    view, places = page.locator(".jp-WindowedPanel-outer").bounding_box(), boxes(page)
    for name, box in places.items():
        assert box["y"] >= view["y"] - 1 and box["y"] + box["height"] <= view["y"] + view["height"] + 1, (name, box)
        assert box["x"] + box["width"] <= view["x"] + view["width"], (name, box)
    assert places["figure"]["x"] >= places["controls"]["x"] + places["controls"]["width"]
    assert places["message"]["y"] >= places["controls"]["y"] + places["controls"]["height"]


def assert_fits_a_phone(page, texts=".annotation-text", slack=0):
    "The page stays that narrow."
    page.set_viewport_size({"width": 390, "height": 844})
    if page.locator(".jp-FileBrowser").is_visible():
        page.keyboard.press("Escape")
        page.keyboard.press("Control+b")
    page.wait_for_function(f"{FIGURE}._fullLayout.width < 380", timeout=60_000)
    page.wait_for_timeout(500)
    places = list(boxes(page).values())
    for above, below in zip(places, places[1:], strict=False):
        assert below["y"] >= above["y"] + above["height"] - 1
    plot = page.locator(".js-plotly-plot").bounding_box()
    assert plot["width"] > 230 and all(box["x"] + box["width"] <= 390 for box in places)
    for element in page.locator(", ".join(f".js-plotly-plot {text}" for text in texts.split(", "))).all():
        text = element.bounding_box()
        inside = text["x"] >= plot["x"] - slack and text["x"] + text["width"] <= plot["x"] + plot["width"] + slack
        assert inside, element.text_content()


def assert_explained(lab, page, says, *sources):
    "The last cell ends with a KwsError that says it."
    url, folder = lab
    write_notebook(folder / "wrong.ipynb", *sources)
    other = page.context.new_page()
    run_notebook(other, url, "wrong.ipynb")
    other.get_by_text(says).first.wait_for(timeout=240_000)
    (error,) = cells_of(other)[len(sources) - 1][1]
    assert error["ename"] == "KwsError" and says in error["evalue"]
    other.close()
