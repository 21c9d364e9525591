"""Reading of a source table in chunks, each column cast to the type of its role."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import polars as pl
from polars import selectors

from audience.errors import Problem, TableError
from audience.index.ingest import cast
from audience.index.ingest.decode import new_categories, to_categorical
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.sources import SEEKABLE_FORMATS, UNTYPED_FORMATS, Source, parse_date_columns, scan_source
from audience.index.schema.column_roles import ColumnRoles, infer_columns, validate_roles
from audience.index.schema.columns import Column
from audience.progress import Progress

CHUNKS_PER_SHARD = 4  # a shard is read in so many, to bound memory


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Source table with the role of each column and the number of rows."""

    lazy_frame: pl.LazyFrame
    format: str
    columns: tuple[Column, ...]
    row_count: int

    def iter_chunks(self, max_rows: int) -> Iterator[tuple[int, DeviceTable]]:
        """Yield at most *max_rows* rows at a time, with the number of rows before them."""
        first = 0
        with wrap_polars_errors():
            for frame in self._iter_frames(max_rows):
                yield (
                    first,
                    {column: _cast_column(frame[column.name_in_table], column, first) for column in self.columns},
                )
                first += len(frame)

    def iter_shard_tables(self, max_rows: int, progress: Progress) -> Iterator[tuple[int, DeviceTable]]:
        """Yield the rows of each shard like `iter_chunks`, with attribute strings as dictionary codes."""
        pieces: list[DeviceTable] = []
        start, names = 0, dict[Column, pl.Categories]()
        for first, part in self.iter_chunks(-(-max_rows // CHUNKS_PER_SHARD)):
            progress("indexing devices", first, self.row_count)
            if pieces and first + _count_rows(part) > start + max_rows:
                yield start, _concat_chunks(pieces)
                start, pieces = first, []
            names = names if pieces else new_categories(part)
            pieces.append({column: to_categorical(values, names.get(column)) for column, values in part.items()})
        yield start, _concat_chunks(pieces)

    def with_string_column(self, column: Column) -> "SourceTable":
        """Return the same table with *column* as a string column."""
        typed = replace(column, role="typed")
        return replace(self, columns=tuple(typed if each == column else each for each in self.columns))

    def _iter_frames(self, max_rows: int) -> Iterator[pl.DataFrame]:
        """Yield the rows in memory; of a seekable format, no more than *max_rows* are read ahead."""
        wanted = self.lazy_frame.select(selectors.by_name(*(column.name_in_table for column in self.columns)))
        if self.format in SEEKABLE_FORMATS:
            yield from (wanted.slice(first, max_rows).collect() for first in range(0, max(self.row_count, 1), max_rows))
            return
        found = False
        for frame in wanted.collect_batches(chunk_size=max_rows, maintain_order=True):
            found = True
            yield frame
        if not found:
            yield wanted.head(0).collect()


def _count_rows(table: DeviceTable) -> int:
    return len(next(iter(table.values())))


def _concat_chunks(chunks: Sequence[DeviceTable]) -> DeviceTable:
    return {column: pl.concat([piece[column] for piece in chunks]) for column in chunks[0]}


def inspect_source(source: Source, roles: ColumnRoles, vendors: Sequence[str]) -> SourceTable:
    """Open the table *source* and give every column that is not ignored a role.

    Raises:
        TableError: The table cannot be read, a column has no role, or a role no column.
    """
    with wrap_polars_errors():
        lazy, format_ = scan_source(source, roles)
        lazy = parse_date_columns(lazy, roles) if format_ in UNTYPED_FORMATS else lazy
        schema = lazy.collect_schema()
        validate_roles(schema, roles, vendors)
        found = infer_columns(schema, roles, vendors)
        rows = lazy.select(pl.len()).collect(engine="streaming").item()
    return SourceTable(lazy, format_, tuple(found), rows)


def _cast_column(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    """Cast a column to its role; it is renamed first, because Polars might take its name for a pattern."""
    try:
        return cast.cast_column(values.alias("values"), column, first_row)
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
