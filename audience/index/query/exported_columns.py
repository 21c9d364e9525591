"""Columns of an index as tables have them: ids and attributes of any devices, each of one type in all shards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.errors import PlanError, Problem
from audience.index.ingest.cast import name_flags
from audience.index.ingest.decode import cast_exactly, decode_all_tags, decode_rows, find_number_type, has_only_flags
from audience.index.schema.columns import Column, rank_id_columns
from audience.index.storage.list_columns import as_lists, is_list
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.attribute_names import UNTYPED
from audience.language.suggest import did_you_mean
from audience.language.validation import join_some

ID, TAGS = "id", "tags"  # the first column of device ids, and all bare tags, unless columns are called so
DEFAULT_ROWS = 1 << 18  # of a frame


@dataclass(frozen=True, slots=True)
class ExportedColumn:
    """Column of an exported table: its name, its type, and the column of the index; None is all bare tags."""

    name: str
    dtype: pl.DataType
    source: Column | None


def choose_columns(names: Sequence[str] | None, snapshot: Snapshot) -> list[ExportedColumn]:
    """Return the columns with these names, or all: ids, attributes, and the bare tags as `tags`.

    Raises:
        PlanError: The index keeps no such column, or one is named twice.
        TableError: No type keeps all numbers of a column.
        TypeError: A name is no string.
    """
    known = _name_columns(snapshot)
    wanted = _list_all(snapshot) if names is None else list(names)
    for name in wanted:
        if not isinstance(name, str):
            raise TypeError(f"columns: expected names of columns, got {name!r:.60}")
    problems = [_unknown_column(name, known) for name in dict.fromkeys(wanted) if name not in known]
    problems += [
        Problem("same-name", f"column {name!r} is named twice", hint="name it once")
        for name in dict.fromkeys(wanted)
        if wanted.count(name) > 1
    ]
    if not wanted:
        problems = [Problem("no-column", "no column is named", hint=f"name some of {join_some(list(known))}")]
    if problems:
        raise PlanError(*problems)
    return [ExportedColumn(name, _find_type(known[name], snapshot), known[name]) for name in wanted]


def _name_columns(snapshot: Snapshot) -> dict[str, Column | None]:
    """Return the columns by all names that they have: those of expressions first, then those of the table."""
    columns = snapshot.manifest.columns
    attributes = {column.name: column for column in columns if not column.is_id and column.role != "tags"}
    ids = {column.name: column for column in columns if column.is_id}
    in_table = {column.name_in_table: column for column in columns if column.name_in_table not in (TAGS, UNTYPED)}
    first_id = dict(zip([ID], [ids[column.name] for column in rank_id_columns(snapshot.id_columns)], strict=False))
    tags: dict[str, Column | None] = {TAGS: None, UNTYPED: None} if UNTYPED in snapshot.roles else {}
    return {**first_id, **tags, **in_table, **ids, **attributes}


def _list_all(snapshot: Snapshot) -> list[str]:
    columns = snapshot.manifest.columns
    names = [column.name_in_table if column.is_id else column.name for column in columns if column.role != "tags"]
    return [*names, *([TAGS if TAGS not in names else UNTYPED] if UNTYPED in snapshot.roles else [])]


def _unknown_column(name: str, known: dict[str, Column | None]) -> Problem:
    hint = did_you_mean(name, known) or f"it keeps {join_some(list(known))}"
    return Problem("no-column", f"the index keeps no column {name!r}", hint=hint)


def _find_type(column: Column | None, snapshot: Snapshot) -> pl.DataType:
    """Return the type of a column, which is the same for all devices of a snapshot."""
    shards = snapshot.shards
    if column is None:
        return pl.List(pl.String())
    if column.is_id:
        has_lists = any(
            column.id_column in shard.id_columns and shard.has_id_lists(column.id_column) for shard in shards
        )
        return pl.List(pl.String()) if has_lists else pl.String()
    if column.role == "tags":
        return pl.Boolean() if all(has_only_flags(shard, column) for shard in shards) else pl.List(pl.String())
    stored = [shard.attributes[column.name] for shard in shards if column.name in shard.attributes]
    element = _find_element_type(column, snapshot)
    return element if all(attribute.is_single_valued for attribute in stored) else pl.List(element)


def _find_element_type(column: Column, snapshot: Snapshot) -> pl.DataType:
    match column.role:
        case "number":
            return find_number_type(snapshot.shards, column)
        case "date":
            return pl.Date()
        case "time":
            return pl.Datetime("us", snapshot.timezone)
    return pl.String()


def empty_frame(columns: Sequence[ExportedColumn]) -> pl.DataFrame:
    """Return a frame of these columns without a row."""
    return pl.DataFrame(schema={column.name: column.dtype for column in columns})


def iter_exported_frames(
    shards: Sequence[tuple[Shard, NDArray[np.uint32]]] | Iterator[tuple[Shard, NDArray[np.uint32]]],
    columns: Sequence[ExportedColumn],
    max_rows: int,
) -> Iterator[pl.DataFrame]:
    """Yield frames of at most *max_rows* devices, those of each shard at rising rows."""
    for shard, rows in shards:
        for start in range(0, len(rows), max_rows):
            yield _decode_frame(shard, rows[start : start + max_rows], columns)


def _decode_frame(shard: Shard, rows: NDArray[np.uint32], columns: Sequence[ExportedColumn]) -> pl.DataFrame:
    sources = dict.fromkeys(column.source for column in columns if column.source is not None)
    table = decode_rows(shard, rows, [source for source in sources if _is_stored(source, shard)], {})
    series = []
    for column in columns:
        if column.source is None:
            values = decode_all_tags(shard, rows)
        elif column.source not in table:
            values = pl.repeat(None, len(rows), dtype=column.dtype, eager=True)
        else:
            values = table[column.source]
        series.append(_fill_lists(_convert(values, column), column).rename(column.name))
    return pl.DataFrame(series)


def _fill_lists(values: pl.Series, column: ExportedColumn) -> pl.Series:
    """Return lists of values with an empty one for a device without a value; ids stay missing."""
    is_id = column.source is not None and column.source.is_id
    if is_id or not isinstance(column.dtype, pl.List) or not values.null_count():
        return values
    return values.fill_null(pl.Series([[]], dtype=column.dtype))


def _is_stored(column: Column, shard: Shard) -> bool:
    """Return whether a shard has any value of a column."""
    if column.is_id:
        return column.id_column in shard.id_columns
    return column.role == "tags" or column.name in shard.attributes


def _convert(values: pl.Series, column: ExportedColumn) -> pl.Series:
    """Return *values* of a shard in the type of the column."""
    if values.dtype == column.dtype:
        return values
    if column.source is not None and column.source.role == "tags" and values.dtype == pl.Boolean:
        return as_lists(name_flags(values, column.source))
    element = column.dtype.inner if isinstance(column.dtype, pl.List) else column.dtype
    if isinstance(element, pl.Datetime):
        values = _place_in_zone(values, element.time_zone or "UTC")
    if isinstance(column.dtype, pl.List):
        values = as_lists(values)
    return cast_exactly(values, column.dtype)


def _place_in_zone(values: pl.Series, zone: str) -> pl.Series:
    """Return instants, which are stored as naive times in UTC, as times of *zone*."""
    if is_list(values):
        return values.list.eval(pl.element().dt.replace_time_zone("UTC").dt.convert_time_zone(zone))
    if values.dtype == pl.Datetime("us"):
        return values.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return values
