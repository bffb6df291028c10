"The workbook as a student opens it: JupyterLab in a real browser."

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import root


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    for name in ("nbs/02_preprocessing.ipynb", "settings.ini", "kws_nb/__init__.py"):  # enough for the notebook's export cell
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, folder / name)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [Path(sys.executable).parent / "jupyter-lab", "--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=", f"--notebook-dir={folder / 'nbs'}"]
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(folder / ".jupyter"), "JUPYTER_RUNTIME_DIR": str(folder / ".run"), "JUPYTERLAB_SETTINGS_DIR": str(folder / ".lab")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}/lab"
        for _ in range(120):
            try:
                urllib.request.urlopen(url, timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        yield url
        process.terminate()


@pytest.mark.needs("chromium")
def test_notebook_runs_in_jupyterlab(lab, tmp_path):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.goto(f"{lab}/tree/02_preprocessing.ipynb?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=240_000)
        page.wait_for_function("document.body.innerText.includes('| Idle')", timeout=240_000)
        page.click("text=Run >> visible=true")
        page.click("text=Run All Cells >> visible=true")
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 1", timeout=240_000)
        page.wait_for_function("document.body.innerText.includes('| Idle')", timeout=240_000)
        page.screenshot(path=tmp_path / "lab.png")
        prompts = page.eval_on_selector_all(".jp-InputPrompt", "ps => ps.map(p => p.innerText)")
        stderr = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts()
        assert not stderr, stderr
        assert any(re.fullmatch(r"\[\d+\]:", p) for p in prompts)
        browser.close()
