"""Opening of a source table: the role and type of each column, by its name, its values and what the user says."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from zoneinfo import ZoneInfo

import polars as pl
from polars import selectors

from audience.errors import Problem, TableError
from audience.index.ingest.bad_rows import BadRowLog
from audience.index.ingest.cast import distinct_unusual_versions
from audience.index.ingest.locations.fetching import Source
from audience.index.ingest.read_options import ReadOptions
from audience.index.ingest.reader import Conversion, SourceTable, wrap_polars_errors
from audience.index.ingest.row_places import RowPlaces
from audience.index.ingest.sources import (
    ISO_DATE_PATTERN,
    ISO_TIME_PATTERN,
    ScannedSource,
    exact_column,
    parse_date_columns,
    scan_source,
    scan_text_files,
    stays_text,
)
from audience.index.ingest.table_reading import ColumnReading
from audience.index.ingest.text.column_profile import (
    DECIMAL_ID_PATTERN,
    SAMPLE_ROWS,
    SCIENTIFIC_ID_PATTERN,
    WHOLE_ID_PATTERN,
    ColumnCounts,
    count_columns,
)
from audience.index.ingest.text.column_types import ColumnType, TypeFinder
from audience.index.ingest.text.dates import parse_format
from audience.index.ingest.text.dialect import format_delimiter
from audience.index.schema.column_roles import ColumnRoles, infer_columns, is_version_name, validate_roles
from audience.index.schema.columns import Column
from audience.index.schema.value_types import VERSION
from audience.progress import Progress, ignore_progress


@contextmanager
def open_table(
    source: Source,
    roles: ColumnRoles,
    vendors: Sequence[str],
    options: ReadOptions,
    log: BadRowLog,
    progress: Progress = ignore_progress,
) -> Iterator[SourceTable]:
    """Open the table *source* and give every column that is not ignored a role.

    Args:
        source: Files, frames or Arrow streams.
        roles: Roles of columns that are not to be inferred.
        vendors: Names of all vendors.
        options: How to read the files.
        log: Log of bad rows.
        progress: Progress callback.

    Raises:
        TableError: The table cannot be read, a column has no role, or a role no column.
    """
    for date_format in options.date_formats.values():
        parse_format(date_format)
    with ExitStack() as stack:
        with wrap_polars_errors():
            scanned = stack.enter_context(scan_source(source, roles, options, log, progress))
            table = inspect_columns(scanned, roles, vendors, options, log)
        yield table


def inspect_columns(
    scanned: ScannedSource, roles: ColumnRoles, vendors: Sequence[str], options: ReadOptions, log: BadRowLog
) -> SourceTable:
    """Return the table with a role for every column that is not ignored; all else is as for `open_table`."""
    inspect = _inspect_text if scanned.text_files else _inspect_typed
    return inspect(scanned, roles, vendors, options, log)


def _inspect_typed(
    scanned: ScannedSource, roles: ColumnRoles, vendors: Sequence[str], options: ReadOptions, log: BadRowLog
) -> SourceTable:
    """Return a table whose files or frames have types."""
    lazy_frame = scanned.lazy_frame
    if scanned.format == "ndjson":
        lazy_frame = parse_date_columns(lazy_frame, roles)
    schema = dict(lazy_frame.collect_schema())
    types = {name: _format_type(format_) for name, format_ in options.date_formats.items() if name}
    _require_columns(types, schema)
    schema |= {name: type_.dtype for name, type_ in types.items()}
    validate_roles(schema, roles, vendors)
    columns = infer_columns(schema, roles, vendors)
    explicit = roles.explicit_columns()
    candidates = [column for column in columns if column.role == "version" and column.name_in_table not in explicit]
    strings = {
        column.name_in_table: distinct_unusual_versions(exact_column(column.name_in_table)) for column in candidates
    }
    selected = lazy_frame.select(pl.len(), *(expr.alias(f"{number}") for number, expr in enumerate(strings.values())))
    row_count, *unusual = selected.collect(engine="streaming").row(0)
    columns = _demote_versions(columns, dict(zip(strings, unusual, strict=True)))
    columns = _mark_cut_moments(columns, {name for name, dtype in schema.items() if _holds_moments(dtype)})
    texts = [name for name, dtype in schema.items() if dtype == pl.String and name not in explicit]
    plain = {column.name_in_table for column in columns if column.role == "string" and not roles.existing}
    dates = _find_written_dates(lazy_frame, [name for name in texts if name in plain])
    readings = tuple(_describe_typed(column, schema, explicit, options.zone, dates) for column in columns)
    return SourceTable(
        lazy_frame=lazy_frame,
        format=scanned.format,
        columns=tuple(columns),
        row_count=row_count,
        places=RowPlaces(),
        log=log,
        zone=options.zone,
        conversions=_conversions(types),
        readings=readings,
    )


def _holds_moments(dtype: pl.DataType) -> bool:
    """Return whether the values are timestamps, or lists of them."""
    return isinstance(dtype.inner if isinstance(dtype, pl.List) else dtype, pl.Datetime)


def _mark_cut_moments(columns: Iterable[Column], moment_names: Container[str]) -> list[Column]:
    """Return *columns*, in which those of days know whether they hold the moments of *moment_names*."""
    return [
        replace(column, has_cut_moments=column.role == "date" and column.name_in_table in moment_names)
        for column in columns
    ]


def _format_type(date_format: str) -> ColumnType:
    kind, parse = parse_format(date_format)
    dtype = pl.Datetime("us") if kind == "time" else pl.Date()
    expected = f"dates in the format {date_format}"
    return ColumnType(dtype, f"{expected}, given", parse, expected)


def _require_columns(names: Iterable[str], schema: Mapping[str, object]) -> None:
    for name in names:
        if name not in schema:
            message = f"the table has no column {name!r} for --date-format"
            raise TableError(Problem("no-column", message, hint=f"the table has {', '.join(schema)}"))


def _conversions(types: Mapping[str, ColumnType]) -> dict[str, Conversion]:
    return {name: Conversion(type_.parse, type_.expected) for name, type_ in types.items() if type_.parse is not None}


def _find_written_dates(lazy_frame: pl.LazyFrame, names: Sequence[str]) -> dict[str, str]:
    """Return what the first rows of some columns of text look like, with the option that reads it: days or moments."""
    sample = lazy_frame.select(selectors.by_name(*names)).head(SAMPLE_ROWS).collect() if names else pl.DataFrame()
    found = {}
    for name in names:
        texts = sample[name].alias("text").drop_nulls()  # renamed first: Polars might take its name for a pattern
        texts = texts.filter(texts != "")
        if len(texts) and texts.str.contains(ISO_DATE_PATTERN).all():
            found[name] = f"text that looks like days: --date {name} reads it as such"
        elif len(texts) and texts.str.contains(ISO_TIME_PATTERN).all():
            found[name] = f"text that looks like moments: --date-format {name}=FORMAT reads it as such"
    return found


def _describe_typed(
    column: Column,
    schema: Mapping[str, pl.DataType],
    explicit: Mapping[str, Column],
    zone: ZoneInfo,
    dates: Mapping[str, str],
) -> ColumnReading:
    """Return why a column of a table with types has its role."""
    name, dtype = column.name_in_table, schema[column.name_in_table]
    if name in dates:
        return ColumnReading(name, column.role, dates[name], is_notable=True)
    if column.role == "date" and isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return ColumnReading(name, column.role, f"days in {zone.key} of moments with a zone", is_notable=True)
    return ColumnReading(name, column.role, "given" if name in explicit else f"{dtype} in the table")


def _inspect_text(
    scanned: ScannedSource, roles: ColumnRoles, vendors: Sequence[str], options: ReadOptions, log: BadRowLog
) -> SourceTable:
    """Return a table of CSV files, in which all values are text."""
    names, explicit = scanned.text_files[0].column_names, roles.explicit_columns()
    row_count, places = sum(file.row_count for file in scanned.text_files), RowPlaces(scanned.text_files)
    _require_columns((name for name in options.date_formats if name), dict.fromkeys(names))
    validate_roles(dict.fromkeys(names, pl.String()), roles, vendors)
    _require_several_columns(scanned, names, roles)
    untyped = [name for name in names if name not in roles.ignore and _is_untyped(name, roles, options)]
    versions, ids = _unusual_versions(names, roles, explicit), _id_counts(names, roles, explicit)
    counts, other = count_columns(scanned.lazy_frame, untyped, versions | ids)  # no column is both
    types = _find_types(scanned, counts, places, explicit, options, log)
    schema = {name: types[name].dtype if name in types else pl.String() for name in names}
    columns = infer_columns(schema, roles, vendors)
    columns = _demote_versions(columns, {name: other[name] for name in versions})
    moments = {name for name in untyped if counts[name].moments or counts[name].zoned}
    columns = _mark_cut_moments(columns, moments)
    native = {name: type_.dtype for name, type_ in types.items() if type_.parse is None}
    numbers = [name for name, column in explicit.items() if column.role == "number"]
    stripped = {name: Conversion(_strip, "numbers") for name in numbers}
    spoilt = {name: _find_spoilt_ids(other[name]) for name in ids}
    return SourceTable(
        lazy_frame=scan_text_files(scanned.text_files, native, options.missing),
        format=scanned.format,
        columns=tuple(columns),
        row_count=row_count,
        places=places,
        log=log,
        zone=options.zone,
        conversions=stripped | _conversions(types),
        spoilt_ids={name: pattern for name, pattern in spoilt.items() if pattern is not None},
        readings=tuple(_describe_text(column, types, explicit) for column in columns),
    )


def _find_types(
    scanned: ScannedSource,
    counts: Mapping[str, ColumnCounts],
    places: RowPlaces,
    explicit: Mapping[str, Column],
    options: ReadOptions,
    log: BadRowLog,
) -> dict[str, ColumnType]:
    """Return the type of each column of *counts*, by its values and its explicit role."""
    return {
        name: TypeFinder(
            name,
            column_counts,
            scanned.lazy_frame,
            places.describe,
            options.zone,
            options.date_formats.get(name),
            options.date_formats.get(""),
            log.is_rejecting,
        ).find_type(explicit[name].role if name in explicit else None)
        for name, column_counts in counts.items()
    }


def _strip(text: pl.Expr) -> pl.Expr:
    return text.str.strip_chars()


def _is_untyped(name: str, roles: ColumnRoles, options: ReadOptions) -> bool:
    """Return whether the values of a column decide its type or the spelling of its dates."""
    explicit = roles.explicit_columns()
    if name in options.date_formats:
        return True
    if name in explicit:
        return explicit[name].role in ("date", "time", "tags") and explicit[name].separator is None
    return not stays_text(name, roles)


def _unusual_versions(names: Sequence[str], roles: ColumnRoles, explicit: Mapping[str, Column]) -> dict[str, pl.Expr]:
    """Return the values of each column of versions that only a parser can accept."""
    return {
        name: distinct_unusual_versions(exact_column(name))
        for name in names
        if name not in roles.ignore and name not in explicit and is_version_name(name)
    }


def _id_counts(names: Sequence[str], roles: ColumnRoles, explicit: Mapping[str, Column]) -> dict[str, pl.Expr]:
    """Return the numbers of ids by their form, for each column of ids; a spreadsheet may have changed some."""
    counts = {}
    for name in names:
        is_id = explicit[name].is_id if name in explicit else stays_text(name, roles) and not is_version_name(name)
        if is_id and name not in roles.ignore:
            text = exact_column(name).str.strip_chars()
            patterns = {"scientific": SCIENTIFIC_ID_PATTERN, "decimal": DECIMAL_ID_PATTERN, "whole": WHOLE_ID_PATTERN}
            found = [text.str.contains(pattern).sum().alias(key) for key, pattern in patterns.items()]
            counts[name] = pl.struct((text != "").sum().alias("present"), *found)
    return counts


def _find_spoilt_ids(counts: Mapping[str, int]) -> str | None:
    """Return the pattern of the ids of a column that a spreadsheet has changed, or None if there are none.

    An id like 12345.0 is one of them if all others are whole numbers.
    """
    if counts["decimal"] and counts["scientific"] + counts["decimal"] + counts["whole"] == counts["present"]:
        return f"{SCIENTIFIC_ID_PATTERN}|{DECIMAL_ID_PATTERN}"
    return SCIENTIFIC_ID_PATTERN if counts["scientific"] else None


def _demote_versions(columns: Iterable[Column], unusual: Mapping[str, Sequence[str]]) -> list[Column]:
    """Return *columns*; a column of versions becomes text if it contains strings that are not versions."""
    return [
        replace(column, role="string")
        if not all(map(VERSION.accepts, unusual.get(column.name_in_table, ())))
        else column
        for column in columns
    ]


def _describe_text(column: Column, types: Mapping[str, ColumnType], explicit: Mapping[str, Column]) -> ColumnReading:
    name = column.name_in_table
    if name in types:
        return ColumnReading(name, column.role, types[name].reason, types[name].is_notable)
    reason = "given" if name in explicit else "the name of the column"
    return ColumnReading(name, column.role, reason)


def _require_several_columns(scanned: ScannedSource, names: Sequence[str], roles: ColumnRoles) -> None:
    """Raise TableError if the header of a CSV file is one column that looks like several."""
    name = names[0]
    if len(names) == 1 and name not in roles.explicit_columns():
        delimiter = next((each for each in (";", "\t", "|", ",", " ") if each in name), None)
        if delimiter is not None:
            divider = scanned.text_files[0].dialect.delimiter
            message = f"the header is one column {name!r}, divided by {divider!r}"
            hint = f"use --delimiter {format_delimiter(delimiter)}"
            raise TableError(Problem("unknown-delimiter", message, hint=hint))
