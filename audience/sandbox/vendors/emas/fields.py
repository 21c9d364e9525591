"""What the page of EMAS Push says of single fields: ranges, lengths, JSON, and what one needs of another.

https://www.alibabacloud.com/help/en/mobile-push/developer-reference/api-push-2016-08-01-push
"""

import json
from collections.abc import Mapping
from typing import Any

from audience.sandbox.http_types import Refused

RANGES = {
    "AndroidNotificationBarType": (1, 100),
    "AndroidNotificationBarPriority": (-2, 2),
    "AndroidBadgeAddNum": (1, 99),
    "AndroidBadgeSetNum": (0, 99),
    "SmsDelaySecs": (0, 259_200),
    "iOSRelevanceScore": (0, 1),
}
BYTES = {"Title": 200, "Body": 4_000, "AndroidBigTitle": 200, "AndroidBigBody": 1_000}
CHARACTERS = {"AndroidPopupTitle": 50, "AndroidPopupBody": 200, "JobKey": 32}
MAPS = ("iOSExtParameters", "AndroidExtParameters", "HarmonyExtParameters")
LISTS = {"AndroidInboxBody": 5, "HarmonyInboxContent": 3}
WORDS = {
    "PushType": ("MESSAGE", "NOTICE"),
    "iOSApnsEnv": ("DEV", "PRODUCT"),
    "iOSLiveActivityEvent": ("start", "update", "end"),
}
NEEDS = (
    ("AndroidPopupActivity", None, ("AndroidPopupTitle", "AndroidPopupBody")),
    ("AndroidOpenType", "ACTIVITY", ("AndroidActivity",)),
    ("AndroidOpenType", "URL", ("AndroidOpenUrl",)),
    ("AndroidMessageOppoNotifyLevel", None, ("AndroidMessageOppoCategory",)),
    ("iOSLiveActivityEvent", "start", ("iOSLiveActivityAttributesType", "iOSLiveActivityAttributes")),
    ("HarmonyRenderStyle", "MULTI_LINE", ("HarmonyInboxContent",)),
)


def check_fields(given: Mapping[str, str]) -> None:
    """Refuse a flat push with a field that is not as it must be."""
    for name, value in given.items():
        if value:
            _one(name, value)
    for name, word, others in NEEDS:
        if given.get(name) and word in (None, given[name].upper(), given[name]):
            need(given, *others)
    if given.get("HarmonyActionType") == "APP_CUSTOM_PAGE" and not given.get("HarmonyUri"):
        need(given, "HarmonyAction")
    if given.get("iOSBadge") and given.get("iOSBadgeAutoIncrement", "").lower() == "true":
        raise invalid("iOSBadge")


def need(given: Mapping[str, Any], *names: str) -> None:
    """Refuse what lacks one of *names*."""
    for name in names:
        if given.get(name) in (None, ""):
            raise Refused(f"Invalid{name}.Empty", f"The specified {name} cannot be empty.")


def invalid(name: str) -> Refused:
    """What is said of a value that the page does not list."""
    return Refused("Invalid.Parameter", f"The specified parameter is invalid: {name}.")


def bad_format(name: str) -> Refused:
    """What is said of a value that cannot be read."""
    return Refused(f"Invalid{name}.Format", f"The specified {name} format is invalid.")


def _one(name: str, value: str) -> None:
    if (most := BYTES.get(name)) and len(value.encode()) > most:
        raise Refused(f"Invalid{name}.BytesExceed", f"The specified {name} exceeds the {most} bytes limit.")
    if (most := CHARACTERS.get(name)) and len(value) > most:
        raise Refused(f"Invalid{name}.LengthExceed", f"The specified {name} length cannot be greater than {most}.")
    if (words := WORDS.get(name)) and value not in words:
        raise invalid(name)
    if (ends := RANGES.get(name)) and not ends[0] <= _number(name, value) <= ends[1]:
        raise invalid(name)
    if name in MAPS and not isinstance(_json(name, value), dict):
        raise bad_format(name)
    if (most := LISTS.get(name)) and not (isinstance(lines := _json(name, value), list) and len(lines) <= most):
        raise bad_format(name)


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise bad_format(name) from None


def _json(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise bad_format(name) from None
