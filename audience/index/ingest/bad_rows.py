"""Rows that do not fit: collected for one error, or written to a file of rejected rows."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import polars as pl

from audience._fs.atomic import TEMP_SUFFIX, commit_file
from audience.errors import OutputError, Problem, TableError
from audience.index.storage.list_columns import is_list

REJECTS_HEADER = ("file", "line", "reason", "row")
MAX_SHOWN_ROWS = 5
MAX_SHOWN_CHARS = 60


class InvalidRowsError(TableError):
    """Invalid rows of a chunk, as one problem that names the first of them.

    Attributes:
        reason: What is wrong with each of these rows.
        mask: The rows of the chunk that are invalid.
        values: Values of all rows, if those of one column are invalid.
    """

    def __init__(self, problem: Problem, reason: str, mask: pl.Series, values: pl.Series | None = None):
        super().__init__(problem)
        self.reason = reason
        self.mask = mask.fill_null(False)
        self.values = values

    def describe_row(self, row: int) -> str:
        """Return what is wrong with the row at this position in the chunk."""
        return f"{self.reason}: {self._format_value(row)}" if self.values is not None else self.reason

    def _format_value(self, row: int) -> str:
        """Return a value; as text where Python has no such value, as in years after 9999."""
        values = self.values if self.values is None or is_list(self.values) else self.values.cast(pl.String)
        value = None if values is None else values[row]
        is_text = self.values is not None and self.values.dtype == pl.String
        return _shorten(str(value)) if is_text else str(value)

    def with_places(self, describe_row: Callable[[int], str], first_row: int) -> TableError:
        """Return the error with its rows as *describe_row* names them."""
        rows = self.mask.arg_true()
        places = []
        for row in rows.head(MAX_SHOWN_ROWS).to_list():
            value = "" if self.values is None else f" ({self._format_value(row)})"
            places.append(f"{describe_row(first_row + row)}{value}")
        more = f" and {len(rows) - len(places):,} more" if len(rows) > len(places) else ""
        hint = self.problems[0].hint or "correct the rows, or leave them out: --on-bad-row reject"
        return TableError(Problem(self.code, f"{self.reason}: {', '.join(places)}{more}", hint=hint))


@dataclass(slots=True)
class BadRowLog:
    """Bad rows that were found; with a *stream*, they are written there and left out of the index.

    Attributes:
        path: File of rejected rows.
        stream: Temporary file that becomes *path*; None if a bad row stops the command.
        count: Number of bad rows.
    """

    path: Path | None = None
    stream: IO[str] | None = None
    count: int = 0
    _shown: list[str] = field(default_factory=list)

    @property
    def is_rejecting(self) -> bool:
        """Return whether bad rows are left out instead of stopping the command."""
        return self.stream is not None

    def add(self, file: str, line: int, reason: str, text: str) -> None:
        """Add the row *text* at *line* of *file*."""
        self.count += 1
        if self.stream is not None:
            csv.writer(self.stream, lineterminator="\n").writerow((file, line, reason, text.rstrip("\r\n")))
        elif len(self._shown) < MAX_SHOWN_ROWS:
            self._shown.append(f"{file}: line {line:,} {reason}: {_shorten(text)}")

    def require_none(self) -> None:
        """Raise TableError if there are bad rows that are not rejected."""
        if self.count and not self.is_rejecting:
            more = f"\nand {self.count - len(self._shown):,} more" if self.count > len(self._shown) else ""
            hint = "correct them, or leave them out: --on-bad-row reject"
            raise TableError(Problem("bad-row", "\n".join(self._shown) + more, hint=hint))

    def require_good_rows(self, good_count: int) -> None:
        """Raise TableError if every row is bad; the file of rejected rows is written, so that they can be looked at."""
        if self.count and not good_count:
            self.commit()
            message = f"all {self.count:,} rows are bad, so nothing is written to the index; see {self.path}"
            raise TableError(Problem("no-good-row", message, hint="correct them, or choose other options for reading"))

    def commit(self) -> None:
        """Write the file of rejected rows, also if there are none; it replaces one of an earlier command."""
        if self.stream is not None and self.path is not None:
            self.stream.flush()
            commit_file(Path(self.stream.name), self.path)


def _shorten(text: str) -> str:
    text = text.rstrip("\r\n")
    shortened = text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"
    return repr(shortened).replace("\\udc", "\\x")  # the byte that the surrogate represents


@contextmanager
def open_bad_row_log(path: Path | None) -> Iterator[BadRowLog]:
    """Yield a log that writes bad rows to *path* once it is committed, readable by its owner only.

    Raises:
        OutputError: The file cannot be written.
    """
    if path is None:
        yield BadRowLog()
        return
    try:
        stream = NamedTemporaryFile(  # noqa: SIM115 - it is closed below
            "w",
            dir=path.absolute().parent,
            prefix=f".{path.name}.",
            suffix=TEMP_SUFFIX,
            delete=False,
            encoding="utf-8",
            errors="backslashreplace",
            newline="",
        )
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error
    try:
        csv.writer(stream, lineterminator="\n").writerow(REJECTS_HEADER)
        yield BadRowLog(path, stream)
    finally:
        stream.close()
        Path(stream.name).unlink(missing_ok=True)
