"""Find likely mistakes in patterns, thresholds, limits and days, which are valid on their own."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime

from audience.errors import Problem
from audience.language.ast import (
    MIRRORED_OPS,
    Aggregate,
    AttributeAtom,
    Between,
    Compare,
    Did,
    EventMoment,
    Expr,
    Limit,
    Matches,
    Tag,
    Threshold,
    Top,
    Within,
    walk_operands,
)
from audience.language.event_atoms import read_number
from audience.language.patterns import read_pattern
from audience.language.printer import quote_name, render

FAR_YEARS = 20  # a later day than so many years from now is probably a mistake


def find_likely_mistakes(expr: Expr, now: datetime) -> Iterator[Problem]:
    """Yield a problem for each pattern without a wildcard, term that counts twice, and day in the far future.

    Args:
        expr: Expression with relative times bound.
        now: Moment of the question, in its time zone.

    >>> from audience.language.parser import parse
    >>> expr = parse('city matches "Rome" OR at least 2 of (a, b, a) OR expires within 7 days of 2206-11-28')
    >>> [problem.code for problem in find_likely_mistakes(expr, datetime(2026, 11, 28))]
    ['plain-pattern', 'repeated-term', 'far-future']
    """
    for node in walk_operands(expr):
        match node:
            case Did(events=events) | Aggregate(events=events) | EventMoment(events=events):
                yield from () if events.where is None else find_likely_mistakes(events.where, now)
            case Matches():
                yield from _find_plain_pattern(node)
            case Threshold():
                yield from _find_repeated_terms(node)
            case Compare() if _is_turned(node):
                yield _turned_problem(node)
            case Tag() | Compare() | Within() | Between():
                yield from _find_far_days(node, now)


def find_limit_problems(expr: Expr, count: Callable[[Expr], int]) -> Iterator[Problem]:
    """Yield a problem for each limit that is not reached; *count* returns the number of devices of an expression."""
    for node in walk_operands(expr):
        if isinstance(node, Limit | Top) and (found := count(node)) < node.count:
            message = f"the limit of {node.count:,} is not reached: {found:,} devices"
            yield Problem("limit-not-reached", message, node.span, hint="widen what is limited, or leave the limit out")


def _find_plain_pattern(matches: Matches) -> Iterator[Problem]:
    text = read_pattern(matches.pattern, matches.ignores_case).literal
    if text is not None:
        message = f"{render(matches)!r} has no * or ?, so one value matches"
        hint = f"write {render(Tag(matches.type, text))}, or {quote_name(matches.type)} contains {quote_name(text)}"
        yield Problem("plain-pattern", message, matches.span, hint=hint)


def _is_turned(compare: Compare) -> bool:
    """Return whether a comparison has its number or day before the sign: `18 <= age`."""
    return _is_number_or_day(compare.type) and not _is_number_or_day(compare.value)


def _is_number_or_day(text: str) -> bool:
    with suppress(ValueError):
        return date.fromisoformat(text) > date.min
    return read_number(text) is not None


def _turned_problem(compare: Compare) -> Problem:
    turned = Compare(compare.value, MIRRORED_OPS[compare.operator], compare.type)
    message = f"{render(compare)!r} compares an attribute called {compare.type}"
    return Problem("turned-comparison", message, compare.span, hint=f"write {render(turned)}")


def _find_repeated_terms(threshold: Threshold) -> Iterator[Problem]:
    terms = threshold.terms
    for position, term in enumerate(terms):
        if terms[:position].count(term) == 1:
            message = f"{render(term)!r} counts more than once: its devices reach the number sooner"
            span = getattr(term, "span", None) or threshold.span
            yield Problem("repeated-term", message, span, hint="list each term once")


def _find_far_days(atom: AttributeAtom, now: datetime) -> Iterator[Problem]:
    operands = [getattr(atom, name) for name in ("value", "day", "low", "high") if hasattr(atom, name)]
    for operand in operands:
        with suppress(ValueError):
            day = date.fromisoformat(operand) if operand.count("-") == 2 else date.min
            if day.year > now.year + FAR_YEARS:
                message = f"{operand} is more than {FAR_YEARS} years from now"
                yield Problem("far-future", message, getattr(atom, "span", None), hint="correct the year")
