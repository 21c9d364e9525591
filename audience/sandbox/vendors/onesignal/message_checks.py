"""Checks of OneSignal for the content of a message. Unknown keys are ignored, as OneSignal ignores them.

https://documentation.onesignal.com/reference/push-notification
"""

from pathlib import Path

from audience.sandbox.field_checks import find_field_problem, load_field_table
from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.request_checks import total_json_bytes

TABLE = Path(__file__).with_name("message.txt")
MAX_CUSTOM_DATA_BYTES = 2_048
NO_ENGLISH = "Message Notifications must have English language content"
CONTENT_KEYS = ("contents", "content_available", "template_id", "apns_alert")


def split_unknown_keys(request: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
    """Return *request* without the keys that OneSignal does not know, and these."""
    known = load_field_table(TABLE).children[()]
    return {key: value for key, value in request.items() if key in known}, tuple(sorted(request.keys() - known.keys()))


def check_message(request: JsonObject) -> None:
    """Check the fields of a message.

    Raises:
        VendorRefusal: One is missing, of another type, too long, or has a value that is not allowed.
    """
    for key in ("contents", "headings", "subtitle"):
        texts = request.get(key)
        if texts is not None and not (isinstance(texts, dict) and texts.get("en")):
            raise VendorRefusal(400, NO_ENGLISH)
    if problem := find_field_problem(request, load_field_table(TABLE)):
        raise VendorRefusal(400, f"{problem.path} is invalid: {problem.expected}")
    if not any(request.get(key) for key in CONTENT_KEYS):
        raise VendorRefusal(400, NO_ENGLISH)
    for key in ("headings", "subtitle"):
        if request.get(key) and request.get("contents") and request[key].keys() != request["contents"].keys():
            raise VendorRefusal(400, f"{key} must include the same languages as contents")
    if total_json_bytes(request.get("custom_data")) > MAX_CUSTOM_DATA_BYTES:
        raise VendorRefusal(400, f"custom_data is larger than {MAX_CUSTOM_DATA_BYTES} bytes")
