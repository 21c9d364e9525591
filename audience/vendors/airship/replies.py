"""Replies of Airship to pushes, to schedules, to checks and to withdrawals.

A push that was taken has `push_ids`, one for each push of the call; a schedule has `schedule_ids` instead. The calls
of both are checked as a whole before any of it is done: https://docs.airship.com/developer/rest-api/ua/introduction,
"Validation". Ids of devices are not looked up then, so that unknown ones are never named:
https://support.airship.com/hc/en-us/articles/213491283. An error has a code of five digits, its HTTP status and two
more, which the pages list in part; a code that they do not list is read by its status. 401 is plain text.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.vendors.delivery_spec import ErrorCode, Payload, Rejected, Response, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.reply_checks import (
    ContradictoryReply,
    accept,
    doubt_contradictions,
    is_success,
    read_code,
    read_ids,
)
from audience.vendors.schema_check import get_in

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
INVALID_AUDIENCE = "400-AUDIENCE"
AUDIENCE_PATH = re.compile(r"(^|[.\]/])audience\b")


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response to pushes or to schedules.

    >>> parse_reply(Response(202, b'{"ok": true, "push_ids": ["fedb72aa", "0492662a"]}'))
    Accepted(message_id='fedb72aa,0492662a', invalid_ids=())
    >>> parse_reply(Response(201, b'{"ok": true, "schedule_ids": ["2d69320c"]}')).message_id
    '2d69320c'
    """
    payload = parse_json_body(response)
    lists = [ids for name in ("push_ids", "schedule_ids") if (ids := payload.get(name))]
    if len(lists) > 1 or not all(isinstance(ids, list) for ids in lists):
        raise ContradictoryReply("its ids are not one list")
    if lists:
        return accept(response, read_ids(lists[0]), _read_contradiction(payload))
    return read_error(response, payload, BY_CODE)


@doubt_contradictions
def parse_check(response: Response) -> VendorReply:
    """Parse the response to a check of a push, which sends nothing.

    >>> parse_check(Response(200, b'{"ok": true}'))
    Accepted(message_id='checked', invalid_ids=())
    """
    payload = parse_json_body(response)
    if payload.get("ok") is True:
        return accept(response, "checked", _read_contradiction(payload))
    return read_error(response, payload, BY_CODE)


@doubt_contradictions
def parse_cancel(response: Response) -> VendorReply:
    """Parse the response to the withdrawal of a schedule, which has no body if it succeeds.

    A schedule that is not found was withdrawn by an earlier call whose reply was lost, or has been sent. The reply does
    not say which, so that it does not count as a success.

    >>> parse_cancel(Response(204, b""))
    Accepted(message_id='withdrawn', invalid_ids=())
    """
    payload = parse_json_body(response)
    if response.status == HTTPStatus.NO_CONTENT:
        return accept(response, "withdrawn", _read_contradiction(payload))
    if response.status == HTTPStatus.NOT_FOUND:
        text = _read_text(payload)
        return Rejected(Problem("rejected", f"HTTP 404 {text!r}: there is no such schedule, or it was sent"))
    return read_error(response, payload, BY_CODE)


def _read_contradiction(payload: Payload) -> str:
    """Return what speaks against a reply that says yes; an empty string if nothing does."""
    code = read_code(payload.get("error_code"))
    says_no = payload.get("error") or get_in(payload, "details").get("error") or payload.get("ok", True) is not True
    return code or ("error" if says_no else "")


def read_error(response: Response, payload: Payload, codes: Mapping[str, ErrorCode]) -> VendorReply:
    """Return the reply that says no, of calls with *codes*; without one of them its HTTP status decides."""
    code, text = read_code(payload.get("error_code")), _read_text(payload)
    if is_success(response) or response.status >= 500:
        return reply_from_status(response, f"{code} {text}".strip())
    if payload.get("ok") is True:
        raise ContradictoryReply("it says that all is well")
    row = codes.get(code)
    if _is_about_audience(response, payload) and (row is None or row.outcome == "fatal"):
        return reply_from_code(codes[INVALID_AUDIENCE], text, response)
    row = row or codes.get(str(response.status))
    return reply_from_status(response, text) if row is None else reply_from_code(row, text, response)


def _is_about_audience(response: Response, payload: Payload) -> bool:
    """Return whether a call was refused for something in its audience."""
    path = get_in(payload, "details").get("path")
    return response.status == HTTPStatus.BAD_REQUEST and isinstance(path, str) and bool(AUDIENCE_PATH.search(path))


def _read_text(payload: Payload) -> str:
    """Return the texts of an error, and where it is."""
    details = get_in(payload, "details")
    texts: list[Any] = [payload.get("error"), details.get("error"), details.get("path")]
    return ": ".join(text for text in texts if isinstance(text, str) and text)
