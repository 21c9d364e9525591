"""Warnings of what Huawei, or a device, would cut, ignore or refuse in a body.

Sources: https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197, and for the
numbers of messages https://developer.huawei.com/consumer/cn/doc/HMSCore-Guides/message-restriction-description-0000001361648361
as https://docs.jiguang.cn/jpush/client/Android/android_3rd_qps quotes them.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

MARKETING = "MARKETING"  # what a message without a category is, unless the app has the right to choose one
RAW_FOLDER = "/raw/"
MAX_TEST_MESSAGES = 500  # a day


def body_warnings(body: Payload) -> Iterator[Problem]:
    """Find what would be cut, ignored or refused in a body.

    >>> notification = {"title": "Hi", "body": "there", "click_action": {"type": 1, "intent": "app://x"}}
    >>> body = {"message": {"android": {"category": "IM", "notification": notification}}}
    >>> [problem.code for problem in body_warnings(body)]
    ['near-limit', 'channel-ignores']
    """
    android, path = get_in(body, "message", "android"), "$.message.android"
    notification = get_in(android, "notification")
    if notification:
        yield from _category_warnings(android.get("category"), f"{path}.category")
        yield from _notification_warnings(notification, f"{path}.notification")
    if android.get("urgency") == "HIGH":
        yield Problem("near-limit", "the urgency HIGH needs a permission of Huawei", path=f"{path}.urgency")
    if android.get("target_user_type") == 1:
        message = f"an app has {MAX_TEST_MESSAGES} test messages a day"
        yield Problem("near-limit", message, path=f"{path}.target_user_type")


def _category_warnings(category: object, path: str) -> Iterator[Problem]:
    if category in (None, MARKETING):
        message = (
            "a device gets 2 marketing messages of an app a day, 5 of news; Huawei drops the rest and says nothing"
        )
        hint = "set the category that Huawei has granted to the app"
        yield Problem("channel-limit", message, path=path, hint=hint)
    else:
        hint = "without it the message is a marketing message"
        yield Problem("near-limit", f"{category} needs a right that Huawei grants", path=path, hint=hint)


def _notification_warnings(notification: Payload, path: str) -> Iterator[Problem]:
    click = get_in(notification, "click_action")
    intent = click.get("intent")
    if isinstance(intent, str) and "#Intent;" not in intent:
        hint = "write scheme://host/path?#Intent;…;end, as intent.toUri(Intent.URI_INTENT_SCHEME) does"
        message = "Huawei opens a page of the app by an intent"
        yield Problem("channel-ignores", message, path=f"{path}.click_action.intent", hint=hint)
    sound = notification.get("sound")
    if isinstance(sound, str) and not sound.startswith(RAW_FOLDER):
        hint = f"write {RAW_FOLDER}NAME for the file res/raw/NAME of the app"
        yield Problem("channel-ignores", "Huawei plays sounds of the app only", path=f"{path}.sound", hint=hint)
    if sound is not None and "channel_id" in notification:
        message = "since Android 8 the channel decides on the sound"
        yield Problem("ignored", message, path=f"{path}.sound")
    if "ticker" in notification:
        yield Problem("ignored", "since Android 5 no device has shown the ticker", path=f"{path}.ticker")
