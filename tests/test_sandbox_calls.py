"""What a call of the sandbox depends on beside its body: who calls, how fast, and what came before."""

import io
import json
import zipfile
from base64 import b64encode
from dataclasses import replace

import polars as pl
import pytest
from vendor_calls import (
    BASIC_AUTH,
    NOTIFICATION,
    START,
    TABLE,
    ManualClock,
    emas_call,
    emas_push_call,
    emas_push_v2_call,
    engagelab_call,
    jpush_call,
    make_router,
    send_call,
    tpns_call,
    tpns_message,
    upload_call,
)

from audience.errors import TableError
from audience.sandbox import KEY, Population
from audience.sandbox.http_types import HttpCall
from audience.sandbox.router import Router, list_deliveries, summarize_deliveries

TPNS_SIGN = "ZTFjMTk1NDE2NzI2OWU4ZDliNDBhMjI4ZWM1ODc1YmQyZjU1ZTEyNDBiZGY5MTE4MjRmZTQxOTgyNTZhMGNmMQ=="
MASS_TASK = {"PushType": "NOTICE", "DeviceType": "ALL", "Target": "DEVICE", "TargetValue": "r1", "Title": "t"}


def make_mass_tasks(count: int) -> dict[str, str]:
    """*count* tasks of a MassPush, each to r1."""
    return {f"PushTask.{number}.{name}": value for number in range(1, count + 1) for name, value in MASS_TASK.items()}


@pytest.fixture
def clock():
    return ManualClock()


# Who may call


@pytest.mark.parametrize(
    ("vendor", "headers", "status", "code"),
    [
        ("engagelab", {}, 401, "27001"),
        ("engagelab", {"authorization": "Basic !"}, 401, "21004"),
        ("engagelab", {"authorization": "Basic azp3cm9uZw=="}, 401, "21004"),
        ("engagelab", {"authorization": "Basic azpz"}, 200, ""),
        ("jpush", {}, 401, "1004"),
        ("jpush", {"authorization": "Basic azp3cm9uZw=="}, 401, "1004"),
        ("tpns", {}, 200, "1008003"),
        ("tpns", {"authorization": "Basic azp3cm9uZw=="}, 200, "10030002"),
        ("tpns", {"sign": "x", "accessid": "k", "timestamp": "1"}, 200, "1008003"),
        ("tpns", {"sign": "x", "accessid": "other", "timestamp": "1"}, 200, "1008003"),
    ],
)
def test_only_configured_credentials_are_accepted(vendor, headers, status, code):
    sound = {
        "engagelab": engagelab_call({"to": "all", "body": NOTIFICATION}),
        "jpush": jpush_call({"audience": "all", "platform": "all", "message": {"msg_content": "x"}}),
        "tpns": tpns_call(tpns_message(audience_type="all")),
    }
    reply = send_call(make_router(key="k", secret="s"), vendor, replace(sound[vendor], headers=headers))
    assert (reply.status, reply.code) == (status, code)


def test_signed_tpns_call_is_accepted():
    """The Sign was made with openssl and base64 for this very body."""
    said = tpns_message(audience_type="token", token_list=["r1"])
    ordered = {name: said[name] for name in ("audience_type", "token_list", "message_type", "message")}
    body = json.dumps(ordered, separators=(",", ":")).encode()
    headers = {"sign": TPNS_SIGN, "accessid": KEY, "timestamp": "1565314789"}
    assert send_call(make_router(), "tpns", HttpCall("POST", "/v3/push/app", headers=headers, body=body)).code == ""
    assert (
        send_call(make_router(), "tpns", HttpCall("POST", "/v3/push/app", headers=headers, body=body + b" ")).code
        == "1008003"
    )


def test_only_post_is_accepted():
    assert send_call(make_router(), "engagelab", HttpCall("GET", "/v4/push")).status == 405
    assert send_call(make_router(), "jpush", HttpCall("GET", "/v3/push", headers=BASIC_AUTH)).code == "1001"


def test_nonce_is_accepted_once_in_15_minutes(clock):
    desks = make_router(clock=clock)
    assert send_call(desks, "emas", emas_push_call(SignatureNonce="n")).code == ""
    assert send_call(desks, "emas", emas_push_call(SignatureNonce="n")).code == "SignatureNonceUsed"
    clock.now += 901
    assert send_call(desks, "emas", emas_push_call(at=clock.now, SignatureNonce="n")).code == ""


# Rates


