"""Parts of a message, from the lines in message_parts/*.txt: what it reads as, and what each device gets of it."""

import json
from copy import deepcopy

import pytest
from fact_files import load_cases
from hypothesis import given
from hypothesis import strategies as st

from audience import MessageError
from audience.messages import (
    CHANNELS,
    PLATFORM_OF_CHANNEL,
    PLATFORMS,
    Message,
    merge_patch,
    message_document,
    message_for_platform,
    parse_message,
    resolve_message,
)
from audience.messages.merge_patch import find_unjoinable, join_patches


def as_json(message):
    return json.loads(json.dumps(message_document(message)))


@pytest.mark.parametrize(("name", "text", "document"), load_cases("message_parts", "take"))
def test_message_reads_as(name, text, document):
    message = parse_message(json.loads(text))
    assert as_json(message) == json.loads(document)
    assert parse_message(as_json(message)) == message


@pytest.mark.parametrize(("name", "text", "reasons"), load_cases("message_parts", "refuse"))
def test_message_is_refused_with_every_problem(name, text, reasons):
    with pytest.raises(MessageError) as caught:
        parse_message(json.loads(text))
    assert sorted(f"{each.code} {each.path}" for each in caught.value.problems) == sorted(reasons.split(", "))


@pytest.mark.parametrize(("name", "case", "document"), load_cases("message_parts", "resolve"))
def test_device_gets_the_most_specific_fields(name, case, document):
    text, _, device = case.rpartition(" for ")
    variant, language, platform = (None if word == "-" else word for word in device.split())
    plain = resolve_message(parse_message(json.loads(text)), variant, language)
    if platform is not None:
        plain = message_for_platform(plain, platform)
    assert as_json(plain) == json.loads(document)


@pytest.mark.parametrize(("variant", "language"), [("a", None), (None, "en")])
def test_a_part_that_the_message_lacks_is_refused(variant, language):
    with pytest.raises(MessageError):
        resolve_message(Message(title="Hi"), variant, language)


def test_variants_without_a_chosen_one_are_refused():
    message = parse_message({"title": "t", "split": "split(a:50%, s)", "variants": {"a": {}}})
    with pytest.raises(MessageError, match="not-divided"):
        resolve_message(message)


# Laws. --------------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.integers(0, 3) | st.lists(st.none() | st.integers(0, 1), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(st.sampled_from("abc"), json_values, max_size=3)


def merge_as_the_rfc_writes_it(target, patch):
    """The pseudocode of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    target = deepcopy(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = merge_as_the_rfc_writes_it(target.get(name), value)
    return target


@given(json_objects, json_objects)
def test_patches_merge_as_the_rfc_writes_it(document, patch):
    before = deepcopy(document)
    assert merge_patch(document, patch) == merge_as_the_rfc_writes_it(document, patch)
    assert document == before


@given(json_objects, json_objects, json_objects)
def test_joined_patches_do_what_both_do(document, first, second):
    if find_unjoinable(first, second) is None:
        assert merge_patch(document, join_patches(first, second)) == merge_patch(merge_patch(document, first), second)


FIELDS = ("title", "badge")
values = st.none() | st.integers(0, 9)
parts = st.dictionaries(st.sampled_from(FIELDS), values)
overrides = st.dictionaries(st.sampled_from((*PLATFORMS, *CHANNELS)), st.none() | parts)
levels = st.builds(
    lambda part, own: part if own is ... else {**part, "overrides": own}, parts, st.just(...) | st.none() | overrides
)


def value_at_a_device(levels, name, platform, channel):
    """Every place a value can come from, in order: the last one that has the field wins."""
    places = [None, platform, channel] if PLATFORM_OF_CHANNEL.get(channel) == platform else [None, platform]
    found = [[] for _ in places]  # the values of each place, so far
    for level in levels:
        own = level.get("overrides", {})
        for at, place in enumerate(places):
            if at and (own is None or own.get(place, {}) is None):
                found[at] = []
                continue
            part = level if at == 0 else own.get(place, {})
            if name in part:
                found[at] = [part[name]]
                found[at + 1 :] = [[] for _ in places[at + 1 :]]
    return next((one[0] for one in reversed(found) if one), None)


@given(st.lists(levels, min_size=4, max_size=4), st.sampled_from([*PLATFORM_OF_CHANNEL.items(), (None, "harmonyos")]))
def test_the_most_specific_value_wins(levels, device):
    channel, platform = device
    own, variant, language, variant_language = levels
    message = Message(
        **{name: value for name, value in own.items() if name != "overrides"},
        overrides={place: part for place, part in (own.get("overrides") or {}).items() if part is not None},
        localized={"en": language},
        variants={"a": {**variant, "localized": {"en": variant_language}}},
    )
    at_platform = message_for_platform(resolve_message(message, "a", "en"), platform)
    for name in FIELDS:
        own_channel = {} if channel == "apns" else at_platform.overrides.get(channel, {})
        actual = own_channel.get(name, getattr(at_platform, name))
        assert actual == value_at_a_device(levels, name, platform, channel)
