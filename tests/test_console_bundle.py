"""The committed bundle of the console: built from its sources as they are, small, and complete in both languages."""

import gzip
import hashlib
import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONSOLE = ROOT / "console"
STATIC = ROOT / "audience" / "server" / "static"
BUILD_FILES = ["build.mjs", "package-lock.json", "package.json", "tsconfig.json"]
MAX_PAGE_BYTES = 200_000


def digest_sources() -> str:
    """Return the digest of all that the bundle is made of, as console/build.mjs computes it."""
    files = [file.relative_to(CONSOLE).as_posix() for file in (CONSOLE / "src").rglob("*") if file.is_file()]
    digest = hashlib.sha256()
    for name in sorted([*BUILD_FILES, *files]):
        digest.update(name.encode() + b"\0" + (CONSOLE / name).read_bytes() + b"\0")
    return digest.hexdigest()


def test_bundle_was_built_from_the_sources():
    built = json.loads((STATIC / "build.json").read_text())["sources"]
    assert built == digest_sources(), "run `npm ci && npm run build` in console/ and commit audience/server/static/"


def test_page_is_small():
    sizes = {
        name: len(gzip.compress((STATIC / name).read_bytes())) for name in ("index.html", "console.js", "console.css")
    }
    assert sum(sizes.values()) <= MAX_PAGE_BYTES, sizes


def test_page_names_no_other_host():
    for name in ("index.html", "console.css"):
        assert not re.search(r"https?://|//[a-z]", (STATIC / name).read_text("utf-8"))


def test_bundle_has_the_licences_of_its_packages():
    dependencies = json.loads((CONSOLE / "package.json").read_text())["dependencies"]
    licences = (STATIC / "licences.txt").read_text("utf-8")
    assert [name for name, version in dependencies.items() if f"{name} {version}\n" not in licences] == []
    assert licences.count("Permission is hereby granted") >= len(dependencies)


def test_labels_are_complete_in_both_languages():
    labels = json.loads((CONSOLE / "src" / "labels" / "labels.json").read_text("utf-8"))
    assert list(labels) == sorted(labels)
    for name, texts in labels.items():
        assert set(texts) == {"en", "zh"} and all(texts.values()), name
        forms = [form for text in texts.values() for form in text.split(" | ")]
        fields = {frozenset(re.findall(r"\{(\w+)\}", form)) for form in forms}
        assert len(fields) == 1, f"{name}: the languages have different fields: {texts}"


def test_chinese_texts_are_of_codes_that_exist():
    texts = json.loads((CONSOLE / "src" / "labels" / "problems_zh.json").read_text("utf-8"))
    documented = tomllib.loads((ROOT / "docs" / "problem_codes.toml").read_text("utf-8"))
    assert list(texts) == sorted(texts)
    assert set(texts) <= {code for codes in documented.values() for code in codes}
    assert all(re.search("[\u4e00-\u9fff]", text) for text in texts.values())


def test_every_label_is_used():
    labels = json.loads((CONSOLE / "src" / "labels" / "labels.json").read_text("utf-8"))
    sources = "".join(file.read_text("utf-8") for file in (CONSOLE / "src").rglob("*.ts*"))
    computed = set(re.findall(r"`([a-z_.]+\.)\$\{", sources))
    unused = [name for name in labels if f'"{name}"' not in sources and not any(map(name.startswith, computed))]
    assert unused == []
