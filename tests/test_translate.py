"""From every vendor to every other, on the payloads that their documents print."""

import warnings

import pytest
from fact_files import cases

from audience import Everyone, equivalent, translate, vendor, vendors
from audience.language.ast import any_of
from audience.vendors import reachable
from audience.vendors.payload_reader import load

PAYLOADS = {
    name: [case.values[1] for case in cases("vendors", "read", "warn") if case.values[0] == name] for name in vendors()
}
PAIRS = [(source, target) for source in vendors() for target in reachable() if source != target]
EACH = 10  # payloads a pair: others to other vendors, so that each goes to some


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_payload_is_translated_or_refused_with_reasons(source, target):
    first = reachable().index(target) * EACH
    for payload in (PAYLOADS[source] * (first + 1))[first : first + min(EACH, len(PAYLOADS[source]))]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meant = vendor(source).parse(load(payload))
            found = translate(load(payload), source, target)
            said = [vendor(target).parse(each) for each in found.native]
        assert bool(found.by_ids) == bool(found.reasons)
        if found.by_ids is None:
            assert equivalent(any_of(said), meant)
        assert (Everyone() in said) == (meant == Everyone() and found.by_ids is None)
