"""What the manufacturers' channels take of titles and contents: longer ones are cut, or refused by the channel."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from unicodedata import east_asian_width

from audience.errors import Problem


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel by its *name*, and the most characters that it takes of a *title* and of a *content*.

    None is no limit. Where *wide*, a Chinese character counts as two. *forbids* are texts that it does not let pass.
    """

    name: str
    title: int | None
    content: int | None
    wide: bool = False
    forbids: tuple[str, ...] = ()


def length(text: str, wide: bool) -> int:
    """How many characters *text* has; a Chinese one is two where *wide*.

    >>> length("Hi 时间", wide=False), length("Hi 时间", wide=True)
    (5, 7)
    """
    return sum(2 if wide and east_asian_width(char) in "WF" else 1 for char in text)


def cut(path: str, text: object, part: str, channels: Iterable[Channel]) -> Iterator[Problem]:
    """Which of *channels* cut or refuse the *text* at *path*, which is the *part* "title" or "content".

    >>> [str(problem) for problem in cut("$.title", "x" * 41, "title", [Channel("Huawei", 40, 1024)])]
    ['channel-limit: Huawei takes 40 characters of a title, this has 41 at $.title']
    """
    if not isinstance(text, str):
        return
    for channel in channels:
        most, found = (channel.title if part == "title" else channel.content), length(text, channel.wide)
        if most is not None and found > most:
            message = f"{channel.name} takes {most:,} characters of a {part}, this has {found:,}"
            yield Problem("channel-limit", message, path=path)
        for forbidden in channel.forbids:
            if forbidden in text:
                message = f"{channel.name} does not let {forbidden!r} pass in a {part}"
                yield Problem("channel-forbids", message, path=path)
