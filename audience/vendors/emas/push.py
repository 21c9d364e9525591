"""A message in the words of Push: flat parameters, those of each platform with its name before them.

https://help.aliyun.com/document_detail/48089.html, read 2026-11-21.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.messages import Message
from audience.vendors.delivery_spec import merged
from audience.vendors.emas import message_fields, size_limits, string_rules, timestamps
from audience.vendors.emas.message_fields import present
from audience.vendors.schema_check import checker
from audience.vendors.spec import Payload

DEVICE_TYPES = {"android": "ANDROID", "ios": "iOS", "hmos": "HARMONY"}
_SCHEMA = Path(__file__).with_name("push.json")


def body(message: Message) -> Payload:
    """The parameters that say *message*, but for whom they are.

    Raises MessageError for what EMAS would refuse, and for what it cannot say.

    >>> body(Message(title="Hi", body="there", platforms=("hmos",), badge=3))
    {'PushType': 'NOTICE', 'DeviceType': 'HARMONY', 'Title': 'Hi', 'Body': 'there', 'HarmonyBadgeSetNum': 3}
    """
    message = message_fields.written(message)
    said = {
        "PushType": "NOTICE" if message.kind == "notification" else "MESSAGE",
        "DeviceType": DEVICE_TYPES.get(message_fields.platform(message) or "", "ALL"),
        **(_notice(message) if message.kind == "notification" else _silent(message)),
        **_kept(message),
    }
    found = merged(said, message.vendor.get("emas", {}))
    return message_fields.checked(found, _check, message_fields.unsaid(message))


def lost(message: Message) -> Iterator[Problem]:
    """What of *message* Push has no words for."""
    return message_fields.lost(message, sound_on_harmony=False)


def timed(body: Payload, at: datetime) -> Payload:
    """*body* as a call at that moment says it; MessageError where its own moments are untimely."""
    return timestamps.timed(body, at, "$")


def _silent(message: Message) -> Payload:
    return present(Title=message.title, Body=message_fields.silent_body(message))


def _notice(message: Message) -> Payload:
    found = present(Title=message.title, Body=message.body)
    for platform in message_fields.meant(message):
        found |= _WORDED[platform](message)
    return found


def _kept(message: Message) -> Payload:
    """How long EMAS keeps it for a device that is offline; not at all where it may not wait."""
    if message.time_to_live is None:
        return {}
    if message.time_to_live == 0:
        return {"StoreOffline": False}
    return {"StoreOffline": True, "ExpireTime": timestamps.lasting(message.time_to_live)}


def _ios(message: Message) -> Payload:
    return present(
        iOSApnsEnv="DEV" if message.test else "PRODUCT",
        iOSBadge=message.badge if isinstance(message.badge, int) else None,
        iOSBadgeAutoIncrement=True if message.badge == "+1" else None,
        iOSMusic=message.sound,
        iOSMutableContent=True if message.image else None,
        iOSNotificationCollapseId=message.collapse_key,
        iOSExtParameters=message_fields.extras(message, "ios"),
    )


def _android(message: Message) -> Payload:
    return present(
        AndroidBadgeSetNum=message.badge if isinstance(message.badge, int) else None,
        AndroidBadgeAddNum=1 if message.badge == "+1" else None,
        AndroidMusic=message_fields.stem(message.sound),
        AndroidRenderStyle=2 if message.image else None,
        AndroidBigPictureUrl=message.image,
        AndroidOpenType="URL" if message.link else None,
        AndroidOpenUrl=message.link,
        AndroidNotificationNotifyId=message_fields.notify_id(message.collapse_key),
        AndroidExtParameters=message_fields.extras(message, "android"),
    )


def _harmony(message: Message) -> Payload:
    return present(
        HarmonyBadgeSetNum=message.badge if isinstance(message.badge, int) else None,
        HarmonyBadgeAddNum=1 if message.badge == "+1" else None,
        HarmonyImageUrl=message.image,
        HarmonyActionType="APP_CUSTOM_PAGE" if message.link else None,
        HarmonyUri=message.link,
        HarmonyNotifyId=message_fields.notify_id(message.collapse_key),
        HarmonyExtParameters=message_fields.extras(message, "hmos"),
    )


_WORDED = {"ios": _ios, "android": _android, "hmos": _harmony}


# What a schema cannot say. ------------------------------------------------------------------------------------------


def _moments(body: Any) -> Iterator[Problem]:
    return timestamps.told_apart(body.get("ExpireTime"), body.get("PushTime"), "$")


def _named(body: Any) -> Iterator[Problem]:
    """A title and a text are needed, but for iOS, which shows a notification without a title, or nothing at all."""
    if body.get("iOSSilentNotification") is True or "iOSLiveActivityEvent" in body or _live(body):
        return
    ios_notice = body.get("DeviceType") == "iOS" and body.get("PushType") == "NOTICE"
    for name in ("Body",) if ios_notice else ("Title", "Body"):
        if not body.get(name):
            hint = "EMAS wants both, for what is not shown too" if not ios_notice else None
            yield Problem("missing-key", f"{name!r} is required", path="$", hint=hint)


def _live(body: Any) -> bool:
    return any(name in body for name in ("HarmonyLiveViewPayload", "AndroidHuaweiLiveNotificationPayload"))


_check = checker(_SCHEMA, string_rules.rule(_SCHEMA), _moments, _named, size_limits.push)
