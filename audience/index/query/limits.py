"""Choose an exact number of devices by their positions under a seed.

The devices with the lowest positions are chosen, so that a larger number contains a smaller one. Of devices at one
position, those with the lowest ids are chosen, compared as texts.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from audience.index.query.sampling import iter_positions
from audience.index.schema.columns import rank_id_columns
from audience.index.storage.bitmaps import BitMap, RowNumbers
from audience.index.storage.id_lookup import HashTable
from audience.index.storage.packed_words import bitmap_to_mask, mask_to_bitmap
from audience.index.storage.shard import Shard

SURPLUS_DEVIATIONS = 8  # standard deviations by which more devices than wanted are looked at first


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
    expected = count + SURPLUS_DEVIATIONS * (isqrt(count) + 1)
    while True:
        share = min(Fraction(expected, total), Fraction(1))
        found = [_find_positions(rows, seed, share, shard) for rows, shard in zip(rows_by_shard, shards, strict=True)]
        if share == 1 or sum(len(positions) for positions, _ in found) >= count:
            return _choose_lowest(found, count, shards)
        expected *= 2


def _find_positions(rows: BitMap, seed: str, share: Fraction, shard: Shard) -> tuple[HashTable, RowNumbers]:
    """Return the positions below *share* of the given *rows*, and their rows."""
    if not rows:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint32)
    is_wanted = bitmap_to_mask(rows, shard.row_count)
    parts = []
    for positions, row_numbers in iter_positions(seed, (Fraction(0), share), shard):
        kept = is_wanted[row_numbers]
        parts.append((positions[kept], row_numbers[kept]))
    return np.concatenate([positions for positions, _ in parts]), np.concatenate([numbers for _, numbers in parts])


def _choose_lowest(found: Sequence[tuple[HashTable, RowNumbers]], count: int, shards: Sequence[Shard]) -> list[BitMap]:
    """Return the rows with the *count* lowest positions of all shards."""
    all_positions = np.concatenate([positions for positions, _ in found])
    highest = np.partition(all_positions, count - 1)[count - 1]
    wanted_ties = count - int((all_positions < highest).sum())
    chosen_ties = _choose_ties([rows[positions == highest] for positions, rows in found], wanted_ties, shards)
    chosen = []
    for (positions, rows), ties, shard in zip(found, chosen_ties, shards, strict=True):
        is_chosen: NDArray[np.bool_] = np.zeros(shard.row_count, dtype=np.bool_)
        is_chosen[rows[positions < highest]] = True
        is_chosen[ties] = True
        chosen.append(mask_to_bitmap(is_chosen))
    return chosen


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
