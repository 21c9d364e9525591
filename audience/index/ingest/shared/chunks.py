"""Rows of a table in chunks that every process of a cluster can read: slices of files, or files of a spool."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import polars as pl

from audience._fs.private_files import create_file
from audience.errors import ClusterError, Problem
from audience.index.ingest.reader import SourceTable, chunk_rows, divide_rows, wrap_polars_errors
from audience.progress import Progress

DIRECT_FORMATS = ("parquet", "ipc")  # any slice of rows can be read without the rows before it


def require_rows(row_count: int, expected: int, what: str) -> None:
    """Raise ClusterError if fewer rows were read for *what* than the head of the cluster has counted."""
    if row_count != expected:
        message = f"{row_count:,} rows were read for {what}, expected {expected:,}"
        raise ClusterError(Problem("other-source", message, hint="the files were changed; start the command again"))


class SpooledRows(Protocol):
    """Rows that one process has written for the others."""

    def read(self) -> pl.DataFrame:
        """Return the rows."""


@dataclass(frozen=True, slots=True)
class RowFile:
    """Rows in a file that all processes see."""

    path: Path

    @classmethod
    def write(cls, folder: Path, number: int, rows: pl.DataFrame) -> "RowFile":
        """Write rows to a new file in *folder*."""
        path = folder / f"{number:06}.arrow"
        with create_file(path) as stream:
            rows.write_ipc(stream, compression="zstd")
        return cls(path)

    def read(self) -> pl.DataFrame:
        """Return the rows."""
        return pl.read_ipc(self.path)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a table.

    Attributes:
        first_row: Number of the first row in the table.
        row_count: Number of rows.
        spool: What has these rows alone; None if they are a slice of the table.
    """

    first_row: int
    row_count: int
    spool: SpooledRows | None = None

    def read(self, table: SourceTable) -> pl.DataFrame:
        """Return the rows of the chunk."""
        if self.spool is None:
            return table.selected.slice(self.first_row, self.row_count).collect()
        return self.spool.read()


WriteRows: TypeAlias = Callable[[int, pl.DataFrame], SpooledRows]


def read_chunks(chunks: Iterable[Chunk], table: SourceTable) -> Iterator[pl.DataFrame]:
    """Yield the rows of each of *chunks* of *table*."""
    with wrap_polars_errors():
        for chunk in chunks:
            yield chunk.read(table)


def slice_table(table: SourceTable, shard_rows: int) -> list[Chunk]:
    """Return the chunks in which one machine would read *table*, which has files that all machines can read."""
    return [Chunk(first, count) for first, count in divide_rows(table.row_count, chunk_rows(shard_rows))]


def spool_table(table: SourceTable, shard_rows: int, write: WriteRows, progress: Progress) -> list[Chunk]:
    """Write each chunk in which one machine would read *table* by *write*, and return the chunks."""
    chunks: list[Chunk] = []
    first_row = 0
    with wrap_polars_errors():
        for number, frame in enumerate(table.iter_frames(chunk_rows(shard_rows))):
            progress("copying rows for the cluster", first_row, table.row_count)
            chunks.append(Chunk(first_row, len(frame), write(number, frame)))
            first_row += len(frame)
    return chunks


def group_chunks(chunks: Sequence[Chunk], shard_rows: int) -> list[list[Chunk]]:
    """Return the chunks of each shard, with the borders of `SourceTable.iter_shard_tables`.

    >>> [[chunk.row_count for chunk in group] for group in group_chunks([Chunk(0, 3), Chunk(3, 3), Chunk(6, 1)], 6)]
    [[3, 3], [1]]
    """
    groups: list[list[Chunk]] = []
    for chunk in chunks:
        if not groups or chunk.first_row + chunk.row_count > groups[-1][0].first_row + shard_rows:
            groups.append([])
        groups[-1].append(chunk)
    return groups
