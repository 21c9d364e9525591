"""Columns → the one type that their role wants, or an error that names the rows that cannot be."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import polars as pl

from audience.errors import Problem, TableError
from audience.index.schema.columns import Column
from audience.index.schema.value_types import WRITTEN, read

SHOWN = 5


def column(values: pl.Series, found: Column, first: int = 0) -> pl.Series:
    """*values* as the role of their column wants them; *first* is the row of the table at which they begin."""
    match found.role:
        case "id":
            return _ids(values, found)
        case "tags":
            return _tags(values, found)
        case "number":
            return _numbers(values, found, first)
        case "date":
            return _dates(values, found, first)
        case "time":
            return _moments(values, found, first)
        case "version":
            return _versions(_text(values, found), found, first)
    return _text(values, found)


def type_name(type_: pl.DataType) -> str:
    """How a shard calls the type of its values.

    >>> type_name(pl.Decimal(38, 2)), type_name(pl.Datetime("us"))
    ('Decimal:2', 'Datetime')
    """
    match type_:
        case pl.Decimal(scale=scale):
            return f"Decimal:{scale}"
        case pl.Datetime():
            return "Datetime"
    return str(type_)


def restored(texts: pl.Series, type_: str) -> pl.Series:
    """*texts* as values of the type that a shard calls *type_*: the way back from `texts`."""
    match type_.partition(":"):
        case "Datetime", _, _:
            return texts.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us")
        case "Date", _, _:
            return texts.str.to_date("%Y-%m-%d")
        case "Decimal", _, scale:
            return texts.cast(pl.Decimal(38, int(scale)))
        case ("Int64" | "Float64") as name, _, _:
            return texts.cast(getattr(pl, name))
    return texts


def texts(values: pl.Series) -> pl.Series:
    """How the distinct *values* of an attribute are written."""
    if values.dtype.is_float() or isinstance(values.dtype, pl.Datetime):
        return pl.Series([_written(value) for value in values.to_list()], dtype=pl.String)
    return values.cast(pl.String)


def first_rows(wrong: pl.Series, values: pl.Series | None = None, first: int = 0) -> str:
    """The first rows that are *wrong*, with what stands there; empty if none is. They are counted from *first* + 1."""
    rows = wrong.fill_null(False).arg_true()
    if rows.is_empty():
        return ""
    some = rows.head(SHOWN)
    shown = [f"row {first + row + 1:,}" for row in some.to_list()]
    if values is not None:
        texts = [f"{text!r}" if values.dtype == pl.String else str(text) for text in _shown(values.gather(some))]
        shown = [f"{row} ({text})" for row, text in zip(shown, texts, strict=True)]
    return ", ".join(shown) + (f" and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else "")


def _shown(values: pl.Series) -> list[object]:
    """*values* to be shown; as text where Python has no such value, as of a year past 9999."""
    return values.to_list() if _many(values) else values.cast(pl.String).to_list()


def _written(value: float | datetime) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else str(value)


def _many(values: pl.Series) -> bool:
    return isinstance(values.dtype, pl.List | pl.Array)


def _inner(values: pl.Series) -> pl.DataType:
    """The type of a value, also where a device has a list of them."""
    type_ = values.dtype
    found = type_.inner if isinstance(type_, pl.List | pl.Array) else type_
    assert isinstance(found, pl.DataType)
    return found


def _apply(values: pl.Series, change: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
    """*change* every value, also those in lists."""
    if _many(values):
        return values.cast(pl.List(_inner(values))).list.eval(change(pl.element()))
    return pl.select(change(pl.lit(values))).to_series().alias(values.name)


def _changed(values: pl.Series, change: Callable[[pl.Expr], pl.Expr], found: Column, first: int) -> pl.Series:
    """*change* every value; one that becomes nothing is refused."""
    changed = _apply(values, change)
    if _many(values):
        wrong = changed.list.drop_nulls().list.len() != values.list.drop_nulls().list.len()
    else:
        wrong = changed.is_null() & values.is_not_null()
    _refuse(wrong, values, found, first)
    return changed


def _text(values: pl.Series, found: Column) -> pl.Series:
    """Texts, without empty ones where they are ids; an empty one says as little as a missing one."""
    if _inner(values).is_float() or isinstance(_inner(values), pl.Struct | pl.List | pl.Array | pl.Binary | pl.Object):
        message = f"column {found.source!r} of type {values.dtype} cannot be read as text"
        raise TableError(Problem("bad-type", message, hint="make it text or whole numbers: 1001, not 1001.0"))
    texts = values if _inner(values) == pl.String else _apply(values, lambda value: value.cast(pl.String))
    return _apply(texts, _nonempty) if found.keeps_ids else texts  # of tags the empty one gets no code


def _nonempty(value: pl.Expr) -> pl.Expr:
    return pl.when(value != "").then(value)


def _ids(values: pl.Series, found: Column) -> pl.Series:
    type_ = values.dtype
    if not isinstance(type_, pl.String | pl.Categorical | pl.Enum | pl.Null) and not type_.is_integer():
        message = f"column {found.source!r} of type {type_} cannot hold ids"
        raise TableError(Problem("not-ids", message, hint="ids are text or whole numbers"))
    return values.cast(pl.String)


def _tags(values: pl.Series, found: Column) -> pl.Series:
    """A list of tags for each device; a column of yes and no is one tag."""
    if values.dtype == pl.Boolean:
        return pl.select(pl.when(values).then(pl.lit(found.source))).to_series().alias(found.source)
    if values.dtype.is_numeric():
        message = f"column {found.source!r} holds numbers, not tags"
        raise TableError(Problem("not-a-list", message, hint=f"--typed {found.source}, or make it true and false"))
    if found.separator is None or _many(values):
        return _text(values, found)
    parts = _text(values, found).str.split(found.separator).list.eval(pl.element().str.strip_chars())
    return _apply(parts, _nonempty)


def _numbers(values: pl.Series, found: Column, first: int) -> pl.Series:
    type_ = _inner(values)
    if isinstance(type_, pl.Decimal):
        return values
    if type_.is_integer():
        return _changed(values, lambda value: value.cast(pl.Int64, strict=False), found, first)
    if type_.is_float():
        return _changed(_apply(values, lambda value: value.fill_nan(None)), partial(_finite, type_), found, first)
    texts = _text(values, found)
    whole = _apply(texts, lambda value: value.cast(pl.Int64, strict=False))
    if whole.explode().null_count() == texts.explode().null_count():
        return whole
    return _changed(texts, partial(_finite, pl.Float64()), found, first)


def _finite(type_: pl.DataType, value: pl.Expr) -> pl.Expr:
    """A finite number, or nothing; the shortest text of a small float is what was meant by it."""
    number = (value.cast(pl.String) if type_ == pl.Float32 else value).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number + 0.0)  # a negative zero is zero


def _dates(values: pl.Series, found: Column, first: int) -> pl.Series:
    if isinstance(_inner(values), pl.Datetime):
        return _changed(values, lambda value: _in_years(value).dt.date(), found, first)
    if isinstance(_inner(values), pl.Date):
        return _changed(values, _in_years, found, first)
    return _changed(_text(values, found), _day, found, first)


def _day(text: pl.Expr) -> pl.Expr:
    spelt = pl.when(text.str.contains(r"^(\d{4}-\d{2}-\d{2}|\d{8})$")).then(text.str.replace_all("-", "", literal=True))
    return _in_years(spelt.str.to_date("%Y%m%d", strict=False))


def _moments(values: pl.Series, found: Column, first: int) -> pl.Series:
    """Moments as the clock of the column's own zone shows them, so that a day is a day there."""
    zoned = isinstance(_inner(values), pl.Datetime) and getattr(_inner(values), "time_zone", None) is not None
    if zoned:
        values = _apply(values, lambda value: value.dt.replace_time_zone(None))
    return _changed(values, lambda value: _in_years(value).dt.cast_time_unit("us"), found, first)


def _in_years(value: pl.Expr) -> pl.Expr:
    """*value* if its year can be written with four digits."""
    return pl.when(value.dt.year().is_between(1, 9_999)).then(value)


class NotVersions(TableError):
    """A column that only looks as if it held versions."""

    def __init__(self, column: Column, *problems: Problem):
        super().__init__(*problems)
        self.column = column


def _versions(values: pl.Series, found: Column, first: int) -> pl.Series:
    distinct = values.explode() if isinstance(values.dtype, pl.List) else values
    wrong = [text for text in distinct.drop_nulls().unique().to_list() if text and not _is_version(text)]
    try:
        return _changed(values, lambda text: pl.when(~text.is_in(wrong)).then(text), found, first) if wrong else values
    except TableError as error:
        raise NotVersions(found, *error.problems) from None


def _is_version(text: str) -> bool:
    try:
        read("version", text)
    except ValueError:
        return False
    return True


def _refuse(wrong: pl.Series, values: pl.Series, found: Column, first: int) -> None:
    rows = first_rows(wrong, values, first)
    if rows:
        raise TableError(Problem("bad-value", f"column {found.source!r} should hold {WRITTEN[found.role]}: {rows}"))
