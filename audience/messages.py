"""What is sent, in words that every vendor has: each vendor's file turns it into a body of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from audience.errors import MessageError, Problem
from audience.language.suggest import did_you_mean

MessageKind: TypeAlias = Literal["notification", "silent"]
PLATFORMS = ("android", "ios", "hmos")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to all of an audience.

    *data* is handed to the app; *image* and *link* are URLs, or what the app makes of them; *badge* is a number, or
    "+1"; *time_to_live* is in seconds, and None leaves it to the vendor. *platforms* narrow the audience, and without
    any all are meant. A *silent* message is handed to the app and not shown. *test* is the development environment
    of Apple's service. *vendor* has for a vendor's name what is merged into its body as it is.
    """

    title: str | None = None
    body: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    image: str | None = None
    link: str | None = None
    badge: int | Literal["+1"] | None = None
    sound: str | None = None
    time_to_live: int | None = None
    collapse_key: str | None = None
    platforms: tuple[str, ...] = ()
    test: bool = False
    kind: MessageKind = "notification"
    vendor: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_FIELD_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "title": (str, "a text"),
    "body": (str, "a text"),
    "data": (dict, "an object"),
    "image": (str, "a text"),
    "link": (str, "a text"),
    "badge": ((int, str), 'a whole number or "+1"'),
    "sound": (str, "a text"),
    "time_to_live": (int, "a number of seconds"),
    "collapse_key": (str, "a text"),
    "platforms": (list, f"a list of {', '.join(PLATFORMS)}"),
    "test": (bool, "true or false"),
    "kind": (str, '"notification" or "silent"'),
    "vendor": (dict, "an object"),
}


def parse_message(document: Any) -> Message:
    """The message that the JSON object *said* describes; MessageError with every problem and its path.

    >>> parse_message({"title": "Hi", "body": "there", "badge": "+1", "platforms": ["ios"]}).platforms
    ('ios',)
    """
    if not isinstance(document, dict):
        raise MessageError(Problem("wrong-type", "a message is one JSON object", path="$"))
    problems = [problem for key, value in document.items() for problem in _field_problems(key, value)]
    if not problems and not (
        document.get("title") or document.get("body") or document.get("data") or document.get("vendor")
    ):
        problems = [Problem("empty-message", "nothing is said", path="$", hint="give a title, a body or data")]
    if problems:
        raise MessageError(*problems)
    return Message(**{**document, "platforms": tuple(document.get("platforms", ()))})


def _field_problems(key: str, value: Any) -> list[Problem]:
    if key not in _FIELD_TYPES:
        names = [each.name for each in fields(Message)]
        hint = did_you_mean(key, names) or f"one of {', '.join(names)}; what is a vendor's own goes into vendor.NAME"
        return [Problem("unknown-key", f"a message has no {key!r}", path=f"$.{key}", hint=hint)]
    types, words = _FIELD_TYPES[key]
    wrong = not isinstance(value, types) or (isinstance(value, bool) and types is not bool)
    if wrong or not _is_in_range(key, value):
        return [Problem("wrong-value", f"{value!r} is not {words}", path=f"$.{key}")]
    return []


def _is_in_range(key: str, value: Any) -> bool:
    match key:
        case "badge":
            return value == "+1" if isinstance(value, str) else value >= 0
        case "time_to_live":
            return bool(value >= 0)
        case "platforms":
            return bool(value) and all(name in PLATFORMS for name in value) and len(set(value)) == len(value)
        case "kind":
            return value in ("notification", "silent")
        case "vendor":
            return all(isinstance(body, dict) for body in value.values())
    return True
