"""How long the explorers take to redraw, from the key that moves a slider to plotly's last stroke.

Medians in headless Chromium:

python tools/redraw_time.py [moves of each slider]

The quantisation explorer's slider goes through all bits, the pruning explorer's through shares: with settings that are
new, and with the same again.
"""

import statistics
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from jupyterlab import chromium, jupyterlab, run_notebook, write_notebook

HOOK = """() => {
  document.querySelector('.js-plotly-plot').on('plotly_afterplot', () => { window.drawn ??= performance.now(); });
  document.addEventListener('keydown', () => { window.pressed = performance.now(); window.drawn = null; }, true);
}"""


def timed(page, key):
    "Milliseconds of one move."
    page.keyboard.press(key)
    page.wait_for_function("window.drawn")
    ms = page.evaluate("window.drawn - window.pressed")
    page.wait_for_timeout(300)
    return ms


def redraw_ms(page, slider, moves):
    "Of each move: one to the right, one back."
    page.locator(f".widget-slider:has(label:text-is('{slider}')) .noUi-handle").first.focus()
    return [timed(page, "ArrowLeft" if move % 2 else "ArrowRight") for move in range(moves)]


def through_the_bits_ms(page, method):
    "From 2 to 8, then back: settings that are new, and the same again."
    handle = page.locator(".widget-slider:has(label:text-is('bits')) .noUi-handle")
    page.get_by_role("button", name=method, exact=True).click()
    page.wait_for_timeout(1000)
    handle.focus()
    return [[timed(page, key) for _ in range(6)] for key in ("ArrowRight", "ArrowLeft")]


def through_the_shares_ms(page, granularity, moves=12):
    "From half to the right, then back."
    page.get_by_role("button", name=granularity, exact=True).click()
    page.wait_for_timeout(1000)
    page.locator(".widget-slider:has(label:text-is('share')) .noUi-handle").first.focus()
    return [[timed(page, key) for _ in range(moves)] for key in ("ArrowRight", "ArrowLeft")]


def say(what, times):
    median, fastest, slowest = statistics.median(times), min(times), max(times)
    print(f"{what:20}median {median:4.0f} ms, fastest {fastest:4.0f}, slowest {slowest:4.0f}")


@contextmanager
def shown(folder, url, module, *sources):
    "A page with the widget that the last source makes."
    write_notebook(Path(folder) / f"{module}.ipynb", f"from kws_nb.widgets.{module} import *", *sources)
    with chromium(viewport={"width": 1280, "height": 1100}) as page:
        run_notebook(page, url, f"{module}.ipynb")
        page.wait_for_function("document.querySelector('.js-plotly-plot')?.data?.length", timeout=240_000)
        page.wait_for_timeout(3000)
        page.evaluate(HOOK)
        yield page


if __name__ == "__main__":
    moves = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    with tempfile.TemporaryDirectory() as folder, jupyterlab(folder) as url:
        with shown(folder, url, "explorer", "SpectrogramExplorer()") as page:
            for slider in ("window, ms", "hop, ms", "n_mels", "mel, Hz", "top_db, dB"):
                say(slider, redraw_ms(page, slider, moves))
        with shown(
            folder,
            url,
            "quant_explorer",
            "e = QuantExplorer()\nc = e.controls\nc.symmetric.value, c.bits.value = False, 2\ne",
        ) as page:
            for method in ("min-max", "percentile", "MSE"):
                new, again = through_the_bits_ms(page, method)
                say(f"bits, {method}", new)
                say("    again", again)
        with shown(folder, url, "pruning_explorer", "PruningExplorer()") as page:
            for granularity in ("weights", "blocks", "rows"):
                new, again = through_the_shares_ms(page, granularity)
                say(f"share, {granularity}", new)
                say("    again", again)
