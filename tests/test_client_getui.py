"""Getui's client for Python takes the conditions that are emitted, and lists of ids as long as ours.

It calls an older interface. The clients of RestAPI v2 are for Java and PHP; requests as the one for Java writes them,
with its numbers as texts and its booleans always there, are replayed to the sandbox.
"""

import collections
import collections.abc
import hashlib
import warnings
from types import SimpleNamespace

import httpx
import pytest
from vendor_calls import TABLE

from audience import Unsupported, equivalent, get_vendor, parse
from audience.algebra.request_shape import ListsByKey
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.vendors.getui import targeting

EXPRS = [
    "vip",
    "vip AND member",
    "(region:11000000 OR region:44000000) AND NOT (old OR 老用户) AND platform:android",
]
REMOVED_COLLECTIONS = (
    "MutableMapping",
    "Mapping",
    "MutableSequence",
    "Sequence",
)  # from `collections`; the client still asks there
CONDITION_KEYS = {"custom_tag": "TAG", "region": "REGION", "phone_type": "PHONE_TYPE"}


@pytest.fixture
def client(monkeypatch):
    """The module of the client, and one that keeps what it would post."""
    for name in REMOVED_COLLECTIONS:
        monkeypatch.setattr(collections, name, getattr(collections.abc, name), raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("gt_push_sdk.igt_push")
    posted = []

    def post(params, zipped=False):
        posted.append(params)
        return {"result": "ok", "contentId": "c"}

    return module, SimpleNamespace(appKey="key", httpPostFast=post), posted


@pytest.mark.parametrize("text", EXPRS)
def test_client_posts_same_conditions(client, text):
    module, to, posted = client
    said = get_vendor("getui").emit(parse(text))["audience"]["tag"]
    conditions = module.AppConditions()
    for each in said:
        key, option = (
            getattr(conditions, CONDITION_KEYS[each["key"]]),
            getattr(module.OptType, each["opt_type"].upper()),
        )
        conditions.addCondition(key, each["values"], option)
    message = module.IGtAppMessage()
    message.setConditions(conditions)
    message.data = _empty_template()
    assert module.IGeTui.getContentId(to, message) == "c"
    [params] = posted
    assert [each["values"] for each in params["conditions"]] == [each["values"] for each in said]
    assert [each["optType"] for each in params["conditions"]] == [
        ["or", "and", "not"].index(each["opt_type"]) for each in said
    ]


def test_client_has_same_list_limit(client):
    module, to, posted = client
    ids = [f"cid{at}" for at in range(get_vendor("getui").max_ids)]
    module.IGeTui.pushMessageToList(to, "c", _client_targets(module, get_vendor("getui").target_ids(ids)))
    assert posted[0]["clientIdList"] == ids
    with pytest.raises(AssertionError, match="beyond the limit"):
        module.IGeTui.pushMessageToList(
            to, "c", _client_targets(module, get_vendor("getui").target_ids([*ids, "one more"]))
        )


def _client_targets(module, payload):
    """The devices of *payload* as the client names them."""
    return [SimpleNamespace(appId="app", clientId=cid, alias="") for cid in payload["audience"]["cid"]]


def _empty_template():
    """The content of a message, which says nothing about who is meant."""
    transparent = SimpleNamespace(SerializeToString=bytes)
    return SimpleNamespace(getTransparent=lambda: transparent, transmissionContent="", pushType="")


@pytest.mark.parametrize("text", ["a AND NOT b", "(a OR b) AND (c OR d) AND e AND NOT f"])
def test_undocumented_syntax_is_emitted_when_enabled(monkeypatch, text):
    with pytest.raises(Unsupported):
        get_vendor("getui").emit(parse(text))
    monkeypatch.setattr(targeting, "ALLOWS_REPEATED_KEYS", True)
    monkeypatch.setattr(targeting, "SHAPE", ListsByKey(allows_unbounded_not=True))
    assert equivalent(get_vendor("getui").parse(get_vendor("getui").emit(parse(text))), parse(text))


JAVA_NOTIFICATION = {
    "title": "title-1606561234567",
    "body": "body1",
    "click_type": "url",
    "url": "https//:www.getui.com",
}
JAVA_PUSH = {
    "request_id": "1606561234567",
    "group_name": "g-name1",
    "settings": {"ttl": 3600000, "strategy": {"st": 1}},
    "push_message": {"notification": {**JAVA_NOTIFICATION, "logo_url": "https://url", "notify_id": "11177"}},
    "push_channel": {
        "ios": {"aps": {"alert": {"title": "title-1606561234567", "body": "ios_body"}}},
        "android": {
            "ups": {
                "notification": {"title": "title-1606561234567", "body": "content", "click_type": "startapp"},
                "options": {
                    "ALL": {"channel": "default"},
                    "HW": {"badgeAddNum": 3, "badgeClass": "com.getui.demo.GetuiSdkDemoActivity"},
                    "OP": {"app_message_id": 11},
                    "VV": {"message_sort": 1},
                },
            }
        },
        "harmony": {
            "notification": {
                "title": "title-1606561234567",
                "body": "content",
                "category": "MARKETING",
                "click_type": "want",
                "want": '{"bundleName":"com.getui.push","abilityName":"TestAbility"}',
            }
        },
    },
}


class TestJavaClient:
    """GetuiLaboratory/getui-pushapi-java-client-v2, PushApiTest.java: what its methods post, over a connection."""

    @pytest.fixture
    def post(self):
        """Return what posts to the sandbox, with a token that is drawn as the client draws it."""
        with Sandbox(Population(TABLE), key=KEY, secret=SECRET) as sandbox, httpx.Client() as http:
            sign = hashlib.sha256(f"{KEY}1606561234567{SECRET}".encode()).hexdigest()
            auth = {"sign": sign, "timestamp": "1606561234567", "appkey": KEY}
            token = http.post(f"{sandbox.url}/v2/{KEY}/auth", json=auth).json()["data"]["token"]

            def post(path, body=None, method="POST"):
                url, headers = f"{sandbox.url}/v2/{KEY}{path}", {"token": token}
                answer = http.request(method, url, json=body, headers=headers).json()
                assert answer["code"] == 0, answer
                return answer.get("data"), sandbox.delivery_counts("getui")

            yield post

    @pytest.mark.parametrize(
        ("path", "audience", "told"),
        [
            ("/push/single/cid", {"cid": ["r1"]}, ["r1"]),
            ("/push/single/alias", {"alias": ["u2"]}, ["r2"]),
            ("/push/all", "all", ["r1", "r2", "r3", "r4"]),
            ("/push/tag", {"tag": [{"key": "custom_tag", "values": ["a", "c"], "opt_type": "or"}]}, ["r1", "r2", "r3"]),
            ("/push/fast_custom_tag", {"fast_custom_tag": "b"}, ["r1", "r3"]),
        ],
    )
    def test_pushes_of_the_client_are_accepted(self, post, path, audience, told):
        _, counts = post(path, {**JAVA_PUSH, "audience": audience})
        assert counts == dict.fromkeys(told, 1)

    def test_list_is_created_pushed_and_stopped(self, post):
        created, counts = post("/push/list/message", JAVA_PUSH)
        assert counts == {}
        flags = {"taskid": created["taskid"], "is_async": False, "need_alias_detail": False}
        statuses, _ = post("/push/list/cid", {**flags, "audience": {"cid": ["r1", "nobody"]}})
        assert statuses == {created["taskid"]: {"r1": "successed_online", "nobody": "target user is invalid"}}
        _, counts = post("/push/list/alias", {**flags, "audience": {"alias": ["u2", "u3"]}})
        assert counts == {"r1": 1, "r2": 1, "r3": 1}
        post(f"/task/{created['taskid']}", method="DELETE")
