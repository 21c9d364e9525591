"""Airship's own client builds the same audience from its checked selectors, and takes it into its payload unchanged."""

import pytest

from audience import equivalent, get_vendor, parse, plan
from audience.vendors.payload_reader import dump_json, load_json

ua = pytest.importorskip("urbanairship")

KEY = "k" * 22
CHANNEL = "9c36e8c7-5a73-47c0-9716-99fd3d4197d5"
EXPRS = [
    "vip",
    "NOT vip",
    "sports OR entertainment",
    "(sports OR entertainment) AND language_en AND NOT old AND NOT group.loyalty:gold",
    "(a AND b) OR (c AND NOT (d AND e)) OR NOT group.province:guangdong",
    "alias(u1, u2) AND NOT old",
    f"vip OR registration_id({CHANNEL})",
    " AND ".join(f"t{number}" for number in range(25)),
]
COMPOUNDS = {"AND": ua.and_, "OR": ua.or_}
SELECTORS = {"tag": ua.tag, "named_user": ua.named_user, "channel": ua.channel}


def build_selector(selector: dict) -> dict:
    """*selector* made by the client's functions, which check ids; for a list of names they have OR."""
    [key, value] = next(iter(selector.items()))
    match key:
        case "NOT":
            return ua.not_(build_selector(value))
        case "AND" | "OR":
            return COMPOUNDS[key](*map(build_selector, value))
    names = value if isinstance(value, list) else [value]
    single = [ua.tag_group(selector["group"], name) if "group" in selector else SELECTORS[key](name) for name in names]
    return single[0] if len(single) == 1 else ua.or_(*single)


def serialize_push(audience) -> dict:
    """What the client would send."""
    push = ua.Push(ua.client.BasicAuthClient(KEY, secret=KEY))
    push.audience = audience
    push.device_types = ["ios", "android"]
    push.notification = ua.notification(alert="hello")
    return load_json(dump_json(push.payload))


@pytest.mark.parametrize("text", EXPRS)
def test_client_selectors_parse_to_same_expression(text):
    said = get_vendor("airship").emit(parse(text))
    assert equivalent(get_vendor("airship").parse({"audience": build_selector(said["audience"])}), parse(text))


@pytest.mark.parametrize("text", ["everyone", *EXPRS])
def test_client_payload_keeps_audience_and_adds_platforms(text):
    [said] = plan(text, "airship").native
    sent = serialize_push(said["audience"])
    assert sent["audience"] == said["audience"]
    assert get_vendor("airship").parse(sent) == get_vendor("airship").parse(said) & parse(
        "platform:ios OR platform:android"
    )


def test_client_broadcast_matches_ours():
    assert serialize_push(ua.all_)["audience"] == get_vendor("airship").emit(parse("everyone"))["audience"]
