"""Make the pictures stored in notebooks smaller: a palette of 256 colours is enough for a figure."""

import base64
import io
import json
import os
import sys
from pathlib import Path

from PIL import Image


def shrink(png: bytes) -> bytes:
    "The same picture with a palette, if that is smaller."
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return min(png, out.getvalue(), key=len)


def shrink_notebook(path: Path):
    "Shrink the PNG outputs of a notebook, in place."
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = base64.b64encode(
                    shrink(base64.b64decode(output["data"]["image/png"]))
                ).decode()
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    os.replace(temporary, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        shrink_notebook(Path(name))
