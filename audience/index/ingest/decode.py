"""Decoding of the bitmaps of a shard into columns, for any of its rows; the inverse of `encode`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.errors import Problem, TableError
from audience.index.ingest.cast import name_flags, parse_stored
from audience.index.ingest.dictionary import MAX_EXACT_FLOAT_INTEGER
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.exact_numbers import MAX_DECIMAL_DIGITS, find_max_decimal_places, floats_to_decimals
from audience.index.schema.columns import Column
from audience.index.storage import arrow_file, bitmaps, polars_bridge
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.layout import BitSlicing, StoredAttribute
from audience.index.storage.list_columns import as_lists, element_type, flatten_lists, is_list
from audience.index.storage.number_sorting import sort_numbers
from audience.index.storage.shard import Shard
from audience.language.attribute_names import UNTYPED

SPARSE_RATIO = 64  # one row in so many is few
PLACED_ROWS = 1 << 15  # whose values are placed at a time
MIN_PLACED = 256  # positions of a value on average, of lists whose values are placed one after another

CategoriesByColumn: TypeAlias = Mapping[Column, pl.Categories]  # a string dictionary for each attribute column


@dataclass(frozen=True, slots=True)
class RowSelection:
    """Selected rows of a shard, with the position of each row within the selection."""

    rows: NDArray[np.uint32]
    bitmap: BitMap | None  # None if all rows are selected
    row_to_position: Callable[[NDArray[np.uint32]], NDArray[np.int64]]

    @classmethod
    def from_rows(cls, rows: NDArray[np.uint32], row_count: int) -> "RowSelection":
        """Return the selection of *rows* out of *row_count*.

        For many rows, a table of all positions is faster than a search for each; if it is all rows, they are their own.
        """
        if len(rows) == row_count:
            return cls(rows, None, lambda subset: subset.astype(np.int64))
        bitmap = bitmaps.rows_to_bitmap(rows)
        if len(rows) * SPARSE_RATIO < row_count:
            return cls(rows, bitmap, lambda subset: np.searchsorted(rows, subset))
        positions = np.zeros(row_count, dtype=np.int64)
        positions[rows] = np.arange(len(rows))
        return cls(rows, bitmap, positions.__getitem__)

    def positions_of(self, bitmap: BitMap) -> NDArray[np.int64]:
        """Return the positions of the selected rows that *bitmap* contains."""
        selected = bitmap if self.bitmap is None else bitmap & self.bitmap
        return self.row_to_position(bitmaps.bitmap_to_rows(selected))


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
    selection = RowSelection.from_rows(rows, shard.row_count)
    columns = list(columns)
    table = {
        column: _decode_column(shard, selection, column, categories.get(column))
        for column in columns
        if column.role != "tags"
    }
    table |= _decode_tags(shard, selection, [column for column in columns if column.role == "tags"], categories)
    return {column: table[column] for column in columns}


def _decode_column(
    shard: Shard, selection: RowSelection, column: Column, categories: pl.Categories | None
) -> pl.Series:
    if column.is_id:
        return polars_bridge.read_ids_at(shard, column.id_column, selection.rows)
    attribute = shard.attributes.get(column.name)
    if attribute is None:
        return to_categorical(pl.Series([None], dtype=pl.String).new_from_index(0, len(selection.rows)), categories)
    if attribute.bit_slicing is not None:
        return to_categorical(_decode_bit_slices(shard, selection, attribute, attribute.bit_slicing), categories)
    values = parse_stored(polars_bridge.read_attribute_values(shard, attribute), attribute.type_name)
    bitmaps_of_values = map(shard.load_bitmap, range(attribute.start, attribute.stop))
    return _decode_bitmaps(selection, to_categorical(values, categories), bitmaps_of_values, attribute.is_single_valued)


def decode_all_tags(shard: Shard, rows: NDArray[np.uint32]) -> pl.Series:
    """Return the bare tags of the devices at *rows*, of whatever column, as lists; the rows must be in rising order."""
    attribute = shard.attributes.get(UNTYPED)
    if attribute is None:
        return pl.repeat(None, len(rows), dtype=pl.List(pl.String), eager=True)
    values = polars_bridge.read_attribute_values(shard, attribute)
    tag_bitmaps = map(shard.load_bitmap, range(attribute.start, attribute.stop))
    selection = RowSelection.from_rows(rows, shard.row_count)
    return _decode_bitmaps(selection, values, tag_bitmaps, is_single_valued=False)


def has_only_flags(shard: Shard, column: Column) -> bool:
    """Return whether a column of tags has no tag but the one of its name, as Boolean columns do."""
    return _find_tag_rows(shard).get(column.name_in_table, {}).keys() <= {column.name_in_table}


def _decode_tags(
    shard: Shard, selection: RowSelection, columns: Iterable[Column], categories: CategoriesByColumn
) -> DeviceTable:
    """Return the tags of each of *columns*: flags if its only tag has the name of the column, else lists."""
    tag_rows = _find_tag_rows(shard)
    table = {}
    for column in columns:
        own = tag_rows.get(column.name_in_table, {})
        tag_bitmaps = map(shard.load_bitmap, own.values())
        if own.keys() <= {column.name_in_table}:
            table[column] = _decode_flags(selection, tag_bitmaps)
        else:
            tags = to_categorical(pl.Series(list(own)), categories.get(column))
            table[column] = _decode_bitmaps(selection, tags, tag_bitmaps, is_single_valued=False)
    return table


def _find_tag_rows(shard: Shard) -> dict[str, dict[str, int]]:
    """Return the tags of each column of the table in their order, with the row of each in the tags file."""
    attribute = shard.attributes.get(UNTYPED)
    tag_rows: dict[str, dict[str, int]] = {}
    if attribute is not None:
        stored = polars_bridge.read_value_table(shard).slice(attribute.start, attribute.value_count)
        for row, (tag, source) in enumerate(stored.select("value", "column").iter_rows(), attribute.start):
            tag_rows.setdefault(source, {})[tag] = row
    return tag_rows


def _decode_flags(selection: RowSelection, tag_bitmaps: Iterable[BitMap]) -> pl.Series:
    """Return whether each row is in one of *tag_bitmaps*."""
    is_set = np.zeros(len(selection.rows), dtype=np.bool_)
    for bitmap in tag_bitmaps:
        is_set[selection.positions_of(bitmap)] = True
    return pl.Series(is_set)


def _decode_bitmaps(
    selection: RowSelection, values: pl.Series, bitmaps_of_values: Iterable[BitMap], is_single_valued: bool
) -> pl.Series:
    """Return the value of each row, or the list of its values if it may have several.

    values           a       b     c
    bitmaps       {0, 2}    {}    {2}     positions within the selection
    positions      0  2            2
    value_index    0  0            2
    sorted pairs  (0, 0)  (2, 0)  (2, 2)
    lists          [a]   null   [a, c]
    """
    positions_by_value = [selection.positions_of(bitmap) for bitmap in bitmaps_of_values]
    return place_values(values, positions_by_value, len(selection.rows), is_single_valued)


def place_values(
    values: pl.Series, positions_by_value: Sequence[NDArray[np.int64]], size: int, is_single_valued: bool
) -> pl.Series:
    """Return *size* values, or lists of values if there may be several, of which each of *values* is at its positions.

    >>> place_values(pl.Series(["a", "b"]), [np.array([0, 2]), np.array([2])], 3, is_single_valued=False).to_list()
    [['a'], [], ['a', 'b']]
    """
    if is_single_valued:
        return _place_single_values(values, positions_by_value, size)
    positions = np.concatenate([np.empty(0, dtype=np.int64), *positions_by_value])
    counts = np.bincount(positions, minlength=size)
    if len(positions) > MIN_PLACED * len(values):
        return _gather_lists(values, pl.Series(_list_values(positions_by_value, counts)), counts)
    value_index = np.repeat(np.arange(len(values), dtype=np.uint64), list(map(len, positions_by_value)))
    pairs = sort_numbers(positions.view(np.uint64) << np.uint64(32) | value_index)
    return _gather_lists(values, pl.Series(pairs & np.uint64(0xFFFFFFFF)), counts)


def _list_values(positions_by_value: Sequence[NDArray[np.int64]], counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return the numbers of the values of each position in rising order; *counts* of them are at each position.

    The next value of a position has its place behind the one before. Positions, which rise, are taken in blocks whose
    places stay in the cache of the processor; that takes a tenth of the time of a sort.

    >>> _list_values([np.array([0, 2]), np.array([2])], np.array([1, 0, 2])).tolist()
    [0, 0, 1]
    """
    places = np.cumsum(counts) - counts
    listed = np.empty(int(counts.sum()), dtype=np.uint32)
    bounds = np.arange(PLACED_ROWS, len(counts), PLACED_ROWS)
    blocks = (_split_rising(positions, bounds) for positions in positions_by_value)
    for block in zip(*blocks, strict=True):
        for value, positions in enumerate(block):
            free = places.take(positions)
            listed[free] = value
            free += 1
            places[positions] = free
    return listed


