"""The rules of Arduino's library specification by arduino-lint's numbers, as far as files alone can answer them.

Left out: what asks the Library Manager's index (LP017, LP018, LP048), git's tags (LP022), the web (LP042) or a list of
misspellings (LP033, LP035), and what holds for Arduino's own libraries only (LP013).
"""

import re
from urllib.parse import urlparse

FIELDS = "name version author maintainer sentence paragraph category url architectures".split()
CATEGORIES = (
    "Display|Communication|Signal Input/Output|Sensors|Device Control|Timing|Data Storage|Data Processing|Other".split(
        "|"
    )
)
ARCHITECTURES = (
    "apollo3 arc32 avr esp32 esp8266 i586 i686 k210 mbed mbed_edge mbed_nano mbed_portenta mbed_rp2040 megaavr mraa "
    "nRF5 nrf52 pic32 sam samd wiced win10".split()
)
ALIASES = {  # of other tools -> Arduino's own, of which one has to stand beside it
    "atmelavr": {"avr"},
    "atmelmegaavr": {"megaavr"},
    "atmelsam": {"sam", "samd"},
    "espressif32": {"esp32"},
    "espressif8266": {"esp8266"},
    "intel_arc32": {"arc32"},
    "nordicnrf52": {"nRF5", "nrf52", "mbed", "mbed_edge", "mbed_nano"},
    "raspberrypi": {"mbed_nano", "mbed_rp2040", "rp2040"},
}
OPTIONAL = {"depends", "dot_a_linkage", "includes", "precompiled", "ldflags"}
MISSPELLED = r"depend|dot[_-]?a[_-]?linkages?|include|pre[-_]?compiled?|ld[-_]?flags?|depends|includes"
FILE_NAME, SKETCH_SUFFIXES = r"[A-Za-z0-9_][A-Za-z0-9_.-]*", {".ino", ".pde", ".c", ".cpp", ".h", ".hpp", ".S", ".hh"}
SEMVER, RELAXED = r"\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?", r"\d+(\.\d+){0,2}([-+][0-9A-Za-z.+-]+)?"
DEPENDS = r"[A-Za-z0-9][A-Za-z0-9 _.-]*( \([^()]*\))?"
CONSTRAINT = r"\(\s*!?\s*(<=|>=|=|<|>)?\s*" + RELAXED + r".*\)"


def properties_of(library):
    "The fields of library.properties, and the lines that are none."
    path, fields, strange = library / "library.properties", {}, []
    for line in path.read_text().splitlines() if path.is_file() else []:
        key, equals, value = line.partition("=")
        if equals and key.strip():
            fields[key.strip()] = value.strip()
        elif line.strip() and not line.startswith("#"):
            strange.append(line)
    return fields, strange


def listed(text):
    return [item.strip() for item in text.split(",")]


def is_spelled(names, right, pattern=None):
    "No other spelling of a name stands where the right one is missing."
    return right in names or not any(re.fullmatch(pattern or right, name, re.IGNORECASE) for name in names)


