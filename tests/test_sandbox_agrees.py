"""Two readings of the vendors' documents, made apart, agree: whom a plan means is whom the sandbox tells, once."""

from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Device, inside
from strategies import FEW, junctions
from vendor_calls import EVERY, NOTIFICATION, TABLE, desks_of, engagelab, jpush, message, push, push_v2, say, tpns

from audience import plan, vendor
from audience.messages import message as neutral
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.vendors.delivery_spec import Accepted, Application, Response, Stamp
from audience.vendors.delivery_spec import Call as Telling

MADE = {
    "engagelab": lambda payload: engagelab({"body": NOTIFICATION, **payload}),
    "jpush": lambda payload: jpush({"platform": "all", "message": {"msg_content": "x"}, **payload}),
    "tpns": lambda payload: tpns(message(**payload)),
    "emas": lambda payload: push(**payload),
    "emas_v2": lambda payload: push_v2(payload),
}


@pytest.mark.parametrize("name", MADE)
@given(expr=junctions(st.sampled_from(FEW[:4])))
def test_whom_native_requests_mean_is_whom_the_sandbox_tells(name, expr):
    asked = plan(expr, name)
    desks, desk = desks_of(EVERY, rate=None), name.removesuffix("_v2")
    for payload in asked.native:
        assert say(desks, desk, MADE[name](payload)).code in ("", "21011", "1011")
    told = desks.desks[desk].told.by_id()
    wanted = {name for name, tags in EVERY.rows() if inside(expr, Device(frozenset(("tag", tag) for tag in tags)))}
    assert set(told) <= wanted
    assert asked.by_ids is not None or set(told) == wanted
    assert set(told.values()) <= {1}


SENT = [
    (name, signature)
    for name in MADE
    if (delivery := vendor(name).delivery)
    for signature in delivery.choices.get("signature", ("",))
]
WORDED = {"title": "Hi", "body": "there", "data": {"a": "1"}, "badge": "+1", "sound": "x", "time_to_live": 3_600}


def posted(sandbox, application, delivery, request):
    """What the sandbox answers to a request, signed as the vendor wants it."""
    signed = delivery.sign(request, application, Stamp(at=datetime.now(UTC), nonce=str(uuid4())))
    url = f"{sandbox.url}{signed.path}"
    with httpx.Client() as client:
        answer = client.request(
            signed.method, url, params=signed.query or None, headers=signed.headers, content=signed.content
        )
    return Response(answer.status_code, answer.content, {key.lower(): value for key, value in answer.headers.items()})


@pytest.mark.parametrize(("name", "signature"), SENT)
def test_each_way_to_send_a_message_is_accepted(name, signature):
    record = vendor(name)
    delivery = record.delivery
    keys = {key: SECRET if key in delivery.secret else KEY for key in delivery.keys}
    keys["signature"] = signature
    if name.startswith("emas"):
        keys["app_key"] = "1"  # there it is a number, and not the key that signs
    with Sandbox(Population(TABLE), key=KEY, secret=SECRET, rate=None) as sandbox:
        application = Application(sandbox.url, keys)
        body = delivery.timed(delivery.body(neutral(WORDED)), datetime.now(UTC))
        for told, way in enumerate(delivery.ways, start=1):
            handle, targets = None, (record.listing(["r1", "r3"]),)
            if way.opening and way.opening.needed(targets):
                opened = way.opening.reply(
                    posted(sandbox, application, delivery, way.opening.request(body, targets, application))
                )
                assert isinstance(opened, Accepted)
                handle = opened.message
            call = Telling(targets=targets, body=body, handle=handle, token=str(uuid4()))
            reply = way.reply(posted(sandbox, application, delivery, way.request(call, application)))
            assert isinstance(reply, Accepted), (way.name, reply)
            assert sandbox.told(name) == {"r1": told, "r3": told}
