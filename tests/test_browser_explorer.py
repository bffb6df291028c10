"The explorer in a real browser: a slider moves, the figure in the page follows."

import pytest
from conftest import root
from jupyterlab import chromium, run_notebook, write_notebook
from kws_nb.audio import read_clip
from kws_nb.widgets.explorer import FeatureSettings, explore, summary

pytestmark = pytest.mark.needs("chromium")
FIGURE = "document.querySelector('.js-plotly-plot')"
SUMS = f"{FIGURE}.data.map(trace => (trace.z ?? [trace.y]).reduce((sum, row) => row.reduce((a, b) => a + b, sum), 0))"


@pytest.fixture(scope="module")
def page(lab):
    url, folder = lab
    moved_before_it_is_shown = """explorer = SpectrogramExplorer()
explorer.clip.value = 'synthetic: yes'
explorer.controls.hop_ms.value = 10
explorer"""
    write_notebook(
        folder / "explorer.ipynb", "from kws_nb.widgets.explorer import SpectrogramExplorer", moved_before_it_is_shown
    )
    with chromium(viewport={"width": 1280, "height": 800}) as page:
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        run_notebook(page, url, "explorer.ipynb")
        page.wait_for_function(f"{FIGURE}?.data?.length == 5", timeout=240_000)
        yield page


def press(page, slider, key, times=1):
    page.locator(f".widget-slider:has(label:text-is('{slider}')) .noUi-handle").first.focus()
    for _ in range(times):
        page.keyboard.press(key)


def shows(page, settings):
    "The message and the numbers in the page are those of these settings."
    explored = explore(read_clip(root / "data/clips/yes.wav"), settings)
    page.get_by_text(summary(explored, settings)).wait_for(timeout=60_000)
    sums = [float(explored[name].sum(dtype=float)) for name in ("waveform", "stft", "mel", "mfcc", "device")]
    page.wait_for_function(
        f"sums => {SUMS}.every((sum, i) => Math.abs(sum - sums[i]) < 1e-2 * Math.abs(sums[i]) + 1)",
        arg=sums,
        timeout=60_000,
    )
    assert page.evaluate(f"{FIGURE}.data[2].z.length") == settings.n_mels


def test_fits_a_laptop(page):
    """At 1280 × 800 with the cell's input at the top, every control, the message and all five panels are in view.

    The fifth panel used to begin below the screen: what the device hears was seen only where the sliders were not.
    """
    page.wait_for_timeout(2000)  # the notebook scrolls to its end
    page.evaluate("document.querySelector('.jp-CodeCell:has(.js-plotly-plot)').scrollIntoView({block: 'start'})")
    view = page.locator(".jp-WindowedPanel-outer").bounding_box()
    whole = page.locator(".widget-hbox:has(.js-plotly-plot)").first
    parts = {
        "the last panel": page.locator(".x5y5 > .nsewdrag"),
        "its time axis": page.get_by_text("time, s", exact=True),
        "the clip": whole.locator("select").first,
        "the last slider": page.locator(".widget-slider:has(label:text-is('top_db, dB'))"),
        "the message": page.get_by_text("frames = 1 +"),
        "the widget": whole,
    }
    boxes = {name: part.bounding_box() for name, part in parts.items()}
    outside = {
        name: box
        for name, box in boxes.items()
        if box["y"] < view["y"] - 1 or box["y"] + box["height"] > view["y"] + view["height"] + 1
    }
    assert not outside, (view, outside)
    assert boxes["the last panel"]["height"] > 70, "40 rows, and they can be told apart"


def test_slider_changes_the_figure(page):
    "Five filters more, by keyboard; the other panels stay. Before: what was set before the widget was shown."
    settings = dict(hop_length=160)
    shows(page, FeatureSettings(**settings))
    before = page.evaluate(SUMS)
    picture = page.locator(".js-plotly-plot").screenshot()
    press(page, "n_mels", "ArrowRight", 5)
    shows(page, FeatureSettings(**settings, n_mels=45))
    after = page.evaluate(SUMS)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, False, True]
    assert page.locator(".js-plotly-plot").screenshot() != picture
    press(page, "n_mels", "ArrowLeft", 5)
    shows(page, FeatureSettings(**settings))


def test_longer_window_raises_n_fft(page):
    "From 30 to 33 ms with the keyboard: n_fft stands at 1024, in the picture and at its slider."
    press(page, "window, ms", "ArrowRight", 3)
    shows(page, FeatureSettings(hop_length=160, win_length=528, n_fft=1024))
    assert page.locator(".widget-slider:has(label:text-is('n_fft')) .widget-readout").inner_text() == "1024"
    press(page, "window, ms", "ArrowLeft", 3)
    press(page, "n_fft", "ArrowLeft")
    shows(page, FeatureSettings(hop_length=160))


def test_impossible_setting_is_explained(page):
    "The figure and the layout stay; nothing falls over; the way back works."
    before, box = page.evaluate(SUMS), page.locator(".js-plotly-plot").bounding_box()
    press(page, "n_fft", "ArrowLeft")
    page.get_by_text("n_fft of 256 is shorter than the window of 480 samples").wait_for()
    assert page.evaluate(SUMS) == before and page.locator(".js-plotly-plot").bounding_box() == box
    press(page, "n_fft", "ArrowRight")
    shows(page, FeatureSettings(hop_length=160))
    assert page.errors == []


def test_panels_fit_and_share_their_time(page):
    "Nothing is cut off at 1280 pixels; zooming one panel zooms all, and a slider leaves the zoom."
    plot, cell = (
        page.locator(".js-plotly-plot").bounding_box(),
        page.locator(".jp-OutputArea-output:has(.js-plotly-plot)").last.bounding_box(),
    )
    assert plot["width"] > 480 and plot["x"] + plot["width"] <= cell["x"] + cell["width"] + 1
    panel = page.locator(".x2y2 > .nsewdrag").bounding_box()
    page.mouse.move(panel["x"] + panel["width"] / 4, panel["y"] + 20)
    page.mouse.down()
    page.mouse.move(panel["x"] + panel["width"] / 2, panel["y"] + 22, steps=4)
    page.mouse.up()
    ranges = f"['', 2, 3, 4, 5].map(n => {FIGURE}._fullLayout[`xaxis${{n}}`].range)"
    page.wait_for_function(f"{ranges}[0][1] - {ranges}[0][0] < .5")
    zoomed = page.evaluate(ranges)
    assert all(zoomed[0] == other for other in zoomed)
    press(page, "n_mels", "ArrowRight")
    shows(page, FeatureSettings(hop_length=160, n_mels=41))
    assert page.evaluate(ranges) == zoomed
    assert page.errors == []
