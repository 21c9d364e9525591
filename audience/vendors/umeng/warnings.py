"""Warnings of what Umeng, or a manufacturer's channel behind it, would cut or ignore in a body.

Source: https://dev.umeng.com/push/android/api-doc, in the copy of 2025. The lengths of titles and texts on
manufacturers' channels are in no copy of it.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.schema_check import get_in, json_nbytes
from audience.vendors.spec import Payload
from audience.vendors.umeng.message_rules import SURE_ANDROID_BYTES, find_platforms, keep_half

BADGES = range(1, 100)  # what Huawei's and HONOR's channels take
MAX_BIG_BODY_CHARS = 120


def body_warnings(body: Payload) -> Iterator[Problem]:
    """Find what would be cut, ignored or refused in a body.

    >>> content = {"title": "t", "text": "b", "add_badge": 1}
    >>> [each.path for each in body_warnings({"payload": {"display_type": "notification", "body": content}})]
    ['$.payload.body.add_badge']
    """
    if "android" in find_platforms(body):
        yield from _android_warnings(body, get_in(body, "payload", "body"))
    if get_in(body, "policy").get("notification_closed_filter"):
        message = "devices on which notifications are switched off get nothing of it, and are counted all the same"
        yield Problem("channel-limit", message, path="$.policy.notification_closed_filter")
    if body.get("production_mode") == "false" and "android" in find_platforms(body):
        message = "in test mode Umeng sends to test devices only, if it is to everyone or to a group"
        yield Problem("not-delivered", message, path="$.production_mode", hint="leave it out in production")


def _android_warnings(body: Payload, content: Payload) -> Iterator[Problem]:
    channels = get_in(body, "channel_properties")
    size = json_nbytes(keep_half(get_in(body, "payload"), "android"))
    if size > SURE_ANDROID_BYTES:
        message = f"the payload takes {size:,} bytes; an older page of Umeng has {SURE_ANDROID_BYTES:,} at most"
        yield Problem("near-limit", message, path="$.payload", hint="shorten the message, or its data")
    yield from _badge_warnings(content, channels)
    if "expand_image" in content:
        message = "of the manufacturers' channels, Xiaomi's alone shows the picture"
        yield Problem("channel-ignores", message, path="$.payload.body.expand_image")
    if len(content.get("big_body", "")) > MAX_BIG_BODY_CHARS:
        message = f"big_body has more than {MAX_BIG_BODY_CHARS} characters"
        yield Problem("channel-limit", message, path="$.payload.body.big_body", hint="shorten it")
    if "oppo_notify_level" in channels and "oppo_category" not in channels:
        message, hint = "OPPO takes oppo_notify_level with an oppo_category only", "set oppo_category"
        yield Problem("channel-limit", message, path="$.channel_properties.oppo_notify_level", hint=hint)


def _badge_warnings(content: Payload, channels: Payload) -> Iterator[Problem]:
    for key in ("set_badge", "add_badge"):
        if key in content and "main_activity" not in channels:
            message, hint = "Huawei and HONOR change no badge without main_activity", "name the app's first screen"
            yield Problem("channel-ignores", message, path=f"$.payload.body.{key}", hint=hint)
        if key in content and content[key] not in BADGES:
            message = f"Huawei and HONOR ignore a badge that is not from {BADGES[0]} to {BADGES[-1]}"
            yield Problem("channel-ignores", message, path=f"$.payload.body.{key}")
