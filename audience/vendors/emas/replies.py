"""Replies of EMAS: the id of the message, or an error code of the table `codes.tsv`.

Sources: https://help.aliyun.com/document_detail/48089.html, https://help.aliyun.com/document_detail/2986003.html and
https://help.aliyun.com/document_detail/434846.html, read 2026-11-21.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from audience.vendors.delivery_spec import ErrorCode, Response, Retryable, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.reply_checks import accept, doubt_contradictions, read_code, read_id, read_ids
from audience.vendors.spec import Payload

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
MAX_VENDOR_MESSAGE_CHARS = 300  # the reply to a wrong signature repeats everything that was signed


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response to a push.

    >>> parse_reply(Response(200, b'{"MessageId": "501029", "RequestId": "9998B3CC"}'))
    Accepted(message_id='501029', invalid_ids=())
    """
    payload = parse_json_body(response)
    return _build_reply(response, payload, read_id(payload.get("MessageId")))


@doubt_contradictions
def parse_mass_reply(response: Response) -> VendorReply:
    """Parse the response to many tasks; an Accepted has the ids of all messages, joined by commas.

    >>> response = Response(200, b'{"MessageIds": {"MessageId": ["1", "2"]}, "RequestId": "9998B3CC"}')
    >>> parse_mass_reply(response).message_id
    '1,2'
    """
    payload = parse_json_body(response)
    message_ids = payload.get("MessageIds")
    ids = message_ids.get("MessageId") if isinstance(message_ids, dict) else message_ids
    return _build_reply(response, payload, read_ids(ids) if isinstance(ids, list) else read_id(ids))


def parse_cancel_reply(response: Response) -> VendorReply:
    """Parse the response to CancelPush, which names its request alone; an Accepted has that.

    >>> parse_cancel_reply(Response(200, b'{"RequestId": "9998B3CC"}'))
    Accepted(message_id='9998B3CC', invalid_ids=())
    """
    payload = parse_json_body(response)
    return _build_reply(response, payload, "" if "Code" in payload else read_id(payload.get("RequestId")))


def _build_reply(response: Response, payload: Payload, message_id: str) -> VendorReply:
    code = read_code(payload.get("Code"))
    return (
        accept(response, message_id, code) if message_id else build_error_reply(response, payload, CODES_BY_SPECIFICITY)
    )


def build_error_reply(response: Response, payload: Payload, rows: Sequence[ErrorCode]) -> VendorReply:
    """Build the reply to the error of *payload*, by *rows* in the order of `sort_by_specificity`."""
    code, message = read_code(payload.get("Code")), str(payload.get("Message") or "")[:MAX_VENDOR_MESSAGE_CHARS]
    row = find_code(code, rows)
    if row is None:
        return reply_from_status(response, f"{code} {message}".strip())
    reply = reply_from_code(replace(row, code=code), message, response)
    if isinstance(reply, Retryable) and reply.retry_after is None:
        return Retryable(reply.problem, _parse_acs_retry_after(response))
    return reply


def find_code(code: str, rows: Sequence[ErrorCode]) -> ErrorCode | None:
    """Return the first of *rows* that fits *code*.

    >>> titles = find_code("InvalidTitle.BytesExceed", CODES_BY_SPECIFICITY)
    >>> targets = find_code("InvalidTargetValue.BytesExceed", CODES_BY_SPECIFICITY)
    >>> titles.code, targets.code, find_code("Nobody.Knows", CODES_BY_SPECIFICITY)
    ('Invalid*.BytesExceed', 'InvalidTargetValue.*', None)
    """
    return next((row for row in rows if fnmatchcase(code, row.code)), None)


def sort_by_specificity(codes: Iterable[ErrorCode]) -> tuple[ErrorCode, ...]:
    """Sort codes: those without a `*` first, then patterns by the length of the part before it, the longest first."""
    return tuple(sorted(codes, key=lambda row: ("*" in row.code, -row.code.find("*"))))


CODES_BY_SPECIFICITY = sort_by_specificity(CODES)


def _parse_acs_retry_after(response: Response) -> float | None:
    """Return the seconds of the header that the official SDK reads, which has milliseconds."""
    header = response.headers.get("x-acs-retry-after", "").strip()
    return float(header) / 1000 or None if header.isascii() and header.isdigit() else None
