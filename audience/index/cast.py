"""Columns → the one type that their role wants, or an error that names the rows that cannot be."""

from datetime import datetime
from functools import partial
from typing import Any

import polars as pl

from audience.errors import Problem, TableError
from audience.index.columns import Column, Role
from audience.index.values import WRITTEN, read

SHOWN = 5


def column(values: pl.Series, found: Column, separator: str | None, said: bool) -> tuple[Column, pl.Series]:
    """*values* as its role wants them, and that role: versions that are none become plain text unless *said*."""
    match found.role:
        case "id":
            return found, _single_text(values, found)
        case "alias" | "account" | "live_activity_id":
            return found, _without_empty(_text(values))
        case "tags":
            return found, _tags(values, found, separator)
        case "number":
            return found, _numbers(values, found)
        case "date":
            return found, _dates(values, found)
        case "time":
            return found, _moments(values)
        case "version":
            return _versions(_text(values), found, said)
    return found, _without_empty(_text(values))


def texts(values: pl.Series) -> pl.Series:
    """How the distinct *values* of an attribute are written."""
    if values.dtype.is_float() or isinstance(values.dtype, pl.Datetime):
        return pl.Series([_written(value) for value in values.to_list()], dtype=pl.String)
    return values.cast(pl.String)


def sorted_by(groups: pl.DataFrame, role: Role) -> pl.DataFrame:
    """*groups* with their values in rising order; versions have an order of their own."""
    groups = groups.sort("value")
    if role != "version":
        return groups
    places = sorted(range(len(groups)), key=list(map(partial(read, "version"), groups["value"])).__getitem__)
    return groups[places]


def first_rows(wrong: pl.Series, values: pl.Series | None = None) -> str:
    """The first rows that are *wrong*, counted from 1, with what stands there; empty if none is."""
    rows = wrong.fill_null(False).arg_true()
    if rows.is_empty():
        return ""
    shown = ", ".join(
        f"row {row + 1}" + ("" if values is None else f" ({values[row]!r})") for row in rows.head(SHOWN).to_list()
    )
    return shown + (f" and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else "")


def _written(value: float | datetime) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else str(value)


def _text(values: pl.Series) -> pl.Series:
    many = isinstance(values.dtype, pl.List | pl.Array)
    return values.cast(pl.List(pl.String) if many else pl.String)


def _single_text(values: pl.Series, found: Column) -> pl.Series:
    if isinstance(values.dtype, pl.List | pl.Array | pl.Struct) or values.dtype.is_float():
        message = f"column {found.source!r} of type {values.dtype} cannot hold ids"
        raise TableError(Problem("not-ids", message, hint="ids are text or whole numbers"))
    return values.cast(pl.String)


def _without_empty(values: pl.Series) -> pl.Series:
    """An empty text says as little as a missing one."""
    if isinstance(values.dtype, pl.List):
        return values.list.eval(pl.element().filter(pl.element() != ""))
    return values.replace("", None) if values.dtype == pl.String else values


def _tags(values: pl.Series, found: Column, separator: str | None) -> pl.Series:
    """A list of tags for each device; a column of yes and no is one tag."""
    if values.dtype == pl.Boolean:
        return pl.select(pl.when(values).then(pl.lit(found.source))).to_series().alias(found.source)
    if separator is not None:
        return _without_empty(_text(values).str.split(separator).list.eval(pl.element().str.strip_chars()))
    return _without_empty(_text(values))


def _numbers(values: pl.Series, found: Column) -> pl.Series:
    many = isinstance(values.dtype, pl.List | pl.Array)
    inner = values.dtype.inner if isinstance(values.dtype, pl.List | pl.Array) else values.dtype
    assert isinstance(inner, pl.DataType)
    wanted: Any = pl.Int64 if inner.is_integer() else pl.Float64
    if inner == pl.String and not many and values.cast(pl.Int64, strict=False).null_count() == values.null_count():
        wanted = pl.Int64
    numbers = values.cast(pl.List(wanted) if many else wanted, strict=False)
    if many:
        return numbers.list.eval(pl.element().filter(pl.element().is_finite())) if wanted == pl.Float64 else numbers
    _refuse(numbers.is_null() & values.is_not_null(), values, found)
    if wanted == pl.Int64:
        return numbers
    numbers = numbers.fill_nan(None) + 0.0  # a negative zero is zero
    _refuse(numbers.is_infinite(), values, found)
    return numbers


def _dates(values: pl.Series, found: Column) -> pl.Series:
    if values.dtype in (pl.Date, pl.List(pl.Date)):
        return values
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.date()
    texts = values.cast(pl.String)
    dates = texts.str.to_date("%Y-%m-%d", strict=False)
    dates = dates.fill_null(texts.str.to_date("%Y%m%d", strict=False))
    _refuse(dates.is_null() & values.is_not_null() & (texts != ""), values, found)
    return dates


def _moments(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.List):
        return values.list.eval(_utc(pl.element()))
    return values.to_frame().select(_utc(pl.col(values.name), values.dtype)).to_series()


def _utc(moment: pl.Expr, type_: Any = None) -> pl.Expr:
    zoned = isinstance(type_, pl.Datetime) and type_.time_zone is not None
    plain = moment.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else moment
    return plain.dt.cast_time_unit("us")


def _versions(values: pl.Series, found: Column, said: bool) -> tuple[Column, pl.Series]:
    """Versions, in an order of their own; where some are none, the column is plain text unless it was *said*."""
    values = _without_empty(values)
    distinct = values.explode() if isinstance(values.dtype, pl.List) else values
    wrong = [text for text in distinct.drop_nulls().unique().to_list() if not _is_version(text)]
    if wrong and said:
        _refuse(values.is_in(wrong), values, found)
    return (Column(found.source, "typed", found.name) if wrong else found), values


def _is_version(text: str) -> bool:
    try:
        read("version", text)
    except ValueError:
        return False
    return True


def _refuse(wrong: pl.Series, values: pl.Series, found: Column) -> None:
    rows = first_rows(wrong, values)
    if rows:
        raise TableError(Problem("bad-value", f"column {found.source!r} should hold {WRITTEN[found.role]}: {rows}"))
