"""Files of exported devices: Parquet, CSV, NDJSON or Arrow IPC, written frame by frame."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import polars as pl

from audience._fs.atomic import atomic_new_file, atomic_replaced_file
from audience._fs.private_files import create_file
from audience.errors import PlanError, Problem, TableError
from audience.index.query.exported_columns import ExportedColumn
from audience.index.storage import arrow_file

FileFormat: TypeAlias = Literal["parquet", "csv", "ndjson", "arrow"]
FORMATS: dict[str, FileFormat] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
}
TABLE_FORMATS: frozenset[FileFormat] = frozenset({"parquet", "arrow"})  # others are text
INSTANT_FORMAT = "%Y-%m-%dT%H:%M:%S%.f%:z"

WriteFrame: TypeAlias = Callable[[pl.DataFrame], None]


@dataclass(frozen=True, slots=True)
class ExportForm:
    """Format of an exported file, and what is in it.

    Attributes:
        columns: Columns of the file.
        file_format: Format of the file.
        list_separator: Text between the values of a list in CSV.
    """

    columns: tuple[ExportedColumn, ...]
    file_format: FileFormat
    list_separator: str


def find_format(path: Path) -> FileFormat:
    """Return the format of a file by its suffix.

    Raises:
        PlanError: The suffix is of no format.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        message = f"{path}: the suffix names no format"
        raise PlanError(Problem("unknown-format", message, hint=f"use one of {', '.join(FORMATS)}"))
    return found


def write_frames(
    path: Path,
    file_format: FileFormat,
    empty: pl.DataFrame,
    frames: Iterable[pl.DataFrame],
    *,
    replace: bool,
    list_separator: str,
) -> int:
    """Write *frames* to the file *path*, which appears when it is complete. Return its size.

    Only the owner may read it. One frame is in memory at a time.

    Args:
        path: File.
        file_format: Its format.
        empty: Frame of the same columns without a row.
        frames: Frames to write.
        replace: Replace an older file.
        list_separator: Text between the values of a list in CSV.

    Raises:
        TableError: A value of a list has the separator.
        OutputError: *path* exists or cannot be written.
    """
    return write_export(path, lambda file: stream_frames(file, file_format, empty, frames, list_separator), replace)


def write_export(path: Path, write: Callable[[BinaryIO], None], replace: bool) -> int:
    """Let *write* write the file *path*, which appears when it is complete. Return its size.

    Raises:
        OutputError: *path* exists or cannot be written.
    """
    atomic = atomic_replaced_file if replace else atomic_new_file
    with atomic(path) as draft:
        with draft.open("wb") as file:
            write(file)
        return draft.stat().st_size


def stream_frames(
    file: BinaryIO, file_format: FileFormat, empty: pl.DataFrame, frames: Iterable[pl.DataFrame], list_separator: str
) -> None:
    """Write *frames* to an open file, such as standard output, one after the other.

    Args:
        file: File.
        file_format: Its format.
        empty: Frame of the same columns without a row.
        frames: Frames to write.
        list_separator: Text between the values of a list in CSV.

    Raises:
        TableError: A value of a list has the separator.
    """
    with _open_writer(file_format, file, empty, list_separator) as write:
        write(empty)
        for frame in frames:
            write(frame)


def write_part(path: Path, file_format: FileFormat, frames: Iterable[pl.DataFrame], list_separator: str) -> None:
    """Write *frames* to the new file *path*, as `stream_parts` joins it with others. Only the owner may read it.

    Raises:
        TableError: A value of a list has the separator.
    """
    with create_file(path) as file:
        if file_format not in TABLE_FORMATS:
            for frame in frames:
                _write_text(frame, file, file_format, list_separator)
            return
        tables = (frame.to_arrow() for frame in frames)
        first = next(tables, None)
        if first is not None:
            with arrow_file.open_ipc_writer(file, first) as writer:
                for table in (first, *tables):
                    writer.write_table(table)


