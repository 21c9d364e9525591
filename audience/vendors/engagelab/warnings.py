"""What EngageLab, or a manufacturer's channel behind it, would cut or ignore in a body that it takes.

https://www.engagelab.com/docs/app-push/rest-api/create-push-api, "Push Limit".
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.engagelab.message import MAX_SAFE_MESSAGE_BYTES, target_platforms
from audience.vendors.oem_channels import OemChannel, length_warnings
from audience.vendors.schema_check import get_in, json_nbytes
from audience.vendors.spec import Payload

ANDROID_CHANNELS = (  # the page writes "fewer than": one character less passes
    OemChannel("EngageLab's own channel", 49, None),
    OemChannel("Huawei", 39, 1_023),
    OemChannel("Meizu", 31, 99, forbidden_strings=("#",)),
    OemChannel("Xiaomi", 49, 127, forbidden_strings=("#", ">>")),
    OemChannel("OPPO", 31, 199),
    OemChannel("vivo", 39, 99, counts_wide_double=True),
)
APNS_CHANNELS = (
    OemChannel("Apple", 40, 110, counts_wide_double=True),
)  # 20 and 55 Chinese characters; a banner on top shows 62
ANDROID_ONLY_OPTIONS = ("override_msg_id", "third_party_channel")
IOS_ONLY_OPTIONS = ("apns_production", "apns_collapse_id")


def body_warnings(body: Payload) -> Iterator[Problem]:
    """What would be cut or ignored in the body *said*.

    >>> said = {"body": {"platform": "ios", "message": {"msg_content": "Hi"}, "options": {"override_msg_id": 1}}}
    >>> [problem.code for problem in body_warnings(said)]
    ['foreground-only', 'ignored']
    """
    told = target_platforms(body)
    notification = get_in(body, "body", "notification")
    if "android" in told:
        yield from _android_length_warnings(notification)
    if "ios" in told:
        yield from _ios_length_warnings(notification)
        yield from _foreground_warnings(body)
    yield from _ignored_option_warnings(get_in(body, "body", "options"), told)
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
        message = "on iOS a message reaches apps in the foreground alone"
        hint = 'to wake the app: a notification with "content-available": true, by vendor.engagelab.body'
        yield Problem("foreground-only", message, path="$.body.message", hint=hint)


def _ignored_option_warnings(options: Payload, platforms: list[str]) -> Iterator[Problem]:
    for keys, platform in ((ANDROID_ONLY_OPTIONS, "android"), (IOS_ONLY_OPTIONS, "ios")):
        for key in keys:
            if key in options and platform not in platforms:
                yield Problem("ignored", f"{key} is for {platform} alone", path=f"$.body.options.{key}")
    if "override_msg_id" in options and "android" in platforms:
        message, hint = "vivo and HONOR replace no message, nor does Huawei before EMUI 10", "they show both"
        yield Problem("channel-ignores", message, path="$.body.options.override_msg_id", hint=hint)


def _near_limit_warnings(body: Payload) -> Iterator[Problem]:
    found = json_nbytes(*(body[kind] for kind in ("notification", "message") if kind in body))
    if found > MAX_SAFE_MESSAGE_BYTES:
        message = f"{found:,} bytes: EngageLab's page says 4,000 is the most, and its error 21005 says 2,048"
        yield Problem("near-limit", message, path="$.body", hint="try it by a dry run first")
