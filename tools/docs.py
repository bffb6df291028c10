"""README.md and the docs site, from the notebooks as nbdev processes them.

python tools/docs.py readme   writes README.md from nbs/index.ipynb
python tools/docs.py site     builds _docs with Quarto where it is installed, else with smalldocs
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import typing
from pathlib import Path

from fastcore import docments

root = Path(__file__).resolve().parent.parent
WEB_FONT = r"""@import\s*(url\(["']?https?:[^)]*\)|"https?:[^"]*"|'https?:[^']*')[^;]*;"""
WIDGETS = {  # what a widget's picture shows, by the first word of its text
    "Recorder": "The recorder: buttons to record, play and save, above the waveform of a word",
    "TrialRecorder": "The recorder of the trials: buttons to record, play and save, above the waveform of a word",
    "SpectrogramExplorer": "The spectrogram explorer: sliders beside a word's waveform, spectrogram, mel spectrogram, "
    "MFCC and the device's features",
    "SizeExplorer": "The size explorer: sliders for a network's shape beside its parameters, operations, flash and RAM",
    "QuantExplorer": "The quantisation explorer: a slider for bits and buttons for grid, scale, range and layer, above "
    "the weights' histograms with the grid's values as lines, the error of each weight, and the accuracy over the bits",
    "PruningExplorer": "The pruning explorer: a slider for the share and buttons for group, norm and layer, "
    "beside the weights of each channel with what is gone in grey, their histograms with the cut, and the accuracy",
}


def readme_text():
    "nbs/index.ipynb as Markdown: hidden cells left out, outputs as text."
    import nbformat
    from nbconvert import MarkdownExporter

    notebook = nbformat.read(root / "nbs/index.ipynb", as_version=4)
    notebook.cells = [c for c in notebook.cells if not re.match(r"#\|\s*hide", c.source)]
    notebook.metadata["language_info"] = {"name": "python"}
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    text = re.sub(r"\n{3,}", "\n\n", text).strip().replace("](../", "](")
    text = re.sub(r"\]\((\d\d_\w+\.ipynb)", r"](nbs/\1", text)
    return f"<!-- Made from nbs/index.ipynb by `make readme`. -->\n\n{text}\n"


def page_name(text):
    "Names of notebooks as their pages have them, under both builders: 05_deployment.ipynb -> deployment.ipynb."
    return re.sub(r"(?<!nbs/)(?<!notebooks/)\b\d\d_(\w+\.ipynb)", r"\1", text)


def site_address():
    "Where nbdev thinks the site is: its links to symbols begin with this."
    from nbdev.config import get_config

    config = get_config()
    return f"{config.doc_host.rstrip('/')}/{config.doc_baseurl.strip('/')}/"


def take_along(name):
    "Where a section's notebook can be opened or had, as Markdown for its page."
    from nbdev.config import get_config

    config = get_config()
    colab = f"https://colab.research.google.com/github/{config.user}/{config.repo}/blob/{config.branch}/nbs/{name}"
    return f"[Open in Colab]({colab}) · [Download this notebook]({site_address()}notebooks/{name})"


def mend_links(text, up):
    "Links of a page's Markdown: to the site itself relative, no link inside a link, and none inside code."
    text = re.sub(rf"({re.escape(site_address())}[^)#]*#\w+)\.\w+", r"\1", text)  # a method: its class has the heading
    text = page_name(text.replace(site_address(), up).replace("](../kws_nb/widgets/", f"]({up}static/"))
    text = re.sub(r"\[([^]]+)\]\(([./]*notebooks/[^)]+)\)", r'<a href="\2" download>\1</a>', text)  # a file, no page
    text = re.sub(r"\[\[(`[^`]+`)\]\([^)]+\)\](?=\()", r"[\1]", text)
    return re.sub(
        r"^```.*?^```", lambda code: re.sub(r"\[(`[^`]+`)\]\([^)]+\)", r"\1", code[0]), text, flags=re.M | re.S
    )


def words(text):
    "A title of a figure without its markup."
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text or ""))).strip()


