"""The columns of a shard → its ids in their order and its bitmaps.

A row and the code of its value are packed into one integer; sorting these groups the rows of each value in rising
order, which is the fastest way to many bitmaps that was found. Where a column lies in few runs, they are used instead.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.ingest import cast
from audience.index.ingest.dictionary import Coded, Whole, coded, whole
from audience.index.ingest.row_order import Numbered, numbered
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.id_column import IdColumn, reordered
from audience.index.storage.id_lookup import rising
from audience.index.storage.layout import Digits
from audience.index.storage.shard_writer import Plane
from audience.language.attribute_names import BARE

Table: TypeAlias = dict[Column, pl.Series]

MOST_BITMAPS = 4_096  # an attribute with more values is kept as binary digits
FEW_RUNS = 256  # where a column has fewer runs than one in so many rows, they are used


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids in the order of the rows, and the bitmaps; both are made when they are asked for."""

    rows: int
    ids: Iterator[IdColumn]
    planes: Iterator[Plane]


def encoded(table: Table) -> Encoded:
    """*table* as a shard holds it."""
    rows = len(next(iter(table.values())))
    says = {column: values for column, values in table.items() if not column.keeps_ids}
    numbers = {column: _whole(values) for column, values in says.items()}
    wholes = {column: found for column, found in numbers.items() if _large(found)}
    with ThreadPoolExecutor(2) as several:
        coded = {
            c: several.submit(_coded, values, c, numbers[c]) for c, values in _longest_first(says) if c not in wholes
        }
        codes = {column: coded[column].result() for column in says if column in coded}
    single = {column: found for column, found in codes.items() if not _many(table[column])}
    order = numbered(rows, single)
    return Encoded(rows, _ids(table, order), _planes(says, wholes, codes, order))


def _ids(table: Table, order: Numbered[Column]) -> Iterator[IdColumn]:
    for column, values in table.items():
        if column.keeps_ids:
            yield reordered(f"{column.role}:{column.name}", values, order.order, order.places)


def _longest_first(table: Table) -> list[tuple[Column, pl.Series]]:
    return sorted(table.items(), key=lambda item: not _many(item[1]))


def _many(values: pl.Series) -> bool:
    return isinstance(values.dtype, pl.List)


def _whole(values: pl.Series) -> Whole | None:
    return None if _many(values) else whole(values)


def _large(found: Whole | None) -> bool:
    """Whether the numbers *found* are too many for a bitmap each."""
    if found is None:
        return False
    present = found.numbers[~found.missing] if found.missing.any() else found.numbers
    if len(present) <= MOST_BITMAPS or int(present.max()) - int(present.min()) < MOST_BITMAPS:
        return False
    return len(rising(present)) > MOST_BITMAPS


def _coded(values: pl.Series, column: Column, known: Whole | None) -> Coded:
    return coded(_flat(values) if _many(values) else values, column.role, known)


def _flat(values: pl.Series) -> pl.Series:
    """All that stands in the lists *values*, one behind the other."""
    return values.explode(empty_as_null=False, keep_nulls=False)


def _planes(
    table: Table, wholes: Mapping[Column, Whole | None], codes: Mapping[Column, Coded], order: Numbered[Column]
) -> Iterator[Plane]:
    """The bitmaps of each attribute in turn; all bare tags are one."""
    tags = [column for column in codes if column.role == "tags"]
    if tags:
        yield _tags({column: _grouped(table[column], codes[column], column, order) for column in tags}, codes)
    for column, values in table.items():
        found = wholes.get(column)
        if found is not None:
            yield _numbers(found, values, column, order)
        elif column.role != "tags" and len(codes[column].values) > MOST_BITMAPS and not _many(values):
            yield _placed(codes[column], column, order)
        elif column.role != "tags":
            yield _valued(values, codes[column], column, order)


def _tags(bitmaps: Mapping[Column, list[BitMap]], codes: Mapping[Column, Coded]) -> Plane:
    """One bitmap for each bare tag, of whichever column it stands in."""
    found = [
        (value, column.source, bitmap)
        for column, some in bitmaps.items()
        for value, bitmap in zip(codes[column].values.to_list(), some, strict=True)
    ]
    found.sort(key=itemgetter(0))
    texts = pl.Series([value for value, _, _ in found], dtype=pl.String)
    sources, some = [source for _, source, _ in found], [bitmap for _, _, bitmap in found]
    return Plane(BARE, "tags", texts, sources, some, len(found), False, "String")


