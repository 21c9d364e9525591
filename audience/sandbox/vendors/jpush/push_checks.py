"""Checks of JPush for the fields of a push, and the codes of its page for what they find.

https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push
"""

from pathlib import Path
from typing import Any

from audience.sandbox.field_checks import FieldProblem, find_field_problem, get_field, load_field_table
from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.request_checks import total_json_bytes

TABLE = Path(__file__).with_name("push.txt")
CONTENT_FIELDS = ("notification", "message", "live_activity")
PLATFORMS = ("android", "ios", "hmos", "quickapp", "winphone")
MAKERS = ("xiaomi", "huawei", "honor", "meizu", "oppo", "vivo", "fcm", "nio")
MAX_ANDROID_BYTES, MAX_IOS_BYTES, MAX_MESSAGE_BYTES = 4_000, 2_000, 4_000
MAX_WINPHONE_BYTES, MAX_LIVE_ACTIVITY_BYTES = 1_000, 3_584
CODE_BY_KIND = {"unknown": 1009, "missing": 1002}


def check_push(push: JsonObject) -> set[str]:
    """Check the fields of a push; return the platforms that it is for.

    Raises:
        VendorRefusal: A field is unknown, missing, of another type, too large, or has a value that is not allowed.
    """
    if problem := find_field_problem(push, load_field_table(TABLE)):
        raise VendorRefusal(_code_of(problem), f"{problem.path}: {problem.expected}")
    contents = [name for name in CONTENT_FIELDS if push.get(name)]
    if not contents:
        raise VendorRefusal(1002, "notification or message is missing")
    platforms = _parse_platforms(push["platform"])
    if "live_activity" in contents and (len(contents) > 1 or platforms != {"ios"}):
        raise VendorRefusal(1003, "a live_activity is sent alone, and to iOS")
    if push.get("inapp_message") and contents != ["notification"]:
        raise VendorRefusal(1003, "inapp_message is for a notification")
    _check_options(push)
    _check_notification(push.get("notification"), platforms)
    _check_sizes(push, platforms)
    return platforms


def _code_of(problem: FieldProblem) -> int:
    return CODE_BY_KIND.get(problem.kind, 1003)


def _parse_platforms(value: Any) -> set[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not {*map(str, names)} <= {*PLATFORMS, "all"}:
        raise VendorRefusal(1003, f"platform {value} is invalid")
    return {*PLATFORMS} if "all" in names else set(names)


def _check_options(push: JsonObject) -> None:
    options = push.get("options") or {}
    if options.get("sendno") == 0:
        raise VendorRefusal(1003, "sendno is not 0")
    if odd := [name for name in options.get("third_party_channel") or {} if name not in MAKERS]:
        raise VendorRefusal(1003, f"third_party_channel has no {odd[0]}")
    if options.get("active_push") and (push.get("message") or options.get("big_push_duration") is not None):
        raise VendorRefusal(1035, "active_push is for a notification that is sent at once")


def _check_notification(notification: Any, platforms: set[str]) -> None:
    """Refuse a notification without an alert for a platform; that of "all" reaches those that have one."""
    if notification is None or "alert" in notification:
        return
    with_text = {name for name in platforms if "alert" in (notification.get(name) or {})}
    without = {name for name in platforms if name in notification} - with_text - ({"ios"} & {*notification})
    if without or not (with_text or notification.get("ios") or notification.get("voip")):
        raise VendorRefusal(1002, "alert is missing")


def _check_sizes(push: JsonObject, platforms: set[str]) -> None:
    notification, message = push.get("notification") or {}, push.get("message")
    shared = {"alert": notification["alert"]} if "alert" in notification else {}

    def size_of(platform: str) -> int:
        part = {**shared, **(notification.get(platform) or {})}
        return total_json_bytes(part) if platform in platforms else 0

    android = size_of("android") + (total_json_bytes(message) if "android" in platforms else 0)
    ios_message = total_json_bytes(message) if "ios" in platforms else 0
    live = total_json_bytes(get_field(push, "live_activity.ios"))
    for size, maximum in (
        (android, MAX_ANDROID_BYTES),
        (size_of("ios"), MAX_IOS_BYTES),
        (ios_message, MAX_MESSAGE_BYTES),
        (size_of("winphone"), MAX_WINPHONE_BYTES),
        (live, MAX_LIVE_ACTIVITY_BYTES),
    ):
        if size > maximum:
            raise VendorRefusal(1005, f"{size} bytes are more than {maximum}")
