"""Warnings of what JPush, or a manufacturer's channel behind it, would cut, ignore or refuse in a body.

Sources: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push, and for lengths what the client
cavlabs/jiguang-sdk-go says of the extras `xx_content_forshort`: Xiaomi fails above 128 characters of a content, OPPO
above 200, Meizu and vivo above 100. The lengths of titles were in no page that could be read.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.jpush.message_rules import target_platforms
from audience.vendors.oem_channels import OemChannel, length_warnings
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

ANDROID_CHANNELS = {  # and the key of extras with a shorter content for the channel
    "mipns_content_forshort": OemChannel("Xiaomi", None, 128),
    "oppns_content_forshort": OemChannel("OPPO", None, 200),
    "vpns_content_forshort": OemChannel("vivo", None, 100, counts_wide_double=True),
    "mzpns_content_forshort": OemChannel("Meizu", None, 100),
}
FREE_SECONDS = 3 * 86_400  # how long a message of a free application is kept
ANDROID_ONLY_OPTIONS = ("override_msg_id", "third_party_channel")
IOS_ONLY_OPTIONS = ("apns_production", "apns_collapse_id")
VIP_DISTRIBUTIONS = ("first_ospush", "ospush", "fcm", "pns")


def body_warnings(body: Payload) -> Iterator[Problem]:
    """Find what would be cut, ignored or refused in a body.

    >>> body = {"platform": ["ios"], "message": {"msg_content": "Hi"}, "options": {"override_msg_id": 1}}
    >>> [problem.code for problem in body_warnings(body)]
    ['foreground-only', 'ignored']
    """
    platforms, notification, options = target_platforms(body), get_in(body, "notification"), get_in(body, "options")
    if "android" in platforms:
        yield from _android_warnings(notification)
    if "ios" in platforms and "message" in body:
        hint = 'to wake the app, send a notification: a body, and "content-available": true in vendor.jpush'
        message = "on iOS a message reaches only apps in the foreground"
        yield Problem("foreground-only", message, path="$.message", hint=hint)
    if "hmos" in platforms and notification and not get_in(notification, "hmos").get("category"):
        hint = "set the category that Huawei has granted to the app"
        yield Problem("channel-limit", "HarmonyOS needs a category", path="$.notification.hmos", hint=hint)
    yield from _option_warnings(options, platforms, body)
    yield from _distribution_warnings(get_in(options, "third_party_channel"))


def _android_warnings(notification: Payload) -> Iterator[Problem]:
    android = get_in(notification, "android")
    shorter = get_in(android, "extras")
    channels = [channel for key, channel in ANDROID_CHANNELS.items() if key not in shorter]
    path = "$.notification.android.alert" if "alert" in android else "$.notification.alert"
    yield from length_warnings(path, android.get("alert", notification.get("alert")), "content", channels)
    for key, channel in ANDROID_CHANNELS.items():
        yield from length_warnings(f"$.notification.android.extras.{key}", shorter.get(key), "content", (channel,))
    for key in ("badge_add_num", "badge_set_num"):
        if key in android and "badge_class" not in android:
            message, path = "Huawei and HONOR change no badge without badge_class", f"$.notification.android.{key}"
            yield Problem("channel-ignores", message, path=path, hint="set the class of the app's first screen")
    if "sound" in android and "channel_id" in android:
        message = "since Android 8 the channel decides on the sound"
        yield Problem("ignored", message, path="$.notification.android.sound")


def _option_warnings(options: Payload, platforms: list[str], body: Payload) -> Iterator[Problem]:
    for keys, platform in ((ANDROID_ONLY_OPTIONS, "android"), (IOS_ONLY_OPTIONS, "ios")):
        for key in keys:
            if key in options and platform not in platforms:
                yield Problem("ignored", f"{key} is for {platform} only", path=f"$.options.{key}")
    if "override_msg_id" in options and "android" in platforms:
        message = "vivo does not replace messages, nor does Huawei before EMUI 10"
        hint = "they show both messages"
        yield Problem("channel-ignores", message, path="$.options.override_msg_id", hint=hint)
    seconds = options.get("time_to_live")
    if seconds is not None and platforms == ["ios"] and "notification" in body:
        message = "APNs decides how long a notification is kept"
        yield Problem("ignored", message, path="$.options.time_to_live")
    if isinstance(seconds, int) and seconds > FREE_SECONDS:
        message = "above 3 days time_to_live is for VIP applications only"
        yield Problem("near-limit", message, path="$.options.time_to_live", hint="try a dry run first")


def _distribution_warnings(channels: Payload) -> Iterator[Problem]:
    """Find orders of channels that only VIP applications have."""
    for name in channels:
        for key in ("distribution", "distribution_fcm", "distribution_customize"):
            order = get_in(channels, name).get(key)
            if order in VIP_DISTRIBUTIONS:
                path = f"$.options.third_party_channel.{name}.{key}"
                message, hint = f"{order} is for VIP applications only", "try a dry run first"
                yield Problem("near-limit", message, path=path, hint=hint)
