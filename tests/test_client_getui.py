"""Getui's client for Python takes the conditions that are emitted, and lists of ids as long as ours."""

import collections
import collections.abc
import warnings
from types import SimpleNamespace

import pytest

from audience import Unsupported, equivalent, get_vendor, parse
from audience.algebra.request_shape import ListsByKey
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
