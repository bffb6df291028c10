"The site: it is built in a copy of the checkout, its links lead somewhere, and each page is looked at in a browser."

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import root
from test_repository import notebooks

from docs import figure_text, mend_links, page_name, whole_type

pytestmark = pytest.mark.slow

pages = [str(p.relative_to(root / "nbs").with_suffix("")) for p in notebooks]
pages = [page_name(f"{page}.ipynb").replace(".ipynb", ".html") for page in pages]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    "The folder of the site, built by the command of `make docs` from what git would commit."
    copy = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, copy / name, follow_symlinks=False)
    environment = os.environ | {"PYTHONPATH": str(copy), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, copy / "tools/docs.py", "site"]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return copy / "_docs"


class Elements(HTMLParser):
    "Of a page: its ids, where its links lead, what it loads, and the text of its code."

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads, self.code, self.depth = set(), [], [], [], 0
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids |= {attributes.get("id"), attributes.get("name") if tag == "a" else None}
        self.depth += tag == "code"
        if tag == "a":
            self.links.append(attributes.get("href"))
        elif tag in ("link", "script", "img", "audio", "source", "iframe", "video"):
            self.loads.append(attributes.get("src") or attributes.get("href"))

    def handle_endtag(self, tag):
        self.depth -= tag == "code"

    def handle_data(self, data):
        if self.depth:
            self.code.append(data)


@pytest.fixture(scope="session")
def elements(site):
    return {page: Elements(site / page) for page in pages}


def test_each_notebook_has_its_page_under_the_name_of_its_module(site):
    "The names that nbdev's links to symbols take for granted, whichever builder made the site."
    from kws_nb._modidx import d

    built = sorted(str(p.relative_to(site)) for p in site.rglob("*.html"))
    assert built == sorted(pages)
    linked = {page.partition("#")[0] for module in d["syms"].values() for page, _ in module.values()}
    assert linked <= set(built)


def test_links_lead_somewhere(site, elements):
    "Each link inside the site to a file that is there, each fragment to an id of its page."
    broken = []
    for page, found in elements.items():
        for link in filter(None, found.links + found.loads):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (site / page).parent / unquote(parts.path) if parts.path else site / page
            target = target / "index.html" if target.is_dir() else target
            there = target.is_file() and target.resolve().is_relative_to(site.resolve())
            if there and parts.fragment and target.suffix == ".html":
                there = unquote(parts.fragment) in elements[str(target.resolve().relative_to(site.resolve()))].ids
            if not there:
                broken.append(f"{page}: {link}")
    assert not broken, "\n".join(broken)


