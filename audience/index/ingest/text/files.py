"""CSV files of any encoding and delimiter, opened as files that Polars reads exactly."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import StringIO, TextIOWrapper
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from audience._fs.text_encoding import (
    HEAD_BYTES,
    Encoding,
    EncodingError,
    find_encoding,
    open_binary,
    read_mark,
)
from audience.errors import Problem, TableError
from audience.index.ingest.bad_rows import BadRowLog
from audience.index.ingest.locations.source_files import SourceFile
from audience.index.ingest.text.dialect import Dialect, detect_dialect
from audience.index.ingest.text.records import Record, iter_records
from audience.index.ingest.text.regular_scan import Checkpoint, scan_regular

OTHER_FORMATS = {  # by the first bytes of a file: what it is, and what to do
    b"PAR1": ("a Parquet file", "give it a name that ends in .parquet"),
    b"ARROW1": ("an Arrow IPC file", "give it a name that ends in .arrow"),
    b"PK\x03\x04": ("a spreadsheet or another archive", "export it as CSV"),
    b"\xd0\xcf\x11\xe0": ("an old spreadsheet", "export it as CSV"),
    b"\x1f\x8b": ("compressed with gzip", "give it a name that ends in .csv.gz"),
}
UTF8 = Encoding("utf-8", "all bytes are valid")


@dataclass(frozen=True, slots=True)
class TextFile:
    """CSV file and how it is read.

    Attributes:
        path: The file.
        encoding: Its encoding.
        dialect: Its delimiter and columns.
        readable: File for Polars: *path*, or a copy in UTF-8 with commas that has only the good rows.
        separator: Delimiter of *readable*.
        row_count: Number of rows in *readable*.
        checkpoints: Places in *path* where a search for rows may start, if *readable* is *path*.
        blank_lines: Number of empty lines, which are skipped.
        name: Path or URL of the file, for messages.
        partitions: Columns that the names of its Hive folders give.
    """

    path: Path
    encoding: Encoding
    dialect: Dialect
    readable: Path
    separator: str
    row_count: int
    checkpoints: tuple[Checkpoint, ...] = ()
    blank_lines: int = 0
    name: str = field(kw_only=True)
    partitions: Mapping[str, str | None] = field(default_factory=dict, kw_only=True)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Return the columns of its header and of its Hive folders."""
        return tuple(dict.fromkeys((*self.dialect.names, *self.partitions)))

    def locate_rows(self, rows: Iterable[int]) -> Iterator[tuple[int, Record]]:
        """Yield each of *rows*, which are counted from 0 and in rising order, with its record in the file."""
        position = 0
        records: Iterator[Record] = iter(())
        for row in rows:
            checkpoint = next((each for each in reversed(self.checkpoints) if 0 < each.record <= row + 1), None)
            if checkpoint is not None and checkpoint.record - 1 > position:
                position, records = checkpoint.record - 1, self._iter_records(checkpoint)
            elif not position:
                records = self._iter_rows()
            while position <= row:
                record = next(records)
                position += 1
            yield row, record

    def iter_data_records(self) -> Iterator[Record]:
        """Yield the records below the header."""
        records = self._iter_records(None)
        next(records)
        return records

    def _iter_rows(self) -> Iterator[Record]:
        """Yield the records below the header that are good and not blank."""
        records = self.iter_data_records()
        return (record for record in records if not record.is_blank and self.find_problem(record) is None)

    def _iter_records(self, checkpoint: Checkpoint | None) -> Iterator[Record]:
        with _open_lines(self.path, self.encoding, checkpoint.offset if checkpoint else None) as lines:
            skipped = 0 if checkpoint else self.dialect.skipped_lines
            for _ in range(skipped):
                next(lines)
            yield from iter_records(lines, self.dialect.delimiter, checkpoint.line if checkpoint else skipped + 1)

    def find_problem(self, record: Record) -> str | None:
        """Return what is wrong with *record*, or None."""
        expected, found = len(self.dialect.names), len(record.fields)
        if record.problem:
            return record.problem.replace("in the encoding of the file", self.encoding.codec.upper())
        if expected == found:
            return None
        return f"has {found} field{'s' * (found != 1)}, the header has {expected}"


@contextmanager
def _open_lines(file: Path, encoding: Encoding, offset: int | None = None) -> Iterator[Iterator[str]]:
    """Yield the lines of *file*; bytes that are not valid become lone surrogates."""
    with open_binary(file) as stream:
        stream.seek(encoding.mark_bytes if offset is None else offset)
        yield iter(TextIOWrapper(stream, encoding.codec, errors="surrogateescape", newline=""))


