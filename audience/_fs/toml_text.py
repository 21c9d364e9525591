"""TOML with a hint for what is most often wrong in it: a name of other letters than English ones has no quotes."""

import re
import tomllib
from collections.abc import Callable
from typing import Any

PLACE_PATTERN = re.compile(r"\(at line (\d+), column \d+\)$")
HEADER_OR_KEY_PATTERN = re.compile(r"^\s*(?:\[{1,2}(?P<header>[^\]#]*)\]|(?P<key>[^=#\[\]]+?)\s*=)")
BARE_NAME_PATTERN = re.compile(r"^[A-Za-z0-9_-]+$")


class TomlError(Exception):
    """Text that is no TOML: what is wrong, with its line, and a hint, which quotes no value.

    Attributes:
        hint: What to do.
    """

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.hint = hint


def parse_toml(text: str, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    r"""Return the tables of *text*.

    Args:
        text: A TOML document.
        parse_float: What makes a value of a number with a fraction.

    Raises:
        TomlError: It is no TOML, or nested too deeply.

    >>> parse_toml('["省份"]\nexclusive = true')
    {'省份': {'exclusive': True}}
    >>> parse_toml('[省份]\nexclusive = true')
    Traceback (most recent call last):
    ...
    audience._fs.toml_text.TomlError: Invalid initial character for a key part (at line 1, column 2)
    """
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except tomllib.TOMLDecodeError as error:
        raise TomlError(str(error), _find_hint(text, str(error))) from error
    except RecursionError as error:
        raise TomlError("brackets are nested too deeply", "write it without so many brackets") from error


def _find_hint(text: str, message: str) -> str:
    """Return what to do about the line that *message* names."""
    place = PLACE_PATTERN.search(message)
    line = text.splitlines()[int(place[1]) - 1] if place else ""
    found = HEADER_OR_KEY_PATTERN.match(line)
    names = re.split(r"\s*\.\s*", (found["header"] or found["key"] or "").strip()) if found else []
    bare = [name for name in names if name and name[0] not in "\"'" and not BARE_NAME_PATTERN.match(name)]
    if not bare:
        return "correct the line; a text needs quotes, and a comment begins with #"
    return f'a name of other characters than A-Z, a-z, 0-9, _ and - needs quotes: write "{bare[0]}"'
