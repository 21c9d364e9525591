"""Files and frames → one lazy frame."""

from collections.abc import Iterable, Mapping
from glob import glob
from pathlib import Path
from typing import TypeAlias

import polars as pl

from audience.errors import Problem, TableError
from audience.index.columns import ID_WORDS, Roles

Source: TypeAlias = str | Path | Iterable[str | Path] | pl.DataFrame | pl.LazyFrame

FORMATS = {
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


def scan(source: Source, roles: Roles) -> pl.LazyFrame:
    """The table that *source* names: a frame, a file, a folder of files, a glob, or several of these.

    Raises TableError for a file that is missing, of an unknown format, or of another format than the first.
    """
    match source:
        case pl.DataFrame():
            return source.lazy()
        case pl.LazyFrame():
            return source
    files = [file for path in _paths(source) for file in _files(path)]
    formats = {_format(file) for file in files}
    if len(formats) > 1:
        raise TableError(Problem("mixed-formats", f"files of several formats: {', '.join(sorted(formats))}"))
    return _scan(files, formats.pop(), roles)


def _paths(source: str | Path | Iterable[str | Path]) -> list[Path]:
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(path) for path in source]
    if not paths:
        raise TableError(Problem("no-file", "no file was named"))
    return paths


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in FORMATS)
    elif path.exists():
        found = [path]
    else:
        found = [Path(name) for name in sorted(glob(str(path), recursive=True))]
    if not found:
        raise TableError(Problem("no-file", f"there is no table at {path}", hint=f"files end in {', '.join(FORMATS)}"))
    return found


def _format(file: Path) -> str:
    if file.suffix.lower() not in FORMATS:
        hint = f"files end in {', '.join(FORMATS)}"
        raise TableError(Problem("unknown-format", f"{file}: unknown format {file.suffix!r}", hint=hint))
    return FORMATS[file.suffix.lower()]


def _scan(files: list[Path], format_: str, roles: Roles) -> pl.LazyFrame:
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
        try_parse_dates=True,
        schema_overrides=_texts(names, roles),
    )


def _texts(names: Iterable[str], roles: Roles) -> Mapping[str, type[pl.String]]:
    """Columns of a CSV that stay text, because a number would lose leading zeros or turn 1.10 into 1.1."""
    said = roles.said()
    kept = {name for name, column in said.items() if column.role != "number"}
    words = (*ID_WORDS, "alias", "account", "live_activity_id", "version")
    return {name: pl.String for name in names if name in kept or (name not in said and name.endswith(words))}
