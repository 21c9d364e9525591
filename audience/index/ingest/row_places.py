"""Places of rows in the files of a table: a line as an editor counts it, or the number of the row."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import orjson
import polars as pl

from audience.index.ingest.text.files import TextFile


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Place of one row: its file, its line or number, and its text."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class RowPlaces:
    """Places of the rows of a table; without text files, these are row numbers."""

    text_files: tuple[TextFile, ...] = ()

    def describe(self, row: int) -> str:
        """Return the place of *row*, counted from 0, for a message."""
        if not self.text_files:
            return f"row {row + 1:,}"
        place = next(self.locate([row]))
        return f"{place.file}: line {place.line:,}" if len(self.text_files) > 1 else f"line {place.line:,}"

    def locate(self, rows: Sequence[int]) -> Iterator[RowPlace]:
        """Yield the place of each of *rows* of text files, which are in rising order."""
        starts = [0, *accumulate(file.row_count for file in self.text_files)]
        by_file: dict[int, list[int]] = {}
        for row in rows:
            by_file.setdefault(bisect_right(starts, row) - 1, []).append(row)
        for number, file_rows in by_file.items():
            file = self.text_files[number]
            for _, record in file.locate_rows(row - starts[number] for row in file_rows):
                yield RowPlace(file.name, record.line, record.text)

    def locate_in_chunk(self, chunk: pl.DataFrame, first_row: int, rows: Sequence[int]) -> Iterator[RowPlace]:
        """Yield the places of *rows* of a chunk, whose first row is *first_row* of the table."""
        if self.text_files:
            yield from self.locate([first_row + row for row in rows])
            return
        for row in rows:
            text = orjson.dumps(chunk.row(row, named=True), default=str).decode()
            yield RowPlace("", first_row + row + 1, text)
