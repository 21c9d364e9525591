"""Airship's own client builds the same audience from its checked selectors, and takes it into its payload unchanged."""

import pytest
import urbanairship as ua

from audience import equivalent, parse, plan, vendor
from audience.vendors.payload_reader import dump, load

KEY = "k" * 22
CHANNEL = "9c36e8c7-5a73-47c0-9716-99fd3d4197d5"
EXPRS = [
    "vip",
    "NOT vip",
    "sports OR entertainment",
    "(sports OR entertainment) AND language_en AND NOT old AND NOT loyalty:gold",
    "(a AND b) OR (c AND NOT (d AND e)) OR NOT province:guangdong",
    "alias(u1, u2) AND NOT old",
    f"vip OR registration_id({CHANNEL})",
    " AND ".join(f"t{number}" for number in range(25)),
]
COMPOUNDS = {"AND": ua.and_, "OR": ua.or_}
SELECTORS = {"tag": ua.tag, "named_user": ua.named_user, "channel": ua.channel}


def built(selector: dict) -> dict:
    """*selector* made by the client's functions, which check ids; for a list of names they have OR."""
    [key, value] = next(iter(selector.items()))
    match key:
        case "NOT":
            return ua.not_(built(value))
        case "AND" | "OR":
            return COMPOUNDS[key](*map(built, value))
    names = value if isinstance(value, list) else [value]
    single = [ua.tag_group(selector["group"], name) if "group" in selector else SELECTORS[key](name) for name in names]
    return single[0] if len(single) == 1 else ua.or_(*single)


def written(audience) -> dict:
    """What the client would send."""
    push = ua.Push(ua.client.BasicAuthClient(KEY, secret=KEY))
    push.audience = audience
    push.device_types = ["ios", "android"]
    push.notification = ua.notification(alert="hello")
    return load(dump(push.payload))


@pytest.mark.parametrize("text", EXPRS)
def test_its_selectors_build_what_is_read_as_the_same(text):
    said = vendor("airship").emit(parse(text))
    assert equivalent(vendor("airship").parse({"audience": built(said["audience"])}), parse(text))


@pytest.mark.parametrize("text", ["everyone", *EXPRS])
def test_its_payload_holds_the_audience_and_narrows_it(text):
    [said] = plan(text, "airship").native
    sent = written(said["audience"])
    assert sent["audience"] == said["audience"]
    assert vendor("airship").parse(sent) == vendor("airship").parse(said) & parse("platform:ios OR platform:android")


def test_its_word_for_everyone_is_ours():
    assert written(ua.all_)["audience"] == vendor("airship").emit(parse("everyone"))["audience"]
