"""Alibaba Cloud's client of Umeng takes what is emitted, and puts it into the request that it would send.

It speaks Alibaba's interface, not the one that is sent to here, for which no package has a client. So the sandbox talks
to one in this file, signed as the vendor's page says in words, and the fields of bodies are compared with the models of
Alibaba's client.
"""

import hashlib
import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest

import audience
from audience import get_vendor, parse, plan
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.sandbox.vendors.umeng import sign
from audience.vendors.payload_reader import dump_json

EXPRS = [
    "vip",
    "NOT vip",
    "(美剧 OR 文艺) AND NOT channel:360 AND version:1.2.0",
    "(registered_user AND active >= 2014-11-15) OR NOT active >= 2014-11-15",
]
ID_EXPRS = ["registration_id(r1)", "registration_id(r1, r2)", "alias(u1, u2) AND alias_type:weibo"]
SCHEMA = Path(audience.__file__).parent / "vendors/umeng/fields.json"


@pytest.fixture
def models():
    return pytest.importorskip("alibabacloud_umeng_push20220225.models")


@pytest.fixture
def sent(monkeypatch):
    """A client of Umeng and the requests that it would send, each its action and its body."""
    client = pytest.importorskip("alibabacloud_umeng_push20220225.client")
    config = pytest.importorskip("alibabacloud_tea_openapi.utils_models").Config
    found = []
    made = client.Client(config(access_key_id="id", access_key_secret="secret", endpoint="localhost"))

    def call_api(params, request, runtime):
        found.append((params.action, request.body))
        return {"statusCode": 200, "headers": {}, "body": {}}

    monkeypatch.setattr(made, "call_api", call_api)
    return made, found


@pytest.mark.parametrize("text", EXPRS)
def test_client_sends_equivalent_filter(sent, models, text):
    client, found = sent
    payload = get_vendor("umeng").emit(parse(text))
    client.send_by_filter_with_options(models.SendByFilterRequest(filter=dump_json(payload["filter"])), {}, None)
    [(action, body)] = found
    assert action == "SendByFilter"
    assert json.loads(body["Filter"]) == payload["filter"]
    assert get_vendor("umeng").parse({"type": "groupcast", "filter": body["Filter"]}) == get_vendor("umeng").parse(
        payload
    )


@pytest.mark.parametrize("text", ID_EXPRS)
def test_client_sends_ids(sent, models, text):
    client, found = sent
    payload = get_vendor("umeng").emit(parse(text))
    if "alias" in payload:
        request = models.SendByAliasRequest(alias=payload["alias"], alias_type=payload["alias_type"])
        client.send_by_alias_with_options(request, {}, None)
        said = {"Alias": payload["alias"], "AliasType": payload["alias_type"]}
    else:
        client.send_by_device_with_options(models.SendByDeviceRequest(device_tokens=payload["device_tokens"]), {}, None)
        said = {"DeviceTokens": payload["device_tokens"]}
    assert [body for _, body in found] == [said]


LIVE_ACTIVITIES = {"attributes", "attributes_type", "content_state", "dismissal_date", "event", "timestamp"}
OF_ALIBABA = {"channel_strategy", "outer_biz_no", "speed"}  # the last two as out_biz_no and max_send_num at Umeng
NOT_ON_THE_PAGE = {
    *("harmony_channel_category", "huawei_message_urgency", "use_huawei_message", "use_huawei_plain_message"),
    *("vivo_add_badge", "vivo_push_mode"),  # the first as vivo_addbadge at Umeng
}


@pytest.mark.parametrize(
    ("model", "path", "clients_alone"),
    [
        ("Body", ("payload", "body"), set()),
        ("Aps", ("payload", "aps"), LIVE_ACTIVITIES),
        ("Policy", ("policy",), OF_ALIBABA),
        ("ChannelProperties", ("channel_properties",), NOT_ON_THE_PAGE),
    ],
)
def test_fields_of_bodies_are_those_of_the_client(models, model, path, clients_alone):
    known = {name for name in vars(getattr(models, model)()) if not name.startswith("_")}
    assert known - list_fields(path) == clients_alone


def list_fields(path):
    """The fields of a body at *path*, spelled as the models of the client are."""
    schema = node = json.loads(SCHEMA.read_text("utf-8"))
    for key in path:
        node = node["properties"][key]
        node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    return {re.sub("(?<!^)(?=[A-Z])", "_", name).lower().replace("-", "_") for name in node["properties"]}


# The sandbox, by a client that follows the page.


@pytest.mark.parametrize(
    ("secret", "url", "body", "digest"),
    [  # of another client's tests, and made with openssl
        ("sec", "https://msgapi.umeng.com/api/send", '{"a":1}', "6fa5dbccea0287bdd8627437ce27ccfa"),
        ("secret", "http://msg.umeng.com/api/status", '{"名":"值"}', "5fcbbbb7c6a953cf5a9fd69aeb3264ed"),
    ],
)
def test_sandbox_signs_as_other_clients_do(secret, url, body, digest):
    assert sign(secret, url, body.encode()) == digest
    assert hashlib.md5(f"POST{url}{body}{secret}".encode(), usedforsecurity=False).hexdigest() == digest


