"""What EMAS, or a manufacturer's channel behind it, would cut, refuse or ignore, though EMAS takes it.

https://help.aliyun.com/document_detail/165253.html (lengths by channel) and
https://help.aliyun.com/document_detail/48089.html, read 2026-11-21.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from audience.errors import Problem
from audience.vendors._emas.sizes import TITLE_BYTES, TITLE_CHARACTERS
from audience.vendors.base import Payload
from audience.vendors.fields import at

LENGTHS = {"xiaomi": (50, 128), "oppo": (50, 200), "vivo": (40, 100), "meizu": (32, 100)}  # characters: title, body


@dataclass(frozen=True, slots=True)
class Shown:
    """What manufacturers' channels show: its *title* and *body*, where these stand, and how they are sent."""

    title: Any
    body: Any
    title_path: str
    body_path: str
    channels: Any
    trims: bool


def lengths(shown: Shown) -> Iterator[Problem]:
    """A title or body that is longer than a channel takes; a channel that is not used is not asked."""
    used = shown.channels.split(",") if isinstance(shown.channels, str) else LENGTHS
    does = "cuts it" if shown.trims else "may refuse it"
    for channel, (title, body) in LENGTHS.items():
        if channel not in used:
            continue
        for text, most, path in ((shown.title, title, shown.title_path), (shown.body, body, shown.body_path)):
            if isinstance(text, str) and len(text) > most:
                words = f"{len(text)} characters; {channel} takes {most} and {does}"
                yield Problem(f"long-on-{channel}", words, path=path, hint="shorten it")


def push(body: Payload) -> Iterator[Problem]:
    """What of the parameters of Push would be cut, refused or ignored."""
    android = body["DeviceType"] in ("ALL", "ANDROID")
    if android and body["PushType"] == "NOTICE":
        yield from _popup(body)
    yield from (_ignored(name, why) for name, why in _IGNORED.items() if name in body and _silenced(name, body))
    yield from (_ignored(name, "is deprecated") for name in sorted(DEPRECATED & body.keys()))
    if "AndroidBadgeSetNum" in body and "AndroidBadgeAddNum" in body:
        yield _ignored("AndroidBadgeAddNum", "gives way to AndroidBadgeSetNum")
    if "AndroidOppoIntelligentIntent" in body and "AndroidOppoDeleteIntentData" in body:
        yield _ignored("AndroidOppoDeleteIntentData", "gives way to AndroidOppoIntelligentIntent")
    if android and ("AndroidBadgeSetNum" in body or "AndroidBadgeAddNum" in body) and "AndroidBadgeClass" not in body:
        yield Problem("no-badge", "Huawei and Honor set a badge for AndroidBadgeClass only", path="$")
    if "ExpireTime" in body and body.get("StoreOffline") is not True:
        yield _ignored("ExpireTime", "says nothing without StoreOffline: true")
    if "ExpireTime" in body and "SmsTemplateName" in body:
        yield _ignored("ExpireTime", "gives way to SmsDelaySecs")
    yield from _sms(body.get("SmsDelaySecs"), "$.SmsDelaySecs")


def _popup(body: Payload) -> Iterator[Problem]:
    if "AndroidPopupActivity" not in body:
        words = (
            "without AndroidPopupActivity no manufacturer's channel is used: a device that is offline is not shown it"
        )
        yield Problem(
            "own-channel-only", words, path="$", hint="say it, AndroidPopupTitle and AndroidPopupBody, under vendor"
        )
        return
    if body.get("StoreOffline") is not True:
        words = "manufacturers' channels need StoreOffline: true"
        yield Problem(
            "own-channel-only", words, path="$.StoreOffline", hint="say time_to_live, or StoreOffline under vendor"
        )
    yield from lengths(
        Shown(
            *(body.get("AndroidPopupTitle"), body.get("AndroidPopupBody")),
            *("$.AndroidPopupTitle", "$.AndroidPopupBody"),
            *(body.get("SendChannels"), body.get("Trim") is True),
        )
    )


def _silenced(name: str, body: Payload) -> bool:
    """Whether the parameter *name* says nothing in a push of this type."""
    return bool(body["PushType"] == ("NOTICE" if name.endswith("Remind") else "MESSAGE"))


_IGNORED = {
    "AndroidExtParameters": "says nothing in a MESSAGE",
    "HarmonyExtParameters": "says nothing in a MESSAGE",
    "AndroidRemind": "says nothing in a NOTICE",
    "HarmonyRemind": "says nothing in a NOTICE",
    "iOSRemind": "says nothing in a NOTICE",
}
DEPRECATED = frozenset(
    {
        *("SendSpeed", "AndroidXiaomiBigPictureUrl", "AndroidXiaomiImageUrl"),
        *("AndroidXiaoMiNotifyTitle", "AndroidXiaoMiNotifyBody", "AndroidXiaoMiActivity"),
    }
)


def _ignored(name: str, why: str) -> Problem:
    return Problem("ignored", f"{name} {why}", path=f"$.{name}")


def _sms(delay: Any, path: str) -> Iterator[Problem]:
    if isinstance(delay, int) and delay < 15:
        yield Problem("told-twice", f"{delay} s: a text message may come beside the push", path=path, hint="15 or more")


def push_task(body: Payload) -> Iterator[Problem]:
    """What of a PushTask would be cut, refused or ignored."""
    notification, options, platform = at(body, "Notification"), at(body, "Options"), at(body, "Target").get("Platform")
    android, path = at(notification, "Android"), "$.Notification"
    if platform in (None, "ANDROID") and notification:
        yield from _android_task(notification, android, options)
    if platform is None and isinstance(title := notification.get("Title"), str):
        if len(title) > TITLE_CHARACTERS:
            yield Problem(
                "long-on-android", f"{len(title)} characters; Android takes {TITLE_CHARACTERS}", path=f"{path}.Title"
            )
        if len(title.encode()) > TITLE_BYTES:
            yield Problem("long-on-ios", f"{len(title.encode())} bytes; iOS takes {TITLE_BYTES}", path=f"{path}.Title")
    if "BadgeSetNum" in android and "BadgeAddNum" in android:
        yield Problem("ignored", "BadgeAddNum gives way to BadgeSetNum", path=f"{path}.Android.BadgeAddNum")
    if "Message" in body and "Notification" in body:
        words = "a device gets one of them: Message where it is online, else Notification"
        yield Problem("one-of-two", words, path="$")
    if "ExpireTime" in options and "Sms" in options:
        yield Problem("ignored", "ExpireTime gives way to Sms.DelaySecs", path="$.Options.ExpireTime")
    yield from _sms(at(options, "Sms").get("DelaySecs"), "$.Options.Sms.DelaySecs")


def _android_task(notification: Payload, android: Payload, options: Payload) -> Iterator[Problem]:
    path = "$.Notification"
    if "VendorChannelActivity" not in android:
        words = (
            "without VendorChannelActivity no manufacturer's channel is used: a device that is offline is not shown it"
        )
        yield Problem("own-channel-only", words, path=f"{path}.Android", hint="say it under vendor")
        return
    yield from lengths(
        Shown(
            *(notification.get("Title"), notification.get("Body")),
            *(f"{path}.Title", f"{path}.Body"),
            *(options.get("UseChannels"), options.get("Trim") is True),
        )
    )
