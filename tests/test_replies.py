"""Replies of every vendor: replies/<vendor>.txt has lines of the form `verb status body => kind details`.

The verb is `push`, `open` for a setup call, `keys` for a call that draws idempotency keys, or `mass` for many tasks in
one call. The details are the id of the message and the invalid ids, or the vendor's code, or `-` without one. A line
`codes` lists all codes of the vendor's pages.
"""

from fnmatch import fnmatch

import pytest
from fact_files import load_cases
from test_messages import SENDABLE_VENDORS

from audience import get_vendor
from audience.vendors.delivery_spec import Accepted, Response
from audience.vendors.error_codes import OUTCOMES

REPLY_KINDS = ("Accepted", "InvalidIds", "Rejected", "Retryable", "Fatal", "InDoubt")


def format_reply(reply):
    kind = type(reply).__name__
    if isinstance(reply, Accepted):
        return " ".join((kind, reply.message_id, *reply.invalid_ids))
    code = reply.problem.message.split()[0]
    assert reply.problem.hint
    return " ".join((kind, "-" if code == "HTTP" else code, *getattr(reply, "ids", ())))


@pytest.mark.parametrize(("name", "reply", "meaning"), load_cases("replies", "push"))
def test_reply_to_a_push_has_the_documented_outcome(name, reply, meaning):
    status, _, content = reply.partition(" ")
    delivery = get_vendor(name).delivery
    for method in (delivery.native_method, *delivery.send_methods):
        if method.parse_reply is delivery.native_method.parse_reply:
            assert format_reply(method.parse_reply(Response(int(status), content.encode()))) == meaning


@pytest.mark.parametrize(("name", "reply", "meaning"), load_cases("replies", "mass"))
def test_reply_to_a_mass_push_has_the_documented_outcome(name, reply, meaning):
    status, _, content = reply.partition(" ")
    methods = [method for method in get_vendor(name).delivery.send_methods if method.message_per_target]
    assert methods
    for method in methods:
        assert format_reply(method.parse_reply(Response(int(status), content.encode()))) == meaning


@pytest.mark.parametrize(("name", "reply", "meaning"), load_cases("replies", "open"))
def test_setup_reply_meaning(name, reply, meaning):
    status, _, content = reply.partition(" ")
    setup_calls = [method.setup_call for method in get_vendor(name).delivery.send_methods if method.setup_call]
    assert setup_calls
    for setup_call in setup_calls:
        assert format_reply(setup_call.parse_reply(Response(int(status), content.encode()))) == meaning


@pytest.mark.parametrize(("name", "reply", "meaning"), load_cases("replies", "keys"))
def test_reply_with_keys_has_meaning(name, reply, meaning):
    status, _, content = reply.partition(" ")
    delivery = get_vendor(name).delivery
    sources = [method.key_source for method in (delivery.native_method, *delivery.send_methods) if method.key_source]
    assert sources
    for source in sources:
        assert format_reply(source.parse_reply(Response(int(status), content.encode()))) == meaning


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
def test_every_documented_code_has_meaning_and_advice(name):
    codes = get_vendor(name).delivery.error_codes
    (listed,) = [case.values[2] for case in load_cases("replies", "codes") if case.values[0] == name]
    assert sorted(code.code for code in codes) == sorted(str(listed).split())
    assert all(code.meaning and code.advice and code.source.startswith("https://") for code in codes)
    assert {code.outcome for code in codes} <= set(OUTCOMES)


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
def test_every_code_gives_its_listed_outcome(name):
    kinds = dict(zip(OUTCOMES, REPLY_KINDS, strict=True))
    lines = [case.values[2].split()[:2] for case in load_cases("replies", "push", "open") if case.values[0] == name]
    for code in get_vendor(name).delivery.error_codes:
        assert any(kind == kinds[code.outcome] and fnmatch(word, code.code) for kind, word in lines), code.code
