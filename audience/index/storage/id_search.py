"""Ids → the rows of the devices that have them, in one shard or among several."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.schema.columns import select_id_columns
from audience.index.storage import bitmaps, id_column, id_lookup, polars_bridge
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.shard import Shard
from audience.language.ast import Ids
from audience.language.attribute_names import UNTYPED

MATCH_SCHEMA = pl.Schema({"row": pl.UInt32, "id": pl.String, "at": pl.UInt32})


def find_in_column(shard: Shard, name: str, ids: pl.Series) -> pl.DataFrame:
    """Which living row of *shard* has which of the distinct *ids* in the column *name*: `row`, `id`, its place `at`."""
    table = shard.read_hash_table(name)
    if not len(table) or not len(ids):
        return pl.DataFrame(schema=MATCH_SCHEMA)
    hashes = id_column.hash_ids(ids)
    order = np.argsort(hashes)  # in order they are found several times faster
    places, found = id_lookup.find_candidate_rows(table, hashes[order])
    if not len(found):
        return pl.DataFrame(schema=MATCH_SCHEMA)
    at = pl.Series(order[places].astype(np.uint32))
    proposed = pl.DataFrame(
        {"row": found, "id": ids.gather(at), "at": at, "has": polars_bridge.read_ids_at(shard, name, found)}
    )
    own = pl.col("id").is_in("has") if isinstance(proposed.schema["has"], pl.List) else pl.col("id") == pl.col("has")
    kept = proposed.filter(own).select(MATCH_SCHEMA.names())
    return kept if shard.deleted is None else kept.filter(~_is_deleted(kept["row"], shard))


def _is_deleted(rows: pl.Series, shard: Shard) -> pl.Series:
    """Which of the rows *found* are dead."""
    dead = bitmaps.bitmap_to_rows(shard.deleted or BitMap())
    return pl.Series(np.isin(rows.to_numpy(), dead), dtype=pl.Boolean)


def find_duplicate_ids(shards: Sequence[Shard], name: str, new_shards: Sequence[Shard] | None = None) -> pl.Series:
    """The ids that more than one living device of *shards* has in the column *name*.

    Where only the devices of *fresh* shards are new, only their ids are looked at.
    """
    tables = [_load_hash_table(shard, name) for shard in (shards if new_shards is None else new_shards)]
    hashes = id_lookup.find_duplicate_hashes(tables, lambda: _evict_all(shards))
    if new_shards is not None:
        others = [shard.read_hash_table(name) for shard in shards if all(shard is not one for one in new_shards)]
        hashes = np.concatenate([hashes, id_lookup.find_common_hashes(tables, others)])
    none = pl.Series("id", [], dtype=pl.String)
    if not len(hashes):
        return none
    found = [none]
    for shard in shards:
        _, proposed = id_lookup.find_candidate_rows(shard.read_hash_table(name), hashes)
        living = _keep_live_rows(_unique_rows(proposed), shard)
        found.append(polars_bridge.read_ids_at(shard, name, living.to_numpy()).alias("id"))
        shard.evict()
    ids = pl.concat(found)
    return ids.filter(ids.is_duplicated() & ids.is_not_null()).unique(maintain_order=True)


def _load_hash_table(shard: Shard, name: str) -> id_lookup.HashTable:
    """The table of the hashes, checked; of many shards they are too large to stay in memory."""
    table = shard.read_hash_table(name)
    shard.evict()
    return table


def _evict_all(shards: Iterable[Shard]) -> None:
    for shard in shards:
        shard.evict()


def _unique_rows(rows: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return bitmaps.bitmap_to_rows(bitmaps.rows_to_bitmap(rows))


def _keep_live_rows(row_numbers: NDArray[np.uint32], shard: Shard) -> pl.Series:
    """Those of the rows *found* that are not dead."""
    rows = pl.Series(row_numbers, dtype=pl.UInt32)
    return rows if shard.deleted is None else rows.filter(~_is_deleted(rows, shard))


def collect_tag_sources(shards: Sequence[Shard]) -> dict[str, set[str]]:
    """The columns in which each bare tag stands; of several only those where a living device has it."""
    found: dict[str, dict[str, list[Shard]]] = {}
    for shard in shards:
        attribute = shard.attributes.get(UNTYPED)
        if attribute is not None:
            shown = polars_bridge.read_value_table(shard).slice(attribute.start, attribute.value_count)
            for value, source in shown.select("value", "column").iter_rows():
                found.setdefault(value, {}).setdefault(source, []).append(shard)
    return {
        value: set(sources)
        if len(sources) == 1
        else {source for source, some in sources.items() if _is_tag_live(value, some)}
        for value, sources in found.items()
    }


def _is_tag_live(tag: str, shards: Iterable[Shard]) -> bool:
    return any(bitmaps.remove_rows(shard.rows_with_tag(tag), shard.deleted) for shard in shards)


def locate_in_shard(ids: Ids, shard: Shard) -> pl.DataFrame:
    """Which living row of *shard* has which of *ids*, in whichever column: `row`, `id`, its place `at`."""
    wanted = pl.Series("id", ids.values, dtype=pl.String).unique()
    found = [find_in_column(shard, name, wanted) for name in select_id_columns(ids, shard.id_column_names)]
    return pl.concat([pl.DataFrame(schema=MATCH_SCHEMA), *found]).unique()


def locate_in_shards(ids: Ids, shards: Sequence[Shard]) -> pl.DataFrame:
    """Which device has which of *ids*: columns `shard`, `row`, `id`, and its place `at`."""
    found = [
        locate_in_shard(ids, shard).select(pl.lit(number).alias("shard"), *MATCH_SCHEMA)
        for number, shard in enumerate(shards)
    ]
    return pl.concat([pl.DataFrame(schema={"shard": pl.Int32, **MATCH_SCHEMA}), *found])


def find_ambiguous_ids(ids: Ids, shards: Sequence[Shard]) -> list[str]:
    """Those of *ids* that several devices have."""
    found = locate_in_shards(ids, shards)["id"]
    return found.filter(found.is_duplicated()).to_list()
