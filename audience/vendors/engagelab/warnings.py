"""Warnings of what EngageLab, or a manufacturer's channel behind it, would cut or ignore in a body.

Source: https://www.engagelab.com/docs/app-push/rest-api/create-push-api, "Push Limit".
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.engagelab.message_rules import MAX_SAFE_MESSAGE_BYTES, target_platforms
from audience.vendors.oem_channels import OemChannel, length_warnings
from audience.vendors.schema_check import get_in, json_nbytes
from audience.vendors.spec import Payload

ANDROID_CHANNELS = (  # the page writes "fewer than", so each is one less
    OemChannel("EngageLab's own channel", 49, None),
    OemChannel("Huawei", 39, 1_023),
    OemChannel("Meizu", 31, 99, forbidden_strings=("#",)),
    OemChannel("Xiaomi", 49, 127, forbidden_strings=("#", ">>")),
    OemChannel("OPPO", 31, 199),
    OemChannel("vivo", 39, 99, counts_wide_double=True),
)
# 20 and 55 Chinese characters; a banner at the top shows 62
APNS_CHANNELS = (OemChannel("Apple", 40, 110, counts_wide_double=True),)
DOCUMENTED_DISTRIBUTIONS = ("mtpush", "mtpush_pns")  # those in the examples of the page, which has no list
ANDROID_ONLY_OPTIONS = ("override_msg_id", "third_party_channel")
IOS_ONLY_OPTIONS = ("apns_production", "apns_collapse_id")


def body_warnings(body: Payload) -> Iterator[Problem]:
    """Find what would be cut or ignored in a body.

    >>> body = {"body": {"platform": "ios", "message": {"msg_content": "Hi"}, "options": {"override_msg_id": 1}}}
    >>> [problem.code for problem in body_warnings(body)]
    ['foreground-only', 'ignored']
    """
    platforms = target_platforms(body)
    notification = get_in(body, "body", "notification")
    if "android" in platforms:
        yield from _android_length_warnings(notification)
    if "ios" in platforms:
        yield from _ios_length_warnings(notification)
        yield from _foreground_warnings(body)
    yield from _ignored_option_warnings(get_in(body, "body", "options"), platforms)
    yield from _distribution_warnings(get_in(body, "body", "options", "third_party_channel"))
    yield from _near_limit_warnings(get_in(body, "body"))


def _android_length_warnings(notification: Payload) -> Iterator[Problem]:
    own, path = get_in(notification, "android"), "$.body.notification.android"
    yield from length_warnings(f"{path}.title", own.get("title"), "title", ANDROID_CHANNELS)
    if "alert" in own:
        yield from length_warnings(f"{path}.alert", own["alert"], "content", ANDROID_CHANNELS)
    else:
        yield from length_warnings("$.body.notification.alert", notification.get("alert"), "content", ANDROID_CHANNELS)


def _ios_length_warnings(notification: Payload) -> Iterator[Problem]:
    alert, path = get_in(notification, "ios").get("alert"), "$.body.notification.ios.alert"
    if isinstance(alert, dict):
        yield from length_warnings(f"{path}.title", alert.get("title"), "title", APNS_CHANNELS)
        yield from length_warnings(f"{path}.body", alert.get("body"), "content", APNS_CHANNELS)
    elif alert is not None:
        yield from length_warnings(path, alert, "content", APNS_CHANNELS)
    else:
        yield from length_warnings("$.body.notification.alert", notification.get("alert"), "content", APNS_CHANNELS)


def _foreground_warnings(body: Payload) -> Iterator[Problem]:
    if "message" in get_in(body, "body"):
        message = "on iOS a message reaches only apps in the foreground"
        hint = 'to wake the app, send a notification: a body, and "content-available": true in vendor.engagelab.body'
        yield Problem("foreground-only", message, path="$.body.message", hint=hint)


def _ignored_option_warnings(options: Payload, platforms: list[str]) -> Iterator[Problem]:
    for keys, platform in ((ANDROID_ONLY_OPTIONS, "android"), (IOS_ONLY_OPTIONS, "ios")):
        for key in keys:
            if key in options and platform not in platforms:
                yield Problem("ignored", f"{key} is for {platform} only", path=f"$.body.options.{key}")
    if "override_msg_id" in options and "android" in platforms:
        message = "vivo and HONOR do not replace messages, nor does Huawei before EMUI 10"
        hint = "they show both messages"
        yield Problem("channel-ignores", message, path="$.body.options.override_msg_id", hint=hint)


def _distribution_warnings(channels: Payload) -> Iterator[Problem]:
    """Find orders of channels that the page does not name; the vendor may refuse them."""
    for name in channels:
        order = get_in(channels, name).get("distribution_new")
        if isinstance(order, str) and order not in DOCUMENTED_DISTRIBUTIONS:
            message = f"{order!r} is not on EngageLab's page, which refuses invalid ones: 27009"
            path = f"$.body.options.third_party_channel.{name}.distribution_new"
            yield Problem("undocumented", message, path=path, hint=f"use one of {', '.join(DOCUMENTED_DISTRIBUTIONS)}")


def _near_limit_warnings(body: Payload) -> Iterator[Problem]:
    size = json_nbytes(*(body[kind] for kind in ("notification", "message") if kind in body))
    if size > MAX_SAFE_MESSAGE_BYTES:
        message = f"{size:,} bytes: the maximum is 4,000 by EngageLab's page, and 2,048 by its error 21005"
        yield Problem("near-limit", message, path="$.body", hint="try a dry run first")
