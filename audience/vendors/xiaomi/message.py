"""Bodies of Xiaomi Push: everything of a message's form except its target, the app's packages and the batch's `jobkey`.

A form is flat: fields of `extra` are here in an object of their own, and get their prefix when the call is made. The
data of a message is its `payload`, which the app reads. Messages are for Android: the pages that could be read have no
fields for iOS any more, and HarmonyOS has another vendor.

Sources: https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559, of which the client iswangwenbin/pushapi (Go)
quotes what could not be read, and https://dev.mi.com/xiaomihyperos/documentation/detail?pId=2314 for templates.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from audience.errors import MessageError, Problem
from audience.messages import Message, merge_patch, message_for_platform, resolve_message
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import schema_validator
from audience.vendors.shared.content_support import (
    ContentSupport,
    drop_none,
    require_plain,
    unsupported_content,
)
from audience.vendors.shared.notification_fields import drop_empty
from audience.vendors.spec import Payload
from audience.vendors.xiaomi.message_rules import MAX_NOTIFY_ID, NOTIFICATION, PASS_THROUGH, RULES

NAME = "xiaomi"
FIELDS = frozenset({"title", "body", "link", "sound", "channel_id"})
SUPPORT = ContentSupport(
    title="Xiaomi Push",
    fields={"android": FIELDS},
    channels={NAME: FIELDS},
    silent=frozenset({"title", "body"}),
    default_platforms=("android",),
)
ALL_EFFECTS = -1  # sound, vibration and light: Xiaomi's own default
OPEN_PAGE, OPEN_URL = "2", "3"  # what a click does
MILLISECONDS = 1_000
HINTS = {  # fields that Xiaomi's SDK for apps reads
    "image": "upload it to Xiaomi; set extra.notification_style_type 2 and notification_bigPic_uri in vendor.xiaomi"
}


def build_body(message: Message) -> Payload:
    """Write *message* as a form without its target, or raise MessageError for what Xiaomi would refuse.

    >>> build_body(Message(title="Hi", body="there", channel_id="1"))
    {'title': 'Hi', 'description': 'there', 'pass_through': 0, 'notify_type': -1, 'extra': {'channel_id': '1'}}
    """
    require_plain(message)
    plain = resolve_message(message)
    if problems := list(_refusals(plain)):
        raise MessageError(*problems)
    body = _build_silent(plain) if plain.kind == "silent" else _build_notification(plain)
    merged = merge_patch(body, plain.vendor.get(NAME, {}))
    validate_body(merged)
    return merged


def _refusals(message: Message) -> Iterator[Problem]:
    """Find why *message* would reach others than meant."""
    if message.platforms and not SUPPORT.target_platforms(message):
        reason = f"Xiaomi Push has no {', '.join(message.platforms)}"
        yield Problem("other-platform", reason, path="$.platforms", hint="it has android")
    if message.test:
        reason = "Xiaomi Push has no test environment for Android"
        hint = "send to registration ids of your own"
        yield Problem("no-such-target", reason, path="$.test", hint=hint)


def _build_silent(message: Message) -> Payload:
    """Build what the app gets: its data; without data, its body."""
    own = message_for_platform(message, "android")
    data = dump_json(dict(own.data)) if own.data else None
    return drop_empty(
        payload=own.body if data is None else data,
        title=own.title,
        description=None if data is None else own.body,
        pass_through=PASS_THROUGH,
        **_build_times(own),
    )


def _build_notification(message: Message) -> Payload:
    own = message_for_platform(message, "android")
    own = replace(own, **drop_none(own.overrides.get(NAME, {})))
    extra = drop_empty(channel_id=own.channel_id, sound_uri=own.sound, **_build_click(own.link))
    return drop_empty(
        payload=dump_json(dict(own.data)) if own.data else None,
        title=own.title,
        description=own.body,
        pass_through=NOTIFICATION,
        notify_type=ALL_EFFECTS,
        notify_id=read_notify_id(own.collapse_key),
        **_build_times(own),
        extra=extra,
    )


def _build_times(message: Message) -> Payload:
    return {} if message.time_to_live is None else {"time_to_live": message.time_to_live * MILLISECONDS}


def _build_click(link: str | None) -> Payload:
    """Build what a click does: a page of the web, or a page of the app; without a link, the app decides.

    >>> _build_click("https://a.b"), _build_click("app://x"), _build_click(None)
    ({'notify_effect': '3', 'web_uri': 'https://a.b'}, {'notify_effect': '2', 'intent_uri': 'app://x'}, {})
    """
    if link is None:
        return {}
    if link.lower().startswith(("http://", "https://")):
        return {"notify_effect": OPEN_URL, "web_uri": link}
    return {"notify_effect": OPEN_PAGE, "intent_uri": link}


def read_notify_id(collapse_key: str | None) -> int | None:
    """Return the number that *collapse_key* writes; Xiaomi has no other names for what a message takes the place of.

    >>> read_notify_id("7"), read_notify_id("07"), read_notify_id("news")
    (7, None, None)
    """
    if collapse_key is None or not (collapse_key.isascii() and collapse_key.isdecimal()):
        return None
    number = int(collapse_key) if len(collapse_key) <= len(str(MAX_NOTIFY_ID)) else MAX_NOTIFY_ID + 1
    return number if number <= MAX_NOTIFY_ID and str(number) == collapse_key else None


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that Xiaomi does not have."""
    for problem in unsupported_content(message, SUPPORT):
        yield replace(problem, hint=HINTS.get((problem.path or "").rpartition(".")[2], problem.hint))
    others = [name for name in message.platforms if name not in SUPPORT.fields]
    if others and len(others) < len(message.platforms):
        reason = f"Xiaomi Push has no {', '.join(others)}"
        yield Problem("unsupported-field", reason, path="$.platforms", hint="it has android")
    is_lost = message.collapse_key is not None and read_notify_id(message.collapse_key) is None
    if is_lost or (message.collapse_key is not None and message.kind == "silent"):
        reason = "Xiaomi Push numbers what a notification takes the place of"
        hint = f"write a number from 0 to {MAX_NOTIFY_ID:,}, without zeros before it"
        yield Problem("unsupported-field", reason, path="$.collapse_key", hint=hint)


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
