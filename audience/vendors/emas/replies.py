"""What EMAS answers: an id of the message, or an error code of the table `codes.tsv`.

https://help.aliyun.com/document_detail/48089.html, https://help.aliyun.com/document_detail/2986003.html and
https://help.aliyun.com/document_detail/434846.html, read 2026-11-21.
"""

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from audience.vendors.delivery_spec import Accepted, Again, Code, Reply, Response
from audience.vendors.error_codes import coded, codes, said, uncoded

CODES = codes(Path(__file__).with_name("codes.tsv"))
WORDS = 300  # characters of the vendor's words; a wrong signature is answered with all that was signed


def reply(response: Response) -> Reply:
    """What *response* to a push means.

    >>> reply(Response(200, b'{"MessageId": "501029", "RequestId": "9998B3CC"}'))
    Accepted(message='501029', left_out=())
    """
    return _reply(response, said(response).get("MessageId"))


def mass_reply(response: Response) -> Reply:
    """What *response* to many tasks means; Accepted has the ids of all their messages, joined by commas.

    >>> mass_reply(Response(200, b'{"MessageIds": {"MessageId": ["1", "2"]}, "RequestId": "9998B3CC"}')).message
    '1,2'
    """
    found = said(response).get("MessageIds")
    ids = found.get("MessageId") if isinstance(found, dict) else found
    return _reply(response, ",".join(map(str, ids)) if isinstance(ids, list) else None)


def _reply(response: Response, message: Any) -> Reply:
    if response.status == 200 and message and isinstance(message, str | int):
        return Accepted(str(message))
    answer = said(response)
    code, words = str(answer.get("Code") or ""), str(answer.get("Message") or "")[:WORDS]
    row = find(code)
    if row is None:
        return uncoded(response, f"{code} {words}".strip())
    found = coded(replace(row, code=code), words, response)
    if isinstance(found, Again) and found.after is None:
        return Again(found.problem, _rest(response))
    return found


def find(code: str) -> Code | None:
    """The row for *code*: the one that is written so, or else the one that has most of it before its `*`.

    >>> find("InvalidTitle.BytesExceed").code, find("InvalidTargetValue.BytesExceed").code, find("Nobody.Knows")
    ('Invalid*.BytesExceed', 'InvalidTargetValue.*', None)
    """
    return next((row for row in _ROWS if fnmatchcase(code, row.code)), None)


_ROWS = sorted(CODES, key=lambda row: ("*" in row.code, -row.code.find("*")))


def _rest(response: Response) -> float | None:
    """The milliseconds in the header that the official SDK looks at, in seconds."""
    rest = response.headers.get("x-acs-retry-after", "").strip()
    return float(rest) / 1000 or None if rest.isascii() and rest.isdigit() else None
