"""Cursors: where a caller goes on in the devices of an expression, in the same snapshot and at the same moment."""

import base64
import binascii
import json
from dataclasses import asdict, dataclass, fields

from audience._fs.checksums import hash128
from audience.errors import Problem
from audience.server.problems import HttpError


@dataclass(frozen=True, slots=True)
class Cursor:
    """Position in the devices of an expression.

    Attributes:
        index: Name of the index.
        snapshot: Number of the snapshot.
        checksum: Its checksum.
        as_of: Moment of the question, in UTC.
        question: Digest of all else that was asked.
        position: Number of devices before it.
    """

    index: str
    snapshot: int
    checksum: str
    as_of: str
    question: str
    position: int

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(json.dumps([*asdict(self).values()]).encode()).decode().rstrip("=")


def parse_cursor(text: str, index: str, question: str) -> Cursor:
    """Return the cursor of a call for the same index and question.

    Raises:
        HttpError: It is not a cursor, or one of another index or question.

    >>> cursor = Cursor("devices", 3, "5d41", "2026-11-28T01:00:00+00:00", "7f", 100)
    >>> parse_cursor(str(cursor), "devices", "7f") == cursor
    True
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        cursor = Cursor(*values)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise _wrong_cursor_error("this is not a cursor") from None
    if [type(value) for value in values] != [field.type for field in fields(Cursor)] or cursor.position < 0:
        raise _wrong_cursor_error("this is not a cursor")
    if cursor.index != index:
        raise _wrong_cursor_error("the cursor is of another index")
    if cursor.question != question:
        raise _wrong_cursor_error("the cursor is of another question")
    return cursor


def digest_question(*parts: object) -> str:
    """Return a digest of what is asked."""
    return hash128(json.dumps(parts).encode())


def _wrong_cursor_error(message: str) -> HttpError:
    hint = "send the header Audience-Cursor of the last answer, with the same body and to the same address"
    return HttpError(400, Problem("wrong-cursor", message, path="body.cursor", hint=hint))
