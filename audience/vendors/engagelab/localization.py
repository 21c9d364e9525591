"""Texts in other languages as EngageLab carries them: `multi_language`, by the language of each device.

A text replaces the one of every platform. A language that has more than texts, or other texts on a platform, has no
place in it, and its requests are divided.
Source: https://www.engagelab.com/docs/app-push/rest-api/create-push-api, "Multi_language".
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from audience.errors import MessageError, Problem
from audience.messages import Message, message_for_platform
from audience.messages.paths import join_path
from audience.vendors.spec import Payload

LANGUAGE_CODES = (
    *("en", "ar", "zh-Hans", "zh-Hant", "cs", "da", "nl", "fr", "de", "hi", "it", "ja", "ko", "ms", "ru", "es", "th"),
    *("vi", "id", "no", "sv", "pl", "pt", "tr", "he", "ro", "hu", "fi", "el"),
)
TEXT_KEYS = {"title": "title", "body": "content", "subtitle": "ios_subtitle"}
DIVISION_HINT = "divide the requests: `audience emit --message FILE --language-of ATTRIBUTE`"


def build_multi_language(message: Message, texts: Mapping[str, Message], platforms: tuple[str, ...]) -> Payload:
    """Return the wordings of *message* by EngageLab's code of each language.

    Args:
        message: The message for devices of no listed language.
        texts: The message in each language, by its tag.
        platforms: Platforms of the message.

    Raises:
        MessageError: EngageLab lacks a language, or a language has something else than texts for all platforms.

    >>> build_multi_language(Message(title="Hi"), {"zh-CN": Message(title="你好")}, ("ios",))
    {'zh-Hans': {'title': '你好'}}
    """
    wordings, problems = dict[str, Payload](), list[Problem]()
    for tag, text in texts.items():
        code, wording = find_language_code(tag), _find_wording(message, text)
        if code is None:
            problems.append(_unknown_code_problem(tag))
        elif code in wordings:
            reason, path = f"two languages have EngageLab's code {code}", join_path("$.localized", tag)
            problems.append(Problem("repeated-key", reason, path=path, hint="join them"))
        else:
            wordings[code] = {TEXT_KEYS[name]: value for name, value in wording.items()}
        problems += _exactness_problems(tag, message, text, wording, platforms)
    if problems:
        raise MessageError(*problems)
    return {code: wording for code, wording in wordings.items() if wording}


def find_language_code(tag: str) -> str | None:
    """Return EngageLab's code for exactly the language *tag*; None if it has none.

    >>> find_language_code("zh-TW"), find_language_code("en-US"), find_language_code("en-GB")
    ('zh-Hant', 'en', None)
    """
    from audience.language.language_tags import find_same_language  # slow to import

    return find_same_language(tag, LANGUAGE_CODES)


def _unknown_code_problem(tag: str) -> Problem:
    reason = f"EngageLab has no code for {tag}; it has {', '.join(LANGUAGE_CODES)}"
    return Problem("unsupported-language", reason, path=join_path("$.localized", tag), hint=DIVISION_HINT)


def unsupported_subtitles(message: Message) -> Iterator[Problem]:
    """Find the subtitles of languages, in a message that shows none."""
    for tag, text in message.localized.items():
        if text.get("subtitle") is not None:
            path = join_path("$.localized", tag, "subtitle")
            yield Problem("unsupported-field", "EngageLab has a subtitle for notifications on ios", path=path)


def _find_wording(message: Message, text: Message) -> dict[str, Any]:
    """Return the texts of a language that differ from those of the message."""
    return {
        name: getattr(text, name)
        for name in TEXT_KEYS
        if getattr(text, name) is not None
        and (getattr(text, name) != getattr(message, name) or _places_with(message, name) != _places_with(text, name))
    }


def _places_with(message: Message, name: str) -> dict[str, Any]:
    return {place: override[name] for place, override in message.overrides.items() if name in override}


def _exactness_problems(
    tag: str, message: Message, text: Message, wording: Mapping[str, Any], platforms: tuple[str, ...]
) -> Iterator[Problem]:
    """Find what a language changes besides its wording, and platforms that would get another text."""
    path = join_path("$.localized", tag)
    if _drop_texts(text) != _drop_texts(message):
        reason = "EngageLab has title, body and subtitle of a language, and no other field"
        yield Problem("not-divided", reason, path=path, hint=DIVISION_HINT)
    for name in TEXT_KEYS:
        for platform in platforms:
            expected = getattr(message_for_platform(text, platform), name)
            actual = wording.get(name, getattr(message_for_platform(message, platform), name))
            if actual != expected and (name != "subtitle" or platform == "ios"):
                reason = f"EngageLab has one {name} of a language for all platforms, and cannot leave it out"
                yield Problem("not-divided", reason, path=join_path(path, name), hint=DIVISION_HINT)
                break


def _drop_texts(message: Message) -> Message:
    kept = {
        place: others
        for place, override in message.overrides.items()
        if (others := {name: value for name, value in override.items() if name not in TEXT_KEYS})
    }
    return replace(message, title=None, body=None, subtitle=None, overrides=kept)
