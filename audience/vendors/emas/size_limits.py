"""How many bytes EMAS takes, of several fields together.

https://help.aliyun.com/document_detail/434629.html and https://help.aliyun.com/document_detail/2979224.html,
read 2026-11-21.
"""

from collections.abc import Iterator
from typing import Any

from audience.errors import Problem
from audience.vendors.schema_check import at, size

MOST = 1_800  # bytes of a push by Push, a Chinese character being three
MESSAGE = 4_000  # bytes of the object Message of PushV2 as JSON
TITLE_BYTES = 200  # of a notification of PushV2 on iOS and HarmonyOS
TITLE_CHARACTERS = 50  # of one on Android

_SAID = ("Title", "Body")
COUNTED = {
    "ANDROID": (
        *_SAID,
        *("AndroidMusic", "AndroidOpenType", "AndroidActivity", "AndroidOpenUrl", "AndroidExtParameters"),
    ),
    "iOS": ("Body", "iOSMusic", "iOSBadge", "iOSExtParameters"),
    "HARMONY": (
        *(*_SAID, "HarmonyRemindTitle", "HarmonyRemindBody", "HarmonyNotifyId", "HarmonyActionType", "HarmonyAction"),
        *("HarmonyUri", "HarmonyRenderStyle", "HarmonyImageUrl", "HarmonyInboxContent"),
        *("HarmonyNotificationSlotType", "HarmonyExtParameters"),
    ),
}


def push(body: Any) -> Iterator[Problem]:
    """What of the parameters of Push is too long together."""
    if body.get("PushType") == "MESSAGE":
        yield from _too_long("a message", body, _SAID)
        return
    for device_type, names in COUNTED.items():
        if body.get("DeviceType") in ("ALL", device_type):
            yield from _too_long(f"a notification on {device_type}", body, names)


def _too_long(what: str, body: Any, names: tuple[str, ...]) -> Iterator[Problem]:
    found = [name for name in names if name in body]
    total = sum(len(str(body[name]).encode("utf-8", "replace")) for name in found)
    if total > MOST:
        words = f"{what} has {total} bytes; {MOST} is the most"
        yield Problem("too-long", words, path="$", hint=f"shorten {', '.join(found)}")


def push_task(body: Any) -> Iterator[Problem]:
    """What of a PushTask is too long."""
    message = at(body, "Message")
    if message and size(message) > MESSAGE:
        words = f"{size(message)} bytes as JSON; {MESSAGE} is the most"
        yield Problem("too-long", words, path="$.Message", hint="shorten its title or body")
    title, platform = at(body, "Notification").get("Title"), at(body, "Target").get("Platform")
    if isinstance(title, str) and platform in ("IOS", "HMOS", "HARMONY") and len(title.encode()) > TITLE_BYTES:
        words = f"{len(title.encode())} bytes; {TITLE_BYTES} is the most on {platform}"
        yield Problem("too-long", words, path="$.Notification.Title", hint="shorten it")
    if isinstance(title, str) and platform == "ANDROID" and len(title) > TITLE_CHARACTERS:
        words = f"{len(title)} characters; {TITLE_CHARACTERS} is the most on Android"
        yield Problem("too-long", words, path="$.Notification.Title", hint="shorten it")
