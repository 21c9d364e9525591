"""Casts of columns to the type of their role, with errors that name the rows that do not fit."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import polars as pl

from audience.errors import Problem, TableError
from audience.index.schema.columns import Column
from audience.index.schema.value_types import VALUE_EXAMPLES, parse_value

MAX_SHOWN_ROWS = 5


def cast_column(values: pl.Series, column: Column, first_row: int = 0) -> pl.Series:
    """Return *values* in the type that the role of *column* requires.

    Args:
        values: Some rows of the column.
        column: The column and its role.
        first_row: Number of the first of these rows in the whole table.

    Raises:
        TableError: A value does not fit the role.
    """
    match column.role:
        case "id":
            return _cast_ids(values, column)
        case "tags":
            return _cast_tags(values, column)
        case "number":
            return _cast_numbers(values, column, first_row)
        case "date":
            return _cast_dates(values, column, first_row)
        case "time":
            return _cast_datetimes(values, column, first_row)
        case "version":
            return _cast_versions(_cast_strings(values, column), column, first_row)
    return _cast_strings(values, column)


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
            return strings.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us")
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


def describe_rows(mask: pl.Series, values: pl.Series | None = None, first_row: int = 0) -> str:
    """Return the first rows of *mask*, with their values if given; empty if the mask is.

    Rows are counted from *first_row* + 1.
    """
    rows = mask.fill_null(False).arg_true()
    if rows.is_empty():
        return ""
    some = rows.head(MAX_SHOWN_ROWS)
    shown = [f"row {first_row + row + 1:,}" for row in some.to_list()]
    if values is not None:
        texts = [f"{text!r}" if values.dtype == pl.String else str(text) for text in _to_printable(values.gather(some))]
        shown = [f"{row} ({text})" for row, text in zip(shown, texts, strict=True)]
    return ", ".join(shown) + (f" and {len(rows) - MAX_SHOWN_ROWS:,} more" if len(rows) > MAX_SHOWN_ROWS else "")


def _to_printable(values: pl.Series) -> list[object]:
    """Return *values* for display; as text where Python has no such value, as in years after 9999."""
    return values.to_list() if _is_list(values) else values.cast(pl.String).to_list()


def _format_value(value: float | datetime) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else str(value)


def _is_list(values: pl.Series) -> bool:
    return isinstance(values.dtype, pl.List | pl.Array)


def _element_type(values: pl.Series) -> pl.DataType:
    """Return the type of a value, of lists the type of their elements."""
    type_ = values.dtype
    found = type_.inner if isinstance(type_, pl.List | pl.Array) else type_
    assert isinstance(found, pl.DataType)
    return found


def _map_values(values: pl.Series, convert: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
    """Convert every value, also inside lists."""
    if _is_list(values):
        return values.cast(pl.List(_element_type(values))).list.eval(convert(pl.element()))
    return pl.select(convert(pl.lit(values))).to_series().alias(values.name)


def _convert_or_reject(
    values: pl.Series, convert: Callable[[pl.Expr], pl.Expr], column: Column, first_row: int
) -> pl.Series:
    """Convert every value; raise TableError if one becomes null."""
    changed = _map_values(values, convert)
    if _is_list(values):
        wrong = changed.list.drop_nulls().list.len() != values.list.drop_nulls().list.len()
    else:
        wrong = changed.is_null() & values.is_not_null()
    _reject_rows(wrong, values, column, first_row)
    return changed


def _cast_strings(values: pl.Series, column: Column) -> pl.Series:
    """Return *values* as strings; an empty id becomes null."""
    if _element_type(values).is_float() or isinstance(
        _element_type(values), pl.Struct | pl.List | pl.Array | pl.Binary | pl.Object
    ):
        message = f"column {column.name_in_table!r} of type {values.dtype} cannot be read as text"
        raise TableError(Problem("bad-type", message, hint="make it text or whole numbers: 1001, not 1001.0"))
    texts = values if _element_type(values) == pl.String else _map_values(values, lambda value: value.cast(pl.String))
    return _map_values(texts, _null_if_empty) if column.is_id else texts  # of tags the empty one gets no code


def _null_if_empty(value: pl.Expr) -> pl.Expr:
    return pl.when(value != "").then(value)


def _cast_ids(values: pl.Series, column: Column) -> pl.Series:
    type_ = values.dtype
    if not isinstance(type_, pl.String | pl.Categorical | pl.Enum | pl.Null) and not type_.is_integer():
        message = f"column {column.name_in_table!r} of type {type_} cannot hold ids"
        raise TableError(Problem("not-ids", message, hint="ids are text or whole numbers"))
    return values.cast(pl.String)


def _cast_tags(values: pl.Series, column: Column) -> pl.Series:
    """Return a list of tags for each device; a Boolean column becomes one tag."""
    if values.dtype == pl.Boolean:
        return pl.select(pl.when(values).then(pl.lit(column.name_in_table))).to_series().alias(column.name_in_table)
    if values.dtype.is_numeric():
        message = f"column {column.name_in_table!r} holds numbers, not tags"
        raise TableError(
            Problem("not-a-list", message, hint=f"--typed {column.name_in_table}, or make it true and false")
        )
    if column.separator is None or _is_list(values):
        return _cast_strings(values, column)
    parts = _cast_strings(values, column).str.split(column.separator).list.eval(pl.element().str.strip_chars())
    return _map_values(parts, _null_if_empty)


def _cast_numbers(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    type_ = _element_type(values)
    if isinstance(type_, pl.Decimal):
        return values
    if type_.is_integer():
        return _convert_or_reject(values, lambda value: value.cast(pl.Int64, strict=False), column, first_row)
    if type_.is_float():
        return _convert_or_reject(
            _map_values(values, lambda value: value.fill_nan(None)), partial(_parse_finite, type_), column, first_row
        )
    texts = _cast_strings(values, column)
    whole = _map_values(texts, lambda value: value.cast(pl.Int64, strict=False))
    if whole.explode().null_count() == texts.explode().null_count():
        return whole
    return _convert_or_reject(texts, partial(_parse_finite, pl.Float64()), column, first_row)


def _parse_finite(dtype: pl.DataType, value: pl.Expr) -> pl.Expr:
    """Parse a finite number, else null; a 32-bit float is read from its shortest decimal text."""
    number = (value.cast(pl.String) if dtype == pl.Float32 else value).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number + 0.0)  # a negative zero is zero


def _cast_dates(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    if isinstance(_element_type(values), pl.Datetime):
        return _convert_or_reject(values, lambda value: _null_if_year_invalid(value).dt.date(), column, first_row)
    if isinstance(_element_type(values), pl.Date):
        return _convert_or_reject(values, _null_if_year_invalid, column, first_row)
    return _convert_or_reject(_cast_strings(values, column), _parse_date, column, first_row)


def _parse_date(string: pl.Expr) -> pl.Expr:
    spelt = pl.when(string.str.contains(r"^(\d{4}-\d{2}-\d{2}|\d{8})$")).then(
        string.str.replace_all("-", "", literal=True)
    )
    return _null_if_year_invalid(spelt.str.to_date("%Y%m%d", strict=False))


def _cast_datetimes(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    """Return timestamps in the local time of the column's own zone, so that a day is a day there."""
    zoned = (
        isinstance(_element_type(values), pl.Datetime) and getattr(_element_type(values), "time_zone", None) is not None
    )
    if zoned:
        values = _map_values(values, lambda value: value.dt.replace_time_zone(None))
    return _convert_or_reject(
        values, lambda value: _null_if_year_invalid(value).dt.cast_time_unit("us"), column, first_row
    )


