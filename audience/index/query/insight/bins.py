"""Choose the bins of a histogram of numbers: ranges whose edges are easy to read.

Edges depend on the values that most devices have. The few at both ends, of which some may be far away, are counted in
an open bin each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor, log10

from audience.index.schema.value_types import RankRange, SortedValues, SortKey
from audience.language.ast import Between, Compare, Expr, Has, Tag

MAX_BINS = 20  # of numbers
MAX_ADDED_BINS = 2  # at both ends, if they reach the smallest or largest value
HEAVY_TAIL = 50  # times the median: if most values reach further, edges rise tenfold in three steps
MAX_DECADES = 9
NICE_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Bin:
    """Range of values.

    Attributes:
        label: Text for people.
        start: First value; None without a lower end.
        stop: Value after the last one; None without an upper end.
        query: Expression for the devices with a value in the range.
        parts: Sort keys of the range, half-open; of several parts where clocks begin a day twice.
    """

    label: str
    start: str | None
    stop: str | None
    query: Expr
    parts: tuple[tuple[SortKey | None, SortKey | None], ...]

    def find_ranks(self, values: SortedValues) -> list[RankRange]:
        """Return the ranks of the values in the range."""
        return [
            (0 if low is None else values.rank_below(low), values.size if high is None else values.rank_below(high))
            for low, high in self.parts
        ]


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest value, values below and above which few devices are, the value in the middle, and the largest one."""

    smallest: SortKey
    low: SortKey
    middle: SortKey
    high: SortKey
    largest: SortKey

    def join(self, other: "Spread") -> "Spread":
        """Return the spread of the values of both; the middle of this spread is kept."""
        return Spread(
            min(self.smallest, other.smallest),
            min(self.low, other.low),
            self.middle,
            max(self.high, other.high),
            max(self.largest, other.largest),
        )


def bin_numbers(name: str, spread: Spread, *, is_whole: bool) -> list[Bin]:
    """Return the bins of numbers.

    >>> numbers = Spread(*map(Decimal, (14, 15, 40, 79, 79)))
    >>> [each.label for each in bin_numbers("age", numbers, is_whole=True)][:3]
    ['10 to 14', '15 to 19', '20 to 24']
    """
    edges = [*_choose_edges(spread, is_whole=is_whole)]
    if spread.smallest == spread.largest:
        value = format_number(spread.smallest)
        return [Bin(value, value, format_number(edges[1]), Tag(name, value), ((spread.smallest, edges[1]),))]
    bounds: list[Decimal | None] = [
        *([None] if spread.smallest < edges[0] else []),
        *edges,
        *([None] if spread.largest >= edges[-1] else []),
    ]
    return [_bin_of_numbers(name, low, high, is_whole=is_whole) for low, high in pairwise(bounds)]


def _choose_edges(spread: Spread, *, is_whole: bool) -> Iterator[Decimal]:
    """Yield the edges of the bins of numbers, which rise."""
    low, middle, high = (Fraction(key) for key in (spread.low, spread.middle, spread.high))
    if low >= 0 and high > middle * HEAVY_TAIL and (high > MAX_BINS if is_whole else middle > 0):
        yield from _choose_rising_edges(low, middle, high, is_whole=is_whole)
        return
    magnitude = max(abs(high - low) / MAX_BINS, abs(high) / 10**6 if low == high else Fraction(0))
    step, exponent = _round_up(magnitude, smallest=0 if is_whole else None)
    size = step * Fraction(10) ** exponent
    smallest, largest = Fraction(spread.smallest), Fraction(spread.largest)
    low = smallest if low - smallest <= MAX_ADDED_BINS * size else low
    high = largest if largest - high <= MAX_ADDED_BINS * size else high
    for number in range(floor(low / size), floor(high / size) + 2):
        yield _to_decimal(number * step, exponent)


def _choose_rising_edges(low: Fraction, middle: Fraction, high: Fraction, *, is_whole: bool) -> Iterator[Decimal]:
    """Yield 0, and 1, 2 and 5 times the powers of ten up to *high*."""
    last = floor(_log10(high)) + 1
    smallest = max(low, Fraction(1)) if is_whole else low or middle / 1_000
    first = max(floor(_log10(smallest)), last - MAX_DECADES)
    if low < Fraction(10) ** first:
        yield Decimal(0)
    for exponent in range(first, last + 1):
        for step in NICE_STEPS:
            yield _to_decimal(step, exponent)
            if step * Fraction(10) ** exponent > high:
                return


def _round_up(size: Fraction, smallest: int | None) -> tuple[int, int]:
    """Return the digit and the power of ten of the smallest nice step that is not below *size*.

    Args:
        size: Size of a step.
        smallest: Smallest power of ten.
    """
    exponent = floor(_log10(size)) - 1 if size else (0 if smallest is None else smallest)
    if smallest is not None and exponent < smallest:
        exponent = smallest
    while True:
        for step in NICE_STEPS:
            if step * Fraction(10) ** exponent >= size:
                return step, exponent
        exponent += 1


def _log10(number: Fraction) -> float:
    """Return the logarithm of a positive number, which may be too large or too small for a float."""
    return log10(number.numerator) - log10(number.denominator)


def _to_decimal(digits: int, exponent: int) -> Decimal:
    """Return a number exactly, whatever the precision of decimals."""
    return Decimal(f"{digits}E{exponent}") if exponent < 0 else Decimal(digits * 10**exponent)


def _bin_of_numbers(name: str, low: Decimal | None, high: Decimal | None, *, is_whole: bool) -> Bin:
    start, stop = (None if edge is None else format_number(edge) for edge in (low, high))
    query: Expr
    match start, stop:
        case None, None:
            label, query = "any", Has(name)
        case None, str(stop):
            label, query = f"below {stop}", Compare(name, "<", stop)
        case str(start), None:
            label, query = f"{start} or more", Compare(name, ">=", start)
        case str(start), str(stop):
            assert low is not None and high is not None
            last = format_number(_to_decimal(int(high) - 1, 0)) if is_whole else f"<{stop}"
            label, query = f"{start} to {last}", Between(name, start, stop, "<=", "<")
            if start == last:
                label, query = start, Tag(name, start)
    return Bin(label, start, stop, query, ((low, high),))


def format_number(number: Decimal) -> str:
    """Return a number without an exponent and without zeros at its end.

    >>> format_number(Decimal("1.50")), format_number(Decimal("1E+3")), format_number(Decimal("0.0"))
    ('1.5', '1000', '0')
    """
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
