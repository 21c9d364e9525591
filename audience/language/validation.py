"""What nodes are held to, whether they were read from a text or built in Python."""

import re
from collections import Counter
from fractions import Fraction

from audience.errors import ExpressionError, Problem
from audience.language.suggest import did_you_mean
from audience.span import Span

SURROGATE = re.compile("[\ud800-\udfff]")
DECIMAL_NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
MAX_FRACTION_DIGITS = 6  # a millionth of a percent is less than one device of a hundred million
MAX_VARIANTS = 100  # of a split; each of its nodes carries all of them
MAX_HINT_NAMES = 5  # names that a hint lists


def require_nonempty(label: str, text: str, span: Span | None) -> None:
    """Refuse *text* unless it is one that can be written, with at least one character."""
    if not isinstance(text, str):
        raise type_error(label, "a text", text)
    if not text:
        raise ExpressionError(
            Problem("empty-name", f"{label} without a name", span, hint="write at least one character")
        )
    if not text.isascii() and SURROGATE.search(text):
        raise ExpressionError(
            Problem("bad-text", f"{text!r} holds half a character", hint="it cannot be written in UTF-8")
        )


def type_error(label: str, expected: str, value: object) -> ExpressionError:
    """The error of a *value* that is not of the type that is *wanted*."""
    return ExpressionError(Problem("wrong-type", f"{label} is {expected}, not {value!r:.60}"))


def normalize_percent(text: str, span: Span | None = None) -> str:
    """The one way in which the percentage *text* is written.

    >>> normalize_percent("10.0"), normalize_percent("012.50"), normalize_percent("0.5")
    ('10', '12.5', '0.5')
    """
    if not isinstance(text, str):
        raise type_error("a share", "a text of percent", text)
    found = DECIMAL_NUMBER.fullmatch(text)
    whole, part = (found[1].lstrip("0"), (found[2] or "").rstrip("0")) if found else ("", "")
    written = f"{whole or '0'}{'.' if part else ''}{part}"
    short = len(whole) <= len("100") and len(part) <= MAX_FRACTION_DIGITS
    if found is None or not short or not 0 < Fraction(written) <= 100:
        hint = f"more than 0, at most 100, with at most {MAX_FRACTION_DIGITS} digits after the point"
        raise ExpressionError(Problem("bad-share", f"{text!r:.60} is no percentage of devices", span, hint=hint))
    return written


def normalize_variants(variants: tuple[tuple[str, str], ...], span: Span | None = None) -> tuple[tuple[str, str], ...]:
    """The names and shares of the sides of a split, the shares in the one way that they are written.

    >>> normalize_variants((("a", "45.0"), ("b", "45")))
    (('a', '45'), ('b', '45'))
    """
    if not isinstance(variants, tuple) or not all(isinstance(each, tuple) and len(each) == 2 for each in variants):
        raise type_error("sides", "a tuple of pairs of a name and a share", variants)
    if not variants:
        hint = "name at least one: split(a:50%, b:50%, summer)"
        raise ExpressionError(Problem("bad-sides", "a split without sides", span, hint=hint))
    if len(variants) > MAX_VARIANTS:
        raise ExpressionError(Problem("bad-sides", f"{len(variants):,} sides; {MAX_VARIANTS} is the most", span))
    for name, _ in variants:
        require_nonempty("a side", name, span)
    name, times = Counter(name for name, _ in variants).most_common(1)[0]
    if times > 1:
        raise ExpressionError(
            Problem("bad-sides", f"{times} sides are called {name!r}", span, hint="give each a name of its own")
        )
    written = tuple((name, normalize_percent(text, span)) for name, text in variants)
    whole = sum(Fraction(text) for _, text in written)
    if whole > 100:
        message = f"the sides make up {float(whole):.9g}% of all devices"
        raise ExpressionError(Problem("bad-sides", message, span, hint="100% is the most"))
    return written


def require_variant(name: str, variants: tuple[tuple[str, str], ...], span: Span | None = None) -> None:
    """Refuse *name* unless one of the sides *found* is called so."""
    names = [known for known, _ in variants]
    require_nonempty("a side", name, span)
    if name not in names:
        hint = did_you_mean(name, names) or f"one of {join_some(names)}"
        raise ExpressionError(Problem("unknown-side", f"no side of the split is called {name!r}", span, hint=hint))


def join_some(names: list[str]) -> str:
    """The first of *names*, for a hint.

    >>> join_some(["a", "b"]), join_some(list("abcdefg"))
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - MAX_HINT_NAMES} more" if len(names) > MAX_HINT_NAMES else ""
    return ", ".join(names[:MAX_HINT_NAMES]) + more
