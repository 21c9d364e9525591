"""Warnings of what Xiaomi, or a device, would cut, ignore or refuse in a body.

Sources: https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559, for numbers of messages and for channels
https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1656, and pId=2321 as others quote it.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload
from audience.vendors.xiaomi.message_rules import PASS_THROUGH

PUBLIC_MILLISECONDS = 86_400_000  # how long a public message is kept; a private one ten days
APP_SOUND = "android.resource://"


def body_warnings(body: Payload) -> Iterator[Problem]:
    """Find what would be cut, ignored or refused in a body.

    >>> [problem.path for problem in body_warnings({"title": "t", "description": "d", "notify_id": 1})]
    ['$.extra.channel_id']
    """
    extra = get_in(body, "extra")
    if "channel_id" not in extra:
        message = "without a channel, Xiaomi refuses the message, or shows a device one of the app a day"
        hint = "set the channel_id of a category that Xiaomi has granted to the app"
        yield Problem("channel-limit", message, path="$.extra.channel_id", hint=hint)
    seconds = body.get("time_to_live")
    if isinstance(seconds, int) and seconds > PUBLIC_MILLISECONDS:
        message = "public messages are kept for a day at most, private ones for ten"
        yield Problem("near-limit", message, path="$.time_to_live")
    if body.get("pass_through") == PASS_THROUGH:
        message = "an app that is not running may not get it"
        yield Problem("foreground-only", message, path="$.pass_through", hint="send a notification")
    else:
        yield from _notification_warnings(body, extra)


def _notification_warnings(body: Payload, extra: Payload) -> Iterator[Problem]:
    if "notify_id" not in body:
        message = "a device shows one notification of an app without notify_id: this one takes the place of the last"
        hint = "write a number as collapse_key, another one for each message that is to stay"
        yield Problem("channel-limit", message, path="$.notify_id", hint=hint)
    sound = extra.get("sound_uri")
    if isinstance(sound, str) and not sound.startswith(APP_SOUND):
        hint = f"write {APP_SOUND}PACKAGE/raw/NAME for the file res/raw/NAME of the app"
        yield Problem("channel-ignores", "Xiaomi plays sounds of the app only", path="$.extra.sound_uri", hint=hint)
    if sound is not None and "channel_id" in extra:
        message = "since Android 8 the channel decides on the sound"
        yield Problem("ignored", message, path="$.extra.sound_uri")