def _null_if_year_invalid(value: pl.Expr) -> pl.Expr:
    """Return *value* if its year has four digits, else null."""
    return pl.when(value.dt.year().is_between(1, 9_999)).then(value)


class NotAVersionColumn(TableError):
    """Error of a column with a value that is not a version."""

    def __init__(self, column: Column, *problems: Problem):
        super().__init__(*problems)
        self.column = column


def _cast_versions(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    distinct = values.explode() if isinstance(values.dtype, pl.List) else values
    wrong = [text for text in distinct.drop_nulls().unique().to_list() if text and not _is_version(text)]
    try:
        return (
            _convert_or_reject(values, lambda text: pl.when(~text.is_in(wrong)).then(text), column, first_row)
            if wrong
            else values
        )
    except TableError as error:
        raise NotAVersionColumn(column, *error.problems) from None


def _is_version(string: str) -> bool:
    try:
        parse_value("version", string)
    except ValueError:
        return False
    return True


def _reject_rows(mask: pl.Series, values: pl.Series, column: Column, first_row: int) -> None:
    rows = describe_rows(mask, values, first_row)
    if rows:
        raise TableError(
            Problem("bad-value", f"column {column.name_in_table!r} should hold {VALUE_EXAMPLES[column.role]}: {rows}")
        )
