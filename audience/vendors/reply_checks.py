"""Strict reading of replies: one that contradicts itself says nothing certain, so its call is in doubt.

A reply is believed if it says one thing: an id of the message and no error, or an error and no id. Two values of one
key, numbers that JSON has no room for, ids that are objects, and an id beside an error or a failing HTTP status are no
such thing. Neither "delivered" nor "not delivered" may be read out of them.
"""

import json
from collections.abc import Callable, Iterable
from functools import wraps
from math import isfinite
from typing import Any, NoReturn, TypeVar

from audience.errors import Problem
from audience.vendors.delivery_spec import Accepted, InDoubt, Response, VendorReply

LOOK_IT_UP = "look up in the vendor's console whether it was accepted"
MAX_ID_CHARS = 200
NO_ERROR_CODES = (None, "", 0, "0")

Answer = TypeVar("Answer")


class ContradictoryReply(ValueError):
    """Reply that contradicts itself; its text says how."""


def doubt_contradictions(parse: Callable[[Response], Answer]) -> Callable[[Response], Answer | InDoubt]:
    """Wrap *parse* so that a reply that contradicts itself gives InDoubt.

    >>> @doubt_contradictions
    ... def parse(response: Response) -> VendorReply:
    ...     return Accepted(load_strict_json(response.content)["id"])
    >>> parse(Response(200, b'{"id": "7"}')).message_id, parse(Response(200, b'{"id": "7", "id": "8"}')).problem.code
    ('7', 'contradictory-reply')
    """

    @wraps(parse)
    def parse_or_doubt(response: Response) -> Answer | InDoubt:
        try:
            return parse(response)
        except ContradictoryReply as error:
            return _contradictory(response, str(error))

    return parse_or_doubt


def doubt_unbelievable(response: Response, parse: Callable[[Response], VendorReply]) -> VendorReply:
    """Return what *parse* makes of *response*, or InDoubt for what no parser may believe, whatever the vendor.

    That is JSON that contradicts itself, and an acceptance that has no id or a failing HTTP status.
    """
    try:
        load_strict_json(response.content)
    except ContradictoryReply as error:
        return _contradictory(response, str(error))
    except (ValueError, RecursionError):
        pass  # no JSON: the parser decides
    reply = parse(response)
    if isinstance(reply, Accepted) and not (isinstance(reply.message_id, str) and reply.message_id):
        return _contradictory(response, "it has no id of the message, or an unusable one")
    if isinstance(reply, Accepted) and not is_success(response):
        return _contradictory(response, "it has an id of the message")
    return reply


def load_strict_json(content: bytes) -> Any:
    """Load JSON as every reader understands it.

    Raises:
        ContradictoryReply: A key has two values, or a number is infinite or none.
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    return json.loads(
        content, object_pairs_hook=_build_object, parse_constant=_refuse_number, parse_float=_parse_finite
    )


def is_success(response: Response) -> bool:
    """Return whether the HTTP status says that the call succeeded."""
    return 200 <= response.status < 300


def accept(response: Response, message_id: str, code: str = "", invalid_ids: tuple[str, ...] = ()) -> Accepted:
    """Return Accepted; raise ContradictoryReply if there is an error *code* too, or the HTTP status says failure."""
    if code:
        raise ContradictoryReply(f"it has an id of the message and the error {code[:50]!r}")
    if not is_success(response):
        raise ContradictoryReply("it has an id of the message")
    return Accepted(message_id, invalid_ids)


def read_id(value: Any) -> str:
    """Return the id of a message or an upload, a string or a number; an empty string if there is none.

    Raises ContradictoryReply for any other value, such as an object.

    >>> read_id("7"), read_id(7), read_id(None), read_id(0)
    ('7', '7', '', '')
    """
    if value is None or value == "" or (type(value) is int and value == 0):
        return ""
    text = str(value) if type(value) is int and value > 0 else value
    is_readable = isinstance(text, str) and text.isprintable() and len(text) <= MAX_ID_CHARS
    if not is_readable or "," in text or text != text.strip():
        raise ContradictoryReply("its id of the message is neither a string nor a number")
    return str(text)


def read_ids(values: Iterable[Any]) -> str:
    """Return the ids of several messages, joined by commas; raise ContradictoryReply if one of them is none.

    >>> read_ids(["7", 8])
    '7,8'
    """
    ids = [read_id(value) for value in values]
    if not all(ids) or len(set(ids)) < len(ids):
        raise ContradictoryReply("its ids of messages are not as many different ones")
    return ",".join(ids)


def read_code(*values: Any) -> str:
    """Return the one error code among *values*; an empty string if each says that there is none.

    Raises ContradictoryReply for two codes, or for one that is neither a string nor a number.

    >>> read_code(None, 21003), read_code(0, None)
    ('21003', '')
    """
    if any(isinstance(value, bool) or not isinstance(value, str | int | None) for value in values):
        raise ContradictoryReply("its error code is neither a string nor a number")
    codes = {str(value) for value in values if value not in NO_ERROR_CODES}
    if len(codes) > 1:
        raise ContradictoryReply("it has two error codes")
    return codes.pop() if codes else ""


def read_id_list(values: Any) -> tuple[str, ...]:
    """Return the ids that a vendor does not know; raise ContradictoryReply if *values* is not a list of strings."""
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(each, str) or type(each) is int for each in values):
        raise ContradictoryReply("its invalid ids are not a list of strings")
    return tuple(map(str, values))


def _contradictory(response: Response, reason: str) -> InDoubt:
    message = f"HTTP {response.status}: the reply contradicts itself: {reason}"
    return InDoubt(Problem("contradictory-reply", message, hint=LOOK_IT_UP))


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    payload = dict(pairs)
    if len(payload) < len(pairs):
        raise ContradictoryReply("one of its keys has two values")
    return payload


def _parse_finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    raise ContradictoryReply(f"it has the number {text[:20]}")
