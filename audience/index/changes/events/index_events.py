"""Events of an index: methods that add, list and forget them."""

from collections.abc import Iterable
from datetime import date
from typing import Unpack

from audience.argument_types import check_methods
from audience.cluster.cluster import Cluster
from audience.index.changes.events.adding import AddOptions, EventsResult, add_events
from audience.index.changes.events.event_frames import Unknown
from audience.index.changes.events.forgetting import ForgottenEvents, forget_events
from audience.index.changes.events.ranges import parse_day, parse_keep
from audience.index.changes.index_changes import IndexChanges
from audience.index.ingest.events.event_table import EventColumns
from audience.index.ingest.locations.fetching import Source
from audience.index.ingest.read_options import ReadArguments, parse_read_arguments
from audience.index.query.event_stats import EventStats, collect_event_stats
from audience.progress import Progress, ignore_progress
from audience.vendors import VendorNames


@check_methods()
class IndexEvents(IndexChanges):
    """Methods of an index that concern the events of its devices."""

    def add_events(
        self,
        source: Source,
        event: str | None = None,
        *,
        event_column: str | None = None,
        id_column: str | None = None,
        at_column: str | None = None,
        typed: Iterable[str] = (),
        numbers: Iterable[str] = (),
        dates: Iterable[str] = (),
        ignore: Iterable[str] = (),
        batch: str | None = None,
        covers_to: date | str | None = None,
        keep: int | str | None = None,
        unknown: Unknown = "drop",
        wait: float = 0,
        progress: Progress = ignore_progress,
        cluster: Cluster | None = None,
        **reading: Unpack[ReadArguments],
    ) -> EventsResult:
        """Add the events of a table, as a new snapshot, and move to it.

        A column gets its role from its name and type unless an argument sets it. Every other column is a property.

        Args:
            source: Table with one row for each event, as for `build`.
            event: Name of all events of the table; None if a column has their names.
            event_column: Column of the names, by default `event`, `event_name` or `name`.
            id_column: Column of the ids of devices, by default one that is called as an id column of the index.
            at_column: Column of the moments, by default `at`, `time` or `timestamp`, or the only one that holds
                moments. Those without a zone are in the zone of the index.
            typed: Columns that are text.
            numbers: Columns of numbers.
            dates: Columns of days.
            ignore: Columns to leave out.
            batch: Name of the batch; by default it is decided by the content of each file, or of the frame. A batch
                that the index has already is not added again.
            covers_to: Day up to which all events of these names are there, by default that of the last event.
            keep: Number of days of these events that are kept from now on, such as `90d`.
            unknown: Drop events of ids that no device has, or keep them until such a device arrives.
            wait: Seconds to wait for another writer.
            progress: Progress callback.
            cluster: Processes that read the table and write the events, as for `build`; the files are the same.
            reading: Options for reading files, as for `build`.

        Raises:
            TableError: The table is invalid, or lacks a column.
            LockedError: Another process changes the index.
            ClusterError: The cluster is lost, or cannot do what was asked.

        >>> import polars, tempfile
        >>> from datetime import datetime
        >>> from audience import DeviceIndex
        >>> index = DeviceIndex.build(polars.DataFrame({"token": ["t1", "t2"]}), tempfile.mkdtemp() + "/devices.index")
        >>> table = polars.DataFrame({"token": ["t1", "t1"], "at": [datetime(2026, 11, 1), datetime(2026, 11, 3)]})
        >>> index.add_events(table, "purchase").added
        2
        """
        columns = EventColumns(
            event=event,
            event_column=event_column,
            id=id_column,
            at=at_column,
            strings=tuple(typed),
            numbers=tuple(numbers),
            dates=tuple(dates),
            ignore=tuple(ignore),
        )
        result = add_events(
            self.snapshot,
            source,
            columns,
            VendorNames(),
            options=parse_read_arguments(reading, self.folder),
            adding=AddOptions(
                batch=batch,
                covers_to=None if covers_to is None else parse_day(covers_to, "covers_to"),
                keep_days=parse_keep(keep),
                unknown=unknown,
            ),
            wait=wait,
            progress=progress,
            cluster=cluster,
        )
        self.refresh()
        return result

    def events(self) -> list[EventStats]:
        """Return the events of the devices by name: how many, on which days, with which properties.

        >>> import polars, tempfile
        >>> from datetime import datetime
        >>> from audience import DeviceIndex
        >>> index = DeviceIndex.build(polars.DataFrame({"token": ["t1", "t2"]}), tempfile.mkdtemp() + "/devices.index")
        >>> _ = index.add_events(polars.DataFrame({"token": ["t1"], "at": [datetime(2026, 11, 1)]}), "purchase")
        >>> [(event.name, event.device_count, event.event_count, str(event.last_day)) for event in index.events()]
        [('purchase', 1, 1, '2026-11-01')]
        """
        return collect_event_stats(self.snapshot)

    def forget_events(
        self,
        name: str | None = None,
        *,
        before: date | str | None = None,
        wait: float = 0,
        progress: Progress = ignore_progress,
    ) -> ForgottenEvents:
        """Forget the events of a name, or those before a day, as a new snapshot, and move to it.

        Older snapshots keep them until `vacuum` deletes these.

        Args:
            name: Name of the events; None for all names.
            before: First day that is kept; None to forget all events of the name, and the name.
            wait: Seconds to wait for another writer.
            progress: Progress callback.

        Raises:
            TableError: The index has no events of this name, or neither a name nor a day is given.
            LockedError: Another process changes the index.

        >>> import polars, tempfile
        >>> from datetime import datetime
        >>> from audience import DeviceIndex
        >>> index = DeviceIndex.build(polars.DataFrame({"token": ["t1", "t2"]}), tempfile.mkdtemp() + "/devices.index")
        >>> _ = index.add_events(polars.DataFrame({"token": ["t1"], "at": [datetime(2026, 11, 1)]}), "purchase")
        >>> index.forget_events("purchase").forgotten, index.events()
        (1, [])
        """
        first_day = None if before is None else parse_day(before, "before")
        result = forget_events(self.snapshot, name, first_day, wait, progress)
        self.refresh()
        return result
