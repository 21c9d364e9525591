"""What a call of the sandbox depends on beside its body: who calls, how fast, and what came before."""

import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from vendor_calls import (
    ANYBODY,
    NOTIFICATION,
    TABLE,
    Clock,
    desks_of,
    emas,
    engagelab,
    jpush,
    message,
    push,
    push_v2,
    say,
    tpns,
    upload,
)

from audience.errors import TableError
from audience.sandbox import KEY, Population
from audience.sandbox.http_types import Call
from audience.sandbox.router import Desks, summary

SIGN = "ZTFjMTk1NDE2NzI2OWU4ZDliNDBhMjI4ZWM1ODc1YmQyZjU1ZTEyNDBiZGY5MTE4MjRmZTQxOTgyNTZhMGNmMQ=="
TASK = {"PushType": "NOTICE", "DeviceType": "ALL", "Target": "DEVICE", "TargetValue": "r1", "Title": "t"}


def tasks(count: int) -> dict[str, str]:
    """*count* tasks of a MassPush, each to r1."""
    return {f"PushTask.{number}.{name}": value for number in range(1, count + 1) for name, value in TASK.items()}


@pytest.fixture
def clock():
    return Clock()


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
def test_a_pair_that_was_said_is_the_only_one_that_may_call(vendor, headers, status, code):
    sound = {
        "engagelab": engagelab({"to": "all", "body": NOTIFICATION}),
        "jpush": jpush({"audience": "all", "platform": "all", "message": {"msg_content": "x"}}),
        "tpns": tpns(message(audience_type="all")),
    }
    reply = say(desks_of(key="k", secret="s"), vendor, replace(sound[vendor], headers=headers))
    assert (reply.status, reply.code) == (status, code)


def test_a_signed_call_of_tpns_is_taken():
    """The Sign was made with openssl and base64 for this very body."""
    said = message(audience_type="token", token_list=["r1"])
    ordered = {name: said[name] for name in ("audience_type", "token_list", "message_type", "message")}
    body = json.dumps(ordered, separators=(",", ":")).encode()
    headers = {"sign": SIGN, "accessid": KEY, "timestamp": "1565314789"}
    assert say(desks_of(), "tpns", Call("POST", "/v3/push/app", headers=headers, body=body)).code == ""
    assert say(desks_of(), "tpns", Call("POST", "/v3/push/app", headers=headers, body=body + b" ")).code == "1008003"


def test_only_post_is_answered():
    assert say(desks_of(), "engagelab", Call("GET", "/v4/push")).status == 405
    assert say(desks_of(), "jpush", Call("GET", "/v3/push", headers=ANYBODY)).code == "1001"


def test_a_nonce_is_taken_once_within_a_quarter_of_an_hour(clock):
    desks = desks_of(clock=clock)
    assert say(desks, "emas", push(SignatureNonce="n")).code == ""
    assert say(desks, "emas", push(SignatureNonce="n")).code == "SignatureNonceUsed"
    clock.now += 901
    assert say(desks, "emas", push(SignatureNonce="n")).code == ""


# Rates


@pytest.mark.parametrize("scale", [1.0, 10.0])
@pytest.mark.parametrize(
    ("vendor", "call", "limit", "seconds", "code"),
    [
        ("engagelab", engagelab({"to": "all", "body": NOTIFICATION}), 500, 1, "23008"),
        ("jpush", jpush({"audience": "all", "platform": "all", "message": {"msg_content": "x"}}), 600, 60, "2002"),
        ("tpns", tpns(message(audience_type="tag", tag_list={"tags": ["a"], "op": "OR"})), 1, 1, "1008028"),
        ("emas", lambda: push(), 1, 1, "Throttling.User"),
        ("emas", lambda: emas("MassPush", **tasks(1)), 500, 1, "Throttling.User"),
    ],
)
def test_calls_beyond_the_rate_are_too_fast(clock, scale, vendor, call, limit, seconds, code):
    desks = desks_of(clock=clock, rate=scale)
    made = call if callable(call) else lambda: call
    assert {say(desks, vendor, made()).code for _ in range(limit)} == {""}
    assert say(desks, vendor, made()).code == code
    clock.now += seconds / scale * 0.9
    assert say(desks, vendor, made()).code == code
    clock.now += seconds / scale * 0.1
    assert say(desks, vendor, made()).code == ""


def test_lists_of_tpns_have_no_rate(clock):
    desks = desks_of(clock=clock)
    call = tpns(message(audience_type="token_list", token_list=["r1"]))
    assert {say(desks, "tpns", call).code for _ in range(50)} == {""}


