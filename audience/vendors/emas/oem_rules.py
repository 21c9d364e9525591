"""What channels behind EMAS cut, refuse or pass over: those of manufacturers, and EMAS's own.

Lengths https://help.aliyun.com/document_detail/165253.html, fields https://help.aliyun.com/document_detail/48089.html
and https://help.aliyun.com/document_detail/2979224.html (which opens URLs by EMAS's own channel), read 2026-11-21.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from audience.errors import Problem
from audience.vendors.emas.timestamps import is_lasting
from audience.vendors.oem_channels import Channel

CHANNELS = {
    "xiaomi": Channel("Xiaomi", 50, 128),
    "oppo": Channel("OPPO", 50, 200),
    "vivo": Channel("vivo", 40, 100),
    "meizu": Channel("Meizu", 32, 100),
}
LONG_ENOUGH = 600  # seconds that a push to many should be kept
APART = 15  # seconds before a text message comes in place of a push

OWN = "EMAS's own channel"
BADGES = "Huawei and Honor"
SHOWN_BY = {
    "AndroidMusic": "Huawei",
    "AndroidBadgeAddNum": BADGES,
    "AndroidBadgeSetNum": f"{BADGES}, and by {OWN} on vivo",
    "AndroidBigTitle": BADGES,
    "AndroidBigBody": f"Huawei, Honor, Xiaomi, OPPO, Meizu and {OWN}",
    "AndroidInboxBody": f"Huawei, Honor, Xiaomi, OPPO and {OWN}",
    "AndroidBigPictureUrl": OWN,
    "AndroidOpenUrl": OWN,
    "AndroidImageUrl": f"Huawei, Honor and {OWN}",
    "AndroidNotificationGroup": f"Huawei, Honor and {OWN} up to its SDK 3.9.1",
    "AndroidNotificationThreadId": OWN,
    "HarmonyNotificationSlotType": OWN,
}
SHOWN_BY_V2 = {
    "Android.Music": SHOWN_BY["AndroidMusic"],
    "Android.BadgeAddNum": SHOWN_BY["AndroidBadgeAddNum"],
    "Android.BadgeSetNum": SHOWN_BY["AndroidBadgeSetNum"],
    "Android.InboxContent": SHOWN_BY["AndroidInboxBody"],
    "Android.PictureUrl": SHOWN_BY["AndroidBigPictureUrl"],
    "Android.ImageUrl": SHOWN_BY["AndroidImageUrl"],
    "Android.GroupId": SHOWN_BY["AndroidNotificationGroup"],
    "Android.Options.Accs": OWN,
    "Hmos.SlotType": OWN,
}


def used(names: object) -> list[Channel]:
    """The channels with limits among those that *names* lists, joined by commas; all of them without any."""
    wanted = names.split(",") if isinstance(names, str) else CHANNELS
    return [channel for name, channel in CHANNELS.items() if name in wanted]


def partly_shown(fields: Mapping[str, Any], shown_by: Mapping[str, str], path: str) -> Iterator[Problem]:
    """The *fields* that some channels alone show."""
    for name, channels in shown_by.items():
        if name in fields:
            yield Problem("some-channels", f"{name} is shown by {channels} alone", path=f"{path}.{name}")


def own_alone(activity: str, path: str) -> Problem:
    """A push to Android that manufacturers' channels are not used for."""
    words = f"without {activity} manufacturers' channels are not used: who is offline is shown nothing"
    return Problem("own-channel-only", words, path=path, hint="say it under vendor")


def short_lived(expires: object, path: str) -> Iterator[Problem]:
    """A time to live that is shorter than the vendor advises."""
    if isinstance(expires, str) and is_lasting(expires) and int(expires[2:-1]) < LONG_ENOUGH:
        yield Problem("short-lived", "EMAS advises ten minutes or more for a push to many", path=path)


def text_message(delay: Any, path: str) -> Iterator[Problem]:
    """A text message that comes before the push can have been received."""
    if isinstance(delay, int) and delay < APART:
        words = f"{delay} s: a text message may come beside the push"
        yield Problem("told-twice", words, path=path, hint=f"{APART} or more")
