"""Checks of Xiaomi Push for the fields of a message, and its codes for what they find.

https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559 and, for codes, pId=1560: which of several codes comes
for which field is not said there, but for a message without title or description, whose reply others have printed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audience.sandbox.field_checks import find_field_problem, load_field_table, parse_field_texts
from audience.sandbox.http_types import JsonObject, VendorRefusal

TABLE = Path(__file__).with_name("message.txt")
TARGET_KEYS = ("registration_id", "alias", "user_account", "topic", "topics", "topic_op")
EXTRA = "extra."
MAX_AHEAD = 7 * 86_400
TEXT_LIMITS = {"title": 50, "description": 128, "payload": 4_096}  # a text has fewer characters
MAX_KEYS, MAX_KEY_CHARS, MAX_PARAM_BYTES = 10, 1_024, 64
OWN_MEANING = (  # of the page; other keys are the app's own
    *("sound_uri", "ticker", "notify_foreground", "notify_effect", "intent_uri", "web_uri", "flow_control", "jobkey"),
    *("layout_name", "layout_value", "callback", "callback.param", "callback.type", "only_send_once", "channel_id"),
    *("channel_name", "channel_description", "template_id", "template_param", "locale", "locale_not_in", "model"),
    *("model_not_in", "app_version", "app_version_not_in", "connpt"),
)


def read_form(form: Mapping[str, str]) -> tuple[JsonObject, tuple[str, ...]]:
    """Return the message in a form, its `extra` as an object and without whom it is for; and fields not known."""
    table = load_field_table(TABLE)
    extra = {name[len(EXTRA) :]: text for name, text in form.items() if name.startswith(EXTRA)}
    known = table.children[()]
    ignored = [name for name in form if name not in known and not name.startswith(EXTRA)]
    request: JsonObject = parse_field_texts({key: text for key, text in form.items() if key != "extra"}, table)
    request = {key: value for key, value in request.items() if key not in TARGET_KEYS}
    return request | ({"extra": extra} if extra else {}), tuple(sorted(ignored))


def check_message(request: JsonObject) -> None:
    """Check the fields of a message.

    Raises:
        VendorRefusal: One is missing, of another type, too long, or has a value that is not allowed.
    """
    if problem := find_field_problem(request, load_field_table(TABLE)):
        raise VendorRefusal(10016 if problem.kind == "missing" else 10017, f"{problem.path}: {problem.expected}")
    _check_texts(request)
    _check_extra(request.get("extra", {}))


def _check_texts(request: JsonObject) -> None:
    is_silent, has_template = request.get("pass_through") == 1, "template_id" in request.get("extra", {})
    if is_silent and not _is_text(request.get("payload")):
        raise VendorRefusal(65011, "Payload is empty!")
    if not is_silent and not has_template and not all(_is_text(request.get(key)) for key in ("title", "description")):
        raise VendorRefusal(65011, "Title or Description is empty!")
    for name, limit in TEXT_LIMITS.items():
        if len(request.get(name, "")) >= limit:
            raise VendorRefusal(65009, f"{name} is too long")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check_extra(extra: JsonObject) -> None:
    own = {key: text for key, text in extra.items() if key not in OWN_MEANING}
    if len(own) > MAX_KEYS:
        raise VendorRefusal(65014, "too many keys")
    if sum(len(key) + len(text) for key, text in own.items()) > MAX_KEY_CHARS:
        raise VendorRefusal(65015, "keys and values are too long")
    if len(extra.get("callback.param", "").encode()) > MAX_PARAM_BYTES:
        raise VendorRefusal(65036, "callback.param is too long")


def read_delay(request: JsonObject, now: float) -> float:
    """Return the seconds until the message is due; raise VendorRefusal if that is more than seven days."""
    milliseconds: int | None = request.get("time_to_send")
    if milliseconds is None:
        return 0.0
    seconds = milliseconds / 1_000 - now
    if seconds > MAX_AHEAD:
        raise VendorRefusal(10017, "time_to_send is more than 7 days ahead")
    return max(0.0, seconds)
