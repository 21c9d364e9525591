"""Getui's client for Python takes the conditions that are emitted, and lists of ids as long as ours."""

import collections
import collections.abc
import warnings
from types import SimpleNamespace

import pytest

from audience import Unsaid, equivalent, parse, vendor
from audience.algebra.request_shape import Keyed
from audience.vendors import getui

EXPRS = [
    "vip",
    "vip AND member",
    "(region:11000000 OR region:44000000) AND NOT (old OR 老用户) AND platform:android",
]
GONE = ("MutableMapping", "Mapping", "MutableSequence", "Sequence")  # from `collections`; the client still asks there
KEYS = {"custom_tag": "TAG", "region": "REGION", "phone_type": "PHONE_TYPE"}


@pytest.fixture
def client(monkeypatch):
    """The module of the client, and one that keeps what it would post."""
    for name in GONE:
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
def test_the_client_posts_the_conditions(client, text):
    module, to, posted = client
    said = vendor("getui").emit(parse(text))["audience"]["tag"]
    conditions = module.AppConditions()
    for each in said:
        key, option = getattr(conditions, KEYS[each["key"]]), getattr(module.OptType, each["opt_type"].upper())
        conditions.addCondition(key, each["values"], option)
    message = module.IGtAppMessage()
    message.setConditions(conditions)
    message.data = _nothing_to_say()
    assert module.IGeTui.getContentId(to, message) == "c"
    [params] = posted
    assert [each["values"] for each in params["conditions"]] == [each["values"] for each in said]
    assert [each["optType"] for each in params["conditions"]] == [
        ["or", "and", "not"].index(each["opt_type"]) for each in said
    ]


def test_the_client_takes_lists_as_long_as_ours_and_none_longer(client):
    module, to, posted = client
    ids = [f"cid{at}" for at in range(vendor("getui").batch)]
    module.IGeTui.pushMessageToList(to, "c", _targets(module, vendor("getui").listing(ids)))
    assert posted[0]["clientIdList"] == ids
    with pytest.raises(AssertionError, match="beyond the limit"):
        module.IGeTui.pushMessageToList(to, "c", _targets(module, vendor("getui").listing([*ids, "one more"])))


def _targets(module, payload):
    """The devices of *payload* as the client names them."""
    return [SimpleNamespace(appId="app", clientId=cid, alias="") for cid in payload["audience"]["cid"]]


def _nothing_to_say():
    """The content of a message, which says nothing about who is meant."""
    transparent = SimpleNamespace(SerializeToString=bytes)
    return SimpleNamespace(getTransparent=lambda: transparent, transmissionContent="", pushType="")


@pytest.mark.parametrize("text", ["NOT a", "(a OR b) AND (c OR d) AND e AND NOT f"])
def test_what_no_page_says_is_said_where_it_is_switched_on(monkeypatch, text):
    with pytest.raises(Unsaid):
        vendor("getui").emit(parse(text))
    monkeypatch.setattr(getui, "LONE_NOT", True)
    monkeypatch.setattr(getui, "KEYS_REPEAT", True)
    monkeypatch.setattr(getui, "SHAPE", Keyed(lone_not=True))
    assert equivalent(vendor("getui").parse(vendor("getui").emit(parse(text))), parse(text))
