"""Requests of Airship: lists of pushes, platforms, keys, tokens, times, the dry run, and withdrawals."""

import base64
import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from callers import CALLERS
from test_messages import parse_fact_message, problem_lines

from audience import DeviceIndex, MessageError, Plan, get_vendor, parse
from audience.delivery import SafetyLimits, SendOptions, cancel, send
from audience.delivery.dry_run import perform_dry_run
from audience.delivery.prepare import prepare_run
from audience.delivery.schedule import Schedule
from audience.delivery.withdrawal import withdraw
from audience.requests.writer import write_requests
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.vendors.airship.access import BASE_URLS
from audience.vendors.delivery_spec import (
    Accepted,
    Credentials,
    Rejected,
    Response,
    Retryable,
    SendCall,
    SigningContext,
)

AIRSHIP = get_vendor("airship")
DELIVERY = AIRSHIP.delivery
PUSHES, PUSH = DELIVERY.send_methods
BODY = {"device_types": ["android", "ios"], "notification": {"alert": "x"}}
IDS = [CALLERS["airship"].id_format.format(number) for number in range(20_000)]
MOMENT = datetime(2026, 12, 1, 9, tzinfo=UTC)


def make_credentials(base_url="https://x", auth="basic", secret="s"):
    return Credentials(base_url, {"app_key": "k", "secret": secret, "auth": auth})


def make_call(body, *targets):
    return SendCall(targets=targets, body=body, handle=None, idempotency_key="-")


def build(method, body, *targets, credentials=None):
    return method.build_request(make_call(body, *targets), credentials or make_credentials())


@pytest.mark.parametrize("text", ["everyone", "a AND NOT b", "registration_id(r1, r2)", "alias(u1)", "city:Rome"])
def test_push_has_its_audience_and_its_body(text):
    target = AIRSHIP.emit(parse(text))
    request = build(DELIVERY.native_method, BODY, target)
    assert (request.method, request.path, json.loads(request.content)) == ("POST", "/api/push", {**target, **BODY})
    assert request.headers["Accept"] == "application/vnd.urbanairship+json; version=3"


def test_twenty_thousand_ids_are_twenty_pushes_of_a_call():
    targets = [AIRSHIP.target_ids(IDS[start : start + 1_000]) for start in range(0, 20_000, 1_000)]
    request = build(PUSHES, BODY, *targets)
    pushes = json.loads(request.content)
    assert (PUSHES.max_ids, len(pushes), len(request.content) < 5 * 1024 * 1024) == (20_000, 20, True)
    named = [name for push in pushes for part in push["audience"]["OR"] for name in part["channel"]]
    assert named == IDS
    assert all(len(part["channel"]) <= 100 for push in pushes for part in push["audience"]["OR"])
    assert json.loads(build(PUSHES, BODY, targets[0]).content) == [{**targets[0], **BODY}]


def test_call_that_is_too_large_is_refused_before_anything_is_sent():
    body = {**BODY, "message": {"title": "t", "body": "x" * 240_000}}
    targets = [AIRSHIP.target_ids(IDS[:2])] * 20
    assert problem_lines(PUSHES.check(body, targets, make_credentials())) == ["too-long $"]
    assert not list(PUSH.check(body, targets[:1], make_credentials()))
    assert not list(PUSHES.check(BODY, targets, make_credentials()))


@pytest.mark.parametrize(
    ("message", "target", "types", "reasons"),
    [
        (["android", "ios"], None, ["android", "ios"], []),
        (["ios"], ["ios", "web"], ["ios"], []),
        (["android", "ios"], ["ios"], ["ios"], []),
        (["ios"], ["android"], [], ["other-platform $.platforms"]),
        (["android", "ios"], ["web"], [], ["other-platform $.platforms"]),
    ],
)
def test_platform_is_one_of_message_and_target(message, target, types, reasons):
    body = DELIVERY.build_body(parse_fact_message(json.dumps({"body": "x", "platforms": message})))
    narrowed = {"audience": "all"} | ({"device_types": target} if target else {})
    assert problem_lines(DELIVERY.native_method.check(body, (narrowed,), make_credentials())) == reasons
    if not reasons:
        assert json.loads(build(DELIVERY.native_method, body, narrowed).content)["device_types"] == types


