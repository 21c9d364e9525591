"""The bitmaps of a shard → the columns they were made of, for any of its rows: the way back from `encode`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.errors import Problem, TableError
from audience.index.ingest.cast import restored
from audience.index.ingest.dictionary import EXACT
from audience.index.ingest.encode import Table
from audience.index.schema.columns import Column
from audience.index.storage import arrow_file, bitmaps, polars_bridge
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.layout import Attribute, Digits
from audience.index.storage.shard import Shard

DIGITS = 38  # of a decimal
FEW = 64  # one row in so many is few


Names: TypeAlias = Mapping[Column, pl.Categories]  # a dictionary of texts for each column that is not of ids


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rows of a shard that are wanted, and where among them each row of a bitmap stands."""

    rows: NDArray[np.uint32]
    within: BitMap
    places: Callable[[NDArray[np.uint32]], NDArray[np.int64]]

    @classmethod
    def of(cls, rows: NDArray[np.uint32], size: int) -> "Wanted":
        """Of *size* rows: for many a table of all of them is faster than looking for each."""
        within = bitmaps.from_rows(rows)
        if len(rows) * FEW < size:
            return cls(rows, within, lambda some: np.searchsorted(rows, some))
        table = np.zeros(size, dtype=np.int64)
        table[rows] = np.arange(len(rows))
        return cls(rows, within, table.__getitem__)

    def at(self, bitmap: BitMap) -> NDArray[np.int64]:
        """Where those rows stand that *bitmap* has."""
        return self.places(bitmaps.rows_of(bitmap & self.within))


def dictionaries(columns: Iterable[Column]) -> dict[Column, pl.Categories]:
    """A dictionary of texts for each of *columns* that is not of ids; it is forgotten with its series."""
    return {column: pl.Categories.random("values", pl.UInt32) for column in columns if not column.keeps_ids}


def packed(values: pl.Series, names: pl.Categories | None) -> pl.Series:
    """*values* with texts as numbers of a dictionary, which take a quarter of the memory and are not hashed again."""
    match values.dtype:
        case pl.String() if names is not None:
            return values.cast(pl.Categorical(names))
        case pl.List(inner=pl.String()) if names is not None:
            return values.cast(pl.List(pl.Categorical(names)))
    return values


def decoded(shard: Shard, rows: NDArray[np.uint32], columns: Iterable[Column], names: Names) -> Table:
    """The *columns* of the devices that *shard* has at *rows*, in that order, which must be rising."""
    wanted = Wanted.of(rows, shard.rows)
    return {column: _column(shard, wanted, column, names.get(column)) for column in columns}


def _column(shard: Shard, wanted: Wanted, column: Column, names: pl.Categories | None) -> pl.Series:
    if column.keeps_ids:
        return polars_bridge.some_ids(shard, f"{column.role}:{column.name}", wanted.rows)
    attribute = shard.attributes.get(column.name)
    if attribute is None:
        return packed(pl.Series([None], dtype=pl.String).new_from_index(0, len(wanted.rows)), names)
    if attribute.digits is not None:
        return packed(_from_digits(shard, wanted, attribute, attribute.digits), names)
    return _from_values(shard, wanted, attribute, column, names)


def _from_values(
    shard: Shard, wanted: Wanted, attribute: Attribute, column: Column, names: pl.Categories | None
) -> pl.Series:
    """The value of each row, or the list of its values where it may have several."""
    shown = polars_bridge.table(shard).slice(attribute.start, attribute.written)
    own = [column.source] if attribute.role == "tags" else shown["column"].unique().to_list()
    places = [place for place, source in enumerate(shown["column"]) if source in own]
    values = packed(restored(shown["value"], attribute.type), names)
    found = [wanted.at(shard.bitmap(attribute.start + at)) for at in places]
    row = np.concatenate([np.empty(0, dtype=np.int64), *found])
    place = np.repeat(np.array(places, dtype=np.uint64), list(map(len, found)))
    if attribute.single:
        return _spread(values.gather(pl.Series(place)), row, len(wanted.rows))
    both = row.view(np.uint64) << np.uint64(32) | place
    both.sort()
    counts = np.bincount(row, minlength=len(wanted.rows))
    return _lists(values, pl.Series(both & np.uint64(0xFFFFFFFF)), counts)


def _lists(values: pl.Series, places: pl.Series, counts: NDArray[np.int64]) -> pl.Series:
    """Lists of *counts* each, of those of *values* that stand at *places*."""
    if not isinstance(values.dtype, pl.Categorical):
        return polars_bridge.to_series(arrow_file.lists(counts, polars_bridge.from_series(values.gather(places))))
    numbers = polars_bridge.to_series(
        arrow_file.lists(counts, polars_bridge.from_series(values.to_physical().gather(places)))
    )
    return numbers.list.eval(pl.element().cat.to(values.dtype))


def _spread(values: pl.Series, rows: NDArray[np.int64], size: int) -> pl.Series:
    """A series of *size* in which *values* stand at *rows*, and nothing elsewhere."""
    places = np.full(size, len(values), dtype=np.uint32)
    places[rows] = np.arange(len(values), dtype=np.uint32)
    return values.extend_constant(None, 1).gather(pl.Series(places))