def _split_rising(positions: NDArray[np.int64], bounds: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return *positions* in parts that end before each of *bounds*; `np.split` takes ten times as long.

    >>> [part.tolist() for part in _split_rising(np.array([1, 4, 5]), np.array([2, 4]))]
    [[1], [], [4, 5]]
    """
    places = [0, *np.searchsorted(positions, bounds).tolist(), len(positions)]
    return [positions[start:stop] for start, stop in pairwise(places)]


def _gather_lists(values: pl.Series, positions: pl.Series, counts: NDArray[np.int64]) -> pl.Series:
    """Return lists of the lengths *counts*, filled in order with the values at *positions*."""
    if isinstance(values.dtype, pl.Categorical):
        codes = _gather_lists(values.to_physical(), positions, counts)
        return codes.list.eval(pl.element().cat.to(values.dtype))
    elements = polars_bridge.series_to_arrow(values.gather(positions))
    return polars_bridge.arrow_to_series(arrow_file.build_lists(counts, elements))


def _place_single_values(values: pl.Series, positions_by_value: Sequence[NDArray[np.int64]], size: int) -> pl.Series:
    """Return a series of *size* with each of *values* at its positions, and null elsewhere."""
    numbers = np.full(size, len(values), dtype=np.uint32)
    for number, positions in enumerate(positions_by_value):
        numbers[positions] = number
    return values.extend_constant(None, 1).gather(pl.Series(numbers))


def _decode_bit_slices(
    shard: Shard, selection: RowSelection, attribute: StoredAttribute, bit_slicing: BitSlicing
) -> pl.Series:
    first_slice = attribute.start + attribute.value_count
    ranks = np.zeros(len(selection.rows), dtype=np.uint64)
    for digit in range(bit_slicing.bit_depth):
        ranks[selection.positions_of(shard.load_bitmap(first_slice + 1 + digit))] |= np.uint64(1 << digit)
    missing = np.ones(len(selection.rows), dtype=np.bool_)
    missing[selection.positions_of(shard.load_bitmap(first_slice))] = False
    if not bit_slicing.step:
        values = parse_stored(polars_bridge.read_attribute_values(shard, attribute), attribute.type_name)
        return values.gather(pl.Series(ranks)).set(pl.Series(missing), None)
    ints = (ranks * np.uint64(bit_slicing.step) + np.uint64(bit_slicing.base % (1 << 64))).view(np.int64)
    return _unscale_ints(pl.Series(ints).set(pl.Series(missing), None), attribute.type_name, bit_slicing.scale)


def _unscale_ints(ints: pl.Series, type_name: str, scale: int) -> pl.Series:
    """Return the numbers, dates or timestamps that *ints* encode."""
    match type_name.partition(":")[0]:
        case "Float64":
            return _nearest_floats(ints, scale)
        case "Decimal":
            decimals = [None if number is None else Decimal(number).scaleb(-scale) for number in ints.to_list()]
            return pl.Series(decimals, dtype=pl.Decimal(MAX_DECIMAL_DIGITS, scale))
        case "Date":
            return ints.cast(pl.Int32).cast(pl.Date)
        case "Datetime":
            return ints.cast(pl.Datetime("us"))
    return ints


def _nearest_floats(ints: pl.Series, scale: int) -> pl.Series:
    """Return the float nearest to each decimal, as when it was parsed.

    Polars would multiply by the inverse of the power of ten, which yields 0.5700000000000001 for 57 / 100.
    """
    floats = ints.fill_null(0).to_numpy() / 10.0**scale
    return pl.Series(ints.name, floats).set(ints.is_null(), None)


def concat_columns(chunks: Sequence[pl.Series], column: Column) -> pl.Series:
    """Concatenate *chunks* of a column; numbers of several types become one type that keeps them exactly.

    Flags become the tag of their name if other chunks hold tags.

    Raises:
        TableError: No type keeps all numbers exactly.
    """
    chunks = _unify_flags(chunks, column)
    if any(map(is_list, chunks)):
        chunks = list(map(as_lists, chunks))
    dtypes = {chunk.dtype for chunk in chunks if chunk.null_count() < len(chunk)}
    dtype = _find_common_type(dtypes, chunks, column) if len(dtypes) > 1 else next(iter(dtypes), chunks[0].dtype)
    try:
        return pl.concat([cast_exactly(chunk, dtype) for chunk in chunks])
    except pl.exceptions.InvalidOperationError as error:  # a decimal with too many digits
        raise _mixed_numbers_error(column, dtypes) from error


def _unify_flags(chunks: Sequence[pl.Series], column: Column) -> Sequence[pl.Series]:
    """Return *chunks* as they are if all are flags or null, else with tags for flags, in the type of the others."""
    others = [chunk for chunk in chunks if chunk.dtype != pl.Boolean]
    typed = [chunk for chunk in others if is_list(chunk) or chunk.null_count() < len(chunk)]
    if not typed or len(others) == len(chunks):
        return chunks
    tag_type = element_type(typed[0])
    return [name_flags(chunk, column).cast(tag_type) if chunk.dtype == pl.Boolean else chunk for chunk in chunks]


def cast_exactly(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Return *values* as *dtype*; floats become the decimals of their shortest text."""
    target = dtype.inner if isinstance(dtype, pl.List) else dtype
    if not isinstance(target, pl.Decimal) or element_type(values) != pl.Float64:
        return values.cast(dtype)
    if is_list(values):
        return values.list.eval(floats_to_decimals(pl.element(), target.scale))
    return pl.select(floats_to_decimals(pl.lit(values), target.scale)).to_series()


def _find_common_type(dtypes: set[pl.DataType], chunks: Sequence[pl.Series], column: Column) -> pl.DataType:
    """Return the number type that keeps all *chunks* exactly."""
    elements = {dtype.inner if isinstance(dtype, pl.List) else dtype for dtype in dtypes}
    ints = [flatten_lists(chunk) for chunk in chunks if element_type(chunk).is_integer()]
    has_decimals = any(isinstance(dtype, pl.Decimal) for dtype in elements)
    if pl.Float64() in elements and not has_decimals and all(map(_is_float_exact, ints)):
        common: pl.DataType = pl.Float64()
    elif (scale := max(map(_count_places, chunks))) <= MAX_DECIMAL_DIGITS:
        common = pl.Decimal(MAX_DECIMAL_DIGITS, scale)
    else:
        raise _mixed_numbers_error(column, dtypes)
    return pl.List(common) if any(isinstance(dtype, pl.List) for dtype in dtypes) else common


def _count_places(numbers: pl.Series) -> int:
    """Return the number of decimal places that *numbers* need."""
    match element_type(numbers):
        case pl.Decimal(scale=scale):
            return scale
        case pl.Float64():
            return find_max_decimal_places(flatten_lists(numbers).cast(pl.String))
    return 0


def _mixed_numbers_error(column: Column, dtypes: Iterable[object]) -> TableError:
    names = " and ".join(sorted(map(str, dtypes)))
    message = f"column {column.name_in_table!r} of type {names} cannot be stored as one type of number"
    return TableError(Problem("mixed-numbers", message, hint="give it the type that the index was built with"))


def find_number_type(shards: Sequence[Shard], column: Column) -> pl.DataType:
    """Return the type that keeps the numbers of a column in all *shards* exactly.

    Raises:
        TableError: There is none.
    """
    stored = [(shard, shard.attributes[column.name]) for shard in shards if column.name in shard.attributes]
    type_names = {attribute.type_name for _, attribute in stored}
    if len(type_names) > 1:
        ranges = [each for each in (_find_number_range(*pair) for pair in stored) if each is not None]
        type_names = {each.type_name for each in ranges}
        if len(type_names) > 1:
            if "Float64" in type_names and all(map(_fits_in_floats, ranges)):
                return pl.Float64()
            if not _can_share_type(ranges):
                raise _mixed_numbers_error(column, type_names)
            return pl.Decimal(MAX_DECIMAL_DIGITS, max(each.places for each in ranges))
    name, _, scale = next(iter(type_names), "Int64").partition(":")
    return pl.Decimal(MAX_DECIMAL_DIGITS, int(scale)) if name == "Decimal" else getattr(pl, name)()


def reject_mixed_numbers(shards: Sequence[Shard], columns: Iterable[Column]) -> None:
    """Raise TableError if `concat_columns` could not join the numbers of *shards*."""
    for column in columns:
        if column.role != "number":
            continue
        stored = [(shard, shard.attributes[column.name]) for shard in shards if column.name in shard.attributes]
        if len({attribute.type_name for _, attribute in stored}) > 1:
            ranges = [_find_number_range(shard, attribute) for shard, attribute in stored]
            present = [number_range for number_range in ranges if number_range is not None]
            if not _can_share_type(present):
                raise _mixed_numbers_error(column, {number_range.type_name for number_range in present})


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Stored type of numbers, an upper bound for their magnitude, and the decimal places that they need."""

    type_name: str
    max_magnitude: Decimal
    places: int


def _can_share_type(ranges: Sequence[NumberRange]) -> bool:
    """Return whether one type keeps the numbers of all *ranges*."""
    if len({each.type_name for each in ranges}) < 2:
        return True
    if any(each.type_name == "Float64" for each in ranges) and all(map(_fits_in_floats, ranges)):
        return True
    places = max(each.places for each in ranges)
    return max(each.max_magnitude for each in ranges).adjusted() + 1 + places <= MAX_DECIMAL_DIGITS


def _fits_in_floats(numbers: NumberRange) -> bool:
    is_int = numbers.type_name == "Int64" and numbers.max_magnitude <= MAX_EXACT_FLOAT_INTEGER
    return is_int or numbers.type_name == "Float64"


def _find_number_range(shard: Shard, attribute: StoredAttribute) -> NumberRange | None:
    """Return the range of the numbers of live devices; None if there are none."""
    slicing = attribute.bit_slicing
    ranks: Sequence[int] = range(attribute.value_count)
    if slicing is None:
        ranks = [rank for rank in ranks if _has_live_rows(shard, attribute.start + rank)]
    elif not _has_live_rows(shard, attribute.start + attribute.value_count):
        return None
    elif slicing.step:
        last = slicing.base + slicing.step * ((1 << slicing.bit_depth) - 1)
        bound = max(Decimal(number).scaleb(-slicing.scale).copy_abs() for number in (slicing.base, last))
        return NumberRange(attribute.type_name, bound, slicing.scale)
    if not ranks:
        return None
    values = polars_bridge.read_attribute_values(shard, attribute).gather(list(ranks))
    bound = max(Decimal(values[rank]).copy_abs() for rank in (0, -1))  # `abs` would round to 28 digits
    return NumberRange(attribute.type_name, bound, find_max_decimal_places(values))


def _has_live_rows(shard: Shard, tag_row: int) -> bool:
    return bool(bitmaps.remove_rows(shard.load_bitmap(tag_row), shard.deleted))


def _is_float_exact(ints: pl.Series) -> bool:
    """Return whether floats represent all of these integers exactly."""
    return bool((ints.drop_nulls().abs() <= MAX_EXACT_FLOAT_INTEGER).all())
