"""Requests of Braze: targets, the key, times, withdrawals, limits, and runs against its sandbox."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from callers import CALLERS
from test_messages import parse_fact_message
from vendor_calls import ManualClock, make_router, send_call

from audience import DeliveryError, DeviceIndex, MessageError, Plan, get_vendor, parse
from audience.delivery import SafetyLimits, SendOptions, cancel, resume, send
from audience.delivery.schedule import Schedule
from audience.delivery.transport.credentials import load_credentials
from audience.delivery.withdrawal import withdraw
from audience.requests.writer import write_requests
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.vendors.delivery_spec import (
    Accepted,
    Credentials,
    Rejected,
    Response,
    Retryable,
    SendCall,
    SigningContext,
)

BRAZE = get_vendor("braze")
DELIVERY = BRAZE.delivery
SCHEDULE = DELIVERY.native_method.schedule
BODY = {"messages": {"apple_push": {"alert": "x"}}}
CREDENTIALS = Credentials("https://x", {"api_key": "k"})
IDS = [CALLERS["braze"].id_format.format(number) for number in range(123)]
MOMENT = datetime(2026, 12, 1, 9, tzinfo=UTC)
LIMITS = SafetyLimits(max_devices=10**6)
MESSAGE = {"title": "Hi", "body": "there", "time_to_live": 3_600}


def build(body, target):
    call = SendCall(targets=(target,), body=body, handle=None, idempotency_key="-")
    request = DELIVERY.native_method.build_request(call, CREDENTIALS)
    assert request.method == "POST"
    return request.path, json.loads(request.content)


@pytest.mark.parametrize("text", ["vip AND NOT size:4", "alias(u1, u2)", "reference(braze, segment_id, s)"])
def test_request_has_its_target_and_its_body(text):
    target = BRAZE.emit(parse(text))
    assert build(BODY, target) == ("/messages/send", {**target, **BODY})
    assert ("broadcast" in target) == ("external_user_ids" not in target)


def test_fifty_users_are_one_call_without_broadcast():
    [way] = DELIVERY.send_methods
    assert (way.max_ids, BRAZE.max_ids, way.dedup_window, DELIVERY.dry_run) == (50, 50, None, None)
    assert build(BODY, BRAZE.target_ids(IDS[:50]))[1] == {"external_user_ids": IDS[:50], **BODY}


def test_limits_are_those_of_broadcasts_or_of_calls_to_users():
    limits = DELIVERY.native_method.rate_limits
    rates = [
        [(limit.max_calls, limit.period_seconds) for limit in limits((target,))]
        for target in (BRAZE.target_ids(IDS[:2]), BRAZE.emit(parse("vip")), {"user_aliases": [{}]})
    ]
    assert rates == [[(250_000, 3_600)], [(10, 60)], [(250_000, 3_600)]]


def test_signature_is_the_key():
    request = DELIVERY.native_method.schedule.build_cancel("s1", CREDENTIALS)
    assert DELIVERY.sign(request, CREDENTIALS, SigningContext(MOMENT, "")).headers["Authorization"] == "Bearer k"


def test_instance_has_to_be_named():
    """A key works at its own instance alone, and 401 of another one looks like a wrong key."""
    keys = {"AUDIENCE_BRAZE_API_KEY": "k"}
    with pytest.raises(DeliveryError, match="eu-01"):
        load_credentials("braze", DELIVERY, environment=keys)
    named = load_credentials("braze", DELIVERY, environment=keys, host="eu-01")
    assert named == Credentials("https://rest.fra-01.braze.eu", {"api_key": "k"})
    assert len(set(DELIVERY.base_urls.values())) == len(DELIVERY.base_urls) == 15


# Times. -------------------------------------------------------------------------------------------------------------


def test_kept_call_has_its_moment_and_the_words_of_its_path():
    kept = SCHEDULE.apply({**BODY, "override_frequency_capping": True}, MOMENT)
    schedule = {"schedule": {"time": "2026-12-01T09:00:00Z"}, "override_messaging_limits": True}
    target = BRAZE.target_ids(["u1", "u2"])
    assert build(kept, target) == ("/messages/schedule/create", {**target, **BODY, **schedule})
    assert DELIVERY.read_moments(kept) == (MOMENT,)
    cancelled = SCHEDULE.build_cancel("s1", CREDENTIALS)
    assert (cancelled.path, json.loads(cancelled.content)) == ("/messages/schedule/delete", {"schedule_id": "s1"})


@pytest.mark.parametrize("kept", [False, True])
def test_time_to_live_on_ios_counts_from_the_message(kept):
    body = DELIVERY.build_body(parse_fact_message('{"title": "t", "body": "b", "time_to_live": 60}'))
    now = MOMENT - timedelta(hours=kept)
    written = DELIVERY.apply_timestamps(SCHEDULE.apply(body, MOMENT) if kept else body, now)
    assert written["messages"]["apple_push"]["expiry"] == "2026-12-01T09:01:00Z"
    assert written["messages"]["android_push"]["time_to_live"] == 60
    assert body["messages"]["apple_push"]["expiry"] == "+60"


def test_times_that_have_passed_when_the_call_is_made_are_refused():
    kept = SCHEDULE.apply(BODY, MOMENT)
    assert DELIVERY.apply_timestamps(kept, MOMENT - timedelta(seconds=1)) == kept
    expired = {"messages": {"apple_push": {"alert": "x", "expiry": "2026-12-01T17:00:00+08:00"}}}
    assert DELIVERY.apply_timestamps(expired, MOMENT - timedelta(seconds=1)) == expired
    for body, now in (
        (kept, MOMENT),
        (kept, MOMENT - timedelta(days=91)),
        (expired, MOMENT),
        (SCHEDULE.apply(expired, MOMENT), MOMENT - timedelta(hours=1)),
    ):
        with pytest.raises(MessageError, match="untimely"):
            DELIVERY.apply_timestamps(body, now)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (201, b'{"message": "success"}', Accepted),
        (201, b'{"message": "success", "errors": ["what"]}', None),
        (201, b"{}", None),
        (400, b'{"message": "success"}', None),
        (400, b'{"message": "no such schedule"}', Rejected),
        (404, b"", Rejected),
        (429, b"", Retryable),
        (503, b"", None),
    ],
)
def test_withdrawal_succeeds_only_if_the_reply_says_so(status, body, kind):
    reply = SCHEDULE.parse_cancel(Response(status, body))
    assert type(reply).__name__ == (kind.__name__ if kind else "InDoubt")


def test_wait_ends_when_the_limit_is_reset():
    soon = datetime.now(UTC) + timedelta(seconds=90)
    headers = {"x-ratelimit-reset": str(int(soon.timestamp())), "x-ratelimit-remaining": "0"}
    reply = DELIVERY.native_method.parse_reply(Response(429, b"", headers))
    assert 60 < reply.retry_after <= 90
    both = DELIVERY.native_method.parse_reply(Response(429, b"", {**headers, "retry-after": "3"}))
    assert both.retry_after == 3
    assert DELIVERY.native_method.parse_reply(Response(429, b"", {"x-ratelimit-reset": "soon"})).retry_after is None


# With the sandbox. --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    return pl.DataFrame({"braze_token": IDS, "vip": [number % 2 == 0 for number in range(len(IDS))]})


@pytest.fixture(scope="module")
def index(table, tmp_path_factory):
    return DeviceIndex.build(table, tmp_path_factory.mktemp("braze") / "x.index", tokens={"braze": "braze_token"})


@pytest.fixture
def folder(index, tmp_path):
    meant = parse("everyone")
    write_requests(Plan("braze", meant, (), meant, (), index=index), index, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def sandbox(table):
    with Sandbox(Population(table), key=KEY, secret=SECRET, rate=None) as running:
        yield running


def send_folder(folder, sandbox, **options):
    application = Credentials(sandbox.url, {"api_key": SECRET})
    return send(folder, MESSAGE, application, LIMITS, options=SendOptions(), **options), application


def test_users_are_messaged_once_and_no_file_has_the_key(folder, sandbox):
    found, _ = send_folder(folder, sandbox)
    assert (found.done, sandbox.delivery_counts("braze")) == (True, dict.fromkeys(IDS, 1))
    assert sum(found.batch_counts.values()) == 3
    stored = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    assert not any(SECRET.encode() in content for content in stored)


def test_run_of_later_is_kept_by_braze_and_withdrawn(folder, sandbox):
    at = Schedule(at=datetime.now(UTC) + timedelta(hours=1))
    found, application = send_folder(folder, sandbox, schedule=at)
    assert (found.waiting.kept_ids, sandbox.summary("braze")["waiting"]) == (123, 3)
    assert cancel(folder).cancelled
    assert withdraw(folder, application, SendOptions()) == []
    assert (sandbox.summary("braze")["waiting"], sandbox.delivery_counts("braze")) == (0, {})


def test_lost_reply_leaves_users_in_doubt_who_are_not_messaged_again(folder, sandbox):
    sandbox.set_faults("drop:#1")
    found, application = send_folder(folder, sandbox)
    assert (found.id_counts["in_doubt"] in (23, 50), found.done) == (True, False)
    sandbox.set_faults()
    assert resume(folder, application, options=SendOptions()).undecided == 1
    assert sandbox.delivery_counts("braze") == dict.fromkeys(IDS, 1)


def test_broadcasts_have_limits_of_their_own(table):
    """Ten a minute to one audience, 250 to all; calls to users are no broadcasts."""
    clock = ManualClock()
    desks, call = make_router(clock=clock), CALLERS["braze"].send
    vip, others = BRAZE.emit(parse("vip")), [BRAZE.emit(parse(f"x:{number}")) for number in range(250)]
    assert [send_call(desks, "braze", call(vip)).code for _ in range(11)] == [*[""] * 10, "429"]
    refused = send_call(desks, "braze", call(vip))
    assert 0 < int(refused.headers["x-ratelimit-reset"]) - clock.now <= 61
    codes = [send_call(desks, "braze", call(target)).code for target in others]
    assert codes == [*[""] * 240, *["429"] * 10]
    assert send_call(desks, "braze", call({"external_user_ids": ["r1"]})).code == ""
    clock.now += 61
    assert send_call(desks, "braze", call(vip)).code == ""
