"""The generated pages of the docs: every problem code is documented, and every vendor has its page."""

import importlib
import json
import re
import tomllib
from dataclasses import fields
from fnmatch import filter as matching
from fnmatch import fnmatch
from pathlib import Path
from pydoc import locate

import pytest
from real_payloads import Tally

from audience import Message, vendor_names

ROOT = Path(__file__).parents[1]
OPTIONS_OF_OTHER_TOOLS = {"--data", "--dist", "--help", "--nthreads", "--select", "--silent"}
OPTIONS_OF_DOCKER = {"--build-arg", "--name", "--rm", "--time", "--user"}


@pytest.fixture(scope="module")
def pages():
    """The module docs/build_pages.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        yield importlib.import_module("build_pages")


@pytest.fixture(scope="module")
def entries(pages) -> dict[str, list[str]]:
    """The documented codes with cause and remedy."""
    return {code: entry for codes in pages.load_problem_codes().values() for code, entry in codes.items()}


def test_every_problem_code_is_documented(pages, entries):
    assert [code for code in sorted(pages.source_problem_codes()) if not matching(entries, code)] == []


def test_every_documented_code_is_in_the_source(pages, entries):
    patterns = {code for code in pages.source_problem_codes() if "*" in code}
    literals = pages.source_strings()
    stale = [code for code in entries if code not in literals and not any(fnmatch(code, one) for one in patterns)]
    assert stale == []


def test_every_code_of_a_syntax_error_is_documented(entries):
    assert {file.stem for file in (ROOT / "tests" / "errors").glob("*.txt")} <= set(entries)


def test_each_code_is_in_one_area_with_cause_and_remedy(pages, entries):
    assert sum(len(codes) for codes in pages.load_problem_codes().values()) == len(entries)
    for entry in entries.values():
        cause, remedy = entry
        assert cause.endswith(".") and remedy.endswith(".")


def test_pages_are_written(pages, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "REFERENCE", tmp_path)
    monkeypatch.setattr(pages, "payloads_section", lambda: "")  # takes long
    pages.build_pages()
    linked = re.findall(r"\]\((\w+)\.md\)", (tmp_path / "vendors" / "SUMMARY.md").read_text("utf-8"))
    assert linked == ["index", *vendor_names()]
    assert {file.stem for file in (tmp_path / "vendors").iterdir()} == {*linked, "SUMMARY"}
    table = (tmp_path / "vendors" / "index.md").read_text("utf-8").replace("`", "")
    assert "| ios | badge |" in table and "| notification.ios.badge |" in table  # of JPush, from its facts
    assert "| jpush | yes | yes | held here |" in table
    assert "`hours_ago`" in (tmp_path / "vendors" / "onesignal.md").read_text("utf-8")  # of its notes
    assert "| onesignal | notifications, subscription_ids, short_lists | 30 days |  |" in table
    assert "## index build" in (tmp_path / "cli.md").read_text("utf-8")
    documented = re.findall("^::: (.*)$", (tmp_path / "python.md").read_text("utf-8"), re.MULTILINE)
    assert "audience.parse" in documented
    assert [name for name in documented if locate(name) is None] == []


def test_table_of_payloads_has_the_sums(pages):
    tallies = {"tpns": Tally(2, 2, 1, 2, 1, 1), "pinpoint": Tally(1, 1, 0, 1, 0, 0)}
    rows = importlib.import_module("payload_tables").payloads_table(tallies).splitlines()[2:-1]
    assert rows == [
        "| `tpns` | 2 | 2 | 1 | 2 | 1 | 1 |",
        "| `pinpoint` | 1 | 1 | 0 | 1 | 0 | read only |",
        "| all | 3 | 3 | 1 | 3 | 1 | 1 |",
    ]


def test_navigation_has_every_page_that_is_written_by_hand():
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    listed = set(json.dumps(navigation).split('"'))
    assert "reference/vendors/" in listed  # whose SUMMARY.md lists the rest
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= listed


def test_message_page_lists_every_field():
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "messages.md").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == {field.name for field in fields(Message)}


def test_every_named_option_exists(pages):
    options = set(re.findall(r"--[a-z][a-z-]+", pages.cli_page())) | OPTIONS_OF_OTHER_TOOLS | OPTIONS_OF_DOCKER
    of_vendors = [
        file
        for name in ("notes.md", "problem_codes.toml")
        for file in (ROOT / "audience" / "vendors").glob(f"*/{name}")
    ]
    for page in [ROOT / "README.md", ROOT / "docs" / "problem_codes.toml", *(ROOT / "docs").glob("*.md"), *of_vendors]:
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text("utf-8")))
        assert named <= options, page.name
