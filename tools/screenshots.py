"""The widgets' pictures, for pages that have no kernel: each widget is used in a browser, then photographed.

python tools/screenshots.py            all of them
python tools/screenshots.py recorder   this one
"""

import sys
import tempfile
from pathlib import Path

from jupyterlab import chromium, fake_microphone, jupyterlab, run_notebook, write_notebook
from shrink import shrink

root = Path(__file__).resolve().parent.parent


def recorder(folder, url):
    "After a word was recorded and saved."
    write_notebook(
        folder / "recorder.ipynb",
        "from kws_nb.widgets.recorder import Recorder",
        "Recorder(label='yes', countdown=0, root='recordings')",
    )
    with chromium(
        *fake_microphone(root / "data/clips/yes.wav"),
        permissions=["microphone"],
        viewport={"width": 900, "height": 1000},
    ) as page:
        run_notebook(page, url, "recorder.ipynb")
        page.click(".kws-record")
        page.get_by_text("Recorded: 1.00 s").wait_for()
        page.click(".kws-save")
        page.wait_for_selector(".kws-list li")
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")
        page.locator(".kws-recorder").screenshot(path=root / "kws_nb/widgets/recorder.png")


def explorer(folder, url):
    "The synthetic yes, with the settings of the front end."
    write_notebook(
        folder / "explorer.ipynb",
        "from kws_nb.widgets.explorer import SpectrogramExplorer",
        "explorer = SpectrogramExplorer()\nexplorer.clip.value = 'synthetic: yes'\nexplorer",
    )
    with chromium(viewport={"width": 1280, "height": 1100}) as page:
        run_notebook(page, url, "explorer.ipynb")
        page.wait_for_selector(".js-plotly-plot .hm")
        page.wait_for_timeout(2000)  # the notebook scrolls to its end
        picture = page.locator(".widget-hbox:has(.js-plotly-plot)").first.screenshot()
        (root / "kws_nb/widgets/explorer.png").write_bytes(shrink(picture))


def size_explorer(folder, url):
    "The report's shape."
    write_notebook(
        folder / "size_explorer.ipynb", "from kws_nb.widgets.size_explorer import SizeExplorer", "SizeExplorer()"
    )
    with chromium(viewport={"width": 900, "height": 900}) as page:
        run_notebook(page, url, "size_explorer.ipynb")
        page.get_by_text("16,652 parameters").wait_for()
        page.wait_for_timeout(1000)
        picture = page.locator(".widget-vbox").first.screenshot()
        (root / "kws_nb/widgets/size_explorer.png").write_bytes(shrink(picture))


def quant_explorer(folder, url):
    "Three bits, after more of them, as wide as a phone shows a picture."
    used = "explorer = QuantExplorer()\nfor bits in (8, 6, 5, 4, 3): explorer.controls.bits.value = bits\n"
    used += "explorer.layout.width = '352px'\nexplorer"
    write_notebook(folder / "quant_explorer.ipynb", "from kws_nb.widgets.quant_explorer import QuantExplorer", used)
    with chromium(viewport={"width": 1280, "height": 1200}) as page:
        run_notebook(page, url, "quant_explorer.ipynb")
        page.wait_for_selector(".js-plotly-plot .barlayer .point", timeout=240_000)
        page.wait_for_timeout(2000)  # the notebook scrolls to its end
        picture = page.locator(".kws-explorer-place").first.screenshot()
        (root / "kws_nb/widgets/quant_explorer.png").write_bytes(shrink(picture))


def pruning_explorer(folder, url):
    "Half of the weights gone, after smaller shares."
    used = (
        "explorer = PruningExplorer()\nfor percent in (20, 30, 40, 50): explorer.controls.share.value = percent/100\n"
    )
    used += "explorer.layout.width = '352px'\nexplorer"
    write_notebook(
        folder / "pruning_explorer.ipynb", "from kws_nb.widgets.pruning_explorer import PruningExplorer", used
    )
    with chromium(viewport={"width": 1280, "height": 1400}) as page:
        run_notebook(page, url, "pruning_explorer.ipynb")
        page.wait_for_selector(".js-plotly-plot .barlayer .point", timeout=240_000)
        page.wait_for_timeout(2000)  # the notebook scrolls to its end
        picture = page.locator(".kws-explorer-place").first.screenshot()
        (root / "kws_nb/widgets/pruning_explorer.png").write_bytes(shrink(picture))


WIDGETS = {
    "recorder": recorder,
    "explorer": explorer,
    "size_explorer": size_explorer,
    "quant_explorer": quant_explorer,
    "pruning_explorer": pruning_explorer,
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, jupyterlab(folder) as url:
        for name in sys.argv[1:] or WIDGETS:
            WIDGETS[name](Path(folder), url)
