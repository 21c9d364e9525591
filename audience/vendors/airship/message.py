"""Bodies of Airship: everything of a push except its audience.

Source: https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml, `pushObject` and the overrides of platforms.
Each platform has all of its content in its own part, as a title is in no other. A push names its platforms; a message
that names none is for Android and iOS. Languages and variants are divided here: Airship's own `localizations` makes
several pushes of one, whose ids are not those of its devices.
"""

from collections.abc import Iterator
from pathlib import Path

from audience.errors import MessageError, Problem
from audience.messages import Message, merge_patch, message_for_platform, resolve_message
from audience.vendors.airship.message_rules import DEVICE_TYPES, RULES
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import schema_validator
from audience.vendors.shared.content_support import (
    ContentSupport,
    reject_changed_audience,
    require_plain,
    unsupported_content,
)
from audience.vendors.shared.notification_fields import drop_empty
from audience.vendors.spec import Payload

NAME = "airship"
SUPPORT = ContentSupport(
    title="Airship",
    fields={
        "android": frozenset({"title", "body", "subtitle", "image", "link", "sound", "priority", "channel_id"}),
        "ios": frozenset(
            {"title", "body", "subtitle", "image", "link", "badge", "sound", "priority", "category", "thread_id"}
        ),
    },
    default_platforms=("android", "ios"),
)
APNS_PRIORITIES = {"high": 10, "normal": 5}
AUDIENCE_WORDS = {f"$.{DEVICE_TYPES}": "platforms"}


def build_body(message: Message) -> Payload:
    """Write *message* as a push without its audience, or raise MessageError for what Airship would refuse.

    >>> from audience.messages import parse_message
    >>> body = build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["ios"]}))
    >>> body["device_types"], body["notification"]
    (['ios'], {'ios': {'alert': 'there', 'title': 'Hi'}})
    """
    require_plain(message)
    if problems := list(_refusals(message)):
        raise MessageError(*problems)
    plain = resolve_message(message)
    request = _message_to_body(plain)
    merged = merge_patch(request, plain.vendor.get(NAME, {}))
    validate_body(merged)
    reject_changed_audience(plain, request, merged, AUDIENCE_WORDS)
    return merged


def _refusals(message: Message) -> Iterator[Problem]:
    """Find what of *message* would reach others than meant."""
    if message.platforms and not SUPPORT.target_platforms(message):
        reason = f"Airship has no {', '.join(message.platforms)}"
        yield Problem("other-platform", reason, path="$.platforms", hint="it has android and ios")
    if message.test:
        reason = "Airship has no development environment in a request: a project has one of both"
        yield Problem("no-such-target", reason, path="$.test", hint="use the keys of a project for tests")


def _message_to_body(message: Message) -> Payload:
    platforms = SUPPORT.target_platforms(message)
    data = {name: value if isinstance(value, str) else dump_json(value) for name, value in message.data.items()}
    build = _build_silent if message.kind == "silent" else _build_shown
    parts = {name: build(name, message_for_platform(message, name), data) for name in platforms}
    return {
        DEVICE_TYPES: list(platforms),
        **drop_empty(
            notification=drop_empty(**parts),
            options=drop_empty(expiry=message.time_to_live),
        ),
    }


def _build_silent(platform: str, message: Message, data: Payload) -> Payload:
    own = _build_collapse(platform, message)
    return drop_empty(extra=data, **own, **({"content_available": True} if platform == "ios" else {}))


def _build_shown(platform: str, message: Message, data: Payload) -> Payload:
    own = _build_ios(message) if platform == "ios" else _build_android(message)
    return drop_empty(
        alert=message.body,
        title=message.title,
        sound=message.sound,
        actions=_build_actions(message.link),
        extra=data,
        **_build_collapse(platform, message),
        **own,
    )


def _build_collapse(platform: str, message: Message) -> Payload:
    return {"collapse_id" if platform == "ios" else "collapse_key": message.collapse_key}


def _build_actions(link: str | None) -> Payload:
    """Build what a click does: it opens a page of the web, or one of the app.

    >>> _build_actions("https://a.b"), _build_actions("app://x")["open"]["type"], _build_actions(None)
    ({'open': {'type': 'url', 'content': 'https://a.b'}}, 'deep_link', {})
    """
    if link is None:
        return {}
    is_web = link.lower().startswith(("http://", "https://"))
    return {"open": {"type": "url" if is_web else "deep_link", "content": link}}


def _build_android(message: Message) -> Payload:
    style = {} if message.image is None else {"type": "big_picture", "big_picture": message.image}
    return {
        "summary": message.subtitle,
        "style": style,
        "delivery_priority": message.priority,
        "notification_channel": message.channel_id,
    }


def _build_ios(message: Message) -> Payload:
    return {
        "subtitle": message.subtitle,
        "badge": message.badge,
        "priority": APNS_PRIORITIES.get(message.priority or ""),
        "category": message.category,
        "thread_id": message.thread_id,
        "media_attachment": {} if message.image is None else {"url": message.image},
    }


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that Airship does not have on its platforms."""
    yield from unsupported_content(message, SUPPORT)
    if SUPPORT.target_platforms(message) and (
        others := [each for each in message.platforms if each not in SUPPORT.fields]
    ):
        yield Problem("unsupported-field", f"Airship has no {', '.join(others)}", path="$.platforms")


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
