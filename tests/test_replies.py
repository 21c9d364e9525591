"""One body for every vendor: what a reply means is lines of text in replies/<vendor>.txt, `status body => kind words`.

A line begins with `push` or, for what comes before it, `open`, and `mass` for many tasks in one call; the words are a
message's id and the ids left out, or the vendor's code, or `-` where there is none. `codes` lists all codes of the
vendor's pages.
"""

from fnmatch import fnmatch

import pytest
from fact_files import cases
from test_messages import SENT

from audience import vendor
from audience.vendors.delivery_spec import Accepted, Response
from audience.vendors.error_codes import OUTCOMES

KINDS = ("Accepted", "BadIds", "Refused", "Again", "Stopped", "InDoubt")


def spoken(reply):
    kind = type(reply).__name__
    if isinstance(reply, Accepted):
        return " ".join((kind, reply.message, *reply.left_out))
    word = reply.problem.message.split()[0]
    assert reply.problem.hint
    return " ".join((kind, "-" if word == "HTTP" else word, *getattr(reply, "ids", ())))


@pytest.mark.parametrize(("name", "said", "meaning"), cases("replies", "push"))
def test_a_reply_means(name, said, meaning):
    status, _, content = said.partition(" ")
    delivery = vendor(name).delivery
    for way in (delivery.native, *delivery.ways):
        if way.reply is delivery.native.reply:
            assert spoken(way.reply(Response(int(status), content.encode()))) == meaning


@pytest.mark.parametrize(("name", "said", "meaning"), cases("replies", "mass"))
def test_a_reply_to_many_tasks_means(name, said, meaning):
    status, _, content = said.partition(" ")
    ways = [way for way in vendor(name).delivery.ways if way.several]
    assert ways
    for way in ways:
        assert spoken(way.reply(Response(int(status), content.encode()))) == meaning


@pytest.mark.parametrize(("name", "said", "meaning"), cases("replies", "open"))
def test_a_reply_to_an_opening_means(name, said, meaning):
    status, _, content = said.partition(" ")
    openings = [way.opening for way in vendor(name).delivery.ways if way.opening]
    assert openings
    for opening in openings:
        assert spoken(opening.reply(Response(int(status), content.encode()))) == meaning


@pytest.mark.parametrize("name", SENT)
def test_every_code_of_the_pages_has_a_row_with_its_meaning_and_advice(name):
    codes = vendor(name).delivery.codes
    (listed,) = [case.values[2] for case in cases("replies", "codes") if case.values[0] == name]
    assert sorted(code.code for code in codes) == sorted(listed.split())
    assert all(code.means and code.do and code.source.startswith("https://") for code in codes)
    assert {code.reply for code in codes} <= set(OUTCOMES)


@pytest.mark.parametrize("name", SENT)
def test_every_code_makes_the_reply_that_its_row_says(name):
    kinds = dict(zip(OUTCOMES, KINDS, strict=True))
    lines = [case.values[2].split()[:2] for case in cases("replies", "push", "open") if case.values[0] == name]
    for code in vendor(name).delivery.codes:
        assert any(kind == kinds[code.reply] and fnmatch(word, code.code) for kind, word in lines), code.code
