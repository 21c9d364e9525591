"""JPush's own client builds the same audience from its selectors, and takes it into its payload unchanged."""

import pytest

from audience import get_vendor, parse, plan
from audience.vendors.payload_reader import dump_json, load_json

jpush = pytest.importorskip("jpush")

EXPRS = [
    "vip",
    "NOT vip",
    "深圳 OR 广州",
    "(深圳 OR 广州) AND 女 AND 会员 AND NOT old AND NOT 老用户",
    "alias(u1, u2) AND NOT old",
    "registration_id(r1, r2)",
]


def serialize_push(audience) -> dict:
    """What the client would send."""
    push = jpush.JPush("key", "secret").create_push()
    push.audience = audience
    push.platform = jpush.all_
    push.notification = jpush.notification(alert="hello")
    return load_json(dump_json(push.payload))


@pytest.mark.parametrize("text", EXPRS)
def test_client_selectors_build_same_audience(text):
    audience = get_vendor("jpush").emit(parse(text))["audience"]
    selectors = [getattr(jpush, key)(*names) for key, names in audience.items()]
    built = jpush.audience(*selectors)
    assert built == audience


@pytest.mark.parametrize("text", ["everyone", *EXPRS, "(a AND b) OR (c AND d)"])
def test_client_payload_round_trips(text):
    for payload in plan(text, "jpush").native:
        assert get_vendor("jpush").parse(serialize_push(payload["audience"])) == get_vendor("jpush").parse(payload)


def test_client_broadcast_matches_ours():
    assert serialize_push(jpush.all_)["audience"] == get_vendor("jpush").emit(parse("everyone"))["audience"]


def test_id_list_matches_client_selector():
    ids = [f"r{number}" for number in range(get_vendor("jpush").max_ids)]
    assert get_vendor("jpush").target_ids(ids)["audience"] == jpush.audience(jpush.registration_id(*ids))
