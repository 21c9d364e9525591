"""Conditions of Huawei Push Kit: `'a' in topics && ('b' in topics || !('c' in topics))`.

https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197 has &&, ||, !, brackets
and at most five topics. The page does not say which of && and || binds tighter, so a level with both is refused here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from audience.sandbox.http_types import DeviceMask, VendorRefusal

MAX_TOPICS = 5
WRONG = 80100001
_WORD = re.compile(r"\s*(?:'(?P<topic>[^']+)'\s+in\s+topics\b|(?P<sign>&&|\|\||!|\(|\)))")


@dataclass
class ConditionReader:
    """Reader of one condition; *devices_of* gives the devices of a topic."""

    words: list[tuple[str, str]]
    devices_of: Callable[[str], DeviceMask]

    def read_all(self) -> DeviceMask:
        """Return the devices of the whole condition."""
        devices = self._read_chain()
        if self.words:
            raise VendorRefusal(WRONG, "the condition goes on behind its end")
        return devices

    def _read_chain(self) -> DeviceMask:
        devices, operators = self._read_term(), set[str]()
        while self.words and self.words[0] in (("sign", "&&"), ("sign", "||")):
            operator = self.words.pop(0)[1]
            operators.add(operator)
            term = self._read_term()
            devices = devices & term if operator == "&&" else devices | term
        if len(operators) > 1:
            raise VendorRefusal(WRONG, "&& beside || needs brackets")
        return devices

    def _read_term(self) -> DeviceMask:
        match self.words.pop(0) if self.words else ("", ""):
            case ("topic", name):
                return self.devices_of(name)
            case ("sign", "!"):
                return ~self._read_term()
            case ("sign", "("):
                devices = self._read_chain()
                if not self.words or self.words.pop(0) != ("sign", ")"):
                    raise VendorRefusal(WRONG, "a bracket is not closed")
                return devices
        raise VendorRefusal(WRONG, "the condition has no topic where one is expected")


def select_devices(condition: str, devices_of: Callable[[str], DeviceMask]) -> DeviceMask:
    """Return the devices that a condition means.

    Raises:
        VendorRefusal: It cannot be read, has too many topics, or brackets are nested too deeply.
    """
    words, at, text = list[tuple[str, str]](), 0, condition.rstrip()
    while at < len(text):
        if (match := _WORD.match(text, at)) is None:
            raise VendorRefusal(WRONG, f"the condition cannot be read at {at}")
        words.append(("topic", match["topic"]) if match["topic"] else ("sign", match["sign"]))
        at = match.end()
    if sum(kind == "topic" for kind, _ in words) > MAX_TOPICS:
        raise VendorRefusal(WRONG, f"a condition has at most {MAX_TOPICS} topics")
    try:
        return ConditionReader(words, devices_of).read_all()
    except RecursionError:
        raise VendorRefusal(WRONG, "the condition is nested too deeply") from None
