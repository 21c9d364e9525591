"""Bodies of Braze: everything of a request except its target.

Sources: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_messages,
https://www.braze.com/docs/api/objects_filters/messaging/apple_object and
https://www.braze.com/docs/api/objects_filters/messaging/android_object.

Each platform has all of its content in its own object under `messages`; a platform without one gets nothing. A message
that names no platforms is for Android and iOS. Braze fills in Liquid, `{{…}}` and `{%…%}`, wherever it is, so that
texts of a message must have none.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from audience.errors import MessageError, Problem
from audience.messages import Message, merge_patch, message_for_platform, resolve_message
from audience.vendors.braze.message_rules import IMAGE_KEY, PARTS, RULES
from audience.vendors.braze.schedule import EXPIRY_PREFIX
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import get_in, schema_validator
from audience.vendors.shared.content_support import (
    ContentSupport,
    find_content_path,
    require_plain,
    unsupported_content,
)
from audience.vendors.shared.notification_fields import drop_empty
from audience.vendors.spec import Payload

NAME = "braze"
SUPPORT = ContentSupport(
    title="Braze",
    fields={
        "android": frozenset({"title", "body", "subtitle", "image", "link", "sound", "priority", "channel_id"}),
        "ios": frozenset({"title", "body", "link", "badge", "sound", "priority", "category", "thread_id"}),
    },
    default_platforms=("android", "ios"),
)
APNS_PRIORITIES = {"high": 10, "normal": 5}
ASSET_TYPES = ("aif", "gif", "jpg", "m4a", "mp3", "mp4", "png", "wav")
LIQUID = ("{{", "{%")


def build_body(message: Message) -> Payload:
    """Write *message* as a request without its target, or raise MessageError for what Braze would refuse.

    >>> from audience.messages import parse_message
    >>> build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["ios"]}))
    {'messages': {'apple_push': {'alert': {'title': 'Hi', 'body': 'there'}}}}
    """
    require_plain(message)
    plain = resolve_message(message)
    if problems := list(_refusals(plain)):
        raise MessageError(*problems)
    merged = merge_patch(_message_to_body(plain), plain.vendor.get(NAME, {}))
    validate_body(merged)
    if problems := list(_audience_problems(plain, merged)):
        raise MessageError(*problems)
    return merged


def _refusals(message: Message) -> Iterator[Problem]:
    """Find what of *message* would reach others than meant, or be shown otherwise than written."""
    platforms = SUPPORT.target_platforms(message)
    if message.platforms and not platforms:
        reason = f"Braze has no {', '.join(message.platforms)}"
        yield Problem("other-platform", reason, path="$.platforms", hint="it has android and ios")
    if message.test:
        reason = "Braze has no development environment in a request: a workspace has one"
        yield Problem("no-such-target", reason, path="$.test", hint="use the key of a workspace for tests")
    for path, text in _iter_texts(message):
        if any(mark in text for mark in LIQUID):
            hint = "to have it filled in, write the texts in vendor.braze"
            yield Problem("wrong-value", "Braze fills in {{…}} and {%…%} itself", path=path, hint=hint)
    if IMAGE_KEY in message.data:
        reason = f"Braze shows the data {IMAGE_KEY} as a picture"
        yield Problem("wrong-value", reason, path=f"$.data.{IMAGE_KEY}", hint="give the message an image")
    if message.time_to_live == 0 and "ios" in platforms:
        reason = "no page of Braze says what becomes of a push that expires as it is sent"
        yield Problem("wrong-value", reason, path="$.time_to_live", hint="give it a second at least")


def _iter_texts(message: Message) -> Iterator[tuple[str, str]]:
    """Yield each text that a device gets, with its path."""
    for name in ("title", "body", "subtitle", "image", "link"):
        if getattr(message, name) is not None:
            yield f"$.{name}", getattr(message, name)
        for place, override in message.overrides.items():
            if override.get(name) is not None:
                yield f"$.overrides.{place}.{name}", override[name]
    for name, value in message.data.items():
        yield f"$.data.{name}", name + (value if isinstance(value, str) else dump_json(value))


def _message_to_body(message: Message) -> Payload:
    platforms = SUPPORT.target_platforms(message)
    data = {name: value if isinstance(value, str) else dump_json(value) for name, value in message.data.items()}
    parts = {PARTS[name]: _BUILDERS[name](message_for_platform(message, name), data) for name in platforms}
    return drop_empty(messages=drop_empty(**parts))


def _build_android(message: Message, data: Payload) -> Payload:
    shared = {"collapse_key": message.collapse_key, "time_to_live": message.time_to_live}
    if message.kind == "silent":
        return drop_empty(send_to_sync=True, extra=data, **shared)
    picture = {} if message.image is None else {IMAGE_KEY: message.image}
    return drop_empty(
        alert=message.body,
        title=message.title,
        extra={**data, **picture},
        summary_text=message.subtitle,
        custom_uri=message.link,
        sound=message.sound,
        android_priority=message.priority,
        notification_channel_id=message.channel_id,
        **shared,
    )


def _build_ios(message: Message, data: Payload) -> Payload:
    seconds = message.time_to_live
    shared = {
        "collapse_id": message.collapse_key,
        "expiry": None if seconds is None else f"{EXPIRY_PREFIX}{seconds}",
    }
    if message.kind == "silent":
        return drop_empty(**{"content-available": True}, extra=data, **shared)
    alert = drop_empty(title=message.title, body=message.body)
    return drop_empty(
        alert=alert,
        extra=data,
        custom_uri=message.link,
        badge=message.badge if message.badge != "+1" else None,
        sound=message.sound,
        apns_priority=APNS_PRIORITIES.get(message.priority or ""),
        category=message.category,
        notification_group_thread_id=message.thread_id,
        **_build_asset(message.image),
        **shared,
    )


_BUILDERS = {"android": _build_android, "ios": _build_ios}


def _build_asset(image: str | None) -> Payload:
    """Build the picture on iOS, of which Braze requires the type.

    >>> _build_asset("https://a.b/c.PNG?x=1"), _build_asset("https://a.b/c")
    ({'asset_url': 'https://a.b/c.PNG?x=1', 'asset_file_type': 'png'}, {})
    """
    type_ = find_asset_type(image)
    return {} if type_ is None else {"asset_url": image, "asset_file_type": type_}


def find_asset_type(image: str | None) -> str | None:
    """Return the type of a picture by the end of its address, as Braze calls it; None if it does not show.

    >>> find_asset_type("https://a.b/c.jpeg"), find_asset_type("https://a.b/c.webp")
    ('jpg', None)
    """
    try:
        end = PurePosixPath(urlsplit(image or "").path).suffix.removeprefix(".").lower()
    except ValueError:
        return None
    type_ = "jpg" if end == "jpeg" else end
    return type_ if type_ in ASSET_TYPES else None


def _audience_problems(message: Message, body: Payload) -> Iterator[Problem]:
    """Find parts of *body* for platforms that *message* is not for."""
    for name, part in PARTS.items():
        if message.platforms and name not in message.platforms and part in get_in(body, "messages"):
            reason = f"it changes whom the message is for: {part} is for a platform that it does not name"
            path, hint = f"$.messages.{part}", "name it in 'platforms', or none"
            yield Problem("changed-audience", reason, path=path, hint=hint)


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that Braze does not have on its platforms, or only of some kinds."""
    ios = message_for_platform(message, "ios")
    support = SUPPORT
    if find_asset_type(ios.image) is not None:
        support = replace(SUPPORT, fields={**SUPPORT.fields, "ios": SUPPORT.fields["ios"] | {"image"}})
    yield from unsupported_content(message, support)
    is_shown = message.kind == "notification" and "ios" in SUPPORT.target_platforms(message)
    if is_shown and ios.badge == "+1":
        yield Problem(
            "unsupported-field", "Braze cannot count a badge up on ios", path=find_content_path(message, "badge", "ios")
        )


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
