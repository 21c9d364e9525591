"""Replies of Huawei Push Kit v1.

Source: https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197. Which HTTP
status comes with which code is not said there, so a known code decides, whatever the status. 503 is "flow control";
whether a part of the devices was reached before it is left open, so such a call is in doubt.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from audience.vendors.delivery_spec import InvalidIds, Response, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.reply_checks import (
    ContradictoryReply,
    accept,
    doubt_contradictions,
    load_strict_json,
    read_code,
    read_id,
    read_id_list,
)

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
SUCCESS, PARTIAL_SUCCESS = "80000000", "80100000"
NO_REQUEST_ID = "-"  # the page prints an empty one beside the tokens of a partial success


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    r"""Parse the response to a push, or to its dry run.

    >>> parse_reply(Response(200, b'{"code": "80000000", "msg": "Success", "requestId": "157006"}'))
    Accepted(message_id='157006', invalid_ids=())
    >>> partial = rb'{"code": "80100000", "msg": "{\"success\":3,\"failure\":1,\"illegal_tokens\":[\"x\"]}"}'
    >>> parse_reply(Response(200, partial))
    Accepted(message_id='-', invalid_ids=('x',))
    """
    payload = parse_json_body(response)
    code, text = read_code(payload.get("code")), payload.get("msg") or ""
    request_id = read_id(payload.get("requestId"))
    if code == SUCCESS and not request_id:
        raise ContradictoryReply("it has no id of the request")
    if code == SUCCESS:
        _require_no_failure(text)
        return accept(response, request_id)
    if code == PARTIAL_SUCCESS:
        result = _read_result(text)
        tokens = _read_illegal_tokens(result)
        accepted = accept(response, request_id or NO_REQUEST_ID, invalid_ids=tokens)
        return replace(accepted, answered_count=result["success"] + len(tokens))
    row = BY_CODE.get(code)
    if row is None:
        return reply_from_status(response, f"{code} {text}".strip() if code else "")
    reply = reply_from_code(row, str(text), response)
    return InvalidIds(reply.problem, are_all=True) if isinstance(reply, InvalidIds) else reply


def _require_no_failure(text: Any) -> None:
    """Raise ContradictoryReply if the text of a success counts tokens that were not sent to, or names some."""
    result = _read_result(text)
    if result.get("failure") or result.get("illegal_tokens"):
        raise ContradictoryReply("its code says that all were sent to, and its text that some were not")


def _read_result(text: Any) -> dict[str, Any]:
    """Return the JSON object in the text of a reply, or in its place; an empty one if it has none."""
    try:
        result: Any = load_strict_json(text.encode()) if isinstance(text, str) else text
    except ContradictoryReply:
        raise
    except (ValueError, RecursionError):
        return {}
    return result if isinstance(result, dict) else {}


def _read_illegal_tokens(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tokens that were not sent to, from the JSON in the text of a partial success.

    Raises ContradictoryReply if they are not as many different ones as it counts, or if it does not count the others:
    then it is open who was reached.
    """
    tokens = read_id_list(result.get("illegal_tokens"))
    success, failure = result.get("success"), result.get("failure")
    is_counted = type(success) is int and success >= 0 and type(failure) is int
    if not is_counted or not tokens or not len(tokens) == len(set(tokens)) == failure:
        raise ContradictoryReply("a part was sent, and it does not name the tokens that were not")
    return tokens
