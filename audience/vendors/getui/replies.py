"""Replies of Getui to pushes, to messages that are created for lists, and to withdrawals.

The codes are those of https://docs.getui.com/getui/server/rest_v2/code, of which the first half was readable, and of
the copy in https://github.com/dcloudio/unidocs-zh/blob/HEAD/docs/uniCloud/uni-cloud-push/api.md for the others. A push
to cids answers with the status of each: `successed_online`, `successed_offline`, `successed_ignore` for a device that
was not active for 90 days and gets nothing, and `target user is invalid` for a cid that is unknown. A call of which no
cid is known fails with 20001 and that text, and names none. A status of another kind says nothing certain, so that its
call is in doubt. 1 is "failed" and names no reason, so that it is in doubt, too.

Unread: what a repeated request_id answers, and the codes from 30020 on, of which a client says that there are some.
"""

from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.vendors.delivery_spec import Accepted, InvalidIds, Payload, Rejected, Response, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.reply_checks import (
    ContradictoryReply,
    accept,
    doubt_contradictions,
    is_success,
    read_code,
    read_id,
)

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
SENT_STATUSES = ("successed_online", "successed_offline")
SUCCESS_CODES = (0, "0")
INACTIVE, UNKNOWN = "successed_ignore", "target user is invalid"
WRONG_PARAMETER, UNKNOWN_TARGET = "20001", BY_CODE["20001-USER"]
NOTHING_TO_WITHDRAW = ("22001", "22002", WRONG_PARAMETER)  # it was sent, or there is no such task


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response to a push to cids, and name those that get nothing.

    >>> parse_reply(Response(200, b'{"code":0,"msg":"","data":{"T1":{"a":"successed_online","b":"successed_ignore"}}}'))
    Accepted(message_id='T1', invalid_ids=('b',))
    """
    payload = parse_json_body(response)
    task, statuses = _read_task(payload)
    if not task:
        return _read_error(payload, response)
    unreached = tuple(cid for cid, status in statuses.items() if status not in SENT_STATUSES)
    accepted = accept(response, task, read_code(payload.get("code")), unreached)
    return replace(accepted, answered_ids=frozenset(statuses))


@doubt_contradictions
def parse_native_reply(response: Response) -> VendorReply:
    """Parse the response to a push to everyone, conditions or aliases, or to a message that is created for lists.

    >>> parse_native_reply(Response(200, b'{"code":0,"msg":"","data":{"taskid":"T1"}}'))
    Accepted(message_id='T1', invalid_ids=())
    """
    payload = parse_json_body(response)
    task, statuses = _read_task(payload)
    if not task:
        return _read_error(payload, response)
    accepted = accept(response, task, read_code(payload.get("code")))
    if statuses and not any(status in SENT_STATUSES for status in statuses.values()):
        return reply_from_code(UNKNOWN_TARGET, ", ".join(sorted(set(statuses.values()))), response)
    return accepted


def _read_task(payload: Payload) -> tuple[str, dict[str, str]]:
    """Return the id of the task that a reply has, and the status of each cid; an empty id if there is none.

    Raises ContradictoryReply for several tasks, and for statuses that are not texts, on no page, or none at all.
    """
    data = payload.get("data")
    if data is None or data == {} or data == "":
        return "", {}
    if not isinstance(data, dict) or len(data) != 1:
        raise ContradictoryReply("its data is not one task")
    [(name, value)] = data.items()
    if name == "taskid":
        return read_id(value), {}
    statuses = dict(_list_statuses(value))
    if not statuses or not {*statuses.values()} <= {*SENT_STATUSES, INACTIVE, UNKNOWN}:
        raise ContradictoryReply("it has statuses of devices that no page has, or none")
    return read_id(name), statuses


def _list_statuses(value: Any) -> list[tuple[str, str]]:
    """Return the (cid, status) pairs of a task; those of an alias are one object deeper."""
    if not isinstance(value, dict):
        raise ContradictoryReply("its statuses are no object")
    pairs: list[tuple[str, str]] = []
    for name, status in value.items():
        if isinstance(status, dict):
            pairs += [(str(cid), str(each)) for cid, each in status.items()]
        elif isinstance(status, str):
            pairs.append((name, status))
        else:
            raise ContradictoryReply("a status is not a text")
    return pairs


def _read_error(payload: Payload, response: Response) -> VendorReply:
    """Return the reply that has no task; without a known code its HTTP status decides."""
    code, text = read_code(payload.get("code")), str(payload.get("msg") or "")
    if code == WRONG_PARAMETER and UNKNOWN in text and response.status == HTTPStatus.BAD_REQUEST:
        return reply_from_code(UNKNOWN_TARGET, text, response)
    if payload.get("code") in SUCCESS_CODES and 400 <= response.status < 500:
        raise ContradictoryReply("its code says that all is well")
    row = BY_CODE.get(code)
    if row is None:
        return reply_from_status(response, f"{code} {text}".strip() if code else "")
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ContradictoryReply(f"its code {code} is not one of a failing server")
    return reply_from_code(row, text, response)


@doubt_contradictions
def parse_cancel(response: Response) -> VendorReply:
    """Parse the response to a withdrawal.

    >>> parse_cancel(Response(200, b'{"code": 0, "msg": "success"}'))
    Accepted(message_id='withdrawn', invalid_ids=())
    """
    payload = parse_json_body(response)
    code, text = read_code(payload.get("code")), str(payload.get("msg") or "")
    if is_success(response) and payload.get("code") in SUCCESS_CODES:
        return Accepted("withdrawn")
    if code in NOTHING_TO_WITHDRAW and response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Rejected(Problem("rejected", f"{code} {text!r}", hint="stop the task in Getui's console"))
    reply = _read_error(payload, response)
    return Rejected(reply.problem) if isinstance(reply, InvalidIds) else reply
