"""Replies of OneSignal to messages and to withdrawals.

OneSignal has no error codes: an error is an HTTP status and a text, and the codes here are the statuses. A message that
was accepted has an id. A reply of 200 whose id is empty means that nobody got the message. `invalid_player_ids` are
subscriptions that exist and are not subscribed; ids that do not exist are not reported. An alias that is listed as
invalid has a device that is not subscribed, and possibly others that got the message, so it is not an invalid id here.

Sources: https://documentation.onesignal.com/reference/push-notification, of version 11.6 of the vendor's description,
https://documentation.onesignal.com/reference/cancel-message, and docs/DefaultApi.md of OneSignal/onesignal-python-api.
That the text of a malformed id lists ids that are well-formed, too, is in zeyneloz/onesignal-node, issue 67.
"""

import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.vendors.delivery_spec import InvalidIds, Rejected, Response, VendorReply
from audience.vendors.error_codes import load_codes, parse_json_body, reply_from_code, reply_from_status
from audience.vendors.reply_checks import accept, doubt_contradictions, is_success, read_id, read_id_list
from audience.vendors.schema_check import get_in

CODES = load_codes(Path(__file__).with_name("codes.tsv"))
BY_CODE = {code.code: code for code in CODES}
NOT_SENT, MALFORMED_ID = BY_CODE["200"], BY_CODE["400-UUID"]
MALFORMED_ID_TEXT = re.compile(r"Incorrect (subscription|player)_id format", re.IGNORECASE)
NOBODY_SUBSCRIBED = "All included players are not subscribed"
MAX_SHOWN_CHARS = 200  # the text of a malformed id has all ids of the call
CANCEL_REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)  # all of it was sent, or there is no such message


@doubt_contradictions
def parse_reply(response: Response) -> VendorReply:
    """Parse the response to a message.

    >>> parse_reply(Response(200, b'{"id": "m1", "errors": {"invalid_player_ids": ["s7"]}}'))
    Accepted(message_id='m1', invalid_ids=('s7',))
    >>> parse_reply(Response(200, b'{"id": "", "errors": ["All included players are not subscribed"]}')).are_all
    True
    """
    payload = parse_json_body(response)
    message_id, text = read_id(payload.get("id")), read_error_texts(payload.get("errors"))
    unsubscribed = read_id_list(get_in(payload, "errors").get("invalid_player_ids"))
    if message_id:
        return accept(response, message_id, invalid_ids=unsubscribed)
    if is_success(response) and payload.get("id") == "":
        return _read_not_sent(text, unsubscribed, response)
    if response.status == HTTPStatus.BAD_REQUEST and MALFORMED_ID_TEXT.search(text):
        return reply_from_code(MALFORMED_ID, text[:MAX_SHOWN_CHARS], response)
    if is_success(response) or str(response.status) not in BY_CODE:
        return reply_from_status(response, text)
    return reply_from_code(BY_CODE[str(response.status)], text, response)


def _read_not_sent(text: str, unsubscribed: tuple[str, ...], response: Response) -> VendorReply:
    """Return the reply to a message that nobody got: because of ids that are named, of all ids, or of its target."""
    reply = reply_from_code(NOT_SENT, text, response)
    if isinstance(reply, Rejected) and (unsubscribed or text == NOBODY_SUBSCRIBED):
        return InvalidIds(reply.problem, unsubscribed, are_all=not unsubscribed)
    return reply


def read_error_texts(errors: Any) -> str:
    """Return the texts of `errors`, which is a list of texts or of objects with a title, a text, or an object of lists.

    >>> read_error_texts(["a", {"code": "c", "title": "t"}]), read_error_texts("a"), read_error_texts({"b": ["x"]})
    ('a; c: t', 'a', 'b')
    """
    match errors:
        case str():
            return errors
        case dict():
            return ", ".join(map(str, errors))
        case list():
            return "; ".join(map(_read_error, errors))
    return ""


def _read_error(error: Any) -> str:
    if isinstance(error, dict):
        return ": ".join(str(error[key]) for key in ("code", "title") if error.get(key))
    return str(error)


@doubt_contradictions
def parse_cancel(response: Response) -> VendorReply:
    """Parse the response to a withdrawal.

    >>> parse_cancel(Response(200, b'{"success": true}'))
    Accepted(message_id='withdrawn', invalid_ids=())
    """
    payload = parse_json_body(response)
    text = read_error_texts(payload.get("errors"))
    if payload.get("success") is True:
        return accept(response, "withdrawn", text)
    if response.status in CANCEL_REFUSED:
        return Rejected(Problem("rejected", f"HTTP {response.status} {text!r}"))
    return reply_from_status(response, text)
