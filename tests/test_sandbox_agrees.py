"""Two readings of the vendors' documents, made apart, agree: whom a plan means is whom the sandbox tells, once."""

from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest
from callers import CALLERS, make_keys, service_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import BARE_TAGS, boolean_exprs
from vendor_calls import ALL_TAG_SETS, TABLE, make_router, send_call

from audience import get_vendor, plan
from audience.messages import parse_message as neutral
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.testing.oracle import OracleDevice, is_inside
from audience.vendors.delivery_spec import Accepted, Credentials, Response, SigningContext
from audience.vendors.delivery_spec import SendCall as Telling
from audience.vendors.tag_spec import Grid, Pairs, TagCall


@pytest.mark.parametrize("name", CALLERS)
@given(expr=boolean_exprs(st.sampled_from(BARE_TAGS[:4])))
def test_sandbox_delivers_native_requests_to_planned_devices(name, expr):
    asked = plan(expr, name)
    desks, desk = make_router(ALL_TAG_SETS, rate=None), service_of(name)
    for payload in asked.native:
        assert send_call(desks, desk, CALLERS[name].send(payload)).code in {"", *CALLERS[name].nobody_codes}
    told = desks.states[desk].delivery_log.counts_by_id()
    wanted = {
        name
        for name, tags in ALL_TAG_SETS.rows()
        if is_inside(expr, OracleDevice(frozenset(("tag", tag) for tag in tags)))
    }
    assert set(told) <= wanted
    assert asked.by_ids is not None or set(told) == wanted
    assert set(told.values()) <= {1}


VENDOR_SIGNATURES = [
    (name, signature)
    for name in CALLERS
    if (delivery := get_vendor(name).delivery)
    for signature in delivery.optional_keys.get("signature", ("",))
]
MESSAGE = {"title": "Hi", "body": "there", "data": {"a": "1"}, "badge": "+1", "sound": "x", "time_to_live": 3_600}


def post_signed(sandbox, credentials, delivery, request):
    """What the sandbox answers to a request, signed as the vendor wants it."""
    token = draw_access_token(sandbox, credentials, delivery)
    context = SigningContext(now=datetime.now(UTC), nonce=str(uuid4()), access_token=token)
    return post(sandbox, delivery.sign(request, credentials, context))


def draw_access_token(sandbox, credentials, delivery):
    """An access token of the vendor, if its calls need one."""
    source = delivery.access_tokens
    if source is None or not source.is_needed(credentials):
        return ""
    return source.parse_reply(post(sandbox, source.build_request(credentials, datetime.now(UTC)))).value


def post(sandbox, signed):
    """What the sandbox answers to a signed request."""
    url = f"{sandbox.url}{signed.path}"
    with httpx.Client() as client:
        answer = client.request(
            signed.method, url, params=signed.query or None, headers=signed.headers, content=signed.content
        )
    return Response(answer.status_code, answer.content, {key.lower(): value for key, value in answer.headers.items()})


@pytest.mark.parametrize(("name", "signature"), VENDOR_SIGNATURES)
def test_sandbox_accepts_every_send_method(name, signature):
    record = get_vendor(name)
    delivery = record.delivery
    keys = make_keys(name) | {"signature": signature}
    with Sandbox(Population(TABLE), key=KEY, secret=SECRET, rate=None) as sandbox:
        application = Credentials(sandbox.url, keys)
        body = delivery.apply_timestamps(delivery.build_body(neutral(MESSAGE)), datetime.now(UTC))
        for told, way in enumerate(delivery.send_methods, start=1):
            for ids in [("r1", "r3")] if way.max_ids > 1 else [("r1",), ("r3",)]:
                reply = send_to(sandbox, application, record, way, body, ids)
                assert isinstance(reply, Accepted), (way.name, reply)
            assert sandbox.delivery_counts(name) == {"r1": told, "r3": told}


