"""Limits of the channels behind EMAS: those of manufacturers, and EMAS's own.

Sources: lengths https://help.aliyun.com/document_detail/165253.html, fields https://help.aliyun.com/document_detail/48089.html
and https://help.aliyun.com/document_detail/2979224.html (which opens URLs by EMAS's own channel), read 2026-11-21.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from audience.errors import Problem
from audience.vendors.emas.timestamps import is_duration
from audience.vendors.oem_channels import OemChannel

OEM_CHANNELS = {
    "xiaomi": OemChannel("Xiaomi", 50, 128),
    "oppo": OemChannel("OPPO", 50, 200),
    "vivo": OemChannel("vivo", 40, 100),
    "meizu": OemChannel("Meizu", 32, 100),
}
MIN_ADVISED_LIFETIME_SECONDS = 600  # advised for a push to many devices
MIN_SMS_DELAY_SECONDS = 15  # before a text message replaces a push

EMAS_CHANNEL = "EMAS's own channel"
BADGE_CHANNELS = "Huawei and Honor"
SUPPORTING_CHANNELS = {
    "AndroidMusic": "Huawei",
    "AndroidBadgeAddNum": BADGE_CHANNELS,
    "AndroidBadgeSetNum": f"{BADGE_CHANNELS}, and by {EMAS_CHANNEL} on vivo",
    "AndroidBigTitle": BADGE_CHANNELS,
    "AndroidBigBody": f"Huawei, Honor, Xiaomi, OPPO, Meizu and {EMAS_CHANNEL}",
    "AndroidInboxBody": f"Huawei, Honor, Xiaomi, OPPO and {EMAS_CHANNEL}",
    "AndroidBigPictureUrl": EMAS_CHANNEL,
    "AndroidOpenUrl": EMAS_CHANNEL,
    "AndroidImageUrl": f"Huawei, Honor and {EMAS_CHANNEL}",
    "AndroidNotificationGroup": f"Huawei, Honor and {EMAS_CHANNEL} up to its SDK 3.9.1",
    "AndroidNotificationThreadId": EMAS_CHANNEL,
    "HarmonyNotificationSlotType": EMAS_CHANNEL,
}
SUPPORTING_CHANNELS_V2 = {
    "Android.Music": SUPPORTING_CHANNELS["AndroidMusic"],
    "Android.BadgeAddNum": SUPPORTING_CHANNELS["AndroidBadgeAddNum"],
    "Android.BadgeSetNum": SUPPORTING_CHANNELS["AndroidBadgeSetNum"],
    "Android.InboxContent": SUPPORTING_CHANNELS["AndroidInboxBody"],
    "Android.PictureUrl": SUPPORTING_CHANNELS["AndroidBigPictureUrl"],
    "Android.ImageUrl": SUPPORTING_CHANNELS["AndroidImageUrl"],
    "Android.GroupId": SUPPORTING_CHANNELS["AndroidNotificationGroup"],
    "Android.Options.Accs": EMAS_CHANNEL,
    "Hmos.SlotType": EMAS_CHANNEL,
}


def select_channels(names: object) -> list[OemChannel]:
    """Return the channels with limits among comma-separated *names*, or all of them without any."""
    selected = names.split(",") if isinstance(names, str) else OEM_CHANNELS
    return [channel for name, channel in OEM_CHANNELS.items() if name in selected]


def partial_support_warnings(
    fields: Mapping[str, Any], supporting_channels: Mapping[str, str], path: str
) -> Iterator[Problem]:
    """Find the *fields* that only some channels show."""
    for name, channels in supporting_channels.items():
        if name in fields:
            yield Problem("some-channels", f"only {channels} show {name}", path=f"{path}.{name}")


def own_channel_warning(requirement: str, path: str) -> Problem:
    """Build the warning of a push to Android that does not use the manufacturers' channels."""
    message = f"without {requirement} manufacturers' channels are not used: offline devices show nothing"
    return Problem("own-channel-only", message, path=path, hint="set it under vendor")


def short_lifetime_warnings(expire_time: object, path: str) -> Iterator[Problem]:
    """Find a time to live that is shorter than the vendor advises."""
    if (
        isinstance(expire_time, str)
        and is_duration(expire_time)
        and int(expire_time[2:-1]) < MIN_ADVISED_LIFETIME_SECONDS
    ):
        yield Problem("short-lived", "EMAS advises ten minutes or more for a push to many", path=path)


def sms_delay_warnings(delay_seconds: Any, path: str) -> Iterator[Problem]:
    """Find a text message that may arrive before the push."""
    if isinstance(delay_seconds, int) and delay_seconds < MIN_SMS_DELAY_SECONDS:
        message = f"after {delay_seconds} seconds a text message may come in addition to the push"
        yield Problem("duplicate-delivery", message, path=path, hint=f"set {MIN_SMS_DELAY_SECONDS} or more")
