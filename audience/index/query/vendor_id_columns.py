"""Find which column of an index holds the ids of a vendor, and which ids are another one's."""

from collections.abc import Sequence

import polars as pl

from audience.errors import PlanError, Problem
from audience.index.schema.columns import (
    GENERIC_ID_COLUMNS,
    KEY_COLUMN,
    IdColumn,
    rank_id_columns,
    select_device_id_columns,
)
from audience.index.storage import id_search
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Ids
from audience.vendors import get_vendor


def find_id_column(id_columns: Sequence[IdColumn], vendor: str | None) -> IdColumn:
    """Return the column that holds the ids of *vendor*.

    A column of the vendor is preferred. Otherwise the ids are those of every vendor if there is no other column of
    device ids, and it is not the key of the table.

    Raises:
        PlanError: No column holds the ids of *vendor*.
    """
    ranked = rank_id_columns(id_columns)
    if vendor is None:
        return ranked[0]
    by_name = {column.name: column for column in ranked}
    for name in get_vendor(vendor).id_columns:
        if name in by_name:
            return by_name[name]
    if len(ranked) == 1 and ranked[0].name in GENERIC_ID_COLUMNS:
        return ranked[0]
    names = ", ".join(_describe_id_column(column) for column in ranked)
    message = f"no column holds the ids of {vendor}; the index has {names}"
    raise PlanError(Problem("no-token", message, hint=f"build it with --token {vendor}=COLUMN"))


def _describe_id_column(column: IdColumn) -> str:
    if column.name == KEY_COLUMN:
        return "the key of the table"
    return column.name if column.name in GENERIC_ID_COLUMNS else f"ids of {column.name}"


def has_foreign_ids(ids: Ids, vendor: str, snapshot: Snapshot) -> bool:
    """Return whether any of *ids* is in a column of device ids that is not the one of *vendor*."""
    try:
        own_column = find_id_column(snapshot.id_columns, vendor)
    except PlanError:  # the index does not say which ids are the vendor's
        own_column = None
    columns = [column for column in select_device_id_columns(snapshot.id_columns) if column != own_column]
    wanted = pl.Series("id", ids.values, dtype=pl.String).unique()
    return any(len(id_search.find_in_column(shard, column, wanted)) for shard in snapshot.shards for column in columns)
