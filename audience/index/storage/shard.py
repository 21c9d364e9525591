"""Shard of an index, open for reading: bitmaps, ids and hash tables, each verified before it is used."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import copy
from functools import cached_property, lru_cache, partial
from operator import sub
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from audience._fs.checksums import hash128
from audience.errors import DamagedError
from audience.index.schema.columns import Column, IdColumn
from audience.index.storage import arrow_file, bitmaps, id_lookup
from audience.index.storage.arrow_file import ArrowTable
from audience.index.storage.bitmap_forms import BitmapForm, measure_form
from audience.index.storage.bitmaps import BitMap, LazyUnion, RowSet
from audience.index.storage.block_checksums import checksums_of_file, open_checksum_file, read_block_checksums
from audience.index.storage.cache import RowSetCache
from audience.index.storage.column_lookup import ColumnLookup, StoredIds
from audience.index.storage.device_numbers import Numbers
from audience.index.storage.evaluation_notes import EvaluationNotes
from audience.index.storage.kept_forms import KeptForms
from audience.index.storage.layout import (
    CHECKSUMS,
    DATA_FILES,
    IDS,
    LOOKUP,
    NUMBER_COLUMN,
    RANK_COLUMN,
    TAGS,
    IdColumnStats,
    ShardFiles,
    StoredAttribute,
    shard_file,
)
from audience.index.storage.packed_words import WordBytes, contains_rows, fill_words, view_word_bytes
from audience.index.storage.published import Storage, StoredFile, damaged_error
from audience.index.storage.shard_group import ShardGroup
from audience.index.storage.shard_numbers import ShardNumbers
from audience.index.storage.verified_file import VerifiedFile
from audience.index.storage.viewed_words import ViewedWords
from audience.language.ast import Expr
from audience.language.attribute_names import UNTYPED
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CACHED_OPERANDS = 4_096  # expressions
MIN_VERIFIED_TOGETHER = 32  # bitmaps
MAX_SUBTRACTED_SINGLY = 1 << 12  # offsets: of more, NumPy is worth its import
SPARSE_RATIO = 64  # if fewer than one row in so many is wanted, only the blocks that hold them are read


class Operand(NamedTuple):
    """Stored bitmap of a tag: its rows, its row of the tags file, -1 if no device has it, and the cost of its form.

    `cardinality` is the number of rows, which CRoaring sums up whenever it is asked.
    """

    rows: RowSet
    tag_row: int
    cost: float
    cardinality: int


class Shard:
    """Shard that is open for reading, without its *deleted* rows.

    Row numbers and bitmaps include deleted rows; `device_count` and `live_rows` do not.
    """

    notes: EvaluationNotes | None = None  # of how expressions are evaluated; only of copies that are asked for it

    def __init__(
        self, storage: Storage, files: ShardFiles, deleted: BitMap | None = None, cache: RowSetCache | None = None
    ):
        self.files = files
        self.name = files.name
        self.row_count = files.row_count
        self.index_columns: tuple[Column, ...] = ()  # of the snapshot that the shard belongs to
        self._start_empty()
        self._set_deleted(deleted, RowSetCache(0) if cache is None else cache)
        self.group = ShardGroup((self,))
        checksums = self._open_file(storage, CHECKSUMS)
        self.is_remote = checksums.is_remote
        self._checksum_file = open_checksum_file(checksums, files.checksum)
        load_checksums = lru_cache(1)(partial(read_block_checksums, self._checksum_file))
        self._data_files = {
            kind: VerifiedFile(self._open_file(storage, kind), partial(checksums_of_file, load_checksums, kind))
            for kind in DATA_FILES
        }

    def _start_empty(self) -> None:
        """Start without anything that is kept of what was read or evaluated."""
        self.tag_rows: dict[tuple[str, str], int] = {}  # type and value of a tag → its row of the tags file
        self.operands: dict[tuple[str, str], Operand] = {}  # type and value of a tag → its bitmap
        self.kept_unions: dict[Expr, LazyUnion | None] = {}  # of comparisons and ORs within an AND
        self.and_cache: dict[int, tuple[Expr, list[RowSet | LazyUnion]]] = {}  # by identity of the expression
        self.loaded_exprs: dict[int, Expr] = {}  # by identity, if the files are in an object store
        self.known_ranks: dict[str, dict[str, int | None]] = {}  # of values of deltas, by attribute
        self._rows_by_value: dict[str, dict[str, list[int]]] = {}  # by attribute
        self._bitmaps: dict[int, BitMap] = {}
        self._forms: dict[int, BitmapForm] = {}
        self.kept_forms = KeptForms()
        self.polars_columns: dict[str, Any] = {}  # columns that were converted to Polars
        self._lookups: dict[str, ColumnLookup | None] = {}
        self._scan_results: dict[tuple[str, bytes], bool] = {}

    def _open_file(self, storage: Storage, kind: str) -> StoredFile:
        return storage.open(shard_file(self.files.file_name(kind)), self.files.file_sizes[kind], self.files.checksum)

    def _open_table(self, kind: str) -> ArrowTable:
        """Return a file as a table, with everything verified but its data range."""
        file, (start, stop) = self._data_files[kind], self.files.data_ranges[kind]
        file.read(0, start)
        file.read(stop, len(file.data))
        return ArrowTable(file.data)

    def with_deleted(self, deleted: BitMap | None, cache: RowSetCache | None = None) -> Shard:
        """Return the shard with other deleted rows; everything that was read is shared, cached results are not."""
        shard = copy(self)
        shard._set_deleted(deleted, RowSetCache(0) if cache is None else cache)
        return shard

    def _set_deleted(self, deleted: BitMap | None, cache: RowSetCache) -> None:
        self.cache = cache
        self.deleted = deleted if deleted else None
        self.device_count = self.row_count - len(deleted or ())
        self.counted_exprs: dict[int, Expr] = {}  # by identity: see `query.physical_plan.was_asked`
        self.found_exprs: dict[int, Expr] = {}
        self.value_counts: dict[Expr, int] = {}  # devices with a value that a condition asks for
        self.tag_questions: dict[int, tuple[Expr, Any]] = {}  # by identity: what `query.tag_questions` found
        vars(self).pop("live_rows", None)

    @cached_property
    def live_rows(self) -> BitMap:
        """Return all rows that are not deleted."""
        return bitmaps.full_bitmap(self.row_count) - (self.deleted or BitMap())

    @cached_property
    def _tag_table(self) -> ArrowTable:
        return self._open_table(TAGS)

    @cached_property
    def attributes(self) -> dict[str, StoredAttribute]:
        """Return the attributes of the shard by name."""
        return {fields["name"]: StoredAttribute.of(fields) for fields in orjson.loads(self._tag_table.metadata)}

    def value_column(self, name: str) -> arrow_file.ArrowArray:
        """Return a column of the tags file, one of `VALUE_COLUMNS`."""
        return self._tag_table.column(name)

    @cached_property
    def cardinalities(self) -> memoryview:
        """Return the number of rows of every bitmap."""
        return self._tag_table.view_numbers("cardinality", "I")

    @cached_property
    def _value_strings(self) -> tuple[memoryview, memoryview]:
        return self._tag_table.view_strings("value")

    @cached_property
    def _bitmap_bounds(self) -> memoryview:
        """Return where each bitmap begins behind the first one, and where the last one ends."""
        offsets = self._tag_table.buffer_locations("bitmap")[1]
        self._data_files[TAGS].read_buffer(offsets)
        return arrow_file.view_offsets(self._data_files[TAGS].data, offsets)

    @cached_property
    def _first_bitmap(self) -> int:
        """Return where the first bitmap begins in the tags file."""
        data = self._tag_table.buffer_locations("bitmap")[2]
        return data[0] if data else 0

    @cached_property
    def bitmap_sizes(self) -> Sequence[int]:
        """Return the stored size of every bitmap, in bytes; a list of a hundred thousand numbers takes 5 ms to make."""
        bounds = self._bitmap_bounds
        if len(bounds) <= MAX_SUBTRACTED_SINGLY:
            return array("q", map(sub, bounds[1:], bounds[:-1]))
        return array("q", np.diff(np.asarray(bounds)).tobytes())

    def attribute_values(self, attribute: StoredAttribute) -> arrow_file.LazyStrings:
        """Return the stored values of *attribute*, in order."""
        return arrow_file.LazyStrings(*self._value_strings, attribute.start, attribute.value_count)

    def hash_values(self, attribute: StoredAttribute) -> str:
        """Return a checksum of the stored values of *attribute*; those of two shards are equal if their values are."""
        offsets, text = self._value_strings
        own = offsets[attribute.start : attribute.start + attribute.value_count + 1]
        return hash128(np.diff(np.asarray(own)).data) + hash128(text[own[0] : own[-1]])

    def rows_by_value(self, attribute: StoredAttribute) -> dict[str, list[int]]:
        """Return the rows of the tags file that hold each value of *attribute*, which has a bitmap for each."""
        known = self._rows_by_value.get(attribute.name)
        if known is None:
            known = {}
            values = self.attribute_values(attribute)
            for rank in range(len(values)):
                known.setdefault(values[rank], []).append(attribute.start + rank)
            self._rows_by_value[attribute.name] = known
        return known

    def cache_operands(self, expr: Expr, operands: list[RowSet | LazyUnion]) -> None:
        """Keep the operands of *expr*, which are stored bitmaps, for as long as the same object is evaluated."""
        if len(self.and_cache) >= MAX_CACHED_OPERANDS:
            self.and_cache.clear()
        self.and_cache[id(expr)] = expr, operands

    def keep_tag_question(self, expr: Expr, question: Any) -> None:
        """Keep the bitmaps of *expr*, which has only tags, for as long as the same object is evaluated."""
        if len(self.tag_questions) >= MAX_CACHED_OPERANDS:
            self.tag_questions.clear()
        self.tag_questions[id(expr)] = expr, question

    def read_stored_columns(self) -> tuple[arrow_file.ArrowArray, arrow_file.ArrowArray]:
        """Return all bitmaps as they are stored, and all ranks, verified."""
        table = self._tag_table
        self._data_files[TAGS].read(*self.files.data_ranges[TAGS])
        has_ranks = RANK_COLUMN in table.column_names
        ranks = table.column(RANK_COLUMN) if has_ranks else arrow_file.null_bytes(len(table))
        return table.column("bitmap"), ranks

    def read_ranks(self, attribute: StoredAttribute) -> NDArray[np.uint16] | None:
        """Return the lower bits of the rank of each row, which is 0 without a value; None if they are not stored."""
        table, file = self._tag_table, self._data_files[TAGS]
        offsets, data = table.buffer_locations(RANK_COLUMN)[1:] if RANK_COLUMN in table.column_names else (None, None)
        if offsets is None or data is None:
            return None
        at = offsets[0] + 8 * (attribute.start + attribute.value_count)
        start, stop = np.frombuffer(file.read(at, at + 16), dtype=np.int64).tolist()
        return np.frombuffer(file.read(data[0] + start, data[0] + stop), dtype="<u2") if start < stop else None

    def rows_with_tag(self, tag: str) -> BitMap:
        """Return the rows with the bare tag *tag*, including deleted rows."""
        attribute = self.attributes.get(UNTYPED)
        if attribute is None:
            return BitMap()
        values = self.attribute_values(attribute)
        rank = bisect_left(values, tag)
        has_tag = rank < len(values) and values[rank] == tag
        return self.load_bitmap(attribute.start + rank) if has_tag else BitMap()

    @property
    def loaded_count(self) -> int:
        """Return how many bitmaps were loaded."""
        return len(self._bitmaps)

    def load_bitmap(self, tag_row: int) -> BitMap:
        """Return the bitmap in a row of the tags file; it is read once and must not be changed."""
        bitmap = self._bitmaps.get(tag_row)
        if bitmap is None:
            bitmap = self._bitmaps[tag_row] = self._read_bitmap(tag_row)
        return bitmap

    def find_tag_row(self, tag: tuple[str, str]) -> int | None:
        """Return the row of the tags file of a tag by its type and value, or None if it was not located before."""
        return self.tag_rows.get(tag)

    def find_operand(self, tag: tuple[str, str]) -> Operand | None:
        """Return the bitmap of a tag by its type and value, or None if it was not located before."""
        operand = self.operands.get(tag)
        if operand is None and (tag_row := self.find_tag_row(tag)) is not None:
            rows = RowSet(self.load_bitmap(tag_row), False, self.bitmap_sizes[tag_row], cached=True)
            form = self.load_form(tag_row)
            operand = self.operands[tag] = Operand(rows, tag_row, form.cost, form.rows)
        return operand

    def load_form(self, tag_row: int) -> BitmapForm:
        """Return the form of a bitmap of the tags file, which is measured once."""
        form = self._forms.get(tag_row)
        if form is None:
            form = self._forms[tag_row] = measure_form(self.load_bitmap(tag_row))
        return form

    def load_words(self, tag_rows: Sequence[int]) -> list[ViewedWords]:
        """Return bitmaps of the tags file as packed words, which are cached if there is room."""
        found = zip(tag_rows, self.cache.get_words(self.name, tag_rows), strict=True)
        return [self._make_words(tag_row) if words is None else words for tag_row, words in found]

    def _make_words(self, tag_row: int) -> ViewedWords:
        words = ViewedWords(-(-self.row_count // 64))
        fill_words(self.load_bitmap(tag_row), words.words)
        self.cache.put_words(self.name, tag_row, words)
        return words

    def view_words(self, tag_rows: range) -> list[WordBytes | None]:
        """Return the bytes of bitmaps in consecutive rows, read together; None for one that is not packed words."""
        first, last = (self._first_bitmap + self._bitmap_bounds[row] for row in (tag_rows.start, tag_rows.stop))
        self._data_files[TAGS].read(first, last)
        stored = [(self._read_serialized(row), self.cardinalities[row]) for row in tag_rows]
        return [view_word_bytes(data, self.row_count, cardinality) for data, cardinality in stored]

    def load_bitmaps(self, tag_rows: Collection[int]) -> list[BitMap]:
        """Return the bitmaps in several rows of the tags file; blocks of many are verified together."""
        missing = [tag_row for tag_row in tag_rows if tag_row not in self._bitmaps]
        if len(missing) > (1 if self.is_remote else MIN_VERIFIED_TOGETHER):
            self._bitmaps.update(zip(missing, self.read_bitmaps(missing), strict=True))
        return [self.load_bitmap(tag_row) for tag_row in tag_rows]

    def read_bitmaps(self, tag_rows: list[int]) -> list[BitMap]:
        """Return the bitmaps in several rows of the tags file, which are not kept."""
        bounds = np.asarray(self._bitmap_bounds) + self._first_bitmap
        starts, stops = bounds[:-1][tag_rows], bounds[1:][tag_rows]
        return list(map(self._deserialize_bitmap, tag_rows, self._data_files[TAGS].read_spans(starts, stops)))

    def _read_bitmap(self, tag_row: int) -> BitMap:
        return self._deserialize_bitmap(tag_row, self._read_serialized(tag_row))

    def _read_serialized(self, tag_row: int) -> memoryview:
        first, bounds = self._first_bitmap, self._bitmap_bounds
        return self._data_files[TAGS].read(first + bounds[tag_row], first + bounds[tag_row + 1])

    def _deserialize_bitmap(self, tag_row: int, data: memoryview) -> BitMap:
        path = self._data_files[TAGS].path
        try:
            bitmap = bitmaps.deserialize_bitmap(data, path)
        except DamagedError:
            return bitmaps.deserialize_bitmap(data, f"{path}{self._describe_bitmap(tag_row)}")  # raises with the name
        if len(bitmap) != self.cardinalities[tag_row]:
            raise damaged_error(path, self._describe_bitmap(tag_row))
        return bitmap

    def _describe_bitmap(self, tag_row: int) -> str:
        attribute, value = (self.value_column(name)[tag_row].as_py() for name in ("attribute", "value"))
        return f", the bitmap of {attribute}:{value},"

    @cached_property
    def _id_table(self) -> ArrowTable:
        return self._open_table(IDS)

    @cached_property
    def id_columns(self) -> list[IdColumn]:
        """Return the id columns of the shard."""
        return [IdColumn.from_stored_name(name) for name in self._id_table.column_names if name != NUMBER_COLUMN]

    @cached_property
    def _id_stats(self) -> dict[str, IdColumnStats]:
        return {name: IdColumnStats(**fields) for name, fields in orjson.loads(self._id_table.metadata).items()}

    def read_id_column(self, column: IdColumn) -> arrow_file.ArrowArray | None:
        """Return a whole id column, or None if the shard does not have it."""
        if column not in self.id_columns:
            return None
        for buffer in self._id_table.buffer_locations(column.stored_name):
            self._data_files[IDS].read_buffer(buffer)
        return self._id_table.column(column.stored_name)

    def take_ids(self, column: IdColumn, rows: NDArray[np.uint32]) -> arrow_file.StringArray:
        """Return the ids of *rows*, which rise, as a new Arrow array; nothing of the column is kept in memory."""
        if column not in self.id_columns:
            return arrow_file.null_strings(len(rows))
        if (matrix := self.fixed_width_ids(column, rows)) is not None:
            return arrow_file.from_fixed_width(matrix[rows])
        file = self._data_files[IDS]
        validity, offsets, data = self._id_table.buffer_locations(column.stored_name)
        file.read_buffer(validity)
        file.read_buffer(offsets)
        if data is not None and len(rows):
            ends = arrow_file.read_offsets(file.data, offsets, self.row_count)
            file.read(data[0] + int(ends[rows[0]]), data[0] + int(ends[rows[-1] + 1]))
        return arrow_file.take_rows(self._id_table.column(column.stored_name), rows)

    def fixed_width_ids(self, column: IdColumn, rows: NDArray[np.uint32]) -> NDArray[np.void] | None:
        """Return an id column as byte strings of one width, verified at *rows*, which rise; None if widths differ."""
        width = self.id_width(column)
        if not width:
            return None
        file, location = self._data_files[IDS], self._id_table.buffer_locations(column.stored_name)[2]
        assert location is not None
        if len(rows) * SPARSE_RATIO > self.row_count:
            file.read_buffer(location)
        else:
            file.verify_rows(location[0], width, rows)
        return np.frombuffer(file.data, dtype=f"V{width}", count=self.row_count, offset=location[0])

    def id_width(self, column: IdColumn) -> int | None:
        """Return the size of each id of a column in bytes, or None if sizes differ or ids are missing."""
        return self._id_stats[column.stored_name].fixed_width if column.stored_name in self._id_stats else None

    def contains_any(self, column: IdColumn, byte_values: bytes) -> bool:
        """Return whether any id of a column has one of *byte_values*; each column is scanned once."""
        key = column.stored_name, byte_values
        if key not in self._scan_results:
            data = self._id_table.buffer_locations(column.stored_name)[2]
            self._scan_results[key] = data is not None and self._data_files[IDS].contains_any(
                data[0], sum(data), byte_values
            )
        return self._scan_results[key]

    def lacks_bytes(self, column: IdColumn, byte_values: bytes) -> bool:
        """Return whether it is known, without reading the ids of a column, that none has any of *byte_values*."""
        return column.stored_name in self._id_stats and self._id_stats[column.stored_name].lacks_bytes(byte_values)

    def has_every_id(self, column: IdColumn) -> bool:
        """Return whether every device has an id in a column."""
        return column in self.id_columns and not self._id_table.has_nulls(column.stored_name)

    def has_id_lists(self, column: IdColumn) -> bool:
        """Return whether a device may have several ids in a column."""
        return column in self.id_columns and self._id_table.has_lists(column.stored_name)

    def is_json_safe(self, column: IdColumn) -> bool:
        """Return whether JSON writes all ids of a column without escapes."""
        return column.stored_name in self._id_stats and self._id_stats[column.stored_name].is_json_safe

    @cached_property
    def numbers(self) -> ShardNumbers:
        """Return the numbers of the devices, including those of deleted rows."""
        has_column = self.files.first_number is None
        location = self._id_table.buffer_locations(NUMBER_COLUMN)[1] if has_column else None
        return ShardNumbers(self.files, self._data_files[IDS], 0 if location is None else location[0])

    def device_numbers(self, rows: NDArray[np.uint32]) -> Numbers:
        """Return the numbers of the devices in *rows*, which rise."""
        return self.numbers.of_rows(rows)

    def rows_of_numbers(self, numbers: Numbers) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Find the live rows of the devices with *numbers*.

        Returns:
            The rows of those that are present, in the order of *numbers*, and which of *numbers* these are.
        """
        rows, is_present = self.numbers.find(numbers)
        if self.deleted:
            is_present &= ~contains_rows(self.deleted, rows)
        return rows[is_present], is_present

    @cached_property
    def _lookup_table(self) -> ArrowTable:
        return self._open_table(LOOKUP)

    def read_hash_table(self, column: IdColumn) -> id_lookup.HashTable:
        """Return the hash table of an id column, including deleted rows."""
        start, stop = self._hash_table_range(column)
        return np.frombuffer(self._data_files[LOOKUP].read(start, stop), dtype=np.uint64)

    def _hash_table_range(self, column: IdColumn) -> tuple[int, int]:
        """Return the bytes of the lookup file that hold the hash table of an id column."""
        start, stop = orjson.loads(self._lookup_table.metadata).get(column.stored_name, (0, 0))
        buffer = self._lookup_table.buffer_locations("entry")[1]
        first = 0 if buffer is None else buffer[0]
        return (first + 8 * start, first + 8 * stop) if start < stop else (0, 0)

    def open_lookup(self, column: IdColumn) -> ColumnLookup | None:
        """Return the lookup of single ids of a column, or None if the shard has none; it is opened once."""
        if column.stored_name not in self._lookups:
            self._lookups[column.stored_name] = self._open_lookup(column)
        return self._lookups[column.stored_name]

    def _open_lookup(self, column: IdColumn) -> ColumnLookup | None:
        start, stop = self._hash_table_range(column)
        if start == stop:
            return None
        return ColumnLookup(self._data_files[LOOKUP], start, stop, self._open_stored_ids(column))

    def _open_stored_ids(self, column: IdColumn) -> StoredIds:
        buffers = self._id_table.buffer_locations(column.stored_name)
        starts = [0 if buffer is None else buffer[0] for buffer in buffers]
        width = self.id_width(column)
        levels = [] if width else starts[1:-1:2]  # validity and offsets of each level, then the bytes
        return StoredIds(self._data_files[IDS], levels, starts[-1], width or 0)

    def rows_with_id(self, columns: Iterable[IdColumn]) -> BitMap:
        """Return the rows that have an id in one of *columns*, including deleted rows."""
        has_id = np.zeros(self.row_count, dtype=np.bool_)
        for column in columns:
            has_id[id_lookup.rows_of_table(self.read_hash_table(column))] = True
        return bitmaps.rows_to_bitmap(np.flatnonzero(has_id).astype(np.uint32))

    def block_checksums(self, kind: str) -> NDArray[np.uint64]:
        """Return the checksums that the blocks of a data file should have."""
        return np.asarray(self._data_files[kind].checksums(), dtype=np.uint64)

    def iter_files(self) -> Iterator[tuple[str, memoryview]]:
        """Iterate over the names and bytes of all files, which `verify` has loaded before."""
        for kind, file in (*self._data_files.items(), (CHECKSUMS, self._checksum_file)):
            yield self.files.file_name(kind), file.data

    def read_bytes(self, file_name: str, start: int, stop: int) -> memoryview:
        """Return a range of one of the files, verified."""
        files = {self.files.file_name(kind): file for kind, file in self._data_files.items()}
        return {**files, self.files.file_name(CHECKSUMS): self._checksum_file}[file_name].read(start, stop)

    def evict(self) -> None:
        """Release the memory of what was read of the files; it stays readable."""
        for file in self._data_files.values():
            file.evict()

    def verify(self) -> None:
        """Read and verify every file. Raises DamagedError for the first damaged one."""
        for file in (self._checksum_file, *self._data_files.values()):
            file.verify()