def _valued(values: pl.Series, found: Coded, column: Column, order: Numbered[Column]) -> Plane:
    """One bitmap for each value."""
    bitmaps = _grouped(values, found, column, order)
    type_ = cast.type_name(found.values.dtype)
    texts = cast.texts(found.values)
    return Plane(column.name, column.role, texts, (), bitmaps, len(texts), not _many(values), type_)


def _numbers(found: Whole, values: pl.Series, column: Column, order: Numbered[Column]) -> Plane:
    """One bitmap for each binary digit of a number."""
    present = rising(found.numbers[~found.missing])
    base, last = int(present[0]), int(present[-1])
    gaps = present[1:].view(np.uint64) - present[:-1].view(np.uint64)  # cannot overflow
    step = int(np.gcd.reduce(gaps))
    digits = Digits(((last - base) // step).bit_length(), base, step, found.scale)
    places: NDArray[np.uint64] = (found.numbers.view(np.uint64) - np.uint64(base % (1 << 64))) // np.uint64(step)
    bitmaps = list(_digits(places[order.order], ~found.missing[order.order], digits.count))
    empty, type_ = pl.Series([], dtype=pl.String), cast.type_name(values.dtype)
    return Plane(column.name, column.role, empty, (), bitmaps, len(present), True, type_, digits)


def _placed(found: Coded, column: Column, order: Numbered[Column]) -> Plane:
    """One bitmap for each binary digit of the place of a value among all values."""
    codes = found.codes[order.order]
    digits = Digits((len(found.values) - 1).bit_length())
    bitmaps = list(_digits(np.maximum(codes, 1) - np.uint32(1), codes > 0, digits.count))
    texts, type_ = cast.texts(found.values), cast.type_name(found.values.dtype)
    return Plane(column.name, column.role, texts, (), bitmaps, len(texts), True, type_, digits)


def _digits(places: NDArray[Any], has: NDArray[np.bool_], count: int) -> Iterator[BitMap]:
    """The rows that have any value, then for each binary digit the rows whose place has it, the lowest first."""
    yield bitmaps.from_rows(np.flatnonzero(has).astype(np.uint32))
    for digit in range(count):
        set_ = (places >> places.dtype.type(digit) & places.dtype.type(1)).astype(np.bool_)
        yield bitmaps.from_rows(np.flatnonzero(set_ & has).astype(np.uint32))


def _grouped(values: pl.Series, found: Coded, column: Column, order: Numbered[Column]) -> list[BitMap]:
    """A bitmap of the rows of each value."""
    if _many(values):
        rows = np.repeat(order.places, values.list.len().fill_null(0).to_numpy())
        return _by_sorting(found.codes, rows, len(found.values), len(values))
    codes = order.sorted[column] if column in order.sorted else found.codes[order.order]
    starts = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    if len(starts) * FEW_RUNS < len(codes):
        return _by_runs(codes, np.concatenate([[0], starts, [len(codes)]]), len(found.values))
    rows = np.arange(len(codes), dtype=np.uint32)
    return _by_sorting(codes, rows, len(found.values), len(codes))


def _by_runs(codes: NDArray[np.uint32], stops: NDArray[np.int64], count: int) -> list[BitMap]:
    """The bitmaps of *count* values, where rows of the same value lie together; *stops* is where they change."""
    bitmaps = [BitMap() for _ in range(count)]
    for start, stop in zip(stops[:-1].tolist(), stops[1:].tolist(), strict=True):
        if stop > start and (code := int(codes[start])):
            bitmaps[code - 1].add_range(start, stop)
    return bitmaps


def _by_sorting(codes: NDArray[np.uint32], rows: NDArray[np.uint32], count: int, size: int) -> list[BitMap]:
    """The bitmaps of *count* values, of which each stands in *codes* beside its row."""
    row_bits = max(size - 1, 1).bit_length()
    packed: NDArray[Any] = codes.astype(np.uint32 if count.bit_length() + row_bits <= 32 else np.uint64)
    packed <<= packed.dtype.type(row_bits)
    packed |= rows
    packed.sort()
    first: NDArray[Any] = np.arange(1, count + 1, dtype=packed.dtype)
    starts = np.searchsorted(packed, first << packed.dtype.type(row_bits)).tolist()
    packed &= packed.dtype.type((1 << row_bits) - 1)
    found = packed.astype(np.uint32, copy=False)
    return [
        bitmaps.from_rows(found[start:stop]) for start, stop in zip(starts, [*starts[1:], len(found)], strict=False)
    ]
