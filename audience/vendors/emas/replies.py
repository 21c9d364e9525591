"""What EMAS answers: an id of the message, or an error code of the table `codes.tsv`.

https://help.aliyun.com/document_detail/48089.html, https://help.aliyun.com/document_detail/2986003.html and
https://help.aliyun.com/document_detail/434846.html, read 2026-11-21.
"""

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from audience.vendors.delivery_spec import Accepted, ErrorCode, Response, Retryable, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
MAX_VENDOR_MESSAGE_CHARS = (
    300  # characters of the vendor's words; a wrong signature is answered with all that was signed
)


def parse_reply(response: Response) -> VendorReply:
    """What *response* to a push means.

    >>> parse_reply(Response(200, b'{"MessageId": "501029", "RequestId": "9998B3CC"}'))
    Accepted(message_id='501029', invalid_ids=())
    """
    return _build_reply(response, parse_json_body(response).get("MessageId"))


def parse_mass_reply(response: Response) -> VendorReply:
    """What *response* to many tasks means; Accepted has the ids of all their messages, joined by commas.

    >>> response = Response(200, b'{"MessageIds": {"MessageId": ["1", "2"]}, "RequestId": "9998B3CC"}')
    >>> parse_mass_reply(response).message_id
    '1,2'
    """
    found = parse_json_body(response).get("MessageIds")
    ids = found.get("MessageId") if isinstance(found, dict) else found
    return _build_reply(response, ",".join(map(str, ids)) if isinstance(ids, list) else None)


def _build_reply(response: Response, message_id: Any) -> VendorReply:
    if response.status == 200 and message_id and isinstance(message_id, str | int):
        return Accepted(str(message_id))
    answer = parse_json_body(response)
    code, words = str(answer.get("Code") or ""), str(answer.get("Message") or "")[:MAX_VENDOR_MESSAGE_CHARS]
    row = find_code(code)
    if row is None:
        return reply_from_status(response, f"{code} {words}".strip())
    found = reply_from_code(replace(row, code=code), words, response)
    if isinstance(found, Retryable) and found.retry_after is None:
        return Retryable(found.problem, _parse_acs_retry_after(response))
    return found


def find_code(code: str) -> ErrorCode | None:
    """The row for *code*: the one that is written so, or else the one that has most of it before its `*`.

    >>> find_code("InvalidTitle.BytesExceed").code, find_code("InvalidTargetValue.BytesExceed").code
    ('Invalid*.BytesExceed', 'InvalidTargetValue.*')
    >>> find_code("Nobody.Knows")
    """
    return next((row for row in _CODES_BY_SPECIFICITY if fnmatchcase(code, row.code)), None)


_CODES_BY_SPECIFICITY = sorted(CODES, key=lambda row: ("*" in row.code, -row.code.find("*")))


def _parse_acs_retry_after(response: Response) -> float | None:
    """The milliseconds in the header that the official SDK looks at, in seconds."""
    rest = response.headers.get("x-acs-retry-after", "").strip()
    return float(rest) / 1000 or None if rest.isascii() and rest.isdigit() else None
