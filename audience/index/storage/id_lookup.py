"""Hash tables that map ids to rows, and the buckets that samples and splits are taken from.

An entry packs the upper 40 bits of the XXH3 hash of an id with a row. The entries of a table are sorted. A hash only
selects candidate rows; their ids are compared afterwards. XXH3 is fixed by its specification
(https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md), so the hash of an id never changes.
"""

#   entry   63 ........ hash of the id ........ 24 23 ... row ... 0

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

from audience._fs.checksums import hash64
from audience.index.storage.bitmaps import RowNumbers
from audience.index.storage.croaring import choose_block_length
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HashTable: TypeAlias = "NDArray[np.uint64]"
Prefixes: TypeAlias = "NDArray[np.bool_]"

HASH_BITS, ROW_BITS = 64, 24
MAX_PREFIX_BITS = 25
PREFIXED_ENTRIES = 1 << 15  # that are looked at together
MAX_SCANNED = 8  # entries of a table for each hash, if the entries are read one after the other
ROW_MASK = (1 << ROW_BITS) - 1
HASH_MASK: Any = (1 << 64) - (1 << ROW_BITS)  # an integer, which is of the type of the table that it is used with
MIXED_ENTRIES = 1 << 15  # that are mixed at a time
MIX_INCREMENT = 0x9E3779B97F4A7C15
MIX_STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST_MIX_SHIFT = 31
MAX_POSITION = (1 << 64) - 1


def no_hashes() -> HashTable:
    """Return an empty table."""
    return np.empty(0, dtype=np.uint64)


def renumber_table(table: HashTable, live: RowNumbers, row_count: int) -> HashTable:
    """Return *table*, which is of *row_count* rows, with the *live* rows alone, which rise; the first is row 0 then.

    >>> renumber_table(np.array([1 << 24 | 2, 2 << 24 | 1], dtype=np.uint64), np.array([2]), 3) >> ROW_BITS
    array([1], dtype=uint64)
    """
    new_rows = np.full(row_count, ROW_MASK, dtype=np.uint32)  # no shard has so many rows
    new_rows[live] = np.arange(len(live), dtype=np.uint32)
    renumbered = new_rows[rows_of_table(table)]
    kept = renumbered != ROW_MASK
    entries: HashTable = (table[kept] & HASH_MASK) | renumbered[kept]
    return entries


def rows_of_table(table: HashTable) -> NDArray[np.uint32]:
    """Return the rows of *table*, in the order of their hashes."""
    return (table & ROW_MASK).astype(np.uint32)


