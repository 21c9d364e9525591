"""Patterns of text: `*` matches any text, `?` one character."""

import re


def escape_pattern(text: str) -> str:
    r"""Return the pattern that only *text* fits.

    >>> print(escape_pattern("50%*"))
    50%\*
    """
    return re.sub(r"[*?\\]", r"\\\g<0>", text)
