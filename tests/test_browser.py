"The workbook as a student opens it: JupyterLab in a real browser."

import json
import shutil

import pytest
from conftest import root
from jupyterlab import chromium, run_notebook

LAST_PROMPT = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(p => p.innerText.trim()).filter(Boolean).at(-1)"


@pytest.mark.needs("chromium")
def test_notebook_runs_in_jupyterlab(lab):
    "Every cell of the section with both widgets runs, the last one last, and none complains."
    url, folder = lab
    shutil.copy(root / "nbs/02_preprocessing.ipynb", folder)
    code = sum(cell["cell_type"] == "code" for cell in json.loads((folder / "02_preprocessing.ipynb").read_text())["cells"])
    with chromium(viewport={"width": 1280, "height": 1400}) as page:
        run_notebook(page, url, "02_preprocessing.ipynb")
        page.wait_for_function(f"/^\\[\\d+\\]:$/.test({LAST_PROMPT})", timeout=400_000)
        assert page.evaluate(LAST_PROMPT) == f"[{code}]:"
        for kind in ("stderr", "error"):
            said = page.locator(f".jp-RenderedText[data-mime-type='application/vnd.jupyter.{kind}']").all_inner_texts()
            assert not said, said
        page.wait_for_selector(".js-plotly-plot .main-svg")
