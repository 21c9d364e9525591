"""A shard, open for reading: its bitmaps, its ids, and where they are, each checked before it is trusted."""

from bisect import bisect_left
from collections.abc import Iterator
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from audience._fs.checksums import hash128
from audience.index.storage import arrow_file, bitmaps, id_lookup
from audience.index.storage.arrow_file import ArrowTable
from audience.index.storage.bitmaps import BitMap, LazyUnion, RowSet
from audience.index.storage.cache import RowSetCache
from audience.index.storage.layout import (
    CHECKSUMS,
    DATA_FILES,
    IDS,
    LOOKUP,
    TAGS,
    BitSlicing,
    IdColumnStats,
    ShardFiles,
    StoredAttribute,
)
from audience.index.storage.verified_file import VerifiedFile, damaged_error, hash_blocks
from audience.language.ast import Compare, Expr, Within
from audience.language.attribute_names import UNTYPED

MAX_CACHED_OPERANDS = 4_096  # expressions
SPARSE_RATIO = 64  # where fewer rows than one in so many are wanted, only the blocks that hold them are read


class Shard:
    """A shard, open for reading, without the rows *dead*; what is read of it is checked first, and kept."""

    def __init__(
        self, folder: Path, files: ShardFiles, deleted: BitMap | None = None, cache: RowSetCache | None = None
    ):
        self.files = files
        self.name = files.name
        self.row_count = files.row_count
        self.cache = cache or RowSetCache(0)
        self.deleted = deleted if deleted else None
        self.device_count = files.row_count - len(deleted or ())
        self.tag_rows: dict[tuple[str, str], int] = {}  # where the tags that were asked for have their bitmaps
        self.compare_cache: dict[Compare | Within, LazyUnion | None] = {}  # what comparisons that were asked for mean
        self.and_cache: dict[
            int, tuple[Expr, list[RowSet | LazyUnion]]
        ] = {}  # of expressions that were asked, by identity
        self._checksum_file = VerifiedFile(
            files.file_path(folder, CHECKSUMS), files.file_sizes[CHECKSUMS], lambda: self._root_checksums
        )
        self._data_files = {kind: self._open_file(folder, kind) for kind in DATA_FILES}
        self._bitmaps: dict[int, BitMap] = {}
        self.polars_columns: dict[str, Any] = {}  # columns that Polars was asked for
        self._scan_results: dict[tuple[str, bytes], bool] = {}

    def _open_file(self, folder: Path, kind: str) -> VerifiedFile:
        return VerifiedFile(
            self.files.file_path(folder, kind), self.files.file_sizes[kind], lambda: self._block_checksums[kind]
        )

    @cached_property
    def _root_checksums(self) -> NDArray[np.uint64]:
        """The checksums of the file of checksums, which the snapshot vouches for."""
        if hash128(self._checksum_file.data) != self.files.checksum:
            raise damaged_error(self._checksum_file.path)
        return hash_blocks(self._checksum_file.data)

    @cached_property
    def _block_checksums(self) -> dict[str, NDArray[np.uint64]]:
        frame = ArrowTable(self._checksum_file.read(0, len(self._checksum_file.data)))
        files, sums = (frame.column(name).to_numpy() for name in ("file", "xxh3"))
        return {kind: sums[files == number] for number, kind in enumerate(DATA_FILES)}

    def _open_table(self, kind: str) -> ArrowTable:
        """All of a file but its body, which is left unread."""
        file, (start, stop) = self._data_files[kind], self.files.data_ranges[kind]
        file.read(0, start)
        file.read(stop, len(file.data))
        return ArrowTable(file.data)

    def with_deleted(self, deleted: BitMap | None, cache: RowSetCache | None = None) -> "Shard":
        """The same shard with other *dead* rows; what was read of it is shared, what was found in it is not."""
        other = copy(self)
        other.cache = cache or RowSetCache(0)
        other.deleted = deleted if deleted else None
        other.device_count = self.row_count - len(deleted or ())
        vars(other).pop("live_rows", None)
        return other

    @cached_property
    def live_rows(self) -> BitMap:
        """All rows but the dead."""
        return bitmaps.full_bitmap(self.row_count) - (self.deleted or BitMap())

    @cached_property
    def _tag_table(self) -> ArrowTable:
        return self._open_table(TAGS)

    @cached_property
    def attributes(self) -> dict[str, StoredAttribute]:
        """What is known of the devices, by name."""
        found = orjson.loads(self._tag_table.metadata)
        return {
            each["name"]: StoredAttribute(**{**each, "bit_slicing": _parse_bit_slicing(each["bit_slicing"])})
            for each in found
        }

    def value_column(self, name: str) -> arrow_file.ArrowArray:
        """The column *name* of what stands beside the bitmaps."""
        return self._tag_table.column(name)

    @cached_property
    def _cardinalities(self) -> NDArray[np.uint32]:
        """How many rows each bitmap has."""
        return arrow_file.as_uint32(self.value_column("cardinality"))

    @cached_property
    def _value_strings(self) -> arrow_file.ArrowArray:
        return self.value_column("value")

    @cached_property
    def _bitmap_offsets(self) -> tuple[int, list[int]]:
        """Where the bytes of the bitmaps begin, and the offsets of each."""
        places, data = self._tag_table.buffer_locations("bitmap")[1:]
        found = arrow_file.read_offsets(self._data_files[TAGS].data, places, len(self._tag_table))
        return data[0] if data else 0, found.tolist()

    @cached_property
    def bitmap_sizes(self) -> list[int]:
        """The bytes of every bitmap."""
        return np.diff(self._bitmap_offsets[1]).tolist()

    def attribute_values(self, attribute: StoredAttribute) -> arrow_file.LazyStrings:
        """The values of *attribute* that are written down, in their order."""
        return arrow_file.LazyStrings(self._value_strings, attribute.start, attribute.value_count)

    def cache_operands(self, expr: Expr, operands: list[RowSet | LazyUnion]) -> None:
        """Keep the stored bitmaps that are the operands of the object *expr*."""
        if len(self.and_cache) >= MAX_CACHED_OPERANDS:
            self.and_cache.clear()
        self.and_cache[id(expr)] = expr, operands

    def rows_with_tag(self, tag: str) -> BitMap:
        """The rows with the bare tag *name*, dead ones too."""
        attribute = self.attributes.get(UNTYPED)
        if attribute is None:
            return BitMap()
        place = bisect_left(values := self.attribute_values(attribute), tag)
        there = place < len(values) and values[place] == tag
        return self.load_bitmap(attribute.start + place) if there else BitMap()

    def load_bitmap(self, tag_row: int) -> BitMap:
        """The bitmap of row *row* of the tags, read and checked once; it must not be changed."""
        found = self._bitmaps.get(tag_row)
        if found is None:
            found = self._bitmaps[tag_row] = self._read_bitmap(tag_row)
        return found

    def _read_bitmap(self, tag_row: int) -> BitMap:
        first, places = self._bitmap_offsets
        data = self._data_files[TAGS].read(first + places[tag_row], first + places[tag_row + 1])
        attribute, value = (self.value_column(name)[tag_row].as_py() for name in ("attribute", "value"))
        what = f", the bitmap of {attribute}:{value},"
        bitmap = bitmaps.deserialize_bitmap(data, f"{self._data_files[TAGS].path}{what}")
        if len(bitmap) != self._cardinalities[tag_row]:
            raise damaged_error(self._data_files[TAGS].path, what)
        return bitmap

    @cached_property
    def _id_table(self) -> ArrowTable:
        return self._open_table(IDS)

    @property
    def id_column_names(self) -> list[str]:
        """The columns of ids: their kind, a colon, and their name."""
        return self._id_table.column_names

    @cached_property
    def _id_stats(self) -> dict[str, IdColumnStats]:
        return {name: IdColumnStats(**facts) for name, facts in orjson.loads(self._id_table.metadata).items()}

    def read_id_column(self, name: str) -> arrow_file.ArrowArray | None:
        """The column *name* of the ids; all of it is checked. None where it has no such ids."""
        if name not in self._id_table.column_names:
            return None
        for buffer in self._id_table.buffer_locations(name):
            if buffer is not None:
                self._data_files[IDS].read(buffer[0], sum(buffer))
        return self._id_table.column(name)

    def take_ids(self, name: str, rows: NDArray[np.uint32]) -> arrow_file.StringArray:
        """The ids of *rows* as an Arrow array of its own; nothing of the column *name* is kept."""
        if name not in self._id_table.column_names:
            return arrow_file.null_strings(len(rows))
        if (matrix := self.fixed_width_ids(name, rows)) is not None:
            return arrow_file.from_fixed_width(matrix[rows])
        data = self._data_files[IDS].data
        valid, places, body = self._id_table.buffer_locations(name)
        for buffer in (valid, places):
            if buffer is not None:
                self._data_files[IDS].read(buffer[0], sum(buffer))
        if body is not None and len(rows):
            ends = arrow_file.read_offsets(data, places, self.row_count)
            self._data_files[IDS].read(body[0] + int(ends[rows[0]]), body[0] + int(ends[rows[-1] + 1]))
        return arrow_file.take_rows(self._id_table.column(name), rows)

    def fixed_width_ids(self, name: str, rows: NDArray[np.uint32]) -> NDArray[np.void] | None:
        """The ids of the column *name* as bytes of one width, checked where *rows* are; None where widths differ."""
        facts = self._id_stats.get(name)
        if facts is None or not facts.fixed_width:
            return None
        data = self._id_table.buffer_locations(name)[2]
        assert data is not None
        if len(rows) * SPARSE_RATIO > self.row_count:
            self._data_files[IDS].read(data[0], sum(data))
        else:
            self._data_files[IDS].verify_ranges(data[0] + rows.astype(np.int64) * facts.fixed_width, facts.fixed_width)
        return np.frombuffer(
            self._data_files[IDS].data, dtype=f"V{facts.fixed_width}", count=self.row_count, offset=data[0]
        )

    def id_width(self, name: str) -> int | None:
        """The bytes of each id of the column *name*, where every device has one and they are equally long."""
        return self._id_stats[name].fixed_width if name in self._id_stats else None

    def contains_any(self, name: str, byte_values: bytes) -> bool:
        """Whether any id of the column *name* has one of the bytes *signs*; they are looked at once."""
        if (name, byte_values) not in self._scan_results:
            body = self._id_table.buffer_locations(name)[2]
            self._scan_results[name, byte_values] = body is not None and self._data_files[IDS].contains_any(
                body[0], sum(body), byte_values
            )
        return self._scan_results[name, byte_values]

    def has_every_id(self, name: str) -> bool:
        """Whether every device has an id in the column *name*."""
        return name in self._id_table.column_names and not self._id_table.column(name).null_count

    def is_json_safe(self, name: str) -> bool:
        """Whether JSON writes all ids of the column *name* as they are."""
        return name in self._id_stats and self._id_stats[name].is_json_safe

    @cached_property
    def _lookup_table(self) -> ArrowTable:
        return self._open_table(LOOKUP)

    def read_hash_table(self, name: str) -> id_lookup.HashTable:
        """The table of the hashes of the column *name*, dead rows and all."""
        start, stop = orjson.loads(self._lookup_table.metadata).get(name, (0, 0))
        buffer = self._lookup_table.buffer_locations("entry")[1]
        if buffer is None or start == stop:
            return np.empty(0, dtype=np.uint64)
        first = buffer[0] + 8 * start
        return np.frombuffer(self._data_files[LOOKUP].read(first, first + 8 * (stop - start)), dtype=np.uint64)

    def iter_files(self) -> Iterator[tuple[str, memoryview]]:
        """The name and the bytes of every file."""
        for file in (self._checksum_file, *self._data_files.values()):
            yield file.path.name, file.data

    def evict(self) -> None:
        """Give back the memory of what was read of the files; it stays readable."""
        for file in self._data_files.values():
            file.evict()

    def verify(self) -> None:
        """Read every file whole; DamagedError for the first that is not sound."""
        for file in (self._checksum_file, *self._data_files.values()):
            file.verify()


def _parse_bit_slicing(fields: dict[str, int] | None) -> BitSlicing | None:
    return None if fields is None else BitSlicing(**fields)
