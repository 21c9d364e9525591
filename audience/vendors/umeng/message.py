"""Bodies of Umeng: everything of `POST /api/send` except the target and the keys of the call.

Source: https://dev.umeng.com/push/android/api-doc, in copies of about 2018 and of 2025. An application is of one
platform and has its own keys. The payload of Android has display_type, body and extra; the payload of iOS has aps, and
the data beside it. So a payload here may have both halves, and a call sends the half of its application. HarmonyOS,
which has had its own payload since 2025, is not sent to.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from audience.errors import MessageError, Problem
from audience.messages import PLATFORM_OF_CHANNEL, Message, merge_patch, message_for_platform
from audience.vendors.schema_check import get_in, schema_validator
from audience.vendors.shared.content_support import (
    ContentSupport,
    drop_none,
    reject_changed_audience,
    require_plain,
    unsupported_content,
)
from audience.vendors.shared.notification_fields import drop_empty
from audience.vendors.spec import Payload
from audience.vendors.umeng.message_rules import RESERVED_KEYS, RULES, find_platforms, keep_half
from audience.vendors.umeng.times import format_duration

NAME = "umeng"
PLATFORMS = ("android", "ios")
INTERRUPTION_LEVELS = {"high": "time-sensitive", "normal": "active"}
SUPPORT = ContentSupport(
    title="Umeng",
    fields={
        "android": frozenset({"title", "body", "image", "link", "badge", "sound"}),
        "ios": frozenset({"title", "body", "subtitle", "badge", "sound", "priority", "category", "thread_id"}),
    },
    channels={
        "huawei": frozenset({"category"}),
        "xiaomi": frozenset({"channel_id"}),
        "oppo": frozenset({"channel_id", "category"}),
        "vivo": frozenset({"category"}),
    },
)
AUDIENCE_WORDS = {"$.payload.display_type": "platforms", "$.payload.aps": "platforms", "$.production_mode": "test"}


def build_body(message: Message) -> Payload:
    """Write *message* as a request without its target, or raise MessageError for what Umeng would refuse.

    >>> from audience.messages import parse_message
    >>> body = build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["android"]}))
    >>> body["payload"]["body"], body["policy"]
    ({'ticker': 'Hi', 'title': 'Hi', 'text': 'there'}, {'expire_time': 'PT86400S'})
    """
    require_plain(message)
    if problems := list(_refusals(message)):
        raise MessageError(*problems)
    own = _message_to_body(message)
    body = merge_patch(own, message.vendor.get(NAME, {}))
    validate_body(body)
    reject_changed_audience(message, _audience_words(own), _audience_words(body), AUDIENCE_WORDS)
    return body


def _refusals(message: Message) -> Iterator[Problem]:
    """Find platforms that Umeng's applications here do not have, and data that would be read as something else."""
    if message.platforms and not SUPPORT.target_platforms(message):
        reason = f"no application of Umeng for {', '.join(message.platforms)} is sent to"
        yield Problem("other-platform", reason, path="$.platforms", hint=f"it has {' and '.join(PLATFORMS)}")
    if "ios" in SUPPORT.target_platforms(message):
        for key in message.data:
            if key in RESERVED_KEYS:
                reason = f"{key!r} is a key of Umeng in a payload for iOS, which has the data, too"
                yield Problem("wrong-value", reason, path=f"$.data.{key}", hint="rename the key")


def _audience_words(body: Payload) -> Payload:
    """Return what of *body* decides who gets it: the platforms that it has a payload for, and the environment."""
    platforms = find_platforms(body)
    halves = {"display_type": "android" in platforms, "aps": "ios" in platforms}
    return drop_none({"payload": halves, "production_mode": body.get("production_mode")})


def keep_platform(message: Message, platform: str) -> Message:
    """Return *message* for the application of one platform.

    >>> message = Message(title="Hi", body="b", overrides={"ios": {"title": "Hi iOS"}})
    >>> build_body(keep_platform(message, "ios"))["payload"]
    {'aps': {'alert': {'title': 'Hi iOS', 'body': 'b'}}}
    """
    if message.platforms and platform not in message.platforms:
        return message  # a send method refuses it
    patch = message.vendor.get(NAME, {})
    if isinstance(patch.get("payload"), dict):
        patch = {**patch, "payload": keep_half(patch["payload"], platform)}
    return replace(
        message,
        platforms=(platform,),
        overrides={
            place: override
            for place, override in message.overrides.items()
            if PLATFORM_OF_CHANNEL.get(place, place) == platform
        },
        vendor={**message.vendor, NAME: patch} if NAME in message.vendor else message.vendor,
    )


