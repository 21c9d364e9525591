"""The ids of devices that a command is given: as words, as lines of text, or as a column of a table."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from audience.cli.streams import read_stdin
from audience.errors import Problem, TableError
from audience.index.ingest import cast
from audience.index.ingest.reader import wrap_polars_errors
from audience.index.ingest.sources import FORMAT_BY_SUFFIX, exact_column, scan_source
from audience.index.schema.column_roles import ColumnRoles, validate_roles
from audience.index.schema.columns import GENERIC_ID_COLUMNS, Column
from audience.index.storage import id_search
from audience.index.storage.snapshot import Snapshot
from audience.vendors import vendor_names

STDIN = "-"
MAX_SHOWN_IDS = 5  # ids that a warning names


def collect_ids(
    arguments: Sequence[str], files: Sequence[str], column_name: str | None, index_columns: Sequence[Column]
) -> pl.Series:
    """The ids among *words* and in *files*, each once, in their order; *known* are the columns of the index.

    Raises TableError where none are named at all, and where a file cannot be read; a list may be empty.
    """
    if not arguments and not files:
        hint = "name them, or give a file: --ids FILE; - reads standard input"
        raise TableError(Problem("no-ids", "no ids were given", hint=hint))
    tables = [file for file in files if Path(file).suffix.lower() in FORMAT_BY_SUFFIX]
    if column_name is not None and not tables:
        hint = f"a table ends in {', '.join(FORMAT_BY_SUFFIX)}"
        raise TableError(Problem("bad-option", "--column says which column of a table holds the ids", hint=hint))
    found = [id_ for word in arguments for id_ in (_read_id_lines(word) if word == STDIN else [word])]
    found += [id_ for file in files if file not in tables for id_ in _read_id_lines(file)]
    texts = pl.Series("id", found, dtype=pl.String)
    columns = (_read_id_column(file, column_name, index_columns) for file in tables if not _is_empty_file(file))
    return pl.concat([texts, *columns]).unique(maintain_order=True)


def _is_empty_file(file: str) -> bool:
    """Whether *file* holds nothing at all: a list of nobody, also where a table would have a head."""
    return Path(file).is_file() and not Path(file).stat().st_size


def _read_id_lines(file: str) -> Iterable[str]:
    """The ids in the text *file*, one a line; white space around them is none of theirs."""
    try:
        text = read_stdin("give the ids as arguments") if file == STDIN else Path(file).read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = f"one id a line, in UTF-8; a table ends in {', '.join(FORMAT_BY_SUFFIX)}"
        raise TableError(Problem("unreadable", f"{file}: {reason}", hint=hint)) from error
    lines = (line.strip() for line in text.removeprefix("\ufeff").split("\n"))
    return [line for line in lines if line]


def _read_id_column(file: str, column_name: str | None, index_columns: Sequence[Column]) -> pl.Series:
    """The ids of the table in *file*."""
    roles = (
        ColumnRoles(tokens={"registration_id": column_name})
        if column_name
        else ColumnRoles(tokens={}, existing=tuple(index_columns))
    )
    with wrap_polars_errors():
        lazy, _ = scan_source(file, roles)
        schema = lazy.collect_schema()
        source = _find_id_column(schema, file, column_name, index_columns)
        values = lazy.select(exact_column(source)).collect().to_series()
    return cast.cast_column(values, Column(source, "id", "id")).alias("id").drop_nulls()


def _find_id_column(schema: pl.Schema, file: str, column_name: str | None, index_columns: Sequence[Column]) -> str:
    """The column of *schema* that holds ids: the one that is said, one of the index's, one that is named so."""
    if column_name is not None:
        validate_roles(schema, ColumnRoles(tokens={"registration_id": column_name}), ())
        return column_name
    own = [each.name_in_table for each in index_columns if each.role == "id"]
    words = [
        *own,
        *GENERIC_ID_COLUMNS,
        *(f"{vendor}_{word}" for vendor in vendor_names() for word in GENERIC_ID_COLUMNS),
    ]
    for name in words:
        if name in schema:
            return name
    message = f"{file} has no column {' or '.join(dict.fromkeys([*own, *GENERIC_ID_COLUMNS]))}, but {', '.join(schema)}"
    hint = "say which holds the ids: --column NAME; a text of one id a line ends in .txt"
    raise TableError(Problem("no-id", message, hint=hint))


def unknown_id_warnings(ids: pl.Series, unknown_count: int, snapshot: Snapshot) -> list[Problem]:
    """A warning of the *many* ids that no device of *snapshot* has, with the first of them."""
    if not len(ids):
        return [Problem("no-ids", "the list of ids is empty")]
    if not unknown_count:
        return []
    names = [name for name in snapshot.id_column_names if name.startswith("id:")]
    rows = [id_search.find_in_column(shard, name, ids) for shard in snapshot.shards for name in names]
    found = pl.concat([pl.DataFrame(schema=id_search.MATCH_SCHEMA), *rows])
    left = ids.to_frame("id").join(found, on="id", how="anti", maintain_order="left")["id"]
    shown = ", ".join(map(repr, left.head(MAX_SHOWN_IDS))) + (", …" if len(left) > MAX_SHOWN_IDS else "")
    return [Problem("no-device", f"{unknown_count:,} of {len(ids):,} ids are of no device: {shown}")]
