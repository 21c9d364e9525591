"""Resolve the fields of a message for a device, by its variant, language, platform and channel.

The most specific value wins. From the least specific to the most:

    1  the message           2  its variant           3  its language           4  the language of its variant

and in each of them: a field, its override for the platform, its override for the channel. A field of one level
replaces everything that less specific levels have for it, including overrides: an override for the platform never
brings a device the text of another variant or language.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from audience.errors import MessageError, Problem
from audience.language.suggest import did_you_mean
from audience.messages.fields import CONTENT_TYPES, PLATFORM_OF_CHANNEL
from audience.messages.merge_patch import find_unjoinable, join_patches, merge_patch
from audience.messages.message import Message
from audience.messages.paths import join_path

_DEFAULTS = {each.name: getattr(Message(), each.name) for each in fields(Message)}
_MERGED_FIELDS = ("data", "overrides", "vendor", "localized")


def resolve_message(message: Message, variant: str | None = None, language: str | None = None) -> Message:
    """Return what devices of one variant and language get of *message*: no variants or languages are left in it.

    Args:
        message: The message.
        variant: Name of the variant; None for a message without variants.
        language: Tag of one of the languages of the message; None for devices of none of them.

    Raises:
        MessageError: The message has no such variant or language, or it has variants and *variant* is None.

    >>> message = Message(title="Hi", body="there", localized={"zh-Hans": {"title": "你好"}})
    >>> plain = resolve_message(message, language="zh-Hans")
    >>> plain.title, plain.body, plain.languages
    ('你好', 'there', ())
    """
    _require_variant(message, variant)
    if language is not None and language not in message.languages:
        raise MessageError(_unknown_language_problem(message, language))
    plain = replace(message, localized={}, split=None, variants={})
    for path, level in _iter_levels(message, variant, language):
        plain = _apply_level(plain, level, path)
    return plain


def message_for_platform(message: Message, platform: str) -> Message:
    """Return *message* with its values on *platform*; the overrides that are left are those of channels of Android.

    >>> message = Message(title="Hi", overrides={"ios": {"title": "Hi iOS"}, "apns": {"title": None}})
    >>> [message_for_platform(message, platform).title for platform in ("android", "ios")]
    ['Hi', None]
    """
    values = {**message.overrides.get(platform, {}), **(message.overrides.get("apns", {}) if platform == "ios" else {})}
    channels = {
        place: dict(override)
        for place, override in message.overrides.items()
        if place != "apns" and PLATFORM_OF_CHANNEL.get(place) == platform
    }
    return replace(message, **_with_defaults(values), overrides=channels)


def _require_variant(message: Message, variant: str | None) -> None:
    names = list(message.variants)
    if variant is None and names:
        reason = f"the message has the variants {', '.join(names)}"
        hint = "divide the requests: pass the message to `audience emit --message FILE`"
        raise MessageError(Problem("not-divided", reason, path="$.variants", hint=hint))
    if variant is not None and variant not in names:
        hint = did_you_mean(variant, names) or "use the message that the requests were divided by"
        raise MessageError(
            Problem("unknown-side", f"the message has no variant {variant!r}", path="$.variants", hint=hint)
        )


def _unknown_language_problem(message: Message, language: str) -> Problem:
    hint = did_you_mean(language, message.languages) or "use the message that the requests were divided by"
    return Problem("unknown-language", f"the message has no texts in {language!r}", path="$.localized", hint=hint)


def _iter_levels(
    message: Message, variant: str | None, language: str | None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the path and the fields of each level above the message, from the least specific to the most."""
    own, path = (message.variants[variant], join_path("$.variants", variant)) if variant is not None else ({}, "$")
    yield path, own
    if language is None:
        return
    has_own_languages = "localized" in own
    own_languages = own.get("localized") or {}
    own_texts = own_languages.get(language, {})
    drops_language = own_texts is None or (has_own_languages and own["localized"] is None)
    if not drops_language:
        yield join_path("$.localized", language), message.localized.get(language, {})
        yield join_path(f"{path}.localized", language), own_texts


def _apply_level(message: Message, level: Mapping[str, Any], path: str) -> Message:
    values = {name: value for name, value in level.items() if name not in _MERGED_FIELDS}
    return replace(
        message,
        **_with_defaults(values),
        data=_merge_field(message.data, level, "data"),
        overrides=_join_overrides(message.overrides, level),
        vendor=_join_vendor(message.vendor, level, path),
    )


def _with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return *values* with the default of a field in place of None."""
    return {name: _DEFAULTS[name] if value is None else value for name, value in values.items()}


def _merge_field(value: Mapping[str, Any], level: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if name not in level:
        return value
    return {} if level[name] is None else merge_patch(value, level[name])


def _join_overrides(
    overrides: Mapping[str, Mapping[str, Any]], level: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """Return the overrides of less specific levels without what *level* replaces, joined with its own."""
    own = level.get("overrides", {})
    if own is None:
        return {}
    joined: dict[str, Mapping[str, Any]] = {}
    for place in dict.fromkeys((*overrides, *own)):
        own_fields = own.get(place, {})
        if own_fields is None:
            continue
        replaced = {*(level.keys() & CONTENT_TYPES.keys()), *(own.get(PLATFORM_OF_CHANNEL.get(place, "")) or ())}
        kept = {name: value for name, value in overrides.get(place, {}).items() if name not in replaced}
        if kept | own_fields:
            joined[place] = {**kept, **own_fields}
    return joined


def _join_vendor(
    vendor: Mapping[str, Mapping[str, Any]], level: Mapping[str, Any], path: str
) -> Mapping[str, Mapping[str, Any]]:
    """Return the patches of vendors' bodies of less specific levels, joined with those of *level*."""
    own = level.get("vendor", {})
    if own is None:
        return {}
    joined = dict(vendor)
    for name, patch in own.items():
        if patch is None:
            joined.pop(name, None)
            continue
        if keys := find_unjoinable(vendor.get(name, {}), patch):
            reason = (
                "a less specific part of the message removes or replaces this value, so nothing can be merged with it"
            )
            where = join_path(f"{path}.vendor", name, *keys)
            raise MessageError(Problem("replaced-value", reason, path=where, hint="leave it out there"))
        joined[name] = join_patches(vendor.get(name, {}), patch)
    return joined
