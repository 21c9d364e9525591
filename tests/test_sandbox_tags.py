"""Tags that calls set at the sandbox: facts of tests/sandbox/*.txt, limits, faults, and the control interface."""

import json
import re
from dataclasses import replace

import httpx
import polars as pl
import pytest
from callers import CALLERS
from callers.fcm import fcm_topic_call
from fact_files import load_cases
from vendor_calls import (
    BASIC_AUTH,
    NOTIFICATION,
    TABLE,
    ManualClock,
    emas_call,
    engagelab_call,
    make_router,
    send_call,
)

from audience.sandbox import Population, Sandbox
from audience.sandbox.http_types import HttpCall, HttpReply
from audience.sandbox.router import Router, list_deliveries


def tag_call(method: str, place: str, body: str | dict = "") -> HttpCall:
    """A call of a path, which may have a query, with a body of JSON."""
    path, _, query = place.partition("?")
    joined: dict[str, list[str]] = {}
    for name, value in (pair.split("=") for pair in query.split("&") if pair):
        joined.setdefault(name, []).append(value)
    text = body if isinstance(body, str) else json.dumps(body)
    parameters = {name: ",".join(values) for name, values in joined.items()}
    return HttpCall(method, path, parameters, BASIC_AUTH, text.encode())


def run_step(router: Router, vendor: str, step: str) -> HttpReply | list[str]:
    """The reply to a call, the tags of a device, or nothing after a wait."""
    verb, _, rest = re.sub(r"<(\d+) (.)>", lambda match: match[2] * int(match[1]), step).partition(" ")
    state = router.states[vendor]
    if verb == "wait":
        assert isinstance(router.clock, ManualClock)
        router.clock.now += float(rest)
        return []
    if verb == "tags":
        return state.tags.tags_of(state.population.rows_by_id(vendor)[rest])
    if verb == "push":
        parameters = {"Target": "TAG", "TargetValue": rest, "PushType": "NOTICE", "DeviceType": "ALL", "Title": "t"}
        return send_call(router, vendor, emas_call("Push", router.clock(), **parameters))
    if vendor == "emas":
        return send_call(router, vendor, emas_call(verb, router.clock(), **json.loads(rest)))
    build = CALLERS[vendor].tag_call or tag_call
    place, _, body = rest.partition(" ")
    return send_call(router, vendor, build(verb, place, body))


@pytest.mark.parametrize(("vendor", "steps", "wanted"), load_cases("sandbox", "calls"))
def test_tag_calls_match_docs(vendor, steps, wanted):
    router = make_router()
    *_, last = [run_step(router, vendor, step) for step in steps.split(" ; ")]
    if isinstance(last, list):
        assert last == ([] if wanted == "nothing" else sorted(wanted.split()))
        return
    status, _, rest = wanted.partition(" ")
    assert last.status == int(status), last
    if vendor == "emas" and not last.code:
        assert last.body.pop("RequestId")
    if rest.startswith(("{", "[")):
        assert last.body == json.loads(rest)
    elif rest.partition(" ")[0] == "to":
        told = [entry["ids"] for entry in list_deliveries(router, vendor, last.message_id)]
        assert told == [rest.split()[1:]]
    else:
        assert rest == (last.code or last.body)


def add_tag(router: Router, vendor: str, tag: str, ids: list[str]) -> HttpReply:
    version = {"engagelab": "v4", "jpush": "v3"}[vendor]
    return send_call(router, vendor, tag_call("POST", f"/{version}/tags/{tag}", {"registration_ids": {"add": ids}}))


def make_devices(count: int) -> pl.DataFrame:
    return pl.DataFrame({"registration_id": [f"r{number}" for number in range(count)]})


@pytest.mark.parametrize(("vendor", "code"), [("engagelab", "21003"), ("jpush", "7002")])
def test_tag_call_takes_1000_ids(vendor, code):
    router = make_router(make_devices(1_001))
    ids = [f"r{number}" for number in range(1_001)]
    assert add_tag(router, vendor, "x", ids).code == code
    assert add_tag(router, vendor, "x", ids[1:]).code == ""
    assert router.states[vendor].tags.count_devices() == {"x": 1_000}


