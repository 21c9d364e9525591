"""Several rows of one id: the last one counts, or all are merged into one device."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl

from audience.errors import Problem, TableError
from audience.index.ingest.cast import name_flags
from audience.index.ingest.decode import concat_columns, decode_rows, new_categories, to_categorical
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.read_options import Duplicates
from audience.index.ingest.reader import SourceTable
from audience.index.schema.columns import SHARED_ID_ROLES, Column
from audience.index.storage import bitmaps, id_search
from audience.index.storage.list_columns import as_lists, is_list
from audience.index.storage.shard import Shard

UNITED_ROLES = ("tags", *SHARED_ID_ROLES)  # of which a device may have several values


def find_key(columns: Iterable[Column]) -> Column:
    """Return the column whose ids distinguish devices: the first of device ids."""
    return next(column for column in columns if column.role == "id")


def combine_rows(rows: DeviceTable, key: Column, duplicates: Duplicates) -> DeviceTable:
    """Return *rows* with one row for each id in *key*; rows without one stay as they are.

    Raises:
        TableError: Rows that are to be merged have different values in a column that can hold one.
    """
    if duplicates == "refuse":
        return rows
    keys = rows[key]
    is_repeated = keys.is_duplicated() & keys.is_not_null()
    if not is_repeated.any():
        return rows
    if duplicates == "last":
        is_kept = keys.is_last_distinct() | keys.is_null()
        return {column: values.filter(is_kept) for column, values in rows.items()}
    repeated = {column: values.filter(is_repeated) for column, values in rows.items()}
    merged = _merge_repeated(repeated, key)
    return {
        column: concat_columns([values.filter(~is_repeated), merged[column]], column) for column, values in rows.items()
    }


def _merge_repeated(rows: DeviceTable, key: Column) -> DeviceTable:
    """Return one row for each id: lists and tags united, other values from the row that has one."""
    united = [column for column, values in rows.items() if column.role in UNITED_ROLES or is_list(values)]
    single = [column for column in rows if column not in united and column != key]
    frame = pl.DataFrame({column.name_in_table: as_lists(name_flags(values, column)) if column in united else values
                          for column, values in rows.items()})  # fmt: skip
    names = {column: f"{number}" for number, column in enumerate(rows)}
    frame.columns = list(names.values())
    groups = frame.group_by(names[key], maintain_order=True)
    distinct = groups.agg(pl.col(names[column]).drop_nulls().n_unique() for column in single)
    for column in single:
        conflicting = distinct.filter(pl.col(names[column]) > 1)[names[key]]
        if len(conflicting):
            values = (
                frame.filter(pl.col(names[key]) == conflicting[0])[names[column]]
                .drop_nulls()
                .unique(maintain_order=True)
            )
            shown = " and ".join(repr(str(value)) for value in values.head(2).to_list())
            message = (
                f"column {column.name_in_table!r}: rows of the id {conflicting[0]!r} have different values: {shown}"
            )
            raise TableError(Problem("duplicate-id", message, hint="correct them, or use --duplicates last"))
    merged = groups.agg(
        *(pl.col(names[column]).drop_nulls().first() for column in single),
        *(pl.col(names[column]).explode().drop_nulls().unique(maintain_order=True) for column in united),
    )
    return {column: merged[name] for column, name in names.items()}


def absorb_earlier_rows(
    rows: DeviceTable, key: Column, shards: Sequence[Shard], duplicates: Duplicates
) -> tuple[DeviceTable, list[Shard], int]:
    """Combine *rows* with the devices of *shards* that have the same ids, of rows before them in the same table.

    Returns:
        The rows, the shards without these devices, and the number of these devices.
    """
    matches = find_matches(shards, key, rows[key])
    if duplicates == "merge":
        categories = new_categories(rows)
        tables = [
            decode_rows(shard, np.sort(found["row"].to_numpy()), rows, categories)
            for shard, found in matches
            if len(found)
        ]
        own = {column: to_categorical(_to_text(values), categories.get(column)) for column, values in rows.items()}
        if tables:
            joined = {
                column: concat_columns([*(table[column] for table in tables), own[column]], column) for column in rows
            }
            rows = combine_rows(joined, key, duplicates)
    remaining = [_delete_rows(shard, found) if len(found) else shard for shard, found in matches]
    return rows, remaining, sum(len(found) for _, found in matches)


def find_matches(shards: Sequence[Shard], key: Column, ids: pl.Series) -> list[tuple[Shard, pl.DataFrame]]:
    """Return each of *shards* with those of its rows whose id is one of *ids*."""
    return [(shard, id_search.find_in_column(shard, key.id_column, ids.drop_nulls())) for shard in shards]


def _to_text(values: pl.Series) -> pl.Series:
    """Return categories as text."""
    match values.dtype:
        case pl.Categorical():
            return values.cast(pl.String)
        case pl.List(inner=pl.Categorical()):
            return values.cast(pl.List(pl.String))
    return values


def _delete_rows(shard: Shard, found: pl.DataFrame) -> Shard:
    rows = bitmaps.rows_to_bitmap(found["row"].unique().sort().to_numpy())
    return shard.with_deleted(rows if shard.deleted is None else rows | shard.deleted)


def iter_combined(
    chunks: Iterable[tuple[int, DeviceTable]], table: SourceTable, duplicates: Duplicates
) -> Iterator[DeviceTable]:
    """Yield *chunks* with one row for each id within a chunk, and count the others."""
    key = find_key(table.columns)
    for _, chunk in chunks:
        combined = combine_rows(chunk, key, duplicates)
        table.counts.duplicates += len(chunk[key]) - len(combined[key])
        yield combined
