"""Payloads as public code, documents and threads have them; real_payloads.py says what their lines are.

`UPDATE_DOCS=1 pytest tests/test_payloads.py` writes the table of what becomes of them into docs/vendors.md.
"""

import os
import re
from collections import Counter

import pytest
from fact_files import TESTS_FOLDER
from real_payloads import FOLDER, TABLE_HEAD, find_difference, format_table, load_real_payloads

PAGE = TESTS_FOLDER.parent / "docs" / "vendors.md"
TABLE = re.compile(re.escape(TABLE_HEAD) + r"\n(?:\|.*\n)*")
VENDORS = {file.stem for file in (TESTS_FOLDER / "vendors").glob("*.txt")}
PAYLOADS = load_real_payloads()
MIN_PAYLOADS, MIN_PAYLOADS_PER_VENDOR = 120, 6


@pytest.mark.parametrize(
    "payload", [pytest.param(payload, id=f"{payload.vendor}: {payload.text[:60]}") for payload in PAYLOADS]
)
def test_real_payload_is_read_as_its_vendor_means_it(payload):
    difference = find_difference(payload)
    if payload.is_open:
        assert difference is not None, "it is read now: strike the word `open`"
    else:
        assert difference is None, f"expected {payload.verb} {payload.expected}"


def test_every_vendor_has_real_payloads():
    counts = Counter(payload.vendor for payload in PAYLOADS)
    assert set(counts) == VENDORS
    assert {name: number for name, number in counts.items() if number < MIN_PAYLOADS_PER_VENDOR} == {}
    assert sum(counts.values()) >= MIN_PAYLOADS
    assert [text for (_, text), number in Counter((p.vendor, p.text) for p in PAYLOADS).items() if number > 1] == []


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.txt")), ids=lambda file: file.stem)
def test_every_payload_is_below_its_source(file):
    """A paragraph of payloads begins with the repository and path, or the address, that they come from."""
    paragraphs = [paragraph.splitlines() for paragraph in file.read_text("utf-8").split("\n\n")][1:]
    assert [lines[0] for lines in paragraphs if not (lines[0].startswith("# ") and "/" in lines[0])] == []
    assert [line for lines in paragraphs for line in lines[1:] if line.startswith("#")] == []


def test_table_in_the_docs_is_what_is_found():
    text = PAGE.read_text("utf-8")
    current = TABLE.sub(format_table(PAYLOADS), text)
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(current, "utf-8")
        text = current
    assert TABLE.search(text)
    assert text == current, "UPDATE_DOCS=1 pytest tests/test_payloads.py writes the table"
