"""What the manufacturers' channels take of titles and contents: longer ones are cut, or refused by the channel."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from unicodedata import east_asian_width

from audience.errors import Problem


@dataclass(frozen=True, slots=True)
class OemChannel:
    """A channel by its *name*, and the most characters that it takes of a *title* and of a *content*.

    None is no limit. Where *wide*, a Chinese character counts as two. *forbids* are texts that it does not let pass.
    """

    name: str
    max_title_chars: int | None
    max_content_chars: int | None
    counts_wide_double: bool = False
    forbidden_strings: tuple[str, ...] = ()


def count_characters(text: str, counts_wide_double: bool) -> int:
    """How many characters *text* has; a Chinese one is two where *wide*.

    >>> count_characters("Hi 时间", counts_wide_double=False), count_characters("Hi 时间", counts_wide_double=True)
    (5, 7)
    """
    return sum(2 if counts_wide_double and east_asian_width(char) in "WF" else 1 for char in text)


def length_warnings(path: str, text: object, field_name: str, channels: Iterable[OemChannel]) -> Iterator[Problem]:
    """Which of *channels* cut or refuse the *text* at *path*, which is the *part* "title" or "content".

    >>> [str(problem) for problem in length_warnings("$.title", "x" * 41, "title", [OemChannel("Huawei", 40, 1024)])]
    ['channel-limit: Huawei takes 40 characters of a title, this has 41 at $.title']
    """
    if not isinstance(text, str):
        return
    for channel in channels:
        most, found = (
            (channel.max_title_chars if field_name == "title" else channel.max_content_chars),
            count_characters(text, channel.counts_wide_double),
        )
        if most is not None and found > most:
            message = f"{channel.name} takes {most:,} characters of a {field_name}, this has {found:,}"
            yield Problem("channel-limit", message, path=path)
        for forbidden in channel.forbidden_strings:
            if forbidden in text:
                message = f"{channel.name} does not let {forbidden!r} pass in a {field_name}"
                yield Problem("channel-forbids", message, path=path)
