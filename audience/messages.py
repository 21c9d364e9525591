"""Messages, independent of vendors. Each vendor translates a message to the body of its requests."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from audience.errors import MessageError, Problem
from audience.language.platforms import canonical_platform
from audience.language.suggest import did_you_mean

MessageKind: TypeAlias = Literal["notification", "silent"]
PLATFORMS = ("android", "ios", "harmonyos")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Message to all devices of an audience.

    Attributes:
        title: Title of the notification.
        body: Text of the notification.
        data: Custom data for the app.
        image: URL of an image, or a value that the app interprets.
        link: URL to open, or a value that the app interprets.
        badge: Number on the app icon, or "+1".
        sound: Name of the sound.
        time_to_live: Seconds after which the message expires. None uses the vendor's default.
        collapse_key: A newer message with the same key replaces an older one.
        platforms: Platforms that receive the message, in any spelling. Empty means all.
        test: Use the development environment of Apple's push service.
        kind: A "silent" message goes to the app and is not shown.
        vendor: Values by vendor name, which are merged into the vendor's body unchanged.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "platforms", tuple(map(canonical_platform, self.platforms)))


_FIELD_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "title": (str, "a string"),
    "body": (str, "a string"),
    "data": (dict, "an object"),
    "image": (str, "a string"),
    "link": (str, "a string"),
    "badge": ((int, str), 'a whole number or "+1"'),
    "sound": (str, "a string"),
    "time_to_live": (int, "a number of seconds"),
    "collapse_key": (str, "a string"),
    "platforms": (list, f"a list of {', '.join(PLATFORMS)}"),
    "test": (bool, "true or false"),
    "kind": (str, '"notification" or "silent"'),
    "vendor": (dict, "an object"),
}


def parse_message(document: Any) -> Message:
    """Return the message of a JSON object.

    Raises:
        MessageError: With every problem and its path.

    >>> parse_message({"title": "Hi", "body": "there", "badge": "+1", "platforms": ["ios"]}).platforms
    ('ios',)
    """
    if not isinstance(document, dict):
        raise MessageError(Problem("wrong-type", f"expected a JSON object, got {document!r:.60}", path="$"))
    problems = [problem for key, value in document.items() for problem in _field_problems(key, value)]
    if not problems and not (
        document.get("title") or document.get("body") or document.get("data") or document.get("vendor")
    ):
        problems = [Problem("empty-message", "the message is empty", path="$", hint="add a title, a body or data")]
    if problems:
        raise MessageError(*problems)
    return Message(**{**document, "platforms": tuple(document.get("platforms", ()))})


def _field_problems(key: str, value: Any) -> list[Problem]:
    if key not in _FIELD_TYPES:
        names = [known.name for known in fields(Message)]
        hint = did_you_mean(key, names) or f"use one of {', '.join(names)}; put a vendor's own keys into vendor.NAME"
        return [Problem("unknown-key", f"unknown key {key!r}", path=f"$.{key}", hint=hint)]
    types, description = _FIELD_TYPES[key]
    has_type = isinstance(value, types) and (types is bool or not isinstance(value, bool))
    if not has_type or not _is_in_range(key, value):
        return [Problem("wrong-value", f"expected {description}, got {value!r}", path=f"$.{key}")]
    return []


def _is_in_range(key: str, value: Any) -> bool:
    match key:
        case "badge":
            return value == "+1" if isinstance(value, str) else value >= 0
        case "time_to_live":
            return bool(value >= 0)
        case "platforms":
            names = [canonical_platform(name) for name in value if isinstance(name, str)]
            return bool(value) and set(names) <= {*PLATFORMS} and len(set(names)) == len(value)
        case "kind":
            return value in ("notification", "silent")
        case "vendor":
            return all(isinstance(body, dict) for body in value.values())
    return True
