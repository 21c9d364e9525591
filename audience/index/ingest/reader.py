"""A table of any size → parts of it in memory, each column cast to what its role wants."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import polars as pl
from polars import selectors

from audience.errors import Problem, TableError
from audience.index.ingest import cast
from audience.index.ingest.decode import dictionaries, packed
from audience.index.ingest.encode import Table
from audience.index.ingest.sources import SOUGHT, TEXTUAL, Source, dated, scan
from audience.index.schema.column_roles import Roles, check_roles, columns
from audience.index.schema.columns import Column
from audience.progress import Progress

PIECES = 4  # a shard is read in so many, to bound memory


@dataclass(frozen=True, slots=True)
class Opened:
    """A table that has been looked at: its columns, of which each has its role, and how many rows it has."""

    source: pl.LazyFrame
    format: str
    columns: tuple[Column, ...]
    rows: int

    def parts(self, size: int) -> Iterator[tuple[int, Table]]:
        """At most *size* rows at a time, with the number of the rows before them."""
        first = 0
        with readable():
            for frame in self._frames(size):
                yield first, {column: _cast(frame[column.source], column, first) for column in self.columns}
                first += len(frame)

    def shards(self, size: int, progress: Progress) -> Iterator[tuple[int, Table]]:
        """As `parts`, with texts that are no ids as numbers of a dictionary, which take a quarter of the memory."""
        pieces: list[Table] = []
        start, names = 0, dict[Column, pl.Categories]()
        for first, part in self.parts(-(-size // PIECES)):
            progress("indexing devices", first, self.rows)
            if pieces and first + _rows(part) > start + size:
                yield start, _stacked(pieces)
                start, pieces = first, []
            names = names if pieces else dictionaries(part)
            pieces.append({column: packed(values, names.get(column)) for column, values in part.items()})
        yield start, _stacked(pieces)

    def retyped(self, column: Column) -> "Opened":
        """The same table with *column* as plain text."""
        typed = replace(column, role="typed")
        return replace(self, columns=tuple(typed if each == column else each for each in self.columns))

    def _frames(self, size: int) -> Iterator[pl.DataFrame]:
        """The rows in memory, some at a time; where a file can be sought in, no more than these are read ahead."""
        wanted = self.source.select(selectors.by_name(*(column.source for column in self.columns)))
        if self.format in SOUGHT:
            yield from (wanted.slice(first, size).collect() for first in range(0, max(self.rows, 1), size))
            return
        found = False
        for frame in wanted.collect_batches(chunk_size=size, maintain_order=True):
            found = True
            yield frame
        if not found:
            yield wanted.head(0).collect()


def _rows(table: Table) -> int:
    return len(next(iter(table.values())))


def _stacked(pieces: Sequence[Table]) -> Table:
    return {column: pl.concat([piece[column] for piece in pieces]) for column in pieces[0]}


def opened(source: Source, roles: Roles, vendors: Sequence[str]) -> Opened:
    """The table *source*, with the role of every column that is not ignored.

    Raises TableError where it cannot be read, and for a column without a role or a role without a column.
    """
    with readable():
        lazy, format_ = scan(source, roles)
        lazy = dated(lazy, roles) if format_ in TEXTUAL else lazy
        schema = lazy.collect_schema()
        check_roles(schema, roles, vendors)
        found = columns(schema, roles, vendors)
        rows = lazy.select(pl.len()).collect(engine="streaming").item()
    return Opened(lazy, format_, tuple(found), rows)


def _cast(values: pl.Series, column: Column, first: int) -> pl.Series:
    """The column as its role wants it; it loses its name, which Polars might take for a pattern."""
    try:
        return cast.column(values.alias("values"), column, first)
    except (pl.exceptions.PolarsError, OverflowError, TypeError) as error:
        message = f"column {column.source!r} of type {values.dtype} cannot be read as {column.role}"
        raise TableError(Problem("bad-type", message, hint=f"--ignore {column.source}")) from error


@contextmanager
def readable() -> Iterator[None]:
    """Turns what Polars says of a table into an error of ours."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        message = str(error).strip().splitlines()[0]
        raise TableError(Problem("unreadable", f"the table cannot be read: {message}")) from error