@pytest.mark.parametrize(("vendor", "most", "code"), [("engagelab", 100, "21003"), ("jpush", 1_000, "7002")])
def test_device_has_a_largest_number_of_tags(vendor, most, code):
    router = make_router(make_devices(2), rate=None)
    tags = router.states[vendor].tags
    for number in range(most):
        assert add_tag(router, vendor, f"t{number}", ["r1"]).code == ""
    assert add_tag(router, vendor, "x", ["r0", "r1"]).code == code
    assert add_tag(router, vendor, "t1", ["r0", "r1"]).code == ""  # it has this one
    assert (len(tags.tags_of(0)), len(tags.tags_of(1))) == (1, most)
    path = f"/{'v4' if vendor == 'engagelab' else 'v3'}/devices/r1"
    assert send_call(router, vendor, tag_call("POST", path, {"tags": {"add": ["x"]}})).code == code
    lifted = make_router(make_devices(2), rate=None, tag_quota=None)
    assert {add_tag(lifted, vendor, f"t{number}", ["r1"]).code for number in range(most + 1)} == {""}


def test_tag_of_engagelab_has_100_000_devices():
    router = make_router(make_devices(100_001), rate=None)
    for start in range(0, 100_000, 1_000):
        assert add_tag(router, "engagelab", "x", [f"r{number}" for number in range(start, start + 1_000)]).code == ""
    assert add_tag(router, "engagelab", "x", ["r100000"]).code == "21003"
    assert add_tag(router, "engagelab", "x", ["r7"]).code == ""
    assert router.states["engagelab"].tags.count("x") == 100_000


@pytest.mark.parametrize(("vendor", "most", "code"), [("engagelab", 500, "23008"), ("jpush", 600, "2002")])
def test_tag_calls_have_a_rate_of_their_own(vendor, most, code):
    router = make_router()
    replies = [add_tag(router, vendor, "x", ["r1"]) for _ in range(most + 1)]
    assert [reply.code for reply in replies] == [""] * most + [code]
    assert replies[-1].status == (429 if vendor == "jpush" else 400)


@pytest.mark.parametrize(
    ("vendor", "headers", "code"),
    [
        ("engagelab", {}, "27001"),
        ("engagelab", {"authorization": "Basic x"}, "21004"),
        ("jpush", {}, "7001"),
        ("jpush", {"authorization": "Basic x"}, "7004"),
    ],
)
def test_tag_call_needs_credentials(vendor, headers, code):
    path = {"engagelab": "/v4/tags", "jpush": "/v3/tags"}[vendor]
    assert send_call(make_router(), vendor, HttpCall("GET", path, headers=headers)).code == code


@pytest.mark.parametrize(
    ("vendor", "fault", "status", "code"),
    [
        ("engagelab", "refuse", 400, "21003"),
        ("engagelab", "fast", 400, "23008"),
        ("engagelab", "error=503", 503, "21030"),
        ("jpush", "refuse", 400, "7002"),
        ("jpush", "fast", 429, "2002"),
        ("jpush", "error", 500, "7000"),
        ("jpush", "error=503", 503, "7030"),
        ("jpush", "error-after=503", 503, "7030"),
    ],
)
def test_fault_meets_tag_calls(vendor, fault, status, code):
    path = "/v4/tags/x" if vendor == "engagelab" else "/v3/tags/x"
    with Sandbox(Population(TABLE), faults=[f"{fault}@{vendor}/tags/*"]) as sandbox:
        reply = httpx.post(f"{sandbox.url}{path}", auth=("k", "s"), json={"registration_ids": {"add": ["r1"]}})
        assert reply.status_code == status
        assert reply.json()["error"]["code"] == int(code)
        assert ("x" in sandbox.tags(vendor)) == fault.startswith("error-after")
        (entry,) = sandbox.log(vendor)
        assert (entry["endpoint"], entry["code"]) == (path.replace("x", "*"), code)