def test_without_a_rate_nothing_is_too_fast(clock):
    desks = desks_of(clock=clock, rate=None)
    assert {say(desks, "tpns", tpns(message(audience_type="all"))).code for _ in range(50)} == {""}


def test_the_same_push_to_all_is_taken_once_an_hour(clock):
    desks = desks_of(clock=clock)
    codes = []
    for seconds, said in [(0, {}), (10, {}), (20, {"seq": 2}), (3_700, {})]:
        clock.now = 1_000.0 + seconds
        codes.append(say(desks, "tpns", tpns(message(audience_type="all", **said))).code)
    assert codes == ["", "10010018", "", ""]


# Calls that belong together


def test_an_idempotent_token_is_done_once_in_a_quarter_of_an_hour(clock):
    desks = desks_of(clock=clock)
    token = "c8016d13-6e76-410c-9bda-769383d11787"
    task = {"Target": {"Type": "DEVICE", "Value": "r1"}}
    bodies = []
    for seconds in (0, 899, 901):
        clock.now = 1_000.0 + seconds
        bodies.append(say(desks, "emas", push_v2(task, IdempotentToken=token)).body)
    assert bodies[0] == bodies[1] != bodies[2]
    assert desks.desks["emas"].told.by_id() == {"r1": 2}
    assert say(desks, "emas", push_v2(task, IdempotentToken=token.upper())).body == bodies[2]
    assert say(desks, "emas", push_v2(task, IdempotentToken=token, AppKey="2")).body != bodies[2]


def test_a_token_whose_call_was_refused_can_be_said_again():
    desks = desks_of()
    token = "c8016d13-6e76-410c-9bda-769383d11787"
    assert say(desks, "emas", push_v2({"Message": None}, IdempotentToken=token)).code
    assert say(desks, "emas", push_v2({}, IdempotentToken=token)).code == ""


def test_a_continuous_push_ends_after_a_day_or_ten_thousand_calls(clock):
    desks = desks_of(clock=clock, rate=None)
    task = {"Action": "CREATE_CONTINUOUS_PUSH", "Target": None}
    first, second = (say(desks, "emas", push_v2(task)).message for _ in range(2))
    more = {"Target": "DEVICE", "TargetValue": "r1"}
    desks.desks["emas"].open[first] = (clock(), 9_999)
    assert say(desks, "emas", emas("ContinuouslyPush", MessageId=first, **more)).code == ""
    assert say(desks, "emas", emas("ContinuouslyPush", MessageId=first, **more)).code == "Invalid.Parameter"
    again = {"Action": "CONTINUOUS_PUSH", "Target": {"Type": "ALIAS", "Value": "u2"}, "Options": {"MessageId": second}}
    assert say(desks, "emas", push_v2(again)).code == ""
    clock.now += 86_401
    assert say(desks, "emas", push_v2(again)).code == "Invalid.Parameter"
    assert desks.desks["emas"].told.by_id() == {"r1": 1, "r2": 1}


@pytest.mark.parametrize("kind", ["ALL", "TAG"])
def test_only_lists_go_into_continuous_and_mass_pushes(kind):
    desks = desks_of()
    message = say(desks, "emas", push(Target="TBD", TargetValue="TBD")).message
    more = emas("ContinuouslyPush", MessageId=message, Target=kind, TargetValue="ALL")
    assert say(desks, "emas", more).code == "Invalid.Parameter"
    wide = {"PushTask.1.Target": kind, "PushTask.1.TargetValue": "ALL"}
    assert say(desks, "emas", emas("MassPush", **tasks(1) | wide)).code == "TargetNotSupported"
    two = json.dumps([{"Target": {"Type": kind, "Value": "ALL"}, "Message": {"Title": "t"}}])
    assert say(desks, "emas", emas("MassPushV2", PushTasks=two)).code == "TargetNotSupported"


@pytest.mark.parametrize(("count", "code"), [(100, ""), (101, "InvalidPushTask.LengthExceed")])
def test_a_mass_push_has_at_most_a_hundred_tasks(count, code):
    desks = desks_of()
    assert say(desks, "emas", emas("MassPush", **tasks(count))).code == code
    assert desks.desks["emas"].told.by_id() == ({} if code else {"r1": 100})


def test_a_mass_push_with_one_wrong_task_tells_nobody():
    desks = desks_of()
    assert say(desks, "emas", emas("MassPush", **tasks(2) | {"PushTask.2.Target": "X"})).code == "Invalid.Parameter"
    assert desks.desks["emas"].told.by_id() == {}


