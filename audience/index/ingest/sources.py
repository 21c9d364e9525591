"""Device tables in files and frames, opened as one lazy frame."""

from collections.abc import Iterable, Mapping
from glob import glob
from pathlib import Path
from typing import TypeAlias

import polars as pl
from polars import selectors

from audience.errors import Problem, TableError
from audience.index.schema.column_roles import ColumnRoles, is_version_name
from audience.index.schema.columns import GENERIC_ID_COLUMNS

Source: TypeAlias = str | Path | Iterable[str | Path] | pl.DataFrame | pl.LazyFrame

ISO_DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
ISO_DATETIME_PATTERN = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$"
UNTYPED_FORMATS = ("csv", "tsv", "ndjson")  # without dates of their own: these are written as text
SEEKABLE_FORMATS = ("frame", "parquet", "ipc")  # any stretch of rows can be read without those before it
FORMAT_BY_SUFFIX = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
}


def scan_source(source: Source, roles: ColumnRoles) -> tuple[pl.LazyFrame, str]:
    """Return the table in *source* as a lazy frame, with its format.

    Args:
        source: A frame, a file, a folder of files, a glob, or several of these.
        roles: Roles of columns; they decide which columns of a CSV stay text.

    Raises:
        TableError: A file is missing, of an unknown format, or of another format than the first.
    """
    match source:
        case pl.DataFrame():
            return source.lazy(), "frame"
        case pl.LazyFrame():
            return source, "query"
    files = [file for path in _as_paths(source) for file in _expand_path(path)]
    formats = {_detect_format(file) for file in files}
    if len(formats) > 1:
        raise TableError(Problem("mixed-formats", f"files of several formats: {', '.join(sorted(formats))}"))
    format_ = formats.pop()
    return _scan_files(files, format_, roles), format_


def _as_paths(source: str | Path | Iterable[str | Path]) -> list[Path]:
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(path) for path in source]
    if not paths:
        raise TableError(Problem("no-file", "no file was named"))
    return paths


def _expand_path(path: Path) -> list[Path]:
    """Return the file at *path*, the visible files of a folder, or the matches of a glob."""
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.name[0] not in "._")
    elif path.exists():
        found = [path]
    else:
        found = [Path(name) for name in sorted(glob(str(path), recursive=True))]
    if not found:
        raise TableError(
            Problem("no-file", f"there is no table at {path}", hint=f"files end in {', '.join(FORMAT_BY_SUFFIX)}")
        )
    return found


def _detect_format(file: Path) -> str:
    if file.suffix.lower() not in FORMAT_BY_SUFFIX:
        hint = f"files end in {', '.join(FORMAT_BY_SUFFIX)}"
        raise TableError(Problem("unknown-format", f"{file}: unknown format {file.suffix!r}", hint=hint))
    return FORMAT_BY_SUFFIX[file.suffix.lower()]


def _scan_files(files: list[Path], format_: str, roles: ColumnRoles) -> pl.LazyFrame:
    match format_:
        case "parquet":
            return pl.scan_parquet(files, glob=False)
        case "ipc":
            return pl.scan_ipc(files, glob=False)
        case "ndjson":
            return pl.scan_ndjson(files, infer_schema_length=None)
    separator = "\t" if format_ == "tsv" else ","
    names = pl.scan_csv(files, separator=separator, infer_schema=False, glob=False).collect_schema().names()
    return pl.scan_csv(
        files,
        separator=separator,
        glob=False,
        infer_schema_length=None,
        schema_overrides=_string_overrides(names, roles),
    )


def _string_overrides(names: Iterable[str], roles: ColumnRoles) -> Mapping[str, type[pl.String]]:
    """Return the columns of a CSV that stay text, because a number would lose leading zeros or turn 1.10 into 1.1."""
    said, split = roles.explicit_columns(), roles.separators or {}
    kept = {name for name, column in said.items() if column.role not in ("number", "tags") or name in split}
    words = (*GENERIC_ID_COLUMNS, "alias", "account", "live_activity_id")
    named = {name for name in names if name in words or name.endswith(tuple(f"_{word}" for word in GENERIC_ID_COLUMNS))}
    return {
        name: pl.String
        for name in names
        if name in kept or (name not in said and (name in named or is_version_name(name)))
    }


def parse_date_columns(lazy: pl.LazyFrame, roles: ColumnRoles) -> pl.LazyFrame:
    """Return *lazy* with its columns of ISO dates and timestamps parsed; any other format stays text."""
    said = roles.explicit_columns()
    texts = [name for name, type_ in lazy.collect_schema().items() if type_ == pl.String and name not in said]
    if not texts:
        return lazy
    asked = []
    for place, text in enumerate(map(exact_column, texts)):
        asked.append(text.is_not_null().any().alias(f"{place}"))
        asked += [
            (text.is_null() | read(text).is_not_null()).all().alias(f"{place} {n}") for n, read in DATE_PARSERS.items()
        ]
    found = lazy.select(asked).collect(engine="streaming").row(0, named=True)
    changes = []
    for place, text in enumerate(map(exact_column, texts)):
        kind = next((kind for kind in DATE_PARSERS if found[f"{place}"] and found[f"{place} {kind}"]), None)
        changes += [DATE_PARSERS[kind](text)] if kind else []
    return lazy.with_columns(changes)


def exact_column(name: str) -> pl.Expr:
    """Return the column *name*, also where Polars would take the name for a pattern."""
    return selectors.by_name(name).as_expr()


def _parse_dates(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(ISO_DATE_PATTERN)).then(text.str.to_date("%Y-%m-%d", strict=False))


def _parse_datetimes(text: pl.Expr) -> pl.Expr:
    """Parse each accepted format by name; format inference could differ from chunk to chunk."""
    spaced = text.str.replace("T", " ", literal=True)
    formats = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%.f")
    read = [spaced.str.to_datetime(format_, strict=False, time_unit="us") for format_ in formats]
    return pl.when(text.str.contains(ISO_DATETIME_PATTERN)).then(pl.coalesce(read))


DATE_PARSERS = {"day": _parse_dates, "moment": _parse_datetimes}
