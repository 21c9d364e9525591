"""Fetching of a source: its rows as files on this machine, or as one table."""

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import polars as pl

from audience.errors import Problem, TableError
from audience.index.ingest.locations.arrow_streams import ArrowStream, spool_stream
from audience.index.ingest.locations.source_files import SourceFile, list_files
from audience.index.ingest.read_options import ReadOptions
from audience.progress import Progress

Source: TypeAlias = str | Path | Iterable[str | Path] | pl.DataFrame | pl.LazyFrame | ArrowStream


@dataclass(frozen=True, slots=True)
class FetchedFiles:
    """Files of a source on this machine."""

    files: tuple[SourceFile, ...]


@dataclass(frozen=True, slots=True)
class FetchedTable:
    """Table of a source, and its format: rows of a `query` cannot be skipped without reading them."""

    lazy_frame: pl.LazyFrame
    format: str


Fetched: TypeAlias = FetchedFiles | FetchedTable


@contextmanager
def fetch_source(source: Source, options: ReadOptions, ignore: Container[str], progress: Progress) -> Iterator[Fetched]:
    """Yield the rows of *source*; what was copied to this machine is removed at the end.

    Args:
        source: A frame, an object with record batches, a file, a folder of files, a glob, or several of these.
        options: How to read it.
        ignore: Columns that nobody reads.
        progress: Progress callback.

    Raises:
        TableError: There is no table.
    """
    match source:
        case pl.DataFrame():
            yield FetchedTable(source.lazy(), "frame")
        case pl.LazyFrame():
            yield FetchedTable(source, "query")
        case str() | Path():
            yield FetchedFiles(tuple(list_files(Path(source))))
        case ArrowStream():
            with TemporaryDirectory(prefix="audience-") as folder:
                yield FetchedTable(spool_stream(source, Path(folder, "rows.parquet"), ignore, progress), "parquet")
        case _:
            paths = _require_paths(source)
            yield FetchedFiles(tuple(file for path in paths for file in list_files(Path(path))))


def _require_paths(source: Iterable[str | Path]) -> list[str | Path]:
    paths = list(source)
    if not all(isinstance(path, str | Path) for path in paths):
        raise TypeError(f"source: expected files or a frame, got {source!r:.60}")
    if not paths:
        raise TableError(Problem("no-file", "no file was given", hint="give at least one file"))
    return paths
