"""What EngageLab, or a manufacturer's channel behind it, would cut or ignore in a body that it takes.

https://www.engagelab.com/docs/app-push/rest-api/create-push-api, "Push Limit".
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.engagelab.message import LEAST_BYTES, told_by
from audience.vendors.oem_channels import Channel, cut
from audience.vendors.schema_check import at, size
from audience.vendors.spec import Payload

ANDROID = (  # the page writes "fewer than": one character less passes
    Channel("EngageLab's own channel", 49, None),
    Channel("Huawei", 39, 1_023),
    Channel("Meizu", 31, 99, forbids=("#",)),
    Channel("Xiaomi", 49, 127, forbids=("#", ">>")),
    Channel("OPPO", 31, 199),
    Channel("vivo", 39, 99, wide=True),
)
APNS = (Channel("Apple", 40, 110, wide=True),)  # 20 and 55 Chinese characters; a banner on top shows 62
ANDROID_ALONE = ("override_msg_id", "third_party_channel")
IOS_ALONE = ("apns_production", "apns_collapse_id")


def warnings(said: Payload) -> Iterator[Problem]:
    """What would be cut or ignored in the body *said*.

    >>> said = {"body": {"platform": "ios", "message": {"msg_content": "Hi"}, "options": {"override_msg_id": 1}}}
    >>> [problem.code for problem in warnings(said)]
    ['foreground-only', 'ignored']
    """
    told = told_by(said)
    notification = at(said, "body", "notification")
    if "android" in told:
        yield from _cut_on_android(notification)
    if "ios" in told:
        yield from _cut_on_ios(notification)
        yield from _foreground_only(said)
    yield from _ignored(at(said, "body", "options"), told)
    yield from _large(at(said, "body"))


def _cut_on_android(notification: Payload) -> Iterator[Problem]:
    own, path = at(notification, "android"), "$.body.notification.android"
    yield from cut(f"{path}.title", own.get("title"), "title", ANDROID)
    if "alert" in own:
        yield from cut(f"{path}.alert", own["alert"], "content", ANDROID)
    else:
        yield from cut("$.body.notification.alert", notification.get("alert"), "content", ANDROID)


def _cut_on_ios(notification: Payload) -> Iterator[Problem]:
    alert, path = at(notification, "ios").get("alert"), "$.body.notification.ios.alert"
    if isinstance(alert, dict):
        yield from cut(f"{path}.title", alert.get("title"), "title", APNS)
        yield from cut(f"{path}.body", alert.get("body"), "content", APNS)
    elif alert is not None:
        yield from cut(path, alert, "content", APNS)
    else:
        yield from cut("$.body.notification.alert", notification.get("alert"), "content", APNS)


def _foreground_only(said: Payload) -> Iterator[Problem]:
    if "message" in at(said, "body"):
        message = "on iOS a message reaches apps in the foreground alone"
        hint = 'to wake the app: a notification with "content-available": true, by vendor.engagelab.body'
        yield Problem("foreground-only", message, path="$.body.message", hint=hint)


def _ignored(options: Payload, told: list[str]) -> Iterator[Problem]:
    for keys, platform in ((ANDROID_ALONE, "android"), (IOS_ALONE, "ios")):
        for key in keys:
            if key in options and platform not in told:
                yield Problem("ignored", f"{key} is for {platform} alone", path=f"$.body.options.{key}")
    if "override_msg_id" in options and "android" in told:
        message, hint = "vivo and HONOR replace no message, nor does Huawei before EMUI 10", "they show both"
        yield Problem("channel-ignores", message, path="$.body.options.override_msg_id", hint=hint)


def _large(body: Payload) -> Iterator[Problem]:
    found = size(*(body[kind] for kind in ("notification", "message") if kind in body))
    if found > LEAST_BYTES:
        message = f"{found:,} bytes: EngageLab's page says 4,000 is the most, and its error 21005 says 2,048"
        yield Problem("near-limit", message, path="$.body", hint="try it by a dry run first")
