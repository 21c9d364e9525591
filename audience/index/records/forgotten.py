"""Forgotten ids: only a salted hash of each is kept, so that it is found if a table brings the id back.

    forgotten.json      the salt, and for each id its column, its SHA-256 with the salt, and 32 bits of a quick hash

The quick hash is computed from the hash tables of shards. It selects candidates, whose ids are then hashed in full.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from audience.counts import format_count
from audience.index.records.policies import POLICIES_FILE
from audience.index.records.policy import Policy
from audience.index.records.record_files import RecordContent, load_record_list, read_record_file
from audience.index.schema.columns import IdColumn
from audience.index.storage import polars_bridge
from audience.index.storage.id_column import hash_ids
from audience.index.storage.id_lookup import ROW_BITS, HashTable, rows_of_table
from audience.index.storage.published import Storage
from audience.index.storage.shard import Shard
from audience.language.ast import Expr, IdFile, Ids, any_of

FORGOTTEN_FILE = "forgotten.json"
POLICY_NAME = "forgotten"
SALT_BYTES = 32
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
QUICK_SHIFT = np.uint64(32)


@dataclass(frozen=True, slots=True)
class ForgottenId:
    """Forgotten id of a column: two salted hashes of it."""

    column: str
    digest: str
    quick: int


@dataclass(frozen=True, slots=True)
class ForgottenIds:
    """Forgotten ids of an index, with the salt of their hashes."""

    salt: str = ""
    ids: tuple[ForgottenId, ...] = field(default=())

    def add(self, ids_by_column: Mapping[IdColumn, Iterable[str]]) -> "ForgottenIds":
        """Return these ids and those of *ids_by_column*."""
        salt = self.salt or secrets.token_hex(SALT_BYTES)
        empty = ForgottenIds(salt)
        added = (
            ForgottenId(
                column.stored_name,
                empty.hash(identifier),
                int(empty.quick_hashes(hash_ids(pl.Series([identifier])))[0]),
            )
            for column, ids in ids_by_column.items()
            for identifier in ids
        )
        return ForgottenIds(salt, tuple(dict.fromkeys((*self.ids, *added))))

    def hash(self, identifier: str) -> str:
        """Return the salted hash of an id."""
        return hashlib.sha256(bytes.fromhex(self.salt) + identifier.encode()).hexdigest()

    def quick_hashes(self, table: HashTable) -> NDArray[np.uint32]:
        """Return the quick hash of each entry of the hash table of a shard."""
        salt = np.uint64(int(self.salt[:16], 16))
        with np.errstate(over="ignore"):
            mixed: NDArray[np.uint64] = ((table >> np.uint64(ROW_BITS)) ^ salt) * MULTIPLIER
        return (mixed >> QUICK_SHIFT).astype(np.uint32)

    def find_returned(self, shards: Sequence[Shard], columns: Iterable[IdColumn]) -> dict[IdColumn, list[str]]:
        """Return the ids of devices of *shards* that were forgotten, by their column."""
        returned: dict[IdColumn, list[str]] = {}
        for column in columns:
            entries = [each for each in self.ids if each.column == column.stored_name]
            quick, digests = np.array([each.quick for each in entries], np.uint32), {each.digest for each in entries}
            ids = [
                id_
                for shard in shards
                for id_ in self._find_in_shard(shard, column, quick)
                if self.hash(id_) in digests
            ]
            if ids:
                returned[column] = sorted(set(ids))
        return returned

    def _find_in_shard(self, shard: Shard, column: IdColumn, quick: NDArray[np.uint32]) -> Iterator[str]:
        """Yield the ids of a column that have one of the *quick* hashes."""
        if not len(quick) or column not in shard.id_columns:
            return
        table = shard.read_hash_table(column)
        rows = np.unique(rows_of_table(table[np.isin(self.quick_hashes(table), quick)]))
        ids = polars_bridge.read_ids_at(shard, column, rows)
        yield from (ids.explode() if isinstance(ids.dtype, pl.List) else ids).drop_nulls()


def read_forgotten(storage: Storage) -> ForgottenIds:
    """Return the forgotten ids of an index. Raises DamagedError if their file is not what was written."""
    data = read_record_file(storage, FORGOTTEN_FILE)
    if data is None:
        return ForgottenIds()
    body = orjson.loads(data)
    return ForgottenIds(body["salt"], tuple(ForgottenId(**fields) for fields in body["ids"]))


def has_policies(storage: Storage) -> bool:
    """Return whether an index has any policy, that of forgotten ids included."""
    return not {POLICIES_FILE, FORGOTTEN_FILE}.isdisjoint(load_record_list(storage).files)


def forgotten_record(forgotten: ForgottenIds) -> RecordContent:
    """Return the record that keeps *forgotten*."""
    return RecordContent(FORGOTTEN_FILE, orjson.dumps(asdict(forgotten), option=orjson.OPT_INDENT_2))


def make_policy(forgotten: ForgottenIds, shards: Sequence[Shard], columns: Sequence[IdColumn]) -> Policy | None:
    """Return the policy that suppresses forgotten ids, with those that devices have again; None if there are none."""
    if not forgotten.ids:
        return None
    lists: list[Expr] = [
        Ids(column.name_in_table or column.name, tuple(ids), (IdFile(POLICY_NAME, "", tuple(ids), is_list=True),))
        for column, ids in forgotten.find_returned(shards, columns).items()
    ]
    note = f"salted hashes of {format_count(len(forgotten.ids), 'id')}"
    return Policy(POLICY_NAME, "suppress", any_of(lists) if lists else None, note)
