"""Regular expressions of vendors, read as the patterns that say the same: text, any text, and anchors."""

from itertools import groupby

from audience.language.patterns import escape_pattern

SPECIAL = frozenset("*+?()[]{}^$|\n")


def read_regex(regex: str) -> list[str] | None:
    r"""Return the patterns of which a text that *regex* is found in fits one; None if patterns cannot say it.

    The text has no line breaks, and case is ignored: letters of which that is not certain are not read.

    >>> read_regex("^gua"), read_regex("^a.+@mail[.]com$"), read_regex(r"mail\.com$|^vip$")
    (['gua*'], None, ['*mail.com', 'vip'])
    """
    patterns = []
    for alternative in _split_alternatives(regex):
        pattern = _read_alternative(alternative)
        if pattern is None or not pattern.strip("*"):
            return None
        patterns.append(pattern)
    return patterns


def _split_alternatives(regex: str) -> list[str]:
    """Split *regex* at each `|` that no backslash quotes; one in brackets is found later, by its bracket."""
    alternatives, is_quoted = [""], False
    for char in regex:
        if char == "|" and not is_quoted:
            alternatives.append("")
        else:
            alternatives[-1] += char
        is_quoted = char == "\\" and not is_quoted
    return alternatives


def _read_alternative(regex: str) -> str | None:
    """Return the pattern of a regular expression without alternatives, or None."""
    starts, body = regex.startswith("^"), regex.removeprefix("^")
    ends = body.endswith("$") and (len(body) - len(body[:-1].rstrip("\\"))) % 2 == 1
    parts = [] if starts else ["*"]
    at, body = 0, body[:-1] if ends else body
    while at < len(body):
        if body[at] == ".":
            quantifier = body[at + 1 : at + 2]
            parts += {"*": ["*"], "+": ["?", "*"]}.get(quantifier, ["?"])
            at += 2 if quantifier and quantifier in "*+" else 1
        else:
            char = body[at + 1 : at + 2] if body[at] == "\\" else body[at]
            if not _is_literal(char, is_quoted=body[at] == "\\"):
                return None
            parts.append(escape_pattern(char))
            at += 2 if body[at] == "\\" else 1
    parts += [] if ends else ["*"]
    return "".join(part for part, group in groupby(parts) for part in ([part] if part == "*" else group))


def _is_literal(char: str, *, is_quoted: bool) -> bool:
    """Return whether *char* means itself; after a backslash, letters and digits do not."""
    if not char or (not char.isascii() and char.lower() != char.upper()):
        return False
    return not (char.isascii() and char.isalnum()) and char != "\n" if is_quoted else char not in SPECIAL
