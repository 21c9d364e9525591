"""DeviceIndex: build it, open it, ask it."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from os import fspath
from pathlib import Path

import polars as pl

from audience.errors import PlanError, Problem
from audience.index.changes.maintenance import (
    SnapshotInfo,
    backup_snapshot,
    list_snapshots,
    restore_snapshot,
    vacuum_snapshots,
)
from audience.index.changes.segments import drop_segment, save_segment
from audience.index.changes.update import UpdateResult, compact_index, remove_devices, tag_devices, update_devices
from audience.index.ingest.build import build_index
from audience.index.ingest.sources import Source
from audience.index.query import evaluate as engine
from audience.index.query.attribute_stats import AttributeStats, collect_attribute_stats
from audience.index.query.device_set import DeviceSet, find_id_column
from audience.index.query.explain import ExplainLine, explain_expr
from audience.index.query.unmatched import find_unmatched
from audience.index.schema.column_roles import ColumnRoles
from audience.index.storage import id_search
from audience.index.storage.cache import DEFAULT_CACHE_BYTES
from audience.index.storage.snapshot import Snapshot, open_snapshot
from audience.language.ast import Expr, Ids, ensure_expr
from audience.language.parser import parse
from audience.language.segments import expand_segments
from audience.progress import Progress, ignore_progress
from audience.vendors import vendor_names


class DeviceIndex:
    """Roaring bitmaps over a table of devices, kept in one folder.

    Wherever an expression is taken, its text is too. What is asked is answered from one snapshot, that of the moment
    when it was opened, whoever writes meanwhile; `refresh` moves on to the current one.
    """

    def __init__(self, snapshot: Snapshot):
        self.snapshot = snapshot

    @classmethod
    def build(
        cls,
        source: Source,
        path: str | Path,
        *,
        tokens: str | Mapping[str, str] | None = None,
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
    ) -> "DeviceIndex":
        """Build the index of *source* in the new folder *path*, and open it.

        *source* is a Parquet, CSV, NDJSON or Arrow IPC file, a folder or a glob of them, or a Polars frame. Columns
        find their role by name and type; the arguments set it. *tokens* maps a vendor to its column of ids; *split*
        maps a text column of tags to what stands between them.

        Raises TableError with the column and the first offending rows; nothing is left at *path* then.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]], "age": [31, None]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.count("male AND NOT vip"), index.count("age < 40"), index.count("NOT age < 40")
        (1, 1, 1)
        """
        roles = ColumnRoles(
            tokens={"registration_id": tokens} if isinstance(tokens, str) else dict(tokens or {}),
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
        build_index(source, Path(path), roles, vendor_names(), replace=replace, progress=progress)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path, *, cache_bytes: int = DEFAULT_CACHE_BYTES) -> "DeviceIndex":
        """Open the index at *path*; bitmaps are read when an expression touches them.

        What is asked again and again is kept in at most *cache_bytes* of memory.

        Raises IndexFolderError where there is none, DamagedError where a file is not what was written.
        """
        return cls(open_snapshot(Path(path), cache_bytes=cache_bytes))

    def __len__(self) -> int:
        return self.snapshot.device_count

    def __repr__(self) -> str:
        return f"<DeviceIndex {fspath(self.folder)!r}: {len(self):,} devices>"

    @property
    def folder(self) -> Path:
        """Where the index is."""
        return self.snapshot.folder

    @property
    def attributes(self) -> Mapping[str, AttributeStats]:
        """What can be asked, by name; bare tags are the attribute `tag`."""
        return collect_attribute_stats(self.snapshot)

    def count(self, expr: Expr | str) -> int:
        """How many devices *expr* means; ExpressionError for what the index does not know."""
        return engine.count_devices(_to_expr(expr), self.snapshot)

    def resolve(self, expr: Expr | str) -> DeviceSet:
        """The devices that *expr* means; ExpressionError for what the index does not know."""
        snapshot = self.snapshot  # another thread may move on meanwhile
        return DeviceSet(engine.resolve_rows(_to_expr(expr), snapshot), snapshot)

    def expand_segments(self, expr: Expr) -> Expr:
        """*expr* with what is saved in place of its segments; ExpressionError for one that is not."""
        return expand_segments(expr, self.snapshot.segments)

    def has_foreign_ids(self, ids: Ids, vendor: str) -> bool:
        """Whether any of *ids* stands in a column of ids that is not the one of *vendor*."""
        snapshot = self.snapshot
        try:
            own = find_id_column(snapshot.id_column_names, vendor)
        except PlanError:  # it is not known which ids are the vendor's
            own = ""
        others = [name for name in snapshot.id_column_names if name.startswith("id:") and name != own]
        wanted = pl.Series("id", ids.values, dtype=pl.String).unique()
        return any(len(id_search.find_in_column(shard, name, wanted)) for shard in snapshot.shards for name in others)

    def explain(self, expr: Expr | str) -> list[ExplainLine]:
        """The tree of *expr* with a count at every node, and in an AND what is left after each operand."""
        return explain_expr(_to_expr(expr), self.snapshot)

    def find_unmatched(self, expr: Expr | str) -> list[Problem]:
        """What *expr* names that no device has: not an error, but often a slip of the pen."""
        return find_unmatched(_to_expr(expr), self.snapshot)

    def verify(self) -> list[str]:
        """Read every file whole; the names of the files, or DamagedError for the first that is not sound."""
        return self.snapshot.verify()

    def refresh(self) -> bool:
        """Move on to the current snapshot; whether there is a newer one. What has been read of its shards is kept."""
        newer = open_snapshot(self.folder, self.snapshot, cache_bytes=self.snapshot.cache.max_bytes)
        moved = newer.manifest != self.snapshot.manifest
        if moved:
            self.snapshot = newer
        return moved

    def update(
        self,
        source: Source,
        *,
        new: Iterable[str] = (),
        ignore: Iterable[str] = (),
        wait: float = 0,
        progress: Progress = ignore_progress,
    ) -> UpdateResult:
        """Write what the table *source* says of devices, as a new snapshot, and move on to it.

        Devices are found by the first column of ids that the index and the table share. Those that are known change
        in the columns that the table has, also where a value is missing there; others are added. A column that the
        index does not have is refused unless it is one of *new*. While another process writes, *wait* seconds at most.
        A large change is seen by others before this returns: what it leaves untidy is a snapshot more.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "age": [31, 17], "city": ["x", "y"]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.update(polars.DataFrame({"token": ["t2", "t3"], "age": [18, 50]}))
        UpdateResult(snapshot=2, changed=1, added=1, removed=0, unknown=0)
        >>> index.count("age >= 18"), index.count("city:y AND age = 18")
        (3, 1)
        """
        roles = ColumnRoles(tokens={}, ignore=tuple(ignore))
        change = update_devices(
            self.folder, source, roles, vendor_names(), new_columns=new, wait=wait, progress=progress
        )
        self.refresh()
        return change

    def tag(
        self,
        ids: Iterable[str],
        *,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        wait: float = 0,
        progress: Progress = ignore_progress,
    ) -> UpdateResult:
        """Give the devices with *ids* the bare tags *add*, take *remove* from them, and move on to the new snapshot."""
        change = tag_devices(self.folder, ids, _as_tag_names(add), _as_tag_names(remove), wait, progress)
        self.refresh()
        return change

    def remove(self, ids: Iterable[str], *, wait: float = 0, progress: Progress = ignore_progress) -> UpdateResult:
        """Take the devices with *ids* out of the index, and move on to the new snapshot."""
        change = remove_devices(self.folder, ids, wait, progress)
        self.refresh()
        return change

    def compact(self, *, wait: float = 0, progress: Progress = ignore_progress) -> UpdateResult:
        """Write anew what questions have to go around since it changed, and move on to the new snapshot."""
        change = compact_index(self.folder, wait, progress)
        self.refresh()
        return change

    @property
    def segments(self) -> Mapping[str, Expr]:
        """The expressions that are saved, by name."""
        return self.snapshot.segments

    def save_segment(self, name: str, expr: Expr | str, *, wait: float = 0) -> None:
        """Save *expr* as *name*: from then on `@name` means it; what it mentions may change later.

        Raises ExpressionError where the index does not know what it asks for, or where it leads back to itself.
        """
        save_segment(self.folder, name, _to_expr(expr), wait)
        self.refresh()

    def drop_segment(self, name: str, *, wait: float = 0) -> None:
        """Forget what is saved as *name*; ExpressionError where nothing is, or where another segment mentions it."""
        drop_segment(self.folder, name, wait)
        self.refresh()

    def history(self) -> list[SnapshotInfo]:
        """The snapshots that are kept, the oldest first; the last one is current."""
        return list_snapshots(self.folder)

    def restore(self, number: int, *, wait: float = 0) -> None:
        """Make the snapshot *number* current again, as a new one, and move on to it."""
        restore_snapshot(self.folder, number, wait)
        self.refresh()

    def backup(self, to: str | Path) -> None:
        """Copy the current snapshot to the new folder *to*; writers may go on meanwhile."""
        backup_snapshot(self.folder, Path(to))

    def vacuum(self, keep: int = 1, *, wait: float = 0) -> list[str]:
        """Forget all snapshots but the last *keep*, and remove the files that no other needs; their names.

        Whoever holds an older snapshot open may go on reading it.
        """
        return vacuum_snapshots(self.folder, keep, wait)


def _as_tag_names(tags: Iterable[str]) -> Iterable[str]:
    """One name stands for itself, not for its letters."""
    return [tags] if isinstance(tags, str) else tags


def _to_expr(expr: Expr | str) -> Expr:
    if not isinstance(expr, str):
        return ensure_expr(expr)
    return parse(expr) if "@" in expr else _parse_cached(expr)  # what a text says of a file may change


_parse_cached = lru_cache(maxsize=1_024)(parse)
