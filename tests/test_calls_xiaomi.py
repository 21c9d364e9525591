"""Requests of Xiaomi Push: paths, packages, keys of batches, times, and withdrawals."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode

import polars as pl
import pytest
from callers.xiaomi import HEADERS, MESSAGE, post_form, xiaomi_call
from hypothesis import given
from hypothesis import strategies as st
from vendor_calls import ManualClock, make_router, send_call

from audience import Ids, MessageError, get_vendor, parse
from audience.sandbox.http_types import HttpCall
from audience.vendors.delivery_spec import Accepted, Credentials, InDoubt, Rejected, Response, Retryable, SendCall
from audience.vendors.spec import WHITESPACE

XIAOMI = get_vendor("xiaomi")
DELIVERY = XIAOMI.delivery
SCHEDULE = DELIVERY.native_method.schedule
APPLICATION = Credentials("https://x", {"package_name": "com.example.app,com.example.lite", "app_secret": "s"})
BODY = {"title": "t", "description": "d"}
MOMENT = datetime(2026, 12, 1, 9, tzinfo=UTC)


def build_form(target, body=BODY, key="k"):
    call = SendCall(targets=(target,), body=body, handle=None, idempotency_key=key)
    request = DELIVERY.native_method.build_request(call, APPLICATION)
    return request.path, dict(parse_qsl(request.content.decode(), keep_blank_values=True, strict_parsing=True))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("everyone", "/v3/message/all"),
        ("a", "/v3/message/topic"),
        ("a OR b", "/v3/message/multi_topic"),
        ("registration_id(r1)", "/v3/message/regid"),
        ("alias(u1)", "/v3/message/alias"),
        ("account(x1)", "/v2/message/user_account"),
    ],
)
def test_each_target_has_its_path_and_the_packages(text, path):
    target = XIAOMI.emit(parse(text))
    called, form = build_form(target)
    assert called == path
    assert form["restricted_package_name"] == "com.example.app,com.example.lite"
    assert target[path.rpartition("/")[2]].items() <= form.items()


def test_only_everyone_is_sent_to_all():
    """A list is never empty: the message of one without ids is refused by its target."""
    for target in (XIAOMI.target_ids([f"id{number}" for number in range(1_000)]), XIAOMI.target_ids(["a+b/c="])):
        called, form = build_form(target)
        assert (called, form["registration_id"]) == ("/v3/message/regid", target["regid"]["registration_id"])


def test_key_of_a_batch_is_its_own_and_stays():
    keys = [build_form({"all": {}}, key=key)[1]["extra.jobkey"] for key in ("one", "one", "other")]
    assert keys[0] == keys[1] != keys[2]
    assert build_form({"all": {}}, {**BODY, "extra": {"jobkey": "mine"}})[1]["extra.jobkey"] == "mine"


@pytest.mark.parametrize(
    ("name", "is_fine"),
    [("com.example", True), ("com.a,com.b", True), ("", False), ("example", False), ("com.a, com.b", False)],
)
def test_package_name_is_one(name, is_fine):
    assert (list(DELIVERY.check_keys({"package_name": name})) == []) == is_fine


def test_kept_call_has_its_moment_and_can_be_withdrawn():
    kept = SCHEDULE.apply(BODY, MOMENT)
    assert kept == {**BODY, "time_to_send": 1796115600000}
    assert DELIVERY.read_moments(kept) == (MOMENT,)
    request = SCHEDULE.build_cancel("slm1/2", APPLICATION)
    assert (request.method, request.path, request.content) == ("POST", "/v2/schedule_job/delete", b"job_id=slm1%2F2")


@pytest.mark.parametrize("milliseconds", [10**18, -(10**18), True, "1", None])
def test_time_that_is_none_has_no_moment(milliseconds):
    assert DELIVERY.read_moments({"time_to_send": milliseconds}) == ()


def test_time_that_has_passed_when_the_call_is_made_is_refused():
    kept = SCHEDULE.apply(BODY, MOMENT)
    assert DELIVERY.apply_timestamps(kept, MOMENT - timedelta(days=7)) == kept
    for now in (MOMENT, MOMENT - timedelta(days=7, seconds=1)):
        with pytest.raises(MessageError, match="untimely"):
            DELIVERY.apply_timestamps(kept, now)


@pytest.mark.parametrize(("seconds", "is_fine"), [(None, True), (3_600, False), (3_601, True), (0, False)])
def test_kept_message_does_not_end_before_its_time(seconds, is_fine):
    """Xiaomi does not say whether a time to live counts from the call; one that is not kept has no such question."""
    body = BODY if seconds is None else {**BODY, "time_to_live": seconds * 1_000}
    assert DELIVERY.apply_timestamps(body, MOMENT) == body
    kept, now = SCHEDULE.apply(body, MOMENT), MOMENT - timedelta(hours=1)
    if is_fine:
        assert DELIVERY.apply_timestamps(kept, now) == kept
        return
    with pytest.raises(MessageError, match="--hold"):
        DELIVERY.apply_timestamps(kept, now)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"result": "ok", "code": 0, "trace_id": "x"}', Accepted),
        (200, b'{"result": "ok"}', InDoubt),
        (200, b'{"code": 0}', InDoubt),
        (200, b'{"result": "ok", "code": 65028}', InDoubt),
        (200, b'{"result": "error", "code": 65028, "reason": "x"}', Rejected),
        (200, b'{"result": "error", "code": 20301, "reason": "No valid targets!"}', Rejected),
        (200, b'{"result": "error", "code": 200002, "reason": "x"}', Retryable),
        (200, b'{"result": "error", "code": 1, "reason": "x"}', InDoubt),
        (503, b'{"result": "ok", "code": 0}', InDoubt),
        (502, b"", InDoubt),
    ],
)
def test_withdrawal_succeeds_only_if_the_reply_says_so(status, body, kind):
    assert isinstance(SCHEDULE.parse_cancel(Response(status, body)), kind)


# The sandbox


@pytest.mark.parametrize("header", ["", "sandbox-secret", "Key=sandbox-secret", "key=other", "key="])
def test_secret_of_the_app_is_checked(header):
    router = make_router(secret="sandbox-secret")
    call = xiaomi_call("regid", {**MESSAGE, "registration_id": "r1"})
    assert send_call(router, "xiaomi", call).code == ""
    wrong = HttpCall("POST", call.path, headers={**HEADERS, "authorization": header}, body=call.body, form=call.form)
    assert send_call(router, "xiaomi", wrong).code == "21301"
    assert router.states["xiaomi"].delivery_log.counts_by_id() == {"r1": 1}


def test_calls_of_a_second_are_counted():
    clock = ManualClock()
    router, call = make_router(clock=clock), xiaomi_call("regid", {**MESSAGE, "registration_id": "r1"})
    assert {send_call(router, "xiaomi", call).code for _ in range(500)} == {""}
    assert send_call(router, "xiaomi", call).code == "200002"
    clock.now += 1
    assert send_call(router, "xiaomi", call).code == ""


def test_other_methods_are_refused():
    assert send_call(make_router(), "xiaomi", HttpCall("GET", "/v3/message/all", headers=HEADERS)).code == "10012"


# Encoding

IDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters=","), min_size=1), min_size=1, max_size=4)


@given(IDS.map(lambda ids: [each.strip(WHITESPACE) or "x" for each in ids]), st.text(st.characters(codec="utf-8")))
def test_ids_and_texts_arrive_as_they_are(ids, text):
    """A form is one text: what separates its fields, and ids, is never read out of an id or a text."""
    wanted = Ids("registration_id", tuple(dict.fromkeys(ids)))
    body = {"title": text, "description": "d", "extra": {"k&v": text, "jobkey": "j"}}
    _, form = build_form(XIAOMI.emit(wanted), body)
    assert (form["title"], form["extra.k&v"], form["description"]) == (text, text, "d")
    assert XIAOMI.parse(urlencode(form)) == wanted
    sandbox = make_router(pl.DataFrame({"registration_id": wanted.values}))
    call = post_form("/v3/message/regid", {**form, "title": "t"})
    assert send_call(sandbox, "xiaomi", call).device_count == len(wanted.values)
