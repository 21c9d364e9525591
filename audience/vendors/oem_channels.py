"""Limits of manufacturers' channels: they cut or refuse longer titles and contents."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from unicodedata import east_asian_width

from audience.errors import Problem


@dataclass(frozen=True, slots=True)
class OemChannel:
    """Channel of a manufacturer.

    Attributes:
        name: Name in messages.
        max_title_chars: Largest number of characters of a title; None without a limit.
        max_content_chars: Largest number of characters of a content; None without a limit.
        counts_wide_double: Whether a Chinese character counts as two.
        forbidden_strings: Strings that the channel blocks.
    """

    name: str
    max_title_chars: int | None
    max_content_chars: int | None
    counts_wide_double: bool = False
    forbidden_strings: tuple[str, ...] = ()


def count_characters(text: str, counts_wide_double: bool) -> int:
    """Count the characters of *text*; a Chinese one may count as two.

    >>> count_characters("Hi 时间", counts_wide_double=False), count_characters("Hi 时间", counts_wide_double=True)
    (5, 7)
    """
    return sum(2 if counts_wide_double and east_asian_width(char) in "WF" else 1 for char in text)


def length_warnings(path: str, text: object, field_name: str, channels: Iterable[OemChannel]) -> Iterator[Problem]:
    """Find the channels that cut or refuse the *text* at *path*; *field_name* is "title" or "content".

    >>> [str(problem) for problem in length_warnings("$.title", "x" * 41, "title", [OemChannel("Huawei", 40, 1024)])]
    ['channel-limit: Huawei takes 40 characters of a title; this one has 41 at $.title']
    """
    if not isinstance(text, str):
        return
    for channel in channels:
        maximum = channel.max_title_chars if field_name == "title" else channel.max_content_chars
        count = count_characters(text, channel.counts_wide_double)
        if maximum is not None and count > maximum:
            message = f"{channel.name} takes {maximum:,} characters of a {field_name}; this one has {count:,}"
            yield Problem("channel-limit", message, path=path)
        for forbidden in channel.forbidden_strings:
            if forbidden in text:
                message = f"{channel.name} blocks a {field_name} that contains {forbidden!r}"
                yield Problem("channel-forbids", message, path=path)
