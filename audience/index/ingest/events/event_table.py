"""Table of events: which of its columns holds the ids, the names, the moments and the properties of events."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import NoReturn

import polars as pl

from audience.errors import Problem, TableError
from audience.index.ingest.bad_rows import BadRowLog, InvalidRowsError
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.events.encoding import property_name
from audience.index.ingest.locations.fetching import Fetched
from audience.index.ingest.read_options import ReadOptions
from audience.index.ingest.reader import RowCheck, SourceTable, require_device_ids, wrap_polars_errors
from audience.index.ingest.sources import ScannedSource, exact_column, parse_date_columns, scan_source
from audience.index.ingest.table_opening import inspect_columns
from audience.index.schema.column_roles import ColumnRoles
from audience.index.schema.columns import GENERIC_ID_COLUMNS, SHARED_ID_ROLES, Column, IdColumn, Role, rank_id_columns
from audience.language.attribute_names import canonical_type
from audience.language.suggest import did_you_mean

EVENT_NAMES = ("event", "event_name", "name")  # usual names of the column of the names of events
INSTANT_NAMES = ("at", "time", "timestamp")  # and of the column of moments
INSTANT_ROLES: tuple[Role, ...] = ("time", "date")  # of the column of moments; days are their first moments
MAX_EPOCH_SECONDS_DIGITS = 11
ROLE_WORDS: Mapping[Role, str] = {
    "string": "text",
    "number": "numbers",
    "date": "days",
    "time": "moments",
    "version": "versions",
    "tags": "true and false",
}


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
    source: Fetched,
    columns: EventColumns,
    id_columns: Sequence[IdColumn],
    known: Mapping[str, Mapping[str, Role]],
    vendors: Sequence[str],
    options: ReadOptions,
    log: BadRowLog,
) -> Iterator[EventTable]:
    """Open a table of events.

    Args:
        source: Files, or a table.
        columns: Columns that the user named.
        id_columns: Id columns of the index.
        known: Roles of the properties that events of the index have, by the name of the event.
        vendors: Names of all vendors.
        options: How to read the files.
        log: Log of bad rows.

    Raises:
        TableError: The table cannot be read, lacks a column, or has one that cannot be a property.
    """
    with ExitStack() as stack:
        with wrap_polars_errors():
            scanned = stack.enter_context(scan_source(source, ColumnRoles(tokens={}), options, log))
            table = _inspect_events(scanned, columns, id_columns, known, vendors, options, log)
        yield table


def _inspect_events(
    scanned: ScannedSource,
    columns: EventColumns,
    id_columns: Sequence[IdColumn],
    known: Mapping[str, Mapping[str, Role]],
    vendors: Sequence[str],
    options: ReadOptions,
    log: BadRowLog,
) -> EventTable:
    names = _column_names(scanned)
    _require_columns(columns, names)
    id_name, id_column = _find_id_column(columns, names, id_columns)
    event_name = _find_event_column(columns, names)
    at_name = columns.at or _find_usual(INSTANT_NAMES, names, columns)
    roles = _choose_roles(columns, names, id_name, event_name, at_name, id_columns, _common_roles(known))
    table = inspect_columns(_parse_text_moments(scanned, at_name, options), roles, vendors, options, log)
    at = _find_instant_column(table, at_name)
    by_name = {column.name_in_table: column for column in table.columns}
    parts = {id_name, event_name, at.name_in_table}
    properties = tuple(column for column in table.columns if column.name_in_table not in parts)
    _reject_other_properties(table, properties)
    event = columns.event if event_name is None else by_name[event_name]
    assert event is not None
    part_checks: tuple[RowCheck, ...] = (require_device_ids, *_part_checks(event, at))
    checked = replace(table, row_checks=(*part_checks, *_role_checks(event, properties, known)))
    return EventTable(checked, by_name[id_name], id_column, event, at, properties)


def _column_names(scanned: ScannedSource) -> list[str]:
    if scanned.text_files:
        return list(scanned.text_files[0].column_names)
    return scanned.lazy_frame.collect_schema().names()


def _require_columns(columns: EventColumns, names: Sequence[str]) -> None:
    named = (columns.event_column, columns.id, columns.at, *columns.strings, *columns.numbers, *columns.dates)
    for name in (*named, *columns.ignore):
        if name is not None and name not in names:
            hint = did_you_mean(name, names) or f"the table has {', '.join(names)}"
            raise TableError(Problem("no-column", f"the table has no column {name!r}", hint=hint))
        if name in named and name in columns.ignore:
            raise TableError(Problem("both-ways", f"column {name!r} is both used and left out", hint="choose one"))
    if columns.event is not None and not columns.event.strip():
        raise TableError(Problem("empty-name", "the name of the events is empty", hint="use at least one character"))


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


def _find_usual(usual: Iterable[str], names: Sequence[str], columns: EventColumns) -> str | None:
    return next((name for name in usual if name in names and name not in columns.ignore), None)


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
    chosen = {name: role for role, given in _given_roles(columns).items() for name in given}
    other_ids = {name for column in id_columns for name in _usual_names(column)} - {id_name, event_name, at_name}
    ignored = [name for name in names if name in columns.ignore or (name in other_ids and name not in chosen)]
    taken = {column.name_in_table for column in explicit} | {*ignored, at_name}
    for name in names:
        role = chosen.get(name) or known_roles.get(name) or known_roles.get(canonical_type(name))
        if name in (*SHARED_ID_ROLES, *GENERIC_ID_COLUMNS):
            role = role or "string"
        if name not in taken and role is not None and role != "tags":
            explicit.append(Column(name, role, canonical_type(name)))
    return ColumnRoles(tokens={}, existing=tuple(explicit), ignore=tuple(ignored))


def _given_roles(columns: EventColumns) -> dict[Role, tuple[str, ...]]:
    return {"string": columns.strings, "number": columns.numbers, "date": columns.dates}


def _common_roles(known: Mapping[str, Mapping[str, Role]]) -> dict[str, Role]:
    """Return the roles of the properties that have one role in all events."""
    roles: dict[str, set[Role]] = {}
    for properties in known.values():
        for name, role in properties.items():
            roles.setdefault(name, set()).add(role)
    return {name: next(iter(found)) for name, found in roles.items() if len(found) == 1}


def _parse_text_moments(scanned: ScannedSource, at_name: str | None, options: ReadOptions) -> ScannedSource:
    """Return a table with types in which a column of moments that are text is parsed."""
    if scanned.text_files or at_name is None or at_name in options.date_formats:
        return scanned
    schema = scanned.lazy_frame.collect_schema()
    if schema[at_name] != pl.String:
        return scanned
    others = tuple(Column(name, "string", name) for name in schema.names() if name != at_name)
    parsed = parse_date_columns(scanned.lazy_frame, ColumnRoles(tokens={}, existing=others))
    return replace(scanned, lazy_frame=parsed)


def _find_instant_column(table: SourceTable, at_name: str | None) -> Column:
    """Return the column of the moments: the one of that name, or the only one that holds moments, or else days."""
    if at_name is not None:
        column = next(column for column in table.columns if column.name_in_table == at_name)
        if column.role not in INSTANT_ROLES and table.row_count:
            _reject_instant_column(column, table)
        return column
    moments = [column for column in table.columns if column.role == "time"]
    moments = moments or [column for column in table.columns if column.role == "date"]
    if len(moments) == 1:
        return moments[0]
    found = f"columns {', '.join(repr(column.name_in_table) for column in moments)} do" if moments else "no column does"
    message = f"one column must hold the moments of the events; {found}"
    names = ", ".join(column.name_in_table for column in table.columns)
    raise TableError(Problem("no-moment", message, hint=f"name it: --at COLUMN; the table has {names}"))


def _reject_instant_column(column: Column, table: SourceTable) -> NoReturn:
    name = column.name_in_table
    first = table.lazy_frame.select(exact_column(name).drop_nulls().first()).collect().item()
    hint = "write moments like 2026-11-28T09:00:00Z, or give their format: "
    hint += f"--date-format {name}={_guess_format(str(first))}"
    message = f"column {name!r} should hold moments, and holds {str(first)!r:.60}"
    raise TableError(Problem("no-moment", message, hint=hint))


def _guess_format(text: str) -> str:
    if text.isdecimal():
        return "epoch-milliseconds" if len(text) > MAX_EPOCH_SECONDS_DIGITS else "epoch-seconds"
    return "%d/%m/%Y"


def _reject_other_properties(table: SourceTable, properties: Iterable[Column]) -> None:
    """Raise TableError for columns of lists, which cannot be properties."""
    schema = table.lazy_frame.collect_schema()
    for column in properties:
        dtype = schema[column.name_in_table]
        if isinstance(dtype, pl.List | pl.Array):
            message = f"column {column.name_in_table!r} of type {dtype} cannot be a property of events"
            hint = f"--ignore {column.name_in_table}, or give each event one value"
            raise TableError(Problem("bad-type", message, hint=hint))


def _role_checks(
    event: Column | str, properties: Iterable[Column], known: Mapping[str, Mapping[str, Role]]
) -> tuple["_KnownRole", ...]:
    """Return the checks of the properties that some events of the index have with another role."""
    checks = []
    for column in properties:
        roles = {name: found[key] for name, found in known.items() if (key := property_name(column)) in found}
        others = {name: role for name, role in roles.items() if role != column.role}
        if others and (not isinstance(event, str) or event in others):
            checks.append(_KnownRole(event, column, others))
    return tuple(checks)


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


@dataclass(frozen=True, slots=True)
class _KnownRole:
    """Check that no event has a value in a column that the index has with another role for this event.

    `roles` are the other roles by the name of the event.
    """

    event: Column | str
    column: Column
    roles: Mapping[str, Role]

    def __call__(self, table: DeviceTable, first_row: int) -> None:
        values = table[self.column]
        is_other = values.is_not_null()
        if isinstance(self.event, Column):
            is_other &= table[self.event].is_in(list(self.roles))
        if not is_other.any():
            return
        event = self.event if isinstance(self.event, str) else table[self.event].filter(is_other)[0]
        name, role = self.column.name_in_table, self.roles[event]
        reason = f"column {name!r} holds {ROLE_WORDS[self.column.role]}, and {event}.{property_name(self.column)} "
        reason += f"holds {ROLE_WORDS[role]} since its first batch"
        hint = f"--ignore {name}, or give the column another name"
        raise InvalidRowsError(Problem("other-property-type", reason, hint=hint), reason, is_other, values)