def layout_rules(library, fields):
    paths, top = sorted(library.rglob("*")), list(library.iterdir())
    folders, files = [p.name for p in top if p.is_dir()], [p.name for p in top if p.is_file()]
    headers = [p.name for p in (library / "src").glob("*.h*")] if "src" in folders else []
    sketch_folders = [
        p for p in paths if p.is_dir() and any((p / f"{p.name}{end}").is_file() for end in (".ino", ".pde"))
    ]
    outside = [p for p in sketch_folders if p.relative_to(library).parts[0] not in ("examples", "extras")]
    properties = [p for p in paths if p.name == "library.properties"]
    yield "LS001 invalid library", bool(headers)
    yield "LS002 folder name too long", len(library.name) <= 63
    yield "LS003 prohibited character in folder name", bool(re.fullmatch(FILE_NAME, library.name))
    yield "LS004 submodule", ".gitmodules" not in files
    yield "LS005 symlink", not any(p.is_symlink() for p in paths)
    yield "LS006 .development file", ".development" not in files
    yield "LS007 .exe file", not any(p.suffix == ".exe" for p in paths)
    main_header = re.sub(r"[^A-Za-z0-9_.-]", "_", fields.get("name", ""))
    yield "LS008 name-header mismatch", main_header in [name.rpartition(".")[0] for name in headers]
    yield "LS009 src folder case", is_spelled(folders, "src")
    yield "LS010 utility folder", "utility" not in folders
    yield "LS011 incorrect extras folder name", is_spelled(folders, "extras", "extra")
    yield "LS012 extras folder name case", is_spelled(folders, "extras")
    yield "LP001 missing library.properties", "library.properties" in files
    yield "LP002 incorrect file name", is_spelled(files, "library.properties", r"librar(y|ies)[-_. ]?propert(y|ies)")
    yield "LP003 file name case", is_spelled(files, "library.properties")
    yield "LP004 redundant library.properties", all(p.parent == library for p in properties)
    yield "LD001 no readme", any(re.fullmatch(r"readme\.\w+", name, re.I) for name in files)
    yield "LD002 no license file", any(re.fullmatch(r"(licen[sc]e|copying).*", name, re.I) for name in files)
    yield "LD003 stray sketch", not outside and not any(name.endswith((".ino", ".pde")) for name in files)
    yield "LD004 no examples", any(p.relative_to(library).parts[0] == "examples" for p in sketch_folders)
    yield "LD005 incorrect examples folder name", is_spelled(folders, "examples", r"e(x|xs|s)(am|ma)p(le|el)s?")
    yield "LD006 examples folder name case", is_spelled(folders, "examples")


def property_rules(library, fields, strange):
    get = lambda key: fields.get(key, "")
    name, maintainer, version = get("name"), get("maintainer"), get("version")
    missing = dict(zip(FIELDS, "LP007 LP019 LP023 LP025 LP031 LP034 LP037 LP040 LP043".split()))
    for field, number in missing.items():
        yield f"{number} missing {field}", field in fields
    short = dict(name="LP008", author="LP024", maintainer="LP026", sentence="LP032", url="LP056", architectures="LP044")
    for field, number in (short | dict(email="LP029", includes="LP051")).items():
        yield f"{number} {field} is empty", bool(fields.get(field, "some"))
    allowed = r"[A-Za-z][A-Za-z0-9 _.-]*|[0-9][A-Za-z0-9 _.-]*[A-Za-z][A-Za-z0-9 _.-]*|"
    yield "LP005 format", not strange
    yield "LP006 misspelled field", not any(re.fullmatch(MISSPELLED, f, re.I) for f in set(fields) - OPTIONAL)
    yield "LP009 name > max length", len(name) <= 63
    yield "LP010 name > recommended length", len(name) <= 32
    yield "LP011 prohibited character in name", bool(re.fullmatch(allowed, name))
    yield "LP012 name starts with Arduino", not name.lower().startswith("arduino")
    yield "LP014 name contains Arduino", "arduino" not in name[1:].lower()
    yield "LP015 name contains spaces", " " not in name
    yield "LP016 name contains library", "library" not in name.lower()
    yield "LP020 invalid version", bool(re.fullmatch(RELAXED, version))
    yield "LP021 non-semver version", bool(re.fullmatch(SEMVER, version))
    yield "LP027 maintainer starts with Arduino", not maintainer.lower().startswith("arduino")
    yield "LP057 maintainer contains Arduino", "arduino" not in maintainer[1:].lower()
    yield "LP028 email for maintainer", "email" not in fields
    yield "LP030 email starts with Arduino", not get("email").lower().startswith("arduino")
    sentence = get("sentence")
    yield "LP036 paragraph repeats sentence", not (sentence and sentence in get("paragraph"))
    yield "LP038 invalid category", get("category") in CATEGORIES
    yield "LP039 Uncategorized", get("category") != "Uncategorized"
    yield "LP041 invalid url format", all(urlparse(get("url"))[:2])
    architectures = listed(get("architectures"))
    lower = {known.lower(): known for known in ARCHITECTURES}
    yield "LP045 architecture alias", all(ALIASES[a] & set(architectures) for a in architectures if a in ALIASES)
    yield "LP046 architecture case", all(lower.get(a.lower(), a) in (a, *architectures) for a in architectures)
    needs = listed(get("depends")) if get("depends") else []
    yield "LP047 invalid depends format", all(re.fullmatch(DEPENDS, need) for need in needs)
    constraints = [need[need.index("(") :] for need in needs if "(" in need]
    yield "LP058 invalid depends constraint", all(re.fullmatch(CONSTRAINT, said) for said in constraints)
    yield "LP049 invalid dot_a_linkage", fields.get("dot_a_linkage", "true") in ("true", "false")
    headers = {p.name for p in (library / "src").glob("*")} if (library / "src").is_dir() else set()
    yield "LP052 includes not in library", set(listed(get("includes"))) - {""} <= headers
    yield "LP053 invalid precompiled", fields.get("precompiled", "true") in ("true", "full", "false")
    flat = not (library / "src").is_dir()
    yield "LP050 dot_a_linkage without src", not (flat and get("dot_a_linkage") == "true")
    yield "LP054 precompiled without src", not (flat and get("precompiled") in ("true", "full"))
    yield "LP055 ldflags too short", len(fields.get("ldflags", "-lm")) >= 3


