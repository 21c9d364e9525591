"""Fast check that a CSV file is UTF-8 with the same number of fields in every record, as Polars expects it.

Polars takes a record with too few fields as one with missing values, an empty line as a record, and quotes inside of a
field as the start of another. A file that passes the check has none of these, and is read by Polars as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 1 << 22
MAX_LINE_BYTES = 1 << 24
NEWLINE, QUOTE, RETURN = b"\n"[0], b'"'[0], b"\r"[0]

Bytes = NDArray[np.uint8]
Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Start of a record: its offset in the file, the number of records before it, and its line."""

    offset: int
    record: int
    line: int


@dataclass(slots=True)
class RegularScan:
    """State of the check: what was counted, and the quotes and fields that are open at the end of a chunk."""

    record_count: int = 0
    line: int = 1
    in_quotes: bool = False
    open_fields: int = 0
    checkpoints: list[Checkpoint] = field(default_factory=list)


def scan_regular(stream: IO[bytes], delimiter: bytes, column_count: int) -> RegularScan | None:
    """Return the number of records in *stream* with some of their places; None if the file is not regular."""
    scan, offset, is_line_complete = RegularScan(), stream.tell(), True
    for chunk in _iter_chunks(stream):
        if not is_line_complete:  # of more than MAX_LINE_BYTES
            return None
        is_line_complete = chunk.endswith(b"\n")
        if not scan.in_quotes:
            scan.checkpoints.append(Checkpoint(offset, scan.record_count, scan.line))
        if not _is_plain_text(chunk) or not _scan_chunk(scan, chunk, delimiter[0], column_count):
            return None
        offset += len(chunk)
        scan.line += chunk.count(b"\n")
    return None if scan.in_quotes else scan


def _iter_chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the bytes of *stream* in parts that end with a line."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk if chunk.endswith(b"\n") else chunk + stream.readline(MAX_LINE_BYTES)


def _is_plain_text(chunk: bytes) -> bool:
    """Return whether *chunk* is UTF-8 without NUL, without empty lines, and with usual line ends."""
    if b"\0" in chunk or chunk.startswith((b"\n", b"\r\n")) or b"\n\n" in chunk or b"\n\r\n" in chunk:
        return False
    if chunk.count(b"\r") != chunk.count(b"\r\n"):
        return False
    try:
        return chunk.isascii() or bool(chunk.decode())
    except UnicodeDecodeError:
        return False


def _scan_chunk(scan: RegularScan, chunk: bytes, delimiter: int, column_count: int) -> bool:
    """Count the records of *chunk*; return whether all have *column_count* fields and their quotes are in place."""
    data = np.frombuffer(chunk if chunk.endswith(b"\n") else chunk + b"\n", dtype=np.uint8)
    is_mark = (data == delimiter) | (data == NEWLINE)
    if scan.in_quotes or b'"' in chunk:
        is_mark |= data == QUOTE
        marks = np.flatnonzero(is_mark)
        kinds = data[marks]
        is_quote = kinds == QUOTE
        is_open = (np.cumsum(is_quote) + scan.in_quotes) & 1 == 1
        if not _are_quotes_in_place(data, marks[is_quote], is_open[is_quote], delimiter):
            return False
        scan.in_quotes = bool(is_open[-1])
        kinds = kinds[~is_quote & ~is_open]
    else:
        kinds = data[is_mark]
    ends = np.flatnonzero(kinds == NEWLINE)
    field_counts = np.diff(ends, prepend=-1 - scan.open_fields)
    scan.open_fields = len(kinds) - 1 - int(ends[-1]) if len(ends) else scan.open_fields + len(kinds)
    scan.record_count += len(ends)
    return bool((field_counts == column_count).all())


def _are_quotes_in_place(data: Bytes, quotes: Positions, is_open: NDArray[np.bool_], delimiter: int) -> bool:
    """Return whether quotes open at the start of a field, and close at its end or before another quote."""
    before = data[quotes[is_open] - 1]
    at_start = (before == delimiter) | (before == NEWLINE) | (before == QUOTE) | (quotes[is_open] == 0)
    after = data[quotes[~is_open] + 1]
    at_end = (after == delimiter) | (after == NEWLINE) | (after == QUOTE) | (after == RETURN)
    return bool(at_start.all() and at_end.all())
