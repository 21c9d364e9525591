"""Replies of Umeng to casts, uploads and withdrawals.

Source: the page https://dev.umeng.com/push/android/api-doc, of which a copy was read. A success is HTTP 200 with
`"ret": "SUCCESS"` and an id: the text names `msg_id` for casts to named devices and `task_id` for tasks, the samples
have msg_id for all of them. A failure is HTTP 400 with `"ret": "FAIL"` and a code. What a repeat of an `out_biz_no` is
answered is in no page, and it may be a code that is not listed: a failure whose code is unknown leaves in doubt whether
its message was delivered.
"""

from http import HTTPStatus
from pathlib import Path

from audience.errors import Problem
from audience.vendors.delivery_spec import InDoubt, Payload, Rejected, Response, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.reply_checks import (
    LOOK_IT_UP,
    ContradictoryReply,
    accept,
    doubt_contradictions,
    read_code,
    read_id,
)
from audience.vendors.schema_check import get_in

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
SUCCESS = "SUCCESS"
NOT_WITHDRAWN = ("1014", "1028")  # there is no such task, or all of it was delivered


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response to a cast.

    >>> parse_reply(Response(200, b'{"ret": "SUCCESS", "data": {"task_id": "us123"}}'))
    Accepted(message_id='us123', invalid_ids=())
    """
    payload = parse_json_body(response)
    data = get_in(payload, "data")
    ids = {each for each in (read_id(data.get("task_id")), read_id(data.get("msg_id"))) if each}
    if len(ids) > 1:
        raise ContradictoryReply("it has two ids of the message")
    return _build_reply(response, payload, ids.pop() if ids else "")


@doubt_contradictions
def parse_upload_reply(response: Response) -> VendorReply:
    """Parse the response to an upload.

    >>> parse_upload_reply(Response(200, b'{"ret": "SUCCESS", "data": {"file_id": "PF8961384936199949"}}')).message_id
    'PF8961384936199949'
    """
    payload = parse_json_body(response)
    return _build_reply(response, payload, read_id(get_in(payload, "data").get("file_id")))


@doubt_contradictions
def parse_cancel(response: Response) -> VendorReply:
    """Parse the response to a withdrawal.

    >>> parse_cancel(Response(200, b'{"ret": "SUCCESS", "data": {"task_id": "us123"}}'))
    Accepted(message_id='withdrawn', invalid_ids=())
    """
    payload = parse_json_body(response)
    data = get_in(payload, "data")
    code = read_code(data.get("error_code"))
    if code in NOT_WITHDRAWN and payload.get("ret") != SUCCESS and response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Rejected(Problem("rejected", f"{code} {str(data.get('error_msg') or '')!r}"))
    return _build_reply(response, payload, "withdrawn" if payload.get("ret") == SUCCESS else "")


def _build_reply(response: Response, payload: Payload, result: str) -> VendorReply:
    """Build the reply to *response*: accepted with its *result*, or what its error means."""
    ret, data = payload.get("ret"), get_in(payload, "data")
    code, text = read_code(data.get("error_code")), str(data.get("error_msg") or "")
    if result and ret == SUCCESS:
        return accept(response, result, code)
    if (ret == SUCCESS and code) or result:
        raise ContradictoryReply("it says both success and failure")
    shown = f"{code} {text}".strip() if code else ""
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or ret == SUCCESS:
        return _doubt(response, shown)
    if row := BY_CODE.get(code):
        return reply_from_code(row, text, response)
    return _doubt(response, shown) if code else reply_from_status(response, shown)


def _doubt(response: Response, shown: str) -> InDoubt:
    shown = shown or response.content[:200].decode("utf-8", "replace") or "without a reason"
    return InDoubt(Problem("in-doubt", f"HTTP {response.status} {shown!r}", hint=LOOK_IT_UP))
