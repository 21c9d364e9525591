"""Find the rows of devices by their ids, in one shard or in several."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.schema.columns import IdColumn
from audience.index.storage import arrow_file, bitmaps, id_column, id_lookup, packed_words, polars_bridge, single_ids
from audience.index.storage.bitmaps import RowNumbers
from audience.index.storage.forked_process import reject_polars_after_fork
from audience.index.storage.number_sorting import sort_numbers
from audience.index.storage.shard import Shard
from audience.index.storage.single_ids import MAX_SINGLE_IDS
from audience.index.storage.sorted_hashes import find_common_hashes, find_duplicate_hashes, sort_hashes
from audience.language.ast import Ids
from audience.language.attribute_names import UNTYPED

MIN_PREFIXED = 1 << 16  # hashes that are looked for by what they begin with
POSITION_BITS = 32  # of an id among those that are looked for, below its row
MATCH_SCHEMA = pl.Schema({"row": pl.UInt32, "id": pl.String, "at": pl.UInt32})


@dataclass(frozen=True)
class HashedIds:
    """Distinct *ids* whose hashes are computed once for all shards in which they are looked for."""

    ids: pl.Series

    @cached_property
    def in_order(self) -> tuple[id_lookup.HashTable, NDArray[np.int64]]:
        """Return the hashes in rising order, which are found several times faster, and where the id of each is."""
        return sort_hashes(id_column.hash_ids(self.ids))

    @cached_property
    def prefixes(self) -> id_lookup.Prefixes:
        """Return what the hashes begin with."""
        return id_lookup.mark_prefixes(self.in_order[0])

    @cached_property
    def matrix(self) -> NDArray[np.void] | None:
        """Return the ids as byte strings of one width; None if their widths differ."""
        return arrow_file.as_fixed_width(polars_bridge.series_to_arrow(self.ids))

    def without(self, places: NDArray[np.uint32]) -> "HashedIds":
        """Return the ids that are not at *places*. Those that are left keep their own places.

        >>> left = HashedIds(pl.Series(["a", "b", "c"])).without(np.array([1], dtype=np.uint32))
        >>> sorted(left.in_order[1].tolist())
        [0, 2]
        """
        hashes, order = self.in_order
        is_left = np.ones(len(self.ids), dtype=np.bool_)
        is_left[places] = False
        kept = is_left[order]
        left = HashedIds(self.ids)
        vars(left).update(in_order=(hashes[kept], order[kept]), prefixes=self.prefixes, matrix=self.matrix)
        return left

    def are_distinct(self) -> bool:
        """Return whether no two ids are equal; ids are compared only where hashes are equal."""
        hashes, order = self.in_order
        is_repeated = np.zeros(len(hashes), dtype=np.bool_)
        is_repeated[1:] = hashes[1:] == hashes[:-1]
        is_repeated[:-1] |= is_repeated[1:]
        repeated = self.ids.gather(pl.Series(order[is_repeated]))
        return repeated.n_unique() == len(repeated)


def find_in_column(shard: Shard, column: IdColumn, ids: pl.Series) -> pl.DataFrame:
    """Find the live rows of *shard* that have one of *ids* in an id column, as `find_hashed`."""
    return find_hashed(shard, column, HashedIds(ids))


def find_hashed(shard: Shard, column: IdColumn, hashed: HashedIds) -> pl.DataFrame:
    """Find the live rows of *shard* that have one of the ids of *hashed* in an id column, in rising order.

    Args:
        shard: Shard to search.
        column: Id column to search.
        hashed: Distinct ids.

    Returns:
        The columns `row`, `id`, and `at`, the position of the id in `hashed.ids`.
    """
    reject_polars_after_fork()
    no_matches, ids = pl.DataFrame(schema=MATCH_SCHEMA), hashed.ids
    if len(ids) <= MAX_SINGLE_IDS and single_ids.are_few(identifiers := ids.to_list(), [column], shard):
        return _find_single_ids(shard, column, identifiers)
    table = shard.read_hash_table(column)
    if not len(table) or not len(ids):
        return no_matches
    hashes, order = hashed.in_order
    prefixes = hashed.prefixes if len(hashes) >= MIN_PREFIXED else None
    positions, rows = id_lookup.find_candidate_rows(table, hashes, prefixes)
    if not len(rows):
        return no_matches
    rows, positions = _sort_by_row(rows, positions)
    if shard.deleted is not None:
        is_live = ~packed_words.contains_rows(shard.deleted, rows)
        rows, positions = rows[is_live], positions[is_live]
    places = order[positions]
    at = pl.Series(places.astype(np.uint32))
    candidates = pl.DataFrame({"row": rows, "id": ids.gather(at), "at": at})
    has_id = _compare_bytes(shard, column, rows, places, hashed)
    if has_id is None:
        stored = candidates.with_columns(stored=polars_bridge.read_ids_at(shard, column, rows))
        is_list = isinstance(stored.schema["stored"], pl.List)
        is_equal = pl.col("id").is_in("stored") if is_list else pl.col("id") == pl.col("stored")
        has_id = stored.select(is_equal).to_series()
    return candidates.filter(has_id)


def _sort_by_row(rows: RowNumbers, positions: NDArray[np.int64]) -> tuple[RowNumbers, NDArray[np.int64]]:
    """Return *rows* in rising order, each with its position: a number of both is sorted, as in `sort_hashes`."""
    packed = rows.astype(np.uint64) << np.uint64(POSITION_BITS) | positions.astype(np.uint64)
    packed = sort_numbers(packed)
    in_order = (packed >> np.uint64(POSITION_BITS)).astype(np.uint32)
    return in_order, (packed & np.uint64((1 << POSITION_BITS) - 1)).astype(np.int64)


def _compare_bytes(
    shard: Shard, column: IdColumn, rows: RowNumbers, places: NDArray[np.int64], hashed: HashedIds
) -> pl.Series | None:
    """Return whether each of *rows* has the id at its place in *hashed*; None unless all ids have one width."""
    width = shard.id_width(column)
    if width is None or hashed.matrix is None or hashed.matrix.dtype.itemsize != width:
        return None
    stored = shard.fixed_width_ids(column, rows)
    assert stored is not None, "the width is known"
    return pl.Series(arrow_file.compare_fixed_width(stored, rows, hashed.matrix, places))


def _find_single_ids(shard: Shard, column: IdColumn, identifiers: Sequence[str]) -> pl.DataFrame:
    matches = [
        (row, identifier, at)
        for at, identifier in enumerate(identifiers)
        for row in single_ids.find_rows(identifier, [column], shard)
    ]
    return pl.DataFrame(sorted(matches), schema=MATCH_SCHEMA, orient="row")


def find_duplicate_ids(
    shards: Sequence[Shard], column: IdColumn, new_shards: Sequence[Shard] | None = None
) -> pl.Series:
    """Return the ids of a column that more than one live device of *shards* has.

    If *new_shards* is given, only ids of devices in these shards are checked.
    """
    tables = [_load_hash_table(shard, column) for shard in (shards if new_shards is None else new_shards)]
    hashes = find_duplicate_hashes(tables, lambda: _evict_all(shards))
    if new_shards is not None:
        old_shards = [shard for shard in shards if all(shard is not new for new in new_shards)]
        old_tables = [shard.read_hash_table(column) for shard in old_shards]
        hashes = np.concatenate([hashes, find_common_hashes(tables, old_tables)])
    parts = [pl.Series("id", [], dtype=pl.String)]
    if len(hashes):
        parts += [_ids_with_hashes(shard, column, hashes) for shard in shards]
    ids = pl.concat(parts)
    return ids.filter(ids.is_duplicated() & ids.is_not_null()).unique(maintain_order=True)


def _ids_with_hashes(shard: Shard, column: IdColumn, hashes: id_lookup.HashTable) -> pl.Series:
    """Return the ids of live devices that have one of *hashes*."""
    _, candidates = id_lookup.find_candidate_rows(shard.read_hash_table(column), hashes)
    rows = bitmaps.remove_rows(bitmaps.rows_to_bitmap(candidates), shard.deleted)
    ids = polars_bridge.read_ids_at(shard, column, bitmaps.bitmap_to_rows(rows)).alias("id")
    shard.evict()
    return ids


def _load_hash_table(shard: Shard, column: IdColumn) -> id_lookup.HashTable:
    """Return a verified hash table; those of many shards are too large to stay in memory."""
    table = shard.read_hash_table(column)
    shard.evict()
    return table


def _evict_all(shards: Iterable[Shard]) -> None:
    for shard in shards:
        shard.evict()


def collect_tag_sources(shards: Sequence[Shard], tags: Iterable[str] | None = None) -> dict[str, set[str]]:
    """Return the columns of each bare tag; if a tag has several, those in which a live device has it.

    With *tags*, only these are looked up.
    """
    wanted = None if tags is None else pl.Series(list(tags), dtype=pl.String).implode()
    shards_by_source: dict[str, dict[str, list[Shard]]] = {}  # tag → column → shards
    for shard in shards:
        if UNTYPED not in shard.attributes:
            continue
        stored = read_tags(shard)
        known = stored if wanted is None else stored.filter(pl.col("value").is_in(wanted))
        for tag, column in known.iter_rows():
            shards_by_source.setdefault(tag, {}).setdefault(column, []).append(shard)
    return {tag: _live_sources(tag, sources) for tag, sources in shards_by_source.items()}


def read_tags(shard: Shard) -> pl.DataFrame:
    """Return the columns `value` and `column` of the bare tags that *shard* stores."""
    attribute = shard.attributes[UNTYPED]
    stored = polars_bridge.read_value_table(shard).slice(attribute.start, attribute.value_count)
    return stored.select("value", "column")


def _live_sources(tag: str, sources: dict[str, list[Shard]]) -> set[str]:
    if len(sources) == 1:
        return set(sources)
    return {column for column, shards in sources.items() if _is_tag_live(tag, shards)}


def _is_tag_live(tag: str, shards: Iterable[Shard]) -> bool:
    return any(bitmaps.remove_rows(shard.rows_with_tag(tag), shard.deleted) for shard in shards)


def locate_in_shard(ids: Ids, shard: Shard) -> pl.DataFrame:
    """Find the live rows of *shard* that have one of *ids* in any column of their kind; columns of `MATCH_SCHEMA`."""
    reject_polars_after_fork()
    wanted = pl.Series("id", ids.values, dtype=pl.String).unique()
    matches = [find_in_column(shard, column, wanted) for column in single_ids.columns_of_kind(ids.kind, shard)]
    return pl.concat([pl.DataFrame(schema=MATCH_SCHEMA), *matches]).unique()


def locate_in_shards(ids: Ids, shards: Sequence[Shard]) -> pl.DataFrame:
    """Find the devices that have one of *ids*; the column `shard`, a position in *shards*, and `MATCH_SCHEMA`."""
    matches = [
        locate_in_shard(ids, shard).select(pl.lit(number).alias("shard"), *MATCH_SCHEMA)
        for number, shard in enumerate(shards)
    ]
    return pl.concat([pl.DataFrame(schema={"shard": pl.Int32, **MATCH_SCHEMA}), *matches])


def find_ambiguous_ids(ids: Ids, shards: Sequence[Shard]) -> list[str]:
    """Return those of *ids* that several devices have."""
    located = locate_in_shards(ids, shards)["id"]
    return located.filter(located.is_duplicated()).to_list()
