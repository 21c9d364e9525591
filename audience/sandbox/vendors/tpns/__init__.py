"""Tencent TPNS v3: POST /v3/push/app, and /v3/push/package/upload for lists that are longer than a call takes.

A refusal is HTTP 200 with a `ret_code`. https://www.tencentcloud.com/document/product/1024/33764
"""

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from audience.sandbox.http_types import JSON, Call, Mask, Refused, Reply
from audience.sandbox.request_checks import basic, is_texts, is_whole, loaded, seconds_until
from audience.sandbox.vendor_state import Desk
from audience.sandbox.vendors.tpns.loop_tasks import moments
from audience.sandbox.vendors.tpns.packages import keep, read
from audience.sandbox.vendors.tpns.tag_rules import by_list, by_rules

PATHS = ("/v3/push/app", "/v3/push/package/upload")
REFUSAL, TOO_FAST = "1008007", "1008028"
RATE = (1, 1.0)  # calls, seconds: all, tag and packages together
SAME_BROADCAST = (1, 3_600.0)  # one and the same message to all
SLOW = ("all", "tag", "package_account_push", "package_token_push")
CHANNELS = {"xg", "hw", "xm", "mz", "vivo", "oppo", "apns", "honor", "fcm"}
AUDIENCES = (*SLOW, "token", "token_list", "account", "account_list")
MOST, LONGEST_TOKEN, LONGEST_WAIT = 1_000, 36, 259_200
ZONE = timezone(timedelta(hours=8))  # of send_time, which the page calls the time of the server
PAST = 600  # seconds that send_time may lie behind


def answer(call: Call, desk: Desk) -> Reply:
    """Check the call, keep its file or tell whom it means, and say so."""
    _authorise(call, desk)
    if call.path.endswith("/upload"):
        number = keep(call.file, desk)
        return Reply(200, {"retCode": 0, "errMsg": "", "uploadId": number})
    push = loaded(call.body, 1008001)
    after = _check(push)
    who, invalid = _audience(push, desk)
    _pace(push, desk)
    waits = [after] if push.get("loop_param") is None else moments(push["loop_param"], ZONE)
    messages = [desk.told.number() for _ in waits]
    for message, wait in zip(messages, waits, strict=True):
        desk.told.deliver(message, who, wait)
    body: JSON = {"seq": push.get("seq", 0), "environment": push.get("environment", "product"), "ret_code": 0}
    body["push_id"] = messages if push.get("loop_param") is not None else messages[0]
    if push.get("ignore_invalid_token") == 1 and push["audience_type"] in ("token", "token_list"):
        body["invalid_targe_list"] = invalid
    return Reply(200, body, message=",".join(messages), devices=int(np.count_nonzero(who)))


def refusal(no: Refused, call: Call) -> Reply:
    """The answer that says no; the upload spells its fields in another way."""
    code: Any = int(no.code) if no.code.isdigit() else no.code
    text = no.text or "refused"
    if call.path.endswith("/upload"):
        return Reply(200, {"retCode": code, "errMsg": text, "uploadId": 0}, code=no.code)
    return Reply(200, {"seq": 0, "ret_code": code, "err_msg": text}, code=no.code)


def failure(status: int, call: Call) -> Reply:
    """The answer of a server in trouble."""
    return Reply(status, refusal(Refused(1008004, "failed to call internal service"), call).body, code="1008004")


def sign(secret: str, timestamp: str, access: str, body: bytes) -> str:
    """What the header Sign must hold: base64 of the hexadecimal HMAC-SHA256, not of its bytes.

    >>> sign("secret", "1565314789", "1500001048", b"{}")[:24]
    'MDU1N2YxM2YxYTZhNTkwMzY5'
    """
    text = timestamp.encode() + access.encode() + body
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).hexdigest().encode()).decode()


def _authorise(call: Call, desk: Desk) -> None:
    if call.method != "POST":
        raise Refused(1008001, "only POST")
    given, access = call.headers.get("sign"), call.headers.get("accessid", "")
    if given is None:
        pair = basic(call)
        if not pair:
            raise Refused(1008003, "authentication failed")
        if not desk.takes(*pair):
            raise Refused(10030002, "AccessId and SecretKey do not match")
        return
    moment, secret = call.headers.get("timestamp", ""), desk.signed_with(access)
    if not access or not moment.isdigit() or not desk.knows(access):
        raise Refused(1008003, "Sign needs AccessId and TimeStamp")
    if secret is not None and not hmac.compare_digest(sign(secret, moment, access, call.body).encode(), given.encode()):
        raise Refused(1008003, "Sign does not fit the body")