def send_to(sandbox, application, record, way, body, ids):
    """The reply to a call by one method, after the setup call and the key that it needs."""
    delivery, handle, targets = record.delivery, None, (record.target_ids(ids),)
    if way.setup_call and way.setup_call.is_needed(targets):
        request = way.setup_call.build_request(body, targets, application)
        opened = way.setup_call.parse_reply(post_signed(sandbox, application, delivery, request))
        assert isinstance(opened, Accepted)
        handle = opened.message_id
    key = draw_key(sandbox, application, delivery, way)
    call = Telling(targets=targets, body=body, handle=handle, idempotency_key=key)
    return way.parse_reply(post_signed(sandbox, application, delivery, way.build_request(call, application)))


def draw_key(sandbox, application, delivery, way):
    """An idempotency key of the vendor, if it gives them out, or else one of our own."""
    source = way.key_source
    if source is None:
        return str(uuid4())
    drawn = source.parse_reply(post_signed(sandbox, application, delivery, source.build_request(application)))
    return drawn.message_id.split(",")[0]


TAG_CHANGES = (("added", ("r1", "r2", "r3"), "vip"), ("added", ("r1", "r3"), ""), ("removed", ("r3", "r4"), "vip"))
TAGGED_VENDORS = [name for name in CALLERS if name == service_of(name) and get_vendor(name).tags is not None]
TAG_FORMS = [  # each pair of a form that sets tags and one that removes them
    pytest.param(name, setting, removing, id=f"{name}: {setting.name}, {removing.name}")
    for name in TAGGED_VENDORS
    for setting in get_vendor(name).tags.forms
    for removing in get_vendor(name).tags.forms
    if setting.adds and removing.removes
]


def write_calls(form, side, ids, tag, key_type):
    """Calls of *form* that set or remove the tag of *ids*."""
    for start in range(0, len(ids), form.max_ids):
        part = ids[start : start + form.max_ids]
        changes = Grid(part, (tag,)) if form.max_pairs is None else Pairs(tuple((each, tag) for each in part))
        yield TagCall(form=form, key_type=key_type, **{side: changes})


@pytest.mark.parametrize(("name", "setting", "removing"), TAG_FORMS)
def test_sandbox_changes_the_tags_that_calls_name(name, setting, removing):
    record = get_vendor(name)
    spec, delivery, other = record.tags, record.delivery, CALLERS[name].second_tag
    population = Population(TABLE.select("registration_id", alias="registration_id"))
    with Sandbox(population, key=KEY, secret=SECRET, rate=None) as sandbox:
        application = Credentials(sandbox.url, make_keys(name))
        for side, ids, tag in TAG_CHANGES:
            form = setting if side == "added" else removing
            for call in write_calls(form, side, ids, tag or other, spec.key_types[0]):
                response = post_signed(sandbox, application, delivery, spec.build_request(call, application))
                assert isinstance(spec.parse_reply(response, call), Accepted), response
        assert sandbox.tags(name) == {"vip": ["r1", "r2"], other: ["r1", "r3"]}
        if spec.reading is not None:
            request = spec.reading.build_request("r1", spec.key_types[0], application)
            response = post_signed(sandbox, application, delivery, request)
            assert spec.reading.parse_tags(response) == {"vip", other}


@pytest.mark.parametrize("name", TAGGED_VENDORS)
def test_unknown_ids_of_calls_for_tags_are_found(name):
    record = get_vendor(name)
    spec, delivery = record.tags, record.delivery
    population = Population(TABLE.select("registration_id", alias="registration_id"))
    with Sandbox(population, key=KEY, secret=SECRET, rate=None) as sandbox:
        application = Credentials(sandbox.url, make_keys(name))
        meanings = []
        for ids in (("r1", "nobody"), ("nobody",)):
            *_, call = write_calls(spec.forms[0], "added", ids, "vip", spec.key_types[0])
            request = spec.build_request(call, application)
            reply = spec.parse_reply(post_signed(sandbox, application, delivery, request), call)
            meanings.append(" ".join((type(reply).__name__, *getattr(reply, "ids", ()))))
        assert tuple(meanings) == CALLERS[name].unknown_tagged