@pytest.mark.parametrize("scale", [1.0, 10.0])
@pytest.mark.parametrize(
    ("vendor", "call", "limit", "seconds", "code"),
    [
        ("engagelab", engagelab_call({"to": "all", "body": NOTIFICATION}), 500, 1, "23008"),
        ("jpush", jpush_call({"audience": "all", "platform": "all", "message": {"msg_content": "x"}}), 600, 60, "2002"),
        ("tpns", tpns_call(tpns_message(audience_type="tag", tag_list={"tags": ["a"], "op": "OR"})), 1, 1, "1008028"),
        ("emas", lambda: emas_push_call(), 1, 1, "Throttling.User"),
        ("emas", lambda: emas_call("MassPush", **make_mass_tasks(1)), 500, 1, "Throttling.User"),
    ],
)
def test_calls_beyond_rate_limit_are_rejected(clock, scale, vendor, call, limit, seconds, code):
    desks = make_router(clock=clock, rate=scale)
    made = call if callable(call) else lambda: call
    assert {send_call(desks, vendor, made()).code for _ in range(limit)} == {""}
    assert send_call(desks, vendor, made()).code == code
    clock.now += seconds / scale * 0.9
    assert send_call(desks, vendor, made()).code == code
    clock.now += seconds / scale * 0.1
    assert send_call(desks, vendor, made()).code == ""


def test_tpns_lists_have_no_rate_limit(clock):
    desks = make_router(clock=clock)
    call = tpns_call(tpns_message(audience_type="token_list", token_list=["r1"]))
    assert {send_call(desks, "tpns", call).code for _ in range(50)} == {""}


def test_rate_none_disables_rate_limits(clock):
    desks = make_router(clock=clock, rate=None)
    assert {send_call(desks, "tpns", tpns_call(tpns_message(audience_type="all"))).code for _ in range(50)} == {""}


def test_identical_broadcast_is_accepted_once_an_hour(clock):
    desks = make_router(clock=clock)
    codes = []
    for seconds, said in [(0, {}), (10, {}), (20, {"seq": 2}), (3_700, {})]:
        clock.now = START + seconds
        codes.append(send_call(desks, "tpns", tpns_call(tpns_message(audience_type="all", **said))).code)
    assert codes == ["", "10010018", "", ""]


# Calls that belong together


def test_idempotent_token_delivers_once_in_15_minutes(clock):
    desks = make_router(clock=clock)
    token = "c8016d13-6e76-410c-9bda-769383d11787"
    task = {"Target": {"Type": "DEVICE", "Value": "r1"}}
    bodies = []
    for seconds in (0, 899, 901):
        clock.now = START + seconds
        bodies.append(send_call(desks, "emas", emas_push_v2_call(task, at=clock.now, IdempotentToken=token)).body)
    assert bodies[0] == bodies[1] != bodies[2]
    assert desks.states["emas"].delivery_log.counts_by_id() == {"r1": 2}
    again = emas_push_v2_call(task, at=clock.now, IdempotentToken=token.upper())
    assert send_call(desks, "emas", again).body == bodies[2]
    other = emas_push_v2_call(task, at=clock.now, IdempotentToken=token, AppKey="2")
    assert send_call(desks, "emas", other).body != bodies[2]


def test_token_of_rejected_call_can_be_reused():
    desks = make_router()
    token = "c8016d13-6e76-410c-9bda-769383d11787"
    assert send_call(desks, "emas", emas_push_v2_call({"Message": None}, IdempotentToken=token)).code
    assert send_call(desks, "emas", emas_push_v2_call({}, IdempotentToken=token)).code == ""


def test_continuous_push_ends_after_a_day_or_10000_calls(clock):
    desks = make_router(clock=clock, rate=None)
    task = {"Action": "CREATE_CONTINUOUS_PUSH", "Target": None}
    first, second = (send_call(desks, "emas", emas_push_v2_call(task)).message_id for _ in range(2))
    more = {"Target": "DEVICE", "TargetValue": "r1"}
    messages = desks.states["emas"].continuous_messages
    messages[first] = replace(messages[first], calls=9_999)
    assert send_call(desks, "emas", emas_call("ContinuouslyPush", MessageId=first, **more)).code == ""
    assert send_call(desks, "emas", emas_call("ContinuouslyPush", MessageId=first, **more)).code == "Invalid.Parameter"
    again = {"Action": "CONTINUOUS_PUSH", "Target": {"Type": "ALIAS", "Value": "u2"}, "Options": {"MessageId": second}}
    assert send_call(desks, "emas", emas_push_v2_call(again)).code == ""
    clock.now += 86_401
    assert send_call(desks, "emas", emas_push_v2_call(again, at=clock.now)).code == "Invalid.Parameter"
    assert desks.states["emas"].delivery_log.counts_by_id() == {"r1": 1, "r2": 1}