def _check(push: JSON) -> float:
    """Refuse what no push may have; in how many seconds it is sent."""
    if missing := {"audience_type", "message_type", "message"} - push.keys():
        raise Refused(1008002, f"{min(missing)} is missing")
    if push["audience_type"] not in AUDIENCES:
        raise Refused(1008007, "audience_type is not known")
    _message(push["message"], push["message_type"], push.get("environment"))
    if not is_whole(push.get("expire_time", 0), 0, LONGEST_WAIT):
        raise Refused(1008007, f"expire_time is up to {LONGEST_WAIT}")
    if "push_speed" in push and not is_whole(push["push_speed"], 1_000, 50_000):
        raise Refused(1008007, "push_speed is from 1000 to 50000")
    for name in ("ignore_invalid_token", "account_push_type"):
        if not is_whole(push.get(name, 0), 0, 1):
            raise Refused(1008007, f"{name} is 0 or 1")
    _channels(push.get("channel_rules") or [])
    later = [name for name in ("send_time", "loop_param") if push.get(name) is not None]
    if later and push["audience_type"] not in SLOW:
        raise Refused(1008007, f"{later[0]} is for all, tags and packages only")
    return _wait(push["send_time"]) if push.get("send_time") else 0.0


def _channels(rules: Any) -> None:
    for rule in rules if isinstance(rules, list) else [None]:
        if not isinstance(rule, dict) or not isinstance(rule.get("disable", False), bool):
            raise Refused(1008007, "channel_rules is a list of channels that are disabled or not")
        if not isinstance(rule.get("channel"), str) or rule["channel"] not in CHANNELS:
            raise Refused(1008007, "channel_rules names a channel that is not known")


def _message(message: Any, kind: Any, environment: Any) -> None:
    if kind not in ("notify", "message") or not isinstance(message, dict):
        raise Refused(1008007, "message_type is notify or message, message an object")
    ios = message.get("ios")
    aps = ios.get("aps", {}) if isinstance(ios, dict) else {}
    if ios is not None and (not isinstance(aps, dict) or environment not in ("product", "dev")):
        raise Refused(1008002 if environment is None else 1008007, "for iOS environment is product or dev")
    silent = aps.get("content-available") == 1
    if kind == "notify" and silent:
        raise Refused(1008007, "content-available: 1 is no notification")
    if silent and aps.keys() & {"alert", "sound", "badge_type"}:
        raise Refused(1008007, "a silent message has no alert, sound or badge_type")
    if not silent and not all(isinstance(message.get(name), str) and message[name] for name in ("title", "content")):
        raise Refused(1008002, "message.title and message.content are needed")


def _wait(text: Any) -> float:
    try:
        wait = seconds_until(datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZONE))
    except ValueError:
        raise Refused(1008007, "send_time is of the form yyyy-MM-DD HH:MM:SS") from None
    if not -PAST <= wait <= 90 * 86_400:
        raise Refused(10010012, "send_time is within the next 90 days")
    return max(wait, 0.0)


def _pace(push: JSON, desk: Desk) -> None:
    """Refuse what comes too fast; only calls that are sound otherwise are counted."""
    if push["audience_type"] not in SLOW:
        return
    if not desk.rates.admits("slow", *RATE):
        raise Refused(TOO_FAST, "one push to all, tags or packages a second")
    if push["audience_type"] == "all":
        digest = hashlib.sha256(json.dumps(push, sort_keys=True).encode()).hexdigest()
        if not desk.rates.admits(f"all {digest}", *SAME_BROADCAST):
            raise Refused(10010018, "the same push to all within an hour")


def _audience(push: JSON, desk: Desk) -> tuple[Mask, list[str]]:
    """Whom a push means, and the tokens that nobody has."""
    kind = push["audience_type"]
    match kind:
        case "all":
            return desk.population.known(desk.vendor), []
        case "tag" if push.get("tag_rules") is not None:
            return by_rules(push["tag_rules"], desk), []
        case "tag":
            return by_list(push.get("tag_list"), desk), []
        case "token" | "token_list":
            return _tokens(_list(push, "token_list", kind), push.get("ignore_invalid_token") == 1, desk)
        case "account" | "account_list":
            names = _list(push, "account_list", kind)
        case "package_token_push":
            return _tokens(read(push, desk), True, desk)
        case _:
            names = read(push, desk)
    found = desk.population.named("account", names)
    if not found:
        raise Refused(10010005, "the push target does not exist")
    every = push.get("account_push_type") == 1
    who = desk.population.nobody()
    who[[row for rows in found.values() for row in (rows if every else rows[-1:])]] = True
    return who & desk.population.known(desk.vendor), []


def _list(push: JSON, name: str, kind: str) -> list[str]:
    """The ids of a list; of one that should have a single id the first."""
    ids = push.get(name)
    if ids is None:
        raise Refused(1008002, f"{name} is missing")
    if not isinstance(ids, list) or not is_texts(ids) or not ids:
        raise Refused(1008007, f"{name} is a list of texts")
    if kind.endswith("_list") and len(ids) > MOST:
        raise Refused(1008007, f"{name} has more than {MOST}")
    return ids if kind.endswith("_list") else ids[:1]


def _tokens(tokens: list[str], ignore: bool, desk: Desk) -> tuple[Mask, list[str]]:
    ids = desk.population.ids(desk.vendor)
    invalid = [token for token in tokens if token not in ids]
    if invalid and not ignore:
        code = 1008029 if any(len(token) > LONGEST_TOKEN for token in invalid) else 1008006
        raise Refused(code, f"invalid token {invalid[0]}")
    who = desk.population.nobody()
    who[[ids[token] for token in tokens if token in ids]] = True
    return who, invalid
