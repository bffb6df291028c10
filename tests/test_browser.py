"The workbook as a student opens it: JupyterLab in a real browser."

import re
import shutil

import pytest
from conftest import root
from jupyterlab import chromium, run_notebook, wait_idle


@pytest.mark.needs("chromium")
def test_notebook_runs_in_jupyterlab(lab):
    url, folder = lab
    shutil.copy(root / "nbs/02_preprocessing.ipynb", folder)
    with chromium(viewport={"width": 1280, "height": 1400}) as page:
        run_notebook(page, url, "02_preprocessing.ipynb")
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 1", timeout=240_000)
        wait_idle(page)
        prompts = page.eval_on_selector_all(".jp-InputPrompt", "ps => ps.map(p => p.innerText)")
        stderr = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts()
        assert not stderr, stderr
        assert any(re.fullmatch(r"\[\d+\]:", p) for p in prompts)
