"""Requests of Umeng: targets, halves of a payload, keys, signatures, files, times, withdrawals, and dropped repeats."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from callers import make_keys
from test_sandbox_delivery import QUICK_OPTIONS
from test_vendor_crashes import lift_pace

from audience import DeliveryError, DeviceIndex, get_vendor, parse, plan
from audience.delivery import SafetyLimits, send
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox
from audience.vendors.delivery_spec import (
    Accepted,
    Credentials,
    Fatal,
    Rejected,
    Response,
    Retryable,
    SendCall,
    SigningContext,
)

UMENG = get_vendor("umeng")
DELIVERY = UMENG.delivery
METHODS = {method.name: method for method in (DELIVERY.native_method, *DELIVERY.send_methods)}
URL = "https://msgapi.umeng.com"
ANDROID = Credentials(URL, {"appkey": "k", "app_master_secret": "secret", "platform": "android"})
IOS = replace(ANDROID, keys={**ANDROID.keys, "platform": "ios"})
BODY = {"payload": {"display_type": "notification", "body": {"title": "t", "text": "b"}, "aps": {"alert": "b"}, "n": 1}}
NOW = datetime(2026, 12, 1, 1, tzinfo=UTC)
KEY = "5fdc92b2-3b2a-11e5-ac13-8fdccfe4d986"


def build_push(body, *targets, method="send", handle=None, credentials=ANDROID):
    call = SendCall(targets=targets, body=body, handle=handle, idempotency_key=KEY)
    request = METHODS[method].build_request(call, credentials)
    assert (request.method, request.path, dict(request.query)) == ("POST", "/api/send", {})
    return json.loads(request.content)


@pytest.mark.parametrize(
    ("text", "is_task"),
    [
        ("everyone", True),
        ("vip AND NOT old", True),
        ("registration_id(r1)", False),
        ("registration_id(r1, r2)", False),
        ("alias(u1, u2) AND alias_type:weibo", False),
        ("reference(umeng, file_id, PF1) AND alias_type:weibo", True),
        ("reference(umeng, file_id, PF1)", True),
    ],
)
def test_request_has_target_and_body_and_a_task_its_key(text, is_task):
    target = UMENG.emit(parse(text))
    own = {"payload": {"display_type": "notification", "body": {"title": "t", "text": "b"}}}
    policy = {"policy": {"out_biz_no": KEY}} if is_task else {}
    assert build_push(BODY, target) == {**own, **policy, **target}


def test_application_sends_the_half_of_its_platform():
    body = {
        **BODY,
        "policy": {"apns_collapse_id": "c", "expire_time": "2026-12-01 09:00:00"},
        "channel_properties": {"oppo_category": "c"},
    }
    target = UMENG.target_ids(["r1"])
    assert build_push(body, target, credentials=IOS) == {
        "payload": {"aps": {"alert": "b"}, "n": 1},
        "policy": body["policy"],
        **target,
    }
    kept = build_push(body, target)
    assert (kept["policy"], "channel_properties" in kept) == ({"expire_time": "2026-12-01 09:00:00"}, True)
    with pytest.raises(DeliveryError, match="wrong-platform"):
        build_push({"payload": {"aps": {"alert": "b"}}}, target)


def test_file_replaces_its_tokens():
    ids = [f"{number:064x}" for number in range(1_500)]
    targets = [UMENG.target_ids(ids[start : start + 500]) for start in range(0, 1_500, 500)]
    upload = METHODS["filecast"].setup_call.build_request({}, targets, ANDROID)
    assert (upload.path, json.loads(upload.content)["content"]) == ("/upload", "".join(f"{each}\n" for each in ids))
    cast = build_push(BODY, *targets, method="filecast", handle="PF8961384936199949")
    assert (cast["type"], cast["file_id"], cast["policy"]) == ("filecast", "PF8961384936199949", {"out_biz_no": KEY})
    assert "device_tokens" not in cast


@pytest.mark.parametrize("tokens", ["", "a,", "a\nb", " a", "a\r", "a\u2028b"])
def test_token_that_is_no_line_is_refused(tokens):
    with pytest.raises(DeliveryError, match="no-line"):
        METHODS["filecast"].setup_call.build_request({}, [{"device_tokens": tokens}], ANDROID)


def test_largest_file_of_ios_fits_and_a_longer_one_is_refused():
    build = METHODS["filecast"].setup_call.build_request
    count = METHODS["filecast"].max_ids
    assert len(json.loads(build({}, [{"device_tokens": ",".join(["x" * 64] * count)}], IOS).content)["content"]) < 10**7
    with pytest.raises(DeliveryError, match="too-many"):
        build({}, [{"device_tokens": ",".join(["x" * 66] * count)}], IOS)


def test_signature_is_that_of_the_page():
    """The digest was made with openssl for `POST`, the URL, these bytes and the secret."""
    request = METHODS["send"].build_request(
        SendCall(targets=({"type": "broadcast"},), body=BODY, handle=None, idempotency_key=KEY), ANDROID
    )
    signed = DELIVERY.sign(request, ANDROID, SigningContext(NOW, ""))
    assert signed.content.startswith(b'{"appkey":"k","timestamp":"1796086800","payload":{')
    assert json.loads(signed.content) == {"appkey": "k", "timestamp": "1796086800", **json.loads(request.content)}
    assert dict(signed.query) == {"sign": "4a344da0b703847d81dbf3b70b1f753a"}


def test_repeated_signature_has_the_time_of_its_call():
    request = METHODS["send"].schedule.build_cancel("us1", ANDROID)
    first, later = (DELIVERY.sign(request, ANDROID, SigningContext(NOW + timedelta(minutes=n), "")) for n in (0, 11))
    assert [json.loads(each.content)["timestamp"] for each in (first, later)] == ["1796086800", "1796087460"]
    assert first.query != later.query


@pytest.mark.parametrize(
    ("text", "calls", "seconds"),
    [
        ("everyone", 10, 86_400),
        ("vip", 5, 60),
        ("reference(umeng, file_id, PF1)", 300, 3_600),
        ("reference(umeng, file_id, PF1) AND alias_type:weibo", 300, 3_600),
        ("registration_id(r1)", 100, 1),
        ("alias(u1) AND alias_type:weibo", 100, 1),
    ],
)
def test_rate_limits_are_those_of_the_type(text, calls, seconds):
    [limit] = METHODS["send"].rate_limits([UMENG.emit(parse(text))])
    assert (limit.max_calls, limit.period_seconds) == (calls, seconds)


def test_kept_task_has_its_moment_and_an_expiry_after_it():
    moment = NOW + timedelta(days=6)
    kept = METHODS["filecast"].schedule.apply({"policy": {"expire_time": "PT3600S"}}, moment)
    assert DELIVERY.read_moments(kept) == (moment,)
    timed = DELIVERY.apply_timestamps(kept, NOW)
    assert timed == {"policy": {"start_time": "2026-12-07 09:00:00", "expire_time": "2026-12-07 10:00:00"}}
    assert METHODS["listcast"].schedule is None
    accepts = METHODS["send"].schedule.accepts
    assert accepts([{"type": "broadcast"}])
    assert not accepts([{"type": "unicast", "device_tokens": "r1"}])


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"ret": "SUCCESS", "data": {"task_id": "us1"}}, Accepted),
        (200, {"ret": "SUCCESS", "data": {}}, Accepted),
        (200, {"ret": "SUCCESS", "data": {"error_code": "1028"}}, None),
        (400, {"ret": "SUCCESS", "data": {"task_id": "us1"}}, None),
        (400, {"ret": "FAIL", "data": {"error_code": "1028", "error_msg": "cannot"}}, Rejected),
        (400, {"ret": "FAIL", "data": {"error_code": "1014"}}, Rejected),
        (400, {"ret": "FAIL", "data": {"error_code": "2027"}}, Fatal),
        (400, {"ret": "FAIL", "data": {"error_code": "2028"}}, Retryable),
        (400, {"ret": "FAIL", "data": {"error_code": "9999"}}, None),
        (500, {"ret": "FAIL", "data": {"error_code": "1028"}}, None),
        (200, {}, None),
    ],
)
def test_withdrawal_succeeds_only_if_the_reply_says_so(status, body, kind):
    reply = METHODS["send"].schedule.parse_cancel(Response(status, json.dumps(body).encode()))
    assert type(reply).__name__ == (kind.__name__ if kind else "InDoubt")


@pytest.fixture
def devices(tmp_path):
    table = pl.DataFrame(
        {"umeng_token": ["r1", "r2"], "tags": [["vip"], []], "alias": ["u1", "u2"], "alias_type": ["weibo"] * 2}
    )
    roles = {"tokens": {"umeng": "umeng_token"}}
    index = DeviceIndex.build(table, tmp_path / "devices.index", **roles)
    with Sandbox(Population(table), rate=None) as sandbox:
        yield index, sandbox


@pytest.mark.parametrize(
    ("text", "told", "state"),
    [
        ("vip", {"r1": 1}, "accepted"),
        ("everyone", {"r1": 1, "r2": 1}, "accepted"),
        ("alias(u1) AND alias_type:weibo", {"r1": 1}, "in_doubt"),
        ("registration_id(r2)", {"r2": 1}, "in_doubt"),
    ],
)
def test_lost_reply_is_asked_for_again_by_its_key_only_for_tasks(devices, monkeypatch, tmp_path, text, told, state):
    index, sandbox = devices
    lift_pace(monkeypatch)
    planned = plan(text, "umeng", index, vendor_has="all")
    assert planned.by_ids is None
    write_requests(planned, index, tmp_path / "run")
    sandbox.set_faults("drop:#1@umeng/api/send")
    application = Credentials(sandbox.url, make_keys("umeng"))
    status = send(
        tmp_path / "run",
        {"title": "Hi", "body": "b"},
        application,
        SafetyLimits(max_devices=9, broadcast=True),
        options=QUICK_OPTIONS,
    )
    assert status.batch_counts[state] == 1
    assert sandbox.delivery_counts("umeng") == told


def test_every_id_of_a_list_is_a_line_of_a_file():
    """An id that a file cannot have would stop the whole run, so no list has it."""
    listed = [chr(code) for code in range(0x3100) if UMENG.id_problem(f"a{chr(code)}b") is None]
    assert len(listed) > 0x3000
    for ids in ([f"a{char}b" for char in listed], [f"a{char}" for char in listed], [f"{char}b" for char in listed]):
        upload = METHODS["filecast"].setup_call.build_request({}, [UMENG.target_ids(ids)], Credentials("https://x", {}))
        assert json.loads(upload.content)["content"].splitlines() == ids
