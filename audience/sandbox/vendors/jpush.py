"""JPush v3, EngageLab's sibling: POST /v3/push and /v3/push/validate, GET /v3/push/cid.

https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push
"""

from typing import Any
from uuid import uuid4

import numpy as np

from audience.sandbox.http_types import Call, Mask, Refused, Reply
from audience.sandbox.request_checks import basic, loaded, size
from audience.sandbox.tag_lists import KEYS, Codes, chosen, filled
from audience.sandbox.vendor_state import Desk

PATHS = ("/v3/push", "/v3/push/validate", "/v3/push/cid")
REFUSAL, TOO_FAST = "1003", "2002"
RATE = (600, 60.0)  # calls, seconds
STATUS = {1000: 500, 1001: 405, 1004: 401, 1030: 503, 2002: 429, 2003: 429}
CODES = Codes(type=1003, length=1003, unknown_id=1003)
MOST = {"tag": 20, "tag_and": 20, "tag_not": 20, "alias": 1_000, "registration_id": 1_000}
TOP = {"platform", "audience", "notification", "message", "options", "cid", "sms_message", "callback"}
TOP |= {"notification_3rd", "live_activity", "inapp_message"}
CONTENTS = ("notification", "message", "live_activity", "inapp_message")
PLATFORMS = {"android", "ios", "hmos", "quickapp", "winphone"}
LONGEST = 4_000  # bytes
DAY = 86_400.0


def answer(call: Call, desk: Desk) -> Reply:
    """Check the call, tell whom it means unless it only asks, and say so; a `cid` is answered once a day."""
    key = _admit(call, desk)
    if call.path.endswith("/cid"):
        return _cids(call)
    if call.method != "POST":
        raise Refused(1001, "Only support HTTP Post method.")
    if not desk.rates.admits("push", *RATE):
        raise Refused(TOO_FAST, "Rate limit exceeded.")
    push = loaded(call.body, 1003)
    _check(push)
    cid = f"{key} {push['cid']}" if push.get("cid") else ""
    if (before := desk.answered(cid, DAY)) and not call.path.endswith("/validate"):
        return before
    who = _audience(push["audience"], desk) & desk.population.on(_platforms(push["platform"]))
    if not (devices := int(np.count_nonzero(who))):
        raise Refused(1011, "cannot find user by this audience")
    message = desk.told.number()
    sendno = str((push.get("options") or {}).get("sendno", 0))
    reply = Reply(200, {"sendno": sendno, "msg_id": message}, message=message, devices=devices)
    if not call.path.endswith("/validate"):
        desk.told.deliver(message, who)
        if cid:
            desk.remember(cid, reply)
    return reply


def refusal(no: Refused, call: Call) -> Reply:
    """The answer that says no."""
    code: Any = int(no.code) if no.code.isdigit() else no.code
    return Reply(STATUS.get(code, 400), {"error": {"code": code, "message": no.text or "refused"}}, code=no.code)


def failure(status: int, call: Call) -> Reply:
    """The answer of a server in trouble."""
    code, text = (1030, "Inner service over time.") if status == 503 else (1000, "Server error.")
    return Reply(status, refusal(Refused(code, text), call).body, code=str(code))


def _admit(call: Call, desk: Desk) -> str:
    """The key of whoever calls."""
    pair = basic(call)
    if not pair or not desk.takes(*pair):
        raise Refused(1004, "Authen failed.")
    return pair[0]


def _check(push: dict[str, Any]) -> None:
    if missing := {"platform", "audience"} - push.keys():
        raise Refused(1002, f"{min(missing)} is missing")
    if odd := push.keys() - TOP:
        raise Refused(1003, f"unexpected parameter {min(odd)}")
    if not any(push.get(name) for name in CONTENTS):
        raise Refused(1002, "notification or message is missing")
    if not isinstance(push.get("options") or {}, dict) or not isinstance(push.get("cid", ""), str):
        raise Refused(1003, "options is an object, cid a text")
    if size(push.get("notification"), push.get("message")) > LONGEST:
        raise Refused(1005, f"more than {LONGEST} bytes")


def _platforms(value: Any) -> set[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not {*map(str, names)} <= {*PLATFORMS, "all"}:
        raise Refused(1003, f"platform {value} is invalid")
    return PLATFORMS if "all" in names else set(names)


def _audience(audience: Any, desk: Desk) -> Mask:
    if audience == "all":
        return desk.population.known(desk.vendor)
    if not isinstance(audience, dict):
        raise Refused(1003, "audience is all or an object")
    if odd := audience.keys() - {*KEYS, "segment", "abtest", "file", "live_activity_id"}:
        raise Refused(1009, f"audience.{min(odd)} is not known")
    if audience.keys() - {*KEYS} and any(audience[key] for key in audience.keys() - {*KEYS}):
        raise Refused(1003, "this sandbox knows no segments, tests or files of a console")
    if not (lists := filled(audience, MOST, CODES)):
        raise Refused(1002, "audience is empty")
    return chosen(lists, desk, CODES)


def _cids(call: Call) -> Reply:
    count = call.query.get("count", "1")
    if not count.isdigit() or not 1 <= int(count) <= 1_000:
        raise Refused(1003, "count is from 1 to 1000")
    return Reply(200, {"cidlist": [str(uuid4()) for _ in range(int(count))]})