def test_lost_reply_leaves_tags_set():
    with Sandbox(Population(TABLE), faults=["drop"]) as sandbox:
        body = {"registration_ids": {"add": ["r1"]}}
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{sandbox.url}/v3/tags/x", auth=("k", "s"), json=body)
        assert sandbox.tags("jpush")["x"] == ["r1"]


def test_push_follows_tags_of_its_vendor_alone():
    router = make_router()
    assert add_tag(router, "engagelab", "a", ["r4"]).code == ""
    send_call(router, "engagelab", tag_call("DELETE", "/v4/tags/b"))
    target = {"tag": ["a"], "tag_not": ["b"]}
    assert send_call(router, "engagelab", engagelab_call({"to": target, "body": NOTIFICATION})).code == ""
    assert set(router.states["engagelab"].delivery_log.counts_by_id()) == {"r1", "r2", "r4"}
    assert router.states["jpush"].tags.count_devices()["b"] == 2


def test_control_interface_shows_tags_and_restores_those_of_the_table():
    with Sandbox(Population(TABLE)) as sandbox:
        url = f"{sandbox.url}/_sandbox/tags"
        before = sandbox.tags("jpush")
        assert before["a"] == ["r1", "r2"]
        for tag, change in (("a", {"add": ["r4"]}), ("vip", {"remove": ["r4"]})):
            httpx.post(f"{sandbox.url}/v3/tags/{tag}", auth=("k", "s"), json={"registration_ids": change})
        counts = httpx.get(url, params={"vendor": "jpush"}).json()
        assert (counts["a"], "vip" in counts) == (3, False)
        assert httpx.get(url, params={"vendor": "jpush", "tag": "a"}).json() == ["r1", "r2", "r4"]
        assert httpx.get(url, params={"vendor": "jpush", "id": "r4"}).json() == ["a", "active_2020-04-08"]
        assert sandbox.tags("engagelab") == before
        sandbox.reset()
        assert sandbox.tags("jpush") == before
        for query, code in (({}, "bad-request"), ({"vendor": "x"}, "unknown-vendor")):
            assert httpx.get(url, params=query).json()["problems"][0]["code"] == code
        assert httpx.get(url, params={"vendor": "jpush", "id": "x"}).json()["problems"][0]["code"] == "bad-request"


def test_vendor_has_tags_of_devices_that_it_knows():
    router = make_router(TABLE.with_columns(jpush_token=pl.Series(["t1", None, "t3", None])))
    assert router.states["jpush"].tags.count_devices()["a"] == 1
    assert add_tag(router, "jpush", "x", ["r1"]).code == "7013"
    assert add_tag(router, "jpush", "x", ["t1"]).code == ""


def tpns_tag_call(operator: int, **fields) -> HttpCall:
    return tag_call("POST", "/v3/device/tag", {"operator_type": operator, **fields})


@pytest.mark.parametrize(
    ("operator", "most", "fields"),
    [
        (7, 500, lambda count: {"tag_list": ["x"], "token_list": [f"r{number}" for number in range(count)]}),
        (3, 500, lambda count: {"tag_list": [f"t{number}" for number in range(count)], "token_list": ["r1"]}),
        (9, 20, lambda count: {"tag_token_list": [{"tag": "x", "token": f"r{number}"} for number in range(count)]}),
    ],
)
def test_lists_of_tpns_have_a_largest_length(operator, most, fields):
    router = make_router(make_devices(501), tag_quota=None)
    assert send_call(router, "tpns", tpns_tag_call(operator, **fields(most + 1))).code == "1008007"
    assert send_call(router, "tpns", tpns_tag_call(operator, **fields(most))).code == ""


