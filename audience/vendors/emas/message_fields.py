"""Fields of a message that Push and PushV2 share: platforms, extension parameters, ids of notifications."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any
from zlib import crc32

from audience.errors import MessageError, Problem
from audience.messages import PLATFORMS, Message, message_for_platform
from audience.vendors.payload_reader import dump_json
from audience.vendors.shared.content_support import ContentSupport, find_content_path, unsupported_content
from audience.vendors.spec import Payload

MAX_NOTIFY_ID = 2**31 - 1  # NotifyId is a Java int


def message_platforms(message: Message) -> tuple[str, ...]:
    """Return the platforms of *message*: those that it lists, or all."""
    return message.platforms or PLATFORMS


def single_platform(message: Message) -> str | None:
    """Return the only platform of *message*, or None if it goes to all."""
    return message.platforms[0] if len(message.platforms) == 1 else None


def unsupported_problems(message: Message) -> Iterator[Problem]:
    """Find why no request of EMAS can carry *message* exactly."""
    if len(message.platforms) == 2:
        reason = "a request of EMAS goes to one platform, or to all platforms of its application"
        hint = "list one platform and send twice, or list none"
        yield Problem("two-platforms", reason, path="$.platforms", hint=hint)
    if message.kind == "silent" and message.data and message.body:
        reason = "a silent message of EMAS has a title and a body, and no field for data"
        yield Problem("two-bodies", reason, path="$.data", hint="leave out the body: the data, as JSON, replaces it")


def require_json_data(message: Message) -> Message:
    """Return *message* if its data can be written as JSON, or raise MessageError."""
    try:
        json.dumps(dict(message.data), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError(Problem("unwritable", f"cannot be written as JSON: {error}", path="$.data")) from error
    return message


def validate_body(body: Payload, check: Callable[[Any], None], problems: Iterable[Problem]) -> Payload:
    """Return *body*, or raise MessageError with *problems* and those of *check*."""
    problems = list(problems)
    try:
        check(body)
    except MessageError as error:
        problems += error.problems
    if problems:
        raise MessageError(*problems)
    return body


def build_support(title: str, *, sound_on_harmony: bool) -> ContentSupport:
    """Build the record of the fields that a request of EMAS has; a silent message has a title and a body."""
    common = {"title", "body", "image", "link", "badge"}
    return ContentSupport(
        title=title,
        fields={
            "ios": frozenset({*common, "subtitle", "sound", "priority", "category", "thread_id"}),
            "android": frozenset({*common, "sound", "priority", "thread_id", "channel_id"}),
            "harmonyos": frozenset({*common, "category", *(("sound",) if sound_on_harmony else ())}),
        },
        channels={
            "huawei": frozenset({"category", "priority"}),
            "xiaomi": frozenset({"channel_id"}),
            "oppo": frozenset({"category"}),
            "vivo": frozenset({"category", "channel_id"}),
        },
        shared=frozenset({"title", "body"}),
        silent=frozenset({"title", "body"}),
    )


def unsupported_fields(message: Message, support: ContentSupport) -> Iterator[Problem]:
    """Find the fields of *message* that EMAS has no field for."""
    yield from unsupported_content(message, support)
    if message.kind == "silent" and message.collapse_key is not None:
        yield Problem("unsupported-field", "a silent message has no collapse_key", path="$.collapse_key")
    is_notice = message.kind == "notification"
    if is_notice and "ios" in message_platforms(message) and message_for_platform(message, "ios").link:
        reason = "EMAS does not open links on iOS; the app gets it as the extension parameter 'link'"
        yield Problem("no-link", reason, path=find_content_path(message, "link", "ios"))


def format_extras(message: Message, platform: str) -> str | None:
    """Format the extension parameters as JSON text: the data, and on iOS the picture and the link.

    >>> format_extras(Message(data={"a": 1}, image="https://x/y.png"), "ios")
    '{"attachment":"https://x/y.png","a":1}'
    """
    extras = drop_none(attachment=message.image, link=message.link) if platform == "ios" else {}
    extras |= message.data
    return dump_json(extras) if extras else None


def format_silent_body(message: Message) -> str | None:
    """Return what the app gets in a silent message: the body, or the data as JSON text."""
    if message.body is not None:
        return message.body
    return dump_json(dict(message.data)) if message.data else None


def derive_notify_id(collapse_key: str | None) -> int | None:
    """Derive the number by which a later notification with the same key replaces an earlier one.

    >>> derive_notify_id("17"), derive_notify_id("order-17") == derive_notify_id("order-17")
    (17, True)
    """
    if collapse_key is None:
        return None
    number = int(collapse_key) if collapse_key.isascii() and collapse_key.isdigit() else MAX_NOTIFY_ID + 1
    return number if number <= MAX_NOTIFY_ID else crc32(collapse_key.encode()) & MAX_NOTIFY_ID


def strip_extension(sound: str | None) -> str | None:
    """Strip the extension of a sound's file name, which Android leaves out.

    >>> strip_extension("ding.caf"), strip_extension("ding")
    ('ding', 'ding')
    """
    return None if sound is None else PurePosixPath(sound).stem


def drop_none(**fields: Any) -> dict[str, Any]:
    """Return the *fields* that are not None."""
    return {key: value for key, value in fields.items() if value is not None}
