"""Validate and normalize the fields of nodes, whether they were parsed or built in Python."""

import re
from collections import Counter
from fractions import Fraction

from audience.errors import ExpressionError, Problem
from audience.language.attribute_names import UNTYPED
from audience.language.suggest import did_you_mean
from audience.span import Span

SURROGATE = re.compile("[\ud800-\udfff]")
DECIMAL_NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
MAX_FRACTION_DIGITS = 6  # a millionth of a percent is less than one device of a hundred million
MAX_VARIANTS = 100  # each node of a split carries all of its variants
MAX_HINT_NAMES = 5


def require_nonempty(label: str, text: str, span: Span | None) -> None:
    """Raise ExpressionError unless *text* is a nonempty string of valid Unicode."""
    if not isinstance(text, str):
        raise type_error(label, "a string", text)
    if not text:
        raise ExpressionError(Problem("empty-name", f"empty {label}", span, hint="write at least one character"))
    if not text.isascii() and SURROGATE.search(text):
        raise ExpressionError(
            Problem("bad-text", f"{text!r} is not valid Unicode", hint="remove the unpaired surrogate")
        )


def require_pattern(pattern: str, type_: str, span: Span | None) -> None:
    """Raise ExpressionError unless *pattern* has a character other than `*`, and each backslash quotes one."""
    if "\\" in re.sub(r"\\[*?\\]", "", pattern):
        hint = r"write \* \? or \\; other escapes do not exist"
        raise ExpressionError(Problem("bad-escape", f"invalid escape in the pattern {pattern!r:.60}", span, hint=hint))
    if not pattern.strip("*"):
        name = type_ if re.fullmatch(r"\w+", type_) else f'"{type_}"'
        hint = "write everyone for all devices" if type_ == UNTYPED else f"write has({name}) for any value"
        raise ExpressionError(Problem("any-text", f"every value fits the pattern {pattern!r}", span, hint=hint))


def type_error(label: str, expected: str, value: object) -> ExpressionError:
    """Return the error for a *value* of the wrong type."""
    return ExpressionError(Problem("wrong-type", f"{label}: expected {expected}, got {value!r:.60}"))


def normalize_percent(text: str, span: Span | None = None) -> str:
    """Return the percentage *text* in canonical form.

    >>> normalize_percent("10.0"), normalize_percent("012.50"), normalize_percent("0.5")
    ('10', '12.5', '0.5')
    """
    if not isinstance(text, str):
        raise type_error("percentage", "a string", text)
    match = DECIMAL_NUMBER.fullmatch(text)
    digits, decimals = (match[1].lstrip("0"), (match[2] or "").rstrip("0")) if match else ("", "")
    percent = f"{digits or '0'}{'.' if decimals else ''}{decimals}"
    is_short = len(digits) <= len("100") and len(decimals) <= MAX_FRACTION_DIGITS
    if match is None or not is_short or not 0 < Fraction(percent) <= 100:
        hint = f"use a number above 0, at most 100, with at most {MAX_FRACTION_DIGITS} decimals"
        raise ExpressionError(Problem("bad-share", f"invalid percentage {text!r:.60}", span, hint=hint))
    return percent


def normalize_variants(variants: tuple[tuple[str, str], ...], span: Span | None = None) -> tuple[tuple[str, str], ...]:
    """Return the names and canonical percentages of the variants of a split.

    >>> normalize_variants((("a", "45.0"), ("b", "45")))
    (('a', '45'), ('b', '45'))
    """
    if not isinstance(variants, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in variants):
        raise type_error("variants", "a tuple of pairs (name, percentage)", variants)
    _check_variant_names([name for name, _ in variants], span)
    normalized = tuple((name, normalize_percent(percent, span)) for name, percent in variants)
    total = sum(Fraction(percent) for _, percent in normalized)
    if total > 100:
        message = f"the variants add up to {float(total):.9g}%"
        raise ExpressionError(Problem("bad-sides", message, span, hint="reduce them to at most 100%"))
    return normalized


def _check_variant_names(names: list[str], span: Span | None) -> None:
    """Raise ExpressionError unless there are 1 to MAX_VARIANTS distinct names."""
    if not names:
        hint = "name at least one: split(a:50%, b:50%, summer)"
        raise ExpressionError(Problem("bad-sides", "split has no variants", span, hint=hint))
    if len(names) > MAX_VARIANTS:
        hint = f"use at most {MAX_VARIANTS}"
        raise ExpressionError(Problem("bad-sides", f"split has {len(names):,} variants", span, hint=hint))
    for name in names:
        require_nonempty("variant", name, span)
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise ExpressionError(
            Problem("bad-sides", f"{times} variants are named {name!r}", span, hint="give each variant its own name")
        )


def require_variant(name: str, variants: tuple[tuple[str, str], ...], span: Span | None = None) -> None:
    """Raise ExpressionError unless *name* is one of *variants*."""
    names = [variant for variant, _ in variants]
    require_nonempty("variant", name, span)
    if name not in names:
        hint = did_you_mean(name, names) or f"use one of {join_some(names)}"
        raise ExpressionError(Problem("unknown-side", f"the split has no variant {name!r}", span, hint=hint))


def join_some(names: list[str]) -> str:
    """Return the first of *names* as a list for a hint.

    >>> join_some(["a", "b"]), join_some(list("abcdefg"))
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - MAX_HINT_NAMES} more" if len(names) > MAX_HINT_NAMES else ""
    return ", ".join(names[:MAX_HINT_NAMES]) + more