def test_what_is_sent_later_is_told_when_its_time_has_come(clock):

    desks = desks_of(clock=clock)
    moment = (datetime.now(UTC) + timedelta(hours=8, minutes=10)).strftime("%Y-%m-%d %H:%M:%S")
    assert say(desks, "tpns", tpns(message(audience_type="all", send_time=moment))).code == ""
    assert (summary(desks, "tpns")["waiting"], summary(desks, "tpns")["told"]) == (1, 0)
    clock.now += 601
    assert (summary(desks, "tpns")["waiting"], summary(desks, "tpns")["told"]) == (0, 4)


def test_a_loop_has_an_id_for_each_of_its_moments(clock):

    desks = desks_of(clock=clock)
    day = (datetime.now(UTC) + timedelta(days=2)).date()
    loop = {"startDate": f"{day}", "endDate": f"{day + timedelta(1)}", "loopType": 1, "loopDayIndexs": [0]}
    call = tpns(message(audience_type="all", loop_param={**loop, "dayTimes": ["19:00:00", "20:00:00"]}))
    assert len(say(desks, "tpns", call).body["push_id"]) == 4
    clock.now += 5 * 86_400
    assert desks.desks["tpns"].told.settle().by_id() == dict.fromkeys(["r1", "r2", "r3", "r4"], 4)


# Packages


def zipped(**files: bytes) -> bytes:

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
        ("t.zip", zipped(t_txt=b"r1\nr3"), ""),
        ("t.zip", zipped(t_txt=b"r1", u_txt=b"r3"), "1008011"),
        ("t.zip", zipped(f__t_txt=b"r1"), "1008011"),
        ("t.zip", zipped(t_doc=b"r1"), "1008011"),
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
def test_a_package_is_one_list_of_ids(name, data, code):
    desks = desks_of()
    reply = say(desks, "tpns", upload(name, data))
    assert (reply.code, reply.body["retCode"]) == (code, int(code or 0))
    if not code:
        call = tpns(message(audience_type="package_token_push", upload_id=reply.body["uploadId"]))
        assert say(desks, "tpns", call).body["ret_code"] == 0
        assert desks.desks["tpns"].told.by_id() == {"r1": 1, "r3": 1}


def test_a_package_of_accounts_goes_to_the_newest_device_of_each():
    desks = desks_of()
    number = say(desks, "tpns", upload("a.txt", b"x1\nx1\nx9")).body["uploadId"]
    say(desks, "tpns", tpns(message(audience_type="package_account_push", upload_id=number)))
    assert desks.desks["tpns"].told.by_id() == {"r2": 1}


def test_a_package_without_a_file_is_refused():
    call = Call("POST", "/v3/push/package/upload", headers=ANYBODY)
    assert say(desks_of(), "tpns", call).body == {"retCode": 1008002, "errMsg": "file is missing", "uploadId": 0}


# Populations


def test_a_vendor_knows_the_devices_that_have_its_id():
    table = TABLE.with_columns(tpns_token=pl.Series(["t1", None, "t3", None]))
    desks = desks_of(table)
    say(desks, "tpns", tpns(message(audience_type="all")))
    say(desks, "engagelab", engagelab({"to": "all", "body": NOTIFICATION}))
    assert set(desks.desks["tpns"].told.by_id()) == {"t1", "t3"}
    assert summary(desks, "engagelab")["told"] == 4
    assert say(desks, "tpns", tpns(message(audience_type="token_list", token_list=["r1"]))).code == "1008006"


def test_names_of_typed_tags_can_be_said():
    desks = Desks(Population(TABLE, {"emas": "{value}", "engagelab": "{type}:{value}"}))
    assert say(desks, "emas", push(Target="TAG", TargetValue="hunan")).devices == 2
    assert say(desks, "engagelab", engagelab({"to": {"tag": ["age:20"]}, "body": NOTIFICATION})).devices == 2


@pytest.mark.parametrize(
    "columns",
    [{"id": ["r1"]}, {"registration_id": ["r1", "r1"]}, {"registration_id": ["r1", "r2"], "tpns_token": ["t", "t"]}],
)
def test_a_table_without_ids_of_its_own_is_refused(columns):
    with pytest.raises(TableError):
        Population(pl.DataFrame(columns))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ndjson", ".arrow"])
def test_populations_are_read_from_tables(tmp_path, suffix):
    file = tmp_path / f"devices{suffix}"
    flat = TABLE.drop("tags", "account")
    {".parquet": flat.write_parquet, ".csv": flat.write_csv, ".ndjson": flat.write_ndjson, ".arrow": flat.write_ipc}[
        suffix
    ](file)
    people = Population.read(file)
    assert people.typed("active", "2020-04-08").tolist() == [True, False, False, True]
    assert people.typed("age", "20").tolist() == [True, True, False, False]
    with pytest.raises(TableError):
        Population.read(tmp_path / "nowhere.parquet")
