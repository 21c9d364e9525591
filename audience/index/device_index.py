"""Index of devices: build one, open it, query it, change it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import polars as pl

from audience._fs.object_urls import is_url
from audience.argument_types import check_methods
from audience.cluster.cluster import Cluster, may_have_other_machines
from audience.counts import format_count
from audience.index.changes.events.index_events import IndexEvents
from audience.index.changes.index_policies import IndexPolicies
from audience.index.changes.interchange.bitmap_import import import_bitmaps
from audience.index.changes.interchange.index_bitmaps import IndexBitmaps
from audience.index.ingest.build import build_index
from audience.index.ingest.locations.fetching import Source
from audience.index.ingest.read_options import ReadArguments, parse_read_arguments
from audience.index.ingest.replacement import parse_losses
from audience.index.ingest.table_reading import TableReading
from audience.index.query import counting, membership
from audience.index.query.attribute_stats import AttributeStats, collect_attribute_stats
from audience.index.query.device_set import DeviceSet
from audience.index.query.index_explanations import IndexExplanations
from audience.index.query.index_sql import IndexSql
from audience.index.query.insight.index_insight import IndexInsight
from audience.index.query.questions import bind_segments, read_question
from audience.index.query.resolve import resolve_rows
from audience.index.query.vendor_id_columns import has_foreign_ids
from audience.index.records.record_files import verify_record_files
from audience.index.schema.column_roles import ColumnRoles, join_id_columns
from audience.index.storage.cache import DEFAULT_CACHE_BYTES
from audience.index.storage.published import open_storage
from audience.index.storage.snapshot import Snapshot, open_snapshot
from audience.language.ast import Expr, Ids
from audience.language.parser import to_expr
from audience.language.segments import expand_segments
from audience.progress import Progress, ignore_progress
from audience.vendors import VendorNames

if TYPE_CHECKING:  # object stores are for few
    from audience.index.ingest.shared.staged_build import StagedBuild


@check_methods(skip=("count", "resolve"))
class DeviceIndex(IndexEvents, IndexPolicies, IndexExplanations, IndexInsight, IndexSql, IndexBitmaps):
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
        super().__init__(snapshot)
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
        allow_loss: Iterable[str] = (),
        progress: Progress = ignore_progress,
        cluster: Cluster | None = None,
        **reading: Unpack[ReadArguments],
    ) -> "DeviceIndex":
        """Build the index of a table in a new folder, and open it.

        A column gets its role from its name and type unless an argument sets it.

        Args:
            source: Parquet, CSV, NDJSON or Arrow IPC file, a folder, Hive folder or glob of them, a URL of one in
                an object store or on a web server, a database with *query*, a Polars frame, or an object with
                `__arrow_c_stream__`, as those of pyarrow, DuckDB, pandas and Ibis.
            path: Folder of the index, or the URL of one in an object store. Nothing is left there if the build fails.
            tokens: Column of device ids, or the column for each vendor.
            key: Column of ids of the table's own. It is never sent to a vendor.
            alias: Column of aliases.
            account: Column of accounts.
            tags: Columns of bare tags.
            typed: Columns whose values are tags with the name of the column as their type.
            numbers: Columns of numbers.
            dates: Columns of days or timestamps.
            versions: Columns of versions.
            split: Separators of columns of strings that hold several values: tags, unless they have another role.
            ignore: Columns to leave out.
            replace: Replace an index in *path*.
            allow_loss: What the replaced index may lose: "devices", so that it has none, and "names", tags and
                attributes that its policies or segments name. Otherwise such a build is refused.
            progress: Progress callback.
            cluster: Processes that write the shards, as of `audience.local_cluster(2)`; the files are the same. *path*
                is in a folder that all of them see, or the URL of an object store if all are on this machine. A build
                in a folder that was cut off goes on from its finished shards.
            reading: Options for reading files, as `ReadArguments` lists them: `encoding`, `delimiter`, `timezone`, ….
                The attribute `reading` of the index has the decisions that were made.

        Raises:
            TableError: The table is invalid; the error names the column and the first invalid rows.
            OutputError: *path* exists or cannot be written.
            LockedError: Another publisher came first, in an object store.
            ClusterError: The cluster is lost, or cannot do what was asked.

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
        losses = parse_losses(allow_loss)
        options = parse_read_arguments(reading, Path(path.name if is_url(path := Path(path)) else path))

        def build(folder: Path, may_replace: bool, staged: "StagedBuild | None" = None) -> TableReading:
            return build_index(
                source,
                folder,
                roles,
                VendorNames(),
                options=options,
                replace=may_replace,
                progress=progress,
                cluster=cluster,
                staged=staged,
                allow_loss=losses,
            )

        if is_url(path):
            from audience.index.changes.publishing import build_published  # object stores are for few

            is_staged = may_have_other_machines(cluster)
            decisions = build_published(path, build, may_replace=replace, is_staged=is_staged, progress=progress)
        else:
            decisions = build(path, replace)
        index = cls.open(path)
        index.reading = decisions
        return index

    @classmethod
    def import_bitmaps(
        cls, folder: str | Path, path: str | Path, *, progress: Progress = ignore_progress
    ) -> "DeviceIndex":
        """Build an index from a folder of bitmaps, as `export_bitmaps` or another program writes it, and open it.

        Args:
            folder: Folder of bitmaps. Everything in it is checked.
            path: Folder of the new index. Nothing is left there if the import fails.
            progress: Progress callback.

        Raises:
            TableError: The folder is not one of bitmaps, is damaged, or contradicts itself; the error names the place.
            OutputError: *path* exists or cannot be written.
        """
        import_bitmaps(Path(folder), Path(path), progress)
        return cls.open(path)

    @classmethod
    def open(
        cls, path: str | Path, *, cache_bytes: int = DEFAULT_CACHE_BYTES, threads: int | None = None
    ) -> "DeviceIndex":
        """Open an index. Bitmaps are read when an expression first needs them.

        Args:
            path: Folder of the index, or its URL in an object store: `s3://bucket/devices.index`.
            cache_bytes: Memory for the results of repeated subexpressions, in bytes.
            threads: Threads that answer a question which takes long; None is one for each core. Small indexes have one
                shard, which one thread evaluates.

        Raises:
            InvalidIndexError: There is no index at *path*, or it has another format.
            DamagedError: A file is missing or not what was written.

        >>> import polars, tempfile
        >>> folder = tempfile.mkdtemp() + "/devices.index"
        >>> _ = DeviceIndex.build(polars.DataFrame({"token": ["t1"], "tags": [["male"]]}), folder)
        >>> DeviceIndex.open(folder).count("male")
        1
        """
        if threads is not None and threads < 1:
            raise ValueError(f"threads: expected 1 or more, got {threads}")
        return cls(open_snapshot(open_storage(path), cache_bytes=cache_bytes, threads=threads))

    def __len__(self) -> int:
        return self.snapshot.device_count

    def __repr__(self) -> str:
        return f"<DeviceIndex {self.snapshot.storage.location!r}: {format_count(len(self), 'device')}>"

    def _repr_html_(self) -> str:
        return self.snapshot.to_html()

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

    def count(
        self,
        expr: Expr | str,
        *,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
        cluster: Cluster | None = None,
    ) -> int:
        """Return the number of devices that match *expr*.

        Args:
            expr: Expression or text.
            as_of: Moment of the question, such as `2026-11-28T09:00+08:00`; without an offset it is wall-clock time of
                the zone. None is now.
            timezone: Time zone whose days are meant. None is the zone of the index.
            allow_gaps: Answer questions about events although some of their days are not covered.
            cluster: Processes that count, each in some shards; None is this one. All of them see the index.

        Raises:
            ExpressionError: *expr* is invalid or refers to something that the index does not have.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.count("male AND NOT vip")
        1
        """
        snapshot = self.snapshot  # another thread may refresh the index
        asked = read_question(as_of, timezone, allow_gaps, snapshot)
        if cluster is not None:
            from audience.index.query.shared_shards import count_on_cluster  # few questions need it

            return count_on_cluster(to_expr(expr), snapshot, asked, cluster)
        return counting.count_devices(to_expr(expr), snapshot, asked)

    def resolve(
        self,
        expr: Expr | str,
        *,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
    ) -> DeviceSet:
        """Return the devices that match *expr*.

        The set stays the same: relative times are those of this call. Arguments are as for `count`.

        Raises:
            ExpressionError: *expr* is invalid or refers to something that the index does not have.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> (index.resolve("male") - index.resolve("vip")).ids().to_list()
        ['t2']
        """
        snapshot = self.snapshot  # another thread may refresh the index
        rows = resolve_rows(to_expr(expr), snapshot, read_question(as_of, timezone, allow_gaps, snapshot))
        return DeviceSet(rows, snapshot)

    def member(
        self,
        identifier: str,
        exprs: Sequence[Expr | str],
        *,
        column: str | None = None,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
    ) -> list[bool]:
        """Return for each of *exprs* whether a device with this id matches it; False if no device has the id.

        Only the device is tested: the bitmaps of tags are read, but no audience is resolved. Of several devices with
        the id, any may match. All expressions are asked at the same moment.

        Args:
            identifier: Id of a device.
            exprs: Expressions or texts.
            column: Column of the id, as expressions name it: `alias`, or the name of a column in the table. None is any
                column of device ids.
            as_of: Moment of the question, as for `count`.
            timezone: Time zone of the question, as for `count`.
            allow_gaps: Whether days of events may be missing, as for `count`.

        Raises:
            ExpressionError: An expression is invalid or refers to something that the index does not have, or the index
                has no such column.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.member("t2", ["male", "vip", "NOT vip"]), index.member("t9", ["NOT vip"])
        ([True, False, True], [False])
        """
        snapshot, audiences = self.snapshot, membership.list_exprs(exprs)
        asked = read_question(as_of, timezone, allow_gaps, snapshot)
        return membership.match_device(identifier, audiences, column, snapshot, asked)

    def members(
        self,
        identifiers: pl.Series | Iterable[str | None],
        exprs: Sequence[Expr | str] | Mapping[str, Expr | str],
        *,
        column: str | None = None,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
    ) -> pl.DataFrame:
        """Return a row for each of *identifiers*, in their order: `id`, `known`, and a column for each expression.

        `known` is whether a live device has the id. The column of an expression is called by its text, or by its name
        in a dict. All else is as for `member`.

        Raises:
            ExpressionError: An expression is invalid or refers to something that the index does not have, or the index
                has no such column.
            PlanError: Two columns would have the same name.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.members(["t2", "t9"], {"men": "male", "others": "NOT vip"}).rows()
        [('t2', True, True, True), ('t9', False, False, False)]
        """
        snapshot, audiences = self.snapshot, membership.name_exprs(exprs)
        asked = read_question(as_of, timezone, allow_gaps, snapshot)
        return membership.match_devices(membership.read_identifiers(identifiers), audiences, column, snapshot, asked)

    @property
    def segments(self) -> Mapping[str, Expr]:
        """Return the saved segments by name."""
        return self.snapshot.segments

    def expand_segments(self, expr: Expr) -> Expr:
        """Return *expr* with every segment replaced by its saved expression.

        Raises:
            ExpressionError: A segment is not saved.
        """
        return expand_segments(expr, self.snapshot.segments)

    def bind(
        self,
        expr: Expr | str,
        *,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
        allow_gaps: bool = False,
    ) -> Expr:
        """Return *expr* as it is asked: with saved expressions for segments, and relative times made absolute.

        Arguments are as for `count`.

        Raises:
            ExpressionError: A segment is not saved, or a day is out of the calendar.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1"], "active": ["2026-11-27"]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index", dates=["active"])
        >>> index.save_segment("fresh", "active >= yesterday")
        >>> index.bind("@fresh", as_of="2026-11-28T09:00")
        Compare(type='active', operator='>=', value='2026-11-27')
        """
        snapshot = self.snapshot
        return bind_segments(to_expr(expr), snapshot, read_question(as_of, timezone, allow_gaps, snapshot))

    def has_foreign_ids(self, ids: Ids, vendor: str) -> bool:
        """Return whether any of *ids* is in a column of device ids that is not the one of *vendor*."""
        return has_foreign_ids(ids, vendor, self.snapshot)

    def verify(self) -> list[str]:
        """Read every file and compare it with its checksums. Return the names of the files.

        Raises:
            DamagedError: A file is missing or not what was written; the error names the first one.
        """
        held, storage = self.snapshot, self.snapshot.storage.without_copies()
        snapshot = held if storage is held.storage else Snapshot(storage, held.manifest)
        return [*snapshot.verify(), *verify_record_files(storage)]
