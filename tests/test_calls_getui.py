"""Requests of Getui: their paths, tokens, lists and the status of each cid, platforms, times and withdrawals."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from callers import make_keys
from callers.getui import getui_call
from sending_processes import shrink_batches
from test_messages import parse_fact_message, problem_lines
from vendor_calls import TABLE, ManualClock, make_router, send_call
from virtual_time import VirtualTime

from audience import DeliveryError, DeviceIndex, MessageError, Plan, get_vendor, parse, plan
from audience.delivery import RetryPolicy, SafetyLimits, SendOptions, send
from audience.requests.writer import write_requests
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.sandbox.http_types import HttpCall
from audience.testing.registration import register_vendors
from audience.vendors.delivery_spec import (
    Accepted,
    AccessToken,
    Credentials,
    Fatal,
    InDoubt,
    InvalidIds,
    RateLimit,
    Rejected,
    Response,
    Retryable,
    SendCall,
    SigningContext,
)

GETUI = get_vendor("getui")
DELIVERY = GETUI.delivery
LIST, SHORT_LISTS = DELIVERY.send_methods
CREDENTIALS = Credentials("https://x", {"app_id": "a/1", "app_key": "appkey", "master_secret": "mastersecret"})
KEY_OF_CALL = "be4a8044-bbd6-11e4-a581-000c2940e62c"
BODY = {"push_message": {"transmission": "x"}}


def build_push(body, target, handle=None, credentials=CREDENTIALS):
    call = SendCall(targets=(target,), body=body, handle=handle, idempotency_key=KEY_OF_CALL)
    request = DELIVERY.native_method.build_request(call, credentials)
    assert request.method == "POST"
    return request.path, json.loads(request.content)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("everyone", "/v2/a%2F1/push/all"),
        ("a AND b", "/v2/a%2F1/push/tag"),
        ("registration_id(c1)", "/v2/a%2F1/push/single/cid"),
        ("alias(u1)", "/v2/a%2F1/push/single/alias"),
    ],
)
def test_request_contains_target_and_body(text, path):
    target = GETUI.emit(parse(text))
    assert build_push(BODY, target) == (path, {"request_id": KEY_OF_CALL.replace("-", ""), **BODY, **target})


@pytest.mark.parametrize("text", ["registration_id(c1, c2)", "alias(u1, u2)"])
def test_list_names_the_message_that_was_created_for_it(text):
    target, setup = GETUI.emit(parse(text)), DELIVERY.native_method.setup_call
    [key] = target["audience"]
    assert setup.is_needed((target,))
    created = setup.build_request(BODY, (target,), CREDENTIALS)
    assert (created.path, json.loads(created.content)) == ("/v2/a%2F1/push/list/message", BODY)
    path, said = build_push(BODY, target, "T1")
    assert (path, said) == (f"/v2/a%2F1/push/list/{key}", {**target, "taskid": "T1", "is_async": False})


@pytest.mark.parametrize("audience", [{"cid": []}, {"alias": []}, {}, {"tag": []}, None, "everyone"])
def test_empty_target_is_never_sent_to_everyone(audience):
    with pytest.raises(DeliveryError, match="no target"):
        build_push(BODY, {"audience": audience})


def test_lists_have_a_thousand_cids_or_two_hundred():
    assert [(way.name, way.max_ids, way.dedup_window) for way in DELIVERY.send_methods] == [
        ("list", 1_000, None),
        ("short_lists", 200, None),
    ]
    limits = {way.rate_limits((GETUI.target_ids(["a", "b"]),)) for way in DELIVERY.send_methods}
    assert [(limit.max_calls, limit.period_seconds) for [limit] in limits] == [(2_000_000, 86_400.0)]
    [limit] = DELIVERY.native_method.rate_limits(({"audience": "all"},))
    assert (limit.max_calls, limit.period_seconds) == (5, 60.0)


@pytest.mark.parametrize(
    ("settings", "seconds"), [({}, 3_600), ({"ttl": 259_200_000}, 259_200), ({"ttl": 60_000}, 60), ({"ttl": -1}, 10)]
)
def test_message_of_a_list_is_used_as_long_as_it_is_kept(settings, seconds):
    assert LIST.setup_call.get_lifetime({"settings": settings}) == timedelta(seconds=seconds)


# Statuses of the cids of a list. -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "data", "kind", "ids"),
    [
        (200, {"T1": {"a": "successed_online", "b": "successed_offline"}}, Accepted, ()),
        (200, {"T1": {"a": "successed_online", "b": "target user is invalid"}}, Accepted, ("b",)),
        (200, {"T1": {"a": "successed_ignore", "b": "target user is invalid"}}, Accepted, ("a", "b")),
        (200, {"taskid": "T1"}, Accepted, ()),
        (200, {"T1": {"a": "successed_online", "b": "failed"}}, InDoubt, None),
        (200, {"T1": {"a": "successed_online"}, "T2": {}}, InDoubt, None),
        (200, {"T1": ["a"]}, InDoubt, None),
        (200, {"T1": {"a": None}}, InDoubt, None),
        (200, {}, InDoubt, None),
        (500, {"T1": {"a": "successed_online"}}, InDoubt, None),
    ],
)
def test_devices_that_get_nothing_are_named(status, data, kind, ids):
    reply = LIST.parse_reply(Response(status, json.dumps({"code": 0, "msg": "", "data": data}).encode()))
    assert isinstance(reply, kind)
    assert ids is None or (reply.message_id, reply.invalid_ids) == ("T1", ids)


def test_list_of_unknown_cids_alone_is_divided():
    reply = LIST.parse_reply(Response(400, b'{"code":20001,"msg":"target user is invalid"}'))
    assert isinstance(reply, InvalidIds)
    assert (reply.ids, reply.are_all) == ((), False)


# Access tokens. ------------------------------------------------------------------------------------------------------

TOKENS = DELIVERY.access_tokens


def test_sign_is_the_sha256_of_key_time_and_secret():
    said = json.loads(TOKENS.build_request(CREDENTIALS, datetime.fromtimestamp(1_700_000_000, UTC)).content)
    sign = "b4048b7b7e89b93a02e1259ab0b788a3f0641748a671e43137bf99f540a28b87"
    assert said == {"sign": sign, "timestamp": "1700000000000", "appkey": "appkey"}
    signed = DELIVERY.sign(
        LIST.setup_call.build_request(BODY, (), CREDENTIALS), CREDENTIALS, SigningContext(None, "", "t")
    )
    assert signed.headers["token"] == "t"


@pytest.mark.parametrize(("expires", "seconds"), [('"4102444800000"', 86_400), ("1600000000000", 300), ('"soon"', 300)])
def test_lifetime_of_a_token_is_bounded(expires, seconds):
    content = f'{{"code":0,"msg":"","data":{{"expire_time":{expires},"token":"t0k3n"}}}}'.encode()
    assert TOKENS.parse_reply(Response(200, content)) == AccessToken("t0k3n", seconds)


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (200, '{"code":0,"data":{"token":["t0k3n"]}}', InDoubt),
        (200, '{"code":0,"data":{"token":"t0k3n\\r\\nx: y"}}', InDoubt),
        (200, '{"code":0,"data":{"token":"t0k3n"}', InDoubt),
        (200, '{"code":10001,"data":{"token":"t0k3n"}}', InDoubt),
        (500, '{"code":0,"data":{"token":"t0k3n"}}', InDoubt),
        (401, '{"code":10001,"msg":"sign error"}', Fatal),
        (401, '{"code":10002,"msg":""}', Fatal),
        (400, '{"code":20001,"msg":"appkey is invalid"}', Fatal),
        (200, '{"code":301,"msg":"domain error"}', Fatal),
        (401, '{"code":10003,"msg":"too often"}', Retryable),
        (503, "", InDoubt),
    ],
)
def test_refused_token_is_never_quoted(status, content, kind):
    reply = TOKENS.parse_reply(Response(status, content.encode()))
    assert isinstance(reply, kind)
    assert "t0k3n" not in repr(reply)


def test_token_is_requested_again_if_a_reply_asks_for_it():
    refusal = Response(401, b'{"code": 10001, "msg": "token error"}')
    assert TOKENS.is_refused(refusal)
    assert isinstance(LIST.parse_reply(refusal), Retryable)
    assert not TOKENS.is_refused(Response(200, b'{"code":0,"data":{"T1":{"10001":"successed_online"}}}'))


# Platforms, which a request has no field for. ------------------------------------------------------------------------

IOS_ONLY = '[{"key": "phone_type", "values": ["ios"], "opt_type": "or"}]'


@pytest.mark.parametrize(
    ("platforms", "text", "reasons"),
    [
        (["ios"], "everyone", ["no-such-target $.platforms"]),
        (["ios"], "vip AND platform:ios", []),
        (["ios"], "vip AND platform:android", ["no-such-target $.platforms"]),
        (["ios"], "vip AND (platform:android OR platform:ios)", ["no-such-target $.platforms"]),
        (["ios"], "vip AND NOT platform:android", ["no-such-target $.platforms"]),
        (["android"], "vip AND platform:android", []),
        (["android", "ios", "harmonyos"], "everyone", []),
        ([], "everyone", []),
    ],
)
def test_message_reaches_no_platform_that_it_leaves_out(platforms, text, reasons):
    words = {"title": "t", "body": "b"} | ({"platforms": platforms} if platforms else {})
    body = DELIVERY.build_body(parse_fact_message(json.dumps(words)))
    target = GETUI.emit(parse(text))
    assert problem_lines(DELIVERY.native_method.check(body, (target,), CREDENTIALS)) == reasons


def test_application_without_harmonyos_has_no_part_for_it():
    own = Credentials("https://x", {**CREDENTIALS.keys, "harmonyos": "no"})
    message = DELIVERY.fit_message(parse_fact_message('{"title": "t", "body": "b"}'), own)
    body = DELIVERY.build_body(message)
    assert sorted(body["push_channel"]) == ["android", "ios"]
    targets = (GETUI.target_ids(["a", "b"]),)
    assert not list(LIST.check(body, targets, own))
    assert problem_lines(LIST.check(body, targets, CREDENTIALS)) == ["no-such-target $.platforms"]
    silent = parse_fact_message('{"kind": "silent", "data": {"n": 1}}')
    assert DELIVERY.fit_message(silent, own) == silent


# Times. --------------------------------------------------------------------------------------------------------------

SCHEDULE = DELIVERY.native_method.schedule
MOMENT = datetime(2026, 12, 1, 9, tzinfo=UTC)


def test_pushes_to_the_app_are_kept_and_withdrawn():
    kept = SCHEDULE.apply({**BODY, "settings": {"ttl": 60_000}}, MOMENT)
    assert kept["settings"] == {"ttl": 60_000, "schedule_time": 1_796_115_600_000}
    assert DELIVERY.read_moments(kept) == (MOMENT,)
    assert [SCHEDULE.accepts((GETUI.emit(parse(text)),)) for text in ("everyone", "a", "alias(u1)")] == [
        True,
        True,
        False,
    ]
    assert [way.schedule for way in DELIVERY.send_methods] == [None, None]
    request = SCHEDULE.build_cancel("T/1", CREDENTIALS)
    assert (request.method, request.path) == ("DELETE", "/v2/a%2F1/task/schedule/T%2F1")


def test_time_that_has_passed_when_the_call_is_made_is_refused():
    kept = SCHEDULE.apply(BODY, MOMENT)
    assert DELIVERY.apply_timestamps(kept, MOMENT - timedelta(seconds=1)) == kept
    for now in (MOMENT, MOMENT - timedelta(days=8)):
        with pytest.raises(MessageError, match="untimely"):
            DELIVERY.apply_timestamps(kept, now)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"code": 0, "msg": "success"}', Accepted),
        (200, b"{}", InDoubt),
        (200, b'{"code": 0, "code": 22001}', InDoubt),
        (500, b'{"code": 0}', InDoubt),
        (400, b'{"code": 22001, "msg": "carried out"}', Rejected),
        (400, b'{"code": 22002, "msg": "taskid is invalid"}', Rejected),
        (401, b'{"code": 10005, "msg": "too often"}', Retryable),
        (503, b"", InDoubt),
    ],
)
def test_withdrawal_succeeds_only_if_the_reply_says_so(status, body, kind):
    assert isinstance(SCHEDULE.parse_cancel(Response(status, body)), kind)


# The sandbox: what a call depends on beside its body. -----------------------------------------------------------------


def auth_call(key=KEY, secret=SECRET, app=KEY, timestamp="1796083200000"):
    sign = hashlib.sha256(f"{key}{timestamp}{secret}".encode()).hexdigest()
    said = {"sign": sign, "timestamp": timestamp, "appkey": key}
    return HttpCall("POST", f"/v2/{app}/auth", body=json.dumps(said).encode())


def with_token(call, token):
    return HttpCall(call.method, call.path.replace("a1", KEY), headers={"token": token}, body=call.body)


def push_to(cid="r1", number=1, **fields):
    body = {"request_id": f"request-of-test-{number}", **BODY, "audience": {"cid": [cid]}, **fields}
    return getui_call("single/cid", body)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({}, ""), ({"secret": "other"}, "10001"), ({"app": "other"}, "10001"), ({"key": "k"}, "10001")],
)
def test_token_is_given_for_the_right_sign(changes, code):
    assert send_call(make_router(key=KEY, secret=SECRET), "getui", auth_call(**changes)).code == code


def test_token_ends_after_a_day_or_when_it_is_ended():
    clock = ManualClock()
    desks = make_router(key=KEY, secret=SECRET, clock=clock)
    tokens = [send_call(desks, "getui", auth_call()).body["data"]["token"] for _ in range(2)]
    assert [send_call(desks, "getui", with_token(push_to(), token)).code for token in ("", "x", tokens[0])] == [
        "10001",
        "10001",
        "",
    ]
    assert send_call(desks, "getui", HttpCall("DELETE", f"/v2/{KEY}/auth/{tokens[0]}")).code == ""
    assert send_call(desks, "getui", with_token(push_to(number=2), tokens[0])).code == "10001"
    clock.now += 86_400
    assert send_call(desks, "getui", with_token(push_to(number=2), tokens[1])).code == "10001"


def test_message_of_a_repeated_request_id_is_lost():
    desks = make_router()
    replies = [send_call(desks, "getui", push_to("r1")), send_call(desks, "getui", push_to("r2"))]
    assert replies[0].body == replies[1].body
    assert desks.states["getui"].delivery_log.counts_by_id() == {"r1": 1}


def test_list_is_pushed_by_its_task_until_it_is_stopped_or_over():
    clock = ManualClock()
    desks = make_router(clock=clock)

    def push_list(task, *cids, **fields):
        return send_call(desks, "getui", getui_call("list/cid", {"taskid": task, "audience": {"cid": cids}, **fields}))

    created = [send_call(desks, "getui", getui_call("list/message", BODY)).body["data"]["taskid"] for _ in range(2)]
    assert desks.states["getui"].delivery_log.counts_by_id() == {}
    assert push_list(created[0], "r1", "nobody").body["data"] == {
        created[0]: {"r1": "successed_online", "nobody": "target user is invalid"}
    }
    assert "data" not in push_list(created[0], "r2", is_async=True).body
    assert [push_list(*said).code for said in ((created[0], "x"), ("none", "r1"), (created[0], "r1", "r1"))] == [
        "20001",
        "20001",
        "20001",
    ]
    assert send_call(desks, "getui", HttpCall("DELETE", f"/v2/a1/task/{created[0]}", headers={"token": "t"})).code == ""
    assert push_list(created[0], "r3").code == "20001"
    clock.now += 7_201
    assert push_list(created[1], "r3").code == "20001"
    assert desks.states["getui"].delivery_log.counts_by_id() == {"r1": 1, "r2": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("alias(u1, u3)", ["r1", "r3"]),  # by a list, whose message is created first
        ("alias(u2)", ["r2"]),
        ("a AND b", ["r1"]),
        ('registration_id("r1", "r4")', ["r1", "r4"]),
    ],
)
def test_native_requests_are_sent_to_the_sandbox(tmp_path, text, told):
    index = DeviceIndex.build(TABLE.select("registration_id", "tags", "alias"), tmp_path / "devices.index")
    planned = plan(text, "getui", index, vendor_has="all")
    assert (len(planned.native), planned.by_ids) == (1, None)
    write_requests(planned, index, tmp_path / "run")
    with Sandbox(Population(TABLE), key=KEY, secret=SECRET) as sandbox:
        application, limits = Credentials(sandbox.url, make_keys("getui")), SafetyLimits(max_devices=10)
        assert send(tmp_path / "run", {"title": "Hi", "body": "there"}, application, limits).done
        assert sandbox.delivery_counts("getui") == dict.fromkeys(told, 1)


def test_message_of_a_list_is_created_again_before_it_expires(tmp_path):
    """It can be pushed for the minute that it is kept; fourteen calls, five seconds apart, take longer."""
    now, ids = VirtualTime(MOMENT.timestamp()), [f"r{number}" for number in range(28)]
    table = pl.DataFrame({"registration_id": ids})
    index = DeviceIndex.build(table, tmp_path / "devices.index")
    slow = RateLimit("slow", 1, 5.0, "ours")
    small = shrink_batches(GETUI, "list", 2)
    methods = tuple(replace(way, rate_limits=lambda targets: (slow,)) for way in small.delivery.send_methods)
    everyone = parse("everyone")
    options = SendOptions(RetryPolicy(max_attempts=1), concurrency=1, clock=now.clock())
    with (
        register_vendors(replace(small, delivery=replace(small.delivery, send_methods=methods))),
        Sandbox(Population(table), clock=now.wall) as sandbox,
    ):
        write_requests(Plan("getui", everyone, (), everyone, (), index=index), index, tmp_path / "run")
        message = {"title": "Hi", "body": "there", "time_to_live": 60}
        application, limits = Credentials(sandbox.url, make_keys("getui")), SafetyLimits(max_devices=28)
        assert send(tmp_path / "run", message, application, limits, options=options).done
        assert sandbox.delivery_counts("getui") == dict.fromkeys(ids, 1)
        paths = [entry["endpoint"] for entry in sandbox.log("getui")]
    assert (paths.count("/v2/*/push/list/cid"), paths.count("/v2/*/push/list/message")) == (14, 2)


def test_scheduled_task_is_shown_and_withdrawn_until_its_last_minute():
    clock = ManualClock()
    desks = make_router(clock=clock)

    def task_call(method, task):
        return send_call(desks, "getui", HttpCall(method, f"/v2/a1/task/schedule/{task}", headers={"token": "t"}))

    tasks = []
    for number in range(2):
        push = {"request_id": f"request-of-test-{number}", **SCHEDULE.apply(BODY, MOMENT), "audience": "all"}
        tasks.append(send_call(desks, "getui", getui_call("all", push)).body["data"]["taskid"])
    assert task_call("GET", tasks[0]).body["data"][tasks[0]]["send_result"] == "do_not_send"
    assert [task_call("DELETE", tasks[0]).code for _ in range(2)] == ["", "22001"]
    clock.now = MOMENT.timestamp() - 60
    assert task_call("DELETE", tasks[1]).code == "22001"
    clock.now = MOMENT.timestamp()
    assert task_call("GET", tasks[1]).body["data"][tasks[1]]["send_result"] == "send_success"
    assert task_call("DELETE", "none").code == "22002"
    assert set(desks.states["getui"].delivery_log.counts_by_id().values()) == {1}


def test_pushes_to_the_app_are_five_a_minute_and_a_hundred_a_day():
    clock = ManualClock()
    desks = make_router(clock=clock)

    def push_to_all(number):
        body = {"request_id": f"request-of-test-{number}", **BODY, "audience": "all"}
        return send_call(desks, "getui", getui_call("all", body)).code

    assert [push_to_all(number) for number in range(6)] == [*[""] * 5, "30014"]
    clock.now += 60
    codes = []
    for number in range(6, 103):
        clock.now += 13
        codes.append(push_to_all(number))
    assert codes == [*[""] * 95, "30007", "30007"]
