"""Small questions that several endpoints ask of what they were sent."""

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import Any

from audience.sandbox.http_types import HttpCall, JsonObject, VendorRefusal

SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")  # of a character, as JSON may spell it


def parse_json_object(body: bytes | str, code: int | str) -> JsonObject:
    """The JSON object in *body*, or a refusal with *code*."""
    try:
        value = json.loads(body)
        if SURROGATE_ESCAPE.search(body if isinstance(body, bytes) else body.encode()):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise VendorRefusal(code, f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise VendorRefusal(code, "not a JSON object")
    return value


def parse_basic_auth(call: HttpCall) -> tuple[str, str] | None:
    """Key and secret of an Authorization header, if it is one of Basic."""
    kind, _, text = call.headers.get("authorization", "").partition(" ")
    try:
        key, colon, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (key, secret) if kind.lower() == "basic" and colon and key and secret else None


def is_string_list(value: Any) -> bool:
    """Whether it is a list of texts, none of them empty."""
    return isinstance(value, list) and {*map(type, value)} <= {str} and "" not in value


def is_int_between(value: Any, minimum: int, maximum: int) -> bool:
    """Whether it is a whole number between *least* and *most*."""
    return isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum


def total_json_bytes(*values: Any) -> int:
    """How many bytes of UTF-8 the values have together as compact JSON; those that are None have none."""
    return sum(len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) for value in values if value)


def seconds_until(timestamp: datetime) -> float:
    """From now to *moment*, which is UTC where it does not say; below zero when it has passed."""
    return (timestamp.replace(tzinfo=timestamp.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
