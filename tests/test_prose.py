"""What the prose claims and what the outputs show are the same numbers.

Compared are the numbers in summaries, in paragraphs with bold type and in the README, and of all other paragraphs
those with a unit, with the stored outputs of their own notebook and of those that the text links to, with the
constants in its code, and with the results in data/models that it names. A prose number is met by a number that
rounds to it at the digits shown, in its unit; what has another source stands in KNOWN.
"""

import base64
import json
import re
from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np
import pytest
from conftest import root

NOTEBOOKS = sorted(path.relative_to(root / "nbs").as_posix() for path in (root / "nbs").rglob("*.ipynb"))

CONSTANTS = "library/core.ipynb"  # sample rate, labels and the like: every notebook's

# What no output of the notebook shows: notebook -> number -> where it comes from.
KNOWN = {
    "README.md": {
        "19 kB": "the size of data/models/tinyconv.tflite",
        "3.11": "settings.ini, min_python",
        "3.12": "settings.ini, python_versions",
        "3.13": "settings.ini, python_versions",
        "0.1 GB": "synthetic speech on disk, measured with du",
        "4.1 GB": "the packages on disk, measured with du",
        "1.9 GB": "Chromium, Node, gcc and QEMU on disk, measured with du",
        "2.3 GB": "the archive of Speech Commands 0.02",
        "15": "minutes of make test on 2 cores",
        "20": "minutes of make test on 2 cores",
        **dict.fromkeys(["25", "32", "94", "28", "137"], "packages that pip lists in a fresh environment"),
        **dict.fromkeys(["180", "1,300", "5,100", "300", "410", "1,650", "3,650"], "MB of these, measured with du"),
    },
    "03_model_size.ipynb": {
        "41.6 µs": "the report's 3.2.2, a GPU that is not here",
        "87.88 ms": "the report's board",
        "8.2 M": "count_operations(CRNN(2, (151, 40))).flops",
    },
    "index.ipynb": {
        "19 kB": "the size of data/models/tinyconv.tflite",
        "2.3 GB": "the archive of Speech Commands 0.02",
    },
    "library/check.ipynb": {"0.066608 MB": "the report's table"},
    "library/data.ipynb": {"2.3 GB": "the archive of Speech Commands 0.02"},
    "library/packing.ipynb": {"512": "255 steps, looked at from both sides, and both ends: the proof of one rounding"},
    "library/recordings.ipynb": {"0.75 s": "read off the picture above", "0.46 s": "read off the picture above"},
    "studies/energy.ipynb": {"43 ms": "ST's entry to MLPerf Tiny"},
    "studies/representations.ipynb": {"12.3 points": "from the hits of both: 69.158 % less 56.821 %"},
    "widgets/explorer.ipynb": {"0.49 s": "read off the picture above"},
    "widgets/size_explorer.ipynb": {"128": "tests/test_size.py builds such shapes and holds the estimate to it"},
}

DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
UNIT = r"%|points|kB|KB|KiB|MB|MiB|GB|[kMG]\b|ms|µs|s\b|kHz"
NUMBER = re.compile(rf"(?<![\w.,])({DIGITS})(?!\d)(\s?(?:{UNIT}))?")
SCALES = {
    "%": (1, 100), "points": (1, 100),
    "k": (1, 1e-3), "kB": (1, 1e-3), "KB": (1, 1e-3), "KiB": (1, 1 / 1024),
    "M": (1, 1e-6), "MB": (1, 1e-6), "MiB": (1, 2.0**-20), "GB": (1, 1e-9), "G": (1, 1e-9),
    "ms": (1, 1e3), "µs": (1, 1e3, 1e6), "s": (1, 1e-3), "kHz": (1, 1e-3),
}  # fmt: skip
LONGEST_LINE = 30  # values of a curve or bars; among more, any number occurs by chance


def claims(text):
    "Each number of a text, as it is written, with its unit: code, links' addresses and names such as int8 left out."
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|<[^>]*>", " ", text, flags=re.S)
    text = re.sub(r"arXiv[: ]\S+", " ", text)
    text = re.sub(r"(?<=\d)[–-](?=\d)", " ", text)  # a range is its two ends
    return [(number, (unit or "").strip()) for number, unit in NUMBER.findall(text)]


def numbers(text):
    "All numbers of an output or of code, whatever stands beside them."
    found = re.findall(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?:\d[\d_]*)?\.?\d+(?:[eE][-+−]?\d+)?", text)
    return [float(number.replace(",", "").replace("_", "").replace("−", "-")) for number in found]