def open_text_file(
    source: SourceFile, encoding: str | None, delimiter: str | None, folder: Path, log: BadRowLog
) -> TextFile:
    """Find out how the file of *source* is to be read, and copy it to *folder* if Polars could not read it exactly.

    Args:
        source: CSV file, also compressed with gzip.
        encoding: Its encoding, if the user names it.
        delimiter: Its delimiter, if the user names it.
        folder: Folder for the copy.
        log: Log of bad rows.

    Raises:
        TableError: The encoding or delimiter is unknown, or a row is bad and the log does not reject it.
    """
    file = source.path
    try:
        known, head = _read_head(source, encoding)
        dialect = detect_dialect(head, source.name, delimiter, "\t" if ".tsv" in file.suffixes else ",")
        if known is None or known.codec == "utf-8":
            regular = _open_regular(source, known or UTF8, dialect)
            if regular is not None:
                return regular
        return _rewrite(source, known or find_encoding(file), dialect, folder, log)
    except EncodingError as error:
        raise TableError(Problem("unknown-encoding", f"{source.name}: {error}", hint=error.hint)) from error


def _read_head(source: SourceFile, encoding: str | None) -> tuple[Encoding | None, list[str]]:
    """Return the encoding, None for what seems to be UTF-8, and the first lines of the file of *source*."""
    file = source.path
    with open_binary(file) as stream:
        head = stream.read(HEAD_BYTES)
    _require_text(source.name, head)
    known = read_mark(head, encoding)
    if known is None:
        try:
            head[: head.rfind(b"\n") + 1].decode()
        except UnicodeDecodeError:
            known = find_encoding(file)
    codec, mark_bytes = (known.codec, known.mark_bytes) if known else ("utf-8", 0)
    lines = list(StringIO(head[mark_bytes:].decode(codec, "ignore"), newline=""))
    is_complete = len(head) < HEAD_BYTES or len(lines) == 1
    return known, lines if is_complete else lines[:-1]


def _require_text(name: str, head: bytes) -> None:
    """Raise TableError for a file of another format under the name of a CSV, by its first bytes."""
    for start, (what, hint) in OTHER_FORMATS.items():
        if head.startswith(start) and b"\0" in head:
            raise TableError(Problem("unreadable", f"{name} is {what}, whatever its name says", hint=hint))


def _open_regular(source: SourceFile, encoding: Encoding, dialect: Dialect) -> TextFile | None:
    """Return the file as it is, if Polars reads it exactly."""
    file = source.path
    if dialect.skipped_lines or not dialect.delimiter.isascii() or file.suffix.lower() == ".gz":
        return None
    with file.open("rb") as stream:
        stream.seek(encoding.mark_bytes)
        scan = scan_regular(stream, dialect.delimiter.encode(), len(dialect.names))
    if scan is None:
        return None
    row_count, places = scan.record_count - 1, tuple(scan.checkpoints)
    delimiter = dialect.delimiter
    return TextFile(file, encoding, dialect, file, delimiter, row_count, places, **_identity(source))


def _identity(source: SourceFile) -> dict[str, Any]:
    return {"name": source.name, "partitions": source.partitions}


def _rewrite(file: SourceFile, encoding: Encoding, dialect: Dialect, folder: Path, log: BadRowLog) -> TextFile:
    """Copy the good rows of *file* to a file in UTF-8 in *folder*; bad rows go to *log*."""
    source = TextFile(file.path, encoding, dialect, file.path, ",", 0, **_identity(file))
    row_count = blank_lines = 0
    with NamedTemporaryFile(
        "w", dir=folder, suffix=".csv", delete=False, encoding="utf-8", newline="", buffering=1 << 20
    ) as copy:
        writer = csv.writer(copy, lineterminator="\n")
        writer.writerow(dialect.names)
        for record in _stop_at_invalid_text(source.iter_data_records(), source):
            problem = source.find_problem(record)
            if record.is_blank:
                blank_lines += 1
            elif problem is None:
                writer.writerow(record.fields)
                row_count += 1
            elif record.is_open:
                raise TableError(
                    Problem("bad-row", f"{file.name}: line {record.line:,} {problem}", hint="close the quote")
                )
            else:
                log.add(file.name, record.line, problem, record.text)
    log.require_none()
    return replace(source, readable=Path(copy.name), row_count=row_count, blank_lines=blank_lines)


def _stop_at_invalid_text(records: Iterator[Record], source: TextFile) -> Iterator[Record]:
    """Yield *records*; raise TableError with the line where text in UTF-16 or the like is invalid."""
    line = 1
    try:
        for record in records:
            line = record.line
            yield record
    except UnicodeDecodeError as error:
        message = f"{source.name}: invalid {source.encoding.codec.upper()} after line {line:,}: {error.reason}"
        raise TableError(Problem("unreadable", message, hint="export the file again, or name its encoding")) from error
