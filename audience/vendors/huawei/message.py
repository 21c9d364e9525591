"""Bodies of Huawei Push Kit v1: everything of `messages:send` except the target and `validate_only`.

Source: https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197. A message that
names no platforms is for Android, where most of Huawei's devices are. Each platform has a part of its own; the shared
notification is not used.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from audience.errors import Problem
from audience.messages import Message, merge_patch, message_for_platform, resolve_message
from audience.vendors.huawei.message_rules import RULES
from audience.vendors.payload_reader import dump_json
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

NAME = "huawei"
ANDROID_FIELDS = frozenset({"title", "body", "image", "link", "sound", "category", "thread_id", "channel_id"})
SUPPORT = ContentSupport(
    title="Huawei Push Kit",
    fields={
        "android": ANDROID_FIELDS,
        "ios": frozenset({"title", "body", "subtitle", "badge", "sound", "priority", "category", "thread_id"}),
    },
    channels={NAME: ANDROID_FIELDS},
    default_platforms=("android",),
)
PLATFORM_WORDS = dict.fromkeys(("$.message.android", "$.message.apns", "$.message.webpush"), "platforms")
USER_WORDS = {"$.message.apns.hms_options": "test"}
TEST_USERS, FORMAL_USERS = 1, 2  # of iOS
APNS_PRIORITIES = {"high": "10", "normal": "5"}
OPEN_APP, OPEN_URL, OPEN_PAGE = 3, 2, 1  # kinds of what a click does
HINTS = {
    "badge": "set message.android.notification.badge in vendor.huawei, with the class of the app's first screen",
    "priority": "set message.android.notification.importance in vendor.huawei; of messages to the app, android.urgency",
}


def build_body(message: Message) -> Payload:
    """Write *message* as a request without its target, or raise MessageError for what Huawei would refuse.

    >>> body = build_body(Message(title="Hi", body="there"))
    >>> body["message"]["android"]["notification"]
    {'title': 'Hi', 'body': 'there', 'click_action': {'type': 3}}
    """
    require_plain(message)
    plain = resolve_message(message)
    request = {"message": _build_message(plain)}
    merged = merge_patch(request, plain.vendor.get(NAME, {}))
    validate_body(merged)
    reject_changed_audience(plain, _list_parts(request), _list_parts(merged), PLATFORM_WORDS)
    reject_changed_audience(plain, request, merged, USER_WORDS)
    return merged


def _list_parts(body: Payload) -> Payload:
    """Return the platforms that *body* has a part for; data or a text for all of them reaches Android devices, too."""
    message = get_in(body, "message")
    parts = {name: True for name in ("android", "apns", "webpush") if name in message}
    if "data" in message or "notification" in message:
        parts["android"] = True
    return {"message": parts}


def _build_message(message: Message) -> Payload:
    platforms, is_silent = SUPPORT.target_platforms(message), message.kind == "silent"
    parts: Payload = {}
    if "android" in platforms:
        own = _resolve_android(message)
        fields: Payload = {} if is_silent else _build_android_fields(own)
        if message.data:
            parts["data"] = dump_json(dict(message.data))
        parts |= drop_empty(android=fields | drop_empty(ttl=_format_seconds(message.time_to_live)))
    if "ios" in platforms:
        parts["apns"] = _build_apns(message_for_platform(message, "ios"), is_silent)
    return parts


def _resolve_android(message: Message) -> Message:
    """Return *message* as Android devices of Huawei get it: its own channel is Huawei's."""
    android = message_for_platform(message, "android")
    return replace(android, **drop_none(android.overrides.get(NAME, {})))


def _build_android_fields(message: Message) -> Payload:
    """Build what is shown; nothing, if all of it is left to the vendor's own words."""
    if not message.data and all(getattr(message, name) is None for name in ANDROID_FIELDS):
        return {}
    notification = drop_empty(
        title=message.title,
        body=message.body,
        image=message.image,
        click_action=_build_click(message.link),
        sound=message.sound,
        default_sound=None if message.sound is None else False,
        channel_id=message.channel_id,
        group=message.thread_id,
        tag=message.collapse_key,
    )
    return drop_empty(category=message.category, notification=notification)


def _build_click(link: str | None) -> Payload:
    """Build what a click does: it opens the app, a page of the web, or a page of the app by an intent.

    >>> _build_click(None), _build_click("https://a.b"), _build_click("app://x")
    ({'type': 3}, {'type': 2, 'url': 'https://a.b'}, {'type': 1, 'intent': 'app://x'})
    """
    if link is None:
        return {"type": OPEN_APP}
    if link.lower().startswith(("http://", "https://")):
        return {"type": OPEN_URL, "url": link}
    return {"type": OPEN_PAGE, "intent": link}


def _build_apns(message: Message, is_silent: bool) -> Payload:
    users = {"target_user_type": TEST_USERS if message.test else FORMAL_USERS}
    if is_silent:
        headers: Mapping[str, str] = {"apns-push-type": "background", "apns-priority": APNS_PRIORITIES["normal"]}
        return {"headers": headers, "payload": {**message.data, "aps": {"content-available": 1}}, "hms_options": users}
    headers = drop_none(
        {"apns-priority": APNS_PRIORITIES.get(message.priority or ""), "apns-collapse-id": message.collapse_key}
    )
    aps = drop_empty(
        alert=drop_empty(title=message.title, subtitle=message.subtitle, body=message.body),
        badge=message.badge if isinstance(message.badge, int) else None,
        sound=message.sound,
        category=message.category,
        **{"thread-id": message.thread_id},
    )
    return drop_empty(headers=headers, payload={**message.data, "aps": aps}, hms_options=users)


def _format_seconds(seconds: int | None) -> str | None:
    return None if seconds is None else f"{seconds}s"


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that Huawei does not have on its platforms."""
    for problem in unsupported_content(message, SUPPORT):
        yield replace(problem, hint=problem.hint or HINTS.get((problem.path or "").rpartition(".")[2]))
    platforms = SUPPORT.target_platforms(message)
    if "harmonyos" in message.platforms:
        reason = "Huawei Push Kit v1 does not reach HarmonyOS 5 and later: these have tokens of another interface, v3"
        hint = "devices with HarmonyOS up to 4 have android tokens"
        yield Problem("unsupported-field", reason, path="$.platforms", hint=hint)
    if "ios" in platforms and message.time_to_live is not None:
        reason = "Huawei Push Kit has no time_to_live for iOS"
        hint = "set message.apns.headers.apns-expiration, a Unix timestamp, in vendor.huawei"
        yield Problem("unsupported-field", reason, path="$.time_to_live", hint=hint)
    if "ios" in platforms and message_for_platform(message, "ios").badge == "+1":
        yield Problem("unsupported-field", 'APNs takes a number, not "+1"', path=_badge_path(message))
    if message.kind == "silent" and message.collapse_key is not None:
        reason = "Huawei Push Kit has no collapse_key for messages to the app"
        yield Problem("unsupported-field", reason, path="$.collapse_key")


def _badge_path(message: Message) -> str:
    places = (name for name in ("apns", "ios") if "badge" in message.overrides.get(name, {}))
    place = next(places, None)
    return "$.badge" if place is None else f"$.overrides.{place}.badge"


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
