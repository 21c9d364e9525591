"""Requests of EngageLab: their targets, and the targets of a live activity."""

import json

import pytest
from test_messages import parse_fact_message, problem_lines

from audience import get_vendor, parse
from audience.vendors.delivery_spec import Credentials, SendCall

ENGAGELAB = get_vendor("engagelab")
DELIVERY = ENGAGELAB.delivery
CREDENTIALS = Credentials("https://x", {"app_key": "k", "master_secret": "s3cret"})
ID_PAYLOAD = ENGAGELAB.target_ids(["r1", "r2"])
LIVE_ACTIVITY = {"content-state": {"n": 1}, "attributes-type": "la"}


def build_push(body, target, build_request=DELIVERY.native_method.build_request):
    call = SendCall(targets=(target,), body=body, handle=None, idempotency_key="t1")
    request = build_request(call, CREDENTIALS)
    return request.path, json.loads(request.content)


@pytest.mark.parametrize(
    "text", ["everyone", "a AND NOT b", "registration_id(r1, r2)", "live_activity_id(LiveActivity1)"]
)
def test_request_contains_target_and_body(text):
    target, body = ENGAGELAB.emit(parse(text)), {"from": "push", "body": {"platform": "all"}}
    content = {"request_id": "t1", **body, **target}
    assert build_push(body, target) == ("/v4/push", content)
    assert build_push(body, target, DELIVERY.dry_run) == ("/v4/push/validate", content)


def test_given_request_id_is_kept():
    assert build_push({"request_id": "mine"}, ID_PAYLOAD)[1]["request_id"] == "mine"


def test_every_call_counts_toward_500_per_second():
    methods = (DELIVERY.native_method, *DELIVERY.send_methods)
    [[limit]] = {method.rate_limits((ID_PAYLOAD,)) for method in methods}
    assert (limit.max_calls, limit.period_seconds) == (500, 1.0)


@pytest.mark.parametrize(
    ("event", "text", "reasons"),
    [
        ("start", "everyone", []),
        ("start", "registration_id(r1, r2)", []),
        ("start", "vip", ["no-such-target $.body.live_activity"]),
        ("start", "vip AND registration_id(r1)", ["no-such-target $.body.live_activity"]),
        ("update", "live_activity_id(la1)", []),
        ("update", "everyone", ["no-such-target $.body.live_activity"]),
        ("end", "registration_id(r1)", ["no-such-target $.body.live_activity"]),
    ],
)
def test_live_activity_rejects_unsupported_targets(event, text, reasons):
    overrides = json.dumps({"body": {"live_activity": {"ios": {"event": event, **LIVE_ACTIVITY}}}})
    body = DELIVERY.build_body(parse_fact_message(f'{{"platforms": ["ios"], "vendor": {{"engagelab": {overrides}}}}}'))
    assert problem_lines(DELIVERY.native_method.check(body, (ENGAGELAB.emit(parse(text)),), CREDENTIALS)) == reasons
