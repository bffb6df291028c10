"""How long the explorer takes to redraw, from the key that moves a slider to plotly's last stroke.

Medians in headless Chromium:

python tools/redraw_time.py [moves of each slider]
"""

import statistics
import sys
import tempfile
from pathlib import Path

from jupyterlab import chromium, jupyterlab, run_notebook, write_notebook

HOOK = """() => {
  document.querySelector('.js-plotly-plot').on('plotly_afterplot', () => { window.drawn ??= performance.now(); });
  document.addEventListener('keydown', () => { window.pressed = performance.now(); window.drawn = null; }, true);
}"""


def redraw_ms(page, slider, moves):
    "Milliseconds of each move: one to the right, one back."
    page.locator(f".widget-slider:has(label:text-is('{slider}')) .noUi-handle").first.focus()
    times = []
    for move in range(moves):
        page.keyboard.press("ArrowLeft" if move % 2 else "ArrowRight")
        page.wait_for_function("window.drawn")
        times.append(page.evaluate("window.drawn - window.pressed"))
        page.wait_for_timeout(300)
    return times


if __name__ == "__main__":
    moves = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyterlab(folder) as url,
        chromium(viewport={"width": 1280, "height": 1100}) as page,
    ):
        write_notebook(
            Path(folder) / "explorer.ipynb",
            "from kws_nb.widgets.explorer import SpectrogramExplorer",
            "SpectrogramExplorer()",
        )
        run_notebook(page, url, "explorer.ipynb")
        page.wait_for_selector(".js-plotly-plot .hm")
        page.wait_for_timeout(3000)
        page.evaluate(HOOK)
        for slider in ("window, ms", "hop, ms", "n_mels", "mel, Hz", "top_db, dB"):
            times = redraw_ms(page, slider, moves)
            median, fastest, slowest = statistics.median(times), min(times), max(times)
            print(f"{slider:12}median {median:4.0f} ms, fastest {fastest:4.0f}, slowest {slowest:4.0f}")
