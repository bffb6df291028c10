"JupyterLab in a real browser, for the browser tests and for the pictures of the widgets."

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def jupyterlab(folder, *options):
    "Serve the notebooks of a folder; yields the address. Settings of its own, so nobody's are touched."
    folder = Path(folder)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    home = folder / ".jupyter"
    command = [
        Path(sys.executable).parent / "jupyter-lab",
        "--no-browser",
        "--allow-root",
        "--expose-app-in-browser",
        f"--port={port}",
        "--IdentityProvider.token=",
        f"--notebook-dir={folder}",
        *options,
    ]
    places = {"CONFIG_DIR": "config", "RUNTIME_DIR": "run"}
    lab_places = {"SETTINGS_DIR": "settings", "WORKSPACES_DIR": "workspaces"}
    environment = os.environ | {f"JUPYTER_{name}": str(home / folder) for name, folder in places.items()}
    environment |= {f"JUPYTERLAB_{name}": str(home / folder) for name, folder in lab_places.items()}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}/lab"
            for _ in range(240):
                try:
                    urllib.request.urlopen(url, timeout=2).close()
                    break
                except OSError:
                    time.sleep(0.5)
            yield url
        finally:
            process.terminate()


def fake_microphone(path):
    "Options with which Chromium hears a WAV file, over and over, and is allowed to."
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
    )


@contextmanager
def chromium(*options, permissions=(), environment=None, **context):
    "A page of headless Chromium."
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", *options],
            env=os.environ | (environment or {}),
        )
        try:
            yield browser.new_context(permissions=list(permissions), **context).new_page()
        finally:
            browser.close()


def write_notebook(path, *sources):
    "A notebook of code cells."
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)


def wait_idle(page):
    page.wait_for_function("document.body.innerText.includes('| Idle')", timeout=240_000)


def run_notebook(page, url, name):
    "Open a notebook in the browser and run all its cells."
    page.goto(f"{url}/tree/{name}?reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=240_000)
    wait_idle(page)
    page.click("text=Run >> visible=true")
    page.click("text=Run All Cells >> visible=true")


def cells_of(page):
    "What JupyterLab knows of the code cells: (execution count, outputs) of each, also of those it has not drawn."
    return page.evaluate(
        "[...jupyterapp.shell.currentWidget.content.model.cells].filter(c => c.type == 'code')"
        ".map(c => [c.executionCount, c.outputs.toJSON()])"
    )
