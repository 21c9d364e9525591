"""Rules of FCM for a message, beyond the types of its fields.

Sources: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages for data and time to live, and
https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode for sizes: 4,096 bytes, and 2,048 to topics. The page
does not say how Google counts; here the bytes of the JSON for one platform are counted. No page says whether the limit
of topics applies to conditions; here it does.
"""

from collections.abc import Iterator
from typing import Any

from audience.errors import Problem
from audience.vendors.schema_check import get_in, json_nbytes

MAX_BYTES = 4_096
MAX_TOPIC_BYTES = 2_048
MAX_TTL_SECONDS = 2_419_200  # four weeks
MAX_COLLAPSE_ID_BYTES = 64  # of APNs
RESERVED_KEYS = ("from", "message_type", "gcm")
RESERVED_PREFIXES = ("google", "gcm.notification.")
CONTENT_PARTS = ("notification", "data", "android", "apns", "webpush")
EXPIRY_PREFIX = "+"  # seconds from the call on, in place of a moment


def measure_body(body: Any) -> int:
    """Return the largest size of what a device gets of *body*.

    >>> measure_body({"data": {"n": "1"}, "android": {"notification": {"title": "Hi"}}})
    23
    """
    shared = [get_in(body, "notification"), get_in(body, "data")]
    android = [
        {**shared[0], **get_in(body, "android", "notification")},
        get_in(body, "android", "data") or shared[1],
    ]
    ios = [*shared, get_in(body, "apns", "payload")]
    web = [{**shared[0], **get_in(body, "webpush", "notification")}, get_in(body, "webpush", "data") or shared[1]]
    return max(json_nbytes(*(part for part in parts if part)) for parts in (android, ios, web))


def _content_problems(body: Any) -> Iterator[Problem]:
    if not any(get_in(body).get(part) for part in CONTENT_PARTS):
        yield Problem("missing-key", "the message is empty", path="$", hint="give it a body or data")


def _data_problems(body: Any) -> Iterator[Problem]:
    """Find keys of data that FCM keeps for itself."""
    for path in (("data",), ("android", "data"), ("webpush", "data")):
        for key in get_in(body, *path):
            if key in RESERVED_KEYS or key.startswith(RESERVED_PREFIXES):
                hint = f"other keys than {', '.join(RESERVED_KEYS)} and those that begin with google"
                yield Problem("wrong-value", f"FCM keeps the key {key!r} for itself", path=_join(*path, key), hint=hint)


def _expiry_problems(body: Any) -> Iterator[Problem]:
    ttl = get_in(body, "android").get("ttl")
    digits = ttl.removesuffix("s").partition(".")[0] if isinstance(ttl, str) else ""
    if digits.isdecimal() and digits.isascii() and int(digits[:12]) > MAX_TTL_SECONDS:
        message = f"expected at most {MAX_TTL_SECONDS:,} seconds, found {digits[:12]}"
        yield Problem("wrong-value", message, path="$.android.ttl", hint="four weeks are the longest")


def _size_problems(body: Any) -> Iterator[Problem]:
    if (size := measure_body(body)) > MAX_BYTES:
        yield Problem("too-long", f"a message has {size:,} bytes; the maximum is {MAX_BYTES:,}", path="$")
    collapse_id = get_in(body, "apns", "headers").get("apns-collapse-id")
    if isinstance(collapse_id, str) and len(collapse_id.encode()) > MAX_COLLAPSE_ID_BYTES:
        message = f"APNs takes a collapse id of at most {MAX_COLLAPSE_ID_BYTES} bytes"
        yield Problem("too-long", message, path="$.apns.headers.apns-collapse-id")


def _join(*keys: str) -> str:
    return ".".join(("$", *keys))


RULES = (_content_problems, _data_problems, _expiry_problems, _size_problems)
