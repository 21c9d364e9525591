"""Table of events: which of its columns holds the ids, the names, the moments and the properties of events."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import polars as pl

from audience.errors import Problem, TableError
from audience.index.ingest.bad_rows import BadRowLog, InvalidRowsError
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.read_options import ReadOptions
from audience.index.ingest.reader import SourceTable, require_device_ids, wrap_polars_errors
from audience.index.ingest.sources import ScannedSource, Source, scan_source
from audience.index.ingest.table_opening import inspect_columns
from audience.index.schema.column_roles import ColumnRoles
from audience.index.schema.columns import GENERIC_ID_COLUMNS, SHARED_ID_ROLES, Column, IdColumn, Role, rank_id_columns
from audience.language.attribute_names import canonical_type
from audience.language.suggest import did_you_mean

EVENT_NAMES = ("event", "event_name", "name")  # usual names of the column of the names of events
INSTANT_NAMES = ("at", "time", "timestamp")  # and of the column of moments


@dataclass(frozen=True, slots=True, kw_only=True)
class EventColumns:
    """Columns of a table of events that the user named; others are found by their names and types.

    Attributes:
        event: Name of all events of the table, which then has no column of names.
        event_column: Column of the names of events.
        id: Column of the ids of devices.
        at: Column of the moments.
        strings: Columns that are text.
        numbers: Columns of numbers.
        dates: Columns of days.
        ignore: Columns to leave out.
    """

    event: str | None = None
    event_column: str | None = None
    id: str | None = None
    at: str | None = None
    strings: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventTable:
    """Table of events with the columns that hold their parts.

    Attributes:
        table: Source table.
        id: Column of the ids of devices, and the column of the index that has these.
        id_column: Column of the index.
        event: Column of the names of events, or the name of all events.
        at: Column of the moments.
        properties: Columns of the properties.
    """

    table: SourceTable
    id: Column
    id_column: IdColumn
    event: Column | str
    at: Column
    properties: tuple[Column, ...] = field(default=())


@contextmanager
def open_event_table(
    source: Source,
    columns: EventColumns,
    id_columns: Sequence[IdColumn],
    known_roles: Mapping[str, Role],
    vendors: Sequence[str],
    options: ReadOptions,
    log: BadRowLog,
) -> Iterator[EventTable]:
    """Open a table of events.

    Args:
        source: Files or frames.
        columns: Columns that the user named.
        id_columns: Id columns of the index.
        known_roles: Roles of the properties that events of the index have.
        vendors: Names of all vendors.
        options: How to read the files.
        log: Log of bad rows.

    Raises:
        TableError: The table cannot be read, lacks a column, or has one that cannot be a property.
    """
    with wrap_polars_errors(), scan_source(source, ColumnRoles(tokens={}), options, log) as scanned:
        names = _column_names(scanned)
        _require_columns(columns, names)
        id_name, id_column = _find_id_column(columns, names, id_columns)
        event_name = _find_event_column(columns, names)
        at_name = columns.at or next((name for name in INSTANT_NAMES if name in names), None)
        roles = _choose_roles(columns, names, id_name, event_name, at_name, id_columns, known_roles)
        table = inspect_columns(scanned, roles, vendors, options, log)
        at = _find_instant_column(table.columns, at_name)
        by_name = {column.name_in_table: column for column in table.columns}
        parts = {id_name, event_name, at.name_in_table}
        properties = tuple(column for column in table.columns if column.name_in_table not in parts)
        _reject_other_properties(table, properties)
        event = columns.event if event_name is None else by_name[event_name]
        assert event is not None
        checked = replace(table, row_checks=(require_device_ids, *_part_checks(event, at)))
        yield EventTable(checked, by_name[id_name], id_column, event, at, properties)


def _column_names(scanned: ScannedSource) -> list[str]:
    if scanned.text_files:
        return list(scanned.text_files[0].dialect.names)
    return scanned.lazy_frame.collect_schema().names()


def _require_columns(columns: EventColumns, names: Sequence[str]) -> None:
    named = (columns.event_column, columns.id, columns.at, *columns.strings, *columns.numbers, *columns.dates)
    for name in (*named, *columns.ignore):
        if name is not None and name not in names:
            hint = did_you_mean(name, names) or f"the table has {', '.join(names)}"
            raise TableError(Problem("no-column", f"the table has no column {name!r}", hint=hint))


def _find_id_column(
    columns: EventColumns, names: Sequence[str], id_columns: Sequence[IdColumn]
) -> tuple[str, IdColumn]:
    """Return the column of the table with ids of devices, and the column of the index that has them."""
    ranked = rank_id_columns(id_columns)
    if columns.id is not None:
        matching = [column for column in ranked if columns.id in _usual_names(column)]
        if not matching and len(ranked) > 1:
            hint = f"call it {' or '.join(column.name_in_table or column.name for column in ranked)}"
            message = f"column {columns.id!r} may hold ids of several columns of the index"
            raise TableError(Problem("ambiguous-column", message, hint=hint))
        return columns.id, (matching or ranked)[0]
    for column in ranked:
        for name in _usual_names(column):
            if name in names and name not in columns.ignore:
                return name, column
    expected = ", ".join(column.name_in_table or column.name for column in ranked)
    hint = f"call it {expected}, or name it: --id COLUMN; the table has {', '.join(names)}"
    raise TableError(Problem("no-id", "the table has no column of ids of the index", hint=hint))


def _usual_names(column: IdColumn) -> list[str]:
    """Return the names that a table may have for an id column of the index, the most likely first."""
    generic = [f"{column.name}_{generic}" for generic in GENERIC_ID_COLUMNS]
    return [*filter(None, [column.name_in_table, column.name]), *generic]


def _find_event_column(columns: EventColumns, names: Sequence[str]) -> str | None:
    """Return the column of the names of events; None if all events have one name."""
    usual = [name for name in EVENT_NAMES if name in names and name not in columns.ignore]
    if columns.event is not None:
        both = columns.event_column or next((name for name in usual if name != "name"), None)
        if both is not None:
            message = f"all events are to be {columns.event!r}, and column {both!r} has names of events"
            hint = f"leave --event out, or the column: --ignore {both}"
            raise TableError(Problem("both-ways", message, hint=hint))
        return None
    if columns.event_column is not None:
        return columns.event_column
    if not usual:
        hint = f"use --event NAME, or --event-column with one of {', '.join(names)}"
        raise TableError(Problem("no-event-name", "no column holds the names of events", hint=hint))
    return usual[0]


def _choose_roles(
    columns: EventColumns,
    names: Sequence[str],
    id_name: str,
    event_name: str | None,
    at_name: str | None,
    id_columns: Sequence[IdColumn],
    known_roles: Mapping[str, Role],
) -> ColumnRoles:
    """Return the roles of the columns whose role is not decided by their type."""
    explicit = [Column(id_name, "id", id_name)]
    explicit += [Column(event_name, "string", event_name)] if event_name is not None else []
    explicit += [Column(at_name, "time", at_name)] if at_name is not None else []
    chosen = {name: role for role, given in _given_roles(columns).items() for name in given}
    other_ids = {name for column in id_columns for name in _usual_names(column)} - {id_name, event_name, at_name}
    ignored = [name for name in names if name in columns.ignore or (name in other_ids and name not in chosen)]
    taken = {column.name_in_table for column in explicit} | set(ignored)
    for name in names:
        role = chosen.get(name) or known_roles.get(name) or known_roles.get(canonical_type(name))
        if name in (*SHARED_ID_ROLES, *GENERIC_ID_COLUMNS):
            role = role or "string"
        if name not in taken and role is not None and role != "tags":
            explicit.append(Column(name, role, canonical_type(name)))
    return ColumnRoles(tokens={}, existing=tuple(explicit), ignore=tuple(ignored))


def _given_roles(columns: EventColumns) -> dict[Role, tuple[str, ...]]:
    return {"string": columns.strings, "number": columns.numbers, "date": columns.dates}


def _find_instant_column(columns: Iterable[Column], at_name: str | None) -> Column:
    """Return the column of the moments: the one of that name, or the only one that holds moments."""
    moments = [column for column in columns if column.role == "time"]
    if at_name is not None:
        return next(column for column in moments if column.name_in_table == at_name)
    if len(moments) == 1:
        return moments[0]
    found = f"columns {', '.join(repr(column.name_in_table) for column in moments)} do" if moments else "no column does"
    message = f"one column must hold the moments of the events; {found}"
    raise TableError(Problem("no-moment", message, hint="name it: --at COLUMN"))


def _reject_other_properties(table: SourceTable, properties: Iterable[Column]) -> None:
    """Raise TableError for columns of lists, which cannot be properties."""
    schema = table.lazy_frame.collect_schema()
    for column in properties:
        dtype = schema[column.name_in_table]
        if isinstance(dtype, pl.List | pl.Array):
            message = f"column {column.name_in_table!r} of type {dtype} cannot be a property of events"
            hint = f"--ignore {column.name_in_table}, or give each event one value"
            raise TableError(Problem("bad-type", message, hint=hint))


def _part_checks(event: Column | str, at: Column) -> tuple["_Requirement", ...]:
    names = () if isinstance(event, str) else (_Requirement(event, "no name of an event", "missing-event-name"),)
    return (*names, _Requirement(at, "no moment", "missing-moment"))


@dataclass(frozen=True, slots=True)
class _Requirement:
    """Check that each event has a value in a column."""

    column: Column
    missing: str
    code: str

    def __call__(self, table: DeviceTable, first_row: int) -> None:
        values = table[self.column]
        is_missing = values.is_null() | (values == "") if values.dtype == pl.String else values.is_null()
        if is_missing.any():
            reason = f"{self.missing} in column {self.column.name_in_table!r}"
            raise InvalidRowsError(Problem(self.code, reason), reason, is_missing)