SECTIONS = sorted((root / "nbs").glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize("page", ["its own", "index.html"])
def test_each_section_can_be_opened_in_colab_and_downloaded(page, site, elements):
    "From its page and from the first one; the download is the notebook, byte for byte."
    assert len(SECTIONS) == 8
    for path in SECTIONS:
        links = elements[page_name(path.name).replace(".ipynb", ".html") if page == "its own" else page].links
        colab = f"https://colab.research.google.com/github/kws-nb/kws_nb/blob/main/nbs/{path.name}"
        assert colab in links, f"{path.name}: no link to Colab"
        assert f"notebooks/{path.name}" in links, f"{path.name}: no download"
        assert (site / "notebooks" / path.name).read_bytes() == path.read_bytes()


def test_the_first_cell_of_a_section_is_hidden(elements):
    for path in SECTIONS:
        code = "".join(elements[page_name(path.name).replace(".ipynb", ".html")].code)
        assert code and "google.colab" not in code, path.name


def test_the_readme_links_each_section():
    readme = (root / "README.md").read_text()
    for path in SECTIONS:
        colab = f"https://colab.research.google.com/github/kws-nb/kws_nb/blob/main/nbs/{path.name}"
        own, download = f"nbs/{path.name}", f"https://kws-nb.github.io/kws_nb/notebooks/{path.name}"
        assert all(f"]({link})" in readme for link in (own, colab, download)), path.name
    assert "Not tried: Colab itself" in readme


def test_links_to_the_site_itself_are_relative(elements):
    "A copy of the site on a disk or under another address leads to its own pages."
    absolute = [
        f"{page}: {link}"
        for page, found in elements.items()
        for link in found.links
        if "kws-nb.github.io" in (link or "")
    ]
    assert not absolute, "\n".join(absolute)


def test_nothing_is_loaded_from_elsewhere(site, elements):
    "No font, script, style sheet or picture of another server."
    outside = [
        f"{page}: {load}"
        for page, found in elements.items()
        for load in found.loads
        if re.match(r"(https?:)?//", load or "")
    ]
    for path in [*site.rglob("*.css"), *site.rglob("*.js")]:
        outside += [
            f"{path.name}: {at}"
            for at in re.findall(r"(?:@import\s|url\()[\"'(url]*(?:https?:)?//[^\"')]+", path.read_text())
        ]
    assert not outside, "\n".join(outside)


def test_code_holds_no_markdown_links(elements):
    "nbdev links names also inside signatures, where a link is only noise."
    noisy = [f"{page}: {text}" for page, found in elements.items() for text in found.code if re.search(r"`\]\(", text)]
    assert not noisy, "\n".join(noisy)


def test_mended_links():
    "Relative, by the page's name, never nested, and in code only the name."
    address = "https://kws-nb.github.io/kws_nb/"
    assert (
        mend_links(f"[`Board`]({address}library/board.html#board)", "../") == "[`Board`](../library/board.html#board)"
    )
    assert mend_links(f"[`B.f`]({address}library/b.html#b.f)", "../") == "[`B.f`](../library/b.html#b)"
    assert mend_links("[here](../03_model_size.ipynb#ram)", "") == "[here](../model_size.ipynb#ram)"
    assert mend_links(f"[[`f`]({address}library/a.html#f)](library/a.ipynb)", "") == "[`f`](library/a.ipynb)"
    assert (
        mend_links(f"[this]({address}notebooks/05_x.ipynb)", "") == '<a href="notebooks/05_x.ipynb" download>this</a>'
    )
    signature = "```python\ndef f(\n    x, # of %s\n)\n```\n*See %s.*"
    link = f"[`g`]({address}b.html#g)"
    assert mend_links(signature % (link, link), "") == signature % ("`g`", "[`g`](b.html#g)")


def test_signatures_show_whole_types():
    "With what is in a list, as the source has them; of a class only the name, and quoted ones as they are."
    for annotation, shown in {
        list[Path]: "list[Path]",
        Path | str | None: "Path|str|None",
        Sequence[int]: "Sequence[int]",
        Path: "Path",
        "go.Figure": "go.Figure",
    }.items():
        assert whole_type(annotation) == shown


def test_figures_say_what_they_show():
    "Title, axes and curves; where there is no title, the section's."
    figure = {
        "layout": {"title": {"text": "A &lt; <b>B</b>"}, "xaxis": {"title": {"text": "ms"}}},
        "data": [{"name": "ours"}],
    }
    assert figure_text(figure, "Speed") == "A < B. axes: ms. shown: ours"
    assert figure_text({"layout": {}, "data": [{"type": "treemap"}]}, "Flash") == "Flash. kind: treemap"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def address(site):
    "The site on a server of this machine."
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


LOOK = """() => {
  const faults = [], root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const beyond = e => e.getBoundingClientRect().right > root.clientWidth + 1;
    const wide = [...document.querySelectorAll('main *')].filter(beyond);
    const innermost = e => ![...e.children].some(c => wide.includes(c));
    const inner = wide.filter(e => innermost(e) && !e.closest('pre, table, .sourceCode'));
    faults.push(`${root.scrollWidth} px wide: ` + inner.slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join(' | '));
  }
  for (const image of document.images) {
    const alt = (image.alt || '').trim();
    if (!image.naturalWidth || !image.getBoundingClientRect().width) faults.push('an image shows nothing: ' + alt);
    if (image.closest('main') && !alt) faults.push('an image says nothing: ' + image.src.slice(0, 40));
  }
  for (const plot of document.querySelectorAll('.plotly-graph-div'))
    if (!plot.querySelector('svg')) faults.push('an empty plotly figure');
  return faults;
}"""


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_in_a_browser(width, address):
    "Without a network no page misses anything, none is wider than the screen, and each figure shows something."
    from jupyterlab import chromium

    faults = []
    with chromium(viewport={"width": width, "height": 900}) as page:
        where = ""

        def answer(route):
            if route.request.url.startswith((address, "data:", "blob:")):
                route.continue_()
            else:
                faults.append(f"{where}: asks for {route.request.url}")
                route.abort()

        page.route("**/*", answer)
        page.on("console", lambda m: m.type == "error" and faults.append(f"{where}: {m.text}"))
        page.on("pageerror", lambda error: faults.append(f"{where}: {error}"))
        for where in pages:
            page.goto(f"{address}/{where}", wait_until="load")
            faults += [f"{where}: {fault}" for fault in page.evaluate(LOOK)]
    assert not faults, "\n".join(faults)


@pytest.mark.needs("chromium")
def test_pages_are_dark_where_the_reader_wants_it(address):
    "The theme's button turns a light page dark."
    from jupyterlab import chromium

    def brightness(page):
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    with chromium(viewport={"width": 1280, "height": 900}) as page:
        page.goto(f"{address}/index.html")
        assert brightness(page) > 200
        page.locator(".quarto-color-scheme-toggle").first.click()
        page.wait_for_timeout(200)
        assert brightness(page) < 60