def is_met(claim, there):
    "Whether one of the numbers, in the claim's unit, rounds to it at the digits that it shows."
    number, unit = claim
    value, decimals = float(number.replace(",", "")), len(number.partition(".")[2])
    for scale in SCALES.get(unit, (1,)):
        if (np.abs(there * scale - value) <= 0.5 * 10.0**-decimals * (1 + 1e-6)).any():
            return True
    return False


def figure_values(figure):
    "What a stored plotly figure says: its curves, bars and texts; not the cells of its pictures."
    if isinstance(figure, dict):
        if "bdata" in figure:
            kinds = dict(i1="i1", u1="u1", i2="<i2", u2="<u2", i4="<i4", u4="<u4", f4="<f4", f8="<f8")
            values = np.frombuffer(base64.b64decode(figure["bdata"]), kinds[figure["dtype"]])
            return values.tolist() if values.size <= LONGEST_LINE else []
        parts = [value for key, value in figure.items() if key not in ("z", "template", "colorscale")]
        return [v for part in parts for v in figure_values(part)]
    if isinstance(figure, list):
        return [v for value in figure[:LONGEST_LINE] for v in figure_values(value)]
    if isinstance(figure, str):
        return numbers(figure)
    return [float(figure)] if isinstance(figure, (int, float)) else []


def output_values(output):
    data = output.get("data", {})
    texts = [output.get("text", "")] + [data.get(kind, "") for kind in ("text/plain", "text/markdown")]
    found = [v for text in texts for v in numbers("".join(text))]
    return found + figure_values(data.get("application/vnd.plotly.v1+json", {}).get("data", []))


def scalars(value):
    "The numbers of a results file that stand alone: lists go by seed, epoch or clip, and any number is among them."
    if isinstance(value, dict):
        return [v for item in value.values() for v in scalars(item)]
    return [float(value)] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


@lru_cache
def notebook(name):
    return json.loads((root / "nbs" / name).read_text())


@lru_cache
def shown(name):
    "All numbers of a notebook's outputs, of its code, and of the results files that its code names."
    cells = [cell for cell in notebook(name)["cells"] if cell["cell_type"] == "code"]
    code = "\n".join("".join(cell["source"]) for cell in cells)
    found = [v for cell in cells for output in cell.get("outputs", []) for v in output_values(output)]
    for path in sorted((root / "data/models").glob("*.json")):
        if path.name in code:
            found += scalars(json.loads(path.read_text()))
    return np.abs(np.array(found + numbers(code)))


def linked(text, name):
    "The notebooks that a text links to."
    for link in re.findall(r"\]\(([^)#:]+\.ipynb)", text):
        parts = []
        for part in (PurePosixPath(name).parent / link).parts:
            if part == ".." and parts:
                parts.pop()
            else:
                parts.append(part)
        yield "/".join(parts)


