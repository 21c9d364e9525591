"""A vendor's error codes, from the table `codes.tsv` beside its file, and the replies that they make."""

import csv
import json
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
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

OUTCOMES = get_args(Outcome)


def load_codes(file: Path) -> tuple[ErrorCode, ...]:
    """The rows of *file*, a table with tabs: code, outcome, meaning, advice, source.

    Raises ValueError for a reply that there is none of, and for a code that stands twice.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True))
    found = tuple(_parse_code_row(row) for row in rows)
    if len({code.code for code in found}) < len(found):
        raise ValueError(f"{file}: a code stands twice")
    return found


def _parse_code_row(row: dict[str, str]) -> ErrorCode:
    if row["outcome"] not in OUTCOMES:
        raise ValueError(f"{row['code']}: {row['outcome']!r} is none of {', '.join(OUTCOMES)}")
    return ErrorCode(row["code"], cast(Outcome, row["outcome"]), row["meaning"], row["advice"], row["source"])


def parse_json_body(response: Response) -> dict[str, Any]:
    """The JSON object that *response* holds; an empty one where it holds none. Halves of characters become `?`.

    >>> parse_json_body(Response(200, b'{"msg_id": "1"}')), parse_json_body(Response(502, b"<html>"))
    ({'msg_id': '1'}, {})
    """
    try:
        found = json.loads(response.content)
        found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def reply_from_code(code: ErrorCode, vendor_message: str, response: Response, ids: Sequence[str] = ()) -> VendorReply:
    """The reply that *code* makes, in the vendor's *words* and ours; *ids* are those that it names as bad."""
    spoken = f"{code.code} {vendor_message!r}: {code.meaning}" if vendor_message else f"{code.code} {code.meaning}"
    problem = Problem(code.outcome, spoken, hint=code.advice or None)
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
    """The reply that the HTTP status alone makes, without a code that is known.

    What the server says to be the client's fault has told nobody; of anything else that is not known.

    >>> [type(reply_from_status(Response(status, b""))).__name__ for status in (200, 401, 429, 408, 503)]
    ['InDoubt', 'Fatal', 'Retryable', 'InDoubt', 'InDoubt']
    """
    status = response.status
    shown = vendor_message or response.content[:200].decode("utf-8", "replace") or _status_phrase(status)
    message = f"HTTP {status} {shown!r}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Retryable(Problem("retryable", message, hint="fewer calls a second"), parse_retry_after(response))
    if 300 <= status < 500 and status != HTTPStatus.REQUEST_TIMEOUT:
        return Fatal(Problem("fatal", message, hint="look at the host, its data centre, and the keys"))
    return InDoubt(Problem("in-doubt", message, hint="ask the vendor's console whether it was taken"))


def parse_retry_after(response: Response) -> float | None:
    """The seconds that the header Retry-After names, if it does.

    >>> parse_retry_after(Response(429, b"", {"retry-after": "3"})), parse_retry_after(Response(429, b""))
    (3.0, None)
    """
    value = response.headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() else None


def _status_phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "without words"
