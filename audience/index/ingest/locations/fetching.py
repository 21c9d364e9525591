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
from audience.index.ingest.locations.databases import DRIVERS, is_duckdb_file, run_query
from audience.index.ingest.locations.location_names import OBJECT_SCHEMES, SCHEMES, WEB_SCHEMES, find_scheme, redact_url
from audience.index.ingest.locations.source_files import SourceFile, list_files
from audience.index.ingest.locations.table_formats import find_table_format, scan_table
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
        TableError: The source has no table.
    """
    if isinstance(source, pl.DataFrame | pl.LazyFrame | ArrowStream) and not isinstance(source, str | Path):
        _reject_query(options.query, f"a {type(source).__name__}")
    match source:
        case pl.DataFrame():
            yield FetchedTable(source.lazy(), "frame")
        case pl.LazyFrame():
            yield FetchedTable(source, "query")
        case ArrowStream() if not isinstance(source, str | Path):
            with _temporary_folder() as folder:
                yield FetchedTable(spool_stream(source, folder / "rows.parquet", ignore, progress), "parquet")
        case _:
            names = [_to_name(path) for path in _require_paths(source)]
            tables = [(name, found) for name in names if (found := find_table_format(name))]
            if tables:
                name, found = tables[0]
                _require_alone(names, name)
                _reject_query(options.query, name)
                yield FetchedTable(scan_table(*found), "query")
                return
            databases = [name for name in names if _is_database(name)]
            with _temporary_folder() as folder:
                if databases:
                    yield _fetch_answer(names, options.query, folder, ignore, progress)
                    return
                _reject_query(options.query, names[0])
                yield FetchedFiles(tuple(_fetch_files(names, folder, progress)))


def list_file_names(source: Source) -> list[str] | None:
    """Return the names of *source* if all of them are of files of this machine, or of objects; None for all else.

    Raises:
        TableError: A name is a URL of an unknown kind, or there is none.

    >>> list_file_names(["a.parquet", Path("b.parquet")]), list_file_names("https://devices/a.parquet")
    (['a.parquet', 'b.parquet'], None)
    """
    if isinstance(source, pl.DataFrame | pl.LazyFrame | ArrowStream) and not isinstance(source, str | Path):
        return None
    names = [_to_name(path) for path in _require_paths(source)]
    has_files = all(
        find_scheme(name) in (None, *OBJECT_SCHEMES) and not find_table_format(name) and not is_duckdb_file(name)
        for name in names
    )
    return names if has_files else None


def _is_database(name: str) -> bool:
    return find_scheme(name) in DRIVERS or is_duckdb_file(name)


def _fetch_answer(
    names: list[str], query: str | None, folder: Path, ignore: Container[str], progress: Progress
) -> FetchedTable:
    """Return the answer of a database, written to *folder*; the connection is closed before the rows are used."""
    _require_alone(names, names[0])
    progress("fetching rows", 0, 0)
    with run_query(names[0], find_scheme(names[0]), query) as stream:
        return FetchedTable(spool_stream(stream, folder / "rows.parquet", ignore, progress), "parquet")


def _require_alone(names: list[str], name: str) -> None:
    """Raise TableError if *name*, which is no file, is one of several *names*."""
    if len(names) > 1:
        other = next(each for each in (*names, name) if each != name or names.count(name) > 1)
        message = f"{redact_url(name)} and {redact_url(other)} cannot be read as one table"
        raise TableError(Problem("several-sources", message, hint="name it alone, or name files"))


def _reject_query(query: str | None, what: str) -> None:
    """Raise TableError if there is a *query*, which only databases answer."""
    if query is not None:
        message = f"{what} is no database, and a query was given"
        raise TableError(Problem("not-a-database", message, hint="leave --query out, or name a database"))


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="audience-") as folder:
        yield Path(folder)


def _fetch_files(names: Iterable[str], folder: Path, progress: Progress) -> Iterator[SourceFile]:
    """Yield the files at *names*, paths or URLs; those of other machines are copied to *folder*."""
    for number, name in enumerate(names):
        scheme = find_scheme(name)
        if scheme is None:
            yield from list_files(Path(name))
            continue
        (folder / str(number)).mkdir()
        if scheme in WEB_SCHEMES:
            from audience.index.ingest.locations.web_files import (
                copy_web_file,
            )  # loads slowly, and files do not need it

            yield copy_web_file(name, folder / str(number), progress)
        else:
            from audience.index.ingest.locations.object_files import copy_object_files

            yield from copy_object_files(name, folder / str(number), progress)


def _to_name(path: str | Path) -> str:
    """Return a path or URL as text; a `Path` has lost a slash of a URL.

    >>> _to_name(Path("s3://devices/today"))
    's3://devices/today'
    """
    text = str(path)
    scheme, colon, rest = text.partition(":/")
    is_url = isinstance(path, Path) and colon and scheme in SCHEMES and rest[:1] not in ("", "/")
    return f"{scheme}://{rest}" if is_url else text


def _require_paths(source: str | Path | Iterable[str | Path]) -> list[str | Path]:
    paths = [source] if isinstance(source, str | Path) else list(source)
    if not all(isinstance(path, str | Path) for path in paths):
        raise TypeError(f"source: expected files or a frame, got {source!r:.60}")
    if not paths:
        raise TableError(Problem("no-file", "no file was given", hint="give at least one file"))
    return paths
