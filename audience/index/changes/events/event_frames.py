"""Frames of events with the numbers of their devices, and what else is noted while a table of events is read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

import polars as pl

from audience.errors import Problem, TableError
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.events.device_lookup import find_devices
from audience.index.ingest.events.encoding import DAY, EVENT, ID, INSTANT, NUMBER, property_column
from audience.index.ingest.events.event_table import EventTable
from audience.index.ingest.local_times import read_instants, to_wall_clock
from audience.index.query.events.validation import DELIVERED
from audience.index.storage.manifest import EventRange
from audience.index.storage.shard import Shard
from audience.language.zones import DAY as DAY_MICROSECONDS

MAX_LISTED_IDS = 20  # unknown ids that are listed
Unknown: TypeAlias = Literal["drop", "keep"]


@dataclass(frozen=True, slots=True)
class FoundEvents:
    """Events of some rows of a table.

    Attributes:
        frame: The events; the device number of an event has a meaning only if *is_known*.
        ids: Device id of each event.
        is_known: Whether the index has the device of each event.
    """

    frame: pl.DataFrame
    ids: pl.Series
    is_known: pl.Series


def find_events(shards: Sequence[Shard], table: EventTable, rows: DeviceTable, names: dict[str, int]) -> FoundEvents:
    """Return the events of *rows* with the numbers of their devices in *shards*.

    Names of events are positions in *names*, which new ones are added to.

    Raises:
        TableError: An event has a name that is kept for runs.
    """
    ids = rows[table.id]
    found = find_devices(shards, table.id_column, ids)
    instants = _to_instants(rows[table.at], table.table.zone)
    days = to_wall_clock(instants, table.table.zone).to_physical() // DAY_MICROSECONDS
    parts = {NUMBER: pl.Series(found.numbers), INSTANT: instants.to_physical(), DAY: days.cast(pl.Int32)}
    parts |= {property_column(at): rows[column] for at, column in enumerate(table.properties)}
    frame = pl.DataFrame(parts).with_columns(_code_names(table, rows, names).alias(EVENT))
    return FoundEvents(frame, ids, pl.Series(found.is_known))


@dataclass(slots=True)
class EventNotes:
    """Notes of the events of a table.

    Attributes:
        now: Instant of the addition.
        names: Names of events; frames have positions in them.
        last_days: Day of the last event of each name.
        future: Number of events that are later than now.
        unknown: Number of events of unknown ids.
        unknown_ids: Some of these ids.
    """

    now: int
    names: dict[str, int] = field(default_factory=dict)
    last_days: dict[str, int] = field(default_factory=dict)
    future: int = 0
    unknown: int = 0
    unknown_ids: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, table: EventTable, now: int) -> "EventNotes":
        """Return the notes of *table* before any row is read.

        Raises:
            TableError: All events have a name that is kept for runs.
        """
        if not isinstance(table.event, str):
            return cls(now)
        _require_own_name(table.event)
        return cls(now, {table.event: 0})

    def note(self, found: FoundEvents) -> None:
        """Note some events, whose names are positions in `names`."""
        names = list(self.names)
        for event, day in found.frame.group_by(EVENT).agg(pl.col(DAY).max()).iter_rows():
            self._note_day(names[event], day)
        self.future += int((found.frame[INSTANT] > self.now).sum())
        unknown_ids = found.ids.filter(~found.is_known)
        self.unknown += len(unknown_ids)
        if len(self.unknown_ids) < MAX_LISTED_IDS and len(unknown_ids):
            self._list_ids(unknown_ids.unique(maintain_order=True).head(MAX_LISTED_IDS).to_list())

    def join(self, other: "EventNotes") -> None:
        """Add the notes of *other*, whose events come after those of these notes."""
        for name in other.names:
            self.names.setdefault(name, len(self.names))
        for name, day in other.last_days.items():
            self._note_day(name, day)
        self.future += other.future
        self.unknown += other.unknown
        self._list_ids(other.unknown_ids)

    def _note_day(self, name: str, day: int) -> None:
        self.last_days[name] = max(day, self.last_days.get(name, day))

    def _list_ids(self, ids: Iterable[str]) -> None:
        self.unknown_ids = list(dict.fromkeys([*self.unknown_ids, *ids]))[:MAX_LISTED_IDS]


def split_events(found: FoundEvents) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the events of known devices, and those of others by their ids, without numbers."""
    if found.is_known.all():
        return found.frame, found.frame.drop(NUMBER).head(0).with_columns(found.ids.head(0).alias(ID))
    unknown = found.frame.drop(NUMBER).filter(~found.is_known)
    return found.frame.filter(found.is_known), unknown.with_columns(found.ids.filter(~found.is_known).alias(ID))


def drop_outdated(frame: pl.DataFrame, events: Sequence[str], ranges: Mapping[str, EventRange]) -> pl.DataFrame:
    """Return the events of days that are kept."""
    first_days = {at: first for at, event in enumerate(events) if (first := ranges[event].first_day) is not None}
    for event, first_day in first_days.items():
        frame = frame.filter((pl.col(EVENT) != event) | (pl.col(DAY) >= first_day))
    return frame


def count_names(frame: pl.DataFrame, events: Sequence[str]) -> dict[str, int]:
    """Return the number of events of each name."""
    return {events[event]: count for event, count in frame.group_by(EVENT).len().iter_rows()}


def _to_instants(values: pl.Series, zone: ZoneInfo) -> pl.Series:
    """Return moments as they are, and days as their first moments in *zone*."""
    return read_instants(values.cast(pl.Datetime("us")), zone).instants if values.dtype == pl.Date else values


def _require_own_name(name: str) -> None:
    """Raise TableError if events of this name are those that runs record, which caps rely on."""
    if name == DELIVERED:
        message = f"events named {name} are recorded from runs, and not added from tables"
        hint = "use `audience events add INDEX --run FOLDER`, or another name with --event NAME"
        raise TableError(Problem("bad-name", message, hint=hint))


def _code_names(table: EventTable, rows: DeviceTable, names: dict[str, int]) -> pl.Expr | pl.Series:
    """Return the name of each event as its position in *names*, which new ones are added to."""
    if isinstance(table.event, str):
        return pl.lit(0, dtype=pl.UInt32)
    values = rows[table.event]
    distinct = values.unique(maintain_order=True).to_list()
    for name in distinct:
        _require_own_name(name)
        names.setdefault(name, len(names))
    codes = [names[name] for name in distinct]
    if len(distinct) == 1:
        return pl.lit(codes[0], dtype=pl.UInt32)
    return values.replace_strict(distinct, codes, return_dtype=pl.UInt32)