def test_continuous_push_reaches_platform_of_its_message():
    desks = make_router()
    message = send_call(desks, "emas", emas_push_call(DeviceType="iOS", Target="TBD", TargetValue="TBD")).message_id
    call = emas_call("ContinuouslyPush", MessageId=message, Target="DEVICE", TargetValue="r1,r2")
    assert send_call(desks, "emas", call).code == ""
    assert desks.states["emas"].delivery_log.counts_by_id() == {"r2": 1}


@pytest.mark.parametrize("kind", ["ALL", "TAG"])
def test_continuous_and_mass_pushes_take_only_lists(kind):
    desks = make_router()
    message = send_call(desks, "emas", emas_push_call(Target="TBD", TargetValue="TBD")).message_id
    more = emas_call("ContinuouslyPush", MessageId=message, Target=kind, TargetValue="ALL")
    assert send_call(desks, "emas", more).code == "Invalid.Parameter"
    wide = {"PushTask.1.Target": kind, "PushTask.1.TargetValue": "ALL"}
    assert send_call(desks, "emas", emas_call("MassPush", **make_mass_tasks(1) | wide)).code == "TargetNotSupported"
    two = json.dumps([{"Target": {"Type": kind, "Value": "ALL"}, "Message": {"Title": "t"}}])
    assert send_call(desks, "emas", emas_call("MassPushV2", PushTasks=two)).code == "TargetNotSupported"


@pytest.mark.parametrize(("count", "code"), [(100, ""), (101, "InvalidPushTask.LengthExceed")])
def test_mass_push_has_at_most_100_tasks(count, code):
    desks = make_router()
    assert send_call(desks, "emas", emas_call("MassPush", **make_mass_tasks(count))).code == code
    assert desks.states["emas"].delivery_log.counts_by_id() == ({} if code else {"r1": 100})


def test_mass_push_with_one_bad_task_delivers_nothing():
    desks = make_router()
    assert (
        send_call(desks, "emas", emas_call("MassPush", **make_mass_tasks(2) | {"PushTask.2.Target": "X"})).code
        == "Invalid.Parameter"
    )
    assert desks.states["emas"].delivery_log.counts_by_id() == {}


def test_scheduled_push_is_delivered_when_due(clock):

    desks = make_router(clock=clock)
    call = tpns_call(tpns_message(audience_type="all", send_time="2026-12-01 08:10:00"))
    assert send_call(desks, "tpns", call).code == ""
    assert (summarize_deliveries(desks, "tpns")["waiting"], summarize_deliveries(desks, "tpns")["delivered"]) == (1, 0)
    clock.now += 601
    assert (summarize_deliveries(desks, "tpns")["waiting"], summarize_deliveries(desks, "tpns")["delivered"]) == (0, 4)


def test_loop_push_has_one_id_per_send_time(clock):

    desks = make_router(clock=clock)
    loop = {"startDate": "2026-12-03", "endDate": "2026-12-04", "loopType": 1, "loopDayIndexs": [0]}
    call = tpns_call(tpns_message(audience_type="all", loop_param={**loop, "dayTimes": ["19:00:00", "20:00:00"]}))
    assert len(send_call(desks, "tpns", call).body["push_id"]) == 4
    clock.now += 5 * 86_400
    assert desks.states["tpns"].delivery_log.flush_due().counts_by_id() == dict.fromkeys(["r1", "r2", "r3", "r4"], 4)


LOOP_DAYS = {"startDate": "2026-12-03", "endDate": "2026-12-03", "loopType": 1, "loopDayIndexs": [0]}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"loopDayIndexs": [3]}, "1008007"),
        ({"loopType": 2, "loopDayIndexs": [7]}, "1008007"),
        ({"loopType": 2, "loopDayIndexs": [4]}, ""),  # the third of December is a Thursday
        ({"loopType": 2, "loopDayIndexs": [5]}, "10010012"),
        ({"loopType": 3, "loopDayIndexs": [0]}, "1008007"),
        ({"loopType": 3, "loopDayIndexs": [3]}, ""),
        ({"startDate": "2026-11-30"}, "1008007"),
        ({"endDate": "2027-03-02"}, "1008007"),
        ({"endDate": "2026-12-02"}, "1008007"),
    ],
)
def test_loop_has_days_in_range_and_one_to_come(clock, changes, code):
    call = tpns_call(tpns_message(audience_type="all", loop_param={**LOOP_DAYS, **changes, "dayTimes": ["19:00:00"]}))
    assert send_call(make_router(clock=clock), "tpns", call).code == code