def _from_digits(shard: Shard, wanted: Wanted, attribute: Attribute, digits: Digits) -> pl.Series:
    first = attribute.start + attribute.written
    numbers = np.zeros(len(wanted.rows), dtype=np.uint64)
    for digit in range(digits.count):
        numbers[wanted.at(shard.bitmap(first + 1 + digit))] |= np.uint64(1 << digit)
    missing = np.ones(len(wanted.rows), dtype=np.bool_)
    missing[wanted.at(shard.bitmap(first))] = False
    if not digits.step:
        values = restored(polars_bridge.values(shard, attribute), attribute.type)
        return values.gather(pl.Series(numbers)).set(pl.Series(missing), None)
    whole = (numbers * np.uint64(digits.step) + np.uint64(digits.base % (1 << 64))).view(np.int64)
    return _number(pl.Series(whole).set(pl.Series(missing), None), attribute.type, digits.scale)


def _number(whole: pl.Series, type_: str, scale: int) -> pl.Series:
    """What the *whole* numbers stand for."""
    match type_.partition(":")[0]:
        case "Float64":
            return whole.cast(pl.Float64) / 10.0**scale  # nearest to the decimal, as its text is read
        case "Decimal":
            exact = [None if number is None else Decimal(number).scaleb(-scale) for number in whole.to_list()]
            return pl.Series(exact, dtype=pl.Decimal(38, scale))
        case "Date":
            return whole.cast(pl.Int32).cast(pl.Date)
        case "Datetime":
            return whole.cast(pl.Datetime("us"))
    return whole


def joined(pieces: Sequence[pl.Series], column: Column) -> pl.Series:
    """*pieces* of a column, one behind the other; numbers of several types as one that keeps them exactly.

    Raises TableError where there is none.
    """
    if any(isinstance(piece.dtype, pl.List) for piece in pieces):
        pieces = [listed(piece) for piece in pieces]
    types = {piece.dtype for piece in pieces if piece.null_count() < len(piece)}
    wanted = _common(types, pieces, column) if len(types) > 1 else next(iter(types), pieces[0].dtype)
    try:
        return pl.concat([piece.cast(wanted) for piece in pieces])
    except pl.exceptions.InvalidOperationError as error:  # a decimal of too many digits
        raise _mixed(column, types) from error


def listed(values: pl.Series) -> pl.Series:
    """*values* as lists of one each, if they are not lists already; of a missing one, a missing list."""
    if isinstance(values.dtype, pl.List):
        return values
    lists = values.reshape((len(values), 1)).cast(pl.List(values.dtype))
    return pl.select(pl.when(values.is_not_null()).then(lists)).to_series()


def _common(types: set[pl.DataType], pieces: Sequence[pl.Series], column: Column) -> pl.DataType:
    """The one type of number that keeps all *pieces* exactly."""
    inner = {type_.inner if isinstance(type_, pl.List) else type_ for type_ in types}
    scales = [type_.scale for type_ in inner if isinstance(type_, pl.Decimal)]
    whole = [_flat(piece) for piece in pieces if _flat(piece).dtype.is_integer()]
    if pl.Float64() in inner and not scales and all(map(_fits, whole)):
        found: pl.DataType = pl.Float64()
    elif scales and pl.Float64() not in inner:
        found = pl.Decimal(38, max(scales))
    else:
        raise _mixed(column, types)
    return pl.List(found) if any(isinstance(type_, pl.List) for type_ in types) else found


def _mixed(column: Column, types: Iterable[object]) -> TableError:
    names = " and ".join(sorted(map(str, types)))
    message = f"column {column.source!r} of type {names} cannot be held as one kind of number"
    return TableError(Problem("mixed-numbers", message, hint="give it the type that the index was built with"))


def refuse_mixed(shards: Sequence[Shard], columns: Iterable[Column]) -> None:
    """Numbers that `joined` could not hold as one are refused before shards hold them."""
    for column in columns:
        parts = [(shard, shard.attributes[column.name]) for shard in shards if column.name in shard.attributes]
        if column.role == "number" and len({part.type for _, part in parts}) > 1:
            bounds = [(part.type, bound) for shard, part in parts if (bound := _bound(shard, part)) is not None]
            if not _go_together(bounds):
                raise _mixed(column, {type_ for type_, _ in bounds})


def _go_together(bounds: Sequence[tuple[str, Decimal]]) -> bool:
    """Whether one type holds the numbers of all types, each with how far they go from zero."""
    types = {type_ for type_, _ in bounds}
    if len(types) < 2:
        return True
    if "Float64" in types:
        return all(type_ == "Float64" or (type_ == "Int64" and bound <= EXACT) for type_, bound in bounds)
    scale = max(int(type_.partition(":")[2] or 0) for type_ in types)
    return max(bound for _, bound in bounds).adjusted() + 1 + scale <= DIGITS


def _bound(shard: Shard, part: Attribute) -> Decimal | None:
    """No number of *part* is further from zero; None where no device has any."""
    digits = part.digits
    places: Sequence[int] = range(part.written)
    if digits is None:
        places = [place for place in places if bitmaps.without(shard.bitmap(part.start + place), shard.dead)]
    elif not bitmaps.without(shard.bitmap(part.start + part.written), shard.dead):
        return None
    elif digits.step:
        last = digits.base + digits.step * ((1 << digits.count) - 1)
        return max(abs(Decimal(end).scaleb(-digits.scale)) for end in (digits.base, last))
    values = polars_bridge.values(shard, part)
    return max(abs(Decimal(values[place])) for place in (places[0], places[-1])) if places else None


def _flat(values: pl.Series) -> pl.Series:
    return values.explode() if isinstance(values.dtype, pl.List) else values


def _fits(whole: pl.Series) -> bool:
    """Whether floats can stand for all of these whole numbers."""
    return bool((whole.drop_nulls().abs() <= EXACT).all())
