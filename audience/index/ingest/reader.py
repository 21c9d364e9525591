"""Reading of a source table in chunks, each column cast to the type of its role."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from operator import and_, or_
from typing import TypeAlias
from zoneinfo import ZoneInfo

import polars as pl
from polars import selectors

from audience.errors import Problem, TableError
from audience.index.ingest.bad_rows import BadRowLog, InvalidRowsError
from audience.index.ingest.cast import cast_column, describe_rows, has_zone, list_spellings, null_if_empty
from audience.index.ingest.decode import CategoriesByColumn, concat_columns, new_categories, to_categorical
from audience.index.ingest.encode import DeviceTable, count_rows
from audience.index.ingest.local_times import read_instants
from audience.index.ingest.row_places import RowPlaces
from audience.index.ingest.sources import (
    OTHER_SCHEMA_PATTERN,
    READ_ERRORS,
    SCHEMA_HINT,
    SEEKABLE_FORMATS,
    describe_read_error,
)
from audience.index.ingest.table_reading import ColumnReading, TableReading
from audience.index.schema.columns import Column
from audience.index.storage.list_columns import element_type, flatten_lists, is_list
from audience.index.storage.polars_bridge import with_elements
from audience.language.platforms import PLATFORM_TYPE, find_platform_renames
from audience.progress import Progress

RowCheck: TypeAlias = Callable[[DeviceTable, int], None]  # columns of some rows, and the number of the first row

CHUNKS_PER_SHARD = 4  # a shard is read in so many chunks, to bound memory
SPOILT_ID = "column {!r} holds ids as a spreadsheet writes large numbers, with digits lost"
MAX_ROWS, TOO_MANY_ROWS = (1 << 32) - 1, "maximum length reached"  # of Polars, and what it says of more


@dataclass(frozen=True, slots=True)
class Conversion:
    """Parser of a column of text, which returns null for text that it cannot parse, and what it expects."""

    parse: Callable[[pl.Expr], pl.Expr]
    expected: str


@dataclass(slots=True)
class ReadingCounts:
    """Counts of the rows, ids and times of a table, and the platforms that were renamed, collected on reading."""

    rows: int = 0
    stripped: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    renamed_platforms: dict[str, str] = field(default_factory=dict)
    repeated_times: dict[str, int] = field(default_factory=dict)
    skipped_times: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """Source table with the role of each column and the number of rows.

    Attributes:
        lazy_frame: Its rows; columns with a conversion as text.
        format: Format of its files.
        columns: Its columns that are not ignored.
        row_count: Number of its rows.
        places: Places of its rows in its files.
        log: Log of bad rows.
        zone: Time zone of timestamps without a zone.
        conversions: Parsers of columns of text, by name.
        spoilt_ids: Patterns of ids that a spreadsheet has changed, by column.
        readings: What decided the roles of the columns.
        counts: What was counted so far.
        row_checks: Checks of the columns of some rows; each raises InvalidRowsError for rows that do not fit. None is
            `require_device_ids` alone.
    """

    lazy_frame: pl.LazyFrame
    format: str
    columns: tuple[Column, ...]
    row_count: int
    places: RowPlaces
    log: BadRowLog
    zone: ZoneInfo
    conversions: Mapping[str, Conversion] = field(default_factory=dict)
    spoilt_ids: Mapping[str, str] = field(default_factory=dict)
    readings: tuple[ColumnReading, ...] = ()
    counts: ReadingCounts = field(default_factory=ReadingCounts)
    row_checks: tuple[RowCheck, ...] | None = None

    @property
    def reading(self) -> TableReading:
        """Return the decisions that were made, once all rows are read."""
        return TableReading(
            self.places.text_files,
            self.readings,
            self.counts.rows,
            self.log.count,
            None if self.log.path is None else str(self.log.path),
            self.counts.stripped,
            self.counts.duplicates,
            self.counts.renamed_platforms,
            self.zone.key,
            repeated_times=self.counts.repeated_times,
            skipped_times=self.counts.skipped_times,
        )

    def iter_chunks(self, max_rows: int) -> Iterator[tuple[int, DeviceTable]]:
        """Yield at most *max_rows* rows at a time, with the number of rows before them."""
        yield from self.read_frames(self.iter_frames(max_rows), 0)

    def read_frames(self, frames: Iterable[pl.DataFrame], first_row: int) -> Iterator[tuple[int, DeviceTable]]:
        """Yield the rows of *frames*, which begin at *first_row* of the table."""
        with wrap_polars_errors():
            for frame in frames:
                table = self._read_frame(frame, first_row)
                self.counts.rows += count_rows(table)
                yield first_row, table
                first_row += len(frame)

    def iter_shard_tables(self, max_rows: int, progress: Progress) -> Iterator[tuple[int, DeviceTable]]:
        """Yield the rows of each shard like `iter_chunks`, with attribute strings as dictionary codes."""
        chunks: list[DeviceTable] = []
        shard_start, categories = 0, dict[Column, pl.Categories]()
        for first_row, chunk in self.iter_chunks(chunk_rows(max_rows)):
            progress("indexing devices", first_row, self.row_count)
            if chunks and first_row + count_rows(chunk) > shard_start + max_rows:
                yield shard_start, _concat_chunks(chunks)
                shard_start, chunks = first_row, []
            categories = categories if chunks else new_categories(chunk)
            chunks.append(_to_categoricals(chunk, categories))
        yield shard_start, _concat_chunks(chunks)

    def read_shard(self, frames: Iterable[pl.DataFrame], first_row: int) -> DeviceTable:
        """Return the rows of *frames*, which begin at *first_row*, as `iter_shard_tables` yields those of a shard."""
        chunks: list[DeviceTable] = []
        categories: CategoriesByColumn = {}
        for _, chunk in self.read_frames(frames, first_row):
            categories = categories if chunks else new_categories(chunk)
            chunks.append(_to_categoricals(chunk, categories))
        return _concat_chunks(chunks)

    @property
    def selected(self) -> pl.LazyFrame:
        """Return the rows with the columns that are not ignored."""
        return self.lazy_frame.select(selectors.by_name(*(column.name_in_table for column in self.columns)))

    def iter_frames(self, max_rows: int) -> Iterator[pl.DataFrame]:
        """Yield the rows in memory; of a seekable format, no more than *max_rows* are read ahead."""
        selected = self.selected
        if self.format in SEEKABLE_FORMATS:
            for first_row, count in divide_rows(self.row_count, max_rows):
                yield selected.slice(first_row, count).collect()
            return
        is_empty = True
        for frame in selected.collect_batches(chunk_size=max_rows, maintain_order=True):
            is_empty = False
            yield frame
        if is_empty:
            yield selected.head(0).collect()

    def _read_frame(self, frame: pl.DataFrame, first_row: int) -> DeviceTable:
        """Return the rows of a chunk in the types of their roles; bad rows are an error, or are left out and logged."""
        table: DeviceTable = {}
        errors: list[InvalidRowsError] = []
        for column in self.columns:
            table[column], invalid = self._read_column(frame[column.name_in_table], column, first_row)
            errors += invalid
        checks = (require_device_ids,) if self.row_checks is None else self.row_checks
        errors += [error for check in checks if (error := self._check_rows(check, table, first_row)) is not None]
        if not errors:
            return table
        is_bad = reduce(or_, (error.mask for error in errors))
        rows = is_bad.arg_true().to_list()
        places = self.places.locate_in_chunk(frame, first_row, rows)
        for row, place in zip(rows, places, strict=True):
            reasons = [error for error in errors if error.mask[row]]
            self.log.add(place.file, place.line, reasons[0].describe_row(row), place.text)
        return {column: values.filter(~is_bad) for column, values in table.items()}

    def _read_column(
        self, values: pl.Series, column: Column, first_row: int
    ) -> tuple[pl.Series, list[InvalidRowsError]]:
        """Return a column in the type of its role, with null for invalid values, and the errors about these."""
        errors: list[InvalidRowsError] = []
        while True:
            try:
                return self._cast_column(values, column, first_row), errors
            except InvalidRowsError as error:
                if not self.log.is_rejecting:
                    raise error.with_places(self.places.describe, first_row) from None
                errors.append(error)
                values = pl.select(pl.when(~error.mask).then(values)).to_series()

    def _check_rows(self, check: RowCheck, table: DeviceTable, first_row: int) -> InvalidRowsError | None:
        """Return the error about rows that do not fit if these are left out; otherwise it is raised."""
        try:
            check(table, first_row)
        except InvalidRowsError as error:
            if not self.log.is_rejecting:
                raise error.with_places(self.places.describe, first_row) from None
            return error
        return None

    def _cast_column(self, values: pl.Series, column: Column, first_row: int) -> pl.Series:
        """Cast a column to its role; it is renamed first, because Polars might take its name for a pattern."""
        values, name = values.alias("values"), column.name_in_table
        if name in self.conversions:
            values = _convert(values, column, self.conversions[name])
        elif column.is_id and element_type(values) == pl.String:
            values = self._clean_ids(values, column)
        try:
            if column.name == PLATFORM_TYPE and column.role in ("string", "tags"):
                self.counts.renamed_platforms.update(find_platform_renames(list_spellings(values)))
            cast = cast_column(values, column, self.zone, first_row)
            is_wall_clock = column.role == "time" and not has_zone(values)
            return self._read_wall_clock(cast, column, first_row) if is_wall_clock else cast
        except (pl.exceptions.PolarsError, OverflowError, TypeError) as error:
            message = f"column {name!r} of type {values.dtype} cannot be read as {column.role}"
            raise TableError(Problem("bad-type", message, hint=f"--ignore {name}")) from error

    def _read_wall_clock(self, timestamps: pl.Series, column: Column, first_row: int) -> pl.Series:
        """Return wall-clock times of the zone as instants in UTC, and count those that occur twice, or never."""
        read = read_instants(flatten_lists(timestamps), self.zone)
        for counts, mask in ((self.counts.repeated_times, read.repeated), (self.counts.skipped_times, read.skipped)):
            if mask.any():
                counts[column.name_in_table] = counts.get(column.name_in_table, 0) + int(mask.sum())
        try:
            return cast_column(with_elements(timestamps, read.instants), column, self.zone, first_row)
        except InvalidRowsError as error:
            error.values = timestamps  # as the table has them
            raise

    def _clean_ids(self, values: pl.Series, column: Column) -> pl.Series:
        """Return ids without outer blanks, which may be full-width or non-breaking."""
        name = column.name_in_table
        stripped = values.list.eval(pl.element().str.strip_chars()) if is_list(values) else values.str.strip_chars()
        if self.places.text_files:
            stripped = stripped.to_frame("text").select(null_if_empty(pl.col("text"))).to_series()
        if name in self.spoilt_ids:
            mask = stripped.str.contains(self.spoilt_ids[name])
            if mask.any():
                reason, hint = SPOILT_ID.format(name), "export the ids as text, or ignore these rows"
                raise InvalidRowsError(Problem("spoilt-id", reason, hint=hint), reason, mask, values)
        count = _count_stripped(stripped, values)
        if count:
            self.counts.stripped[name] = self.counts.stripped.get(name, 0) + count
        return stripped


def chunk_rows(shard_rows: int) -> int:
    """Return the rows of a chunk of shards with *shard_rows* rows."""
    return -(-shard_rows // CHUNKS_PER_SHARD)


def divide_rows(row_count: int, max_rows: int) -> list[tuple[int, int]]:
    """Return the first row and the number of rows of each chunk; an empty table is one chunk.

    >>> divide_rows(10, 4), divide_rows(0, 4)
    ([(0, 4), (4, 4), (8, 2)], [(0, 0)])
    """
    return [(first, min(max_rows, row_count - first)) for first in range(0, max(row_count, 1), max_rows)]


def _count_stripped(stripped: pl.Series, values: pl.Series) -> int:
    """Return how many of *values* lost blanks; sizes of strings are compared, which is faster than strings."""
    if is_list(values):
        return int((stripped != values).sum())
    return int((stripped.str.len_bytes() != values.str.len_bytes()).sum())


def _convert(values: pl.Series, column: Column, conversion: Conversion) -> pl.Series:
    """Parse a column of text; raise InvalidRowsError for what cannot be parsed."""
    text = values.cast(pl.String).to_frame("text").select(null_if_empty(pl.col("text"))).to_series()
    converted = text.to_frame("text").select(values=conversion.parse(pl.col("text"))).to_series()
    is_invalid = converted.is_null() & text.is_not_null()
    if is_invalid.any():
        reason = f"column {column.name_in_table!r} should hold {conversion.expected}"
        raise InvalidRowsError(Problem("bad-value", reason), reason, is_invalid, text)
    return converted


def require_device_ids(table: DeviceTable, first_row: int) -> None:
    """Check that each device of *table* has an id and that no id is empty.

    Args:
        table: Columns of some rows.
        first_row: Number of the first of these rows in the whole table.

    Raises:
        InvalidRowsError: An id is missing or empty.
    """
    id_columns = {column: ids for column, ids in table.items() if column.role == "id"}
    for column, ids in id_columns.items():
        is_empty = (ids == "").fill_null(False)
        if is_empty.any():
            reason = f"column {column.name_in_table!r} holds an empty id"
            message = f"{reason}: {describe_rows(is_empty, first_row=first_row)}"
            raise InvalidRowsError(Problem("empty-id", message), reason, is_empty)
    is_missing = reduce(and_, (ids.is_null() for ids in id_columns.values()))
    if is_missing.any():
        names = ", ".join(repr(column.name_in_table) for column in id_columns)
        message = f"no id in column {names}: {describe_rows(is_missing, first_row=first_row)}"
        problem = Problem("missing-id", message, hint="every device needs one")
        raise InvalidRowsError(problem, f"no id in column {names}", is_missing)


def _to_categoricals(chunk: DeviceTable, categories: CategoriesByColumn) -> DeviceTable:
    """Return *chunk* with strings as dictionary codes; two threads take a column each."""
    strings = {column: values for column, values in chunk.items() if element_type(values) == pl.String}
    with ThreadPoolExecutor(2) as executor:
        codes = executor.map(to_categorical, strings.values(), map(categories.get, strings))
        return chunk | dict(zip(strings, codes, strict=True))


def _concat_chunks(chunks: Sequence[DeviceTable]) -> DeviceTable:
    return {column: concat_columns([chunk[column] for chunk in chunks], column) for column in chunks[0]}


@contextmanager
def wrap_polars_errors() -> Iterator[None]:
    """Convert errors that Polars raises about a table to TableError."""
    try:
        yield
    except READ_ERRORS as error:
        message = describe_read_error(error)
        if TOO_MANY_ROWS in message:
            message = f"the table has more than {MAX_ROWS:,} rows, which is all that Polars reads at once"
            hint = "build the index of a part of it, and add the others: audience index update INDEX TABLE"
            raise TableError(Problem("too-many-devices", message, hint=hint)) from error
        advice = SCHEMA_HINT if OTHER_SCHEMA_PATTERN.match(message) else None
        raise TableError(Problem("unreadable", f"the table cannot be read: {message}", hint=advice)) from error