def cancel_call(push_id) -> HttpCall:
    return HttpCall(
        "POST", "/v3/push/cancel_timing_task", headers=BASIC_AUTH, body=json.dumps({"pushId": push_id}).encode()
    )


def test_waiting_push_of_tpns_is_cancelled_once(clock):
    router = make_router(clock=clock)
    later, now = (
        send_call(router, "tpns", tpns_call(tpns_message(**fields))).body["push_id"]
        for fields in (
            {"audience_type": "all", "send_time": "2026-12-01 08:10:00"},
            {"audience_type": "token", "token_list": ["r1"]},
        )
    )
    assert send_call(router, "tpns", cancel_call(later)).body == {"retCode": 0, "errMsg": ""}
    for push_id, code in ((later, "1008007"), (now, "1008007"), ("7", "1008015"), (None, "1008002"), ([], "1008007")):
        assert send_call(router, "tpns", cancel_call(push_id)).code == code
    clock.now += 86_400
    assert router.states["tpns"].delivery_log.flush_due().counts_by_id() == {"r1": 1}


def test_engagelab_overrides_a_message_of_the_last_day_only(clock):
    router = make_router(clock=clock)
    first = engagelab_call({"to": {"registration_id": ["r1"]}, "body": NOTIFICATION})
    validated = send_call(
        router, "engagelab", HttpCall("POST", "/v4/push/validate", headers=BASIC_AUTH, body=first.body)
    )
    message = int(send_call(router, "engagelab", first).body["msg_id"])

    def override(number):
        body = {**NOTIFICATION, "options": {"override_msg_id": number}}
        return send_call(router, "engagelab", engagelab_call({"to": {"registration_id": ["r1"]}, "body": body})).code

    assert [override(message), override(message + 100), override(int(validated.body["msg_id"]))] == ["", "7006", "7006"]
    clock.now += 86_401
    assert override(message) == "7006"


def test_group_of_engagelab_has_a_path_and_a_user_name_of_its_own():
    body = json.dumps({"to": {"tag": ["a"]}, "body": NOTIFICATION}).encode()
    group = {"authorization": f"Basic {b64encode(b'group-k:s').decode()}"}
    router = make_router()
    for path, headers in (("/v4/grouppush", BASIC_AUTH), ("/v4/push", group), ("/v4/push/validate", group)):
        assert send_call(router, "engagelab", HttpCall("POST", path, headers=headers, body=body)).code == "21004"
    reply = send_call(router, "engagelab", HttpCall("POST", "/v4/grouppush", headers=group, body=body))
    message = reply.body.pop("group_msgid")
    assert list(reply.body.values()) == [{"msg_id": message}]
    assert router.states["engagelab"].delivery_log.counts_by_id(message) == {"r1": 1, "r2": 1}


# Packages


def make_zip(**files: bytes) -> bytes:

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("t.txt", b"r1\nr3\n", ""),
        ("t.csv", "\ufeffr1\r\nr3\r\n".encode(), ""),
        ("t.zip", make_zip(t_txt=b"r1\nr3"), ""),
        ("t.zip", make_zip(t_txt=b"r1", u_txt=b"r3"), "1008011"),
        ("t.zip", make_zip(f__t_txt=b"r1"), "1008011"),
        ("t.zip", make_zip(t_doc=b"r1"), "1008011"),
        ("t.zip", b"r1", "1008011"),
        ("t.doc", b"r1", "1008011"),
        ("t.csv", b"r1,r3", "1008011"),
        ("t.txt", b"\xff\xfe", "1008011"),
        ("t.txt", b"x", "1008011"),
        ("t.txt", b"", "1008012"),
        ("t.txt", b"\n\n", "1008012"),
        (f"{'t' * 97}.txt", b"r1", "1008011"),
    ],
)
def test_package_must_be_one_list_of_ids(name, data, code):
    desks = make_router()
    reply = send_call(desks, "tpns", upload_call(name, data))
    assert (reply.code, reply.body["retCode"]) == (code, int(code or 0))
    if not code:
        call = tpns_call(tpns_message(audience_type="package_token_push", upload_id=reply.body["uploadId"]))
        assert send_call(desks, "tpns", call).body["ret_code"] == 0
        assert desks.states["tpns"].delivery_log.counts_by_id() == {"r1": 1, "r3": 1}


