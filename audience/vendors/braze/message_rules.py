"""Rules of Braze for a body beyond the types of its fields.

Sources: https://www.braze.com/docs/api/objects_filters/messaging/apple_object and
https://www.braze.com/docs/api/objects_filters/messaging/android_object, for a campaign
https://www.braze.com/docs/api/errors. How Braze counts the bytes is on no page: here they are those of the JSON.
"""

from collections.abc import Iterator
from typing import Any

from audience.errors import Problem
from audience.vendors.braze.schedule import expiry_problems
from audience.vendors.schema_check import get_in, json_nbytes

PARTS = {"android": "android_push", "ios": "apple_push"}
IMAGE_KEY = "appboy_image_url"  # of the extra of Android: the address of a picture
MAX_APPLE_BYTES, MAX_ANDROID_BYTES = 1_912, 4_000
RESERVED_APPLE_KEYS = ("ab", "aps")
VARIATION = "message_variation_id"


def _content_problems(body: Any) -> Iterator[Problem]:
    """Find a request that no platform gets, and parts that show nothing and wake nothing."""
    messages = get_in(body, "messages")
    if not any(messages.get(part) for part in PARTS.values()):
        hint = "give the message a title and a body"
        yield Problem("missing-key", "'messages' needs a push", path="$.messages", hint=hint)
    yield from _apple_problems(get_in(messages, "apple_push"))
    yield from _android_problems(get_in(messages, "android_push"))


def _apple_problems(own: dict[str, Any]) -> Iterator[Problem]:
    path, alert = "$.messages.apple_push", own.get("alert")
    text = alert.get("body") or alert.get("loc_key") if isinstance(alert, dict) else alert
    if own and not text and own.get("content-available") is not True:
        yield Problem("missing-key", "the text of 'alert' is required", path=path, hint="give the message a body")
    if "asset_url" in own and "asset_file_type" not in own:
        yield Problem("missing-key", "'asset_file_type' is required beside asset_url", path=path, hint="png")
    if "buttons" in own and "category" not in own:
        yield Problem("missing-key", "'category' is required beside buttons", path=path, hint="ab_cat_yes_no")
    for key in RESERVED_APPLE_KEYS:
        if key in get_in(own, "extra"):
            yield Problem("wrong-value", f"Braze keeps the key {key!r} for itself", path=f"{path}.extra.{key}")
    if (size := json_nbytes(own)) > MAX_APPLE_BYTES:
        message = f"the push for iOS takes {size:,} bytes; the maximum is {MAX_APPLE_BYTES:,}"
        yield Problem("too-long", message, path=path)


def _android_problems(own: dict[str, Any]) -> Iterator[Problem]:
    path = "$.messages.android_push"
    shown = [key for key in ("alert", "title") if own.get(key)]
    if own.get("send_to_sync") is True:
        for key in shown:
            message = f"{key!r} is not allowed beside send_to_sync"
            yield Problem("wrong-value", message, path=f"{path}.{key}", hint="a silent message has data alone")
    elif own:
        for key in ("alert", "title"):
            if key not in shown:
                hint = "Braze requires a title and a text on Android"
                yield Problem("missing-key", f"{key!r} is required", path=path, hint=hint)
    size = len(own["alert"].encode()) if isinstance(own.get("alert"), str) else 0
    size += json_nbytes(get_in(own, "extra")) if "extra" in own else 0
    if size > MAX_ANDROID_BYTES:
        message = f"text and data for Android take {size:,} bytes; the maximum is {MAX_ANDROID_BYTES:,}"
        yield Problem("too-long", message, path=path)


def _campaign_problems(body: Any) -> Iterator[Problem]:
    """Find parts that name no variation of the campaign under which they are counted, and variations without one."""
    for part in PARTS.values():
        own, path = get_in(body, "messages", part), f"$.messages.{part}"
        if own and "campaign_id" in body and VARIATION not in own:
            message = f"{VARIATION!r} is required beside campaign_id"
            yield Problem("missing-key", message, path=path, hint="copy it from the API campaign")
        if VARIATION in own and "campaign_id" not in body:
            message = f"{VARIATION} is one of a campaign"
            yield Problem("missing-key", message, path=f"{path}.{VARIATION}", hint="add its campaign_id")


RULES = (_content_problems, _campaign_problems, expiry_problems)
