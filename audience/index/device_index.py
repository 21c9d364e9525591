"""Index of devices: build one, open it, query it, change it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Unpack

from audience.argument_types import check_methods
from audience.errors import Problem
from audience.index.changes.maintenance import (
    SnapshotInfo,
    backup_snapshot,
    compact_index,
    list_snapshots,
    restore_snapshot,
    vacuum_snapshots,
)
from audience.index.changes.segments import drop_segment, save_segment
from audience.index.changes.session import UpdateResult
from audience.index.changes.tagging import remove_devices, tag_devices
from audience.index.changes.update import update_devices
from audience.index.ingest.build import build_index
from audience.index.ingest.read_options import ReadArguments, parse_read_arguments
from audience.index.ingest.sources import Source
from audience.index.ingest.table_reading import TableReading
from audience.index.query import evaluate
from audience.index.query.attribute_stats import AttributeStats, collect_attribute_stats
from audience.index.query.device_set import DeviceSet, has_foreign_ids
from audience.index.query.explain import ExplainLine, explain_expr
from audience.index.query.unmatched import find_unmatched
from audience.index.schema.column_roles import ColumnRoles, join_id_columns
from audience.index.storage.cache import DEFAULT_CACHE_BYTES
from audience.index.storage.published import open_storage
from audience.index.storage.snapshot import Snapshot, open_snapshot
from audience.language.ast import Expr, Ids
from audience.language.parser import to_expr
from audience.language.segments import expand_segments
from audience.progress import Progress, ignore_progress
from audience.vendors import vendor_names


@check_methods(skip=("count", "resolve"))
class DeviceIndex:
    """Roaring bitmaps over a table of devices, in one folder.

    Text is accepted wherever an expression is. Queries are answered from the snapshot that was current when the index
    was opened, even if another process changes the index. `refresh` and all changes move to the current snapshot.
    A pickled index opens the same snapshot again.

    >>> import polars, tempfile
    >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]], "age": [31, 17]})
    >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
    >>> len(index), index.count("male AND age < 18")
    (2, 1)
    """

    def __init__(self, snapshot: Snapshot):
        self.snapshot = snapshot
        self.reading: TableReading | None = None  # of the table that this index was built from

    @classmethod
    def build(
        cls,
        source: Source,
        path: str | Path,
        *,
        tokens: str | Mapping[str, str] | None = None,
        key: str | None = None,
        alias: str | None = None,
        account: str | None = None,
        tags: Iterable[str] = (),
        typed: Iterable[str] = (),
        numbers: Iterable[str] = (),
        dates: Iterable[str] = (),
        versions: Iterable[str] = (),
        split: Mapping[str, str] | None = None,
        ignore: Iterable[str] = (),
        replace: bool = False,
        progress: Progress = ignore_progress,
        **reading: Unpack[ReadArguments],
    ) -> "DeviceIndex":
        """Build the index of a table in a new folder, and open it.

        A column gets its role from its name and type unless an argument sets it.

        Args:
            source: Parquet, CSV, NDJSON or Arrow IPC file, a folder or a glob of them, or a Polars frame.
            path: Folder of the index. Nothing is left there if the build fails.
            tokens: Column of device ids, or the column for each vendor.
            key: Column of ids of the table's own. It is never sent to a vendor.
            alias: Column of aliases.
            account: Column of accounts.
            tags: Columns of bare tags.
            typed: Columns whose values are tags with the name of the column as their type.
            numbers: Columns of numbers.
            dates: Columns of days or timestamps.
            versions: Columns of versions.
            split: Separators of columns of strings that hold several tags.
            ignore: Columns to leave out.
            replace: Replace an index in *path*.
            progress: Progress callback.
            reading: Options for reading files, as `ReadArguments` lists them: `encoding`, `delimiter`, `timezone`, ….
                The attribute `reading` of the index has the decisions that were made.

        Raises:
            TableError: The table is invalid; the error names the column and the first invalid rows.
            OutputError: *path* exists or cannot be written.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]], "age": [31, None]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.count("male AND NOT vip"), index.count("age < 40"), index.count("NOT age < 40")
        (1, 1, 1)
        """
        roles = ColumnRoles(
            tokens=join_id_columns(tokens, key),
            alias=alias,
            account=account,
            tags=tuple(tags),
            strings=tuple(typed),
            numbers=tuple(numbers),
            dates=tuple(dates),
            versions=tuple(versions),
            separators=dict(split or {}),
            ignore=tuple(ignore),
        )
        options = parse_read_arguments(reading, Path(path))
        decisions = build_index(
            source, Path(path), roles, vendor_names(), options=options, replace=replace, progress=progress
        )
        index = cls.open(path)
        index.reading = decisions
        return index

    @classmethod
    def open(cls, path: str | Path, *, cache_bytes: int = DEFAULT_CACHE_BYTES) -> "DeviceIndex":
        """Open an index. Bitmaps are read when an expression first needs them.

        Args:
            path: Folder of the index.
            cache_bytes: Memory for the results of repeated subexpressions, in bytes.

        Raises:
            InvalidIndexError: There is no index at *path*, or it has another format.
            DamagedError: A file is missing or not what was written.

        >>> import polars, tempfile
        >>> folder = tempfile.mkdtemp() + "/devices.index"
        >>> _ = DeviceIndex.build(polars.DataFrame({"token": ["t1"], "tags": [["male"]]}), folder)
        >>> DeviceIndex.open(folder).count("male")
        1
        """
        return cls(open_snapshot(open_storage(path), cache_bytes=cache_bytes))

    def __len__(self) -> int:
        return self.snapshot.device_count

    def __repr__(self) -> str:
        return f"<DeviceIndex {self.snapshot.storage.location!r}: {len(self):,} devices>"

    def _repr_html_(self) -> str:
        return self.snapshot.to_html()

    @property
    def folder(self) -> Path:
        """Return the folder of the index."""
        return Path(self.snapshot.storage.location)

    @property
    def attributes(self) -> Mapping[str, AttributeStats]:
        """Return the attributes of the devices by name; bare tags are the attribute `tag`.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "city": ["x", "y"]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.attributes["city"].values.to_list()
        ['x', 'y']
        """
        return collect_attribute_stats(self.snapshot)

    def count(self, expr: Expr | str) -> int:
        """Return the number of devices that match *expr*.

        Raises:
            ExpressionError: *expr* is invalid or refers to something that the index does not have.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.count("male AND NOT vip")
        1
        """
        return evaluate.count_devices(to_expr(expr), self.snapshot)

    def resolve(self, expr: Expr | str) -> DeviceSet:
        """Return the devices that match *expr*.

        Raises:
            ExpressionError: *expr* is invalid or refers to something that the index does not have.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> (index.resolve("male") - index.resolve("vip")).ids().to_list()
        ['t2']
        """
        snapshot = self.snapshot  # another thread may refresh the index
        return DeviceSet(evaluate.resolve_rows(to_expr(expr), snapshot), snapshot)

    def expand_segments(self, expr: Expr) -> Expr:
        """Return *expr* with every segment replaced by its saved expression.

        Raises:
            ExpressionError: A segment is not saved.
        """
        return expand_segments(expr, self.snapshot.segments)

    def has_foreign_ids(self, ids: Ids, vendor: str) -> bool:
        """Return whether any of *ids* is in a column of device ids that is not the one of *vendor*."""
        return has_foreign_ids(ids, vendor, self.snapshot)

    def explain(self, expr: Expr | str) -> list[ExplainLine]:
        """Return the tree of *expr* with a count at every node, and in an AND the devices left after each operand.

        Raises:
            ExpressionError: *expr* is invalid or refers to something that the index does not have.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> [(line.text, line.device_count, line.remaining) for line in index.explain("male AND vip")]
        [('AND', 1, None), ('male', 2, 2), ('vip', 1, 1)]
        """
        return explain_expr(to_expr(expr), self.snapshot)

    def find_unmatched(self, expr: Expr | str) -> list[Problem]:
        """Return a problem for each tag and id list of *expr* that no device has; often these are typos.

        Raises:
            ExpressionError: *expr* is invalid or refers to something that the index does not have.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1"], "tags": [["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> [(problem.message, problem.hint) for problem in index.find_unmatched("mael")]
        [("no device has 'mael'", 'did you mean male?')]
        """
        return find_unmatched(to_expr(expr), self.snapshot)

    def verify(self) -> list[str]:
        """Read every file and compare it with its checksums. Return the names of the files.

        Raises:
            DamagedError: A file is missing or not what was written; the error names the first one.
        """
        return self.snapshot.verify()

    def refresh(self) -> bool:
        """Move to the current snapshot. Return whether there is a newer one.

        Everything that was read of shared shards stays in memory.
        """
        newer = open_snapshot(self.snapshot.storage, self.snapshot, cache_bytes=self.snapshot.cache.max_bytes)
        is_newer = newer.manifest != self.snapshot.manifest
        if is_newer:
            self.snapshot = newer
        return is_newer

    def update(
        self,
        source: Source,
        *,
        new: Iterable[str] = (),
        ignore: Iterable[str] = (),
        wait: float = 0,
        progress: Progress = ignore_progress,
        **reading: Unpack[ReadArguments],
    ) -> UpdateResult:
        """Write the devices of a table to the index, as a new snapshot, and move to it.

        Devices are matched by the first id column that the index and the table share. Known devices change in the
        columns of the table, even where a value is missing there. Others are added. After a large change, readers see
        the new snapshot before this returns, and a compacted one follows.

        Args:
            source: Table, as for `build`.
            new: Columns of the table that the index does not have and that are added.
            ignore: Columns to leave out.
            wait: Seconds to wait for another writer.
            progress: Progress callback.
            reading: Options for reading files, as for `build`.

        Raises:
            TableError: The table is invalid, shares no id column with the index, or has an unexpected column.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "age": [31, 17], "city": ["x", "y"]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.update(polars.DataFrame({"token": ["t2", "t3"], "age": [18, 50]}))
        UpdateResult(snapshot=2, changed=1, added=1, removed=0, unknown=0)
        >>> index.count("age >= 18"), index.count("city:y AND age = 18")
        (3, 1)
        """
        roles = ColumnRoles(tokens={}, ignore=tuple(ignore))
        result = update_devices(
            self.snapshot.storage,
            source,
            roles,
            vendor_names(),
            options=parse_read_arguments(reading, self.folder),
            new_columns=new,
            wait=wait,
            progress=progress,
        )
        self.refresh()
        return result

    def tag(
        self,
        ids: Iterable[str],
        *,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        wait: float = 0,
        progress: Progress = ignore_progress,
    ) -> UpdateResult:
        """Add bare tags to devices and remove others from them, as a new snapshot, and move to it.

        Args:
            ids: Device ids, of any vendor.
            add: Tags to add; a string is one tag.
            remove: Tags to remove; a string is one tag.
            wait: Seconds to wait for another writer.
            progress: Progress callback.

        Raises:
            TableError: A tag is both added and removed, a tag is invalid, or an id names two devices.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.tag(["t1", "t9"], add="vip")
        UpdateResult(snapshot=2, changed=1, added=0, removed=0, unknown=1)
        """
        result = tag_devices(self.snapshot.storage, ids, add, remove, wait, progress)
        self.refresh()
        return result

    def remove(self, ids: Iterable[str], *, wait: float = 0, progress: Progress = ignore_progress) -> UpdateResult:
        """Remove devices from the index, as a new snapshot, and move to it.

        Args:
            ids: Device ids, of any vendor.
            wait: Seconds to wait for another writer.
            progress: Progress callback.

        Raises:
            TableError: An id names two devices.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> index = DeviceIndex.build(polars.DataFrame({"token": ["t1", "t2"]}), tempfile.mkdtemp() + "/devices.index")
        >>> index.remove(["t1"]).removed, len(index)
        (1, 1)
        """
        result = remove_devices(self.snapshot.storage, ids, wait, progress)
        self.refresh()
        return result

    def compact(self, *, wait: float = 0, progress: Progress = ignore_progress) -> UpdateResult:
        """Drop deleted rows and merge small shards to speed up queries, as a new snapshot, and move to it.

        Args:
            wait: Seconds to wait for another writer.
            progress: Progress callback.

        Raises:
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": [f"t{number}" for number in range(100)]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> _ = index.remove(["t1"])
        >>> index.compact().snapshot, index.history()[-1].description
        (3, 'compact: 1 shards are 1 now')
        """
        result = compact_index(self.snapshot.storage, wait, progress)
        self.refresh()
        return result

    @property
    def segments(self) -> Mapping[str, Expr]:
        """Return the saved segments by name."""
        return self.snapshot.segments

    def save_segment(self, name: str, expr: Expr | str, *, wait: float = 0) -> None:
        """Save *expr* as a segment, so that `@name` refers to it, as a new snapshot, and move to it.

        Args:
            name: Name of the segment; one of that name is replaced.
            expr: Expression; it may refer to other segments.
            wait: Seconds to wait for another writer.

        Raises:
            ExpressionError: *expr* refers to something that the index does not have, or to the segment itself.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.save_segment("regulars", "male AND NOT vip")
        >>> index.count("@regulars")
        1
        """
        save_segment(self.snapshot.storage, name, to_expr(expr), wait)
        self.refresh()

    def drop_segment(self, name: str, *, wait: float = 0) -> None:
        """Delete a segment, as a new snapshot, and move to it.

        Args:
            name: Name of the segment.
            wait: Seconds to wait for another writer.

        Raises:
            ExpressionError: There is no such segment, or another segment refers to it.
            LockedError: Another process changes the index.
        """
        drop_segment(self.snapshot.storage, name, wait)
        self.refresh()

    def history(self) -> list[SnapshotInfo]:
        """Return the kept snapshots, oldest first; the last one is current."""
        return list_snapshots(self.snapshot.storage)

    def restore(self, number: int, *, wait: float = 0) -> None:
        """Publish an older snapshot as a new one, and move to it.

        Args:
            number: Number of the older snapshot, as in `history`.
            wait: Seconds to wait for another writer.

        Raises:
            InvalidIndexError: The snapshot is not kept.
            DamagedError: A file of the snapshot is not what was written.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> index = DeviceIndex.build(polars.DataFrame({"token": ["t1", "t2"]}), tempfile.mkdtemp() + "/devices.index")
        >>> _ = index.remove(["t1"])
        >>> index.restore(1)
        >>> len(index), [snapshot.number for snapshot in index.history()]
        (2, [1, 2, 3])
        """
        restore_snapshot(self.snapshot.storage, number, wait)
        self.refresh()

    def backup(self, to: str | Path) -> None:
        """Copy the current snapshot to a new folder, which is an index itself.

        Other processes may change the index at the same time.

        Args:
            to: Folder that does not exist yet.

        Raises:
            DamagedError: A file is not what was written.
            OutputError: *to* exists or cannot be written.
        """
        backup_snapshot(self.snapshot.storage, Path(to))

    def vacuum(self, keep: int = 1, *, wait: float = 0) -> list[str]:
        """Delete old snapshots and the files that no other snapshot needs. Return the names of the files.

        A process that has an older snapshot open can still read it.

        Args:
            keep: Number of snapshots that are kept, including the current one.
            wait: Seconds to wait for another writer.

        Raises:
            InvalidIndexError: *keep* is less than 1.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> index = DeviceIndex.build(polars.DataFrame({"token": ["t1", "t2"]}), tempfile.mkdtemp() + "/devices.index")
        >>> _ = index.remove(["t1"])
        >>> "00000001.json" in index.vacuum(), len(index.history())
        (True, 1)
        """
        return vacuum_snapshots(self.snapshot.storage, keep, wait)
