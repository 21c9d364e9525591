"""Rules for single fields of EMAS Push: ranges, lengths, JSON, and dependencies.

https://www.alibabacloud.com/help/en/mobile-push/developer-reference/api-push-2016-08-01-push
"""

import json
from collections.abc import Mapping
from typing import Any

from audience.sandbox.http_types import VendorRefusal

FIELD_RANGES = {
    "AndroidNotificationBarType": (1, 100),
    "AndroidNotificationBarPriority": (-2, 2),
    "AndroidBadgeAddNum": (1, 99),
    "AndroidBadgeSetNum": (0, 99),
    "SmsDelaySecs": (0, 259_200),
    "iOSRelevanceScore": (0, 1),
}
MAX_FIELD_BYTES = {"Title": 200, "Body": 4_000, "AndroidBigTitle": 200, "AndroidBigBody": 1_000}
MAX_FIELD_CHARS = {"AndroidPopupTitle": 50, "AndroidPopupBody": 200, "JobKey": 32}
OBJECT_FIELDS = ("iOSExtParameters", "AndroidExtParameters", "HarmonyExtParameters")
MAX_LIST_ITEMS = {"AndroidInboxBody": 5, "HarmonyInboxContent": 3}
ENUM_VALUES = {
    "PushType": ("MESSAGE", "NOTICE"),
    "iOSApnsEnv": ("DEV", "PRODUCT"),
    "iOSLiveActivityEvent": ("start", "update", "end"),
}
CONDITIONAL_FIELDS = (
    ("AndroidPopupActivity", None, ("AndroidPopupTitle", "AndroidPopupBody")),
    ("AndroidOpenType", "ACTIVITY", ("AndroidActivity",)),
    ("AndroidOpenType", "URL", ("AndroidOpenUrl",)),
    ("AndroidMessageOppoNotifyLevel", None, ("AndroidMessageOppoCategory",)),
    ("iOSLiveActivityEvent", "start", ("iOSLiveActivityAttributesType", "iOSLiveActivityAttributes")),
    ("HarmonyRenderStyle", "MULTI_LINE", ("HarmonyInboxContent",)),
)


def check_fields(fields: Mapping[str, str]) -> None:
    """Reject a flat push with an invalid field."""
    for name, value in fields.items():
        if value:
            _check_field(name, value)
    for name, word, others in CONDITIONAL_FIELDS:
        if fields.get(name) and word in (None, fields[name].upper(), fields[name]):
            require_fields(fields, *others)
    if fields.get("HarmonyActionType") == "APP_CUSTOM_PAGE" and not fields.get("HarmonyUri"):
        require_fields(fields, "HarmonyAction")
    if fields.get("iOSBadge") and fields.get("iOSBadgeAutoIncrement", "").lower() == "true":
        raise invalid_parameter("iOSBadge")


def require_fields(fields: Mapping[str, Any], *names: str) -> None:
    """Reject a request that lacks one of *names*."""
    for name in names:
        if fields.get(name) in (None, ""):
            raise VendorRefusal(f"Invalid{name}.Empty", f"The specified {name} cannot be empty.")


def invalid_parameter(name: str) -> VendorRefusal:
    """Return the refusal of a value that the page does not list."""
    return VendorRefusal("Invalid.Parameter", f"The specified parameter is invalid: {name}.")


def invalid_format(name: str) -> VendorRefusal:
    """Return the refusal of a value that cannot be parsed."""
    return VendorRefusal(f"Invalid{name}.Format", f"The specified {name} format is invalid.")


def _check_field(name: str, value: str) -> None:
    if (maximum := MAX_FIELD_BYTES.get(name)) and len(value.encode()) > maximum:
        raise VendorRefusal(f"Invalid{name}.BytesExceed", f"The specified {name} exceeds the {maximum} bytes limit.")
    if (maximum := MAX_FIELD_CHARS.get(name)) and len(value) > maximum:
        raise VendorRefusal(
            f"Invalid{name}.LengthExceed", f"The specified {name} length cannot be greater than {maximum}."
        )
    if (words := ENUM_VALUES.get(name)) and value not in words:
        raise invalid_parameter(name)
    if (ends := FIELD_RANGES.get(name)) and not ends[0] <= _parse_number(name, value) <= ends[1]:
        raise invalid_parameter(name)
    if name in OBJECT_FIELDS and not isinstance(_parse_json(name, value), dict):
        raise invalid_format(name)
    if (maximum := MAX_LIST_ITEMS.get(name)) and not (
        isinstance(lines := _parse_json(name, value), list) and len(lines) <= maximum
    ):
        raise invalid_format(name)


def _parse_number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise invalid_format(name) from None


def _parse_json(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise invalid_format(name) from None
