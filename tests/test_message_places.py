"""Each field of a message has one place in a vendor's body, from the lines in message_places/<vendor>.txt.

What is not in these lines is reported as unsupported; whatever a message has, each of its values is either at its
places and nowhere else, or reported.
"""

import json
from itertools import product

import pytest
from callers import CALLERS
from fact_files import load_cases
from hypothesis import assume, given
from hypothesis import strategies as st
from test_messages import SENDABLE_VENDORS

from audience import Message, MessageError, get_vendor
from audience.messages import CHANNELS, PLATFORM_OF_CHANNEL, PLATFORMS
from audience.messages.fields import CONTENT_TYPES

VALUES = {"priority": "high", "badge": 7, "category": "IM"}  # of fields that take no other text
BODY_ALONE = {  # the place of a body that needs no object, because it has no title and no subtitle
    f"$.{prefix}notification.ios.alert": f"$.{prefix}notification.ios.alert.body" for prefix in ("", "body.")
}
DISTRIBUTION = {"distribution_new": "mtpush"}  # which the user gives to every channel of EngageLab


def load_places(name):
    """Return the paths of each (place, field), and of each field of a silent message as (None, field)."""
    places = {}
    for case in load_cases("message_places", "put", "silent"):
        vendor, left, right = case.values
        if vendor == name:
            *place, field = left.split()
            places[place[0] if place else None, field] = tuple(right.split(", "))
    return places


PLACES = {name: load_places(name) for name in SENDABLE_VENDORS}


def example_value(place, field, link_prefix="app://"):
    """Return a value that only this field of this place has, where the field takes any text."""
    if (place, field) == ("vivo", "channel_id"):
        return "1"
    prefix = {"image": "https://x/", "link": link_prefix}.get(field, "")
    return VALUES.get(field, f"{prefix}{place}-{field}")


def read_leaves(value, path="$"):
    """Yield the path and value of each leaf; JSON in a string is read."""
    if isinstance(value, str) and value.startswith("{"):
        value = json.loads(value)
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from read_leaves(inner, f"{path}.{key}")
    else:
        yield path, value


def build_example(name, **fields):
    """Return the delivery of a vendor, a message with a text and *fields*, and its body."""
    delivery = get_vendor(name).delivery
    message = Message(**{"title": "t", "body": "b", **fields})
    return delivery, message, delivery.build_body(message)


def unsupported_paths(delivery, message):
    return {problem.path for problem in delivery.unsupported_fields(message) if problem.code == "unsupported-field"}


def vendor_words(name, place, platform):
    """Return what only the user can say for a message to one platform or channel."""
    if name == "emas_v2" and platform.lower() != "ios":
        return {"vendor": {name: {"Target": {"Platform": platform.upper()}}}}
    if name == "engagelab" and place in CHANNELS and place != "apns":
        return {"vendor": {name: {"body": {"options": {"third_party_channel": {place: DISTRIBUTION}}}}}}
    return {}


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
@pytest.mark.parametrize(("place", "field"), list(product((*PLATFORMS, *CHANNELS), CONTENT_TYPES)))
def test_field_is_at_its_place_or_reported(name, place, field):
    platform, value = PLATFORM_OF_CHANNEL.get(place, place), example_value(place, field, CALLERS[name].link_prefix)
    if (platform, "title") not in PLACES[name]:
        pytest.skip("the vendor does not have the platform")
    places = PLACES[name].get(("ios" if place == "apns" else place, field))
    words = vendor_words(name, place, platform) if places or name != "engagelab" else {}
    override = {place: {field: value}}
    delivery, message, body = build_example(name, platforms=(platform,), overrides=override, **words)
    found = [(path, leaf) for path, leaf in read_leaves(body) if isinstance(leaf, str | int)]
    if places is None:
        assert unsupported_paths(delivery, message) == {f"$.overrides.{place}.{field}"}
        assert field in VALUES or value not in dict(found).values()
        return
    assert unsupported_paths(delivery, message) == set()
    assert {*places} <= {path for path, _ in found}
    if field not in VALUES and (place, field) != ("vivo", "channel_id"):
        assert {path for path, leaf in found if leaf == value} == {*places}


TEXTS = ("title", "body", "subtitle", "image", "sound", "thread_id", "channel_id")
FREE_CHANNELS = [channel for channel in CHANNELS if channel != "vivo"]  # vivo takes 0 and 1