# Keys. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        ("basic", {"Authorization": f"Basic {base64.b64encode(b'k:s').decode()}"}),
        ("bearer", {"Authorization": "Bearer s", "X-UA-Appkey": "k"}),
        ("oauth", {"Authorization": "Bearer ey.x", "X-UA-Appkey": "k"}),
    ],
)
def test_calls_are_signed(auth, headers):
    request, credentials = build(PUSH, BODY, {"audience": "all"}), make_credentials(auth=auth)
    signed = DELIVERY.sign(request, credentials, SigningContext(MOMENT, "", "ey.x"))
    assert {name: value for name, value in signed.headers.items() if name not in request.headers} == headers
    assert DELIVERY.access_tokens.is_needed(credentials) == (auth == "oauth")


@pytest.mark.parametrize("region", ["us", "eu"])
@pytest.mark.parametrize("auth", ["basic", "bearer", "oauth"])
def test_calls_go_to_the_host_of_their_region(region, auth):
    """No token and no call of one region is sent to the other."""
    credentials = make_credentials(BASE_URLS[region], auth, "i:s")
    hosts = {("us", True): "https://api.asnapius.com", ("eu", True): "https://api.asnapieu.com"}
    host = hosts.get((region, auth == "oauth"), "")
    requests = [
        build(PUSH, BODY, {"audience": "all"}, credentials=credentials),
        DELIVERY.dry_run(make_call(BODY, {"audience": "all"}), credentials),
        PUSH.schedule.build_cancel("s1", credentials),
    ]
    paths = ["/api/push", "/api/push/validate", "/api/schedules/s1"]
    assert [request.path for request in requests] == [f"{host}{path}" for path in paths]
    token = DELIVERY.access_tokens.build_request(credentials, MOMENT)
    assert token.path == f"https://oauth2.asnap{'i' + region}.com/token"
    assert token.headers["Authorization"] == f"Basic {base64.b64encode(b'i:s').decode()}"


@pytest.mark.parametrize(
    ("secret", "codes"), [("i:s", []), ("s", ["bad-key"]), (":s", ["bad-key"]), ("i:", ["bad-key"])]
)
def test_client_of_oauth_has_two_parts(secret, codes):
    keys = make_credentials(auth="oauth", secret=secret).keys
    assert [problem.code for problem in DELIVERY.check_keys(keys)] == codes
    assert not list(DELIVERY.check_keys({**keys, "auth": "basic"}))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error": "invalid_scope", "error_description": "psh is not granted"}', "Fatal"),
        (400, b'{"error": "invalid_grant"}', "Fatal"),
        (401, b'{"error": "invalid_client"}', "Fatal"),
        (406, b'{"error": "invalid_request"}', "Fatal"),
        (429, b"", "Retryable"),
        (503, b"", "InDoubt"),
    ],
)
def test_refused_token_says_why(status, body, kind):
    reply = DELIVERY.access_tokens.parse_reply(Response(status, body))
    assert type(reply).__name__ == kind
    assert kind != "Fatal" or (json.loads(body)["error"] in reply.problem.message and "psh" in reply.problem.hint)


# Times. -------------------------------------------------------------------------------------------------------------


def test_kept_call_has_its_moment_and_can_be_withdrawn():
    kept = PUSHES.schedule.apply(BODY, MOMENT)
    request = build(PUSHES, kept, {"audience": "all"}, {"audience": {"tag": "a"}})
    schedule = {"scheduled_time": "2026-12-01T09:00:00"}
    wanted = [{"schedule": schedule, "push": {"audience": audience, **BODY}} for audience in ("all", {"tag": "a"})]
    assert (request.path, json.loads(request.content)) == ("/api/schedules", wanted)
    assert DELIVERY.read_moments(kept) == (MOMENT,)
    cancelled = PUSHES.schedule.build_cancel("s/1", make_credentials())
    assert (cancelled.method, cancelled.path) == ("DELETE", "/api/schedules/s%2F1")


