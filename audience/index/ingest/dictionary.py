"""Dictionary encoding of a column: the rank of each row's value among the distinct values."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.schema.columns import Role
from audience.index.schema.value_types import value_type_of
from audience.index.storage.number_sorting import sorted_unique

MAX_DENSE_RANGE = 1 << 22  # width of a range of numbers that is counted in a table of the whole range
MAX_DECIMAL_PLACES = 6
MAX_EXACT_FLOAT_INTEGER = 2**53  # whole numbers up to here are exact as floats


@dataclass(frozen=True, slots=True)
class DictionaryColumn:
    """Distinct *values* in their order, and the *codes* of the rows: the rank of the value from 1, or 0 for null."""

    values: pl.Series
    codes: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class ScaledInts:
    """Number of each row times 10 ** *scale*; the numbers of *missing* rows have no meaning."""

    numbers: NDArray[np.int64]
    missing: NDArray[np.bool_]
    scale: int

    def present(self) -> NDArray[np.int64]:
        """Return the numbers of the rows that have one."""
        return self.numbers[~self.missing] if self.missing.any() else self.numbers


def encode_dictionary(values: pl.Series, role: Role, scaled_ints: ScaledInts | None = None) -> DictionaryColumn:
    """Return the dictionary of *values*; *scaled_ints* are the same values as integers, if known already."""
    ints = scaled_ints or as_scaled_ints(values)
    if ints is not None:
        return _encode_scaled_ints(values, ints)
    return _encode_numbers(values) if values.dtype.is_numeric() else _encode_strings(values, role)


def encode_flags(flags: pl.Series, tag: str) -> DictionaryColumn:
    """Return the dictionary of Boolean values, of which the true ones are *tag*.

    >>> encode_flags(pl.Series([True, False, None]), "vip").codes.tolist()
    [1, 0, 0]
    """
    if not flags.any():
        return DictionaryColumn(pl.Series([], dtype=pl.String), np.zeros(len(flags), dtype=np.uint32))
    is_set = (flags.fill_null(False) if flags.null_count() else flags).to_numpy()
    return DictionaryColumn(pl.Series([tag]), is_set.astype(np.uint32))


def as_scaled_ints(values: pl.Series) -> ScaledInts | None:
    """Return *values* as scaled integers; None if they are not numbers or too large.

    >>> as_scaled_ints(pl.Series([1.5, None, 20.25])).numbers[[0, 2]].tolist()
    [150, 2025]
    """
    match values.dtype:
        case pl.Float64():
            return _scale_floats(values.fill_null(0.0).to_numpy(), _find_missing(values))
        case pl.Decimal(scale=scale):
            numbers = values.to_physical().cast(pl.Int64, strict=False)
            if numbers.null_count() > values.null_count():
                return None
            return ScaledInts(numbers.fill_null(0).to_numpy(), _find_missing(values), scale)
        case pl.Int64() | pl.Date() | pl.Datetime():
            numbers = values.to_physical().cast(pl.Int64)
            return ScaledInts(numbers.fill_null(0).to_numpy(), _find_missing(values), 0)
    return None


def _find_missing(values: pl.Series) -> NDArray[np.bool_]:
    return values.is_null().to_numpy()


def _scale_floats(numbers: NDArray[np.float64], missing: NDArray[np.bool_]) -> ScaledInts | None:
    """Return floats as scaled integers, if few decimal places reproduce each of them exactly."""
    for scale in range(MAX_DECIMAL_PLACES + 1):
        power = 10.0**scale
        scaled = np.rint(numbers * power)
        if (np.abs(scaled) >= MAX_EXACT_FLOAT_INTEGER).any():
            return None
        if (scaled / power == numbers).all():
            return ScaledInts(scaled.astype(np.int64), missing, scale)
    return None


def _encode_scaled_ints(values: pl.Series, scaled_ints: ScaledInts) -> DictionaryColumn:
    numbers, missing = scaled_ints.numbers, scaled_ints.missing
    present = scaled_ints.present()
    if not len(present):
        return DictionaryColumn(values.clear(), np.zeros(len(values), dtype=np.uint32))
    low, high = int(present.min()), int(present.max())
    if high - low < MAX_DENSE_RANGE:
        codes = _rank_by_counting(np.where(missing, low, numbers) - low, high - low + 1)
    else:
        codes = np.searchsorted(sorted_unique(present), numbers).astype(np.uint32) + np.uint32(1)
    codes[missing] = 0
    return DictionaryColumn(values.drop_nulls().unique().sort(), codes)


def _rank_by_counting(offsets: NDArray[np.int64], range_size: int) -> NDArray[np.uint32]:
    """Return the rank of each offset among all offsets, from 1.

    offsets      0  2  3  2
    occurs       1  0  1  1     for each number of the range
    cumulative   1  1  2  3     the rank of each number that occurs
    """
    occurs = np.zeros(range_size, dtype=np.bool_)
    occurs[offsets] = True
    return np.cumsum(occurs, dtype=np.uint32)[offsets]


def _encode_numbers(values: pl.Series) -> DictionaryColumn:
    """Return the dictionary of numbers with too many decimal places for scaled integers."""
    ranks = values.rank("dense").fill_null(0).cast(pl.UInt32)
    return DictionaryColumn(values.drop_nulls().unique().sort(), ranks.to_numpy())


def _encode_strings(values: pl.Series, role: Role) -> DictionaryColumn:
    """Return the dictionary of strings, ordered by the type of *role*.

    Polars numbers the strings in the order in which it met them, perhaps in other columns too. A table translates its
    numbers to ranks; its last entry is for null.

    strings       "b"  null  "a"  "b"
    physical       0   null   2    0      number 1 is a string of another column
    distinct      "b"  "a"                at the numbers 0 and 2
    rank_of        2    0     1    0      by number, then for null
    codes          2    0     1    2
    """
    if values.dtype == pl.String:
        values = values.cast(pl.Categorical(pl.Categories.random("values", pl.UInt32)))  # freed with the series
    physical = values.to_physical()
    present = physical.drop_nulls().to_numpy() if physical.null_count() else physical.to_numpy()
    null_number = int(present.max()) + 1 if len(present) else 0
    occurs = np.zeros(null_number, dtype=np.bool_)
    occurs[present] = True
    distinct_numbers = np.flatnonzero(occurs).astype(np.uint32)
    distinct = pl.Series(distinct_numbers).cat.to(values.dtype).cast(pl.String)
    order = _sort_positions(distinct, role)
    rank_of = np.zeros(null_number + 1, dtype=np.uint32)
    rank_of[distinct_numbers[order]] = np.arange(1, len(order) + 1, dtype=np.uint32)
    if physical.null_count():
        physical = physical.fill_null(null_number)
    return DictionaryColumn(distinct.gather(pl.Series(order)), rank_of[physical.to_numpy()])


def _sort_positions(distinct: pl.Series, role: Role) -> NDArray[np.uint32]:
    """Return the positions of *distinct* in ascending order, without the empty string, which counts as null."""
    positions = distinct.arg_sort().to_numpy()
    if len(positions) and distinct[int(positions[0])] == "":
        positions = positions[1:]
    value_type = value_type_of(role)
    if not value_type.is_ordered:
        return positions
    strings = distinct.to_list()
    by_key = sorted(positions.tolist(), key=lambda position: value_type.parse(strings[position]))
    return np.array(by_key, dtype=np.uint32)
