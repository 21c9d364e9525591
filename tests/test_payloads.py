"""Payloads as public code, documents and threads have them; real_payloads.py says what their lines are."""

from collections import Counter

import pytest
from fact_files import TESTS_FOLDER
from real_payloads import FOLDER, find_difference, load_real_payloads, tally_payloads

VENDORS = {file.stem for file in (TESTS_FOLDER / "vendors").glob("*.txt")}
PAYLOADS = load_real_payloads()
MIN_PAYLOADS, MIN_PAYLOADS_PER_VENDOR, MIN_NATIVE_ELSEWHERE = 120, 6, 75


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


def test_every_payload_is_translated_for_other_vendors_or_refused_with_reasons():
    tallies = tally_payloads(PAYLOADS)
    assert {name: tally.well_translated for name, tally in tallies.items()} == {
        name: tally.payloads for name, tally in tallies.items()
    }
    assert sum(tally.native_elsewhere for tally in tallies.values()) >= MIN_NATIVE_ELSEWHERE
