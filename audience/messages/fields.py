"""Fields of a message: the type of each, and the parts of a message in which it may be."""

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


_TEXT = FieldType((str,), "a string")
_OBJECT = FieldType((dict,), "an object")
CONTENT_TYPES = {  # what an override, a language and a variant may change
    "title": _TEXT,
    "body": _TEXT,
    "subtitle": _TEXT,
    "image": _TEXT,
    "link": _TEXT,
    "badge": FieldType(
        (int, str), 'a whole number or "+1"', lambda value: value == "+1" if isinstance(value, str) else value >= 0
    ),
    "sound": _TEXT,
    "priority": FieldType((str,), '"high" or "normal"', lambda value: value in ("high", "normal")),
    "category": _TEXT,
    "thread_id": _TEXT,
    "channel_id": _TEXT,
}
LANGUAGE_TYPES = {**CONTENT_TYPES, "data": _OBJECT, "overrides": _OBJECT, "vendor": _OBJECT}
VARIANT_TYPES = {
    **LANGUAGE_TYPES,
    "time_to_live": FieldType((int,), "a number of seconds", lambda value: value >= 0),
    "collapse_key": _TEXT,
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
