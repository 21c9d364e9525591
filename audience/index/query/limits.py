"""Choose an exact number of devices by their positions under a seed.

The devices with the lowest positions are chosen, so that a larger number contains a smaller one. Of devices at one
position, those with the lowest ids are chosen, compared as texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import isqrt
from typing import TYPE_CHECKING

from audience.index.query.sampling import Bucket, Positions, iter_positions
from audience.index.query.shard_threads import map_shards
from audience.index.schema.columns import rank_id_columns
from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows
from audience.index.storage.id_lookup import HashTable, scale_position
from audience.index.storage.packed_words import bitmap_to_mask, mask_to_bitmap
from audience.index.storage.shard import Shard
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEVIATIONS = 8  # standard deviations around the expected position of the last device that is chosen
MAX_HASHED_ROWS = 1_024  # in a shard, whose ids are read and hashed rather than all hashes searched


def choose_devices(rows_by_shard: Sequence[BitMap], count: int, seed: str, shards: Sequence[Shard]) -> list[BitMap]:
    """Return the rows of *count* of the given devices, or of all of them if there are no more.

    Args:
        rows_by_shard: Live rows of each shard.
        count: Number of devices.
        seed: Selects the devices.
        shards: Shards.
    """
    total = sum(map(len, rows_by_shard))
    if total <= count:
        return list(rows_by_shard)
    excludes = 2 * count > total  # the fewer rows are marked: those that are chosen, or those that are not
    deviations = DEVIATIONS
    while True:
        window = _expect_position(count, total, deviations)
        bucket = (window[0], Fraction(1)) if excludes else (Fraction(0), window[1])
        found = map_shards(partial(_find_candidates, seed, bucket, window), shards, rows_by_shard)
        marked, undecided = sum(each.marked_count for each in found), sum(len(each.rows) for each in found)
        missing = count - (total - marked - undecided if excludes else marked)
        if 0 <= missing <= undecided:
            break
        deviations *= 4
    for each, is_chosen in zip(found, _choose_lowest(found, missing, shards), strict=True):
        each.is_marked[each.rows[is_chosen != excludes]] = True
    marked_rows = [mask_to_bitmap(each.is_marked) for each in found]
    return [rows - out for rows, out in zip(rows_by_shard, marked_rows, strict=True)] if excludes else marked_rows


def _expect_position(count: int, total: int, deviations: int) -> Bucket:
    """Return an interval in which the *count*-th lowest of *total* random positions very probably is."""
    margin = deviations * (isqrt(count) + 1)
    return max(Fraction(count - margin, total), Fraction(0)), min(Fraction(count + margin, total), Fraction(1))


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Rows of a shard outside a window of positions, which are marked, and the *positions* of the *rows* in it."""

    is_marked: NDArray[np.bool_]
    marked_count: int
    positions: HashTable
    rows: RowNumbers


def _find_candidates(seed: str, bucket: Bucket, window: Bucket, shard: Shard, rows: BitMap) -> _Candidates:
    """Mark those of *rows* with positions in *bucket* but not in *window*, and find those in it."""
    is_marked, marked_count = np.zeros(shard.row_count, dtype=np.bool_), 0
    positions, undecided = [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=np.uint32)]
    first, last = np.uint64(scale_position(window[0])), np.uint64(scale_position(window[1]) - 1)
    for some_positions, some_rows in _iter_positions_of_rows(rows, seed, bucket, shard):
        is_undecided = (some_positions >= first) & (some_positions <= last)
        is_marked[some_rows[~is_undecided]] = True
        marked_count += len(some_rows) - int(np.count_nonzero(is_undecided))
        positions.append(some_positions[is_undecided])
        undecided.append(some_rows[is_undecided])
    return _Candidates(is_marked, marked_count, np.concatenate(positions), np.concatenate(undecided))


def _iter_positions_of_rows(rows: BitMap, seed: str, bucket: Bucket, shard: Shard) -> Iterator[Positions]:
    """Yield the positions in *bucket* of the given *rows*, and the rows."""
    if len(rows) <= MAX_HASHED_ROWS:
        yield from iter_positions(seed, bucket, shard, bitmap_to_rows(rows))
        return
    is_wanted = bitmap_to_mask(rows, shard.row_count)
    for positions, row_numbers in iter_positions(seed, bucket, shard):
        kept = is_wanted[row_numbers]
        yield positions[kept], row_numbers[kept]


def _choose_lowest(found: Sequence[_Candidates], count: int, shards: Sequence[Shard]) -> list[NDArray[np.bool_]]:
    """Return which rows of each of *found* are among the *count* with the lowest positions."""
    if not count:
        return [np.zeros(len(each.rows), dtype=np.bool_) for each in found]
    last = np.partition(np.concatenate([each.positions for each in found]), count - 1)[count - 1]
    tie_count = count - sum(int(np.count_nonzero(each.positions < last)) for each in found)
    ties = _choose_ties([each.rows[each.positions == last] for each in found], tie_count, shards)
    return [(each.positions < last) | np.isin(each.rows, tied) for each, tied in zip(found, ties, strict=True)]


def _choose_ties(ties: Sequence[RowNumbers], count: int, shards: Sequence[Shard]) -> list[RowNumbers]:
    """Return *count* of the rows at one position: those with the lowest ids."""
    if sum(map(len, ties)) == count:
        return list(ties)
    by_id = sorted(
        (read_first_id(row, shard), number, row)
        for number, (rows, shard) in enumerate(zip(ties, shards, strict=True))
        for row in rows.tolist()
    )
    return [
        np.array([row for _, shard_number, row in by_id[:count] if shard_number == number], dtype=np.uint32)
        for number in range(len(shards))
    ]


def read_first_id(row: int, shard: Shard) -> tuple[str, int]:
    """Return the id that gives a device its position, and the rank of its column."""
    for rank, column in enumerate(rank_id_columns(shard.id_columns)):
        (identifier,) = shard.take_ids(column, np.array([row], dtype=np.uint32)).to_pylist()
        if identifier is not None:
            return identifier, rank
    raise AssertionError(f"row {row} of {shard.name} has no id")
