"""Bodies of OneSignal: everything of `POST /notifications` except whom it is for and the keys of the call.

Sources: https://documentation.onesignal.com/reference/push-notification, of version 11.6 of the vendor's description,
and docs/Notification.md of the client OneSignal/onesignal-python-api for fields that the page does not have.
"""

from collections.abc import Iterator
from pathlib import Path

from audience.errors import MessageError, Problem
from audience.messages import Message, merge_patch, message_for_platform
from audience.vendors.onesignal.message_rules import FLAGS, RULES
from audience.vendors.schema_check import schema_validator
from audience.vendors.shared.content_support import (
    ContentSupport,
    drop_none,
    reject_changed_audience,
    require_plain,
    share_content,
    unsupported_content,
)
from audience.vendors.shared.notification_fields import drop_empty
from audience.vendors.spec import Payload

NAME = "onesignal"
FLAGS_BY_PLATFORM = {"android": ("isAndroid", "isHuawei"), "ios": ("isIos",)}  # Huawei's devices are Android's here
PRIORITIES = {"high": 10, "normal": 5}
ATTACHMENT = "image"  # our name of the only attachment on iOS
SUPPORT = ContentSupport(
    title="OneSignal",
    fields={
        "android": frozenset({"title", "body", "image", "link", "sound", "priority", "thread_id", "channel_id"}),
        "ios": frozenset(
            {"title", "body", "subtitle", "image", "link", "badge", "sound", "priority", "category", "thread_id"}
        ),
    },
    channels={"huawei": frozenset({"image", "sound", "category", "channel_id"})},
    shared=frozenset({"title", "body", "link", "priority"}),
)
AUDIENCE_WORDS = {f"$.{flag}": "platforms" for flag in FLAGS}


def build_body(message: Message) -> Payload:
    """Write *message* as a request without its target, or raise MessageError for what OneSignal would refuse.

    >>> from audience.messages import parse_message
    >>> build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["ios"]}))
    {'isIos': True, 'contents': {'en': 'there'}, 'headings': {'en': 'Hi'}}
    """
    require_plain(message)
    if problems := list(_refusals(message)):
        raise MessageError(*problems)
    request = _message_to_body(message)
    merged = merge_patch(request, message.vendor.get(NAME, {}))
    validate_body(merged)
    reject_changed_audience(message, request, merged, AUDIENCE_WORDS)
    return merged


def _refusals(message: Message) -> Iterator[Problem]:
    """Find what of *message* would reach others than meant, or be shown otherwise than written."""
    if message.platforms and not SUPPORT.target_platforms(message):
        reason = f"OneSignal has no {', '.join(message.platforms)}"
        yield Problem("other-platform", reason, path="$.platforms", hint="it has android and ios")
    if message.test:
        reason = "OneSignal has no development environment in a request: an application has one of both"
        yield Problem("no-such-target", reason, path="$.test", hint="use the keys of an application for tests")
    for path, text in _iter_texts(message):
        if "{{" in text or "{%" in text:
            hint = "to have it filled in, write the texts in vendor.onesignal"
            yield Problem("wrong-value", "OneSignal fills in {{…}} and {%…%} itself", path=path, hint=hint)


def _iter_texts(message: Message) -> Iterator[tuple[str, str]]:
    for name in ("title", "body", "subtitle"):
        if getattr(message, name) is not None:
            yield f"$.{name}", getattr(message, name)
        for place, override in message.overrides.items():
            if override.get(name) is not None:
                yield f"$.overrides.{place}.{name}", override[name]


def _message_to_body(message: Message) -> Payload:
    platforms = SUPPORT.target_platforms(message)
    named = platforms if message.platforms else ()
    shared = share_content(message, SUPPORT)
    body: Payload = {flag: True for name in named for flag in FLAGS_BY_PLATFORM[name]}
    body |= drop_empty(data=dict(message.data), ttl=message.time_to_live, collapse_id=message.collapse_key)
    if message.kind == "silent":
        return {**body, "content_available": True}
    body |= drop_empty(
        contents=_in_english(shared.body),
        headings=_in_english(shared.title),
        app_url=shared.link,
        web_url=shared.link if not named and str(shared.link).startswith("https://") else None,
        priority=PRIORITIES.get(shared.priority or ""),
    )
    for name in platforms:
        body |= _BUILDERS[name](message)
    return body


def _in_english(text: str | None) -> Payload:
    """Return *text* as that of every language: OneSignal requires `en`, and takes any language for it."""
    return drop_none({"en": text})


def _build_android_fields(message: Message) -> Payload:
    huawei = drop_none(message.overrides.get("huawei", {}))
    message = message_for_platform(message, "android")
    return drop_empty(
        big_picture=message.image,
        android_sound=message.sound,
        android_group=message.thread_id,
        existing_android_channel_id=message.channel_id,
        huawei_big_picture=huawei.get("image"),
        huawei_sound=huawei.get("sound"),
        huawei_category=huawei.get("category"),
        huawei_existing_channel_id=huawei.get("channel_id"),
    )


def _build_ios_fields(message: Message) -> Payload:
    message = message_for_platform(message, "ios")
    badge = {"ios_badgeType": "Increase", "ios_badgeCount": 1}
    if message.badge != "+1":
        badge = {} if message.badge is None else {"ios_badgeType": "SetTo", "ios_badgeCount": message.badge}
    return drop_empty(
        subtitle=_in_english(message.subtitle),
        ios_attachments={} if message.image is None else {ATTACHMENT: message.image},
        ios_sound=message.sound,
        ios_category=message.category,
        thread_id=message.thread_id,
        **badge,
    )


_BUILDERS = {"android": _build_android_fields, "ios": _build_ios_fields}


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that OneSignal does not have on its platforms."""
    yield from unsupported_content(message, SUPPORT)


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
