"""Replies of Braze to messages, to messages that it keeps, and to withdrawals.

Source: https://www.braze.com/docs/api/errors. A call that was taken says "success"; its `dispatch_id`, or the
`schedule_id` of one that Braze keeps, comes beside it. Success says nothing of users whom Braze does not know, or who
have no device. Errors beside success concern some messages of the call, which are not named: the others are delivered,
so that the call is in doubt. A 400 has one of the page's texts, or another one; none of its messages is sent.

The page says that a failing server, 5XX, has sent nothing either, and that 504 is a server that heard nothing from
another one. Both cannot be known: such a call is in doubt. An older form of the page had 202 with the word "queued",
for calls that wait until a maintenance ends, and no id: they are in doubt, too.
"""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from time import time
from typing import Any

from audience.errors import Problem
from audience.vendors.delivery_spec import ErrorCode, InDoubt, Payload, Rejected, Response, Retryable, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.reply_checks import (
    LOOK_IT_UP,
    ContradictoryReply,
    accept,
    doubt_contradictions,
    is_success,
    read_id,
)

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
TEXTS: Mapping[str, ErrorCode] = {  # of the page, in lower case and without its blanks
    code.code.partition("-")[2].replace("-", "").lower(): code for code in CODES if code.code.startswith("400-")
}
SUCCESS, QUEUED = "success", "queued"
UNNAMED = "success-without-dispatch-id"  # of a call that says no more than the page on errors prints
RESET_HEADER = "x-ratelimit-reset"
ACCESS_DENIED, SOME_FAILED = BY_CODE["403-Access-Denied"], BY_CODE["success-with-errors"]


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response to a message.

    >>> parse_reply(Response(201, b'{"dispatch_id": "d1", "errors": [], "message": "success"}')).message_id
    'd1'
    >>> parse_reply(Response(400, b'{"message": "No Recipients"}')).problem.message
    "400-No-Recipients 'No Recipients': there are no users in the request, or none that has a device"
    """
    payload = parse_json_body(response)
    schedule_id, dispatch_id = read_id(payload.get("schedule_id")), read_id(payload.get("dispatch_id"))
    if payload.get("message") == SUCCESS:
        return _read_success(response, payload, schedule_id or dispatch_id or UNNAMED)
    if schedule_id or dispatch_id:
        raise ContradictoryReply("it has an id of the message, and does not say success")
    return read_refusal(response, payload)


def _read_success(response: Response, payload: Payload, message_id: str) -> VendorReply:
    errors = read_errors(payload)
    if errors and is_success(response):
        return reply_from_code(SOME_FAILED, errors, response)
    return accept(response, message_id, errors)


def read_errors(payload: Payload) -> str:
    """Return the texts of `errors` and of `error`, of a list or alone.

    >>> read_errors({"errors": ["a", {"b": 1}], "error": "c"}), read_errors({"errors": []})
    ("a; {'b': 1}; c", '')
    """
    listed: Any = payload.get("errors") or []
    texts = listed if isinstance(listed, list) else [listed]
    return "; ".join(map(str, [*texts, *([payload["error"]] if payload.get("error") else [])]))


def read_refusal(response: Response, payload: Payload) -> VendorReply:
    """Return the reply that says no; its text, or else its HTTP status, decides."""
    message = payload.get("message")
    text = message if isinstance(message, str) and message else read_errors(payload)
    if is_success(response) or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        if message == QUEUED:
            return InDoubt(Problem("in-doubt", "HTTP 202 'queued': not looked at yet", hint=LOOK_IT_UP))
        return reply_from_status(response, text)
    row = _find_code(response.status, text)
    reply = reply_from_status(response, text) if row is None else reply_from_code(row, text, response)
    if isinstance(reply, Retryable) and reply.retry_after is None:
        return Retryable(reply.problem, read_reset(response))
    return reply


def _find_code(status: int, text: str) -> ErrorCode | None:
    plain = "".join(char for char in text.lower() if char.isalnum() or char == "_")
    if status == HTTPStatus.BAD_REQUEST:
        return next((code for words, code in TEXTS.items() if words in plain), BY_CODE["400"])
    if status == HTTPStatus.FORBIDDEN and "accessdenied" in plain:
        return ACCESS_DENIED
    return BY_CODE.get(str(status))


def read_reset(response: Response) -> float | None:
    """Return the seconds until the limit begins again, which Braze says as Unix time; None without the header.

    >>> read_reset(Response(429, b"", {"x-ratelimit-reset": "0"})), read_reset(Response(429, b""))
    (0.0, None)
    """
    header = response.headers.get(RESET_HEADER, "").strip()
    is_number = header.isascii() and header.isdigit() and len(header) <= 12
    return max(0.0, int(header) - time()) if is_number else None


@doubt_contradictions
def parse_cancel(response: Response) -> VendorReply:
    """Parse the response to a withdrawal; what a 400 to it says is on no page, so that it is no success.

    >>> parse_cancel(Response(201, b'{"message": "success"}'))
    Accepted(message_id='withdrawn', invalid_ids=())
    """
    payload = parse_json_body(response)
    if payload.get("message") == SUCCESS:
        return accept(response, "withdrawn", read_errors(payload))
    if response.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND):
        text = payload.get("message") or read_errors(payload)
        message = f"HTTP {response.status} {text!r:.200}: there is no such schedule, or it was sent"
        return Rejected(Problem("rejected", message))
    return read_refusal(response, payload)
