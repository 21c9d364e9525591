"""From an id to its row: tables of the hashes of ids, and what shares of devices are taken by.

An entry packs the upper 40 bits of the XXH3 hash of an id with its row; a table of entries is kept in rising order. A
hash only proposes rows, the ids themselves decide. XXH3 is fixed by its specification
(https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md), so an id has the same hash for ever.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from audience._fs.checksums import hash64

HashTable = NDArray[np.uint64]

ROW_BITS = 24
ROW_MASK = np.uint64((1 << ROW_BITS) - 1)
PARTITIONS = 64  # stretches of the hashes that are compared one after the other, to bound memory
ROW_SHIFT = np.uint64(ROW_BITS)


def renumber_table(table: HashTable, is_live: NDArray[np.bool_], new_rows: NDArray[np.uint32]) -> HashTable:
    """*table* without the rows not *living*, each other row at its new one of *places*, which keep the order."""
    rows = rows_of_table(table)
    kept = is_live[rows]
    return (table[kept] & ~ROW_MASK) | new_rows[rows[kept]]


def rows_of_table(table: HashTable) -> NDArray[np.uint32]:
    """The rows of *table*, in the order of their hashes."""
    return (table & ROW_MASK).astype(np.uint32)


def find_candidate_rows(table: HashTable, hashes: HashTable) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """For each of the hashes *wanted* the rows that have it: places among *wanted*, and beside each a row."""
    starts = np.searchsorted(table, hashes)
    stops = np.searchsorted(table, hashes | ROW_MASK, side="right")
    counts = stops - starts
    places = np.repeat(np.arange(len(hashes)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return places, (table[starts[places] + within] & ROW_MASK).astype(np.uint32)


def find_duplicate_hashes(tables: Sequence[HashTable], after_partition: Callable[[], None] = lambda: None) -> HashTable:
    """The hashes that stand more than once in *tables* together; *between* is called after each stretch of them.

    >>> tables = [np.array([1 << 24, 2 << 24 | 5], dtype=np.uint64), np.array([2 << 24], dtype=np.uint64)]
    >>> find_duplicate_hashes(tables) >> ROW_SHIFT
    array([2], dtype=uint64)
    """
    found = [np.empty(0, dtype=np.uint64)]
    for low, high in _iter_partitions():
        parts = [table[np.searchsorted(table, low) : np.searchsorted(table, high, side="right")] for table in tables]
        both = np.concatenate([np.empty(0, dtype=np.uint64), *parts]) & ~ROW_MASK
        both.sort()
        found.append(sorted_unique(both[1:][both[1:] == both[:-1]]))
        after_partition()
    return np.concatenate(found)


def find_common_hashes(tables: Sequence[HashTable], other_tables: Sequence[HashTable]) -> HashTable:
    """The hashes of *tables* that stand in *others* too."""
    wanted = sorted_unique(np.concatenate([np.empty(0, dtype=np.uint64), *tables]) & ~ROW_MASK)
    found = np.zeros(len(wanted), dtype=np.bool_)
    for other in other_tables:
        found[find_candidate_rows(other, wanted)[0]] = True
    return wanted[found]


def _iter_partitions() -> Iterator[tuple[np.uint64, np.uint64]]:
    width = (1 << 64) // PARTITIONS
    for part in range(PARTITIONS):
        yield np.uint64(part * width), np.uint64((part + 1) * width - 1)


def is_in_bucket(table: HashTable, seed: str, bucket: tuple[Fraction, Fraction]) -> NDArray[np.bool_]:
    """Which entries of *table* lie on the *share* of [0, 1) that *seed* puts their ids to.

    The 40 bits of the id's hash and the hash of the seed are mixed by the finalizer of SplitMix64
    (https://prng.di.unimi.it/splitmix64.c); the result over 2⁶⁴ is where the device lies.
    """
    mixed = _mix_hashes((table >> ROW_SHIFT) ^ _hash_seed(seed))
    low, high = (-(-part.numerator * (1 << 64) // part.denominator) for part in bucket)
    inside = mixed >= np.uint64(low) if low else np.ones(len(mixed), dtype=np.bool_)
    return inside if high >= 1 << 64 else inside & (mixed < np.uint64(high))


def _hash_seed(seed: str) -> np.uint64:
    return np.uint64(hash64(seed.encode())) & ~ROW_MASK


def _mix_hashes(hashes: HashTable) -> HashTable:
    hashes = hashes + np.uint64(0x9E3779B97F4A7C15)
    hashes ^= hashes >> np.uint64(30)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(27)
    hashes *= np.uint64(0x94D049BB133111EB)
    hashes ^= hashes >> np.uint64(31)
    return hashes


IntT = TypeVar("IntT", bound=np.integer[Any])


def sorted_unique(values: NDArray[IntT]) -> NDArray[IntT]:
    """The distinct *values* in rising order.

    By sorting: `np.unique` hashes them, which takes eighty times as long where millions stand there once each.

    >>> sorted_unique(np.array([3, 1, 3])).tolist(), sorted_unique(np.array([], dtype=np.int64)).tolist()
    ([1, 3], [])
    """
    found = np.sort(values)
    first = np.ones(len(found), dtype=np.bool_)
    first[1:] = found[1:] != found[:-1]
    return found[first]
