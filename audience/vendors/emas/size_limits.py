"""Size limits of EMAS for several fields together.

Sources: https://help.aliyun.com/document_detail/434629.html and https://help.aliyun.com/document_detail/2979224.html,
read 2026-11-21.
"""

from collections.abc import Iterator
from typing import Any

from audience.errors import Problem
from audience.vendors.schema_check import get_in, json_nbytes

MAX_PUSH_BYTES = 1_800  # of Push; a Chinese character has three
MAX_MESSAGE_BYTES = 4_000  # of the object Message of PushV2, as JSON
MAX_TITLE_BYTES = 200  # of a notification of PushV2 on iOS and HarmonyOS
MAX_TITLE_CHARS = 50  # of one on Android

_TEXT_FIELDS = ("Title", "Body")
COUNTED_FIELDS = {
    "ANDROID": (
        *_TEXT_FIELDS,
        *("AndroidMusic", "AndroidOpenType", "AndroidActivity", "AndroidOpenUrl", "AndroidExtParameters"),
    ),
    "iOS": ("Body", "iOSMusic", "iOSBadge", "iOSExtParameters"),
    "HARMONY": (
        *(
            *_TEXT_FIELDS,
            "HarmonyRemindTitle",
            "HarmonyRemindBody",
            "HarmonyNotifyId",
            "HarmonyActionType",
            "HarmonyAction",
        ),
        *("HarmonyUri", "HarmonyRenderStyle", "HarmonyImageUrl", "HarmonyInboxContent"),
        *("HarmonyNotificationSlotType", "HarmonyExtParameters"),
    ),
}


def push_size_problems(body: Any) -> Iterator[Problem]:
    """Find parameters of Push that are too long together."""
    if body.get("PushType") == "MESSAGE":
        yield from _total_size_problems("a message", body, _TEXT_FIELDS)
        return
    for device_type, names in COUNTED_FIELDS.items():
        if body.get("DeviceType") in ("ALL", device_type):
            yield from _total_size_problems(f"a notification on {device_type}", body, names)


def _total_size_problems(subject: str, body: Any, names: tuple[str, ...]) -> Iterator[Problem]:
    present = [name for name in names if name in body]
    total = sum(len(str(body[name]).encode("utf-8", "replace")) for name in present)
    if total > MAX_PUSH_BYTES:
        message = f"{subject} has {total} bytes; the maximum is {MAX_PUSH_BYTES}"
        yield Problem("too-long", message, path="$", hint=f"shorten {', '.join(present)}")


def push_task_size_problems(body: Any) -> Iterator[Problem]:
    """Find parts of a PushTask that are too long."""
    message = get_in(body, "Message")
    if message and json_nbytes(message) > MAX_MESSAGE_BYTES:
        reason = f"{json_nbytes(message)} bytes as JSON; the maximum is {MAX_MESSAGE_BYTES}"
        yield Problem("too-long", reason, path="$.Message", hint="shorten its title or body")
    title, platform = get_in(body, "Notification").get("Title"), get_in(body, "Target").get("Platform")
    if isinstance(title, str) and platform in ("IOS", "HMOS", "HARMONY") and len(title.encode()) > MAX_TITLE_BYTES:
        reason = f"{len(title.encode())} bytes; the maximum on {platform} is {MAX_TITLE_BYTES}"
        yield Problem("too-long", reason, path="$.Notification.Title", hint="shorten it")
    if isinstance(title, str) and platform == "ANDROID" and len(title) > MAX_TITLE_CHARS:
        reason = f"{len(title)} characters; the maximum on Android is {MAX_TITLE_CHARS}"
        yield Problem("too-long", reason, path="$.Notification.Title", hint="shorten it")
