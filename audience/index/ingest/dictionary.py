"""Dictionary encoding of a column: the rank of each row's value among the distinct values."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.schema.columns import Role
from audience.index.schema.value_types import parse_value
from audience.index.storage.id_lookup import sorted_unique

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


def encode_dictionary(values: pl.Series, role: Role, scaled_ints: ScaledInts | None = None) -> DictionaryColumn:
    """Return the dictionary of *values*; *scaled_ints* are the same values as integers, if known already."""
    found = scaled_ints or as_scaled_ints(values)
    return _encode_scaled_ints(values, found) if found is not None else _encode_strings(values, role)


def as_scaled_ints(values: pl.Series) -> ScaledInts | None:
    """Return *values* as scaled integers; None if they are not numbers or too large.

    >>> as_scaled_ints(pl.Series([1.5, None, 20.25])).numbers[[0, 2]].tolist()
    [150, 2025]
    """
    missing = values.is_null().to_numpy()
    match values.dtype:
        case pl.Float64():
            return _scale_floats(values.fill_null(0.0).to_numpy(), missing)
        case pl.Decimal(scale=scale):
            numbers = values.to_physical().cast(pl.Int64, strict=False)
            return (
                ScaledInts(numbers.fill_null(0).to_numpy(), missing, scale)
                if _has_same_null_count(numbers, values)
                else None
            )
        case pl.Int64() | pl.Date() | pl.Datetime():
            return ScaledInts(values.to_physical().cast(pl.Int64).fill_null(0).to_numpy(), missing, 0)
    return None


def _has_same_null_count(numbers: pl.Series, values: pl.Series) -> bool:
    return numbers.null_count() == values.null_count()


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
    numbers = scaled_ints.numbers
    present = numbers[~scaled_ints.missing] if scaled_ints.missing.any() else numbers
    if not len(present):
        return DictionaryColumn(values.clear(), np.zeros(len(values), dtype=np.uint32))
    low, high = int(present.min()), int(present.max())
    if high - low < MAX_DENSE_RANGE:
        offsets = np.where(scaled_ints.missing, low, numbers) - low
        there = np.zeros(high - low + 1, dtype=np.bool_)
        there[offsets if not scaled_ints.missing.any() else offsets[~scaled_ints.missing]] = True
        codes = np.cumsum(there, dtype=np.uint32)[offsets]
    else:
        codes = np.searchsorted(sorted_unique(present), numbers).astype(np.uint32) + np.uint32(1)
    codes[scaled_ints.missing] = 0
    return DictionaryColumn(values.drop_nulls().unique().sort(), codes)


def _encode_strings(values: pl.Series, role: Role) -> DictionaryColumn:
    """Return the dictionary of strings, or of numbers with many decimal places."""
    if values.dtype.is_numeric():  # of many decimal places
        distinct = values.drop_nulls().unique().sort()
        places = values.rank("dense").fill_null(0).cast(pl.UInt32)
        return DictionaryColumn(distinct, places.to_numpy())
    if values.dtype == pl.String:
        values = values.cast(pl.Categorical(pl.Categories.random("values", pl.UInt32)))  # forgotten with the series
    numbers = values.to_physical()
    present = numbers.drop_nulls().to_numpy() if numbers.null_count() else numbers.to_numpy()
    missing = int(present.max()) + 1 if len(present) else 0
    there = np.zeros(missing, dtype=np.bool_)  # a dictionary may hold what this column does not
    there[present] = True
    known = np.flatnonzero(there).astype(np.uint32)
    distinct = pl.Series(known).cat.to(values.dtype).cast(pl.String)
    order = _sort_positions(distinct, role)
    codes = np.zeros(missing + 1, dtype=np.uint32)
    codes[known[order]] = np.arange(1, len(order) + 1, dtype=np.uint32)
    if numbers.null_count():
        numbers = numbers.fill_null(missing)
    return DictionaryColumn(distinct.gather(pl.Series(order)), codes[numbers.to_numpy()])


def _sort_positions(distinct: pl.Series, role: Role) -> NDArray[np.uint32]:
    """Return the positions of *distinct* in ascending order, without the empty string, which counts as null."""
    places = distinct.arg_sort().to_numpy()
    if len(places) and distinct[int(places[0])] == "":
        places = places[1:]
    if role != "version":
        return places
    keys = list(map(partial(parse_value, "version"), distinct))
    return np.array(sorted(places.tolist(), key=keys.__getitem__), dtype=np.uint32)
