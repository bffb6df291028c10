"The workbook as a student opens it: JupyterLab in a real browser."

import json
import shutil

import pytest
from conftest import root
from jupyterlab import cells_of, chromium, run_notebook


@pytest.mark.needs("chromium")
def test_notebook_runs_in_jupyterlab(lab):
    "Every cell of the section with both widgets runs, the last one last, and none complains."
    url, folder = lab
    shutil.copy(root / "nbs/02_preprocessing.ipynb", folder)
    code = sum(
        cell["cell_type"] == "code" for cell in json.loads((folder / "02_preprocessing.ipynb").read_text())["cells"]
    )
    with chromium(viewport={"width": 1280, "height": 1400}) as page:
        run_notebook(page, url, "02_preprocessing.ipynb")
        for _ in range(400):
            cells = cells_of(page)
            said = [
                output
                for _, outputs in cells
                for output in outputs
                if output["output_type"] == "error" or output.get("name") == "stderr"
            ]
            assert not said, said
            if [count for count, _ in cells] == list(range(1, code + 1)):
                break
            page.wait_for_timeout(1000)
        else:
            raise AssertionError(f"cells that ran: {[count for count, _ in cells]} of {code}")
        page.wait_for_selector(".js-plotly-plot .main-svg")
