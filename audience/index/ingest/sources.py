"""Device tables in files and frames, opened as one lazy frame."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from polars import selectors

from audience.errors import Problem, TableError
from audience.index.ingest.bad_rows import BadRowLog
from audience.index.ingest.locations.fetching import Fetched, FetchedFiles, FetchedTable, Source, fetch_source
from audience.index.ingest.locations.partitions import add_partitions, cast_text, infer_partition_type
from audience.index.ingest.locations.source_files import SourceFile
from audience.index.ingest.read_options import DEFAULT_READ_OPTIONS, ReadOptions
from audience.index.ingest.text.dates import parse_instants
from audience.index.ingest.text.dialect import parse_delimiter
from audience.index.ingest.text.files import TextFile, open_text_file
from audience.index.ingest.text.json_lines import find_bad_line
from audience.index.schema.column_roles import ColumnRoles, is_version_name
from audience.index.schema.columns import GENERIC_ID_COLUMNS, SHARED_ID_ROLES
from audience.progress import Progress, ignore_progress

ISO_DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
ISO_DATETIME_PATTERN = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:[0-5]\d(\.\d{1,6})?)?$"  # without a second of 60
ISO_INSTANT_PATTERN = ISO_DATETIME_PATTERN.removesuffix("$") + r"(Z|[+-]\d{2}(:?\d{2})?)$"
ISO_TIME_PATTERN = f"{ISO_DATETIME_PATTERN}|{ISO_INSTANT_PATTERN}"
# Polars panics over types and damage that it does not know; a panic is no `Exception`.
READ_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, UnicodeError)
PANIC_PATTERN = re.compile(r"^called `Result::unwrap\(\)` on an `Err` value: .*\"(.+)\"\)+$")
ADVICE_PATTERN = re.compile(r",? (hint: (specify|pass) |consider passing ).*?(?=\. File |$)")
OTHER_SCHEMA_PATTERN = re.compile("data type mismatch|did not find column|extra column in file")
SCHEMA_HINT = "give all files the same columns and types, or add files by `audience index update INDEX FILE`"
SEEKABLE_FORMATS = ("frame", "parquet", "ipc")  # any slice of rows can be read without the rows before it


@dataclass(frozen=True, slots=True)
class ScannedSource:
    """Table as a lazy frame, its format, and its files if they are CSV."""

    lazy_frame: pl.LazyFrame
    format: str
    text_files: tuple[TextFile, ...] = ()


@contextmanager
def scan_source(
    source: Source | Fetched,
    roles: ColumnRoles,
    options: ReadOptions = DEFAULT_READ_OPTIONS,
    log: BadRowLog | None = None,
    progress: Progress = ignore_progress,
) -> Iterator[ScannedSource]:
    """Yield the table in *source* as a lazy frame.

    CSV files that Polars could not read exactly are copied to a temporary folder, which is removed at the end.

    Args:
        source: A frame, a file, a folder of files, a glob, or several of these; or what was fetched of them.
        roles: Roles of columns; they decide which columns of a CSV stay text.
        options: Encoding and delimiter of CSV files.
        log: Log of the rows of CSV files that have too many or too few fields.
        progress: Progress callback.

    Raises:
        TableError: A file is missing, of an unknown format, or of another format than the first; or a CSV file is
            damaged.
    """
    if not isinstance(source, FetchedFiles | FetchedTable):
        with (
            fetch_source(source, options, roles.ignore, progress) as fetched,
            scan_source(fetched, roles, options, log, progress) as scanned,
        ):
            yield scanned
        return
    if isinstance(source, FetchedTable):
        _require_no_missing_texts(options, source.format)
        yield ScannedSource(source.lazy_frame, source.format)
        return
    formats = {file.format for file in source.files}
    if len(formats) > 1:
        hint = "name files of one format, and add the others with `audience index update` or `events add`"
        raise TableError(Problem("mixed-formats", f"files of several formats: {', '.join(sorted(formats))}", hint=hint))
    format_ = formats.pop()
    if format_ != "csv":
        _require_no_missing_texts(options, format_)
        with _name_unreadable_file(source.files, format_):
            yield ScannedSource(_scan_typed_files(source.files, format_, roles), format_)
        return
    delimiter = None if options.delimiter is None else parse_delimiter(options.delimiter)
    with TemporaryDirectory(prefix="audience-") as folder:
        text_files = [
            open_text_file(file, options.encoding, delimiter, Path(folder), log or BadRowLog()) for file in source.files
        ]
        _require_same_columns(text_files)
        yield ScannedSource(scan_text_files(text_files, {}, options.missing), format_, tuple(text_files))


def _require_no_missing_texts(options: ReadOptions, format_: str) -> None:
    """Raise TableError if texts are to be missing values in a table that has a value for these."""
    if options.missing:
        message = (
            f"texts for missing values are named ({', '.join(options.missing)}), and the table is no CSV: {format_}"
        )
        raise TableError(Problem("bad-option", message, hint="write null in the table, and leave --missing out"))


def _scan_typed_files(files: Sequence[SourceFile], format_: str, roles: ColumnRoles) -> pl.LazyFrame:
    """Return the rows of *files*, with the columns of their Hive folders."""
    paths = [file.path for file in files]
    return add_partitions(
        lambda path_column: _scan_files(paths, format_, path_column),
        [(str(file.path), file.partitions) for file in files],
        lambda name, texts: texts if stays_text(name, roles) else infer_partition_type(texts),
    )


@contextmanager
def _name_unreadable_file(files: Sequence[SourceFile], format_: str) -> Iterator[None]:
    """Put the name of the first file that cannot be opened into an error about reading the table."""
    try:
        yield
    except TableError as error:
        file = _find_unreadable(files, format_) if error.code == "unreadable" else None
        if file is None or file.name in error.problems[0].message:
            raise
        reason = error.problems[0].message.removeprefix("the table cannot be read: ")
        hint = error.problems[0].hint
        if format_ == "ndjson":
            reason, hint = find_bad_line(file.path) or (reason, hint)
        raise TableError(Problem("unreadable", f"{file.name} cannot be read: {reason}", hint=hint)) from error


def _find_unreadable(files: Sequence[SourceFile], format_: str) -> SourceFile | None:
    for file in files:
        try:
            _scan_files([file.path], format_, None).head(1).collect()
        except READ_ERRORS:
            return file
    return None


def _scan_files(files: list[Path], format_: str, path_column: str | None) -> pl.LazyFrame:
    match format_:
        case "parquet":
            return pl.scan_parquet(files, glob=False, hive_partitioning=False, include_file_paths=path_column)
        case "ipc":
            return pl.scan_ipc(files, glob=False, hive_partitioning=False, include_file_paths=path_column)
    schema = _merge_schemas(files) if len(files) > 1 else None
    return pl.scan_ndjson(files, schema=schema, infer_schema_length=None, include_file_paths=path_column)


def _merge_schemas(files: Iterable[Path]) -> pl.Schema | None:
    """Return the columns of all NDJSON *files* and the types that they have in one file of all lines.

    Polars takes those of the first file for those of all, and leaves other columns out.
    """
    try:
        schemas = [
            pl.scan_ndjson(file, infer_schema_length=None).collect_schema() for file in files if file.stat().st_size
        ]
        empty = [pl.DataFrame(schema=schema) for schema in schemas]
        return pl.concat(empty, how="diagonal_relaxed").schema if empty else None
    except READ_ERRORS as error:
        message = f"the table cannot be read: {describe_read_error(error)}"
        raise TableError(Problem("unreadable", message, hint=SCHEMA_HINT)) from error


def describe_read_error(error: BaseException) -> str:
    """Return the first line of what Polars says, without its advice to programmers.

    >>> describe_read_error(ValueError("did not find column y, consider passing `missing_columns='insert'`"))
    'did not find column y'
    """
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    inner = PANIC_PATTERN.search(text)
    return ADVICE_PATTERN.sub("", inner[1] if inner else text)


def _require_same_columns(files: Sequence[TextFile]) -> None:
    """Raise TableError if the headers of two CSV files differ in more than the order of their columns."""
    first = files[0]
    for file in files[1:]:
        if set(file.dialect.names) != set(first.dialect.names):
            names = set(file.dialect.names) ^ set(first.dialect.names)
            message = f"{first.name} and {file.name} have different columns: only one has {min(names)!r}"
            raise TableError(Problem("other-columns", message, hint="build from files with the same columns"))


def scan_text_files(
    files: Sequence[TextFile], types: Mapping[str, pl.DataType], missing: Sequence[str] = ()
) -> pl.LazyFrame:
    """Return the rows of all *files*, with the columns in the order of the first; columns without a type are text.

    The texts *missing* are missing values.
    """
    groups = (
        [files] if len({(file.separator, file.dialect.names) for file in files}) == 1 else [[file] for file in files]
    )
    frames = [_scan_alike(group, types, missing) for group in groups]
    names = files[0].column_names
    return frames[0] if len(frames) == 1 else pl.concat([frame.select(selectors.by_name(*names)) for frame in frames])


def _scan_alike(files: Sequence[TextFile], types: Mapping[str, pl.DataType], missing: Sequence[str]) -> pl.LazyFrame:
    """Return the rows of *files* with the same header and delimiter, with the columns of their Hive folders."""
    readable, first = [file.readable for file in files], files[0]
    return add_partitions(
        lambda path_column: _scan_csv(readable, first.separator, first.dialect.names, types, missing, path_column),
        [(str(file.readable), file.partitions) for file in files],
        lambda name, texts: cast_text(texts, types.get(name, pl.String())),
    )


def _scan_csv(
    files: list[Path],
    separator: str,
    names: Sequence[str],
    types: Mapping[str, pl.DataType],
    missing: Sequence[str],
    path_column: str | None,
) -> pl.LazyFrame:
    schema = {name: types.get(name, pl.String()) for name in names}
    return pl.scan_csv(
        files,
        separator=separator,
        glob=False,
        new_columns=list(names),
        schema_overrides=list(schema.values()),
        null_values=list(missing) or None,
        include_file_paths=path_column,
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

    An empty text is a missing value. Timestamps are parsed if all of a column have a zone, or none.
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
    """Return whether the column has values and all of them parse; an empty text is none."""
    is_missing = text.is_null() | (text == "")
    return (~is_missing).any() & (is_missing | parse(text).is_not_null()).all()


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
