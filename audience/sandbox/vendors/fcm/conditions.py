"""Conditions of FCM: `'a' in topics && ('b' in topics || !('c' in topics))`.

https://firebase.google.com/docs/cloud-messaging/send-topic-messages, as it is quoted: brackets bind first, then
operators from left to right.
"""

import re
from collections.abc import Callable

from audience.sandbox.http_types import DeviceMask

MAX_TOPICS = 5
MAX_DEPTH = 50
TOPIC_PATTERN = r"[a-zA-Z0-9\-_.~%]{1,900}"
WORD = re.compile(r"""\s*(?:(?P<sign>&&|\|\||!|\(|\))|(?P<quote>['"])(?P<topic>[^'"]*)(?P=quote)\s+in\s+topics\b)\s*""")


class ConditionError(ValueError):
    """Condition that cannot be read; its text says why."""


def evaluate(text: str, find: Callable[[str], DeviceMask]) -> DeviceMask:
    """Return the devices that meet the condition *text*; *find* returns those of a topic.

    >>> import numpy as np
    >>> masks = {"a": np.array([True, False, True]), "b": np.array([False, True, True])}
    >>> evaluate("'a' in topics && !('b' in topics)", masks.__getitem__).tolist()
    [True, False, False]

    Raises:
        ConditionError: It cannot be read.
    """
    words = _read_words(text)
    devices = _read_sequence(words, find, 0)
    if words:
        raise ConditionError(f"unexpected {words[-1][1]!r}")
    return devices


def _read_words(text: str) -> list[tuple[str, str]]:
    """Return the words of a condition from the last to the first: signs, and topics."""
    words, place = [], 0
    while place < len(text):
        match = WORD.match(text, place)
        if match is None:
            raise ConditionError(f"cannot be read at {text[place : place + 20]!r}")
        if match["sign"]:
            words.append(("sign", match["sign"]))
        elif re.fullmatch(TOPIC_PATTERN, match["topic"]):
            words.append(("topic", match["topic"]))
        else:
            raise ConditionError(f"no topic can be called {match['topic']!r}")
        place = match.end()
    return words[::-1]


def _read_sequence(words: list[tuple[str, str]], find: Callable[[str], DeviceMask], depth: int) -> DeviceMask:
    devices = _read_operand(words, find, depth)
    while words and words[-1] in (("sign", "&&"), ("sign", "||")):
        _, sign = words.pop()
        other = _read_operand(words, find, depth)
        devices = devices & other if sign == "&&" else devices | other
    return devices


def _read_operand(words: list[tuple[str, str]], find: Callable[[str], DeviceMask], depth: int) -> DeviceMask:
    if not words or depth > MAX_DEPTH:
        raise ConditionError("an operand is missing" if not words else "it is nested too deeply")
    match words.pop():
        case ("topic", name):
            return find(name)
        case ("sign", "!"):
            return ~_read_operand(words, find, depth + 1)
        case ("sign", "("):
            devices = _read_sequence(words, find, depth + 1)
            if not words or words.pop() != ("sign", ")"):
                raise ConditionError("a bracket is not closed")
            return devices
        case _, word:
            raise ConditionError(f"unexpected {word!r}")
