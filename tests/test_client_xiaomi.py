"""Forms that Xiaomi's client for Python writes are read, checked and delivered, and ours are those forms.

The client is xmpush-python 1.0.3, a port of Xiaomi's own SDK, whose package pip refuses: the name of its file says
another version than the package itself. The forms are as it posted them, recorded under Python 3.11.
"""

from urllib.parse import parse_qsl

import pytest
from callers.xiaomi import post_path
from vendor_calls import ManualClock, make_router, send_call

from audience import get_vendor, parse, render
from audience.messages import parse_message
from audience.sandbox.http_types import HttpCall
from audience.vendors.delivery_spec import Credentials, SendCall, SigningContext

XIAOMI = get_vendor("xiaomi")
APPLICATION = Credentials("https://x", {"package_name": "com.xiaomi.mipushdemo", "app_secret": "sandbox-secret"})
MESSAGE = (
    "restricted_package_name=com.xiaomi.mipushdemo&title=%E6%A0%87%E9%A2%98+one&description=a+%26+b"
    "&payload=this+is+xiaomi+push&pass_through=0&notify_type=1&notify_id=3&time_to_live=1000"
    "&extra.notify_effect=1&extra.page=news"
)
WORDS = {
    "title": "标题 one",
    "body": "a & b",
    "collapse_key": "3",
    "vendor": {
        "xiaomi": {
            "payload": "this is xiaomi push",
            "notify_type": 1,
            "time_to_live": 1000,
            "extra": {"notify_effect": "1", "page": "news"},
        }
    },
}
RECORDED = [  # method of the client, its path, the end of its form, the expression, and who is told
    ("send", "/v3/message/regid", "&registration_id=r1", "registration_id(r1)", "r1"),
    ("send, two ids", "/v3/message/regid", "&registration_id=r1%2Cr2", "registration_id(r1, r2)", "r1 r2"),
    ("send_to_alias", "/v3/message/alias", "&alias=u1", "alias(u1)", "r1"),
    ("send_to_user_account", "/v2/message/user_account", "&user_account=x1", "account(x1)", "r1 r2"),
    ("broadcast", "/v2/message/topic", "&topic=a", "a", "r1 r2"),
    ("multi_broadcast", "/v3/message/multi_topic", "&topics=a%3B%24%3Bb&topic_op=EXCEPT", "a AND NOT b", "r2"),
    ("broadcast_all", "/v2/message/all", "", "everyone", "r1 r2 r3 r4"),
]
METHODS = [each[0] for each in RECORDED]
LATER = f"{MESSAGE}&time_to_send=1796090400000&registration_id=r1"
HEADER = "key=sandbox-secret"


@pytest.mark.parametrize(
    ("path", "target", "text", "told"), [each[1:] for each in RECORDED], ids=lambda each: each[:24]
)
def test_form_of_the_client_is_read_and_delivered(path, target, text, told):
    if target:
        assert render(XIAOMI.parse(f"{MESSAGE}{target}")) == text
    router = make_router(secret="sandbox-secret")
    reply = send_call(router, "xiaomi", post_path(f"{path} {MESSAGE}{target}"))
    assert (reply.code, " ".join(router.states["xiaomi"].delivery_log.counts_by_id())) == ("", told)


@pytest.mark.parametrize(("path", "target", "text"), [each[1:4] for each in RECORDED], ids=METHODS)
def test_form_of_ours_is_that_of_the_client(path, target, text):
    """The client posts topics to paths of v2, and knows no key of a batch; fields have no order."""
    native, body = XIAOMI.emit(parse(text)), XIAOMI.delivery.build_body(parse_message(WORDS))
    call = SendCall(targets=(native,), body=body, handle=None, idempotency_key="k")
    request = XIAOMI.delivery.native_method.build_request(call, APPLICATION)
    ours = dict(parse_qsl(request.content.decode(), strict_parsing=True))
    assert len(ours.pop("extra.jobkey")) == 12
    assert ours == dict(parse_qsl(f"{MESSAGE}{target}", strict_parsing=True))
    assert request.path.split("/")[2:] == path.split("/")[2:]
    signed = XIAOMI.delivery.sign(request, APPLICATION, SigningContext(None, ""))
    assert signed.headers["Authorization"] == HEADER


def test_job_of_the_client_is_found_and_ended():
    clock = ManualClock()
    router = make_router(clock=clock)
    message = send_call(router, "xiaomi", post_path(f"/v3/message/regid {LATER}")).message_id
    codes = [
        send_call(router, "xiaomi", post_path(f"/v2/schedule_job/{word} job_id={message}")).code
        for word in ("exist", "delete", "exist", "delete")
    ]
    assert codes == ["", "", "65028", "65028"]
    assert trace(router, message) == {"id": message, "resolved": 1, "delivered": 0}
    clock.now += 86_400
    assert router.states["xiaomi"].delivery_log.flush_due().counts_by_id() == {}


def trace(router, message):
    """What the client reads of a message."""
    call = HttpCall("GET", "/v1/trace/message/status", {"msg_id": message}, {"authorization": HEADER})
    return send_call(router, "xiaomi", call).body["data"]["data"]


def test_message_of_the_client_is_traced_by_its_id():
    router = make_router()
    message = send_call(router, "xiaomi", post_path(f"/v3/message/all {MESSAGE}")).message_id
    assert trace(router, message) == {"id": message, "resolved": 4, "delivered": 4}
    assert send_call(router, "xiaomi", HttpCall("GET", "/v1/trace/message/status", {}, {"authorization": HEADER})).code


def test_jobs_are_ended_by_their_jobkey():
    router = make_router()
    for end in ("extra.jobkey=k", "extra.jobkey=k", "extra.jobkey=l"):
        send_call(router, "xiaomi", post_path(f"/v3/message/regid {LATER}&{end}"))
    assert send_call(router, "xiaomi", post_path("/v3/schedule_job/delete jobkey=k")).code == ""
    assert len(router.states["xiaomi"].delivery_log.waiting) == 1
