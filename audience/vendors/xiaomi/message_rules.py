"""Rules of Xiaomi Push for a body, beyond the types of its fields.

Source: https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559; that a payload is shorter than 4K is of the
guide to Xiaomi's SDK, pId=1558, as others quote it. A text "shorter than 50" has 49 characters at most. The page counts
any character as one; here one beyond 16 bits counts as two, as it does in Java.
"""

from collections.abc import Iterator
from typing import Any

from audience.errors import Problem
from audience.vendors.schema_check import get_in
from audience.vendors.shared.maker_words import FILTER_WORDS
from audience.vendors.spec import Payload
from audience.vendors.xiaomi.schedule import time_problems

NOTIFICATION, PASS_THROUGH = 0, 1
MAX_NOTIFY_ID = 2_147_483_647
MAX_CHARS = {"title": 49, "description": 127, "payload": 4_095}
MAX_OWN_KEYS, MAX_OWN_CHARS = 10, 1_024
MAX_CALLBACK_BYTES = 64
KNOWN_EXTRAS = frozenset(  # those of the page; what else is in `extra` is the app's own
    {
        *("sound_uri", "ticker", "notify_foreground", "notify_effect", "intent_uri", "web_uri", "flow_control"),
        *("layout_name", "layout_value", "jobkey", "callback", "callback.param", "callback.type", "only_send_once"),
        *("channel_id", "channel_name", "channel_description", "template_id", "template_param"),
    }
)
CLICKS = {"2": "intent_uri", "3": "web_uri"}  # and what each kind needs


def count_chars(text: str) -> int:
    """Count characters as Java does.

    >>> count_chars("时a"), count_chars("😀")
    (2, 2)
    """
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _text_problems(body: Any) -> Iterator[Problem]:
    """Find a text that is missing, blank or too long."""
    words = get_in(body)
    is_silent = words.get("pass_through") == PASS_THROUGH
    needed = ("payload",) if is_silent else ("title", "description")
    has_template = "template_id" in get_in(words, "extra")
    for name, maximum in MAX_CHARS.items():
        text = words.get(name)
        if name in needed and not has_template and text is None:
            hint = "give the message data, or a body" if is_silent else "give the message a title and a body"
            yield Problem("missing-key", f"{name!r} is required", path="$", hint=hint)
        elif isinstance(text, str) and not text.strip():
            yield Problem("wrong-value", f"expected a text that is not blank, got {text!r:.40}", path=f"$.{name}")
        elif isinstance(text, str) and count_chars(text) > maximum:
            message = f"{name} has {count_chars(text):,} characters; the maximum is {maximum:,}"
            yield Problem("too-long", message, path=f"$.{name}")


def _audience_problems(body: Any) -> Iterator[Problem]:
    """Find fields by which Xiaomi would leave out some of the devices that were counted."""
    for name in FILTER_WORDS:
        if name in get_in(body, "extra"):
            hint = "leave it out: the expression decides who gets the message"
            yield Problem("unknown-key", f"unknown key {name!r}", path=f"$.extra.{name}", hint=hint)


def _extra_problems(body: Any) -> Iterator[Problem]:
    extra = get_in(body, "extra")
    own = {key: value for key, value in extra.items() if key not in KNOWN_EXTRAS and isinstance(value, str)}
    if len(own) > MAX_OWN_KEYS:
        message = f"{len(own)} keys of the app's own; the maximum is {MAX_OWN_KEYS}"
        yield Problem("too-many", message, path="$.extra", hint="put them into data")
    if (size := sum(count_chars(key) + count_chars(value) for key, value in own.items())) > MAX_OWN_CHARS:
        message = f"keys of the app's own and their values have {size:,} characters; the maximum is {MAX_OWN_CHARS:,}"
        yield Problem("too-long", message, path="$.extra", hint="put them into data")
    yield from _click_problems(extra)
    param = extra.get("callback.param")
    if isinstance(param, str) and len(param.encode()) > MAX_CALLBACK_BYTES:
        message = f"callback.param takes {len(param.encode()):,} bytes; the maximum is {MAX_CALLBACK_BYTES}"
        yield Problem("too-long", message, path="$.extra.callback.param")


def _click_problems(extra: Payload) -> Iterator[Problem]:
    needed = CLICKS.get(str(extra.get("notify_effect")))
    if needed and not extra.get(needed):
        message = f"{needed!r} is required beside the notify_effect {extra['notify_effect']}"
        yield Problem("missing-key", message, path="$.extra", hint="set link of the message")


RULES = (_text_problems, _audience_problems, _extra_problems, time_problems)