def figure_text(figure, heading):
    "What a plotly figure shows, in words: its title (else the section's), its panels, axes and curves by name."
    layout = figure["layout"]
    title = words(layout.get("title", {}).get("text")) or heading
    axes = [words(layout[key].get("title", {}).get("text")) for key in sorted(layout) if re.match("[xy]axis", key)]
    panels = [words(note.get("text")) for note in layout.get("annotations", []) if note.get("yref") == "paper"]
    names = [words(trace.get("name")) for trace in figure["data"]]
    kinds = [trace.get("type", "scatter") for trace in figure["data"]]
    parts = {"panels": panels, "axes": axes, "shown": names, "kind": kinds if not any(panels + axes + names) else []}
    lists = {name: list(dict.fromkeys(filter(None, values)))[:12] for name, values in parts.items()}
    return ". ".join([title, *(f"{name}: {', '.join(values)}" for name, values in lists.items() if values)])


def describe_pictures(cell, heading):
    "Give a cell's pictures an alternative text, unless it names one; of plotly, only the picture stays, no script."
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        figure, plain = data.pop("application/vnd.plotly.v1+json", None), "".join(data.get("text/plain", ""))
        if "image/png" in data:
            texts.append(figure_text(figure, heading) if figure else WIDGETS[re.match(r"\w+", plain)[0]])
    source = "".join(cell["source"])
    if texts and "#| fig-alt:" not in source:
        cell["source"] = f"#| fig-alt: {json.dumps(' '.join(texts), ensure_ascii=False)}\n{source}"


def mend_page(notebook, up):
    "A processed notebook as both builders understand it."
    heading = ""
    notebook["metadata"].pop("widgets", None)  # else Quarto loads jQuery and require.js
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "raw":
            cell["source"] = re.sub(r"^output-file: .*\n", "", source, flags=re.M)
        elif cell["cell_type"] == "markdown":
            cell["source"] = mend_links(source, up)
            heading = (re.findall(r"^#+ +(.*)$", source, re.M) or [heading])[-1]
        else:
            describe_pictures(cell, heading)
            for output in cell.get("outputs", []):
                if "text/markdown" in (data := output.get("data", {})):
                    data["text/markdown"] = mend_links("".join(data["text/markdown"]), up).replace("__main__.", "")


def whole_type(annotation):
    "An annotation in a signature: nbdev would show of `list[Call]` only the `list`. Modules are left out."
    if not typing.get_args(annotation):
        return short_type(annotation)
    return re.sub(r"(?:\w+\.)+|(?<=\|) | (?=\|)", "", str(annotation))


short_type = docments._maybe_nm
docments._maybe_nm = whole_type  # here, since nbdev's processes import this file, too


def stage(folder):
    "What the builders read: processed notebooks under their pages' names, the settings, and the pictures."
    from nbdev.serve import proc_nbs

    made = Path(proc_nbs(force=True))
    for path in made.rglob("*.ipynb"):
        page = path.relative_to(made)
        notebook = json.loads(path.read_text())
        if re.match(r"\d\d_", page.name):
            after = next(i for i, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "raw") + 1
            links = {"cell_type": "markdown", "id": "take-along", "metadata": {}, "source": take_along(page.name)}
            notebook["cells"].insert(after, links)
        mend_page(notebook, "../" * (len(page.parts) - 1))
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page_name(str(page))).write_text(json.dumps(notebook))
    (folder / "_quarto.yml").write_text(page_name((root / "_quarto.yml").read_text()))
    shutil.copy(root / "nbs/site.css", folder)
    shutil.copytree(
        root / "kws_nb/widgets", folder / "static", ignore=lambda _, names: [n for n in names if not n.endswith(".png")]
    )


def build_site():
    os.chdir(root)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stage(folder)
        builder = "quarto" if shutil.which("quarto") else Path(sys.executable).parent / "smalldocs"
        subprocess.run([builder, "render", folder], check=True)
        for sheet in (folder / "_docs").rglob("*.css"):  # themes fetch their fonts; site.css names the reader's own
            sheet.write_text(re.sub(WEB_FONT, "", sheet.read_text()))
        (folder / "_docs/notebooks").mkdir()
        for path in root.glob("nbs/[0-9][0-9]_*.ipynb"):  # to download; in `folder` they would become pages
            shutil.copy(path, folder / "_docs/notebooks")
        shutil.rmtree(root / "_docs", ignore_errors=True)
        shutil.move(folder / "_docs", root / "_docs")
    print(root / "_docs/index.html")


if __name__ == "__main__":
    {"readme": lambda: (root / "README.md").write_text(readme_text()), "site": build_site}[sys.argv[1]]()
