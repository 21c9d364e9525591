"""Whatever a message says and whatever a vendor replies, there is a body or a refusal, and a meaning."""

import json

import pytest
from fact_files import cases
from hypothesis import given
from hypothesis import strategies as st
from test_messages import SENT, meant

from audience import Message, MessageError, vendor
from audience.vendors.delivery_spec import (
    Accepted,
    Again,
    Application,
    BadIds,
    Call,
    InDoubt,
    Refused,
    Response,
    Stopped,
)
from audience.vendors.payload_reader import dump

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(["", "http://a.b", "app://x", "时" * 200])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 300_000) | st.floats() | TEXTS | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
MESSAGES = st.builds(
    Message,
    title=st.none() | TEXTS,
    body=st.none() | TEXTS,
    data=st.dictionaries(TEXTS, VALUES, max_size=3),
    image=st.none() | TEXTS,
    link=st.none() | TEXTS,
    badge=st.none() | st.integers(0, 200) | st.just("+1"),
    sound=st.none() | TEXTS,
    time_to_live=st.none() | st.integers(0, 2_000_000),
    collapse_key=st.none() | TEXTS,
    platforms=st.lists(st.sampled_from(["android", "ios", "hmos"]), unique=True).map(tuple),
    test=st.booleans(),
    kind=st.sampled_from(["notification", "silent"]),
)


def lines(name, folder, *verbs):
    """Both sides of each fact of *name* in *folder*."""
    return [case.values[1:] for case in cases(folder, *verbs) if case.values[0] == name]


def of_the_vendor_alone(name):
    return [meant(f'{{"vendor": {{"{name}": {body}}}}}') for _, body in lines(name, "parameters", "say")]


SAID = {name: of_the_vendor_alone(name) for name in SENT}


@st.composite
def broken(draw, name):
    """A message for *name* alone, one value of it replaced by anything."""
    whole = json.loads(json.dumps(draw(st.sampled_from(SAID[name])).vendor[name]))
    place = whole
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            place[key] = draw(VALUES)
            return Message(vendor={name: whole})
        place = place[key]


def holds(name, message):
    """*message* is refused with reasons, or worded in a body that can be sent as it is."""
    delivery = vendor(name).delivery
    try:
        body = delivery.body(message)
    except MessageError as error:
        assert error.problems
        assert all(problem.path.startswith("$") and problem.message for problem in error.problems)
        return
    assert json.loads(dump(body).encode()) == body
    for problem in (*delivery.warnings(body), *delivery.lost(message)):
        assert problem.path.startswith("$")
    application = Application("https://x", dict.fromkeys(delivery.keys, "1"))
    for way in (delivery.native, *delivery.ways):
        targets = (vendor(name).listing(["a", "b"]),)
        handle = "1" if way.opening and way.opening.needed(targets) else None
        if not list(way.refuses(body, targets, application)):
            way.request(Call(targets=targets, body=body, handle=handle, token="t"), application)


@pytest.mark.parametrize("name", SENT)
@given(st.data())
def test_any_message_is_said_or_refused(name, data):
    holds(name, data.draw(MESSAGES))


@pytest.mark.parametrize("name", SENT)
@given(st.data())
def test_any_words_for_the_vendor_alone_are_said_or_refused(name, data):
    holds(name, data.draw(broken(name)))


@pytest.mark.parametrize("name", SENT)
@given(st.data())
def test_any_reply_has_a_meaning(name, data):
    delivery = vendor(name).delivery
    status = data.draw(st.integers(100, 599))
    bodies = [said.partition(" ")[2] for said, _ in lines(name, "replies", "push", "open")]
    known = [json.loads(body) for body in bodies if body.startswith("{")]
    keys = sorted({key for each in known for key in each})
    some = st.dictionaries(st.sampled_from(keys), VALUES | st.sampled_from([0, 1, "0"]), max_size=4)
    written = (some | st.sampled_from(known)).map(lambda each: json.dumps(each).encode())
    content = data.draw(st.binary(max_size=20) | written)
    replies = [way.reply for way in (delivery.native, *delivery.ways)]
    for reply in (*replies, *(way.opening.reply for way in delivery.ways if way.opening)):
        found = reply(Response(status, content, {"retry-after": data.draw(TEXTS)}))
        if isinstance(found, Accepted):
            assert 200 <= status < 300
            " ".join((found.message, *found.left_out)).encode()
        else:
            assert isinstance(found, BadIds | Refused | Again | Stopped | InDoubt)
            str(found.problem).encode()
        if status >= 500 and not content:
            assert isinstance(found, InDoubt)
