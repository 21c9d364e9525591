"""Devices by the sum or the average of a number property of their events, computed exactly.

Numbers are integers of the smallest unit that any of them, or the bound, has. They are added as integers of 64 bits
where no sum can be larger; else as several digits of 32 bits, of which each is added by itself. The average is compared
without a division: it is above a bound if the sum of the differences from the bound is above 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from operator import eq, ge, gt, le, lt
from typing import TYPE_CHECKING, Any, TypeAlias

from audience.index.storage.events.segment import EventProperty
from audience.language.ast import AggregateOp
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIGIT_BITS = 32
MAX_DIRECT_SUM = 1 << 62
MAX_EXPONENT = 100  # of a bound: a sum of stored numbers has fewer digits before and after the point
DENSE_RATIO = 8  # sums are kept for all numbers of devices unless fewer than one in so many can have an event

COMPARISONS: Mapping[AggregateOp, Callable[[Any, int], Any]] = {"<": lt, "<=": le, "=": eq, ">=": ge, ">": gt}

Numbers: TypeAlias = "NDArray[np.uint32]"
Digits: TypeAlias = "NDArray[np.int64]"  # a row for each digit, the lowest first; the highest has the sign


@dataclass(frozen=True, slots=True)
class ScaledValues:
    """Values of a property as digits, by their code, and the bound that sums of them are compared with."""

    digits: Digits
    bound: list[int]


@dataclass(frozen=True, slots=True)
class DaySums:
    """Sums of the devices with any value on a day: their *numbers*, which rise, and the digits of each sum."""

    numbers: Numbers
    digits: Digits


@dataclass(frozen=True, slots=True)
class SumSigns:
    """Signs of the sums of devices less a bound: -1 below it, 0 at it, 1 above it; *numbers* rise."""

    numbers: Numbers
    signs: NDArray[np.int8]

    def select(self, operator: AggregateOp) -> Numbers:
        """Return the numbers of the devices whose sum is on the *operator* side of the bound."""
        return self.numbers[compare_sign(self.signs, operator)]

    def reject(self, operator: AggregateOp) -> Numbers:
        """Return the numbers of the other devices with a sum."""
        return self.numbers[~compare_sign(self.signs, operator)]


def compare_sign(sign: NDArray[np.int8], operator: AggregateOp) -> NDArray[np.bool_]:
    """Return which signs of a difference from a bound are on the *operator* side of it."""
    selected: NDArray[np.bool_] = COMPARISONS[operator](sign, 0)
    return selected


def is_on_side(difference: Fraction | Decimal, operator: AggregateOp) -> bool:
    """Return whether a number whose difference from a bound is given is on the *operator* side of the bound."""
    return bool(COMPARISONS[operator](difference, 0))


def read_bound(text: str) -> Decimal:
    """Return a bound, or one with a smaller exponent that compares with all sums as it does.

    >>> read_bound("0.50"), read_bound("-1e999999999")
    (Decimal('0.50'), Decimal('-1E+100'))
    """
    bound = Decimal(text)
    if not bound or abs(bound.adjusted()) <= MAX_EXPONENT:
        return bound
    return Decimal(1).scaleb(MAX_EXPONENT if bound.adjusted() > 0 else -MAX_EXPONENT).copy_sign(bound)


def scale_values(
    properties: Sequence[EventProperty], bound: Decimal, row_count: int, *, is_average: bool
) -> list[ScaledValues]:
    """Return the values of a property of each segment as digits of one unit.

    Args:
        properties: Property in each segment.
        bound: Number that sums, or the average, are compared with.
        row_count: Number of events of which a sum can be.
        is_average: Whether the bound is subtracted from each value, so that a sum is compared with 0.
    """
    places = max([_decimal_places(bound), *map(_count_places, properties)])
    scaled_bound = _to_integer(bound, places)
    shift = scaled_bound if is_average else 0
    target = 0 if is_average else scaled_bound
    direct = [_scale_directly(values, places, shift, row_count) for values in properties]
    if all(integers is not None for integers in direct) and abs(target) < MAX_DIRECT_SUM:
        return [ScaledValues(integers[None, :], [target]) for integers in direct if integers is not None]
    integers = [[_to_integer(Decimal(text), places) - shift for text in values.values()] for values in properties]
    largest = max(map(abs, [target, *(number for numbers in integers for number in numbers)]))
    count = largest.bit_length() // DIGIT_BITS + 1
    return [
        ScaledValues(
            np.array([_split_digits(number, count) for number in [0, *numbers]]).T, _split_digits(target, count)
        )
        for numbers in integers
    ]


def _decimal_places(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(-exponent, 0)


def _count_places(values: EventProperty) -> int:
    scaled = values.scaled()
    if scaled is not None:
        return scaled[1]
    return max((_decimal_places(Decimal(text)) for text in values.values()), default=0)


def _to_integer(number: Decimal, places: int) -> int:
    """Return *number* times 10 ** *places*, which is an integer.

    >>> _to_integer(Decimal("-1.5"), 2)
    -150
    """
    return int(Fraction(number) * 10**places)


def _scale_directly(values: EventProperty, places: int, shift: int, row_count: int) -> NDArray[np.int64] | None:
    """Return the value of each code less *shift*, or None if a sum of *row_count* of them may not fit 64 bits."""
    scaled = values.scaled()
    if scaled is None:
        return None
    integers, scale = scaled
    factor = 10 ** (places - scale)
    largest = max((abs(int(integers[0])), abs(int(integers[-1]))), default=0) if len(integers) else 0
    if (largest * factor + abs(shift)) * max(row_count, 1) >= MAX_DIRECT_SUM:
        return None
    by_code = np.zeros(len(integers) + 1, dtype=np.int64)
    by_code[1:] = (integers * factor if largest else 0) - shift
    return by_code


def _split_digits(number: int, count: int) -> list[int]:
    """Return *count* digits of 32 bits, the lowest first; the highest has the sign.

    >>> _split_digits(-1, 2), _split_digits(2**32 + 5, 2)
    ([4294967295, -1], [5, 1])
    """
    digits = [number >> DIGIT_BITS * place & ((1 << DIGIT_BITS) - 1) for place in range(count - 1)]
    return [*digits, number >> DIGIT_BITS * (count - 1)]


def sum_day(numbers: Numbers, codes: NDArray[np.unsignedinteger], values: ScaledValues) -> DaySums:
    """Return the sums of a day, of which each event has a code of a value, and the number of its device, which rise."""
    has_value = codes > 0
    numbers, codes = numbers[has_value], codes[has_value]
    if not len(numbers):
        return DaySums(numbers, np.zeros((len(values.bound), 0), dtype=np.int64))
    return DaySums(*_add_equal(numbers, [digit[codes] for digit in values.digits]))


def _add_equal(numbers: Numbers, digits: Sequence[NDArray[np.int64]]) -> tuple[Numbers, Digits]:
    """Return the distinct *numbers*, which rise, and the sum of each digit of the rows of each of them.

    Differences of running totals are several times faster than sums of groups. A running total may exceed 64 bits, but
    not the differences, which are right then, too.
    """
    is_last = np.ones(len(numbers), dtype=np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=is_last[:-1])
    if is_last.all():
        return numbers, np.array(digits)
    ends = np.flatnonzero(is_last)
    return numbers[ends], np.array([np.diff(np.cumsum(digit)[ends], prepend=0) for digit in digits])


def compare_sums(days: Iterable[DaySums], bound: list[int], row_count: int, number_count: int) -> SumSigns:
    """Return how the sums of devices over all *days* compare with *bound*.

    Args:
        days: Sums of each day.
        bound: Digits of the bound.
        row_count: Number of events of all days together, or more.
        number_count: All numbers of devices are below it.
    """
    if row_count * DENSE_RATIO < number_count:
        numbers, digits = _add_sorted(days, len(bound))
    else:
        numbers, digits = _add_densely(days, len(bound), number_count)
    return SumSigns(numbers, _compare_digits(digits, bound))


def _add_sorted(days: Iterable[DaySums], digit_count: int) -> tuple[Numbers, Digits]:
    parts = [day for day in days if len(day.numbers)]
    if not parts:
        return np.empty(0, dtype=np.uint32), np.empty((digit_count, 0), dtype=np.int64)
    numbers = np.concatenate([day.numbers for day in parts])
    order = np.argsort(numbers, kind="stable")
    numbers = numbers[order]
    return _add_equal(numbers, [*np.concatenate([day.digits for day in parts], axis=1)[:, order]])


def _add_densely(days: Iterable[DaySums], digit_count: int, number_count: int) -> tuple[Numbers, Digits]:
    totals = np.zeros((digit_count, number_count), dtype=np.int64)
    is_present = np.zeros(number_count, dtype=np.bool_)
    for day in days:
        is_present[day.numbers] = True
        for total, digits in zip(totals, day.digits, strict=True):
            total[day.numbers] += digits  # each number is there once
    numbers = np.flatnonzero(is_present)
    return numbers.astype(np.uint32), totals[:, numbers]


def _compare_digits(digits: Digits, bound: list[int]) -> NDArray[np.int8]:
    """Return the sign of each sum less *bound*; digits of a sum may be larger than 32 bits until they are carried."""
    for lower, upper in pairwise(digits):
        upper += lower >> DIGIT_BITS
        lower &= (1 << DIGIT_BITS) - 1
    signs = np.zeros(digits.shape[1], dtype=np.int8)
    for digit, of_bound in zip(digits, bound, strict=True):  # a higher digit decides over the lower ones
        is_different = digit != of_bound
        signs[is_different] = np.sign(digit[is_different] - of_bound)
    return signs
