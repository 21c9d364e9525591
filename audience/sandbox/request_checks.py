"""Checks of requests that several endpoints share."""

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

from audience.sandbox.http_types import HttpCall, JsonObject, VendorRefusal

SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")  # a lone surrogate, as JSON may spell it


def parse_json_object(body: bytes | str, code: int | str) -> JsonObject:
    """Return the JSON object in *body*; raise VendorRefusal with *code* if it is not one."""
    value = parse_json(body, code)
    if not isinstance(value, dict):
        raise VendorRefusal(code, "not a JSON object")
    return value


def parse_json(body: bytes | str, code: int | str) -> Any:
    """Return the JSON value in *body*; raise VendorRefusal with *code* if it is none."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
        if SURROGATE_ESCAPE.search(body if isinstance(body, bytes) else body.encode()):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise VendorRefusal(code, f"not JSON: {error}") from None
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON value")


def parse_basic_auth(call: HttpCall) -> tuple[str, str] | None:
    """Return key and secret of a Basic Authorization header, or None."""
    kind, _, text = call.headers.get("authorization", "").partition(" ")
    try:
        key, colon, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:  # no base64, no UTF-8, or a header that is not ASCII
        return None
    return (key, secret) if kind.lower() == "basic" and colon and key and secret else None


def number_or_text(text: str) -> int | str:
    """Return the number that *text* writes in the digits 0 to 9, or *text*.

    >>> number_or_text("21003"), number_or_text("²"), number_or_text("Invalid.Parameter")
    (21003, '²', 'Invalid.Parameter')
    """
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else text


def is_string_list(value: Any) -> bool:
    """Return whether *value* is a list of non-empty strings."""
    return isinstance(value, list) and {*map(type, value)} <= {str} and "" not in value


def is_int_between(value: Any, minimum: int, maximum: int) -> bool:
    """Return whether *value* is an integer between *minimum* and *maximum*."""
    return isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum


def total_json_bytes(*values: Any) -> int:
    """Return the size of *values* as compact JSON in UTF-8 bytes; None counts as 0."""
    return sum(len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) for value in values if value)


def parse_moment(text: str, time_format: str) -> datetime:
    """Return the moment that *text* writes in exactly that form, with all its digits.

    >>> parse_moment("2026-12-05 09:00:00", "%Y-%m-%d %H:%M:%S").hour
    9

    Raises:
        ValueError: *text* is not of that form.
    """
    moment = datetime.strptime(text, time_format)
    if moment.strftime(time_format) != text:  # strptime takes 9 for 09
        raise ValueError(f"{text!r} is not of the form {time_format}")
    return moment


def seconds_until(timestamp: datetime, now: float) -> float:
    """Return the seconds from *now*, in Unix time, to *timestamp*, negative if it has passed; without a zone it is UTC.

    >>> seconds_until(datetime(1970, 1, 1, 0, 1), 20.0)
    40.0
    """
    return timestamp.replace(tzinfo=timestamp.tzinfo or UTC).timestamp() - now
