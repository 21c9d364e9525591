"""Warnings of what Braze, or a platform behind it, would cut or ignore in a body.

Sources: https://www.braze.com/docs/api/endpoints/messaging for campaigns, and the pages of both objects in message.py.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.braze.message_rules import PARTS
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

RECENT_ONLY = "send_to_most_recent_device_only"


def body_warnings(body: Payload) -> Iterator[Problem]:
    """Find what would be cut or ignored in a body.

    >>> body = {"campaign_id": "c1", "messages": {"android_push": {"title": "Hi", "alert": "there", "sound": "bell"}}}
    >>> [problem.path for problem in body_warnings(body)]
    ['$.campaign_id', '$.messages.android_push.sound']
    """
    if "campaign_id" in body:
        reason = "users that the campaign's settings do not let it reach again get nothing, and are not named"
        yield Problem("channel-limit", reason, path="$.campaign_id", hint="look at its re-eligibility in the dashboard")
    if body.get("recipient_subscription_state") == "opted_in":
        reason = "users who are subscribed and have not opted in get nothing, and are not named"
        yield Problem("channel-limit", reason, path="$.recipient_subscription_state")
    for part in PARTS.values():
        if get_in(body, "messages", part).get(RECENT_ONLY) is True:
            reason = "of several devices of a user one alone gets the message"
            yield Problem("channel-limit", reason, path=f"$.messages.{part}.{RECENT_ONLY}")
    android = get_in(body, "messages", "android_push")
    if "sound" in android:
        reason = "since Android 8 the notification channel decides on the sound"
        hint = None if "notification_channel_id" in android else "name a channel, which has its sound"
        yield Problem("ignored", reason, path="$.messages.android_push.sound", hint=hint)
    if "asset_url" in get_in(body, "messages", "apple_push"):
        reason = "apps without a service extension for notifications show no picture"
        yield Problem("channel-limit", reason, path="$.messages.apple_push.asset_url")
