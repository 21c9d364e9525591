"""A vendor's error codes, from the table `codes.tsv` beside its file, and the replies that they make."""

import csv
import json
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast, get_args

from audience.errors import Problem
from audience.vendors.delivery_spec import Again, BadIds, Code, InDoubt, Outcome, Refused, Reply, Response, Stopped

OUTCOMES = get_args(Outcome)


def codes(file: Path) -> tuple[Code, ...]:
    """The rows of *file*, a table with tabs: code, reply, means, do, source.

    Raises ValueError for a reply that there is none of, and for a code that stands twice.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True))
    found = tuple(_code(row) for row in rows)
    if len({code.code for code in found}) < len(found):
        raise ValueError(f"{file}: a code stands twice")
    return found


def _code(row: dict[str, str]) -> Code:
    if row["reply"] not in OUTCOMES:
        raise ValueError(f"{row['code']}: {row['reply']!r} is none of {', '.join(OUTCOMES)}")
    return Code(row["code"], cast(Outcome, row["reply"]), row["means"], row["do"], row["source"])


def said(response: Response) -> dict[str, Any]:
    """The JSON object that *response* holds; an empty one where it holds none. Halves of characters become `?`.

    >>> said(Response(200, b'{"msg_id": "1"}')), said(Response(502, b"<html>"))
    ({'msg_id': '1'}, {})
    """
    try:
        found = json.loads(response.content)
        found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def coded(code: Code, words: str, response: Response, ids: Sequence[str] = ()) -> Reply:
    """The reply that *code* makes, in the vendor's *words* and ours; *ids* are those that it names as bad."""
    spoken = f"{code.code} {words!r}: {code.means}" if words else f"{code.code} {code.means}"
    problem = Problem(code.reply, spoken, hint=code.do or None)
    match code.reply:
        case "bad-ids":
            return BadIds(problem, tuple(ids))
        case "refused":
            return Refused(problem)
        case "again":
            return Again(problem, retry_after(response))
        case "stopped":
            return Stopped(problem)
    return InDoubt(problem)


def uncoded(response: Response, words: str = "") -> Reply:
    """The reply that the HTTP status alone makes, without a code that is known.

    What the server says to be the client's fault has told nobody; of anything else that is not known.

    >>> [type(uncoded(Response(status, b""))).__name__ for status in (200, 401, 429, 408, 503)]
    ['InDoubt', 'Stopped', 'Again', 'InDoubt', 'InDoubt']
    """
    status = response.status
    shown = words or response.content[:200].decode("utf-8", "replace") or _phrase(status)
    message = f"HTTP {status} {shown!r}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Again(Problem("again", message, hint="fewer calls a second"), retry_after(response))
    if 300 <= status < 500 and status != HTTPStatus.REQUEST_TIMEOUT:
        return Stopped(Problem("stopped", message, hint="look at the host, its data centre, and the keys"))
    return InDoubt(Problem("in-doubt", message, hint="ask the vendor's console whether it was taken"))


def retry_after(response: Response) -> float | None:
    """The seconds that the header Retry-After names, if it does.

    >>> retry_after(Response(429, b"", {"retry-after": "3"})), retry_after(Response(429, b""))
    (3.0, None)
    """
    value = response.headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() else None


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "without words"
