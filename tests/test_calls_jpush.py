"""Requests of JPush: their targets and platforms, and how long its rate limit asks to wait."""

import json

import pytest
from test_messages import parse_fact_message, problem_lines

from audience import get_vendor, parse
from audience.vendors.delivery_spec import Accepted, Credentials, Response, Retryable, SendCall, SigningContext

JPUSH = get_vendor("jpush")
DELIVERY = JPUSH.delivery
CREDENTIALS = Credentials(
    "https://x", {"app_key": "7d431e42dfa6a6d693ac2d04", "master_secret": "5e987ac6d2e04d95a9d8f0d1"}
)
ID_PAYLOAD = JPUSH.target_ids(["r1", "r2"])
NOTIFICATION = {"alert": "x"}


def build_push(body, target, build_request=DELIVERY.native_method.build_request):
    call = SendCall(targets=(target,), body=body, handle=None, idempotency_key="t1")
    request = build_request(call, CREDENTIALS)
    return request.path, json.loads(request.content)


@pytest.mark.parametrize("text", ["everyone", "a AND NOT b", "registration_id(r1, r2)", "alias(u1)"])
def test_request_contains_target_and_body(text):
    target, body = JPUSH.emit(parse(text)), {"platform": ["android"], "notification": NOTIFICATION}
    assert build_push(body, target) == ("/v3/push", {"cid": "t1", **body, **target})
    assert build_push(body, target, DELIVERY.dry_run) == ("/v3/push/validate", {**body, **target})


@pytest.mark.parametrize(
    ("message", "target", "platforms"),
    [
        ("all", None, ["android", "ios", "hmos"]),
        ("all", ["ios"], ["ios"]),
        (["ios", "android"], None, ["android", "ios"]),
        (["ios", "android"], ["ios", "hmos"], ["ios"]),
        ("ios", "all", ["ios"]),
    ],
)
def test_platform_is_one_of_message_and_target(message, target, platforms):
    narrowed = {"audience": "all"} | ({} if target is None else {"platform": target})
    assert build_push({"platform": message, "notification": NOTIFICATION}, narrowed)[1]["platform"] == platforms


@pytest.mark.parametrize(
    ("message", "target", "reasons"),
    [
        ("all", ["ios"], []),
        ("all", ["quickapp"], ["other-platform $.platforms"]),
        ("all", ["ios", "quickapp"], ["other-platform $.platforms"]),
        (["ios"], ["ios", "android"], []),
        (["ios"], ["android"], ["other-platform $.platforms"]),
    ],
)
def test_nobody_on_another_platform_is_left_out_by_accident(message, target, reasons):
    body = {"platform": message, "notification": NOTIFICATION}
    target = {"audience": "all", "platform": target}
    assert problem_lines(DELIVERY.native_method.check(body, (target,), CREDENTIALS)) == reasons


def test_signature_is_that_of_the_page():
    request = DELIVERY.native_method.build_request(
        SendCall(targets=(ID_PAYLOAD,), body={"platform": "all"}, handle=None, idempotency_key="t1"), CREDENTIALS
    )
    signed = DELIVERY.sign(request, CREDENTIALS, SigningContext(None, ""))
    assert signed.headers["Authorization"] == (
        "Basic N2Q0MzFlNDJkZmE2YTZkNjkzYWMyZDA0OjVlOTg3YWM2ZDJlMDRkOTVhOWQ4ZjBkMQ=="
    )


def test_every_call_counts_toward_600_a_minute():
    methods = (DELIVERY.native_method, *DELIVERY.send_methods)
    [[limit]] = {method.rate_limits((ID_PAYLOAD,)) for method in methods}
    assert (limit.max_calls, limit.period_seconds) == (600, 60.0)


@pytest.mark.parametrize(("header", "seconds"), [("17", 17.0), ("", None), ("soon", None)])
def test_rate_limit_is_waited_for_until_its_reset(header, seconds):
    body = b'{"error":{"code":2002,"message":"Rate limit exceeded"}}'
    reply = DELIVERY.native_method.parse_reply(Response(429, body, {"x-rate-limit-reset": header}))
    assert isinstance(reply, Retryable)
    assert reply.retry_after == seconds
    accepted = DELIVERY.native_method.parse_reply(Response(200, b'{"msg_id":"7"}', {"x-rate-limit-reset": header}))
    assert accepted == Accepted("7")


@pytest.mark.parametrize(
    ("event", "text", "reasons"),
    [
        ("start", "everyone", []),
        ("start", "registration_id(r1, r2)", []),
        ("start", "live_activity_id(la1)", ["no-such-target $.live_activity"]),
        ("update", "live_activity_id(la1)", []),
        ("update", "live_activity_id(la1) AND vip", ["no-such-target $.live_activity"]),
        ("update", "everyone", ["no-such-target $.live_activity"]),
        ("end", "registration_id(r1)", ["no-such-target $.live_activity"]),
    ],
)
def test_live_activity_rejects_unsupported_targets(event, text, reasons):
    activity = {"event": event, "content-state": {"n": 1}, "attributes-type": "la"}
    words = json.dumps({"live_activity": {"ios": activity}})
    body = DELIVERY.build_body(parse_fact_message(f'{{"platforms": ["ios"], "vendor": {{"jpush": {words}}}}}'))
    assert problem_lines(DELIVERY.native_method.check(body, (JPUSH.emit(parse(text)),), CREDENTIALS)) == reasons
