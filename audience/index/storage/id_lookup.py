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

from audience._fs.checksums import short_digest

Entries = NDArray[np.uint64]

ROW_BITS = 24
ROWS = np.uint64((1 << ROW_BITS) - 1)
PARTS = 64  # stretches of the hashes that are compared one after the other, to bound memory
LOW = np.uint64(ROW_BITS)


def renumbered(table: Entries, living: NDArray[np.bool_], places: NDArray[np.uint32]) -> Entries:
    """*table* without the rows not *living*, each other row at its new one of *places*, which keep the order."""
    rows = rows_of(table)
    kept = living[rows]
    return (table[kept] & ~ROWS) | places[rows[kept]]


def rows_of(table: Entries) -> NDArray[np.uint32]:
    """The rows of *table*, in the order of their hashes."""
    return (table & ROWS).astype(np.uint32)


def proposed(table: Entries, wanted: Entries) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """For each of the hashes *wanted* the rows that have it: places among *wanted*, and beside each a row."""
    starts = np.searchsorted(table, wanted)
    stops = np.searchsorted(table, wanted | ROWS, side="right")
    counts = stops - starts
    places = np.repeat(np.arange(len(wanted)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return places, (table[starts[places] + within] & ROWS).astype(np.uint32)


def shared(tables: Sequence[Entries], between: Callable[[], None] = lambda: None) -> Entries:
    """The hashes that stand more than once in *tables* together; *between* is called after each stretch of them.

    >>> shared([np.array([1 << 24, 2 << 24 | 5], dtype=np.uint64), np.array([2 << 24], dtype=np.uint64)]) >> LOW
    array([2], dtype=uint64)
    """
    found = [np.empty(0, dtype=np.uint64)]
    for low, high in _stretches():
        parts = [table[np.searchsorted(table, low) : np.searchsorted(table, high, side="right")] for table in tables]
        both = np.concatenate([np.empty(0, dtype=np.uint64), *parts]) & ~ROWS
        both.sort()
        found.append(rising(both[1:][both[1:] == both[:-1]]))
        between()
    return np.concatenate(found)


def among(tables: Sequence[Entries], others: Sequence[Entries]) -> Entries:
    """The hashes of *tables* that stand in *others* too."""
    wanted = rising(np.concatenate([np.empty(0, dtype=np.uint64), *tables]) & ~ROWS)
    found = np.zeros(len(wanted), dtype=np.bool_)
    for other in others:
        found[proposed(other, wanted)[0]] = True
    return wanted[found]


def _stretches() -> Iterator[tuple[np.uint64, np.uint64]]:
    width = (1 << 64) // PARTS
    for part in range(PARTS):
        yield np.uint64(part * width), np.uint64((part + 1) * width - 1)


def on_share(table: Entries, seed: str, share: tuple[Fraction, Fraction]) -> NDArray[np.bool_]:
    """Which entries of *table* lie on the *share* of [0, 1) that *seed* puts their ids to.

    The 40 bits of the id's hash and the hash of the seed are mixed by the finalizer of SplitMix64
    (https://prng.di.unimi.it/splitmix64.c); the result over 2⁶⁴ is where the device lies.
    """
    mixed = _mixed((table >> LOW) ^ _seeded(seed))
    low, high = (-(-part.numerator * (1 << 64) // part.denominator) for part in share)
    inside = mixed >= np.uint64(low) if low else np.ones(len(mixed), dtype=np.bool_)
    return inside if high >= 1 << 64 else inside & (mixed < np.uint64(high))


def _seeded(seed: str) -> np.uint64:
    return np.uint64(short_digest(seed.encode())) & ~ROWS


def _mixed(values: Entries) -> Entries:
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


Number = TypeVar("Number", bound=np.integer[Any])


def rising(values: NDArray[Number]) -> NDArray[Number]:
    """The distinct *values* in rising order.

    By sorting: `np.unique` hashes them, which takes eighty times as long where millions stand there once each.

    >>> rising(np.array([3, 1, 3])).tolist(), rising(np.array([], dtype=np.int64)).tolist()
    ([1, 3], [])
    """
    found = np.sort(values)
    first = np.ones(len(found), dtype=np.bool_)
    first[1:] = found[1:] != found[:-1]
    return found[first]
