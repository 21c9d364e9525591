"""One body for every vendor: what a reply means is lines of text in replies/<vendor>.txt, `status body => kind words`.

A line begins with `push` or, for what comes before it, `open`, and `mass` for many tasks in one call; the words are a
message's id and the ids left out, or the vendor's code, or `-` where there is none. `codes` lists all codes of the
vendor's pages.
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
    word = reply.problem.message.split()[0]
    assert reply.problem.hint
    return " ".join((kind, "-" if word == "HTTP" else word, *getattr(reply, "ids", ())))


@pytest.mark.parametrize(("name", "said", "meaning"), load_cases("replies", "push"))
def test_reply_meaning(name, said, meaning):
    status, _, content = said.partition(" ")
    delivery = get_vendor(name).delivery
    for way in (delivery.native_method, *delivery.send_methods):
        if way.parse_reply is delivery.native_method.parse_reply:
            assert format_reply(way.parse_reply(Response(int(status), content.encode()))) == meaning


@pytest.mark.parametrize(("name", "said", "meaning"), load_cases("replies", "mass"))
def test_mass_reply_meaning(name, said, meaning):
    status, _, content = said.partition(" ")
    ways = [way for way in get_vendor(name).delivery.send_methods if way.message_per_target]
    assert ways
    for way in ways:
        assert format_reply(way.parse_reply(Response(int(status), content.encode()))) == meaning


@pytest.mark.parametrize(("name", "said", "meaning"), load_cases("replies", "open"))
def test_setup_reply_meaning(name, said, meaning):
    status, _, content = said.partition(" ")
    openings = [way.setup_call for way in get_vendor(name).delivery.send_methods if way.setup_call]
    assert openings
    for opening in openings:
        assert format_reply(opening.parse_reply(Response(int(status), content.encode()))) == meaning


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
def test_every_documented_code_has_meaning_and_advice(name):
    codes = get_vendor(name).delivery.error_codes
    (listed,) = [case.values[2] for case in load_cases("replies", "codes") if case.values[0] == name]
    assert sorted(code.code for code in codes) == sorted(listed.split())
    assert all(code.meaning and code.advice and code.source.startswith("https://") for code in codes)
    assert {code.outcome for code in codes} <= set(OUTCOMES)


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
def test_every_code_gives_its_listed_outcome(name):
    kinds = dict(zip(OUTCOMES, REPLY_KINDS, strict=True))
    lines = [case.values[2].split()[:2] for case in load_cases("replies", "push", "open") if case.values[0] == name]
    for code in get_vendor(name).delivery.error_codes:
        assert any(kind == kinds[code.outcome] and fnmatch(word, code.code) for kind, word in lines), code.code
