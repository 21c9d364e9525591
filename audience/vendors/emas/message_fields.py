"""What a neutral message becomes in both forms of EMAS: platforms, extension parameters, ids of notifications."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any
from zlib import crc32

from audience.errors import MessageError, Problem
from audience.messages import PLATFORMS, Message
from audience.vendors.payload_reader import dump_json
from audience.vendors.spec import Payload

MAX_NOTIFY_ID = 2**31 - 1  # NotifyId is an int of Java


def message_platforms(message: Message) -> tuple[str, ...]:
    """The platforms that *message* is worded for: those that it names, or all."""
    return message.platforms or PLATFORMS


def single_platform(message: Message) -> str | None:
    """The one platform that *message* is narrowed to, or None where it goes to all."""
    return message.platforms[0] if len(message.platforms) == 1 else None


def unsupported_problems(message: Message) -> Iterator[Problem]:
    """What of *message* no request of EMAS can say exactly, so that it is refused."""
    if len(message.platforms) == 2:
        words = "a request of EMAS goes to one platform, or to all that its application has"
        yield Problem("two-platforms", words, path="$.platforms", hint="name one, or none, and send twice")
    if message.kind == "silent" and message.data and message.body:
        words = "what is not shown has a title and a body at EMAS, and no place for data beside them"
        yield Problem("two-bodies", words, path="$.data", hint="leave out the body: it is then the data, as JSON")


def require_json_data(message: Message) -> Message:
    """*message* if its data can be written as JSON text, or MessageError."""
    try:
        json.dumps(dict(message.data), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError(Problem("unwritable", f"cannot be written as JSON: {error}", path="$.data")) from error
    return message


def validate_body(body: Payload, check: Callable[[Any], None], problems: Iterable[Problem]) -> Payload:
    """*body*, or MessageError with those *problems* and with what *check* finds."""
    found = list(problems)
    try:
        check(body)
    except MessageError as error:
        found += error.problems
    if found:
        raise MessageError(*found)
    return body


def unsupported_fields(message: Message, *, sound_on_harmony: bool) -> Iterator[Problem]:
    """What of *message* has no field at EMAS."""
    if message.kind == "silent":
        for name in ("image", "link", "badge", "sound", "collapse_key"):
            if getattr(message, name) is not None:
                yield Problem("not-shown", f"what is not shown has no {name}", path=f"$.{name}")
        return
    if message.link and "ios" in message_platforms(message):
        words = "EMAS opens no link on iOS; the app is handed it as the extension parameter 'link'"
        yield Problem("no-link", words, path="$.link")
    if message.sound and "hmos" in message_platforms(message) and not sound_on_harmony:
        yield Problem("no-sound", "Push has no sound for HarmonyOS; PushV2 has one", path="$.sound")


def format_extras(message: Message, platform: str) -> str | None:
    """The extension parameters on *platform* as JSON text: the data, and on iOS the picture and the link.

    >>> format_extras(Message(data={"a": 1}, image="https://x/y.png"), "ios")
    '{"attachment":"https://x/y.png","a":1}'
    """
    found: dict[str, Any] = {}
    if platform == "ios":
        found = {"attachment": message.image, "link": message.link}
    found = {key: value for key, value in found.items() if value is not None} | dict(message.data)
    return dump_json(found) if found else None


def format_silent_body(message: Message) -> str | None:
    """What the app is handed where nothing is shown: the body, or the data as JSON text."""
    return message.body if message.body is not None else dump_json(dict(message.data)) if message.data else None


def derive_notify_id(collapse_key: str | None) -> int | None:
    """The number that notifications with *collapse_key* share, so that a later one takes the place of an earlier one.

    >>> derive_notify_id("17"), derive_notify_id("order-17") == derive_notify_id("order-17")
    (17, True)
    """
    if collapse_key is None:
        return None
    number = int(collapse_key) if collapse_key.isascii() and collapse_key.isdigit() else MAX_NOTIFY_ID + 1
    return number if number <= MAX_NOTIFY_ID else crc32(collapse_key.encode()) & MAX_NOTIFY_ID


def strip_extension(sound: str | None) -> str | None:
    """A sound's name on Android, which has no ending.

    >>> strip_extension("ding.caf"), strip_extension("ding")
    ('ding', 'ding')
    """
    return None if sound is None else PurePosixPath(sound).stem


def drop_none(**fields: Any) -> dict[str, Any]:
    """Those *fields* that are said."""
    return {key: value for key, value in fields.items() if value is not None}