def test_account_package_reaches_newest_device():
    desks = make_router()
    number = send_call(desks, "tpns", upload_call("a.txt", b"x1\nx1\nx9")).body["uploadId"]
    send_call(desks, "tpns", tpns_call(tpns_message(audience_type="package_account_push", upload_id=number)))
    assert desks.states["tpns"].delivery_log.counts_by_id() == {"r2": 1}


def test_package_without_file_is_rejected():
    call = HttpCall("POST", "/v3/push/package/upload", headers=BASIC_AUTH)
    assert send_call(make_router(), "tpns", call).body == {
        "retCode": 1008002,
        "errMsg": "file is missing",
        "uploadId": 0,
    }


# Populations


def test_vendor_knows_only_devices_with_its_id():
    table = TABLE.with_columns(tpns_token=pl.Series(["t1", None, "t3", None]))
    desks = make_router(table)
    send_call(desks, "tpns", tpns_call(tpns_message(audience_type="all")))
    send_call(desks, "engagelab", engagelab_call({"to": "all", "body": NOTIFICATION}))
    assert set(desks.states["tpns"].delivery_log.counts_by_id()) == {"t1", "t3"}
    assert summarize_deliveries(desks, "engagelab")["delivered"] == 4
    assert (
        send_call(desks, "tpns", tpns_call(tpns_message(audience_type="token_list", token_list=["r1"]))).code
        == "1008006"
    )


def test_typed_tag_patterns_are_configurable():
    desks = Router(Population(TABLE, {"emas": "{value}", "engagelab": "{type}:{value}"}), clock=ManualClock())
    assert send_call(desks, "emas", emas_push_call(Target="TAG", TargetValue="hunan")).device_count == 2
    assert (
        send_call(desks, "engagelab", engagelab_call({"to": {"tag": ["age:20"]}, "body": NOTIFICATION})).device_count
        == 2
    )


@pytest.mark.parametrize(
    "columns",
    [{"id": ["r1"]}, {"registration_id": ["r1", "r1"]}, {"registration_id": ["r1", "r2"], "tpns_token": ["t", "t"]}],
)
def test_table_without_unique_ids_is_rejected(columns):
    with pytest.raises(TableError):
        Population(pl.DataFrame(columns))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ndjson", ".arrow"])
def test_population_reads_table_files(tmp_path, suffix):
    file = tmp_path / f"devices{suffix}"
    flat = TABLE.drop("tags", "account")
    {".parquet": flat.write_parquet, ".csv": flat.write_csv, ".ndjson": flat.write_ndjson, ".arrow": flat.write_ipc}[
        suffix
    ](file)
    people = Population.read(file)
    assert people.devices_with_value("active", "2020-04-08").tolist() == [True, False, False, True]
    assert people.devices_with_value("age", "20").tolist() == [True, True, False, False]
    with pytest.raises(TableError):
        Population.read(tmp_path / "nowhere.parquet")


# Time, and what was delivered when


@pytest.mark.parametrize(
    ("vendor", "keys", "scheduled"),
    [
        (
            *("tpns", ["message", "message_type"]),
            lambda: tpns_call(tpns_message(audience_type="all", send_time="2026-12-01 08:10:00")),
        ),
        ("emas", ["PushType", "Title"], lambda: emas_push_call(PushTime="2026-12-01T00:10:00Z")),
        (
            *("emas", ["Message"]),
            lambda: emas_push_v2_call({"Action": "SCHEDULED_PUSH", "Options": {"PushTime": "2026-12-01T00:10:00Z"}}),
        ),
    ],
)
def test_scheduled_delivery_is_logged_at_its_moment(clock, vendor, keys, scheduled):
    """One clock decides, and the moment is that of the delivery, not of the call that finds it due."""
    desks = make_router(clock=clock)
    assert send_call(desks, vendor, scheduled()).code == ""
    clock.now += 599
    assert [entry["state"] for entry in list_deliveries(desks, vendor)] == ["waiting"]
    clock.now += 3_000
    assert [
        (entry["state"], entry["at"], entry["ids"], sorted(entry["content"]))
        for entry in list_deliveries(desks, vendor)
    ] == [("delivered", "2026-12-01T00:10:00.000+00:00", ["r1", "r2", "r3", "r4"], keys)]


