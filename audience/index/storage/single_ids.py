"""Find the live rows of a few ids in a shard, without Polars and without reading its whole lookup tables."""

from collections.abc import Sequence

from audience.index.schema.columns import IdColumn, select_id_columns
from audience.index.storage.column_lookup import encode_id, hash_id
from audience.index.storage.shard import Shard

MAX_SINGLE_IDS = 256  # more are found faster together
MAX_CANDIDATES = 1_024  # rows with the hash of one id, whose ids are compared one by one


def columns_of_kind(kind: str, shard: Shard) -> list[IdColumn]:
    """Return the id columns of the index that *kind* names in an expression."""
    known = [column.id_column for column in shard.index_columns if column.is_id] or shard.id_columns
    return select_id_columns(kind, known)


def find_rows(identifier: str, columns: Sequence[IdColumn], shard: Shard) -> list[int]:
    """Return the live rows that have an id in any of *columns*; a row that has it in two columns comes twice."""
    stored = encode_id(identifier)
    hash_, deleted = hash_id(stored), shard.deleted
    rows: list[int] = []
    for column in columns if stored else ():
        lookup = shard.open_lookup(column)
        if lookup is not None:
            rows += lookup.find_rows(stored, hash_)
    return rows if deleted is None or not rows else [row for row in rows if row not in deleted]


def are_few(identifiers: Sequence[str], columns: Sequence[IdColumn], shard: Shard) -> bool:
    """Return whether *identifiers*, and the rows that may have them, are few enough to be found one by one."""
    if len(identifiers) > MAX_SINGLE_IDS:
        return False
    lookups = [lookup for column in columns if (lookup := shard.open_lookup(column))]
    hashes = [hash_id(encode_id(identifier)) for identifier in identifiers]
    ranges = (lookup.find_range(hash_) for lookup in lookups for hash_ in hashes)
    return all(stop - start <= MAX_CANDIDATES for start, stop in ranges)
