"""Result of a query: a set of devices, with their ids."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from operator import and_, or_, sub, xor
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.argument_types import check_arguments
from audience.counts import format_count
from audience.errors import PlanError, Problem
from audience.html_table import format_html_table
from audience.index.query.exported_columns import (
    DEFAULT_ROWS,
    choose_columns,
    empty_frame,
    iter_exported_frames,
)
from audience.index.query.late_bitmaps import LateBitmap
from audience.index.query.vendor_id_columns import find_id_column
from audience.index.schema.columns import (
    IdColumn,
    select_device_id_columns,
)
from audience.index.storage import arrow_file, bitmaps
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.id_arrays import take_array, take_series, take_split_series
from audience.index.storage.joined_shard import SplitRows
from audience.index.storage.list_columns import as_lists, is_list
from audience.index.storage.row_memory import allocate_rows, list_rows
from audience.index.storage.shard import Shard
from audience.index.storage.single_ids import find_rows
from audience.index.storage.snapshot import Snapshot

MAX_SHORT_ROWS = 1 << 32  # of which each has a number of 32 bits


@dataclass(frozen=True, eq=False, repr=False)
class DeviceSet:
    """Devices that match an expression: one bitmap of rows for each shard of a snapshot.

    Sets of one snapshot are combined with `&`, `|`, `-` and `^`, compared with `==`, `<=` and `<`, and `~` returns all
    other devices of the index. Iteration yields the ids of `ids()`; `in` finds a device by any of its ids. Devices are
    listed shard by shard, in the order of their row numbers. A set can be pickled: it opens the same snapshot again.

    >>> import polars, tempfile
    >>> from audience import DeviceIndex
    >>> table = polars.DataFrame({"token": ["t1", "t2", "t3"], "tags": [["male", "vip"], ["male"], ["vip"]]})
    >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
    >>> male, vip = index.resolve("male"), index.resolve("vip")
    >>> len(male & vip), len(male | vip), len(male - vip)
    (1, 3, 1)
    >>> (male - vip).ids().to_list()
    ['t2']
    """

    bitmaps: Sequence[BitMap]
    snapshot: Snapshot

    @cached_property
    def _device_count(self) -> int:
        if isinstance(self.bitmaps, LateBitmap):
            return self.bitmaps.count_rows()
        if isinstance(self.bitmaps, SplitRows):
            return self.bitmaps.device_count
        return sum(map(len, self.bitmaps))

    def __len__(self) -> int:
        return self._device_count

    def __repr__(self) -> str:
        return f"<DeviceSet: {format_count(len(self), 'device')}>"

    def _repr_html_(self) -> str:
        rows = [
            ("devices", f"{len(self):,} of {self.snapshot.device_count:,}"),
            ("index", self.snapshot.location),
            ("snapshot", self.snapshot.manifest.number),
        ]
        return format_html_table("DeviceSet", rows)

    def __iter__(self) -> Iterator[str | None]:
        """Iterate over one id of each device, None if it has none in the first column of device ids."""
        return iter(self.ids())

    def __contains__(self, identifier: object) -> bool:
        """Return whether a device of the set has the device id *identifier*, in any column of device ids."""
        if not isinstance(identifier, str):
            raise TypeError(f"identifier: expected a string, got {identifier!r:.60}")
        if not identifier:
            return False
        columns = select_device_id_columns(self.snapshot.id_columns)
        return any(
            row in bitmap
            for shard, bitmap in zip(self.snapshot.shards, self.bitmaps, strict=True)
            for row in find_rows(identifier, columns, shard)
        )

    def __eq__(self, other: object) -> bool:
        """Return whether *other* has the same devices of the same snapshot."""
        if not isinstance(other, DeviceSet):
            return NotImplemented
        return self.snapshot.is_same(other.snapshot) and list(self.bitmaps) == list(other.bitmaps)

    def __hash__(self) -> int:
        return hash((self.snapshot.location, self.snapshot.manifest.number, len(self)))

    def __le__(self, other: "DeviceSet") -> bool:
        """Return whether *other* has all these devices. Raises PlanError if the sets are of different snapshots."""
        return NotImplemented if not isinstance(other, DeviceSet) else not self - other

    def __lt__(self, other: "DeviceSet") -> bool:
        """Return whether *other* has all these devices and more, as `<=`."""
        return NotImplemented if not isinstance(other, DeviceSet) else self <= other and len(self) < len(other)

    def __invert__(self) -> "DeviceSet":
        """Return all other devices of the index."""
        live = [shard.live_rows for shard in self.snapshot.shards]
        return DeviceSet(list(map(sub, live, self.bitmaps)), self.snapshot)

    def __and__(self, other: "DeviceSet") -> "DeviceSet":
        """Return the devices in both sets. Raises PlanError if the sets are of different snapshots."""
        return self._combine(other, and_)

    def __or__(self, other: "DeviceSet") -> "DeviceSet":
        """Return the devices in either set. Raises PlanError if the sets are of different snapshots."""
        return self._combine(other, or_)

    def __sub__(self, other: "DeviceSet") -> "DeviceSet":
        """Return the devices that are not in *other*. Raises PlanError if the sets are of different snapshots."""
        return self._combine(other, sub)

    def __xor__(self, other: "DeviceSet") -> "DeviceSet":
        """Return the devices that are in one set only. Raises PlanError if the sets are of different snapshots."""
        return self._combine(other, xor)

    def _combine(self, other: "DeviceSet", operator: Callable[[BitMap, BitMap], BitMap]) -> "DeviceSet":
        if not isinstance(other, DeviceSet):
            return NotImplemented
        if not self.snapshot.is_same(other.snapshot):
            message = f"sets of devices of two snapshots: {self.snapshot} and {other.snapshot}"
            raise PlanError(Problem("other-snapshot", message, hint="resolve both expressions with one index"))
        return DeviceSet(list(map(operator, self.bitmaps, other.bitmaps)), self.snapshot)

    @property
    def shard_rows(self) -> Iterator[tuple[Shard, NDArray[np.uint32]]]:
        """Iterate over the shards that have any of the devices, each with their rows in rising order."""
        return ((shard, list_rows(bitmap)) for shard, bitmap in self._bitmaps_of_shards())

    def global_rows(self) -> NDArray[np.uint32] | NDArray[np.uint64]:
        """Return the row numbers in the whole index: rows of a shard follow all rows of the shards before it.

        They have 64 bits if the index has more than 2³² rows.
        """
        if type(self.bitmaps) is LateBitmap:  # `isinstance` of an abstract class takes as long as few rows
            return self.bitmaps.list_rows()
        if len(self.bitmaps) == 1:  # most tables
            return list_rows(self.bitmaps[0])
        if isinstance(self.bitmaps, SplitRows) and (consecutive := self.bitmaps.consecutive_rows) is not None:
            return list_rows(consecutive)
        if sum(shard.row_count for shard in self.snapshot.shards) > MAX_SHORT_ROWS:
            return self._list_long_rows()
        rows, first_row, position = allocate_rows(len(self)), 0, 0
        for shard, bitmap in zip(self.snapshot.shards, self.bitmaps, strict=True):
            rows_of_shard = rows[position : position + len(bitmap)]
            bitmaps.fill_shifted_rows(bitmap, first_row, rows_of_shard)
            first_row, position = first_row + shard.row_count, position + len(bitmap)
        return rows

    def _list_long_rows(self) -> NDArray[np.uint64]:
        firsts = accumulate((shard.row_count for shard in self.snapshot.shards), initial=0)
        pairs = zip(firsts, self.bitmaps, strict=False)
        parts = [bitmaps.bitmap_to_rows(bitmap) + np.uint64(first) for first, bitmap in pairs]
        return np.concatenate([np.empty(0, dtype=np.uint64), *parts])

    @check_arguments
    def ids(self, vendor: str | None = None) -> pl.Series:
        """Return one id for each device as the series `token`; null if a device has none.

        Args:
            vendor: Name of the vendor whose ids are wanted. Without it, ids come from the first column of device ids.

        Raises:
            PlanError: No column, or more than one, can hold the ids of *vendor*.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tpns_token": ["x1", None], "tags": [["male"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.resolve("male").ids().to_list(), index.resolve("male").ids("tpns").to_list()
        (['t1', 't2'], ['x1', None])
        """
        return self._gather_ids(find_id_column(self.snapshot.id_columns, vendor)).rename("token")

    @check_arguments
    def to_frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return one row for each device with its ids and attributes.

        Numbers are numbers, days dates, instants times of the index's zone, versions and other values texts. An
        attribute of which a device may have several values is a column of lists, and so are all bare tags, `tags`.

        Args:
            columns: Names of columns: id columns, attributes, `tags`, and `id` for the first column of device ids;
                without it, all id columns.

        Raises:
            PlanError: The index does not keep one of *columns*.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "alias": ["u1", None], "age": [31, 17]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.resolve("age > 18").to_frame(["alias", "age"]).rows(), index.resolve("everyone").to_frame().columns
        ([('u1', 31)], ['token', 'alias'])
        """
        if columns is not None and not self._are_ids(columns):
            exported = choose_columns(columns, self.snapshot)
            frames = iter_exported_frames(self.shard_rows, exported, max(len(self), 1))
            return pl.concat([empty_frame(exported), *frames])
        chosen = self._choose_id_columns(columns)
        return pl.DataFrame([self._gather_ids(column).rename(name) for name, column in chosen.items()])

    @check_arguments
    def iter_frames(self, columns: Sequence[str] | None = None, rows: int = DEFAULT_ROWS) -> Iterator[pl.DataFrame]:
        """Iterate over frames of at most *rows* devices, so that memory is bounded; all have the same types.

        Args:
            columns: Names of columns, as for `to_frame`; without it, all ids, attributes and `tags`.
            rows: Most rows of a frame.

        Raises:
            PlanError: The index does not keep one of *columns*.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2", "t3"], "tags": [["a"], ["b"], None], "age": [31, 17, 20]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> [sorted(frame.rows()) for frame in index.resolve("age > 18").iter_frames(["age", "tags"])]
        [[(20, []), (31, ['a'])]]
        """
        if rows < 1:
            raise ValueError(f"rows: expected 1 or more, got {rows}")
        return iter_exported_frames(self.shard_rows, choose_columns(columns, self.snapshot), rows)

    def _are_ids(self, names: Sequence[str]) -> bool:
        kept = {column.name for column in self.snapshot.id_columns}
        return bool(names) and all(name in kept for name in names) and len({*names}) == len(names)

    @check_arguments
    def to_arrow(self, columns: Sequence[str] | None = None) -> Any:
        """Return the id columns of these devices as a `pyarrow.Table`, with a chunk for each shard.

        Polars, DuckDB, pyarrow and others take a set itself as a table too, by the Arrow C stream that it exports:
        `polars.DataFrame(devices)`, `pyarrow.table(devices)`, and `duckdb.sql("FROM devices")` of a variable. Ids of
        consecutive rows are not copied.

        Args:
            columns: Names of the id columns that are wanted; without it, all of them.

        Raises:
            PlanError: One of *columns* is no id column of the index.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "alias": ["u1", None], "age": [31, 17]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.resolve("age > 18").to_arrow().to_pydict()
        {'token': ['t1'], 'alias': ['u1']}
        """
        return self._stream_id_columns(columns).read_all()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the rows of `to_arrow` as an Arrow C stream; a batch is read when the consumer asks for it."""
        return self._stream_id_columns(None).__arrow_c_stream__(requested_schema)

    def _stream_id_columns(self, columns: Sequence[str] | None) -> Any:
        chosen = self._choose_id_columns(columns)
        with_lists = {column for column in chosen.values() if self._has_lists(column)}
        types = [arrow_file.id_type(column in with_lists) for column in chosen.values()]
        batches = (
            [
                arrow_file.as_lists(take_array(shard, column, rows))
                if column in with_lists
                else take_array(shard, column, rows)
                for column in chosen.values()
            ]
            for shard, rows in self._bitmaps_of_shards()
        )
        return arrow_file.stream_batches(list(chosen), types, batches)

    def _choose_id_columns(self, names: Sequence[str] | None) -> dict[str, IdColumn]:
        """Return the id columns with these names, or all of them."""
        kept = {column.name: column for column in self.snapshot.id_columns}
        for name in names or ():
            if name not in kept:
                hint = f"its id columns are {', '.join(kept)}; to_frame returns attributes, too"
                raise PlanError(Problem("no-column", f"the index keeps no id column {name!r}", hint=hint))
        return {name: kept[name] for name in names or kept}

    def _has_lists(self, column: IdColumn) -> bool:
        return any(shard.has_id_lists(column) for shard, _ in self._bitmaps_of_shards())

    def _bitmaps_of_shards(self) -> Iterator[tuple[Shard, BitMap]]:
        """Iterate over the shards that have any of the devices, each with the bitmap of their rows."""
        return ((shard, rows) for shard, rows in zip(self.snapshot.shards, self.bitmaps, strict=True) if rows)

    def _gather_ids(self, column: IdColumn) -> pl.Series:
        if isinstance(self.bitmaps, SplitRows):
            parts = take_split_series(self.bitmaps, column)
        else:
            parts = [take_series(shard, column, rows) for shard, rows in self._bitmaps_of_shards()]
        if any(map(is_list, parts)):
            parts = [as_lists(part) for part in parts]
        return pl.concat(parts) if parts else pl.Series(column.name, [], dtype=pl.String)
