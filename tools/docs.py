"""README.md and the docs site, from the notebooks as nbdev processes them.

python tools/docs.py readme   writes README.md from nbs/index.ipynb
python tools/docs.py site     builds _docs with Quarto where it is installed, else with smalldocs
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent


def processed():
    "The folder with nbdev's processed notebooks."
    from nbdev.serve import proc_nbs

    return Path(proc_nbs())


def readme_text():
    "nbs/index.ipynb as Markdown: hidden cells left out, outputs as text."
    import nbformat
    from nbconvert import MarkdownExporter

    notebook = nbformat.read(root / "nbs/index.ipynb", as_version=4)
    notebook.cells = [c for c in notebook.cells if not re.match(r"#\|\s*hide", c.source)]
    notebook.metadata["language_info"] = {"name": "python"}
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    return "<!-- Made from nbs/index.ipynb by `make readme`. -->\n\n" + re.sub(r"\n{3,}", "\n\n", text).strip().replace("](../", "](") + "\n"


def build_site():
    folder = processed()
    index = folder / "index.ipynb"
    index.write_text(index.read_text().replace("](../kws_nb/widgets/", "](static/"))
    (folder / "static").mkdir(exist_ok=True)
    for picture in (root / "kws_nb/widgets").glob("*.png"):
        shutil.copy(picture, folder / "static")
    if shutil.which("quarto"):
        subprocess.run(["quarto", "render", folder], check=True)
    else:
        subprocess.run([Path(sys.executable).parent / "smalldocs", "render", folder], check=True)
    shutil.rmtree(root / "_docs", ignore_errors=True)
    shutil.move(folder / "_docs", root / "_docs")
    print(f"{root / '_docs/index.html'}")


if __name__ == "__main__":
    {"readme": lambda: (root / "README.md").write_text(readme_text()), "site": build_site}[sys.argv[1]]()
