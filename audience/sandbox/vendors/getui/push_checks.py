"""Checks of Getui for a push, with the texts of its page for what they find.

https://docs.getui.com/getui/server/rest_v2/push and /code
"""

from pathlib import Path

from audience.sandbox.field_checks import find_field_problem, get_field, load_field_table
from audience.sandbox.http_types import JsonObject, VendorRefusal

TABLE = Path(__file__).with_name("push.txt")
WRONG, WRONG_TIME = 20001, 22002
CONTENTS = ("notification", "transmission", "revoke")
TEXTS = {"missing": "cannot be null", "empty": "can not be empty", "type": "type error"}
TEXTS |= dict.fromkeys(("bytes", "chars", "items"), "size over limit")
MAX_AHEAD_SECONDS = 7 * 86_400


def check_push(push: JsonObject, is_for_app: bool, now: float) -> float:
    """Check the fields of a push; return the seconds until it is delivered.

    Raises:
        VendorRefusal: A field is unknown, missing, of another type or too long, or fields exclude each other.
    """
    if problem := find_field_problem(push, load_field_table(TABLE)):
        raise VendorRefusal(WRONG, f"{problem.path} {TEXTS.get(problem.kind, 'is invalid')}")
    ups, harmony = get_field(push, "push_channel.android.ups") or {}, get_field(push, "push_channel.harmony") or {}
    _choose_one(push["push_message"], is_required=True)
    for part in (ups, harmony):
        _choose_one(part, is_required=False)
    own = push["push_message"].get("notification") or {}
    if own.get("big_text") and own.get("big_image"):
        raise VendorRefusal(WRONG, "big_text and big_image cannot setting at same time")
    return _read_delay(push, is_for_app, now)


def _choose_one(part: JsonObject, is_required: bool) -> None:
    named = [name for name in CONTENTS if part.get(name)]
    if len(named) > 1:
        raise VendorRefusal(WRONG, f"please choose one of {' and '.join(CONTENTS)}")
    if is_required and not named:
        raise VendorRefusal(WRONG, f"{' and '.join(CONTENTS)} cannot be null at sametime")


def _read_delay(push: JsonObject, is_for_app: bool, now: float) -> float:
    settings = push.get("settings") or {}
    for name in ("speed", "schedule_time"):
        if settings.get(name) is not None and not is_for_app:
            raise VendorRefusal(WRONG, f"{name} is invalid")
    moment = settings.get("schedule_time")
    delay = 0.0 if moment is None else moment / 1000 - now
    if moment is not None and not 0 < delay <= MAX_AHEAD_SECONDS:
        raise VendorRefusal(WRONG_TIME, "schedule_time is invalid")
    return delay
