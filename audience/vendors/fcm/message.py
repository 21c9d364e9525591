"""Bodies of FCM: everything of a message except its token, topic or condition.

Sources: the discovery document of the API, revision 20261023, and
https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages.

A message has a part for each platform: `android` and `apns`. A message without platforms has its data outside of these
parts; a message for some platforms has it in their parts, so that a device of another platform gets none of it.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from audience.errors import MessageError, Problem
from audience.messages import Message, merge_patch, message_for_platform, resolve_message
from audience.vendors.fcm.message_rules import EXPIRY_PREFIX, RULES
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import get_in, schema_validator
from audience.vendors.shared.content_support import ContentSupport, require_plain, unsupported_content
from audience.vendors.shared.notification_fields import drop_empty
from audience.vendors.spec import Payload

NAME = "fcm"
PARTS = {"android": "android", "ios": "apns"}
SHARED_PARTS = ("notification", "data", "webpush", "fcm_options")  # what devices of all platforms get
DELIVERY_PRIORITIES = {"high": "HIGH", "normal": "NORMAL"}
APNS_PRIORITIES = {"high": "10", "normal": "5"}
SILENT_PRIORITY = "5"  # APNs refuses 10 for a push in the background
SUPPORT = ContentSupport(
    title="FCM",
    fields={
        "android": frozenset({"title", "body", "image", "sound", "badge", "priority", "channel_id"}),
        "ios": frozenset(
            {"title", "body", "subtitle", "image", "sound", "badge", "priority", "category", "thread_id"},
        ),
    },
    default_platforms=("android", "ios"),
)


def build_body(message: Message) -> Payload:
    """Write *message* without its target, or raise MessageError for what FCM would refuse.

    >>> from audience.messages import parse_message
    >>> build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["android"], "time_to_live": 60}))
    {'android': {'ttl': '60s', 'notification': {'title': 'Hi', 'body': 'there'}}}
    """
    require_plain(message)
    plain = resolve_message(message)
    merged = merge_patch(_message_to_body(plain), plain.vendor.get(NAME, {}))
    validate_body(merged)
    if problems := [*_audience_problems(plain, merged), *_environment_problems(plain)]:
        raise MessageError(*problems)
    return merged


def _message_to_body(message: Message) -> Payload:
    platforms = SUPPORT.target_platforms(message)
    data = {name: value if isinstance(value, str) else dump_json(value) for name, value in message.data.items()}
    own = data if message.platforms else {}
    parts = {PARTS[name]: _BUILDERS[name](message_for_platform(message, name), own) for name in platforms}
    return drop_empty(data={} if message.platforms else data, **parts)


def _build_android(message: Message, data: Payload) -> Payload:
    seconds = message.time_to_live
    shown = drop_empty(
        title=message.title,
        body=message.body,
        image=message.image,
        sound=message.sound,
        channel_id=message.channel_id,
        notification_count=message.badge if message.badge != "+1" else None,
    )
    return drop_empty(
        collapse_key=message.collapse_key,
        priority=DELIVERY_PRIORITIES.get(message.priority or ""),
        ttl=None if seconds is None else f"{seconds}s",
        data=data,
        notification={} if message.kind == "silent" else shown,
    )


def _build_apns(message: Message, data: Payload) -> Payload:
    """Build what iOS devices get: keys beside `aps` are the data of the app."""
    seconds, is_silent = message.time_to_live, message.kind == "silent"
    priority = SILENT_PRIORITY if is_silent else APNS_PRIORITIES.get(message.priority or "")
    headers = {
        "apns-priority": priority,
        "apns-collapse-id": message.collapse_key,
        "apns-expiration": None if seconds is None else f"{EXPIRY_PREFIX}{seconds}",
        "apns-push-type": "background" if is_silent else None,
    }
    aps = {"content-available": 1} if is_silent else _build_aps(message)
    return drop_empty(
        headers=drop_empty(**headers),
        payload={**data, **drop_empty(aps=aps)},
        fcm_options=drop_empty(image=None if is_silent else message.image),
    )


def _build_aps(message: Message) -> Payload:
    return drop_empty(
        alert=drop_empty(title=message.title, subtitle=message.subtitle, body=message.body),
        badge=message.badge if message.badge != "+1" else None,
        sound=message.sound,
        category=message.category,
        **{"thread-id": message.thread_id, "mutable-content": None if message.image is None else 1},
    )


_BUILDERS = {"android": _build_android, "ios": _build_apns}


def _audience_problems(message: Message, body: Payload) -> Iterator[Problem]:
    """Find parts of *body* for platforms that *message* is not for."""
    if not message.platforms:
        return
    others = [part for name, part in PARTS.items() if name not in message.platforms]
    for part in (*others, *SHARED_PARTS):
        if part in body and part != "fcm_options":
            reason = f"it changes whom the message is for: {part} is for platforms that it does not name"
            hint = "name them in 'platforms', or none"
            yield Problem("changed-audience", reason, path=f"$.{part}", hint=hint)


def _environment_problems(message: Message) -> Iterator[Problem]:
    if message.test and "ios" in SUPPORT.target_platforms(message):
        reason = "FCM has no environment of APNs to choose: an app has the one that it was built with"
        yield Problem("unsupported-field", reason, path="$.test", hint="send to the tokens of test devices")


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that FCM does not have on its platforms, and platforms that show nothing of it."""
    yield from unsupported_content(message, SUPPORT)
    for name in SUPPORT.target_platforms(message):
        values = message_for_platform(message, name)
        if values.badge == "+1" and message.kind == "notification":
            yield Problem("unsupported-field", f"FCM cannot count a badge up on {name}", path="$.badge")
    if not message.platforms and message.kind == "notification":
        hint = "set webpush in vendor.fcm, or name the platforms of the message"
        yield Problem("ignored", "web apps show nothing of the message", path="$.platforms", hint=hint)


def set_expiration(body: Payload, now: datetime) -> Payload:
    """Return *body* with the time to live on iOS as the moment at which APNs drops the message.

    >>> from datetime import UTC
    >>> body = {"apns": {"headers": {"apns-expiration": "+60"}}}
    >>> set_expiration(body, datetime(2026, 12, 1, tzinfo=UTC))
    {'apns': {'headers': {'apns-expiration': '1796083260'}}}
    """
    text: Any = get_in(body, "apns", "headers").get("apns-expiration")
    if not isinstance(text, str) or not text.startswith(EXPIRY_PREFIX):
        return body
    seconds = int(text)
    moment = int(now.timestamp()) + seconds if seconds else 0  # APNs: 0 is now or never
    return merge_patch(body, {"apns": {"headers": {"apns-expiration": str(moment)}}})


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
