"""Reading of a source table in chunks, each column cast to the type of its role."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import polars as pl
from polars import selectors

from audience.errors import Problem, TableError
from audience.index.ingest.bad_rows import BadRowLog
from audience.index.ingest.cast import cast_column, distinct_unusual_versions
from audience.index.ingest.decode import concat_columns, new_categories, to_categorical
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.read_options import ReadOptions
from audience.index.ingest.sources import (
    SEEKABLE_FORMATS,
    UNTYPED_FORMATS,
    ScannedSource,
    Source,
    exact_column,
    parse_date_columns,
    scan_source,
)
from audience.index.ingest.text.dialect import format_delimiter
from audience.index.ingest.text.files import TextFile
from audience.index.schema.column_roles import ColumnRoles, infer_columns, validate_roles
from audience.index.schema.columns import Column
from audience.index.schema.value_types import VERSION
from audience.progress import Progress

CHUNKS_PER_SHARD = 4  # a shard is read in so many chunks, to bound memory


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Source table with the role of each column and the number of rows."""

    lazy_frame: pl.LazyFrame
    format: str
    columns: tuple[Column, ...]
    row_count: int
    text_files: tuple[TextFile, ...] = ()

    def iter_chunks(self, max_rows: int) -> Iterator[tuple[int, DeviceTable]]:
        """Yield at most *max_rows* rows at a time, with the number of rows before them."""
        first_row = 0
        with wrap_polars_errors():
            for frame in self._iter_frames(max_rows):
                yield first_row, self._cast_frame(frame, first_row)
                first_row += len(frame)

    def iter_shard_tables(self, max_rows: int, progress: Progress) -> Iterator[tuple[int, DeviceTable]]:
        """Yield the rows of each shard like `iter_chunks`, with attribute strings as dictionary codes."""
        chunks: list[DeviceTable] = []
        shard_start, categories = 0, dict[Column, pl.Categories]()
        for first_row, chunk in self.iter_chunks(-(-max_rows // CHUNKS_PER_SHARD)):
            progress("indexing devices", first_row, self.row_count)
            if chunks and first_row + _count_rows(chunk) > shard_start + max_rows:
                yield shard_start, _concat_chunks(chunks)
                shard_start, chunks = first_row, []
            categories = categories if chunks else new_categories(chunk)
            chunks.append({column: to_categorical(values, categories.get(column)) for column, values in chunk.items()})
        yield shard_start, _concat_chunks(chunks)

    def _iter_frames(self, max_rows: int) -> Iterator[pl.DataFrame]:
        """Yield the rows in memory; of a seekable format, no more than *max_rows* are read ahead."""
        selected = self.lazy_frame.select(selectors.by_name(*(column.name_in_table for column in self.columns)))
        if self.format in SEEKABLE_FORMATS:
            for first_row in range(0, max(self.row_count, 1), max_rows):
                yield selected.slice(first_row, max_rows).collect()
            return
        is_empty = True
        for frame in selected.collect_batches(chunk_size=max_rows, maintain_order=True):
            is_empty = False
            yield frame
        if is_empty:
            yield selected.head(0).collect()

    def _cast_frame(self, frame: pl.DataFrame, first_row: int) -> DeviceTable:
        return {column: _cast_column(frame[column.name_in_table], column, first_row) for column in self.columns}


def _count_rows(table: DeviceTable) -> int:
    return len(next(iter(table.values())))


def _concat_chunks(chunks: Sequence[DeviceTable]) -> DeviceTable:
    return {column: concat_columns([chunk[column] for chunk in chunks], column) for column in chunks[0]}


@contextmanager
def open_table(
    source: Source, roles: ColumnRoles, vendors: Sequence[str], options: ReadOptions, log: BadRowLog
) -> Iterator[SourceTable]:
    """Open the table *source* and give every column that is not ignored a role.

    Args:
        source: Files or frames.
        roles: Roles of columns that are not to be inferred.
        vendors: Names of all vendors.
        options: How to read the files.
        log: Log of bad rows.

    Raises:
        TableError: The table cannot be read, a column has no role, or a role no column.
    """
    with ExitStack() as stack:
        with wrap_polars_errors():
            scanned = stack.enter_context(scan_source(source, roles, options, log))
        yield _inspect_source(scanned, roles, vendors)


def _inspect_source(scanned: ScannedSource, roles: ColumnRoles, vendors: Sequence[str]) -> SourceTable:
    with wrap_polars_errors():
        lazy_frame = scanned.lazy_frame
        if scanned.format in UNTYPED_FORMATS:
            lazy_frame = parse_date_columns(lazy_frame, roles)
        schema = lazy_frame.collect_schema()
        validate_roles(schema, roles, vendors)
        _require_several_columns(scanned, schema, roles)
        columns = infer_columns(schema, roles, vendors)
        explicit = roles.explicit_columns()
        candidates = [column for column in columns if column.role == "version" and column.name_in_table not in explicit]
        row_count, unusual_versions = _scan_rows(lazy_frame, candidates)
    inferred = [_use_strings_unless_versions(column, unusual_versions.get(column, ())) for column in columns]
    return SourceTable(lazy_frame, scanned.format, tuple(inferred), row_count, scanned.text_files)


def _require_several_columns(scanned: ScannedSource, schema: pl.Schema, roles: ColumnRoles) -> None:
    """Raise TableError if the header of a CSV file is one column that looks like several."""
    name = next(iter(schema), "")
    if scanned.text_files and len(schema) == 1 and name not in roles.explicit_columns():
        delimiter = next((each for each in (";", "\t", "|", ",", " ") if each in name), None)
        if delimiter is not None:
            message = f"the header is one column {name!r}, divided by {scanned.text_files[0].dialect.delimiter!r}"
            raise TableError(
                Problem("unknown-delimiter", message, hint=f"use --delimiter {format_delimiter(delimiter)}")
            )


def _scan_rows(
    lazy_frame: pl.LazyFrame, version_columns: Sequence[Column]
) -> tuple[int, Mapping[Column, Sequence[str]]]:
    """Return the number of rows, and the strings of each column that only a parser can accept as versions.

    One pass does both, so that a column is never encoded twice.
    """
    strings = [distinct_unusual_versions(exact_column(column.name_in_table)) for column in version_columns]
    selected = lazy_frame.select(pl.len(), *(expr.alias(f"{number}") for number, expr in enumerate(strings)))
    row_count, *unusual = selected.collect(engine="streaming").row(0)
    return row_count, dict(zip(version_columns, unusual, strict=True))


def _use_strings_unless_versions(column: Column, unusual_versions: Sequence[str]) -> Column:
    return column if all(map(VERSION.accepts, unusual_versions)) else replace(column, role="string")


def _cast_column(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    """Cast a column to its role; it is renamed first, because Polars might take its name for a pattern."""
    try:
        return cast_column(values.alias("values"), column, first_row)
    except (pl.exceptions.PolarsError, OverflowError, TypeError) as error:
        message = f"column {column.name_in_table!r} of type {values.dtype} cannot be read as {column.role}"
        raise TableError(Problem("bad-type", message, hint=f"--ignore {column.name_in_table}")) from error


@contextmanager
def wrap_polars_errors() -> Iterator[None]:
    """Convert errors that Polars raises about a table to TableError."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        message = str(error).strip().splitlines()[0]
        raise TableError(Problem("unreadable", f"the table cannot be read: {message}")) from error
