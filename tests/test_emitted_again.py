"""Whatever is parsed from a payload is emitted to its vendor natively, and means the same when it is parsed again.

It holds for the payloads of facts and of public code, and for random ones. Exempt are lists of pushes, which may
overlap and are read as a union, and what is read with a warning because the vendor would refuse it.
"""

import json

import pytest
from fact_files import TESTS_FOLDER, load_cases
from hypothesis import given, note, settings
from hypothesis import strategies as st
from payload_strategies import PAYLOADS_BY_VENDOR
from real_payloads import find_emission_problem, is_list_of_pushes, load_real_payloads
from sizes import scale_examples

from audience import vendor_names

FACTS = [
    pytest.param(vendor, payload, id=f"{vendor}: {str(payload)[:60]}")
    for vendor, payload, *_ in (case.values for case in load_cases("vendors", "read", "warn"))
    if vendor in PAYLOADS_BY_VENDOR
]
REAL = [
    pytest.param(payload.vendor, payload.text, id=f"{payload.vendor}: {payload.text[:60]}")
    for payload in load_real_payloads()
    if payload.verb == "means" and not payload.is_open and payload.vendor in PAYLOADS_BY_VENDOR
]


def test_every_vendor_that_is_written_for_has_random_payloads():
    own = {file.stem for file in (TESTS_FOLDER / "vendors").glob("*.txt")}  # those of other packages have none
    assert set(PAYLOADS_BY_VENDOR) == own & set(vendor_names(can="emit"))


@pytest.mark.parametrize(
    ("vendor", "payload"), [case for case in FACTS + REAL if not is_list_of_pushes(case.values[1])]
)
def test_payload_is_emitted_again_with_its_meaning(vendor, payload):
    assert find_emission_problem(vendor, payload) is None


@pytest.mark.parametrize("vendor", PAYLOADS_BY_VENDOR)
@given(st.data())
@settings(max_examples=scale_examples(max(10, settings().max_examples // 3)))
def test_random_payload_is_emitted_again_with_its_meaning(vendor, data):
    payload = json.dumps(data.draw(PAYLOADS_BY_VENDOR[vendor]), ensure_ascii=False)
    note(payload)
    assert find_emission_problem(vendor, payload) is None
