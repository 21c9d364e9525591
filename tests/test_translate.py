"""From every vendor to every other, on every payload that their documents print."""

import itertools
import warnings

import pytest
from lines import cases

from audience import Everyone, equivalent, translate, vendor, vendors
from audience.language.expr import any_of
from audience.vendors.base import load

PAYLOADS = [case.values[:2] for case in cases("vendors", "read", "warn")]


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(vendors(), 2)))
def test_every_payload_is_translated_or_refused_with_reasons(source, target):
    for payload in [text for name, text in PAYLOADS if name == source]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meant = vendor(source).parse(load(payload))
            found = translate(load(payload), source, target)
            said = [vendor(target).parse(each) for each in found.native]
        assert bool(found.by_ids) == bool(found.reasons)
        if found.by_ids is None:
            assert equivalent(any_of(said), meant)
        assert (Everyone() in said) == (meant == Everyone())
