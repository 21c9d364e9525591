"""Requests of OneSignal: lists of ids that are joined, platforms, keys, times, and withdrawals."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from test_messages import parse_fact_message, problem_lines

from audience import MessageError, get_vendor, parse
from audience.vendors.delivery_spec import (
    Accepted,
    Credentials,
    Rejected,
    Response,
    Retryable,
    SendCall,
    SigningContext,
)

ONESIGNAL = get_vendor("onesignal")
DELIVERY = ONESIGNAL.delivery
CREDENTIALS = Credentials("https://x", {"app_id": "8250eaf6-1a58-489e-b136-7c74a864b434", "api_key": "os_v2_app_x"})
KEY = "be4a8044-bbd6-11e4-a581-000c2940e62c"
CONTENTS = {"contents": {"en": "x"}}
IDS = [f"00000000-0000-4000-8000-{number:012x}" for number in range(20_000)]


def build_push(body, *targets):
    call = SendCall(targets=targets, body=body, handle=None, idempotency_key=KEY)
    request = DELIVERY.native_method.build_request(call, CREDENTIALS)
    assert (request.method, request.path, dict(request.query)) == ("POST", "/notifications", {"c": "push"})
    return json.loads(request.content)


@pytest.mark.parametrize("text", ["everyone", "a AND NOT b", "registration_id(r1, r2)", "alias(u1)"])
def test_request_contains_keys_target_and_body(text):
    target = ONESIGNAL.emit(parse(text))
    keys = {"app_id": CREDENTIALS.keys["app_id"], "idempotency_key": KEY}
    assert build_push(CONTENTS, target) == {**keys, **CONTENTS, **target}


def test_twenty_thousand_ids_are_one_call():
    longest = max(DELIVERY.send_methods, key=lambda method: method.max_ids)
    parts = [ONESIGNAL.target_ids(IDS[start : start + ONESIGNAL.max_ids]) for start in range(0, 20_000, 2_000)]
    assert (longest.max_ids, longest.dedup_window) == (20_000, timedelta(days=30))
    assert build_push(CONTENTS, *parts)["include_subscription_ids"] == IDS


@pytest.mark.parametrize(
    ("message", "target", "flags", "reasons"),
    [
        ([], ["isIos"], ["isIos"], []),
        (["ios"], [], ["isIos"], []),
        (["ios", "android"], ["isIos"], ["isIos"], []),
        (["android"], ["isHuawei", "isIos"], ["isHuawei"], []),
        (["ios"], ["isAndroid"], [], ["other-platform $.platforms"]),
        (["ios"], ["isAnyWeb"], [], ["other-platform $.platforms"]),
    ],
)
def test_platform_is_one_of_message_and_target(message, target, flags, reasons):
    words = {"body": "x"} | ({"platforms": message} if message else {})
    body = DELIVERY.build_body(parse_fact_message(json.dumps(words)))
    narrowed = {"included_segments": ["All"], **dict.fromkeys(target, True)}
    assert problem_lines(DELIVERY.native_method.check(body, (narrowed,), CREDENTIALS)) == reasons
    if not reasons:
        assert [key for key in build_push(body, narrowed) if key.startswith("is")] == flags


def test_browser_is_one_of_all_browsers():
    body, target = {**CONTENTS, "isAnyWeb": True}, {"included_segments": ["All"], "isFirefox": True}
    request = build_push(body, target)
    assert (request.get("isAnyWeb"), request.get("isFirefox")) == (None, True)


def test_platforms_of_a_message_are_not_ignored_beside_ids():
    body = DELIVERY.build_body(parse_fact_message('{"body": "x", "platforms": ["ios"]}'))
    for method in DELIVERY.send_methods:
        problems = method.check(body, (ONESIGNAL.target_ids(IDS[:2]),), CREDENTIALS)
        assert problem_lines(problems) == ["no-such-target $.platforms"]
        assert not list(method.check(CONTENTS, (ONESIGNAL.target_ids(IDS[:2]),), CREDENTIALS))


def test_signature_is_the_key():
    request = DELIVERY.native_method.build_request(
        SendCall(targets=(ONESIGNAL.target_ids(IDS[:1]),), body=CONTENTS, handle=None, idempotency_key=KEY), CREDENTIALS
    )
    assert DELIVERY.sign(request, CREDENTIALS, SigningContext(None, "")).headers["Authorization"] == "Key os_v2_app_x"


def test_wait_is_that_of_the_reply():
    reply = DELIVERY.native_method.parse_reply(Response(429, b'{"errors":["slow"]}', {"retry-after": "7"}))
    assert isinstance(reply, Retryable)
    assert reply.retry_after == 7


SCHEDULE = DELIVERY.native_method.schedule


def test_kept_call_has_its_moment_and_can_be_withdrawn():
    moment = datetime(2026, 12, 1, 9, tzinfo=UTC)
    kept = SCHEDULE.apply(CONTENTS, moment)
    assert kept == {**CONTENTS, "send_after": "2026-12-01T09:00:00Z"}
    assert DELIVERY.read_moments(kept) == (moment,)
    request = SCHEDULE.build_cancel("m/1", CREDENTIALS)
    assert (request.method, request.path) == ("DELETE", "/notifications/m%2F1")
    assert dict(request.query) == {"app_id": CREDENTIALS.keys["app_id"]}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"success": true}', Accepted),
        (200, b'{"success": false}', None),
        (200, b'{"success": true, "errors": ["Message Notification has already been sent to all recipients"]}', None),
        (200, b'{"success": true, "success": false}', None),
        (400, b'{"success": true}', None),
        (400, b'{"errors": ["Message Notification has already been sent to all recipients"]}', Rejected),
        (404, b'{"errors": ["Message Notification not found"]}', Rejected),
        (429, b'{"errors": ["API rate limit exceeded"]}', Retryable),
        (503, b"", None),
    ],
)
def test_withdrawal_succeeds_only_if_the_reply_says_so(status, body, kind):
    reply = SCHEDULE.parse_cancel(Response(status, body))
    assert type(reply).__name__ == (kind.__name__ if kind else "InDoubt")


def test_time_that_has_passed_when_the_call_is_made_is_refused():
    moment = datetime(2026, 12, 1, 9, tzinfo=UTC)
    kept = SCHEDULE.apply(CONTENTS, moment)
    assert DELIVERY.apply_timestamps(kept, moment - timedelta(seconds=1)) == kept
    for now in (moment, moment - timedelta(days=31)):
        with pytest.raises(MessageError, match="untimely"):
            DELIVERY.apply_timestamps(kept, now)
