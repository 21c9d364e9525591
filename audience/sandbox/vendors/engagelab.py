"""EngageLab AppPush v4: POST /v4/push and /v4/push/validate.

Codes and their HTTP statuses are those of the page, also where it is odd: 401 for a message beside a notification.
Where it contradicts itself: 4,000 bytes, not 2,048; `msg_id`, not `message_id`. The page shows errors as
{"code", "message"}, the vendor's SDK reads {"error": {…}}; answers have both.
"""

from typing import Any

import numpy as np

from audience.sandbox.http_types import JSON, Call, Mask, Refused, Reply
from audience.sandbox.request_checks import basic, is_whole, loaded, size
from audience.sandbox.tag_lists import Codes, chosen, filled
from audience.sandbox.vendor_state import Desk

PATHS = ("/v4/push", "/v4/push/validate")
REFUSAL, TOO_FAST = "21003", "23008"
RATE = (500, 1.0)  # calls, seconds
STATUS = {21001: 405, 21004: 401, 21030: 503, 21038: 401, 21059: 401, 21306: 401, 27000: 500}
STATUS |= {27001: 401, 27008: 401, 27009: 401}
CODES = Codes(type=21016, length=21016, unknown_id=20101)
MOST = {"tag_and": 20, "tag_not": 20, "registration_id": 1_000}
TOP = {"from", "to", "body", "request_id", "custom_args"}
TO = {"tag", "tag_and", "tag_not", "alias", "registration_id", "live_activity_id", "seg"}
BODY = {"platform", "notification", "message", "live_activity", "voip", "options"}
CONTENTS = ("notification", "message", "live_activity", "voip")
PLATFORMS = {"android", "ios", "hmos"}
LONGEST, LONGEST_LIVE = 4_000, 3_584  # bytes
FIFTEEN_DAYS = 15 * 86_400


def answer(call: Call, desk: Desk) -> Reply:
    """Check the call, tell whom it means unless it only asks, and say so."""
    if call.method != "POST":
        raise Refused(21001, "only POST")
    _admit(call, desk)
    push = loaded(call.body, 21003)
    _fields(push, TOP, {"to", "body"})
    platforms = _body(push["body"], push["to"])
    if size(push.get("custom_args")) > 128 + len('{"":""}'):
        raise Refused(21016, "custom_args has more than 128 characters")
    who = _to(push["to"], desk) & desk.population.on(platforms)
    if not (devices := int(np.count_nonzero(who))):
        raise Refused(21011, "no suitable push target")
    message = desk.told.number()
    if not call.path.endswith("/validate"):
        desk.told.deliver(message, who)
    body = {"request_id": push["request_id"], "msg_id": message} if "request_id" in push else {"msg_id": message}
    return Reply(200, body, message=message, devices=devices)


def refusal(no: Refused, call: Call) -> Reply:
    """The answer that says no."""
    error = {"code": int(no.code) if no.code.isdigit() else no.code, "message": no.text or "refused"}
    status = STATUS.get(int(no.code), 400) if no.code.isdigit() else 400
    return Reply(status, {**error, "error": error}, code=no.code)


def failure(status: int, call: Call) -> Reply:
    """The answer of a server in trouble."""
    code, text = (21030, "internal service timeout") if status == 503 else (27000, "internal memory error")
    return Reply(status, refusal(Refused(code, text), call).body, code=str(code))


def _admit(call: Call, desk: Desk) -> None:
    if not call.headers.get("authorization"):
        raise Refused(27001, "verification information is empty")
    pair = basic(call)
    if not pair or not desk.takes(*pair):
        raise Refused(21004, "verification failed")
    if not desk.rates.admits("push", *RATE):
        raise Refused(TOO_FAST, "push interface QPS reaches limit")


def _fields(value: Any, known: set[str], needed: set[str]) -> None:
    if not isinstance(value, dict):
        raise Refused(21016, "must be an object")
    if missing := needed - value.keys():
        raise Refused(21002, f"{min(missing)} is missing")
    if odd := value.keys() - known:
        raise Refused(21015, f"unexpected parameter {min(odd)}")


def _to(to: Any, desk: Desk) -> Mask:
    """Whom `to` means, before the platform narrows it."""
    if to == "all":
        return desk.population.known(desk.vendor)
    if isinstance(to, str):
        raise Refused(21003, "to is all or an object")
    _fields(to, TO, set())
    lists = filled(to, MOST, CODES)
    if (activity := to.get("live_activity_id")) and not isinstance(activity, str):
        raise Refused(21016, "live_activity_id must be a text")
    if to.get("seg"):
        raise Refused(21003, "this sandbox knows no segments of a console")
    if not lists.keys() - {"tag_not"} and not activity:
        raise Refused(21003 if lists else 21002, "at least one type beside tag_not is needed")
    if activity:
        return chosen(lists, desk, CODES) & desk.population.typed("live_activity_id", activity)
    return chosen(lists, desk, CODES)


