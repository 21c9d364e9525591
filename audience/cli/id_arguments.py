"""Device ids given to a command: as arguments, as lines of text, or as a column of a table."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from audience._fs.text_encoding import EncodingError, decode_text
from audience.cli.streams import read_stdin
from audience.counts import format_count
from audience.errors import Problem, TableError
from audience.index.ingest import cast
from audience.index.ingest.locations.source_files import FORMAT_BY_SUFFIX
from audience.index.ingest.read_options import DEFAULT_READ_OPTIONS, ReadOptions
from audience.index.ingest.reader import wrap_polars_errors
from audience.index.ingest.sources import exact_column, scan_source
from audience.index.schema.column_roles import ColumnRoles, validate_roles
from audience.index.schema.columns import GENERIC_ID_COLUMNS, Column, select_device_id_columns
from audience.index.storage import id_search
from audience.index.storage.snapshot import Snapshot
from audience.vendors import vendor_names

STDIN = "-"
MAX_SHOWN_IDS = 5  # ids that a warning lists
TABLE_SUFFIXES = ", ".join(FORMAT_BY_SUFFIX)


def collect_ids(
    arguments: Sequence[str],
    files: Sequence[str],
    column_name: str | None,
    index_columns: Sequence[Column],
    options: ReadOptions = DEFAULT_READ_OPTIONS,
) -> pl.Series:
    """Return the ids of *arguments* and *files* in order, without duplicates.

    Args:
        arguments: Ids; `-` reads the lines of standard input.
        files: Text files with one id a line, and tables.
        column_name: Column of the tables that holds the ids; guessed from its name by default.
        index_columns: Columns of the index, whose id columns are looked for in the tables.
        options: Encoding of the files and delimiter of the tables.

    Raises:
        TableError: No ids were given, or a file cannot be read. An empty list of ids is valid.
    """
    if not arguments and not files:
        raise TableError(Problem("no-ids", "no ids were given", hint="pass ids, --ids FILE, or - for standard input"))
    tables = [file for file in files if file.lower().endswith(tuple(FORMAT_BY_SUFFIX))]
    if column_name is not None and not tables:
        message = "--column needs a table of ids in --ids"
        raise TableError(Problem("bad-option", message, hint=f"the name of a table ends in {TABLE_SUFFIXES}"))
    ids = [id_ for word in arguments for id_ in (_read_id_lines(word, options.encoding) if word == STDIN else [word])]
    ids += [id_ for file in files if file not in tables for id_ in _read_id_lines(file, options.encoding)]
    columns = (
        _read_id_column(file, column_name, index_columns, options) for file in tables if not _is_empty_file(file)
    )
    return pl.concat([pl.Series("id", ids, dtype=pl.String), *columns]).unique(maintain_order=True)


def _is_empty_file(file: str) -> bool:
    """Return whether *file* has no bytes: an empty list of ids, even where a table would have a header."""
    return Path(file).is_file() and not Path(file).stat().st_size


def _read_id_lines(file: str, encoding: str | None) -> Iterable[str]:
    """Read the ids of a text file, one a line, without surrounding white space."""
    hint = f"write one id a line; the name of a table ends in {TABLE_SUFFIXES}"
    try:
        data = None if file == STDIN else Path(file).read_bytes()
        text = read_stdin("pass the ids as arguments") if data is None else decode_text(data, encoding)
    except EncodingError as error:
        raise TableError(Problem("unknown-encoding", f"{file}: {error}", hint=error.hint)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TableError(Problem("unreadable", f"{file}: {reason}", hint=hint)) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise TableError(Problem("unreadable", f"{file}: line {line:,} contains a NUL character", hint=hint))
    lines = (line.strip() for line in text.removeprefix("\ufeff").split("\n"))
    return [line for line in lines if line]


def _read_id_column(
    file: str, column_name: str | None, index_columns: Sequence[Column], options: ReadOptions
) -> pl.Series:
    """Read the id column of a table as strings."""
    roles = (
        ColumnRoles(tokens={"registration_id": column_name})
        if column_name
        else ColumnRoles(tokens={}, existing=tuple(index_columns))
    )
    with wrap_polars_errors(), scan_source(file, roles, options) as scanned:
        name = _find_id_column(scanned.lazy_frame.collect_schema(), file, column_name, index_columns)
        values = scanned.lazy_frame.select(exact_column(name)).collect().to_series()
    return cast.cast_column(values, Column(name, "id", "id")).alias("id").drop_nulls()


def _find_id_column(schema: pl.Schema, file: str, column_name: str | None, index_columns: Sequence[Column]) -> str:
    """Return the id column of *schema*: *column_name*, else one of the index, else one with a usual name."""
    if column_name is not None:
        validate_roles(schema, ColumnRoles(tokens={"registration_id": column_name}), ())
        return column_name
    expected = [column.name_in_table for column in index_columns if column.role == "id"] + [*GENERIC_ID_COLUMNS]
    vendor_columns = [f"{vendor}_{name}" for vendor in vendor_names() for name in GENERIC_ID_COLUMNS]
    for name in (*expected, *vendor_columns):
        if name in schema:
            return name
    message = f"{file} has no column {' or '.join(dict.fromkeys(expected))}; its columns are {', '.join(schema)}"
    hint = "name the column of ids with --column NAME; a text file with one id a line ends in .txt"
    raise TableError(Problem("no-id", message, hint=hint))


def unknown_id_warnings(ids: pl.Series, unknown_count: int, snapshot: Snapshot) -> list[Problem]:
    """Return a warning if *ids* is empty or *unknown_count* of them belong to no device of *snapshot*."""
    if not len(ids) or not unknown_count:
        return unknown_ids_problem(ids.clear(), len(ids))
    columns = select_device_id_columns(snapshot.id_columns)
    matches = [id_search.find_in_column(shard, column, ids) for shard in snapshot.shards for column in columns]
    known = pl.concat([pl.DataFrame(schema=id_search.MATCH_SCHEMA), *matches])
    unknown = ids.to_frame("id").join(known, on="id", how="anti", maintain_order="left")["id"]
    return unknown_ids_problem(unknown, len(ids))


def unknown_ids_problem(unknown: pl.Series, id_count: int) -> list[Problem]:
    """Return a warning if there are no ids at all, or if some are *unknown*, of a device of the index."""
    if not id_count:
        return [Problem("no-ids", "the list of ids is empty")]
    if not len(unknown):
        return []
    shown = ", ".join(map(repr, unknown.head(MAX_SHOWN_IDS))) + (", …" if len(unknown) > MAX_SHOWN_IDS else "")
    return [Problem("no-device", f"{len(unknown):,} of {format_count(id_count, 'id')} belong to no device: {shown}")]
