"""Warnings of what FCM, or a platform behind it, would cut or ignore in a message.

Sources: https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-priority and
https://firebase.google.com/docs/cloud-messaging/customize-messages/collapsible-message-types.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload


def body_warnings(body: Payload) -> Iterator[Problem]:
    """Find what would be cut or ignored in a body.

    >>> body = {"android": {"notification": {"body": "b", "sound": "s", "channel_id": "c"}}}
    >>> [problem.path for problem in body_warnings(body)]
    ['$.android.notification.sound']
    """
    shown = get_in(body, "android", "notification")
    if "sound" in shown and "channel_id" in shown:
        message = "since Android 8 the channel decides on the sound"
        yield Problem("ignored", message, path="$.android.notification.sound")
    if "collapse_key" in get_in(body, "android"):
        message = "a device keeps the messages of four collapse keys at a time, and which ones is not promised"
        yield Problem("near-limit", message, path="$.android.collapse_key", hint="use few collapse keys")
    aps = get_in(body, "apns", "payload", "aps")
    if aps.get("content-available") == 1 and "alert" not in aps:
        message = "iOS may delay a silent message, or drop all but a few an hour"
        yield Problem("channel-limit", message, path="$.apns.payload.aps.content-available")