def stream_parts(
    file: BinaryIO, file_format: FileFormat, empty: pl.DataFrame, parts: Iterable[Path], max_rows: int
) -> None:
    """Write *parts* to an open file; it has the bytes that `stream_frames` writes for the frames of all of them.

    Args:
        file: File.
        file_format: Its format.
        empty: Frame of the same columns without a row.
        parts: Files of `write_part`.
        max_rows: Rows of all frames of a part but its last one.
    """
    if file_format not in TABLE_FORMATS:
        stream_frames(file, file_format, empty, (), "")
        for part in parts:
            with part.open("rb") as opened:
                shutil.copyfileobj(opened, file)
        return
    with _open_table_writer(file_format, file, empty) as writer:
        for part in parts:
            for table in arrow_file.iter_tables(part, max_rows):
                writer.write_table(table)


def _open_writer(
    file_format: FileFormat, file: BinaryIO, empty: pl.DataFrame, list_separator: str
) -> AbstractContextManager[WriteFrame]:
    if file_format in TABLE_FORMATS:
        return _write_tables(_open_table_writer(file_format, file, empty))
    if file_format == "csv":
        return nullcontext(_CsvWriter(file, list_separator))
    return nullcontext(lambda frame: _write_text(frame, file, file_format, list_separator))


def _open_table_writer(file_format: FileFormat, file: BinaryIO, empty: pl.DataFrame) -> arrow_file.TableWriter:
    if file_format == "parquet":
        return arrow_file.open_parquet_writer(file, empty.to_arrow())
    return arrow_file.open_ipc_writer(file, empty.to_arrow())


def _write_text(frame: pl.DataFrame, file: BinaryIO, file_format: FileFormat, list_separator: str) -> None:
    """Write the rows of a frame as CSV or NDJSON, without a header."""
    if file_format == "csv":
        format_for_csv(frame, list_separator).write_csv(file, include_header=False)
    else:
        format_instants(frame).write_ndjson(file)


@contextmanager
def _write_tables(writer: arrow_file.TableWriter) -> Iterator[WriteFrame]:
    with writer:
        yield lambda frame: writer.write_table(frame.to_arrow()) if len(frame) else None


class _CsvWriter:
    """Writer of frames as CSV: the header with the first one, and the values of a list in one field."""

    def __init__(self, file: BinaryIO, list_separator: str):
        self._file, self._list_separator, self._has_header = file, list_separator, False

    def __call__(self, frame: pl.DataFrame) -> None:
        format_for_csv(frame, self._list_separator).write_csv(self._file, include_header=not self._has_header)
        self._has_header = True


def format_for_csv(frame: pl.DataFrame, list_separator: str) -> pl.DataFrame:
    """Return *frame* as CSV holds it: the values of a list in one field, and instants with their offset.

    Raises:
        TableError: A value of a list has the separator.
    """
    formatted = format_instants(frame)
    joined = [_join_lists(values, list_separator) for values in formatted if isinstance(values.dtype, pl.List)]
    return formatted.with_columns(joined)


def _join_lists(values: pl.Series, list_separator: str) -> pl.Series:
    texts = values.cast(pl.List(pl.String))
    elements = texts.explode().drop_nulls()
    ambiguous = elements.filter(elements.str.contains(list_separator, literal=True) | (elements == ""))
    if len(ambiguous):
        message = f"column {values.name!r}: {ambiguous[0]!r:.60} cannot be joined with others by {list_separator!r}"
        hint = "choose another list separator, or a format that has lists: Parquet, NDJSON or Arrow"
        raise TableError(Problem("bad-separator", message, hint=hint))
    joined = texts.list.join(list_separator)
    return joined.set(texts.list.len() == 0, None)


def format_instants(frame: pl.DataFrame) -> pl.DataFrame:
    """Return *frame* with instants as text with their offset, which every reader knows."""
    return frame.with_columns(
        pl.col(name).dt.to_string(INSTANT_FORMAT)
        if isinstance(dtype, pl.Datetime)
        else pl.col(name).list.eval(pl.element().dt.to_string(INSTANT_FORMAT))
        for name, dtype in frame.schema.items()
        if isinstance(dtype.inner if isinstance(dtype, pl.List) else dtype, pl.Datetime)
    )
