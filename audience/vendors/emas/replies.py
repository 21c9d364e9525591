"""Replies of EMAS: the id of the message, or an error code of the table `codes.tsv`.

Sources: https://help.aliyun.com/document_detail/48089.html, https://help.aliyun.com/document_detail/2986003.html and
https://help.aliyun.com/document_detail/434846.html, read 2026-11-21.
"""

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from audience.vendors.delivery_spec import Accepted, ErrorCode, Response, Retryable, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
MAX_VENDOR_MESSAGE_CHARS = 300  # the reply to a wrong signature repeats everything that was signed


def parse_reply(response: Response) -> VendorReply:
    """Parse the response to a push.

    >>> parse_reply(Response(200, b'{"MessageId": "501029", "RequestId": "9998B3CC"}'))
    Accepted(message_id='501029', invalid_ids=())
    """
    return _build_reply(response, parse_json_body(response).get("MessageId"))


def parse_mass_reply(response: Response) -> VendorReply:
    """Parse the response to many tasks; an Accepted has the ids of all messages, joined by commas.

    >>> response = Response(200, b'{"MessageIds": {"MessageId": ["1", "2"]}, "RequestId": "9998B3CC"}')
    >>> parse_mass_reply(response).message_id
    '1,2'
    """
    message_ids = parse_json_body(response).get("MessageIds")
    ids = message_ids.get("MessageId") if isinstance(message_ids, dict) else message_ids
    return _build_reply(response, ",".join(map(str, ids)) if isinstance(ids, list) else None)


def _build_reply(response: Response, message_id: Any) -> VendorReply:
    if response.status == 200 and message_id and isinstance(message_id, str | int):
        return Accepted(str(message_id))
    payload = parse_json_body(response)
    code, message = str(payload.get("Code") or ""), str(payload.get("Message") or "")[:MAX_VENDOR_MESSAGE_CHARS]
    row = find_code(code)
    if row is None:
        return reply_from_status(response, f"{code} {message}".strip())
    reply = reply_from_code(replace(row, code=code), message, response)
    if isinstance(reply, Retryable) and reply.retry_after is None:
        return Retryable(reply.problem, _parse_acs_retry_after(response))
    return reply


def find_code(code: str) -> ErrorCode | None:
    """Return the row of *code*: an exact match, or else the pattern with the longest part before its `*`.

    >>> find_code("InvalidTitle.BytesExceed").code, find_code("InvalidTargetValue.BytesExceed").code
    ('Invalid*.BytesExceed', 'InvalidTargetValue.*')
    >>> find_code("Nobody.Knows")
    """
    return next((row for row in _CODES_BY_SPECIFICITY if fnmatchcase(code, row.code)), None)


_CODES_BY_SPECIFICITY = sorted(CODES, key=lambda row: ("*" in row.code, -row.code.find("*")))


def _parse_acs_retry_after(response: Response) -> float | None:
    """Return the seconds of the header that the official SDK reads, which has milliseconds."""
    header = response.headers.get("x-acs-retry-after", "").strip()
    return float(header) / 1000 or None if header.isascii() and header.isdigit() else None