def _body(body: Any, to: Any) -> set[str]:
    """Check what is sent; the platforms that it goes to."""
    _fields(body, BODY, {"platform"})
    platforms = _platforms(body["platform"])
    contents = [name for name in CONTENTS if body.get(name)]
    if not contents:
        raise Refused(21002, "one of notification, message, live_activity, voip is needed")
    if len(contents) > 1:
        raise Refused({"v": 21057, "l": 21054}.get(contents[-1][0], 21306), f"{' and '.join(contents)} together")
    options = body.get("options") or {}
    _options(options, contents[0])
    match contents[0]:
        case "notification":
            _notification(body["notification"])
        case "message":
            if not isinstance(body["message"], dict) or not body["message"].get("msg_content"):
                raise Refused(21002, "message.msg_content is missing")
        case "live_activity":
            _live_activity(body["live_activity"], platforms, to)
        case "voip" if platforms != {"ios"}:
            raise Refused(21058, "voip only supports ios")
    if size(body.get("notification"), body.get("message")) > LONGEST:
        raise Refused(21005, f"more than {LONGEST} bytes")
    return platforms


def _platforms(value: Any) -> set[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Refused(21016, "platform is all, a platform, or a list of them")
    if set(names) - PLATFORMS - {"all"}:
        raise Refused(21003, f"platform {names} is not known")
    return PLATFORMS if "all" in names else set(names)


def _notification(notification: Any) -> None:
    if not isinstance(notification, dict):
        raise Refused(21016, "notification must be an object")
    parts = [part for part in (notification.get(name) for name in PLATFORMS) if part is not None]
    if not all(isinstance(part, dict) for part in parts):
        raise Refused(21016, "a platform's notification must be an object")
    if "alert" not in notification and not (parts and all("alert" in part for part in parts)):
        raise Refused(21002, "alert is missing")
    android = notification.get("android") or {}
    if not is_whole(android.get("priority", 0), -2, 2):
        raise Refused(21003, "android.priority is from -2 to 2")
    if len(str(android.get("channel_id", "")).encode()) > 1_000:
        raise Refused(21016, "android.channel_id has more than 1,000 bytes")


def _live_activity(live: Any, platforms: set[str], to: Any) -> None:
    ios = live.get("ios") if isinstance(live, dict) else None
    if not isinstance(ios, dict):
        raise Refused(21002, "live_activity.ios is missing")
    if platforms != {"ios"}:
        raise Refused(21056, "live_activity only supports ios")
    if ios.get("event") not in ("start", "update", "end"):
        raise Refused(21050, "event must be start, update or end")
    if not ios.get("content-state"):
        raise Refused(21053, "content-state is empty")
    if ios["event"] == "start":
        if not ios.get("attributes-type"):
            raise Refused(21052, "attributes-type is empty")
        if to != "all" and not (isinstance(to, dict) and [key for key in to if to[key]] == ["registration_id"]):
            raise Refused(21051, "only broadcast or registration_id at a start")
    if size({"ios": ios}) > LONGEST_LIVE:
        raise Refused(21005, f"live_activity has more than {LONGEST_LIVE} bytes")


def _options(options: Any, content: str) -> None:
    if not isinstance(options, dict):
        raise Refused(21016, "options must be an object")
    live = options.get("time_to_live", 0)
    if not is_whole(int(live) if isinstance(live, str) and live.isdigit() else live, 0, FIFTEEN_DAYS):
        raise Refused(21003, "time_to_live is from 0 to 15 days")
    if not isinstance(options.get("apns_production", True), bool):
        raise Refused(21016, "apns_production is true or false")
    if len(str(options.get("apns_collapse_id", "")).encode()) > 64:
        raise Refused(21016, "apns_collapse_id has more than 64 bytes")
    if (minutes := options.get("big_push_duration")) is not None:
        if content in ("live_activity", "voip"):
            raise Refused(21059, "no big_push_duration for this type")
        if not is_whole(minutes, 0, 1_440):
            raise Refused(23006, "big_push_duration is up to 1440")
    _channels(options.get("third_party_channel") or {})


def _channels(channels: Any) -> None:
    for name, channel in channels.items() if isinstance(channels, dict) else [("", None)]:
        words: JSON = channel if isinstance(channel, dict) else {}
        if not isinstance(words.get("distribution_new", words.get("distribution")), str):
            raise Refused(27009, f"third_party_channel.{name} needs distribution_new")
