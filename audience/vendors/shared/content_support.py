"""Fields of a message that a vendor has none for, and vendor's words that change whom a message is for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from audience.errors import MessageError, Problem
from audience.messages import PLATFORM_OF_CHANNEL, PLATFORMS, Message, message_for_platform
from audience.messages.fields import CONTENT_TYPES
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

DATA_HINT = "put it into data, where the app can read it"
_DATA_FIELDS = ("link", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentSupport:
    """Fields of a message that the body of a vendor has.

    Attributes:
        title: Name of the vendor in messages.
        fields: For each platform the fields that a notification has on it.
        channels: For each manufacturer's channel the fields that it has alone.
        shared: Fields that a notification has once, for all its platforms.
        silent: Fields that a silent message has, once for all its platforms.
        default_platforms: Platforms of a message that names none; by default all that the vendor has.
    """

    title: str
    fields: Mapping[str, frozenset[str]]
    channels: Mapping[str, frozenset[str]] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    default_platforms: tuple[str, ...] = PLATFORMS

    def target_platforms(self, message: Message) -> tuple[str, ...]:
        """Return the platforms that *message* is for and the vendor has."""
        return tuple(name for name in message.platforms or self.default_platforms if name in self.fields)


def require_plain(message: Message) -> None:
    """Raise MessageError if *message* has variants or languages: one body has one text, so requests are divided."""
    if message.variants:
        hint = "divide the requests: pass the message to `audience emit --message FILE`"
        raise MessageError(Problem("not-divided", "a body has one variant", path="$.variants", hint=hint))
    if message.localized:
        hint = "divide the requests: `audience emit --message FILE --language-of ATTRIBUTE`"
        raise MessageError(Problem("not-divided", "a body has one language", path="$.localized", hint=hint))


def share_content(message: Message, support: ContentSupport) -> Message:
    """Return *message* with the values of its platform in the fields that a body shares, if it is for one platform.

    >>> support = ContentSupport(title="V", fields={"ios": frozenset({"title"})}, shared=frozenset({"title"}))
    >>> message = Message(title="Hi", platforms=("ios",), overrides={"ios": {"title": "Hi iOS"}})
    >>> share_content(message, support).title
    'Hi iOS'
    """
    platforms = support.target_platforms(message)
    return message_for_platform(message, platforms[0]) if len(platforms) == 1 else message


def drop_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the *fields* that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def read_vivo_class(channel_id: str | None) -> int | str | None:
    """Return the class of a message at vivo, by which its channels are numbered: 0 operational, 1 system.

    >>> read_vivo_class("1"), read_vivo_class("news")
    (1, 'news')
    """
    return int(channel_id) if channel_id in ("0", "1") else channel_id


# Unsupported fields. ------------------------------------------------------------------------------------------------


def unsupported_content(message: Message, support: ContentSupport) -> Iterator[Problem]:
    """Find the fields of *message* and its overrides that a body of this vendor does not have."""
    platforms = support.target_platforms(message)
    lacking: dict[str, list[str]] = {}
    for platform in platforms:
        values = message_for_platform(message, platform)
        supported = support.silent if message.kind == "silent" else support.fields[platform]
        for name in CONTENT_TYPES:
            if getattr(values, name) is not None and name not in supported:
                lacking.setdefault(find_content_path(message, name, platform), []).append(platform)
    for path, names in lacking.items():
        yield _unsupported_problem(support, path, ", ".join(names))
    if len(platforms) > 1:
        yield from _shared_problems(message, support, platforms)
    yield from _channel_problems(message, support, platforms)


def find_content_path(message: Message, name: str, platform: str) -> str:
    """Return the path of the value that the field *name* has on *platform*."""
    for place in ("apns", "ios") if platform == "ios" else (platform,):
        if name in message.overrides.get(place, {}):
            return f"$.overrides.{place}.{name}"
    return f"$.{name}"


def _unsupported_problem(support: ContentSupport, path: str, places: str) -> Problem:
    name = path.rpartition(".")[2]
    hint = DATA_HINT if name in _DATA_FIELDS else None
    return Problem("unsupported-field", f"{support.title} has no {name} for {places}", path=path, hint=hint)


def _shared_problems(message: Message, support: ContentSupport, platforms: tuple[str, ...]) -> Iterator[Problem]:
    """Find values for one platform of fields that a body has once for all."""
    shared = support.silent if message.kind == "silent" else support.shared
    for platform in platforms:
        values = message_for_platform(message, platform)
        for name in CONTENT_TYPES:
            differs = getattr(values, name) != getattr(message, name)
            if differs and name in shared and (message.kind == "silent" or name in support.fields[platform]):
                reason = f"a request of {support.title} has one {name} for all its platforms"
                hint = f'send to one platform at a time: "platforms": ["{platform}"]'
                yield Problem("unsupported-field", reason, path=find_content_path(message, name, platform), hint=hint)


def _channel_problems(message: Message, support: ContentSupport, platforms: tuple[str, ...]) -> Iterator[Problem]:
    for place, override in message.overrides.items():
        if PLATFORM_OF_CHANNEL.get(place, place) not in platforms:
            yield from _untargeted_problems(support, place, override)
            continue
        if place not in PLATFORM_OF_CHANNEL or place == "apns":
            continue
        supported = frozenset() if message.kind == "silent" else support.channels.get(place, frozenset())
        for name, value in override.items():
            if name not in supported:
                reason = f"{support.title} has no {name} for the channel {place}"
                yield Problem("unsupported-field", reason, path=f"$.overrides.{place}.{name}")
            elif value is None:
                reason = f"{support.title} cannot remove {name} for the channel {place} alone"
                yield Problem("unsupported-field", reason, path=f"$.overrides.{place}.{name}")


def _untargeted_problems(support: ContentSupport, place: str, override: Mapping[str, Any]) -> Iterator[Problem]:
    """Find the fields of an override for a platform that the message is not for."""
    platform = PLATFORM_OF_CHANNEL.get(place, place)
    for name in override:
        reason = f"at {support.title} the message is not for {platform}"
        hint = f"add {platform} to `platforms`" if platform in support.fields else None
        yield Problem("unsupported-field", reason, path=f"$.overrides.{place}.{name}", hint=hint)


# Whom a message is for. ---------------------------------------------------------------------------------------------


def reject_changed_audience(message: Message, before: Payload, after: Payload, words: Mapping[str, str]) -> None:
    """Raise MessageError if the vendor's own words have changed whom *message* is for.

    Args:
        message: The message.
        before: Body of the message without `vendor`.
        after: Body with it.
        words: Path of each field of a body that decides who gets it, and the field of a message that sets it.
    """
    problems = []
    for path, name in words.items():
        old, new = _read_path(before, path), _read_path(after, path)
        # a message that names no platforms is for all of them, and without iOS there is no environment to choose
        is_decided = bool(message.platforms) if name == "platforms" else old is not None
        if _unordered(old) != _unordered(new) and is_decided:
            reason = f"it changes whom the message is for, from {old!r} to {new!r}"
            hint = f"set {name!r} of the message instead"
            problems.append(Problem("changed-audience", reason, path=path, hint=hint))
    if problems:
        raise MessageError(*problems)


def _unordered(value: Any) -> Any:
    """Return a list of words, or a single word, as a set, so that equal choices compare equal; others as they are.

    >>> _unordered("ios") == _unordered(["ios"]), _unordered(["ios", "android"]) == _unordered(["android", "ios"])
    (True, True)
    """
    words = [value] if isinstance(value, str) else value
    is_list = isinstance(words, list) and all(isinstance(word, str) for word in words)
    return frozenset(words) if is_list and words else value


def _read_path(body: Payload, path: str) -> Any:
    *parents, key = path.removeprefix("$.").split(".")
    return get_in(body, *parents).get(key)
