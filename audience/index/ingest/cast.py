"""Casts of columns to the type of their role, with errors that name the rows that do not fit."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TypeAlias
from zoneinfo import ZoneInfo

import polars as pl

from audience.errors import Problem, TableError
from audience.index.ingest.bad_rows import InvalidRowsError
from audience.index.ingest.exact_numbers import (
    MAX_DECIMAL_DIGITS,
    are_floats_exact,
    find_max_decimal_places,
    parse_decimal,
)
from audience.index.ingest.local_times import to_wall_clock
from audience.index.schema.columns import Column, Role
from audience.index.schema.value_types import VERSION, value_type_of
from audience.index.storage.list_columns import arrays_to_lists, element_type, flatten_lists, is_list
from audience.index.storage.polars_bridge import with_elements
from audience.language.platforms import PLATFORM_TYPE, find_platform_renames
from audience.language.zones import DEFAULT_ZONE, UTC_ZONE

Cast: TypeAlias = Callable[[pl.Series, Column, int], pl.Series]  # values, their column, number of the first row
Convert: TypeAlias = Callable[[pl.Expr], pl.Expr]

MAX_SHOWN_ROWS = 5
MAX_WHOLE_FLOAT = 1e15  # a whole float below is stored without a fraction, as 30 instead of 30.0
PLAIN_VERSION_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,9}){0,9}$"  # a version in any case; other strings need a parser
DATE_PATTERN = r"^(\d{4}-\d{2}-\d{2}|\d{8})$"
BRACKETS_PATTERN = r"^(?s:[\[{](.*)[\]}])$"
QUOTED_PATTERN = r"""^(?s:["'].*["'])$"""
MAX_SHOWN_CHARS = 80  # of a value in a message
MAX_PRINTABLE_DAYS = 90_000_000  # days before or after 1970 that Polars can convert; beyond, it panics
UNITS_PER_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
YEARS = "timestamps of the years 1 to 9999, in UTC"
LONG_DECIMAL = f"a number of at most {MAX_DECIMAL_DIGITS} digits"


def cast_column(values: pl.Series, column: Column, zone: ZoneInfo = UTC_ZONE, first_row: int = 0) -> pl.Series:
    """Return *values* in the type that the role of *column* requires.

    Args:
        values: Some rows of the column.
        column: The column and its role.
        zone: Time zone of the days of instants.
        first_row: Number of the first of these rows in the whole table.

    Raises:
        TableError: A value does not fit the role.
    """
    values = arrays_to_lists(values)
    if column.separator is not None and isinstance(values.dtype, pl.String | pl.Categorical | pl.Enum):
        values = _split_strings(values.cast(pl.String), column, column.separator)
    _reject_unprintable_dates(values, column, first_row)
    if column.role == "date" and has_zone(values):
        values = _to_wall_clock(values, column, zone, first_row)
    return CASTS[column.role](values, column, first_row)


def has_zone(values: pl.Series) -> bool:
    """Return whether *values* are timestamps with a zone, or lists of them."""
    dtype = element_type(values)
    return isinstance(dtype, pl.Datetime) and dtype.time_zone is not None


def format_type(dtype: pl.DataType) -> str:
    """Return the name by which a shard stores *dtype*.

    >>> format_type(pl.Decimal(38, 2)), format_type(pl.Datetime("us"))
    ('Decimal:2', 'Datetime')
    """
    match dtype:
        case pl.Decimal(scale=scale):
            return f"Decimal:{scale}"
        case pl.Datetime():
            return "Datetime"
    return str(dtype)


def parse_stored(strings: pl.Series, type_name: str) -> pl.Series:
    """Return stored *strings* as values of the type with this stored name; the inverse of `format_values`."""
    match type_name.partition(":"):
        case "Datetime", _, _:
            return strings.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
        case "Date", _, _:
            return strings.str.to_date("%Y-%m-%d")
        case "Decimal", _, scale:
            return strings.cast(pl.Decimal(38, int(scale)))
        case ("Int64" | "Float64") as name, _, _:
            return strings.cast(getattr(pl, name))
    return strings


def format_values(values: pl.Series) -> pl.Series:
    """Return the distinct *values* of an attribute as they are stored."""
    if values.dtype.is_float() or isinstance(values.dtype, pl.Datetime):
        return pl.Series([_format_value(value) for value in values.to_list()], dtype=pl.String)
    return values.cast(pl.String)


def _format_value(value: float | datetime) -> str:
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    return str(int(value)) if value.is_integer() and abs(value) < MAX_WHOLE_FLOAT else str(value)


def describe_rows(mask: pl.Series, values: pl.Series | None = None, first_row: int = 0) -> str:
    """Return the first rows of *mask*, with their values if given; empty if the mask is.

    Rows are counted from *first_row* + 1.
    """
    if not mask.any():  # the usual case, and much cheaper than to look for rows
        return ""
    rows = mask.fill_null(False).arg_true()
    shown_rows = rows.head(MAX_SHOWN_ROWS)
    descriptions = [f"row {first_row + row + 1:,}" for row in shown_rows.to_list()]
    if values is not None:
        shown_values = _to_printable(values.gather(shown_rows))
        texts = [f"{value!r}" if values.dtype == pl.String else str(value) for value in shown_values]
        descriptions = [f"{row} ({_shorten(text)})" for row, text in zip(descriptions, texts, strict=True)]
    more = f" and {len(rows) - MAX_SHOWN_ROWS:,} more" if len(rows) > MAX_SHOWN_ROWS else ""
    return ", ".join(descriptions) + more


def _shorten(text: str) -> str:
    """Return *text*, with its end cut off if it is long."""
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}… of {len(text):,} characters"


def _to_printable(values: pl.Series) -> list[object]:
    """Return *values* for display; as text where Python has no such value, as in years after 9999."""
    if is_list(values) and not element_type(values).is_temporal():
        return values.to_list()
    return _map_values(values, lambda value: value.cast(pl.String)).to_list()


def _map_values(values: pl.Series, convert: Convert) -> pl.Series:
    """Convert every value, also inside lists."""
    if is_list(values):
        return values.list.eval(convert(pl.element()))
    return pl.select(convert(pl.lit(values))).to_series().alias(values.name)


def _reject_unprintable_dates(values: pl.Series, column: Column, first_row: int) -> None:
    """Raise TableError for days and timestamps that are too far from 1970 for Polars to convert."""
    dtype = element_type(values)
    if isinstance(dtype, pl.Date | pl.Datetime):
        limit = MAX_PRINTABLE_DAYS * (UNITS_PER_DAY[dtype.time_unit] if isinstance(dtype, pl.Datetime) else 1)
        numbers = _map_values(values, lambda value: value.to_physical().cast(pl.Int64))
        is_outside = _map_values(numbers, lambda number: (number < -limit) | (number > limit))
        rows = describe_rows(is_outside.list.any() if is_list(values) else is_outside, numbers, first_row)
        if rows:
            unit = dtype.time_unit if isinstance(dtype, pl.Datetime) else "days"
            expected = "should hold years from 1 to 9999"
            message = f"column {column.name_in_table!r} {expected}: {rows} in {unit} since 1970"
            raise TableError(Problem("bad-value", message))


def _convert_or_reject(
    values: pl.Series, convert: Convert, column: Column, first_row: int, expected: str | None = None
) -> pl.Series:
    """Convert every value; raise TableError if one becomes null, with what was *expected* instead."""
    converted = _map_values(values, convert)
    if is_list(values):
        is_invalid = converted.list.drop_nulls().list.len() != values.list.drop_nulls().list.len()
    else:
        is_invalid = converted.is_null() & values.is_not_null()
    rows = describe_rows(is_invalid, values, first_row)
    if rows:
        reason = f"column {column.name_in_table!r} should hold {expected or value_type_of(column.role).example}"
        raise InvalidRowsError(Problem("bad-value", f"{reason}: {rows}"), reason, is_invalid, values)
    return converted


def _to_strings(values: pl.Series, column: Column) -> pl.Series:
    dtype = element_type(values)
    if dtype.is_float() or isinstance(dtype, pl.Struct | pl.List | pl.Array | pl.Binary | pl.Object):
        message = f"column {column.name_in_table!r} of type {values.dtype} cannot be read as text"
        raise TableError(Problem("bad-type", message, hint="make it text or whole numbers: 1001, not 1001.0"))
    return values if dtype == pl.String else _map_values(values, lambda value: value.cast(pl.String))


def null_if_empty(value: pl.Expr) -> pl.Expr:
    """Return *value*, or null if it is empty."""
    return pl.when(value != "").then(value)


def _cast_strings(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    """Return strings, platforms under their one name; the encoder gives no code to an empty string."""
    strings = _to_strings(values, column)
    return _rename_platforms(strings) if column.name == PLATFORM_TYPE else strings


def _rename_platforms(strings: pl.Series) -> pl.Series:
    """Return platforms under the names that expressions have for them."""
    renames = find_platform_renames(list_spellings(strings))
    return _map_values(strings, lambda value: value.replace(renames)) if renames else strings


def list_spellings(strings: pl.Series) -> list[str]:
    """Return the distinct values of strings, or of lists of strings."""
    return flatten_lists(strings).drop_nulls().unique().cast(pl.String).to_list()


def _cast_device_ids(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    dtype = values.dtype
    if not isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null) and not dtype.is_integer():
        message = f"column {column.name_in_table!r} of type {dtype} cannot hold ids"
        raise TableError(Problem("not-ids", message, hint="ids are text or whole numbers"))
    return values.cast(pl.String)


def _cast_shared_ids(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    """Return strings, with null for an empty id."""
    return _map_values(_to_strings(values, column), null_if_empty)


def _cast_tags(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    """Return a list of tags for each device; flags stay Boolean."""
    name = column.name_in_table
    if values.dtype == pl.Boolean:
        return values
    if values.dtype.is_numeric():
        message = f"column {name!r} holds numbers, not tags"
        raise TableError(Problem("not-a-list", message, hint=f"--typed {name}, or make it true and false"))
    return _to_strings(values, column)


def _split_strings(strings: pl.Series, column: Column, separator: str) -> pl.Series:
    """Return lists of the parts of *strings* that are not empty, without outer blanks."""
    _reject_written_lists(strings, column, separator)
    parts = strings.str.split(separator).list.eval(pl.element().str.strip_chars())
    return parts.list.eval(pl.element().filter(pl.element() != ""))


def _reject_written_lists(strings: pl.Series, column: Column, separator: str) -> None:
    """Raise InvalidRowsError for lists as JSON and databases write them: their brackets would be parts of values."""
    inner = strings.str.strip_chars().str.extract(BRACKETS_PATTERN).str.strip_chars()
    has_brackets = inner.str.contains(r"[\[\]{}]")  # as has [vip],[new], which is no list
    is_list_text = inner.str.contains(QUOTED_PATTERN) | (
        ~has_brackets & ((inner == "") | inner.str.contains(separator, literal=True))
    )
    if is_list_text.any():
        reason = f"column {column.name_in_table!r} should hold values with {separator!r} between them, not a list"
        hint = f"write a{separator}b without brackets and quotes, or make the column one of lists, as in Parquet"
        raise InvalidRowsError(Problem("bad-value", reason, hint=hint), reason, is_list_text, strings)


def name_flags(values: pl.Series, column: Column) -> pl.Series:
    """Return the tags of each device as strings: flags are a Boolean column of tags, true for the tag of its name."""
    if column.role != "tags" or values.dtype != pl.Boolean:
        return values
    return pl.select(pl.when(values).then(pl.lit(column.name_in_table))).to_series()


def _cast_numbers(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    dtype = element_type(values)
    if isinstance(dtype, pl.Decimal):
        return values
    if dtype.is_integer():
        return _cast_integers(values, column, first_row)
    if dtype.is_float():
        without_nan = _map_values(values, lambda value: value.fill_nan(None))
        return _convert_or_reject(without_nan, partial(_parse_finite, dtype), column, first_row)
    strings = _map_values(_to_strings(values, column), null_if_empty)
    ints = _map_values(strings, _parse_int)
    if flatten_lists(ints).null_count() == flatten_lists(strings).null_count():
        return ints
    floats = _convert_or_reject(strings, partial(_parse_finite, pl.Float64()), column, first_row)
    texts = flatten_lists(strings)
    if are_floats_exact(texts):
        return floats
    scale = min(find_max_decimal_places(texts), MAX_DECIMAL_DIGITS)
    return _convert_or_reject(strings, partial(parse_decimal, scale=scale), column, first_row, LONG_DECIMAL)


def _cast_integers(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    """Return 64-bit integers, or decimals if one of them is larger."""
    ints = _map_values(values, _parse_int)
    if flatten_lists(ints).null_count() == flatten_lists(values).null_count():
        return ints
    decimal = pl.Decimal(MAX_DECIMAL_DIGITS, 0)
    return _convert_or_reject(
        values, lambda value: value.cast(pl.String).cast(decimal, strict=False), column, first_row, LONG_DECIMAL
    )


def _parse_int(value: pl.Expr) -> pl.Expr:
    return value.cast(pl.Int64, strict=False)


def _parse_finite(dtype: pl.DataType, value: pl.Expr) -> pl.Expr:
    """Parse a finite number, else null; a 32-bit float is read from its shortest decimal text."""
    number = (value.cast(pl.String) if dtype == pl.Float32 else value).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number + 0.0)  # turns a negative zero into zero


def _cast_dates(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    dtype = element_type(values)
    if isinstance(dtype, pl.Datetime):
        return _convert_or_reject(values, lambda value: _null_if_year_invalid(value).dt.date(), column, first_row)
    if isinstance(dtype, pl.Date):
        return _convert_or_reject(values, _null_if_year_invalid, column, first_row)
    strings = _map_values(_to_strings(values, column), null_if_empty)
    return _convert_or_reject(strings, _parse_date, column, first_row)


def _parse_date(string: pl.Expr) -> pl.Expr:
    digits = pl.when(string.str.contains(DATE_PATTERN)).then(string.str.replace_all("-", "", literal=True))
    return _null_if_year_invalid(digits.str.to_date("%Y%m%d", strict=False))


def _cast_datetimes(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    """Return timestamps in microseconds, those with a zone in UTC, without the zone."""
    if has_zone(values):
        values = _map_values(values, lambda value: value.dt.convert_time_zone(DEFAULT_ZONE).dt.replace_time_zone(None))
    return _convert_or_reject(values, _to_microseconds, column, first_row, YEARS)


def _to_wall_clock(values: pl.Series, column: Column, zone: ZoneInfo, first_row: int) -> pl.Series:
    """Return timestamps with a zone as wall-clock time of *zone*."""
    instants = _cast_datetimes(values, column, first_row)
    return with_elements(instants, to_wall_clock(flatten_lists(instants), zone))


def _to_microseconds(value: pl.Expr) -> pl.Expr:
    return _null_if_year_invalid(value).dt.cast_time_unit("us")


def _null_if_year_invalid(value: pl.Expr) -> pl.Expr:
    """Return *value* if its year has four digits, else null."""
    return pl.when(value.dt.year().is_between(1, 9_999)).then(value)


def _cast_versions(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    strings = _to_strings(values, column)
    unusual = pl.select(distinct_unusual_versions(pl.lit(flatten_lists(strings)))).item()
    invalid = [text for text in unusual if not VERSION.accepts(text)]
    if not invalid:
        return strings
    return _convert_or_reject(strings, lambda text: pl.when(~text.is_in(invalid)).then(text), column, first_row)


def distinct_unusual_versions(strings: pl.Expr) -> pl.Expr:
    """Return a list of the distinct strings that are not plain versions like 1.2.0; a parser has to check them.

    The pattern is matched with distinct strings, which are few.
    """
    string = pl.element()
    is_plain = string.str.contains(PLAIN_VERSION_PATTERN) | (string == "")
    return strings.drop_nulls().unique().implode().list.eval(string.filter(~is_plain))


CASTS: Mapping[Role, Cast] = {
    "id": _cast_device_ids,
    "alias": _cast_shared_ids,
    "account": _cast_shared_ids,
    "live_activity_id": _cast_shared_ids,
    "tags": _cast_tags,
    "string": _cast_strings,
    "number": _cast_numbers,
    "date": _cast_dates,
    "time": _cast_datetimes,
    "version": _cast_versions,
}
