"""Fields of a message: the type of each, and the parts of a message in which it may be."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from audience.language.platforms import canonical_platform

PLATFORMS = ("android", "ios", "harmonyos")
PLATFORM_OF_CHANNEL = {
    **dict.fromkeys(("huawei", "honor", "xiaomi", "oppo", "vivo", "meizu", "fcm"), "android"),
    "apns": "ios",
}
CHANNELS = tuple(PLATFORM_OF_CHANNEL)
PLACES = (*PLATFORMS, *CHANNELS)  # of overrides
NAME_PATTERN = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")
ADDRESS_PATTERN = re.compile(r"[^\s\x00-\x20\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class FieldType:
    """Type of a field.

    Attributes:
        types: Types of its values in Python.
        description: What it takes, in an error.
        is_valid: Whether a value of one of the types is one that the field takes.
    """

    types: tuple[type, ...]
    description: str
    is_valid: Callable[[Any], bool] = lambda value: True

    def accepts(self, value: object) -> bool:
        """Return whether *value* is one of the field."""
        has_type = isinstance(value, self.types) and (bool in self.types or not isinstance(value, bool))
        return has_type and self.is_valid(value)


def _are_platforms(names: list[Any]) -> bool:
    platforms = [canonical_platform(name) for name in names if isinstance(name, str)]
    return bool(names) and set(platforms) <= {*PLATFORMS} and len(set(platforms)) == len(names)


_TEXT = FieldType((str,), "a string without NUL", lambda text: "\0" not in text)
_NAME = FieldType(
    (str,), "a text that is not empty, without control characters", lambda text: bool(NAME_PATTERN.fullmatch(text))
)
_ADDRESS = FieldType(
    (str,), "an address, without spaces and control characters", lambda text: bool(ADDRESS_PATTERN.fullmatch(text))
)
_OBJECT = FieldType((dict,), "an object")
CONTENT_TYPES = {  # what an override, a language and a variant may change
    "title": _TEXT,
    "body": _TEXT,
    "subtitle": _TEXT,
    "image": _ADDRESS,
    "link": _ADDRESS,
    "badge": FieldType(
        (int, str), 'a whole number or "+1"', lambda value: value == "+1" if isinstance(value, str) else value >= 0
    ),
    "sound": _NAME,
    "priority": FieldType((str,), '"high" or "normal"', lambda value: value in ("high", "normal")),
    "category": _NAME,
    "thread_id": _NAME,
    "channel_id": _NAME,
}
LANGUAGE_TYPES = {**CONTENT_TYPES, "data": _OBJECT, "overrides": _OBJECT, "vendor": _OBJECT}
VARIANT_TYPES = {
    **LANGUAGE_TYPES,
    "time_to_live": FieldType((int,), "a number of seconds", lambda value: value >= 0),
    "collapse_key": _NAME,
    "kind": FieldType((str,), '"notification" or "silent"', lambda value: value in ("notification", "silent")),
    "localized": _OBJECT,
}
MESSAGE_TYPES = {
    **VARIANT_TYPES,
    "platforms": FieldType((list,), f"a list of {', '.join(PLATFORMS)}", _are_platforms),
    "test": FieldType((bool,), "true or false"),
    "send_at": _TEXT,
    "split": _TEXT,
    "variants": _OBJECT,
}
