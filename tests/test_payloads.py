"""Payloads as public code, documents and threads have them; real_payloads.py says what their lines are."""

from collections import Counter

import pytest
from fact_files import TESTS_FOLDER
from real_payloads import FOLDER, find_difference, load_real_payloads

VENDORS = {file.stem for file in (TESTS_FOLDER / "vendors").glob("*.txt")}
PAYLOADS = load_real_payloads()
MIN_PAYLOADS, MIN_PAYLOADS_PER_VENDOR = 120, 6


def as_cases(payloads):
    return [pytest.param(payload, id=f"{payload.vendor}: {payload.text[:60]}") for payload in payloads]


@pytest.mark.parametrize("payload", as_cases(payload for payload in PAYLOADS if not payload.is_open))
def test_real_payload_is_read_as_its_vendor_means_it(payload):
    assert find_difference(payload) is None, f"expected {payload.verb} {payload.expected}"


@pytest.mark.parametrize("payload", as_cases(payload for payload in PAYLOADS if payload.is_open))
def test_open_payload_is_still_read_otherwise(payload):
    assert find_difference(payload) is not None, "it is read now: strike the word `open`"


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
