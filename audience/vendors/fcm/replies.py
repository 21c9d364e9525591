"""Replies of FCM to a message.

Sources: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode and
https://firebase.google.com/docs/cloud-messaging/error-codes. A malformed token and a malformed message have the same
code: the one has a detail of the type FcmError, the other names the field. Programs that have dropped a device for any
400 have lost good ones: https://github.com/xtrinch/fcm-django/issues/223.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.vendors.delivery_spec import Fatal, Payload, Response, Retryable, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.fcm.access import is_refused
from audience.vendors.reply_checks import ContradictoryReply, accept, doubt_contradictions, read_code, read_id

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
WRONG_ARGUMENT = "INVALID_ARGUMENT"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
NAME_PATTERN = re.compile(r"projects/[^/]+/messages/([^/]+)")
ABOUT_TOKEN_PATTERN = re.compile(r"registration|\btoken\b|\bfid\b|installation", re.IGNORECASE)
TOKEN_FIELDS = ("message.token", "message.fid")
QUOTA_SECONDS = 60.0  # to wait after 429 without Retry-After: the error's page says one minute at the least


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response to a message; its id is the last part of its name.

    >>> parse_reply(Response(200, b'{"name": "projects/p1/messages/0:1500415314455276%31bd1c9631bd1c96"}')).message_id
    '0:1500415314455276%31bd1c9631bd1c96'
    """
    payload = parse_json_body(response)
    error = payload.get("error")
    details: Payload = error if isinstance(error, dict) else {}
    code, text = find_code(details), str(details.get("message") or "")
    if payload.get("name"):
        return accept(response, _read_name(payload["name"]), code or ("error" if error else ""))
    row = BY_CODE.get(code)
    if row is None and is_refused(response):
        problem = Problem("retryable", f"HTTP {response.status} {text!r}", hint="check the role of the service account")
        return Retryable(problem)
    if row is None:
        explanation = f"{read_code(details.get('status'))} {text}".strip()
        return _with_delay(reply_from_status(response, explanation))
    if code == WRONG_ARGUMENT and not _is_about_token(details, text):
        message = f"{code} {text!r}: the message is not valid"
        return Fatal(Problem("fatal", message, hint="correct the message, and try a dry run with --validate"))
    return _with_delay(reply_from_code(row, text, response))


def find_code(error: Payload) -> str:
    """Return the code of FCM in *error*, or the status of Google's gateway if that is a code, too; otherwise "".

    >>> find_code({"status": "NOT_FOUND", "details": [{"@type": FCM_ERROR, "errorCode": "UNREGISTERED"}]})
    'UNREGISTERED'
    """
    codes = [detail.get("errorCode") for detail in _iter_details(error) if detail.get("@type") == FCM_ERROR]
    code = read_code(*codes)
    status = read_code(error.get("status"))
    return code or (status if status in (WRONG_ARGUMENT, "UNAVAILABLE", "INTERNAL") else "")


def _is_about_token(error: Payload, text: str) -> bool:
    """Return whether the token is to blame, and not the message, which all other devices would get as well."""
    for detail in _iter_details(error):
        violations = detail.get("fieldViolations")
        fields = [each.get("field") for each in violations if isinstance(each, dict)] if violations else []
        if fields:
            return all(field in TOKEN_FIELDS for field in fields)
    has_code = any(detail.get("@type") == FCM_ERROR for detail in _iter_details(error))
    return has_code and ABOUT_TOKEN_PATTERN.search(text) is not None


def _iter_details(error: Payload) -> Iterator[Payload]:
    details = error.get("details")
    yield from (each for each in (details if isinstance(details, list) else []) if isinstance(each, dict))


def _read_name(name: Any) -> str:
    match = NAME_PATTERN.fullmatch(read_id(name))
    if match is None:
        raise ContradictoryReply("its name of the message is not projects/…/messages/…")
    return match[1]


def _with_delay(reply: VendorReply) -> VendorReply:
    if isinstance(reply, Retryable) and reply.retry_after is None:
        return replace(reply, retry_after=QUOTA_SECONDS)
    return reply
