"""Device tables in files and frames, opened as one lazy frame."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import polars as pl
from polars import selectors

from audience.errors import Problem, TableError
from audience.index.ingest.bad_rows import BadRowLog
from audience.index.ingest.read_options import DEFAULT_READ_OPTIONS, ReadOptions
from audience.index.ingest.text.dates import parse_instants
from audience.index.ingest.text.dialect import parse_delimiter
from audience.index.ingest.text.files import TextFile, open_text_file
from audience.index.schema.column_roles import ColumnRoles, is_version_name
from audience.index.schema.columns import GENERIC_ID_COLUMNS, SHARED_ID_ROLES

Source: TypeAlias = str | Path | Iterable[str | Path] | pl.DataFrame | pl.LazyFrame

ISO_DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
ISO_DATETIME_PATTERN = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:[0-5]\d(\.\d{1,6})?)?$"  # without a second of 60
ISO_INSTANT_PATTERN = ISO_DATETIME_PATTERN.removesuffix("$") + r"(Z|[+-]\d{2}(:?\d{2})?)$"
SEEKABLE_FORMATS = ("frame", "parquet", "ipc")  # any slice of rows can be read without the rows before it
FORMAT_BY_SUFFIX = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".csv.gz": "csv",
    ".tsv.gz": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
}


@dataclass(frozen=True, slots=True)
class ScannedSource:
    """Table as a lazy frame, its format, and its files if they are CSV."""

    lazy_frame: pl.LazyFrame
    format: str
    text_files: tuple[TextFile, ...] = ()


@contextmanager
def scan_source(
    source: Source, roles: ColumnRoles, options: ReadOptions = DEFAULT_READ_OPTIONS, log: BadRowLog | None = None
) -> Iterator[ScannedSource]:
    """Yield the table in *source* as a lazy frame.

    CSV files that Polars could not read exactly are copied to a temporary folder, which is removed at the end.

    Args:
        source: A frame, a file, a folder of files, a glob, or several of these.
        roles: Roles of columns; they decide which columns of a CSV stay text.
        options: Encoding and delimiter of CSV files.
        log: Log of the rows of CSV files that have too many or too few fields.

    Raises:
        TableError: A file is missing, of an unknown format, or of another format than the first; or a CSV file is
            damaged.
    """
    match source:
        case pl.DataFrame():
            yield ScannedSource(source.lazy(), "frame")
            return
        case pl.LazyFrame():
            yield ScannedSource(source, "query")
            return
    files = list_source_files(source)
    formats = {_detect_format(file) for file in files}
    if len(formats) > 1:
        raise TableError(Problem("mixed-formats", f"files of several formats: {', '.join(sorted(formats))}"))
    format_ = formats.pop()
    if format_ != "csv":
        yield ScannedSource(_scan_files(files, format_), format_)
        return
    delimiter = None if options.delimiter is None else parse_delimiter(options.delimiter)
    with TemporaryDirectory(prefix="audience-") as folder:
        text_files = [
            open_text_file(file, options.encoding, delimiter, Path(folder), log or BadRowLog()) for file in files
        ]
        _require_same_columns(text_files)
        yield ScannedSource(scan_text_files(text_files, {}), format_, tuple(text_files))


def list_source_files(source: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return all files of a source that is not a frame.

    Raises:
        TableError: There is none at one of the paths.
    """
    return [file for path in _as_paths(source) for file in _expand_path(path)]


def _as_paths(source: str | Path | Iterable[str | Path]) -> list[Path]:
    given = [source] if isinstance(source, str | Path) else list(source)
    if not all(isinstance(path, str | Path) for path in given):
        raise TypeError(f"source: expected files or a frame, got {source!r:.60}")
    paths = list(map(Path, given))
    if not paths:
        raise TableError(Problem("no-file", "no file was given", hint="give at least one file"))
    return paths


