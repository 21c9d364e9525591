"""One body for every vendor; the facts are lines of text in vendors/<name>.txt."""

import warnings

import pytest
from lines import cases

from audience import PayloadError, PayloadWarning, Unsaid, equivalent, parse, render, simplify, vendor, vendors
from audience.vendors.base import load


def test_every_vendor_has_a_file_of_facts():
    assert sorted({case.values[0] for case in cases("vendors", "read")}) == vendors()


@pytest.mark.parametrize(("name", "payload", "meaning"), cases("vendors", "read"))
def test_a_payload_means(name, payload, meaning):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert render(vendor(name).parse(load(payload))) == render(parse(meaning))


@pytest.mark.parametrize(("name", "payload", "meaning"), cases("vendors", "warn"))
def test_a_payload_means_with_a_warning(name, payload, meaning):
    with pytest.warns(PayloadWarning):
        assert render(vendor(name).parse(load(payload))) == render(parse(meaning))


@pytest.mark.parametrize(("name", "payload", "place"), cases("vendors", "refuse"))
def test_a_payload_is_refused_at_its_place(name, payload, place):
    with pytest.raises(PayloadError) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)
        vendor(name).parse(load(payload))
    problem = caught.value.problems[0]
    assert f"{problem.code} {problem.path}" == place


@pytest.mark.parametrize(("name", "text", "payload"), cases("vendors", "say"))
def test_an_expression_is_said(name, text, payload):
    said = vendor(name).emit(simplify(parse(text)))
    assert said == load(payload)
    assert equivalent(vendor(name).parse(said), parse(text))


@pytest.mark.parametrize(("name", "text", "codes"), cases("vendors", "cannot"))
def test_an_expression_cannot_be_said_for_these_reasons(name, text, codes):
    with pytest.raises(Unsaid) as caught:
        vendor(name).emit(simplify(parse(text)))
    assert sorted({problem.code for problem in caught.value.problems}) == sorted(codes.split())