def paragraphs(name):
    "The paragraphs of a notebook, each with the heading that it stands under."
    heading = ""
    for cell in notebook(name)["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        for paragraph in re.split(r"\n{2,}|\n(?=#)", "".join(cell["source"])):
            if paragraph.startswith("#"):
                heading = paragraph.splitlines()[0].strip("# ")
            yield heading, paragraph


def is_claim(heading, text):
    "The line below the title, the summary, paragraphs with bold type: all their numbers are compared."
    return heading == "Summary" or text.startswith("> ") or "**" in text


def compared(name):
    "The texts of a notebook whose numbers are all compared."
    return [text for heading, text in paragraphs(name) if is_claim(heading, text)]


def plain(name):
    "The other paragraphs: theirs are compared where they have a unit."
    others = [text for heading, text in paragraphs(name) if not is_claim(heading, text)]
    return [text for text in others if not text.startswith(("#", "|", "!", "    "))]


def sources(name, text):
    "The numbers that may stand behind a text of a notebook: the notebook's, the constants, and those it links to."
    return np.concatenate([shown(other) for other in (name, CONSTANTS, *linked(text, name))])


def missing(name, text, where=None, units_only=False):
    "The claims of a text that nothing meets."
    there, known = sources(name, text), KNOWN.get(where or name, {})
    said = [(" ".join(claim).strip(), claim) for claim in claims(text) if claim[1] or not units_only]
    return [words for words, claim in said if words not in known and not is_met(claim, there)]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_prose_says_what_outputs_show(name):
    wrong = [(text.strip()[:60], lost) for text in compared(name) if (lost := missing(name, text))]
    wrong += [(text.strip()[:60], lost) for text in plain(name) if (lost := missing(name, text, units_only=True))]
    assert not wrong, f"{name}: no stored output shows these numbers; prose or outputs are out of date: {wrong}"


def readme(outputs):
    "The README's lines: its outputs are indented by four."
    lines = (root / "README.md").read_text().replace("](nbs/", "](").splitlines()  # linked as in the notebook
    return "\n".join(line for line in lines if line.startswith("    ") == outputs)


def test_readme_says_what_outputs_show():
    lost = missing("index.ipynb", readme(outputs=False), "README.md")
    assert not lost, f"README.md: no stored output shows {lost}"


def test_readme_has_the_counts_of_the_sections():
    """The image's bytes are section 3's to the byte; instructions lie within 3 % of the benchmark's.

    They were counted on other sounds: the README's on the test clips, the benchmark's on two synthetic words.
    """
    rows = re.findall(
        r"^    (front end|one inference|flash).*?(\d[\d,]+) (instructions|bytes)", readme(outputs=True), re.M
    )
    assert [name for name, _, _ in rows] == ["front end", "one inference", "flash"]
    for name, number, what in rows:
        count = float(number.replace(",", ""))
        there = shown("03_model_size.ipynb" if what == "bytes" else "library/bench.ipynb")
        slack = 0 if what == "bytes" else 0.03 * count
        assert (np.abs(there - count) <= slack).any(), f"README.md, {name}: {number} {what}; the notebooks show another"


def test_a_mean_is_one_number():
    "A mean beside the interval of the same mean: 89.5 stood beside 89.6, which came from hits rounded to whole clips."
    wrong = []
    for name in NOTEBOOKS:
        outputs = [o for cell in notebook(name)["cells"] for o in cell.get("outputs", [])]
        tables = "\n".join("".join(o.get("data", {}).get("text/markdown", "")) for o in outputs)
        pairs = re.findall(r"\| (\d+\.\d) \| (\d+\.\d) % \[", tables)
        wrong += [(name, *pair) for pair in pairs if len(set(pair)) > 1]
    assert not wrong, f"the same mean, twice, differs: {wrong}"


def test_known_numbers_are_still_said():
    "No entry outlives its sentence."
    for name, entries in KNOWN.items():
        texts = [readme(outputs=False)] if name == "README.md" else [*compared(name), *plain(name)]
        said = {" ".join(claim).strip() for text in texts for claim in claims(text)}
        assert set(entries) <= said, (name, set(entries) - said)


def test_wrong_numbers_are_found():
    "The comparison itself: what it must let pass, and what not."
    output = "accuracy 0.8954, 1,019,739 instructions, 41080 bytes, 4.1003 ms, gain -30 dB, 2e-6, 676_004"
    there = np.abs(np.array(numbers(output)))
    for right in (
        "89.5 %",
        "1,019,739",
        "41,080",
        "41 kB",
        "41.1 kB",
        "4.1 ms",
        "−30",
        "0.000002",
        "676,004",
        "40.1 KiB",
    ):
        assert is_met(claims(right)[0], there), right
    for wrong in (
        "89.6 %",
        "1,019,740",
        "41,081",
        "42 kB",
        "41.0 kB",
        "4.2 ms",
        "31",
        "0.000003",
        "676,005",
        "41.1 KiB",
    ):
        assert not is_met(claims(wrong)[0], there), wrong
    assert claims("int8, Cortex-M4, 49 × 40, `64`, [a](b7.html), c0") == [("49", ""), ("40", "")]
    text = "".join("".join(cell["source"]) for cell in notebook("03_model_size.ipynb")["cells"])
    assert "16,652" in text and not missing("03_model_size.ipynb", "16,652")
    assert missing("03_model_size.ipynb", "16,653")


def test_a_changed_digit_is_noticed():
    "Of the numbers with three digits or more in the compared texts, two in three cannot be off in the last digit."
    noticed = []
    for name in NOTEBOOKS:
        whole = compared(name)
        for text in [*whole, *plain(name)]:
            for number, unit in claims(text):
                if (unit or text in whole) and len(re.sub("[,.]", "", number).lstrip("0")) >= 3:
                    off = number[:-1] + str((int(number[-1]) + 3) % 10)
                    noticed.append(not is_met((off, unit), sources(name, text)))
    assert len(noticed) > 50 and np.mean(noticed) > 2 / 3, (len(noticed), np.mean(noticed))