def _expand_path(path: Path) -> list[Path]:
    """Return the file at *path*, the visible files of a folder, or the matches of a glob."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name[0] not in "._")
    elif path.exists():
        files = [path]
    else:
        files = [Path(name) for name in sorted(glob(str(path), recursive=True))]
    if not files:
        hint = f"files end in {', '.join(FORMAT_BY_SUFFIX)}"
        raise TableError(Problem("no-file", f"there is no table at {path}", hint=hint))
    return files


def _detect_format(file: Path) -> str:
    suffix = "".join(file.suffixes[-2:]).lower() if file.suffix.lower() == ".gz" else file.suffix.lower()
    if suffix not in FORMAT_BY_SUFFIX:
        hint = f"files end in {', '.join(FORMAT_BY_SUFFIX)}"
        raise TableError(Problem("unknown-format", f"{file}: unknown format {file.suffix!r}", hint=hint))
    return FORMAT_BY_SUFFIX[suffix]


def _scan_files(files: list[Path], format_: str) -> pl.LazyFrame:
    match format_:
        case "parquet":
            return pl.scan_parquet(files, glob=False)
        case "ipc":
            return pl.scan_ipc(files, glob=False)
    return pl.scan_ndjson(files, infer_schema_length=None)


def _require_same_columns(files: Sequence[TextFile]) -> None:
    """Raise TableError if the headers of two CSV files differ in more than the order of their columns."""
    first = files[0]
    for file in files[1:]:
        if set(file.dialect.names) != set(first.dialect.names):
            names = set(file.dialect.names) ^ set(first.dialect.names)
            message = f"{first.path} and {file.path} have different columns: only one has {min(names)!r}"
            raise TableError(Problem("other-columns", message, hint="build from files with the same columns"))


def scan_text_files(files: Sequence[TextFile], types: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """Return the rows of all *files*, with the columns in the order of the first; columns without a type are text."""
    names = files[0].dialect.names
    if len({(file.separator, file.dialect.names) for file in files}) == 1:
        return _scan_csv([file.readable for file in files], files[0].separator, names, types)
    frames = [_scan_csv([file.readable], file.separator, file.dialect.names, types) for file in files]
    return pl.concat([frame.select(selectors.by_name(*names)) for frame in frames])


def _scan_csv(
    files: list[Path], separator: str, names: Sequence[str], types: Mapping[str, pl.DataType]
) -> pl.LazyFrame:
    schema = {name: types.get(name, pl.String()) for name in names}
    return pl.scan_csv(
        files, separator=separator, glob=False, new_columns=list(names), schema_overrides=list(schema.values())
    )


def stays_text(name: str, roles: ColumnRoles) -> bool:
    """Return whether a column of a CSV is text by its name or role: a number would lose 007, or turn 1.10 into 1.1."""
    explicit = roles.explicit_columns()
    if name in explicit:
        return explicit[name].role not in ("number", "tags") or name in (roles.separators or {})
    id_names = (*GENERIC_ID_COLUMNS, *SHARED_ID_ROLES)
    id_suffixes = tuple(f"_{name}" for name in GENERIC_ID_COLUMNS)
    return name in id_names or name.endswith(id_suffixes) or is_version_name(name)


def parse_date_columns(lazy_frame: pl.LazyFrame, roles: ColumnRoles) -> pl.LazyFrame:
    """Return *lazy_frame* with its columns of ISO dates and timestamps parsed; any other format stays text.

    Timestamps are parsed if all of a column have a zone, or none.
    """
    explicit = roles.explicit_columns()
    schema = lazy_frame.collect_schema()
    names = [name for name, dtype in schema.items() if dtype == pl.String and name not in explicit]
    if not names:
        return lazy_frame
    candidates = [(name, parse) for name in names for parse in DATE_PARSERS]
    checks = [_parses_all(exact_column(name), parse) for name, parse in candidates]
    numbered = [check.alias(f"{number}") for number, check in enumerate(checks)]
    passed = lazy_frame.select(numbered).collect(engine="streaming").row(0)
    parsed = [parse(exact_column(name)).alias(name) for (name, parse), ok in zip(candidates, passed, strict=True) if ok]
    return lazy_frame.with_columns(parsed)


def _parses_all(text: pl.Expr, parse: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    """Return whether the column has values and all of them parse."""
    return text.is_not_null().any() & (text.is_null() | parse(text).is_not_null()).all()


def exact_column(name: str) -> pl.Expr:
    """Return the column *name*, also where Polars would take the name for a pattern."""
    return selectors.by_name(name).as_expr()


def _parse_dates(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(ISO_DATE_PATTERN)).then(text.str.to_date("%Y-%m-%d", strict=False))


def _parse_datetimes(text: pl.Expr) -> pl.Expr:
    """Parse each accepted format by name; format inference could differ from chunk to chunk."""
    with_space = text.str.replace("T", " ", literal=True)
    formats = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%.f")
    parsed = [with_space.str.to_datetime(format_, strict=False, time_unit="us") for format_ in formats]
    return pl.when(text.str.contains(ISO_DATETIME_PATTERN)).then(pl.coalesce(parsed))


def _parse_instants(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(ISO_INSTANT_PATTERN)).then(parse_instants(text, "day first"))


DATE_PARSERS = (_parse_dates, _parse_datetimes, _parse_instants)