@st.composite
def messages_with_unique_texts(draw):
    """Return a message in which every text is its own."""
    fields = st.lists(st.sampled_from(TEXTS), unique=True)
    overrides = {}
    for place in draw(st.lists(st.sampled_from((*PLATFORMS, *FREE_CHANNELS)), unique=True, max_size=3)):
        names = draw(fields)
        overrides[place] = {name: draw(st.sampled_from([example_value(place, name), None])) for name in names}
    return Message(
        **{name: example_value("message", name) for name in (*draw(fields), "title", "body")},
        overrides=overrides,
        platforms=tuple(draw(st.lists(st.sampled_from(PLATFORMS), unique=True, max_size=1))),
        kind=draw(st.sampled_from(["notification", "silent"])),
    )


def effective_texts(message, platform):
    """Yield each text of a platform with its path: that of the most specific place."""
    for field in TEXTS:
        value, path = getattr(message, field), f"$.{field}"
        for place in (platform, "apns") if platform == "ios" else (platform,):
            if field in message.overrides.get(place, {}):
                value, path = message.overrides[place][field], f"$.overrides.{place}.{field}"
        yield field, value, path


def expected_texts(name, message, platforms):
    """Return the (path, value) of each text in the body, and the paths of those that are to be reported."""
    found, reported, is_silent = set(), set(), message.kind == "silent"
    for platform in platforms:
        for field, value, path in effective_texts(message, platform):
            places = PLACES[name].get((None if is_silent else platform, field))
            shared = places and any(
                places == PLACES[name].get((other, field)) for other in PLATFORMS if other != platform
            )
            is_shared = len(platforms) > 1 and (is_silent or shared or (field == "title" and name == "tpns"))
            if places and is_shared and value != getattr(message, field):
                reported.add(path)
                value = getattr(message, field)
            if places and value is not None:
                found |= {(each, value) for each in places}
            if not places and value is not None:
                reported.add(path)
    for place, override in message.overrides.items():
        platform = PLATFORM_OF_CHANNEL.get(place, place)
        for field, value in override.items():
            places = None if is_silent else PLACES[name].get((place, field))
            if platform not in platforms or (place in CHANNELS and place != "apns" and (not places or value is None)):
                reported.add(f"$.overrides.{place}.{field}")
            elif place in CHANNELS and place != "apns":
                elsewhere = {each for each in found if each[0] not in places}  # the vendor's own channel replaces
                found = elsewhere | {(each, value) for each in places}
    return found, reported


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
@given(message=messages_with_unique_texts())
def test_each_text_is_at_its_places_alone_or_reported(name, message):
    delivery = get_vendor(name).delivery
    try:
        body = delivery.build_body(message)
    except MessageError:
        assume(False)
    platforms = [
        platform
        for platform in message.platforms or delivery.default_platforms or PLATFORMS
        if (platform, "title") in PLACES[name]
    ]
    texts = {example_value(place, field) for place in ("message", *PLATFORMS, *FREE_CHANNELS) for field in TEXTS}
    leaves = {(path, leaf) for path, leaf in read_leaves(body) if isinstance(leaf, str) and leaf in texts}
    named = {path for paths in PLACES[name].values() for path in paths}
    found = {(path if path in named else BODY_ALONE.get(path, path), leaf) for path, leaf in leaves}
    expected, reported = expected_texts(name, message, platforms)
    assert found == expected
    assert unsupported_paths(delivery, message) == reported


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
@pytest.mark.parametrize(("own", "other"), [("ios", "android"), ("android", "ios")])
def test_no_word_of_a_vendor_moves_a_message_to_another_platform(name, own, other):
    """Each part of another platform's body, and the whole of it, is refused or changes no target."""
    if (other, "title") not in PLACES[name]:
        pytest.skip("the vendor has no such body")
    words = vendor_words(name, other, other).get("vendor", {}).get(name, {})
    delivery = get_vendor(name).delivery
    elsewhere = delivery.build_body(
        Message(title="t", body="b", platforms=(other,), vendor={name: words} if words else {})
    )
    with pytest.raises(MessageError):
        delivery.build_body(Message(title="t", body="b", platforms=(own,), vendor={name: elsewhere}))


@pytest.mark.parametrize("name", SENDABLE_VENDORS)
def test_no_word_of_a_vendor_changes_the_environment(name):
    delivery = get_vendor(name).delivery
    platform = next(place for place in ("ios", "android") if (place, "title") in PLACES[name])
    try:
        tested = delivery.build_body(Message(title="t", body="b", platforms=(platform,), test=True))
    except MessageError as refusal:  # a request of this vendor has no environment
        assert [problem.path for problem in refusal.problems] == ["$.test"]
        return
    with pytest.raises(MessageError, match="changed-audience"):
        delivery.build_body(Message(title="t", body="b", platforms=(platform,), vendor={name: tested}))
