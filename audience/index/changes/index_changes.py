"""Changes of an index: each is a new snapshot, and the index moves to it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Unpack

from audience._fs.object_urls import is_url
from audience.argument_types import check_methods
from audience.index.changes.applied_segments import SegmentChanges, apply_segments, compare_segments, parse_segments
from audience.index.changes.maintenance import (
    SnapshotInfo,
    backup_snapshot,
    compact_index,
    list_snapshots,
    restore_snapshot,
    vacuum_snapshots,
)
from audience.index.changes.segments import (
    Requirement,
    accept_any,
    drop_segment,
    find_segment_changes,
    list_segment_users,
    save_segment,
)
from audience.index.changes.session import UpdateResult
from audience.index.changes.tagging import remove_devices, tag_devices
from audience.index.changes.update import update_devices
from audience.index.ingest.locations.fetching import Source
from audience.index.ingest.read_options import ReadArguments, parse_read_arguments
from audience.index.records.segment_history import SegmentChange
from audience.index.schema.column_roles import ColumnRoles
from audience.index.storage.object_head import PushResult
from audience.index.storage.published import require_local
from audience.index.storage.snapshot import Snapshot, open_snapshot
from audience.language.ast import Expr
from audience.language.id_files import list_ids
from audience.language.parser import to_expr
from audience.progress import Progress, ignore_progress
from audience.vendors import VendorNames


@check_methods()
class IndexChanges:
    """Methods of an index that change it."""

    def __init__(self, snapshot: Snapshot):
        self.snapshot = snapshot

    @property
    def folder(self) -> Path:
        """Return the folder of the index. Raises OutputError if the index is in an object store."""
        require_local(self.snapshot.storage)
        return Path(self.snapshot.storage.location)

    def refresh(self) -> bool:
        """Move to the current snapshot. Return whether there is a newer one.

        Everything that was read of shared shards stays in memory.
        """
        held = self.snapshot
        self.snapshot = open_snapshot(held.storage, held, cache_bytes=held.cache.max_bytes, threads=held.threads)
        return self.snapshot is not held

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
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "age": [31, 17], "city": ["x", "y"]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.update(polars.DataFrame({"token": ["t2", "t3"], "age": [18, 50]}))
        UpdateResult(snapshot=2, changed=1, added=1, removed=0, unknown=0)
        >>> index.count("age >= 18"), index.count("city:y AND age = 18")
        (3, 1)
        """
        roles = ColumnRoles(tokens={}, ignore=tuple(ignore))
        result = update_devices(
            self.snapshot,
            source,
            roles,
            VendorNames(),
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
        column: str | None = None,
        wait: float = 0,
        progress: Progress = ignore_progress,
    ) -> UpdateResult:
        """Add bare tags to devices and remove others from them, as a new snapshot, and move to it.

        An update with the column of a tag replaces what the devices have in that column.

        Args:
            ids: Device ids, of any vendor.
            add: Tags to add; a string is one tag.
            remove: Tags to remove; a string is one tag.
            column: Column of the tags to add. One that no table has is changed by no update. Without a name it is the
                column in which devices have the tag already, or else the usual column of tags.
            wait: Seconds to wait for another writer.
            progress: Progress callback.

        Raises:
            TableError: A tag is both added and removed, a tag is invalid or in another column than *column*, or an id
                names two devices.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.tag(["t1", "t9"], add="vip")
        UpdateResult(snapshot=2, changed=1, added=0, removed=0, unknown=1)
        >>> changed = index.tag("t1", add="dead", column="dead"), index.update(table)
        >>> index.count("dead"), index.count("vip")
        (1, 0)
        """
        result = tag_devices(self.snapshot, ids, add, remove, column=column, wait=wait, progress=progress)
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
        >>> from audience import DeviceIndex
        >>> index = DeviceIndex.build(polars.DataFrame({"token": ["t1", "t2"]}), tempfile.mkdtemp() + "/devices.index")
        >>> index.remove(["t1"]).removed, len(index)
        (1, 1)
        """
        result = remove_devices(self.snapshot, ids, wait, progress)
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
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": [f"t{number}" for number in range(100)]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> _ = index.remove(["t1"])
        >>> index.compact().snapshot, index.history()[-1].description
        (3, 'compact: 1 shard before, 1 after')
        """
        result = compact_index(self.snapshot, wait, progress)
        self.refresh()
        return result

    def save_segment(
        self,
        name: str,
        expr: Expr | str,
        by: str | None = None,
        *,
        wait: float = 0,
        require: Requirement = accept_any,
    ) -> None:
        """Save *expr* as a segment, so that `@name` refers to it, as a new snapshot, and move to it.

        Args:
            name: Name of the segment; one of that name is replaced.
            expr: Expression; it may refer to other segments.
            by: Who saves it, for `segment_history`.
            wait: Seconds to wait for another writer.
            require: Called with the text that is saved now, or None; it raises an error to leave that as it is.

        Raises:
            ExpressionError: *expr* refers to something that the index does not have, or to the segment itself.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.save_segment("regulars", "male AND NOT vip")
        >>> index.count("@regulars")
        1
        """
        save_segment(self.snapshot.storage, name, to_expr(expr), by, wait, require)
        self.refresh()

    def save_ids(
        self,
        name: str,
        ids: Iterable[str],
        column: str = "registration_id",
        by: str | None = None,
        *,
        wait: float = 0,
    ) -> None:
        """Save a list of ids as a segment, as a new snapshot, and move to it.

        Args:
            name: Name of the segment; one of that name is replaced.
            ids: Ids; the index keeps also those that no device has.
            column: Id column that they are of; device ids of any column by default.
            by: Who saves it, for `segment_history`.
            wait: Seconds to wait for another writer.

        Raises:
            ExpressionError: There is no id, or the index has no such column.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"device_id": ["d1", "d2"]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.save_ids("staff", ["d1", "d9"], "device_id")
        >>> index.count("@staff"), index.segments["staff"].values
        (1, ('d1', 'd9'))
        """
        self.save_segment(name, list_ids(name, ids, column), by, wait=wait)

    def compare_segments(self, segments: Mapping[str, Expr | str]) -> SegmentChanges:
        """Return what `apply_segments` would change; change nothing.

        Arguments and errors are as for `apply_segments`.
        """
        return compare_segments(parse_segments(segments), self.snapshot)

    def apply_segments(
        self, segments: Mapping[str, Expr | str], by: str | None = None, *, wait: float = 0
    ) -> SegmentChanges:
        """Make the saved segments those of *segments*, as one snapshot, and move to it.

        Segments of other names are removed, except lists of ids that were saved with `save_ids` or `--ids`. If nothing
        changes there is no new snapshot.

        Args:
            segments: Expressions by name; they may refer to each other.
            by: Who changes them, for `segment_history`.
            wait: Seconds to wait for another writer.

        Raises:
            ExpressionError: A segment refers to something that there is not, or to itself. Nothing is changed.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> changes = index.apply_segments({"men": "male", "regulars": "@men AND NOT vip"})
        >>> list(changes.added), changes.snapshot, index.count("@regulars")
        (['men', 'regulars'], 2, 1)
        >>> list(index.apply_segments({"men": "male"}).removed)
        ['regulars']
        """
        changes = apply_segments(self.snapshot.storage, parse_segments(segments), by, wait)
        self.refresh()
        return changes

    def drop_segment(
        self, name: str, by: str | None = None, *, wait: float = 0, require: Requirement = accept_any
    ) -> None:
        """Delete a segment, as a new snapshot, and move to it.

        Args:
            name: Name of the segment.
            by: Who drops it, for `segment_history`.
            wait: Seconds to wait for another writer.
            require: Called with the text that is saved now; it raises an error to leave that as it is.

        Raises:
            ExpressionError: There is no such segment, or another segment or a policy refers to it.
            LockedError: Another process changes the index.
        """
        drop_segment(self.snapshot.storage, name, by, wait, require)
        self.refresh()

    def segment_history(self, name: str | None = None) -> list[SegmentChange]:
        """Return the changes of a segment, or of all segments, oldest first, up to the snapshot that is open.

        They survive the expiry of snapshots, `vacuum`, `restore`, `backup` and `build` with `replace`. The index keeps
        the last 1,000 changes of all segments, and fewer if their expressions are very long.

        Args:
            name: Name of a segment that there is or was; None is all.

        Raises:
            ExpressionError: No segment has or had this name.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> index = DeviceIndex.build(polars.DataFrame({"token": ["t1"]}), tempfile.mkdtemp() + "/devices.index")
        >>> index.save_segment("all", "everyone", by="li")
        >>> index.drop_segment("all", by="wang")
        >>> [(change.action, change.by, change.expression) for change in index.segment_history("all")]
        [('saved', 'li', 'everyone'), ('dropped', 'wang', 'everyone')]
        """
        return find_segment_changes(self.snapshot, name)

    def segment_users(self) -> Mapping[str, tuple[str, ...]]:
        """Return for each segment what mentions it: other segments, such as `@vip`, and policies, `policy consent`.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1"], "tags": [["vip"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> _ = index.apply_segments({"vips": "vip", "others": "NOT @vips"})
        >>> index.segment_users()
        {'vips': ('@others',), 'others': ()}
        """
        return list_segment_users(self.snapshot)

    def history(self) -> list[SnapshotInfo]:
        """Return the kept snapshots, oldest first; the last one is current."""
        return list_snapshots(self.snapshot.storage)

    def restore(self, number: int, by: str | None = None, *, wait: float = 0) -> None:
        """Publish an older snapshot as a new one, and move to it.

        Args:
            number: Number of the older snapshot, as in `history`.
            by: Who restores it: its segments are changes of theirs, in `segment_history`.
            wait: Seconds to wait for another writer.

        Raises:
            InvalidIndexError: The snapshot is not kept.
            DamagedError: A file of the snapshot is not what was written.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> index = DeviceIndex.build(polars.DataFrame({"token": ["t1", "t2"]}), tempfile.mkdtemp() + "/devices.index")
        >>> _ = index.remove(["t1"])
        >>> index.restore(1)
        >>> len(index), [snapshot.number for snapshot in index.history()]
        (2, [1, 2, 3])
        """
        restore_snapshot(self.snapshot.storage, number, by, wait)
        self.refresh()

    def backup(self, to: str | Path) -> None:
        """Copy the current snapshot to a new folder, which is an index itself.

        An index in an object store is copied to this machine.

        Other processes may change the index at the same time.

        Args:
            to: Folder that does not exist yet.

        Raises:
            DamagedError: A file is not what was written.
            OutputError: *to* exists or cannot be written.
        """
        backup_snapshot(self.snapshot.storage, Path(to))

    def push(self, url: str, *, replace: bool = False, progress: Progress = ignore_progress) -> PushResult:
        """Publish the current snapshot, with the records, in an object store, where other machines read it.

        Files that are there already are not written again. Of two publishers at once one is refused.

        Args:
            url: Place of the index, such as `s3://bucket/devices.index`.
            replace: Publish also where another index is published than the one that this index comes from.
            progress: Progress callback.

        Raises:
            LockedError: What is published does not come from this index, or another publisher came first.
            DamagedError: A file of the index is not what was written.
            OutputError: The store refuses the objects, or has no conditional puts.
        """
        from audience.index.changes.publishing import push_index  # object stores are for few

        return push_index(self.folder, url, may_replace=replace, progress=progress)

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
        >>> from audience import DeviceIndex
        >>> index = DeviceIndex.build(polars.DataFrame({"token": ["t1", "t2"]}), tempfile.mkdtemp() + "/devices.index")
        >>> _ = index.remove(["t1"])
        >>> "00000001.json" in index.vacuum(), len(index.history())
        (True, 1)
        """
        if is_url(self.snapshot.storage.location):
            from audience.index.changes.publishing import vacuum_published

            return vacuum_published(self.snapshot.storage.location, keep)
        return vacuum_snapshots(self.snapshot.storage, keep, wait)