@pytest.fixture
def sandbox():
    table = pl.DataFrame(
        {"registration_id": ["r1", "r2", "r3"], "tags": [["vip"], [], ["vip", "old"]], "alias": ["u1", "u2", None]}
    )
    with Sandbox(Population(table), key=KEY, secret=SECRET) as running:
        yield running


def post(sandbox, path, secret=SECRET, **fields):
    """The reply to a call as a client of Umeng makes it."""
    url = f"{sandbox.url}{path}"
    body = json.dumps({"appkey": KEY, "timestamp": str(int(time.time() * 1_000)), **fields}, ensure_ascii=False)
    digest = hashlib.md5(f"POST{url}{body}{secret}".encode(), usedforsecurity=False).hexdigest()
    return httpx.post(url, params={"sign": digest}, content=body.encode(), headers={"Content-Type": "application/json"})


TEXT = {"payload": {"display_type": "notification", "body": {"ticker": "提示", "title": "标题", "text": "文字"}}}


def test_targets_of_the_client_are_reached(sandbox):
    for text, told in (
        ("everyone", ["r1", "r2", "r3"]),
        ("vip AND NOT old", ["r1"]),
        ("registration_id(r3)", ["r3"]),
        ("registration_id(r2, r3)", ["r2", "r3"]),
        ("alias(u2, u9) AND alias_type:weibo", ["r2"]),
    ):
        [target] = plan(text, "umeng").native
        data = post(sandbox, "/api/send", **TEXT, **target).json()["data"]
        [message] = data.values()
        assert sandbox.delivery_counts("umeng", message) == dict.fromkeys(told, 1)
        assert list(data) == ["task_id" if target["type"] in ("broadcast", "groupcast") else "msg_id"]


def test_file_is_uploaded_once_and_named_twice(sandbox):
    file_id = post(sandbox, "/upload", content="r1\nr3\nnobody\n").json()["data"]["file_id"]
    for told in (1, 2):
        assert post(sandbox, "/api/send", type="filecast", file_id=file_id, **TEXT).status_code == 200
        assert sandbox.delivery_counts("umeng") == {"r1": told, "r3": told}
    aliases = post(sandbox, "/upload", content="u2\r\nu1").json()["data"]["file_id"]
    post(sandbox, "/api/send", type="customizedcast", alias_type="weibo", file_id=aliases, **TEXT)
    assert sandbox.delivery_counts("umeng") == {"r1": 3, "r2": 1, "r3": 2}


def test_out_biz_no_is_told_once_and_only_for_tasks(sandbox):
    policy = {"policy": {"out_biz_no": "k1"}}
    first, again = (post(sandbox, "/api/send", type="broadcast", **TEXT, **policy).json() for _ in range(2))
    assert first == again
    for _ in range(2):
        post(sandbox, "/api/send", type="unicast", device_tokens="r1", **TEXT, **policy)
    assert sandbox.delivery_counts("umeng") == {"r1": 3, "r2": 1, "r3": 1}


def test_task_is_shown_and_withdrawn_before_its_time(sandbox):
    start = (datetime.now(UTC) + timedelta(hours=9)).strftime("%Y-%m-%d %H:%M:%S")  # in Beijing, in an hour
    task = post(sandbox, "/api/send", type="broadcast", **TEXT, policy={"start_time": start}).json()["data"]["task_id"]
    assert post(sandbox, "/api/status", task_id=task).json()["data"]["status"] == 7
    assert post(sandbox, "/api/cancel", task_id=task).json() == {"ret": "SUCCESS", "data": {"task_id": task}}
    assert post(sandbox, "/api/status", task_id=task).json()["data"]["status"] == 4
    assert post(sandbox, "/api/cancel", task_id=task).json()["data"]["error_code"] == "1028"
    assert sandbox.delivery_counts("umeng") == {}


def test_calls_of_nobody_are_refused(sandbox):
    def refuse(path="/api/send", **fields):
        answer = post(sandbox, path, **fields)
        assert (answer.status_code, answer.json()["ret"]) == (400, "FAIL")
        return answer.json()["data"]["error_code"]

    assert refuse(type="broadcast", secret="other", **TEXT) == "2027"
    assert refuse(type="broadcast", appkey="other", **TEXT) == "2021"
    assert refuse(type="broadcast", timestamp=str(int(time.time()) - 601), **TEXT) == "2028"
    assert refuse("/api/status", task_id="us1") == "1014"
    assert refuse("/api/cancel") == "2053"
    assert refuse("/upload", content=" \n") == "2029"


def test_eleventh_broadcast_of_a_day_is_refused_but_not_in_test_mode(sandbox):
    codes = [post(sandbox, "/api/send", type="broadcast", **TEXT).json()["ret"] for _ in range(11)]
    assert codes == ["SUCCESS"] * 10 + ["FAIL"]
    for mode, ret in (("true", "FAIL"), ("false", "SUCCESS")):
        assert post(sandbox, "/api/send", type="broadcast", production_mode=mode, **TEXT).json()["ret"] == ret
