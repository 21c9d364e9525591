"""Error codes of a vendor, from the table `codes.tsv` in its folder, and the replies they lead to."""

import csv
import json
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from time import time
from typing import Any, cast, get_args

from audience.errors import Problem
from audience.vendors.delivery_spec import (
    ErrorCode,
    Fatal,
    InDoubt,
    InvalidIds,
    Outcome,
    Rejected,
    Response,
    Retryable,
    VendorReply,
)
from audience.vendors.reply_checks import LOOK_IT_UP, ContradictoryReply, load_strict_json

OUTCOMES = get_args(Outcome)


def load_codes(file: Path) -> tuple[ErrorCode, ...]:
    """Load a tab-separated table with the columns code, outcome, meaning, advice and source.

    Raises:
        ValueError: An outcome is unknown, or a code is listed twice.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True))
    codes = tuple(_parse_code_row(row) for row in rows)
    if len({code.code for code in codes}) < len(codes):
        raise ValueError(f"{file}: a code is listed twice")
    return codes


def _parse_code_row(row: dict[str, str]) -> ErrorCode:
    if row["outcome"] not in OUTCOMES:
        raise ValueError(f"{row['code']}: expected one of {', '.join(OUTCOMES)}, found {row['outcome']!r}")
    return ErrorCode(row["code"], cast(Outcome, row["outcome"]), row["meaning"], row["advice"], row["source"])


def parse_json_body(response: Response) -> dict[str, Any]:
    """Parse the JSON object in *response*; anything else gives an empty one. Unpaired surrogates become `?`.

    Raises ContradictoryReply if it says two things at once; `doubt_contradictions` turns that into InDoubt.

    >>> parse_json_body(Response(200, b'{"msg_id": "1"}')), parse_json_body(Response(502, b"<html>"))
    ({'msg_id': '1'}, {})
    """
    try:
        payload = load_strict_json(response.content)
        if b"\\" in response.content or not response.content.isascii():  # only then it may have a surrogate
            payload = load_strict_json(json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace"))
    except ContradictoryReply:
        raise
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def reply_from_code(code: ErrorCode, vendor_message: str, response: Response, ids: Sequence[str] = ()) -> VendorReply:
    """Build the reply to *code*, with the vendor's message and ours; *ids* are those it rejects."""
    message = f"{code.code} {vendor_message!r}: {code.meaning}" if vendor_message else f"{code.code} {code.meaning}"
    problem = Problem(code.outcome, message, hint=code.advice or None)
    match code.outcome:
        case "invalid-ids":
            return InvalidIds(problem, tuple(ids))
        case "rejected":
            return Rejected(problem)
        case "retryable":
            return Retryable(problem, parse_retry_after(response))
        case "fatal":
            return Fatal(problem)
    return InDoubt(problem)


def reply_from_status(response: Response, vendor_message: str = "") -> VendorReply:
    """Build the reply to an HTTP status, for a response without a known error code.

    A client error means that nothing was delivered. Any other status leaves that in doubt.

    >>> [type(reply_from_status(Response(status, b""))).__name__ for status in (200, 401, 429, 408, 503)]
    ['InDoubt', 'Fatal', 'Retryable', 'InDoubt', 'InDoubt']
    """
    status = response.status
    shown = vendor_message or response.content[:200].decode("utf-8", "replace") or _status_phrase(status)
    message = f"HTTP {status} {shown!r}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Retryable(Problem("retryable", message, hint="make fewer calls a second"), parse_retry_after(response))
    if 300 <= status < 500 and status != HTTPStatus.REQUEST_TIMEOUT:
        return Fatal(Problem("fatal", message, hint="check the host, its data centre, and the keys"))
    return InDoubt(Problem("in-doubt", message, hint=LOOK_IT_UP))


def parse_retry_after(response: Response) -> float | None:
    """Return the seconds to wait by the header Retry-After, a number or a date; None without a valid one.

    Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after

    >>> parse_retry_after(Response(429, b"", {"retry-after": "3"})), parse_retry_after(Response(429, b""))
    (3.0, None)
    >>> parse_retry_after(Response(429, b"", {"retry-after": "Sat, 21 Nov 2020 08:00:00 GMT"}))
    0.0
    """
    header = response.headers.get("retry-after", "").strip()
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except (ValueError, TypeError, OverflowError):
        return None


def _status_phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "without a reason"
