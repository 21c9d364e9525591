"""Checks of Umeng for the content of a cast, and the codes of its page for what they find.

https://dev.umeng.com/push/android/api-doc. A payload with aps is for iOS. Keys that the page does not have are ignored.
"""

from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

from audience.sandbox.field_checks import FieldProblem, FieldTable, find_field_problem, load_field_table
from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.request_checks import parse_moment, seconds_until, total_json_bytes

ANDROID_TABLE, IOS_TABLE = (Path(__file__).with_name(f"{name}.txt") for name in ("android", "ios"))
SERVER_ZONE = timezone(timedelta(hours=8))
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
WEEK_SECONDS = 7 * 86_400.0
MAX_ANDROID_BYTES, MAX_IOS_BYTES = 2_048, 2_012
CODES = {  # of a field that is missing, malformed or of another type
    "payload": 1001,
    "payload.display_type": 1004,
    "payload.body": 1002,
    "payload.body.custom": 1003,
    "payload.body.ticker": 1008,
    "payload.body.title": 1009,
    "payload.body.text": 1010,
    "payload.body.img": 1005,
    "payload.body.url": 1022,
    "payload.body.activity": 1024,
    "payload.extra": 1026,
    "payload.aps": 2025,
    "policy": 1027,
    "policy.start_time": 2039,
    "policy.expire_time": 2039,
}
CODES_OF_VALUES = {"payload.display_type": 1019, "payload.body.url": 1007}
NOT_JSON = 2008
RESERVED_KEYS = ("d", "p")  # in a payload for iOS


def check_content(request: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
    """Check what a cast says beside whom it is for; return it, and the keys that are ignored.

    Raises:
        VendorRefusal: A field is missing, malformed, of another type, or has a value that is not allowed.
    """
    payload = request.get("payload")
    is_ios = isinstance(payload, dict) and "aps" in payload
    table = load_field_table(IOS_TABLE if is_ios else ANDROID_TABLE)
    ignored: list[str] = []
    content = _drop_unknown(request, (), table, ignored)
    if problem := find_field_problem(content, table):
        raise VendorRefusal(_code_of(problem), f"{problem.path}: {problem.expected}")
    size, maximum = total_json_bytes(content["payload"]), MAX_IOS_BYTES if is_ios else MAX_ANDROID_BYTES
    if size > maximum:
        raise VendorRefusal(2022, f"the payload has {size} bytes, more than {maximum}")
    if is_ios:
        _check_ios_payload(content["payload"])
    return content, tuple(sorted(ignored))


def _drop_unknown(value: Any, steps: tuple[str, ...], table: FieldTable, ignored: list[str]) -> Any:
    """Return *value* without the keys that the table does not have, which are added to *ignored*."""
    children = table.children.get(steps)
    if not children or not isinstance(value, dict):
        return value
    kept = {}
    for key, inner in value.items():
        if key in children:
            kept[key] = _drop_unknown(inner, (*steps, key), table, ignored)
        elif "*" in children:
            kept[key] = inner
        else:
            ignored.append(".".join((*steps, str(key))))
    return kept


def _code_of(problem: FieldProblem) -> int:
    if problem.kind in ("value", "pattern") and problem.path in CODES_OF_VALUES:
        return CODES_OF_VALUES[problem.path]
    return CODES.get(problem.path, NOT_JSON)


def _check_ios_payload(payload: JsonObject) -> None:
    aps = payload["aps"]
    if {*RESERVED_KEYS} & {*payload}:
        raise VendorRefusal(5002, f"{' and '.join(RESERVED_KEYS)} are keys of Umeng")
    if not aps.get("alert") and aps.get("content-available") != 1:
        raise VendorRefusal(2025, "aps has no alert, and is not silent")


def compute_delay(policy: JsonObject, is_task: bool, now: float) -> float:
    """Return the seconds until a cast is delivered; only tasks wait.

    Raises:
        VendorRefusal: Its start has passed, or start and expiry are out of range.
    """
    start = _read_seconds(policy, "start_time", now)
    if start is not None and start <= 0:
        raise VendorRefusal(2002, "start_time has passed")
    if start is not None and start > WEEK_SECONDS:
        raise VendorRefusal(2046, "start_time is more than 7 days ahead")
    delay = start or 0.0
    expiry = _read_seconds(policy, "expire_time", now)
    if expiry is not None and expiry <= delay:
        raise VendorRefusal(2003, "expire_time is not after start_time and the present")
    if expiry is not None and expiry > delay + WEEK_SECONDS:
        raise VendorRefusal(2040, "expire_time is more than 7 days after the delivery")
    return delay if is_task else 0.0


def _read_seconds(policy: JsonObject, name: str, now: float) -> float | None:
    """Return the seconds from *now* to a time of the policy; None if it has none."""
    if policy.get(name) is None:
        return None
    try:
        return seconds_until(parse_moment(policy[name], TIME_FORMAT).replace(tzinfo=SERVER_ZONE), now)
    except ValueError:
        raise VendorRefusal(2039, f"{name} is written {TIME_FORMAT}") from None
