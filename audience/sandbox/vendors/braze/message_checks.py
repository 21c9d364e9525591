"""Checks of Braze for what a request has beside its target.

https://www.braze.com/docs/api/objects_filters/messaging/apple_object and /android_object, and for the texts of refusals
https://www.braze.com/docs/api/errors.
"""

from pathlib import Path

from audience.sandbox.field_checks import find_field_problem, get_field, load_field_table
from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.request_checks import total_json_bytes

TABLE = Path(__file__).with_name("request.txt")
PLATFORMS = {"apple_push": "ios", "android_push": "android", "kindle_push": "amazon", "web_push": "web"}
MAX_BYTES = {
    "apple_push": (1_912, "Apple Push Length Exceeded"),
    "android_push": (4_000, "Android Push Length Exceeded"),
}
CAPPING = {False: "override_messaging_limits", True: "override_frequency_capping"}  # the word that the other call has


def list_platforms(request: JsonObject) -> set[str]:
    """Return the platforms that a request has a push for."""
    return {PLATFORMS[name] for name in request["messages"] if name in PLATFORMS}


def check_request(request: JsonObject, *, is_kept: bool) -> None:
    """Check a request that was found to have a target.

    Raises:
        VendorRefusal: A field is unknown, missing, of another type or too large.
    """
    if not isinstance(request.get("messages"), dict) or not any(request["messages"].values()):
        raise VendorRefusal(400, "No message to send")
    for name in MAX_BYTES:
        extra = get_field(request, f"messages.{name}.extra")
        if extra is not None and not isinstance(extra, dict):
            raise VendorRefusal(400, "Invalid Extra Push Payload")
    if problem := find_field_problem(request, load_field_table(TABLE)):
        raise VendorRefusal(400, f"Bad Request: {problem.path}: {problem.kind}, {problem.expected}")
    if ("schedule" in request) != is_kept or CAPPING[is_kept] in request:
        raise VendorRefusal(400, f"Bad Request: schedule, or {CAPPING[is_kept]}, is of another endpoint")
    for name in MAX_BYTES:
        if push := get_field(request, f"messages.{name}"):
            _check_push(name, push, request)


def _check_push(name: str, push: JsonObject, request: JsonObject) -> None:
    limit, text = MAX_BYTES[name]
    counted = [push] if name == "apple_push" else [push.get("alert"), push.get("extra")]
    if total_json_bytes(*counted) > limit:
        raise VendorRefusal(400, text)
    if request.get("campaign_id") and not push.get("message_variation_id"):
        raise VendorRefusal(400, "Message Variant Unspecified")
    is_silent = push.get("content-available" if name == "apple_push" else "send_to_sync") is True
    alert = push.get("alert")
    has_text = bool(alert.get("body") or alert.get("loc_key")) if isinstance(alert, dict) else bool(alert)
    if not has_text and not is_silent:
        raise VendorRefusal(400, f"Bad Request: {name}.alert is required")
    if name == "android_push" and is_silent == bool(alert or push.get("title")):
        raise VendorRefusal(400, "Bad Request: android_push has a title and a text, or send_to_sync")
    if name == "android_push" and not is_silent and not push.get("title"):
        raise VendorRefusal(400, "Bad Request: android_push.title is required")
    if name == "apple_push" and push.get("asset_url") and not push.get("asset_file_type"):
        raise VendorRefusal(400, "Bad Request: asset_file_type is required")
    if name == "apple_push" and {"ab", "aps"} & (push.get("extra") or {}).keys():
        raise VendorRefusal(400, "Invalid Extra Push Payload")