def test_cancelled_push_stays_in_log_and_reaches_nobody(clock):
    desks = make_router(clock=clock)
    message = send_call(desks, "emas", emas_push_call(PushTime="2026-12-01T00:10:00Z")).message_id
    assert send_call(desks, "emas", emas_call("CancelPush", MessageId=message)).code == ""
    clock.now += 600
    assert [(entry["message"], entry["state"]) for entry in list_deliveries(desks, "emas")] == [(message, "cancelled")]
    assert desks.states["emas"].delivery_log.counts_by_id() == {}


def test_push_is_cancelled_only_while_it_waits(clock):
    desks = make_router(clock=clock)
    message = send_call(desks, "emas", emas_push_call(PushTime="2026-12-01T00:10:00Z")).message_id
    clock.now += 600
    cancel = emas_call("CancelPush", at=clock.now, MessageId=message)
    assert send_call(desks, "emas", cancel).code == "Invalid.Parameter"
    assert desks.states["emas"].delivery_log.counts_by_id(message) == dict.fromkeys(["r1", "r2", "r3", "r4"], 1)


# Cids of JPush.


def draw_cids(router, **query) -> list[str]:
    return send_call(router, "jpush", HttpCall("GET", "/v3/push/cid", query=query, headers=BASIC_AUTH)).body["cidlist"]


def push_with(cid: str) -> HttpCall:
    return jpush_call({"cid": cid, "audience": "all", "platform": "all", "message": {"msg_content": "x"}})


@pytest.mark.parametrize(("query", "number"), [({}, 1), ({"count": "3"}, 3), ({"count": "1000", "type": "push"}, 10)])
def test_free_application_gets_ten_cids(query, number):
    cids = draw_cids(make_router(), **query)
    assert len(set(cids)) == number
    assert all(cid.startswith("k-") for cid in cids)


@pytest.mark.parametrize("query", [{"count": "0"}, {"count": "1001"}, {"count": "x"}, {"type": "group"}])
def test_wrong_call_for_cids_is_refused(query):
    assert (
        send_call(make_router(), "jpush", HttpCall("GET", "/v3/push/cid", query=query, headers=BASIC_AUTH)).code
        == "1003"
    )


def test_cid_returns_its_first_success_for_a_day(clock):
    router = make_router(clock=clock)
    [cid] = draw_cids(router)
    first = send_call(router, "jpush", push_with(cid))
    clock.now += 86_399
    assert send_call(router, "jpush", push_with(cid)).body == first.body
    clock.now += 1
    assert send_call(router, "jpush", push_with(cid)).code == "1003"
    assert set(router.states["jpush"].delivery_log.counts_by_id().values()) == {1}


def test_cid_of_a_failed_push_is_not_used_up():
    router = make_router()
    [cid] = draw_cids(router)
    failed = jpush_call(
        {"cid": cid, "audience": {"tag": ["nobody"]}, "platform": "all", "message": {"msg_content": "x"}}
    )
    assert send_call(router, "jpush", failed).code == "1011"
    assert send_call(router, "jpush", push_with(cid)).code == ""


def test_cid_of_a_schedule_is_none_of_a_push():
    router = make_router()
    assert send_call(router, "jpush", push_with(draw_cids(router, type="schedule")[0])).code == "1003"


def test_jpush_shows_its_rate_limit(clock):
    router = make_router(clock=clock)
    push = jpush_call({"audience": "all", "platform": "all", "message": {"msg_content": "x"}})
    first = send_call(router, "jpush", push).headers
    assert first == {"X-Rate-Limit-Limit": "600", "X-Rate-Limit-Remaining": "599", "X-Rate-Limit-Reset": "60"}
    clock.now += 20
    for _ in range(599):
        send_call(router, "jpush", push)
    refused = send_call(router, "jpush", push)
    assert (refused.status, refused.headers["X-Rate-Limit-Remaining"]) == (429, "0")
    assert refused.headers["X-Rate-Limit-Reset"] == "40"


def test_poisoned_list_of_jpush_names_one_id():
    push = jpush_call(
        {"audience": {"registration_id": ["r1", "x", "y"]}, "platform": "all", "message": {"msg_content": "x"}}
    )
    reply = send_call(make_router(), "jpush", push)
    assert reply.body == {"error": {"code": 1003, "message": "The registration_id x is invalid!"}}
