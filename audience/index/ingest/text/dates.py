"""Days and moments in their usual spellings: 2020-04-08, 8/4/2020 10:30 PM, 2020年4月8日, 08 Apr 2020 10:30:00 +0800.

A moment with a zone is parsed to a moment in UTC, which Polars keeps with that zone; any other to wall-clock time.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import reduce
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

import polars as pl

from audience.errors import Problem, TableError
from audience.index.ingest.local_times import to_wall_clock

DayOrder: TypeAlias = Literal["day first", "month first"]
Parse: TypeAlias = Callable[[pl.Expr], pl.Expr]

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH_PATTERN = (
    "Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    "|Nov(?:ember)?|Dec(?:ember)?"
)
DAY_PATTERN = (
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? +)?(?:"
    r"([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?"
    r"|([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4})"
    rf"|([0-9]{{1,2}})[ -]({MONTH_PATTERN})[ ,-]+([0-9]{{4}})"
    rf"|({MONTH_PATTERN}) ([0-9]{{1,2}}),? ([0-9]{{4}}))"
)
ZONE_PATTERN = r"(?: ?(Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?))?"
TIME_PATTERN = (
    r"(?:(?:T|,? +)([0-9]{1,2}):([0-5][0-9])(?::([0-5][0-9])(?:[.,]([0-9]{1,6})0*)?)?(?: ?([AP])M)?"
    + ZONE_PATTERN
    + ")?"
)
PATTERN = f"(?i)^{DAY_PATTERN}{TIME_PATTERN}$"
COMPACT_DAY_PATTERN = r"^[0-9]{8}$"
EPOCH_UNITS: dict[str, Literal["s", "ms"]] = {
    "epoch-seconds": "s",
    "epoch-milliseconds": "ms",
}
SHORT_DIRECTIVES = {
    "%c": "%a %b %e %T %Y",
    "%+": "%Y-%m-%dT%T%.f%:z",
    "%r": "%I:%M:%S %p",
    "%T": "%H:%M:%S",
    "%X": "%H:%M:%S",
}
TIME_DIRECTIVES = (*SHORT_DIRECTIVES, "%H", "%I", "%k", "%l", "%M", "%S", "%R", "%p", "%P", "%s", "%f")
ZONE_NAME_DIRECTIVE, EPOCH_DIRECTIVE, OFFSET_DIRECTIVE = (
    re.compile(rf"(?<!%)(?:%%)*%{directive}") for directive in ("Z", "s", "[:#]*z")
)
SECOND_DIRECTIVE = re.compile(r"(?<!%)((?:%%)*)%[-_0]?S")
MICROSECONDS_PER_MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class DateParts:
    """Parts of a date in a column of text, each null where the text does not have it."""

    year: pl.Expr
    month: pl.Expr
    day: pl.Expr
    first: pl.Expr
    second: pl.Expr
    hour: pl.Expr
    zone: pl.Expr
    microseconds: pl.Expr

    @classmethod
    def extract(cls, text: pl.Expr) -> "DateParts":
        """Return the parts of *text*."""
        return cls._of_groups(text.str.extract_groups(PATTERN))

    @classmethod
    def _of_groups(cls, groups: pl.Expr) -> "DateParts":
        """Return the parts of what `PATTERN` has found."""

        def number(group: int) -> pl.Expr:
            return groups.struct.field(str(group)).cast(pl.Int64, strict=False)

        def month(group: int) -> pl.Expr:
            name = groups.struct.field(str(group)).str.to_lowercase().str.slice(0, 3)
            return name.replace_strict(MONTHS, list(range(1, 13)), default=None, return_dtype=pl.Int64)

        hour, is_afternoon = number(13), groups.struct.field("17").str.to_lowercase() == "p"
        is_valid_hour = pl.when(is_afternoon.is_null()).then(hour <= 23).otherwise(hour.is_between(1, 12))
        hour_of_day = pl.when(is_afternoon.is_null()).then(hour).otherwise(hour % 12 + is_afternoon.cast(pl.Int64) * 12)
        fraction = groups.struct.field("16").str.pad_end(6, "0").cast(pl.Int64).fill_null(0)
        seconds = (hour_of_day * 60 + number(14)) * 60 + number(15).fill_null(0)
        return cls(
            year=pl.coalesce(number(1), number(6), number(9), number(12)),
            month=pl.coalesce(number(2), month(8), month(10)),
            day=pl.coalesce(number(3), number(7), number(11)),
            first=number(4),
            second=number(5),
            hour=hour,
            zone=groups.struct.field("18"),
            microseconds=pl.when(is_valid_hour).then(seconds * 1_000_000 + fraction),
        )

    @classmethod
    def add_columns(cls, lazy_frame: pl.LazyFrame) -> tuple[pl.LazyFrame, "DateParts"]:
        """Return *lazy_frame* with the parts of its column `text` in columns of their own, and these columns.

        Polars matches the pattern again for each use of an expression, so many uses of the parts need columns.
        """
        names = [field.name for field in fields(cls)]
        groups = lazy_frame.with_columns(groups=pl.col("text").str.extract_groups(PATTERN))
        parts = cls._of_groups(pl.col("groups"))
        columns = groups.select("text", **{name: getattr(parts, name) for name in names})
        return columns, cls(**{name: pl.col(name) for name in names})

    def to_wall_clock(self, order: DayOrder) -> pl.Expr:
        """Return the moments as their text has them, without a zone; null for what is no date, or has no such zone."""
        first_is_day = order == "day first"
        day = pl.coalesce(self.day, self.first if first_is_day else self.second)
        month = pl.coalesce(self.month, self.second if first_is_day else self.first)
        text = pl.concat_str(
            [self.year.cast(pl.String).str.zfill(4), month.cast(pl.String), day.cast(pl.String)], separator="-"
        )
        midnight = text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
        micros = pl.when(self.hour.is_null()).then(0).otherwise(self.microseconds)
        return pl.when(self._zone_minutes().is_not_null()).then(midnight + micros.cast(pl.Duration("us")))

    def is_date(self) -> pl.Expr:
        """Return whether the parts are those of a date, with its day or its month first."""
        return self.to_wall_clock("day first").is_not_null() | self.to_wall_clock("month first").is_not_null()

    def to_instant(self, order: DayOrder) -> pl.Expr:
        """Return the moments in UTC, of those without a zone as if it were UTC; null for what is no date."""
        offset = (self._zone_minutes() * MICROSECONDS_PER_MINUTE).cast(pl.Duration("us"))
        return (self.to_wall_clock(order) - offset).dt.replace_time_zone("UTC")

    def _zone_minutes(self) -> pl.Expr:
        """Return the minutes that the zone is ahead of UTC; 0 without a zone."""
        sign = pl.when(self.zone.str.starts_with("-")).then(-1).otherwise(1)
        hours = self.zone.str.extract("^[+-]([0-9]{2})").cast(pl.Int64)
        minutes = self.zone.str.extract("^[+-][0-9]{2}:?([0-9]{2})$").cast(pl.Int64).fill_null(0)
        offset = pl.when((hours <= 15) & (minutes < 60)).then(sign * (hours * 60 + minutes))
        is_utc = self.zone.is_null() | ~self.zone.str.contains("^[+-]")
        return pl.when(is_utc).then(0).otherwise(offset)


def parse_days(text: pl.Expr, order: DayOrder, zone: ZoneInfo) -> pl.Expr:
    """Parse days, and moments as their day: with a zone, that of *zone*, else that of their text."""
    compact = pl.when(text.str.contains(COMPACT_DAY_PATTERN)).then(text.str.to_date("%Y%m%d", strict=False))

    def to_days(parts: DateParts) -> pl.Expr:
        instants = pl.when(parts.zone.is_not_null()).then(parts.to_instant(order).dt.replace_time_zone(None))
        local = instants.map_batches(lambda values: to_wall_clock(values, zone), return_dtype=pl.Datetime("us"))
        wall_clock = pl.when(parts.zone.is_null()).then(parts.to_wall_clock(order))
        return pl.coalesce(local.dt.date(), wall_clock.dt.date())

    return pl.coalesce(_parse_parts(text, to_days, pl.Date()), compact)


def parse_moments(text: pl.Expr, order: DayOrder) -> pl.Expr:
    """Parse moments without a zone; all else is null."""

    def to_moments(parts: DateParts) -> pl.Expr:
        return pl.when(parts.hour.is_not_null() & parts.zone.is_null()).then(parts.to_wall_clock(order))

    return _parse_parts(text, to_moments, pl.Datetime("us"))


def parse_instants(text: pl.Expr, order: DayOrder) -> pl.Expr:
    """Parse moments with a zone; all else is null."""

    def to_instants(parts: DateParts) -> pl.Expr:
        return pl.when(parts.zone.is_not_null()).then(parts.to_instant(order))

    return _parse_parts(text, to_instants, pl.Datetime("us", "UTC"))


def is_date(text: pl.Expr) -> pl.Expr:
    """Return whether values are days or moments; null is not."""
    return _parse_parts(text, DateParts.is_date, pl.Boolean()).fill_null(False)


def _parse_parts(text: pl.Expr, convert: Callable[[DateParts], pl.Expr], dtype: pl.DataType) -> pl.Expr:
    """Return what *convert* makes of the parts of *text*, which are found once."""

    def parse(values: pl.Series) -> pl.Series:
        with_parts, parts = DateParts.add_columns(values.to_frame("text").lazy())
        return with_parts.select(convert(parts)).collect().to_series()

    return text.map_batches(parse, return_dtype=dtype, is_elementwise=True)


def parse_format(date_format: str) -> tuple[Literal["date", "time"], Parse]:
    """Return whether the values of a format are days or moments, and its parser.

    Moments of a format with `%z` or `%s`, and epoch times, are parsed to UTC, others to wall-clock time.

    Raises:
        TableError: The format is invalid.
    """
    if date_format in EPOCH_UNITS:
        unit = EPOCH_UNITS[date_format]
        return "time", lambda text: _parse_epoch(text, unit)
    is_time = any(directive in date_format for directive in TIME_DIRECTIVES)

    def parse(text: pl.Expr) -> pl.Expr:
        return _parse_moment(text, date_format) if is_time else text.str.to_date(date_format, strict=False)

    try:
        if "%" not in date_format:
            raise ValueError
        pl.select(parse(pl.lit("2020-04-08")))
    except (pl.exceptions.PolarsError, ValueError):
        hint = "for example --date-format %d/%m/%Y, '%Y-%m-%d %H:%M:%S%z' or epoch-seconds"
        raise TableError(Problem("bad-option", f"{date_format!r} is not a format of dates", hint=hint)) from None
    if ZONE_NAME_DIRECTIVE.search(date_format):
        message = f"{date_format!r}: names of zones such as CST and IST mean several zones"
        hint = "use %z for offsets such as +0800; for one zone, leave the name out and use --timezone"
        raise TableError(Problem("bad-option", message, hint=hint))
    return ("time" if is_time else "date"), parse


def _parse_moment(text: pl.Expr, date_format: str) -> pl.Expr:
    """Parse moments; a second of 60, which Polars takes for the next second, is null."""
    spelt_out = reduce(lambda format_, item: format_.replace(*item), SHORT_DIRECTIVES.items(), date_format)
    moment = _to_datetime(text, spelt_out)
    if EPOCH_DIRECTIVE.search(spelt_out) and not OFFSET_DIRECTIVE.search(spelt_out):
        moment = moment.dt.replace_time_zone("UTC")
    leap = SECOND_DIRECTIVE.sub(r"\g<1>60", spelt_out)
    return moment if leap == spelt_out else pl.when(_to_datetime(text, leap).is_null()).then(moment)


def _to_datetime(text: pl.Expr, date_format: str) -> pl.Expr:
    return text.str.to_datetime(date_format, strict=False, time_unit="us", ambiguous="null")


def _parse_epoch(text: pl.Expr, unit: Literal["s", "ms"]) -> pl.Expr:
    number = text.cast(pl.Int64, strict=False)
    limit = 253_402_300_800 * (1 if unit == "s" else 1_000)  # the year 10,000
    factor = 1_000_000 if unit == "s" else 1_000
    return (pl.when(number.abs() < limit).then(number) * factor).cast(pl.Datetime("us", "UTC"))
