"""Ids → the rows of the devices that have them, in one shard or among several."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.schema.columns import columns_of
from audience.index.storage import bitmaps, id_column, id_lookup, polars_bridge
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.shard import Shard
from audience.language.ast import Ids
from audience.language.attribute_names import BARE

FOUND = pl.Schema({"row": pl.UInt32, "id": pl.String, "at": pl.UInt32})


def rows(shard: Shard, name: str, ids: pl.Series) -> pl.DataFrame:
    """Which living row of *shard* has which of the distinct *ids* in the column *name*: `row`, `id`, its place `at`."""
    table = shard.lookup(name)
    if not len(table) or not len(ids):
        return pl.DataFrame(schema=FOUND)
    hashes = id_column.hashes(ids)
    order = np.argsort(hashes)  # in order they are found several times faster
    places, found = id_lookup.proposed(table, hashes[order])
    if not len(found):
        return pl.DataFrame(schema=FOUND)
    at = pl.Series(order[places].astype(np.uint32))
    proposed = pl.DataFrame(
        {"row": found, "id": ids.gather(at), "at": at, "has": polars_bridge.some_ids(shard, name, found)}
    )
    own = pl.col("id").is_in("has") if isinstance(proposed.schema["has"], pl.List) else pl.col("id") == pl.col("has")
    kept = proposed.filter(own).select(FOUND.names())
    return kept if shard.dead is None else kept.filter(~_in(kept["row"], shard))


def _in(found: pl.Series, shard: Shard) -> pl.Series:
    """Which of the rows *found* are dead."""
    dead = bitmaps.rows_of(shard.dead or BitMap())
    return pl.Series(np.isin(found.to_numpy(), dead), dtype=pl.Boolean)


def doubled(shards: Sequence[Shard], name: str, fresh: Sequence[Shard] | None = None) -> pl.Series:
    """The ids that more than one living device of *shards* has in the column *name*.

    Where only the devices of *fresh* shards are new, only their ids are looked at.
    """
    tables = [_read(shard, name) for shard in (shards if fresh is None else fresh)]
    hashes = id_lookup.shared(tables, lambda: _forget(shards))
    if fresh is not None:
        others = [shard.lookup(name) for shard in shards if all(shard is not one for one in fresh)]
        hashes = np.concatenate([hashes, id_lookup.among(tables, others)])
    none = pl.Series("id", [], dtype=pl.String)
    if not len(hashes):
        return none
    found = [none]
    for shard in shards:
        _, proposed = id_lookup.proposed(shard.lookup(name), hashes)
        living = _living(_distinct(proposed), shard)
        found.append(polars_bridge.some_ids(shard, name, living.to_numpy()).alias("id"))
        shard.forget()
    ids = pl.concat(found)
    return ids.filter(ids.is_duplicated() & ids.is_not_null()).unique(maintain_order=True)


def _read(shard: Shard, name: str) -> id_lookup.Entries:
    """The table of the hashes, checked; of many shards they are too large to stay in memory."""
    table = shard.lookup(name)
    shard.forget()
    return table


def _forget(shards: Iterable[Shard]) -> None:
    for shard in shards:
        shard.forget()


def _distinct(rows: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return bitmaps.rows_of(bitmaps.from_rows(rows))


def _living(found: NDArray[np.uint32], shard: Shard) -> pl.Series:
    """Those of the rows *found* that are not dead."""
    rows = pl.Series(found, dtype=pl.UInt32)
    return rows if shard.dead is None else rows.filter(~_in(rows, shard))


def claims(shards: Sequence[Shard]) -> dict[str, set[str]]:
    """The columns in which each bare tag stands; of several only those where a living device has it."""
    found: dict[str, dict[str, list[Shard]]] = {}
    for shard in shards:
        attribute = shard.attributes.get(BARE)
        if attribute is not None:
            shown = polars_bridge.table(shard).slice(attribute.start, attribute.written)
            for value, source in shown.select("value", "column").iter_rows():
                found.setdefault(value, {}).setdefault(source, []).append(shard)
    return {
        value: set(sources) if len(sources) == 1 else {source for source, some in sources.items() if _has(value, some)}
        for value, sources in found.items()
    }


def _has(tag: str, shards: Iterable[Shard]) -> bool:
    return any(bitmaps.without(shard.tagged(tag), shard.dead) for shard in shards)


def matches(ids: Ids, shard: Shard) -> pl.DataFrame:
    """Which living row of *shard* has which of *ids*, in whichever column: `row`, `id`, its place `at`."""
    wanted = pl.Series("id", ids.values, dtype=pl.String).unique()
    found = [rows(shard, name, wanted) for name in columns_of(ids, shard.id_names)]
    return pl.concat([pl.DataFrame(schema=FOUND), *found]).unique()


def among(ids: Ids, shards: Sequence[Shard]) -> pl.DataFrame:
    """Which device has which of *ids*: columns `shard`, `row`, `id`, and its place `at`."""
    found = [matches(ids, shard).select(pl.lit(number).alias("shard"), *FOUND) for number, shard in enumerate(shards)]
    return pl.concat([pl.DataFrame(schema={"shard": pl.Int32, **FOUND}), *found])


def ambiguous(ids: Ids, shards: Sequence[Shard]) -> list[str]:
    """Those of *ids* that several devices have."""
    found = among(ids, shards)["id"]
    return found.filter(found.is_duplicated()).to_list()
