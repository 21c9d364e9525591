"""Rules of JPush for a body, beyond the types of its fields.

Source: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push; the sizes are those of its error 1005. How JPush
counts the bytes of a notification on Android is left open there; here they are those of its JSON.
"""

from collections.abc import Iterator
from typing import Any

from audience.errors import Problem
from audience.messages import merge_patch
from audience.vendors.schema_check import get_in, json_nbytes
from audience.vendors.spec import Payload

PLATFORMS = ("android", "ios", "hmos", "quickapp", "winphone")  # as JPush calls them
DEFAULT_PLATFORMS = ("android", "ios", "hmos")  # of a message that names none: those that messages can name
SOLE_KINDS = ("live_activity",)
KINDS = ("notification", "message", *SOLE_KINDS)
MAX_ANDROID_BYTES = 4_000  # of notification and message
MAX_IOS_BYTES = 2_000  # of the notification; APNs allows 2,048 with what JPush adds
MAX_MESSAGE_BYTES = 4_000  # of the message on iOS
MAX_WINPHONE_BYTES = 1_000
MAX_LIVE_ACTIVITY_BYTES = 3_584
MAX_COLLAPSE_ID_BYTES = 64
MAX_CHANNEL_ID_BYTES = 1_000


def target_platforms(body: Any) -> list[str]:
    """Return the platforms of a request; of "all" those that messages can name, and others with texts of their own.

    >>> target_platforms({"platform": "all", "notification": {"alert": "Hi", "quickapp": {}}})
    ['android', 'ios', 'hmos', 'quickapp']
    """
    platform = get_in(body).get("platform")
    names = [platform] if isinstance(platform, str) else platform if isinstance(platform, list) else []
    if "all" in names:
        names = [*DEFAULT_PLATFORMS, *get_in(body, "notification")]
    return [name for name in PLATFORMS if name in names]


def platform_problems(body: Payload, target: Payload) -> Iterator[Problem]:
    """Find whether *target* is on platforms that the message of *body* is not for.

    A message that names platforms narrows the audience. One that names none has no texts for quick apps and Windows
    Phone, so these would be left out by accident.
    """
    named, own = target_platforms(target), target_platforms(body)
    lacking = [name for name in named if name not in own]
    if lacking and (lacking == named or body.get("platform") == "all"):
        message = f"the audience is on {', '.join(named)}, and the message is for {', '.join(own)} only"
        hint = "name the platforms of both, or change the audience"
        yield Problem("other-platform", message, path="$.platforms", hint=hint)


def join_target(body: Payload, target: Payload) -> Payload:
    """Return the request of *body* to *target*: a platform has to be one of both.

    "all" is written out: quick apps would need a title and a page, which the message has not.

    >>> join_target({"platform": "all"}, {"audience": "all", "platform": ["ios", "android"]})
    {'platform': ['android', 'ios'], 'audience': 'all'}
    """
    named = target_platforms(target) or PLATFORMS
    return merge_patch(body, target) | {"platform": [name for name in target_platforms(body) if name in named]}


def _kind_problems(body: Any) -> Iterator[Problem]:
    kinds = [kind for kind in KINDS if kind in get_in(body)]
    if not kinds:
        hint = "give a body, or set one of them in vendor.jpush"
        yield Problem("missing-key", f"one of {', '.join(KINDS)} is required", path="$", hint=hint)
    for kind in SOLE_KINDS:
        if kind in kinds and len(kinds) > 1:
            hint = "send them one by one"
            yield Problem("excluded", f"{' and '.join(kinds)} exclude each other", path="$", hint=hint)
        if kind in kinds and target_platforms(body) != ["ios"]:
            yield Problem("excluded", f"{kind} is for iOS only", path="$.platform", hint='set "platforms": ["ios"]')
    if "inapp_message" in get_in(body) and kinds != ["notification"]:
        hint = "it shows a notification inside the app"
        yield Problem("excluded", "inapp_message is for a notification alone", path="$.inapp_message", hint=hint)


def _alert_problems(body: Any) -> Iterator[Problem]:
    """Find a platform that has neither its own text nor the one for all platforms."""
    notification = get_in(body, "notification")
    if not isinstance(get_in(body).get("notification"), dict) or notification.get("alert"):
        return
    for name in target_platforms(body):
        if not get_in(notification, name).get("alert") and not (name == "ios" and "voip" in notification):
            path, hint = f"$.notification.{name}", "give the message a body"
            yield Problem("missing-key", "'alert' is required: the text to show", path=path, hint=hint)


def _size_problems(body: Any) -> Iterator[Problem]:
    notification, platforms = get_in(body, "notification"), target_platforms(body)
    message_size = json_nbytes(body["message"]) if "message" in get_in(body) else 0
    if "android" in platforms:
        size = _part_nbytes(notification, "android") + message_size
        subject = "notification and message on Android together"
        yield from _excess_problems(size, MAX_ANDROID_BYTES, "$", subject)
    if "ios" in platforms:
        size = _part_nbytes(notification, "ios")
        yield from _excess_problems(size, MAX_IOS_BYTES, "$.notification.ios", "a notification on iOS")
        yield from _excess_problems(message_size, MAX_MESSAGE_BYTES, "$.message", "a message on iOS")
    if "winphone" in platforms:
        size = _part_nbytes(notification, "winphone")
        yield from _excess_problems(size, MAX_WINPHONE_BYTES, "$.notification.winphone", "a notification")
    size = json_nbytes(get_in(body, "live_activity", "ios"))
    yield from _excess_problems(size, MAX_LIVE_ACTIVITY_BYTES, "$.live_activity.ios", "a live activity")


def _part_nbytes(notification: Payload, platform: str) -> int:
    """Count the bytes of what a platform gets of a notification: its own text, or the one for all."""
    shared = {"alert": notification["alert"]} if "alert" in notification else {}
    part = {**shared, **get_in(notification, platform)}
    return json_nbytes(part) if part else 0


def _length_problems(body: Any) -> Iterator[Problem]:
    for keys, maximum in (
        (("options", "apns_collapse_id"), MAX_COLLAPSE_ID_BYTES),
        (("notification", "android", "channel_id"), MAX_CHANNEL_ID_BYTES),
    ):
        value = get_in(body, *keys[:-1]).get(keys[-1])
        if isinstance(value, str):
            yield from _excess_problems(len(value.encode()), maximum, f"$.{'.'.join(keys)}", keys[-1])


def _excess_problems(actual: int, maximum: int, path: str, subject: str) -> Iterator[Problem]:
    if actual > maximum:
        yield Problem("too-long", f"{subject} takes {actual:,} bytes; the maximum is {maximum:,}", path=path)


RULES = (_kind_problems, _alert_problems, _size_problems, _length_problems)
