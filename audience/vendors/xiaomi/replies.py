"""Replies of Xiaomi Push to messages and to withdrawals.

Source: https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1560 for the codes; the form of a reply is that of
replies which others have printed. All of these came with the HTTP status 200. What came with another one is open, so a
failing server leaves a call in doubt, whatever code its reply has. `bad_regids` are the ids that Xiaomi does not know,
with commas between them; if it knows none, the code is 20301 and the reason says so. The code alone says only that
sending failed, and leaves the call in doubt.
"""

import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.vendors.delivery_spec import InDoubt, InvalidIds, Payload, Rejected, Response, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.reply_checks import (
    LOOK_IT_UP,
    ContradictoryReply,
    accept,
    doubt_contradictions,
    is_success,
    read_code,
    read_id,
    read_id_list,
)
from audience.vendors.schema_check import get_in

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
SENDING_FAILED = "20301"
NO_TARGETS = re.compile(r"no valid target", re.IGNORECASE)
BAD_ID_KEYS = ("bad_regids", "bad_regIds")  # one client spells it so


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response to a message.

    >>> parse_reply(Response(200, b'{"result": "ok", "code": 0, "data": {"id": "slm1", "bad_regids": "a,b"}}'))
    Accepted(message_id='slm1', invalid_ids=('a', 'b'))
    >>> parse_reply(Response(200, b'{"result": "error", "code": 20301, "reason": "No valid targets!"}')).are_all
    True
    """
    payload = parse_json_body(response)
    code, data = read_code(payload.get("code")), get_in(payload, "data")
    if not isinstance(payload.get("data") or {}, dict):
        raise ContradictoryReply("its data is no object")
    if message_id := read_id(data.get("id")):
        _require_whole(payload, data)
        return accept(response, message_id, code, read_bad_ids(data))
    return _read_refusal(response, payload, code)


def _require_whole(payload: Payload, data: Payload) -> None:
    """Raise ContradictoryReply for an id beside an error, or beside messages that a quota has dropped."""
    if payload.get("result") not in (None, "ok"):
        raise ContradictoryReply(f"it has an id of the message and the result {str(payload['result'])[:50]!r}")
    if data.get("channel_exceed_quota"):
        raise ContradictoryReply("a part was dropped for a quota, and it does not name the ids")


def read_bad_ids(data: Payload) -> tuple[str, ...]:
    """Return the ids that Xiaomi does not know; raise ContradictoryReply if they are neither a text nor a list."""
    found = [data[key] for key in BAD_ID_KEYS if data.get(key) not in (None, "", [])]
    if len(found) > 1:
        raise ContradictoryReply("it names unknown ids twice")
    ids: Any = found[0] if found else None
    if isinstance(ids, str):
        return tuple(each.strip(" ") for each in ids.split(",") if each.strip(" "))
    return read_id_list(ids)


def _read_refusal(response: Response, payload: Payload, code: str) -> VendorReply:
    text, row = _read_text(payload), BY_CODE.get(code)
    if payload.get("result") == "ok" and not is_success(response):
        raise ContradictoryReply("it has the result 'ok'")
    if row is None or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return reply_from_status(response, f"{code} {text}".strip() if code else "")
    if payload.get("result") == "ok":
        raise ContradictoryReply(f"it has the result 'ok' and the error {code!r}")
    if code == SENDING_FAILED and not NO_TARGETS.search(text):
        return InDoubt(Problem("in-doubt", f"{code} {text!r}: sending failed, for a reason not known", hint=LOOK_IT_UP))
    reply = reply_from_code(row, text, response)
    return InvalidIds(reply.problem, are_all=True) if isinstance(reply, InvalidIds) and _is_all(code) else reply


def _is_all(code: str) -> bool:
    """Return whether *code* says that none of the ids is known; the other one is about one that is not named."""
    return code == SENDING_FAILED


def _read_text(payload: Payload) -> str:
    """Return why a call failed: the reason, which says more than the description of the code."""
    return str(payload.get("reason") or payload.get("description") or "")


@doubt_contradictions
def parse_cancel(response: Response) -> VendorReply:
    """Parse the response to a withdrawal; which codes say that there is no such job is on no page that could be read.

    >>> parse_cancel(Response(200, b'{"result": "ok", "code": 0, "description": "success"}'))
    Accepted(message_id='withdrawn', invalid_ids=())
    """
    payload = parse_json_body(response)
    code = read_code(payload.get("code"))
    if payload.get("result") == "ok" and "code" in payload:
        return accept(response, "withdrawn", code)
    reply = _read_refusal(response, payload, code)
    return Rejected(reply.problem) if isinstance(reply, InvalidIds) else reply