def test_token_of_tpns_has_100_tags():
    router = make_router(make_devices(2), rate=None)
    tags = [f"t{number}" for number in range(100)]
    assert send_call(router, "tpns", tpns_tag_call(3, tag_list=tags, token_list=["r1"])).code == ""
    assert send_call(router, "tpns", tpns_tag_call(1, tag_list=["x"], token_list=["r1"])).code == "1008007"
    assert send_call(router, "tpns", tpns_tag_call(7, tag_list=["x"], token_list=["r1", "r0"])).code == "1008026"
    assert send_call(router, "tpns", tpns_tag_call(7, tag_list=["x"], token_list=["r1"])).code == "1008027"
    assert send_call(router, "tpns", tpns_tag_call(7, tag_list=["t1"], token_list=["r1"])).code == ""
    assert send_call(router, "tpns", tpns_tag_call(6, tag_list=["x", "y"], token_list=["r1"])).code == ""
    assert [router.states["tpns"].tags.tags_of(row) for row in (0, 1)] == [["x"], ["x", "y"]]


def test_application_of_tpns_has_10_000_tags():
    router = make_router(make_devices(101), rate=None)
    for number in range(100):
        tags = [f"t{number * 100 + each}" for each in range(100)]
        assert send_call(router, "tpns", tpns_tag_call(3, tag_list=tags, token_list=[f"r{number}"])).code == ""
    assert send_call(router, "tpns", tpns_tag_call(1, tag_list=["x"], token_list=["r100"])).code == "1008007"
    assert send_call(router, "tpns", tpns_tag_call(1, tag_list=["t7"], token_list=["r100"])).code == ""
    assert (
        send_call(router, "tpns", tag_call("POST", "/v3/device/tag/delete_all_device", {"tag_list": ["t7"]})).code == ""
    )
    assert send_call(router, "tpns", tpns_tag_call(1, tag_list=["x"], token_list=["r100"])).code == ""


def change_topic(router: Router, verb: str, topic: str, ids: list[str]) -> HttpReply:
    body = {"to": f"/topics/{topic}", "registration_tokens": ids}
    return send_call(router, "fcm", fcm_topic_call("POST", f"/iid/v1:{verb}", body))


def test_call_for_topics_of_fcm_takes_1000_tokens():
    router = make_router(make_devices(1_001))
    ids = [f"r{number}" for number in range(1_001)]
    assert change_topic(router, "batchAdd", "x", ids).code == "INVALID_ARGUMENT"
    assert change_topic(router, "batchAdd", "x", ids[1:]).body == {"results": [{}] * 1_000}
    assert router.states["fcm"].tags.count_devices() == {"x": 1_000}


def test_token_of_fcm_has_2000_topics():
    router = make_router(make_devices(2), rate=None)
    for number in range(2_000):
        assert change_topic(router, "batchAdd", f"t{number}", ["r1"]).body == {"results": [{}]}
    full = {"results": [{}, {"error": "TOO_MANY_TOPICS"}]}
    assert change_topic(router, "batchAdd", "x", ["r0", "r1"]).body == full
    assert change_topic(router, "batchAdd", "t7", ["r0", "r1"]).body == {"results": [{}, {}]}  # it has this one
    assert change_topic(router, "batchRemove", "t7", ["r1"]).body == {"results": [{}]}
    assert change_topic(router, "batchAdd", "x", ["r1"]).body == {"results": [{}]}


def test_topics_of_fcm_have_a_rate_of_their_own_and_need_both_headers():
    router = make_router()
    replies = [change_topic(router, "batchAdd", "x", ["r1"]) for _ in range(3_001)]
    assert ({reply.code for reply in replies[:-1]}, replies[-1].code) == ({""}, "QUOTA_EXCEEDED")
    assert (replies[-1].status, replies[-1].body) == (429, {"error": "Too many changes of topics."})
    call = fcm_topic_call("GET", "/iid/info/r1")
    for name in ("authorization", "access_token_auth"):
        headers = {key: value for key, value in call.headers.items() if key != name}
        assert send_call(make_router(), "fcm", replace(call, headers=headers)).status == 401
