"""Decoding of the bitmaps of a shard into columns, for any of its rows; the inverse of `encode`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.errors import Problem, TableError
from audience.index.ingest.cast import parse_stored
from audience.index.ingest.dictionary import MAX_EXACT_FLOAT_INTEGER
from audience.index.ingest.encode import DeviceTable
from audience.index.schema.columns import Column
from audience.index.storage import arrow_file, bitmaps, polars_bridge
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.layout import BitSlicing, StoredAttribute
from audience.index.storage.shard import Shard

MAX_DECIMAL_DIGITS = 38  # of a decimal
SPARSE_RATIO = 64  # one row in so many is few


CategoriesByColumn: TypeAlias = Mapping[
    Column, pl.Categories
]  # a dictionary of texts for each column that is not of ids


@dataclass(frozen=True, slots=True)
class RowSelection:
    """Selected rows of a shard, with the position of each row within the selection."""

    rows: NDArray[np.uint32]
    bitmap: BitMap
    row_to_position: Callable[[NDArray[np.uint32]], NDArray[np.int64]]

    @classmethod
    def from_rows(cls, rows: NDArray[np.uint32], row_count: int) -> "RowSelection":
        """Return the selection of *rows* out of *row_count*.

        For many rows, a table of all positions is faster than a search for each.
        """
        within = bitmaps.rows_to_bitmap(rows)
        if len(rows) * SPARSE_RATIO < row_count:
            return cls(rows, within, lambda some: np.searchsorted(rows, some))
        table = np.zeros(row_count, dtype=np.int64)
        table[rows] = np.arange(len(rows))
        return cls(rows, within, table.__getitem__)

    def positions_of(self, bitmap: BitMap) -> NDArray[np.int64]:
        """Return the positions of the selected rows that *bitmap* contains."""
        return self.row_to_position(bitmaps.bitmap_to_rows(bitmap & self.bitmap))


def new_categories(columns: Iterable[Column]) -> dict[Column, pl.Categories]:
    """Return a string dictionary for each attribute column; Polars frees it with its series."""
    return {column: pl.Categories.random("values", pl.UInt32) for column in columns if not column.is_id}


def to_categorical(values: pl.Series, categories: pl.Categories | None) -> pl.Series:
    """Return strings as dictionary codes, which take a quarter of the memory and are hashed only once."""
    match values.dtype:
        case pl.String() if categories is not None:
            return values.cast(pl.Categorical(categories))
        case pl.List(inner=pl.String()) if categories is not None:
            return values.cast(pl.List(pl.Categorical(categories)))
    return values


def decode_rows(
    shard: Shard, rows: NDArray[np.uint32], columns: Iterable[Column], categories: CategoriesByColumn
) -> DeviceTable:
    """Return the *columns* of the devices at *rows* of *shard*; the rows must be in ascending order."""
    wanted = RowSelection.from_rows(rows, shard.row_count)
    return {column: _decode_column(shard, wanted, column, categories.get(column)) for column in columns}


def _decode_column(
    shard: Shard, selection: RowSelection, column: Column, categories: pl.Categories | None
) -> pl.Series:
    if column.is_id:
        return polars_bridge.read_ids_at(shard, f"{column.role}:{column.name}", selection.rows)
    attribute = shard.attributes.get(column.name)
    if attribute is None:
        return to_categorical(pl.Series([None], dtype=pl.String).new_from_index(0, len(selection.rows)), categories)
    if attribute.bit_slicing is not None:
        return to_categorical(_decode_bit_slices(shard, selection, attribute, attribute.bit_slicing), categories)
    return _decode_bitmaps(shard, selection, attribute, column, categories)


def _decode_bitmaps(
    shard: Shard, selection: RowSelection, attribute: StoredAttribute, column: Column, categories: pl.Categories | None
) -> pl.Series:
    """Return the value of each row, or the list of its values if the attribute may have several."""
    shown = polars_bridge.read_value_table(shard).slice(attribute.start, attribute.value_count)
    own = [column.name_in_table] if attribute.role == "tags" else shown["column"].unique().to_list()
    places = [place for place, source in enumerate(shown["column"]) if source in own]
    values = to_categorical(parse_stored(shown["value"], attribute.type_name), categories)
    found = [selection.positions_of(shard.load_bitmap(attribute.start + at)) for at in places]
    row = np.concatenate([np.empty(0, dtype=np.int64), *found])
    place = np.repeat(np.array(places, dtype=np.uint64), list(map(len, found)))
    if attribute.is_single_valued:
        return _scatter_values(values.gather(pl.Series(place)), row, len(selection.rows))
    both = row.view(np.uint64) << np.uint64(32) | place
    both.sort()
    counts = np.bincount(row, minlength=len(selection.rows))
    return _gather_lists(values, pl.Series(both & np.uint64(0xFFFFFFFF)), counts)


def _gather_lists(values: pl.Series, positions: pl.Series, counts: NDArray[np.int64]) -> pl.Series:
    """Return lists of the lengths *counts*, filled in order with the values at *positions*."""
    if not isinstance(values.dtype, pl.Categorical):
        return polars_bridge.arrow_to_series(
            arrow_file.build_lists(counts, polars_bridge.series_to_arrow(values.gather(positions)))
        )
    numbers = polars_bridge.arrow_to_series(
        arrow_file.build_lists(counts, polars_bridge.series_to_arrow(values.to_physical().gather(positions)))
    )
    return numbers.list.eval(pl.element().cat.to(values.dtype))


def _scatter_values(values: pl.Series, rows: NDArray[np.int64], size: int) -> pl.Series:
    """Return a series of *size* with *values* at *rows* and null elsewhere."""
    places = np.full(size, len(values), dtype=np.uint32)
    places[rows] = np.arange(len(values), dtype=np.uint32)
    return values.extend_constant(None, 1).gather(pl.Series(places))


def _decode_bit_slices(
    shard: Shard, selection: RowSelection, attribute: StoredAttribute, bit_slicing: BitSlicing
) -> pl.Series:
    first = attribute.start + attribute.value_count
    numbers = np.zeros(len(selection.rows), dtype=np.uint64)
    for digit in range(bit_slicing.bit_depth):
        numbers[selection.positions_of(shard.load_bitmap(first + 1 + digit))] |= np.uint64(1 << digit)
    missing = np.ones(len(selection.rows), dtype=np.bool_)
    missing[selection.positions_of(shard.load_bitmap(first))] = False
    if not bit_slicing.step:
        values = parse_stored(polars_bridge.read_attribute_values(shard, attribute), attribute.type_name)
        return values.gather(pl.Series(numbers)).set(pl.Series(missing), None)
    whole = (numbers * np.uint64(bit_slicing.step) + np.uint64(bit_slicing.base % (1 << 64))).view(np.int64)
    return _unscale_ints(pl.Series(whole).set(pl.Series(missing), None), attribute.type_name, bit_slicing.scale)


def _unscale_ints(ints: pl.Series, type_name: str, scale: int) -> pl.Series:
    """Return the numbers, dates or timestamps that *ints* encode."""
    match type_name.partition(":")[0]:
        case "Float64":
            return ints.cast(pl.Float64) / 10.0**scale  # nearest to the decimal, as its text is read
        case "Decimal":
            exact = [None if number is None else Decimal(number).scaleb(-scale) for number in ints.to_list()]
            return pl.Series(exact, dtype=pl.Decimal(38, scale))
        case "Date":
            return ints.cast(pl.Int32).cast(pl.Date)
        case "Datetime":
            return ints.cast(pl.Datetime("us"))
    return ints


def concat_columns(chunks: Sequence[pl.Series], column: Column) -> pl.Series:
    """Concatenate *chunks* of a column; numbers of several types become one type that keeps them exactly.

    Raises:
        TableError: No type keeps all numbers exactly.
    """
    if any(isinstance(piece.dtype, pl.List) for piece in chunks):
        chunks = [as_lists(piece) for piece in chunks]
    types = {piece.dtype for piece in chunks if piece.null_count() < len(piece)}
    wanted = _find_common_type(types, chunks, column) if len(types) > 1 else next(iter(types), chunks[0].dtype)
    try:
        return pl.concat([piece.cast(wanted) for piece in chunks])
    except pl.exceptions.InvalidOperationError as error:  # a decimal of too many digits
        raise _mixed_numbers_error(column, types) from error


def as_lists(values: pl.Series) -> pl.Series:
    """Return *values* as lists of one element each, null for null, unless they are lists already."""
    if isinstance(values.dtype, pl.List):
        return values
    lists = values.reshape((len(values), 1)).cast(pl.List(values.dtype))
    return pl.select(pl.when(values.is_not_null()).then(lists)).to_series()


def _find_common_type(dtypes: set[pl.DataType], chunks: Sequence[pl.Series], column: Column) -> pl.DataType:
    """Return the number type that keeps all *chunks* exactly."""
    inner = {type_.inner if isinstance(type_, pl.List) else type_ for type_ in dtypes}
    scales = [type_.scale for type_ in inner if isinstance(type_, pl.Decimal)]
    whole = [_flatten_lists(piece) for piece in chunks if _flatten_lists(piece).dtype.is_integer()]
    if pl.Float64() in inner and not scales and all(map(_is_float_exact, whole)):
        found: pl.DataType = pl.Float64()
    elif scales and pl.Float64() not in inner:
        found = pl.Decimal(38, max(scales))
    else:
        raise _mixed_numbers_error(column, dtypes)
    return pl.List(found) if any(isinstance(type_, pl.List) for type_ in dtypes) else found


def _mixed_numbers_error(column: Column, dtypes: Iterable[object]) -> TableError:
    names = " and ".join(sorted(map(str, dtypes)))
    message = f"column {column.name_in_table!r} of type {names} cannot be held as one kind of number"
    return TableError(Problem("mixed-numbers", message, hint="give it the type that the index was built with"))


def reject_mixed_numbers(shards: Sequence[Shard], columns: Iterable[Column]) -> None:
    """Raise TableError if `concat_columns` could not join the numbers of *shards*."""
    for column in columns:
        parts = [(shard, shard.attributes[column.name]) for shard in shards if column.name in shard.attributes]
        if column.role == "number" and len({part.type_name for _, part in parts}) > 1:
            bounds = [
                (part.type_name, bound)
                for shard, part in parts
                if (bound := _find_max_magnitude(shard, part)) is not None
            ]
            if not _can_share_type(bounds):
                raise _mixed_numbers_error(column, {type_ for type_, _ in bounds})


def _can_share_type(bounds: Sequence[tuple[str, Decimal]]) -> bool:
    """Return whether one type keeps the numbers of all types, given the largest magnitude of each."""
    types = {type_ for type_, _ in bounds}
    if len(types) < 2:
        return True
    if "Float64" in types:
        return all(
            type_ == "Float64" or (type_ == "Int64" and bound <= MAX_EXACT_FLOAT_INTEGER) for type_, bound in bounds
        )
    scale = max(int(type_.partition(":")[2] or 0) for type_ in types)
    return max(bound for _, bound in bounds).adjusted() + 1 + scale <= MAX_DECIMAL_DIGITS


def _find_max_magnitude(shard: Shard, attribute: StoredAttribute) -> Decimal | None:
    """Return an upper bound for the magnitude of the numbers of live devices; None if there are none."""
    digits = attribute.bit_slicing
    places: Sequence[int] = range(attribute.value_count)
    if digits is None:
        places = [
            place for place in places if bitmaps.remove_rows(shard.load_bitmap(attribute.start + place), shard.deleted)
        ]
    elif not bitmaps.remove_rows(shard.load_bitmap(attribute.start + attribute.value_count), shard.deleted):
        return None
    elif digits.step:
        last = digits.base + digits.step * ((1 << digits.bit_depth) - 1)
        return max(abs(Decimal(end).scaleb(-digits.scale)) for end in (digits.base, last))
    values = polars_bridge.read_attribute_values(shard, attribute)
    return max(abs(Decimal(values[place])) for place in (places[0], places[-1])) if places else None


def _flatten_lists(values: pl.Series) -> pl.Series:
    return values.explode() if isinstance(values.dtype, pl.List) else values


def _is_float_exact(ints: pl.Series) -> bool:
    """Return whether floats represent all of these integers exactly."""
    return bool((ints.drop_nulls().abs() <= MAX_EXACT_FLOAT_INTEGER).all())