def test_check_of_a_kept_call_is_that_of_its_pushes():
    request = DELIVERY.dry_run(make_call(PUSHES.schedule.apply(BODY, MOMENT), {"audience": "all"}), make_credentials())
    assert (request.path, json.loads(request.content)) == ("/api/push/validate", [{"audience": "all", **BODY}])


@pytest.mark.parametrize(
    ("expiry", "kept"), [(3_600, "2026-12-01T10:00:00"), (0, 0), ("2026-12-02T00:00:00", "2026-12-02T00:00:00")]
)
def test_time_to_live_counts_from_the_moment_of_a_schedule(expiry, kept):
    ios, android = {"alert": "x", "expiry": expiry}, {"alert": "x", "time_to_live": expiry}
    notification = {"ios": ios, "android": android}
    body = {**BODY, "notification": notification, "options": {"expiry": expiry, "no_throttle": True}}
    written = PUSHES.schedule.apply(body, MOMENT)
    assert written["options"] == {"expiry": kept, "no_throttle": True}
    assert written["notification"] == {"ios": {**ios, "expiry": kept}, "android": {**android, "time_to_live": kept}}
    assert (ios["expiry"], android["time_to_live"]) == (expiry, expiry)


def test_times_that_have_passed_when_the_call_is_made_are_refused():
    kept = PUSHES.schedule.apply(BODY, MOMENT)
    assert DELIVERY.apply_timestamps(kept, MOMENT - timedelta(seconds=1)) == kept
    expired = {**BODY, "options": {"expiry": "2026-12-01T09:00:00"}}
    assert DELIVERY.apply_timestamps(expired, MOMENT - timedelta(seconds=1)) == expired
    for body, now in (
        (kept, MOMENT),
        (kept, MOMENT - timedelta(days=61)),
        (expired, MOMENT),
        (PUSHES.schedule.apply(expired, MOMENT), MOMENT - timedelta(hours=1)),
    ):
        with pytest.raises(MessageError, match="untimely"):
            DELIVERY.apply_timestamps(body, now)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (204, b"", Accepted),
        (204, b'{"ok": false, "error": "what"}', None),
        (200, b'{"ok": true}', None),
        (404, b'{"ok": false, "error": "Entity not found", "error_code": 40401}', Rejected),
        (429, b"", Retryable),
        (503, b"", None),
    ],
)
def test_withdrawal_succeeds_only_if_the_reply_says_so(status, body, kind):
    reply = PUSHES.schedule.parse_cancel(Response(status, body))
    assert type(reply).__name__ == (kind.__name__ if kind else "InDoubt")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"ok": true}', "Accepted"),
        (200, b'{"ok": true, "operation_id": "o"}', "Accepted"),
        (200, b'{"ok": false}', "InDoubt"),
        (200, b'{"ok": true, "error": "what"}', "InDoubt"),
        (400, b'{"ok": false, "error": "what", "error_code": 40000}', "Fatal"),
        (401, b"Authorization Required", "Fatal"),
    ],
)
def test_check_says_whether_the_push_is_sound(status, body, kind):
    assert type(DELIVERY.parse_dry_run(Response(status, body))).__name__ == kind


# With the sandbox. --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    return pl.DataFrame({"airship_token": IDS[:2_345], "tags": [["a"]] * 2_345})


@pytest.fixture(scope="module")
def index(table, tmp_path_factory):
    return DeviceIndex.build(table, tmp_path_factory.mktemp("airship") / "x.index", tokens={"airship": "airship_token"})


@pytest.fixture
def folder(index, tmp_path):
    meant = parse("everyone")
    write_requests(Plan("airship", meant, (), meant, (), index=index), index, tmp_path / "run")
    return tmp_path / "run"


