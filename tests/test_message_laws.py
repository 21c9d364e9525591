"""Whatever a message says and whatever a vendor replies, there is a body or a refusal, and a meaning."""

import json

import pytest
from fact_files import load_cases
from hypothesis import given
from hypothesis import strategies as st
from test_messages import SENDABLE_VENDORS, parse_fact_message

from audience import Message, MessageError, get_vendor
from audience.vendors.delivery_spec import (
    Accepted,
    Credentials,
    Fatal,
    InDoubt,
    InvalidIds,
    Rejected,
    Response,
    Retryable,
    SendCall,
)
from audience.vendors.payload_reader import dump_json

text_values = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["", "http://a.b", "app://x", "时" * 200]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 300_000) | st.floats() | text_values | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text_values, inner, max_size=3),
    max_leaves=5,
)
messages = st.builds(
    Message,
    title=st.none() | text_values,
    body=st.none() | text_values,
    data=st.dictionaries(text_values, json_values, max_size=3),
    image=st.none() | text_values,
    link=st.none() | text_values,
    badge=st.none() | st.integers(0, 200) | st.just("+1"),
    sound=st.none() | text_values,
    time_to_live=st.none() | st.integers(0, 2_000_000),
    collapse_key=st.none() | text_values,
    platforms=st.lists(st.sampled_from(["android", "ios", "hmos"]), unique=True).map(tuple),
    test=st.booleans(),
    kind=st.sampled_from(["notification", "silent"]),
)


def fact_lines(vendor_name, folder, *verbs):
    """Both sides of each fact of *name* in *folder*."""
    return [case.values[1:] for case in load_cases(folder, *verbs) if case.values[0] == vendor_name]


def parse_vendor_messages(vendor_name):
    return [
        parse_fact_message(f'{{"vendor": {{"{vendor_name}": {body}}}}}')
        for _, body in fact_lines(vendor_name, "parameters", "say")
    ]


VENDOR_MESSAGES = {name: parse_vendor_messages(name) for name in SENDABLE_VENDORS}


@st.composite
def broken_messages(draw, vendor_name):
    """A message for *name* alone, one value of it replaced by anything."""
    whole = json.loads(json.dumps(draw(st.sampled_from(VENDOR_MESSAGES[vendor_name])).vendor[vendor_name]))
    place = whole
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            place[key] = draw(json_values)
            return Message(vendor={vendor_name: whole})
        place = place[key]


def assert_valid_or_rejected(vendor_name, message):
    """*message* is refused with reasons, or worded in a body that can be sent as it is."""
    delivery = get_vendor(vendor_name).delivery
    try:
        body = delivery.build_body(message)
    except MessageError as error:
        assert error.problems
        assert all(problem.path.startswith("$") and problem.message for problem in error.problems)
        return
    assert json.loads(dump_json(body).encode()) == body
    for problem in (*delivery.warnings(body), *delivery.unsupported_fields(message)):
        assert problem.path.startswith("$")
    application = Credentials("https://x", dict.fromkeys(delivery.required_keys, "1"))
    for way in (delivery.native_method, *delivery.send_methods):
        targets = (get_vendor(vendor_name).target_ids(["a", "b"]),)
        handle = "1" if way.setup_call and way.setup_call.is_needed(targets) else None
        if not list(way.check(body, targets, application)):
            way.build_request(SendCall(targets=targets, body=body, handle=handle, idempotency_key="t"), application)


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
@given(st.data())
def test_any_message_is_translated_or_rejected(name, data):
    assert_valid_or_rejected(name, data.draw(messages))


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
@given(st.data())
def test_any_vendor_fields_are_accepted_or_rejected(name, data):
    assert_valid_or_rejected(name, data.draw(broken_messages(name)))


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
@given(st.data())
def test_any_reply_is_classified(name, data):
    delivery = get_vendor(name).delivery
    status = data.draw(st.integers(100, 599))
    bodies = [said.partition(" ")[2] for said, _ in fact_lines(name, "replies", "push", "open")]
    known = [json.loads(body) for body in bodies if body.startswith("{")]
    keys = sorted({key for each in known for key in each})
    some = st.dictionaries(st.sampled_from(keys), json_values | st.sampled_from([0, 1, "0"]), max_size=4)
    written = (some | st.sampled_from(known)).map(lambda each: json.dumps(each).encode())
    content = data.draw(st.binary(max_size=20) | written)
    replies = [way.parse_reply for way in (delivery.native_method, *delivery.send_methods)]
    for reply in (*replies, *(way.setup_call.parse_reply for way in delivery.send_methods if way.setup_call)):
        found = reply(Response(status, content, {"retry-after": data.draw(text_values)}))
        if isinstance(found, Accepted):
            assert 200 <= status < 300
            " ".join((found.message_id, *found.invalid_ids)).encode()
        else:
            assert isinstance(found, InvalidIds | Rejected | Retryable | Fatal | InDoubt)
            str(found.problem).encode()
        if status >= 500 and not content:
            assert isinstance(found, InDoubt)
