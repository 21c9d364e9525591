"""Suggest what to write instead of an expression with a misspelled name."""

import re

from audience.errors import ExpressionError, Problem
from audience.language.grammar import tokenize, unquote_token
from audience.language.parser import parse
from audience.language.printer import quote_name

SUGGESTED_NAME = re.compile(r"did you mean (.+)\?", re.DOTALL)
QUOTED_NAME = re.compile(r"'([^']+)'")
NAME_TOKENS = ("NAME", "STRING")


def suggest_fix(text: str, problem: Problem) -> str | None:
    """Return *text* with the name that the hint of *problem* suggests, or None if it suggests none that fits.

    >>> from audience.span import Span
    >>> text = "vip AND mael"
    >>> suggest_fix(text, Problem("no-device", "no device has 'mael'", Span(text, 8, 12), hint="did you mean male?"))
    'vip AND male'
    """
    suggested = SUGGESTED_NAME.fullmatch(problem.hint or "")
    if suggested is None or problem.span is None or problem.span.text != text:
        return None
    try:
        start, end = _find_misspelled(text, problem)
        fixed = text[:start] + quote_name(suggested[1]) + text[end:]
        parse(fixed, folder=None)
    except (ExpressionError, LookupError):
        return None
    return fixed


def _find_misspelled(text: str, problem: Problem) -> tuple[int, int]:
    """Return where the name is that a problem is about: the one in its message, else the last one at its place."""
    span = problem.span
    assert span is not None
    tokens = [token for token in tokenize(text) if span.start <= token.start_pos and token.end_pos <= span.end]
    names = [token for token in tokens if token.type in NAME_TOKENS]
    message_name = QUOTED_NAME.search(problem.message)
    named = [token for token in names if message_name and unquote_token(token) == message_name[1]]
    token = (named or names)[0 if named else -1]
    return token.start_pos, token.end_pos
