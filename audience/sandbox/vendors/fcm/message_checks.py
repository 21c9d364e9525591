"""Checks of FCM for the fields of a message.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages and /ErrorCode. How the bytes of a message are
counted is left open there: here those of the data and the notification as JSON.
"""

from pathlib import Path

from audience.sandbox.field_checks import find_field_problem, get_field, load_field_table
from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.request_checks import total_json_bytes

TABLE = Path(__file__).with_name("message.txt")
TARGETS = ("token", "fid", "topic", "condition")
MAX_BYTES, MAX_TOPIC_BYTES = 4_096, 2_048
RESERVED_KEYS = {"from", "message_type", "gcm"}
MAX_TTL_SECONDS = 2_419_200


def check_message(message: JsonObject) -> tuple[str, str]:
    """Check the fields of a message; return the kind of its target, and the target.

    Raises:
        VendorRefusal: A field is unknown or of another type, the target is missing, or the message is too large.
    """
    if problem := find_field_problem(message, load_field_table(TABLE)):
        raise _refusal(f"message.{problem.path}", problem.expected)
    targets = [name for name in TARGETS if message.get(name)]
    if not targets:
        raise _refusal("message", "Recipient of the message is not set.")
    if len(targets) > 1:
        raise _refusal(f"message.{targets[1]}", "the target is one of token, fid, topic and condition")
    for path in ("data", "android.data", "webpush.data"):
        for key in get_field(message, path) or {}:
            if key in RESERVED_KEYS or key.startswith(("google", "gcm.notification.")):
                raise _refusal(f"message.{path}", f"Invalid data payload key: {key}")
    ttl = get_field(message, "android.ttl")
    if ttl and float(ttl.removesuffix("s")) > MAX_TTL_SECONDS:
        raise _refusal("message.android.ttl", "Invalid TTL")
    _check_size(message, targets[0])
    return targets[0], message[targets[0]]


def _check_size(message: JsonObject, target: str) -> None:
    maximum = MAX_TOPIC_BYTES if target in ("topic", "condition") else MAX_BYTES
    shared = (message.get("data"), message.get("notification"))
    for path in ("android.notification", "apns.payload", "webpush.notification"):
        if total_json_bytes(*shared, get_field(message, path)) > maximum:
            raise _refusal("message", f"Message is too big: {maximum} bytes")


def _refusal(path: str, text: str) -> VendorRefusal:
    return VendorRefusal("INVALID_ARGUMENT", f"Invalid value at '{path}': {text}")