def _message_to_body(message: Message) -> Payload:
    """Build the body; production_mode is always set for iOS, whose devices in development are others."""
    platforms = SUPPORT.target_platforms(message)
    payload: Payload = {}
    for name in platforms:
        payload |= _BUILDERS[name](message)
    return {
        "payload": payload,
        "policy": drop_empty(
            expire_time=format_duration(message.time_to_live),
            apns_collapse_id=message.collapse_key if "ios" in platforms else None,
        ),
        **drop_empty(
            production_mode=("false" if message.test else "true") if "ios" in platforms else None,
            channel_properties=_build_channels(message) if "android" in platforms else None,
        ),
    }


def _build_android(message: Message) -> Payload:
    if message.kind == "silent":
        return {"display_type": "message", "body": drop_empty(custom=dict(message.data))}
    message = message_for_platform(message, "android")
    body = drop_empty(
        ticker=message.title,
        title=message.title,
        text=message.body,
        expand_image=message.image,
        sound=None if message.sound in (None, "default") else Path(str(message.sound)).stem,
        after_open=None if message.link is None else "go_url",
        url=message.link,
        add_badge=1 if message.badge == "+1" else None,
        set_badge=None if message.badge == "+1" else message.badge,
    )
    return {"display_type": "notification", "body": body, **drop_empty(extra=dict(message.data))}


def _build_ios(message: Message) -> Payload:
    if message.kind == "silent":
        return {"aps": {"content-available": 1}, **message.data}
    message = message_for_platform(message, "ios")
    level = {"interruption-level": INTERRUPTION_LEVELS.get(message.priority or "")}
    aps = drop_empty(
        alert=drop_empty(title=message.title, subtitle=message.subtitle, body=message.body),
        badge=None if message.badge is None else str(message.badge),
        sound=message.sound,
        category=message.category,
        **{"thread-id": message.thread_id, **level},
    )
    return {"aps": aps, **message.data}


_BUILDERS = {"android": _build_android, "ios": _build_ios}


def _build_channels(message: Message) -> Payload:
    """Build what single channels of manufacturers get."""
    if message.kind == "silent":
        return {}
    overrides = {place: drop_none(override) for place, override in message.overrides.items()}
    huawei, xiaomi, oppo, vivo = (overrides.get(name, {}) for name in ("huawei", "xiaomi", "oppo", "vivo"))
    return drop_empty(
        huawei_channel_category=huawei.get("category"),
        xiaomi_channel_id=xiaomi.get("channel_id"),
        oppo_channel_id=oppo.get("channel_id"),
        oppo_category=oppo.get("category"),
        vivo_category=vivo.get("category"),
    )


def keep_application(body: Payload, platform: str) -> Payload:
    """Return what the application of one platform sends of a body for both.

    >>> body = {"payload": {"display_type": "notification", "aps": {}}, "policy": {"apns_collapse_id": "k"}}
    >>> keep_application(body, "android")
    {'payload': {'display_type': 'notification'}, 'policy': {}}
    """
    own = {**body, "payload": keep_half(get_in(body, "payload"), platform)}
    if platform == "ios":
        return {key: value for key, value in own.items() if key != "channel_properties"}
    policy = {key: value for key, value in get_in(body, "policy").items() if key != "apns_collapse_id"}
    return {**own, "policy": policy} if "policy" in own else own


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that Umeng does not have on its platforms."""
    yield from unsupported_content(message, SUPPORT)
    platforms = SUPPORT.target_platforms(message)
    if "harmonyos" in message.platforms:
        yield Problem("unsupported-field", "HarmonyOS is not sent to through Umeng", path="$.platforms")
    if message.collapse_key is not None and "android" in platforms:
        reason = "Umeng has no collapse_key for android"
        yield Problem("unsupported-field", reason, path="$.collapse_key")


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
