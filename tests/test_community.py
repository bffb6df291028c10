"What others find beside the code: how to cite, report and contribute, and whose licences come along."

import re
from configparser import ConfigParser
from importlib.metadata import distributions

import pytest
import yaml
from conftest import root
from licenses import closure, copyleft, copyleft_rows, direct, licence, licenses_text, package_row
from packaging.utils import canonicalize_name

LISTED = (root / "licenses.md").read_text()
PACKAGES = closure()
ROWS = {
    name.strip("*"): row
    for row in LISTED.splitlines()
    for name in re.findall(r"^\| (\S+) \| .* \| https?://\S+ \|$", row)
}


@pytest.fixture(scope="module")
def settings():
    config = ConfigParser(delimiters=["="])
    config.read(root / "settings.ini", encoding="utf-8")
    return config["DEFAULT"]


def test_citation_says_what_settings_say(settings):
    cited = yaml.safe_load((root / "CITATION.cff").read_text())
    assert str(cited["version"]) == settings["version"] and cited["title"] == settings["title"]
    assert cited["repository-code"] == settings["git_url"]
    assert cited["url"] == settings["doc_host"] + settings["doc_baseurl"]
    assert [author["name"] for author in cited["authors"]] == [settings["author"]]
    assert cited["abstract"].rstrip(".") == settings["description"]
    assert set(cited) >= {"cff-version", "message"} and cited["license"] == "Apache-2.0"


def test_issue_forms_are_such_as_github_takes():
    "Name, description and a body, whose elements have an id of their own, a type and a label."
    folder = root / ".github/ISSUE_TEMPLATE"
    forms = {path.stem: yaml.safe_load(path.read_text()) for path in folder.glob("*.yml")}
    assert set(forms) == {"bug", "question", "config"}
    for link in forms.pop("config")["contact_links"]:
        assert set(link) == {"name", "url", "about"}
    for form in forms.values():
        assert form["name"] and form["description"]
        ids = [element["id"] for element in form["body"]]
        assert len(set(ids)) == len(ids)
        for element in form["body"]:
            assert element["type"] in ("input", "textarea", "dropdown") and element["attributes"]["label"]
            assert (element["type"] == "dropdown") == ("options" in element["attributes"])
    template = (root / ".github/PULL_REQUEST_TEMPLATE.md").read_text()
    commands = set(re.findall(r"`make (\w+)`", template))
    targets = set(re.findall(r"^(\w+):", (root / "Makefile").read_text(), re.M))
    assert commands and commands <= targets


def test_security_says_where_to_report(settings):
    text = (root / "SECURITY.md").read_text()
    assert f"{settings['git_url']}/security/advisories/new" in text
    for path in re.findall(r"`(firmware/\S+)`", text):
        assert (root / path).is_file(), path


def test_classifiers_are_sorted_and_name_the_pythons(settings):
    lines = settings["classifiers"].strip().splitlines()
    assert lines == sorted(set(lines))
    kinds = ("Development Status", "Environment", "Framework", "Intended Audience", "Natural Language")
    kinds += ("Operating System", "Programming Language", "Topic")
    assert {line.split(" :: ")[0] for line in lines} == set(kinds), "a licence is an SPDX expression, no classifier"
    versions = settings["python_versions"].split()
    assert versions[0] == settings["min_python"] and versions == sorted(versions)


def test_every_requirement_is_listed():
    names = {canonicalize_name(requirement.name) for requirement in direct()}
    assert len(names) > 30 and names <= set(ROWS), names - set(ROWS)
    assert all(ROWS[name].startswith(f"| **{name}** |") for name in names)


def test_licences_are_those_of_the_pinned_packages():
    "What is installed here in the version of constraints-3.11.txt stands in the list as its metadata have it."
    pinned = dict(re.findall(r"^(\S+)==(\S+)$", (root / "constraints-3.11.txt").read_text(), re.M))
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}

    def is_pinned(name, package):
        return package and package.version.split("+")[0] == pinned.get(name)

    here = {name: package for name, package in PACKAGES.items() if is_pinned(name, package)}
    assert len(here) > 20
    for name, package in here.items():
        for row in (package_row(name, package), *copyleft_rows(name, package)):
            assert row in LISTED, f"licenses.md is stale: run make licenses. It lacks {row}"
    everything = {canonicalize_name(package.name): package for package in distributions()}
    idle = {name for name in ROWS if name not in PACKAGES and is_pinned(name, everything.get(name))}
    assert not idle, f"licenses.md is stale: run make licenses. Nothing requires {idle}"
    names = {canonicalize_name(requirement.name) for requirement in direct()}
    assert set(ROWS) <= set(pinned) | names, f"pinned no more: {set(ROWS) - set(pinned) - names}"
    around = [re.sub(r"\n\|.*|\d+ packages", "", text) for text in (LISTED, licenses_text())]
    assert around[0] == around[1], "licenses.md is stale: run make licenses"


def test_no_licence_is_unknown_and_copyleft_is_named():
    "In whatever versions are installed: a licence that asks for more than a notice is one that licenses.md names."
    for name, package in PACKAGES.items():
        assert licence(name, package) != "unknown", name
        for part, said in copyleft(name, package):
            assert f"| {name} | {part} | {said} |" in LISTED, f"{name}: {said}"
    parts = {(name, said) for name, package in PACKAGES.items() for _, said in copyleft(name, package)}
    gpl = {(name, said) for name, said in parts if re.match(r"A?GPL.*(only|or-later)$", said)}
    assert gpl == {("unicorn", "GPL-2.0-only"), ("espeakng-loader", "GPL-3.0-or-later")}
    consequences = LISTED.split("## What follows")[1].split("## All packages")[0]
    for name, _ in gpl:
        assert f"*{name}*" in consequences


def test_notice_names_files_that_are_here():
    text = (root / "NOTICE").read_text()
    for path in ("data/clips/yes.wav", "firmware/tests/golden", "kws_nb/models.py", "licenses.md", "LICENSE"):
        assert path in text and (root / path).exists(), path
    assert "Speech Commands" in text and "Creative Commons Attribution 4.0" in text
