"""Tables that a command writes as CSV, NDJSON or Parquet, some rows at a time."""

import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias, get_args

import polars as pl
from polars.io.plugins import register_io_source

from audience._fs.atomic import atomic_new_file
from audience.errors import OutputError, Problem

TableFormat: TypeAlias = Literal["csv", "ndjson", "parquet"]
TABLE_FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
FORMAT_BY_SUFFIX: dict[str, TableFormat] = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
}
CSV_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"  # in UTC


def choose_format(file: Path | None, chosen: TableFormat | None, default: TableFormat) -> TableFormat:
    """Return the format *chosen*, or that of the suffix of *file*, or *default* for standard output.

    Raises:
        OutputError: The suffix says nothing, or Parquet would go to standard output.
    """
    if file is None:
        if chosen == "parquet":
            raise OutputError(Problem("bad-option", "Parquet needs a file", hint="name it with -o FILE"))
        return chosen or default
    by_suffix = FORMAT_BY_SUFFIX.get(file.suffix.lower())
    if chosen is None and by_suffix is None:
        hint = f"pass --format, which is one of {', '.join(TABLE_FORMATS)}"
        raise OutputError(Problem("bad-option", f"the name of {file} does not say its format", hint=hint))
    return chosen or by_suffix or default


def write_table(frames: Iterator[pl.DataFrame], schema: pl.Schema, file: Path, format_: TableFormat) -> None:
    """Write the rows of *frames* to the new *file*, which only its owner may read.

    Raises:
        OutputError: The file exists or cannot be written. Nothing is left there.
    """
    with atomic_new_file(file) as draft:
        if format_ == "parquet":
            _write_parquet(frames, schema, draft)
            return
        with draft.open("wb") as stream:
            _write_lines(frames, schema, stream.write, format_)


def print_table(frames: Iterator[pl.DataFrame], schema: pl.Schema, format_: TableFormat) -> None:
    """Write the rows of *frames* to standard output."""
    sys.stdout.flush()
    stream: BinaryIO | None = getattr(sys.stdout, "buffer", None)
    write = stream.write if stream is not None else lambda data: sys.stdout.write(data.decode())
    _write_lines(frames, schema, write, format_)


def _write_lines(
    frames: Iterator[pl.DataFrame], schema: pl.Schema, write: Callable[[bytes], object], format_: TableFormat
) -> None:
    if format_ == "ndjson":
        for frame in frames:
            write(frame.write_ndjson().encode())
        return
    first = next(frames, None)  # before the header: what is refused prints nothing
    write(pl.DataFrame(schema=schema).write_csv().encode())
    for frame in () if first is None else chain([first], frames):
        write(frame.write_csv(include_header=False, datetime_format=CSV_TIME).encode())


def _write_parquet(frames: Iterator[pl.DataFrame], schema: pl.Schema, file: Path) -> None:
    """Write one row group after the other; an error of *frames* is raised as it is."""
    errors: list[BaseException] = []

    def read_frames(
        with_columns: object, predicate: object, n_rows: object, batch_size: object
    ) -> Iterator[pl.DataFrame]:
        try:
            yield from frames
        except BaseException as error:
            errors.append(error)
            raise

    try:
        register_io_source(read_frames, schema=schema).sink_parquet(file)
    except Exception:
        if errors:
            raise errors[0] from None
        raise
