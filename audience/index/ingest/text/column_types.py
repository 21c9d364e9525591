"""Type of each column of a text file: what nearly all of its values are, with the reason.

A column has a type if all of its values have it. If at most a tenth have not, or all that have not are one value such
as `n/a`, these are errors and the column is not text: a column of text would answer no comparison.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from zoneinfo import ZoneInfo

import polars as pl

from audience.errors import Problem, TableError
from audience.index.ingest.text.column_profile import (
    BOOLEAN_PATTERN,
    CODE_PATTERN,
    NUMBER_PATTERN,
    ColumnCounts,
    count_distinct,
    find_first,
    parse_iso_days,
    parse_iso_moments,
    present,
)
from audience.index.ingest.text.dates import (
    DateParts,
    DayOrder,
    is_date,
    parse_days,
    parse_format,
    parse_instants,
    parse_moments,
)
from audience.index.schema.columns import Role

Parse: TypeAlias = Callable[[pl.Expr], pl.Expr]
DescribeRow: TypeAlias = Callable[[int], str]  # a row, counted from 0, as "line 7"

MAX_ODD_SHARE = 0.1
MAX_MISSING_TEXT = 12  # characters of what may mean no value
MIN_FITTING = 2  # values that make a type


@dataclass(frozen=True, slots=True)
class ColumnType:
    """Type of a column, and why it has it.

    Attributes:
        dtype: Type of its values.
        reason: What was found in it.
        parse: Parser of its text; None if Polars parses it, or it stays text.
        expected: Description of its values for errors.
        is_notable: Whether the reason may surprise.
    """

    dtype: pl.DataType
    reason: str
    parse: Parse | None = None
    expected: str = ""
    is_notable: bool = False


TEXT = ColumnType(pl.String(), "text")
ISO_DAYS = ColumnType(pl.Date(), "days", parse_iso_days, "days")
ISO_MOMENTS = ColumnType(pl.Datetime("us"), "moments", parse_iso_moments, "moments")


@dataclass(frozen=True, slots=True)
class TypeFinder:
    """Column of a text file whose type is to be found.

    Attributes:
        name: Name of the column.
        counts: Number of its values by their spelling.
        lazy_frame: Table as text.
        describe_row: Names a row.
        zone: Time zone of the days of instants.
        date_format: Format of its dates.
        default_format: Format of dates that are ambiguous otherwise.
        rejects_rows: Whether rows with odd values are left out.
    """

    name: str
    counts: ColumnCounts
    lazy_frame: pl.LazyFrame
    describe_row: DescribeRow
    zone: ZoneInfo
    date_format: str | None = None
    default_format: str | None = None
    rejects_rows: bool = False

    def find_type(self, role: Role | None) -> ColumnType:
        """Return the type of the column, which has a *role* already or is to get one by its type.

        Raises:
            TableError: The type is ambiguous, or some values do not have the type of nearly all.
        """
        if self.date_format is not None:
            return self._use_format(self.date_format, "given")
        if role in ("date", "time"):
            return self._find_date_type(role)
        if role == "tags":
            return self._find_tag_type()
        return self._find_plain_type() or self._find_default_format() or self._find_nearly_type() or TEXT

    def _find_tag_type(self) -> ColumnType:
        counts = self.counts
        if counts.booleans == counts.present > 0:
            return self._boolean_type()
        is_number = counts.numbers == counts.present > 0
        return ColumnType(pl.Float64(), "numbers", lambda text: text.cast(pl.Float64)) if is_number else TEXT

    def _find_plain_type(self) -> ColumnType | None:
        """Return the type that all values have."""
        counts = self.counts
        if not counts.present:
            return ColumnType(pl.String(), "no values")
        if counts.numbers == counts.present:
            return self._number_type()
        if counts.numbers + counts.codes == counts.present:
            return self._code_type()
        if counts.booleans == counts.present:
            return self._boolean_type()
        if counts.days + counts.moments == counts.present and not (self.default_format and counts.either):
            return self._date_type(None)
        return None

    def _number_type(self) -> ColumnType:
        counts = self.counts
        if counts.zero_one == counts.present:
            reason = f"numbers 0 and 1: in an expression, write {self.name} = 1"
            return ColumnType(pl.Int64(), reason, is_notable=True)
        if counts.integers == counts.present:
            return ColumnType(pl.Int64(), "whole numbers")
        if counts.short == counts.present:
            return ColumnType(pl.Float64(), "numbers")
        return ColumnType(pl.Float64(), "numbers", parse=lambda text: text)

    def _code_type(self) -> ColumnType:
        text = pl.col("text")
        is_code = text.str.contains(CODE_PATTERN) & ~text.str.contains(NUMBER_PATTERN)
        value = self._show_first(is_code)
        reason = f"text, because {value} is not how a number is written; use --number {self.name} for numbers"
        return ColumnType(pl.String(), reason, is_notable=True)

    def _boolean_type(self) -> ColumnType:
        return ColumnType(pl.Boolean(), "true and false", _parse_boolean, "true or false")

    def _find_default_format(self) -> ColumnType | None:
        """Return the type by the format for all columns, if nearly all values have that format."""
        if self.default_format is None:
            return None
        _, parse = parse_format(self.default_format)
        is_odd = pl.col("text").is_not_null() & parse(pl.col("text")).is_null()
        odd = self.lazy_frame.select(text=present(self.name)).select(is_odd.sum()).collect(engine="streaming").item()
        fits = not odd or self._is_nearly(odd, is_odd)
        return self._use_format(self.default_format, "given") if fits else None

    def _use_format(self, date_format: str, how: str) -> ColumnType:
        kind, parse = parse_format(date_format)
        dtype = pl.Datetime("us") if kind == "time" else pl.Date()
        return ColumnType(
            dtype, f"dates in the format {date_format}, {how}", parse, f"dates in the format {date_format}"
        )

    def _find_nearly_type(self) -> ColumnType | None:
        """Return the type that nearly all values have; the others are errors unless their rows are left out."""
        counts, text = self.counts, pl.col("text")
        dates = counts.days + counts.moments
        is_number = text.str.contains(NUMBER_PATTERN)
        if counts.numbers and self._is_nearly(counts.present - counts.numbers, ~is_number):
            self._require_no_odd_values(~is_number, counts.numbers, "numbers")
            return ColumnType(pl.Float64(), "numbers", lambda value: _keep(value, NUMBER_PATTERN), "numbers")
        is_boolean = text.str.contains(BOOLEAN_PATTERN)
        if counts.booleans and self._is_nearly(counts.present - counts.booleans, ~is_boolean):
            self._require_no_odd_values(~is_boolean, counts.booleans, "true or false")
            return self._boolean_type()
        is_odd = ~is_date(text)
        if dates and self._is_nearly(counts.present - dates, is_odd):
            self._require_no_odd_values(is_odd, dates, "dates")
            return self._date_type(None)
        return None

    def _is_nearly(self, odd: int, is_odd: pl.Expr) -> bool:
        """Return whether so few values are odd that they are errors."""
        if self.counts.present - odd < MIN_FITTING:
            return False
        return odd <= MAX_ODD_SHARE * self.counts.present or count_distinct(self.lazy_frame, self.name, is_odd) == 1

    def _require_no_odd_values(self, is_odd: pl.Expr, fitting: int, kind: str) -> None:
        if self.rejects_rows:
            return
        odd = self.counts.present - fitting
        which = (
            f"{self._show_first(is_odd)}"
            if odd == 1
            else f"{odd:,} odd values, the first is {self._show_first(is_odd)}"
        )
        message = f"column {self.name!r}: {which}; the other {fitting:,} values are {kind}"
        raise TableError(Problem("odd-value", message, hint=self._odd_value_hint(is_odd)))

    def _odd_value_hint(self, is_odd: pl.Expr) -> str:
        rejects = f"use --typed {self.name} for text, or leave its rows out: --on-bad-row reject"
        found = find_first(self.lazy_frame, self.name, is_odd)
        if found is None or len(found[1]) > MAX_MISSING_TEXT or any(char.isdigit() for char in found[1]):
            return f"correct it, or {rejects}"
        return f"correct it, or use --missing {shlex.quote(found[1])} if that means no value, or {rejects}"

    def _show_first(self, condition: pl.Expr) -> str:
        """Return the first value that meets *condition*, with its line."""
        found = find_first(self.lazy_frame, self.name, condition)
        return f"{found[1]!r} in {self.describe_row(found[0])}" if found else "no value"

    def _find_date_type(self, role: Role) -> ColumnType:
        """Return the type of a column that holds days or moments by its role; other values are bad rows."""
        if self.default_format is not None and self.counts.either:
            return self._use_format(self.default_format, "given")
        return self._date_type(role)

    def _date_type(self, role: Role | None) -> ColumnType:
        counts = self.counts
        if counts.is_iso and role in (None, "date" if counts.days else "time"):
            return ISO_DAYS if counts.days else ISO_MOMENTS
        order, why = self._find_day_order()
        if role == "date" or (role is None and not counts.moments):
            zones = f", {counts.zoned:,} of them of moments with a zone, in {self.zone.key}" if counts.zoned else ""
            reason, notable = f"days{why}{zones}", bool(why or zones)
            return ColumnType(pl.Date(), reason, lambda text: parse_days(text, order, self.zone), "days", notable)
        self._reject_mixed_dates(role)
        if counts.zoned:
            reason, instants = f"moments with a zone{why}", pl.Datetime("us", "UTC")
            return ColumnType(instants, reason, lambda text: parse_instants(text, order), "moments with a zone", True)
        reason = f"moments{why}"
        return ColumnType(pl.Datetime("us"), reason, lambda text: parse_moments(text, order), "moments", bool(why))

    def _find_day_order(self) -> tuple[DayOrder, str]:
        """Return whether the day is first in dates like 03/04/2020, and why.

        Raises:
            TableError: No value shows it, or they contradict each other.
        """
        counts, parts = self.counts, DateParts.extract(pl.col("text"))
        shows_day, shows_month = parts.first > 12, parts.second > 12
        if counts.day_first and counts.month_first:
            message = f"column {self.name!r}: {self._show_first(shows_day)} has the day first, "
            message += f"{self._show_first(shows_month)} has the month first"
            raise TableError(Problem("mixed-dates", message, hint=self._format_hint()))
        if counts.day_first:
            return "day first", f", day first as in {self._show_first(shows_day)}"
        if counts.month_first:
            return "month first", f", month first as in {self._show_first(shows_month)}"
        if counts.either:
            value = self._show_first(parts.first.is_between(1, 12) & (parts.first != parts.second))
            message = f"column {self.name!r}: {value} has its day first or its month first"
            raise TableError(Problem("ambiguous-date", message, hint=self._format_hint()))
        return "day first", ""

    def _reject_mixed_dates(self, role: Role | None) -> None:
        """Raise TableError for moments with a zone beside others without, and unless the *role* is known, for days."""
        counts, parts = self.counts, DateParts.extract(pl.col("text"))
        if role is None and counts.days and counts.moments:
            has_time = self._show_first(parts.hour.is_not_null())
            has_none = self._show_first(is_date(pl.col("text")) & parts.hour.is_null())
            message = f"column {self.name!r}: {has_time} has a time, {has_none} has none"
            raise TableError(Problem("mixed-dates", message, hint=f"use --date {self.name} to read all as days"))
        if 0 < counts.zoned < counts.moments:
            has_zone = self._show_first(parts.zone.is_not_null())
            has_none = self._show_first(parts.hour.is_not_null() & parts.zone.is_null())
            message = f"column {self.name!r}: {has_zone} has a zone, {has_none} has none"
            raise TableError(Problem("mixed-dates", message, hint="write all moments with a zone, or none"))

    def _format_hint(self) -> str:
        formats = f"--date-format {self.name}=%d/%m/%Y or --date-format {self.name}=%m/%d/%Y"
        return f"name the format, such as {formats}; --typed {self.name} keeps the text"


def _keep(text: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(text.str.contains(pattern)).then(text)


def _parse_boolean(text: pl.Expr) -> pl.Expr:
    lower = text.str.to_lowercase()
    return pl.when(lower.is_in(["true", "false"])).then(lower == "true")
