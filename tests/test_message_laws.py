"""Every message gets a body or a rejection, and every reply is classified."""

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
    """Return both sides of each fact of *vendor_name* in *folder*."""
    return [case.values[1:] for case in load_cases(folder, *verbs) if case.values[0] == vendor_name]


def parse_vendor_messages(vendor_name):
    return [
        parse_fact_message(f'{{"vendor": {{"{vendor_name}": {body}}}}}')
        for _, body in fact_lines(vendor_name, "parameters", "say")
    ]


VENDOR_MESSAGES = {name: parse_vendor_messages(name) for name in SENDABLE_VENDORS}


@st.composite
def broken_messages(draw, vendor_name):
    """Return a message for one vendor with one value replaced by anything."""
    body = json.loads(json.dumps(draw(st.sampled_from(VENDOR_MESSAGES[vendor_name])).vendor[vendor_name]))
    node = body
    while True:
        key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or draw(st.booleans()):
            node[key] = draw(json_values)
            return Message(vendor={vendor_name: body})
        node = node[key]


def is_json_object(text):
    """Return whether *text* is one, and not a reply that is damaged on purpose."""
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def assert_valid_or_rejected(vendor_name, message):
    """Assert that *message* is rejected with reasons or gets a body that can be sent."""
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
    credentials = Credentials("https://x", dict.fromkeys(delivery.required_keys, "1"))
    for method in (delivery.native_method, *delivery.send_methods):
        targets = (get_vendor(vendor_name).target_ids(["a", "b"]),)
        handle = "1" if method.setup_call and method.setup_call.is_needed(targets) else None
        if not list(method.check(body, targets, credentials)):
            method.build_request(SendCall(targets=targets, body=body, handle=handle, idempotency_key="t"), credentials)


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
    bodies = [fact.partition(" ")[2] for fact, _ in fact_lines(name, "replies", "push", "open")]
    known_bodies = [json.loads(body) for body in bodies if is_json_object(body)]
    keys = sorted({key for body in known_bodies for key in body})
    random_bodies = st.dictionaries(st.sampled_from(keys), json_values | st.sampled_from([0, 1, "0"]), max_size=4)
    bodies_json = (random_bodies | st.sampled_from(known_bodies)).map(lambda body: json.dumps(body).encode())
    content = data.draw(st.binary(max_size=20) | bodies_json)
    parsers = [method.parse_reply for method in (delivery.native_method, *delivery.send_methods)]
    parsers += [method.setup_call.parse_reply for method in delivery.send_methods if method.setup_call]
    for parse_reply in parsers:
        outcome = parse_reply(Response(status, content, {"retry-after": data.draw(text_values)}))
        if isinstance(outcome, Accepted):
            assert 200 <= status < 300
            " ".join((outcome.message_id, *outcome.invalid_ids)).encode()
        else:
            assert isinstance(outcome, InvalidIds | Rejected | Retryable | Fatal | InDoubt)
            str(outcome.problem).encode()
        if status >= 500 and not content:
            assert isinstance(outcome, InDoubt)