def source_rules(library):
    sources = [p for p in library.rglob("*") if p.is_file() and p.suffix in SKETCH_SUFFIXES]
    included = r"^\s*#\s*include\s*[\"<](arduino\.h)[\">]"
    for number, there in (("LC001", library / "src"), ("SC001", library / "examples")):
        names = [n for p in sources if there in p.parents for n in re.findall(included, p.read_text(), re.M | re.I)]
        yield f"{number} Arduino.h case", set(names) <= {"Arduino.h"}
    sketches = {p.parent for p in (library / "examples").rglob("*") if p.suffix in (".ino", ".pde")}
    names = [p for sketch in sketches for p in sketch.iterdir() if p.suffix in SKETCH_SUFFIXES]
    yield "SS001 sketch name mismatch", all((s / f"{s.name}.ino").is_file() for s in sketches)
    yield "SS002 prohibited character in sketch file name", all(re.fullmatch(FILE_NAME, p.name) for p in names)
    yield "SS003 sketch file name too long", all(len(p.stem) <= 63 for p in names)
    yield "SS004 .pde extension", not any(p.suffix == ".pde" for p in names)
    folders = [[p.name for p in sketch.iterdir() if p.is_dir()] for sketch in sketches]
    yield "SS005 sketch src folder case", all(is_spelled(names, "src") for names in folders)


def keyword_rules(library):
    "What the specification says of keywords.txt; arduino-lint does not look into it."
    path = library / "keywords.txt"
    lines = path.read_text().splitlines() if path.is_file() else []
    rows = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    known = {"KEYWORD1", "KEYWORD2", "KEYWORD3", "LITERAL1", "LITERAL2"}
    yield "keywords.txt: one tab between name and kind", all(len(row) in (2, 3, 4) and all(row[:2]) for row in rows)
    yield "keywords.txt: a known kind", all(row[1] in known for row in rows if len(row) > 1)
    yield "keywords.txt: each name once", len({row[0] for row in rows}) == len(rows)


def rules(library):
    "Rule -> whether the library in this folder keeps it."
    fields, strange = properties_of(library)
    found = [*layout_rules(library, fields), *property_rules(library, fields, strange)]
    return dict([*found, *source_rules(library), *keyword_rules(library)])


def broken(library):
    return [rule for rule, holds in rules(library).items() if not holds]