LIMITS = SafetyLimits(max_devices=10**6)
MESSAGE = {"title": "Hi", "body": "there", "time_to_live": 3_600}


@pytest.mark.parametrize(("auth", "secret"), [("basic", SECRET), ("bearer", SECRET), ("oauth", f"client:{SECRET}")])
def test_every_way_to_sign_sends_once(table, folder, auth, secret):
    with Sandbox(Population(table), key=KEY, secret=SECRET, rate=None) as sandbox:
        application = Credentials(sandbox.url, {"app_key": KEY, "secret": secret, "auth": auth})
        found = send(folder, MESSAGE, application, LIMITS, options=SendOptions())
        assert (found.done, sandbox.delivery_counts("airship")) == (True, dict.fromkeys(IDS[:2_345], 1))
    stored = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    assert not any(SECRET.encode() in content for content in stored)


def test_dry_run_lets_airship_check_and_sends_nothing(table, folder):
    with Sandbox(Population(table), key=KEY, secret=SECRET, rate=None) as sandbox:
        application = Credentials(sandbox.url, {"app_key": KEY, "secret": SECRET, "auth": "basic"})
        prepared = prepare_run(folder, MESSAGE, application, LIMITS)
        found = perform_dry_run(prepared, validate=True, options=SendOptions())
        assert (found.checked_calls, found.problems, sandbox.delivery_counts("airship")) == (1, (), {})


def test_ids_that_are_none_are_found_and_dropped(table, index, tmp_path):
    """One of them fails the call for all; the others are sent to once."""
    odd = table.with_columns(airship_token=pl.Series(["odd", *IDS[1:2_345]]))
    index = DeviceIndex.build(odd, tmp_path / "odd.index", tokens={"airship": "airship_token"})
    meant = parse("everyone")
    write_requests(Plan("airship", meant, (), meant, (), index=index), index, tmp_path / "odd")
    with Sandbox(Population(table), key=KEY, secret=SECRET, rate=None) as sandbox:
        application = Credentials(sandbox.url, {"app_key": KEY, "secret": SECRET, "auth": "basic"})
        found = send(tmp_path / "odd", MESSAGE, application, LIMITS, options=SendOptions())
        assert (found.done, sum(found.invalid_id_counts.values())) == (True, 1)
        assert sandbox.delivery_counts("airship") == dict.fromkeys(IDS[1:2_345], 1)


def send_in_an_hour(folder, application):
    moment = datetime.now(UTC) + timedelta(hours=1)
    return send(folder, MESSAGE, application, LIMITS, schedule=Schedule(at=moment), options=SendOptions())


def test_run_of_later_is_kept_by_airship_and_withdrawn(table, folder):
    with Sandbox(Population(table), key=KEY, secret=SECRET, rate=None) as sandbox:
        application = Credentials(sandbox.url, {"app_key": KEY, "secret": SECRET, "auth": "basic"})
        found = send_in_an_hour(folder, application)
        assert (found.waiting.kept_ids, sandbox.summary("airship")["waiting"]) == (2_345, 3)
        assert cancel(folder).cancelled
        assert withdraw(folder, application, SendOptions()) == []
        assert (sandbox.summary("airship")["waiting"], sandbox.delivery_counts("airship")) == (0, {})


def test_lost_reply_to_a_schedule_leaves_it_in_doubt_and_is_not_repeated(table, folder):
    with Sandbox(Population(table), key=KEY, secret=SECRET, rate=None) as sandbox:
        application = Credentials(sandbox.url, {"app_key": KEY, "secret": SECRET, "auth": "basic"})
        sandbox.set_faults("drop")
        found = send_in_an_hour(folder, application)
        assert (found.id_counts["in_doubt"], sandbox.summary("airship")["waiting"]) == (2_345, 3)
        cancel(folder)
        [problem] = withdraw(folder, application, SendOptions())
        assert (problem.code, "2,345 ids" in problem.message) == ("not-withdrawn", True)
