"""The vendors' own client libraries take what is emitted, and write it unchanged."""

import pytest

from audience import get_vendor, parse

EXPRS = [
    "everyone",
    "vip",
    "Shenzhen OR Guangzhou",
    "(Shenzhen OR Guangzhou) AND female AND members AND NOT old AND NOT 老用户",
    "alias(u1, u2)",
    "registration_id(r1, r2)",
]


@pytest.mark.parametrize("text", EXPRS)
def test_engagelab_client_accepts_target(text):
    push = pytest.importorskip("engagelab.push")
    written = pytest.importorskip("engagelab._serialization")
    payload = get_vendor("engagelab").emit(parse(text))
    to = payload["to"] if payload["to"] == "all" else written.from_dict(push.PushTo, payload["to"])
    assert written.to_dict(push.PushParam(to=to)) == payload


@pytest.mark.parametrize("text", EXPRS[1:])
def test_jpush_client_builds_same_lists(text):
    """EngageLab's sibling has the same keys, and functions for them."""
    selectors = pytest.importorskip("jpush.push.audience")
    to = get_vendor("engagelab").emit(parse(text))["to"]
    built = {}
    for key, names in to.items():
        built |= getattr(selectors, key)(*names)
    assert built == to


@pytest.mark.parametrize("text", [*EXPRS, "account(a1)", "(a AND NOT b) OR (c AND d)"])
def test_alibaba_client_accepts_push_fields(text):
    models = pytest.importorskip("alibabacloud_push20160801.models")
    payload = get_vendor("emas").emit(parse(text))
    request = models.PushRequest().from_map(payload)
    request.validate()
    assert request.to_map() == payload


@pytest.mark.parametrize("text", [*EXPRS, "account(a1)", "(a AND NOT b) OR (c AND d)"])
def test_alibaba_client_accepts_push_v2_target(text):
    models = pytest.importorskip("alibabacloud_push20160801.models")
    payload = get_vendor("emas_v2").emit(parse(text))
    task = models.PushTask().from_map(payload)
    task.validate()
    assert task.to_map() == payload
