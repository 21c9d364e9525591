"""Translation from every vendor to every other, of the payloads that their docs print."""

import warnings

import pytest
from fact_files import load_cases
from real_payloads import AS_OF, ask

from audience import Everyone, equivalent, get_vendor, translate, vendor_names
from audience.language.ast import any_of, map_atoms
from audience.vendors.payload_reader import load_json

PAYLOADS = {
    name: [case.values[1] for case in load_cases("vendors", "read", "warn") if case.values[0] == name]
    for name in vendor_names()
}
PAIRS = [(source, target) for source in vendor_names() for target in vendor_names(can="emit") if source != target]
PAYLOADS_PER_PAIR = 10  # different ones for each target, so that every payload has some targets


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_payload_is_translated_or_rejected_with_reasons(source, target):
    first = vendor_names(can="emit").index(target) * PAYLOADS_PER_PAIR
    for payload in (PAYLOADS[source] * (first + 1))[first : first + min(PAYLOADS_PER_PAIR, len(PAYLOADS[source]))]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expr = ask(get_vendor(source).parse(load_json(payload)))
            result = translate(load_json(payload), source, target, as_of=AS_OF.moment, timezone=AS_OF.zone.key)
            vendor = get_vendor(target)
            parts = [ask(vendor.parse(native)) for native in result.native]
        assert bool(result.by_ids) == bool(result.reasons)
        if result.by_ids is None:
            assert equivalent(map_atoms(any_of(parts), vendor.view), map_atoms(expr, vendor.view))
        assert (Everyone() in parts) == (expr == Everyone() and result.by_ids is None)