def find_candidate_rows(
    table: HashTable, hashes: HashTable, prefixes: Prefixes | None = None
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Find the rows whose ids have one of *hashes*, which rise.

    Of many hashes, the *prefixes* leave out most entries of the table, which is faster than to search it for each hash.

    Returns:
        Two arrays of equal length: positions in *hashes*, and for each of them a row.

    >>> table, hashes = np.array([1 << 24 | 2, 3 << 24 | 1], dtype=np.uint64), np.array([3 << 24], dtype=np.uint64)
    >>> find_candidate_rows(table, hashes), find_candidate_rows(table, hashes, mark_prefixes(hashes))
    ((array([0]), array([1], dtype=uint32)), (array([0]), array([1], dtype=uint32)))
    """
    if prefixes is None or len(hashes) * MAX_SCANNED < len(table):
        positions, places = _find_places(table, hashes)
        return positions, rows_of_table(table[places])
    entries = _select_entries(table, prefixes)
    found, positions = _find_places(hashes, entries & HASH_MASK)
    return positions, rows_of_table(entries[found])


def mark_prefixes(hashes: HashTable) -> Prefixes:
    """Return for each number of some bits whether one of *hashes* begins with it: few do, as there are eight a hash.

    Of more than four million hashes there are fewer, so that the numbers stay within 32 MB.
    """
    bit_count = min(len(hashes).bit_length() + 3, MAX_PREFIX_BITS)
    prefixes = np.zeros(1 << bit_count, dtype=np.bool_)
    prefixes[(hashes >> np.uint64(HASH_BITS - bit_count)).view(np.int64)] = True
    return prefixes


def _select_entries(table: HashTable, prefixes: Prefixes) -> HashTable:
    """Return the entries of *table* that begin as *prefixes* say, in blocks whose numbers stay in the cache."""
    shift = np.uint64(HASH_BITS - len(prefixes).bit_length() + 1)
    length = choose_block_length(PREFIXED_ENTRIES)
    first_bits, is_marked = np.empty(length, dtype=np.uint64), np.empty(length, dtype=np.bool_)
    parts = [no_hashes()]
    for start in range(0, len(table), length):
        entries = table[start : start + length]
        size = len(entries)
        np.right_shift(entries, shift, out=first_bits[:size])
        prefixes.take(first_bits[:size].view(np.int64), out=is_marked[:size], mode="clip")  # none is clipped
        parts.append(entries[is_marked[:size]])
    return np.concatenate(parts)


def _find_places(table: HashTable, hashes: HashTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return positions in *hashes*, and for each of them a place in *table* with that hash."""
    starts = np.searchsorted(table, hashes)
    positions = np.flatnonzero(_has_hashes(table, starts, hashes))
    starts = starts[positions]
    repeated = np.flatnonzero(_has_hashes(table, starts + 1, hashes[positions]))
    if not len(repeated):  # nearly always
        return positions, starts
    counts = np.ones(len(positions), dtype=np.int64)
    stops = np.searchsorted(table, hashes[positions[repeated]] | ROW_MASK, side="right")
    counts[repeated] = stops - starts[repeated]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(positions, counts), np.repeat(starts, counts) + within


def _has_hashes(table: HashTable, places: NDArray[np.int64], hashes: HashTable) -> NDArray[np.bool_]:
    """Return which of *places* in *table*, which may be behind its end, have the one of *hashes* beside it."""
    if not len(table):
        return np.zeros(len(places), dtype=np.bool_)
    found: NDArray[np.bool_] = (table[np.minimum(places, len(table) - 1)] & HASH_MASK) == hashes
    found &= places < len(table)
    return found


def find_in_bucket(table: HashTable, seed: str, bucket: tuple[Fraction, Fraction]) -> tuple[HashTable, RowNumbers]:
    """Find the entries of *table* in *bucket*, a half-open interval within [0, 1).

    The 40 bits of the id's hash and the hash of *seed* are mixed by the finalizer of SplitMix64
    (https://prng.di.unimi.it/splitmix64.c). The result over 2⁶⁴ is the position of the device. Blocks of entries are
    mixed one after the other, in memory that stays in the cache of the processor.

    Returns:
        Two arrays of equal length: positions times 2⁶⁴, and for each of them a row.
    """
    low, high = map(scale_position, bucket)
    parts = [(no_hashes(), rows_of_table(no_hashes()))]
    if low < high:
        seed_hash, first, last = _hash_seed(seed), np.uint64(low), np.uint64(high - 1)
        length = choose_block_length(MIXED_ENTRIES)
        mixed, spare = np.empty((2, length), dtype=np.uint64)
        for start in range(0, len(table), length):
            entries = table[start : start + length]
            positions = _mix_hashes(entries, seed_hash, mixed[: len(entries)], spare[: len(entries)])
            at = np.flatnonzero((positions >= first) & (positions <= last))
            parts.append((positions[at], rows_of_table(entries[at])))
    return np.concatenate([part for part, _ in parts]), np.concatenate([rows for _, rows in parts])


def scale_position(position: Fraction) -> int:
    """Return the lowest whole number that is not below *position* times 2⁶⁴."""
    return -(-position.numerator * (1 << 64) // position.denominator)


def _hash_seed(seed: str) -> np.uint64:
    return np.uint64(hash64(seed.encode()) & HASH_MASK)


def _mix_hashes(entries: HashTable, seed_hash: np.uint64, mixed: HashTable, spare: HashTable) -> HashTable:
    """Return the positions of *entries* in *mixed*; *spare* is overwritten."""
    np.right_shift(entries, ROW_BITS, out=mixed)
    mixed ^= seed_hash
    mixed += np.uint64(MIX_INCREMENT)
    for shift, factor in MIX_STEPS:
        np.right_shift(mixed, np.uint64(shift), out=spare)
        mixed ^= spare
        mixed *= np.uint64(factor)
    np.right_shift(mixed, np.uint64(LAST_MIX_SHIFT), out=spare)
    mixed ^= spare
    return mixed


def mix_hash(hash_: int, seed: str) -> int:
    """Return the position times 2⁶⁴ of one id with this hash under *seed*, as `find_in_bucket` finds it."""
    mixed = (hash_ >> ROW_BITS ^ int(_hash_seed(seed))) + MIX_INCREMENT & MAX_POSITION
    for shift, factor in MIX_STEPS:
        mixed = (mixed ^ mixed >> shift) * factor & MAX_POSITION
    return mixed ^ mixed >> LAST_MIX_SHIFT
