"""Choose the devices with the largest or smallest values of an attribute, over all shards.

The boundary is searched for as in quickselect. A pivot is the value of the largest shard at the place where the
boundary is expected; devices before and at the pivot are counted in all shards, and the search goes on before or
behind it. A few pivots are enough for millions of devices whose values are spread alike over the shards.

A device of several values counts with its largest one, or with its smallest one for the smallest values.
"""

#   top 5 of      shard A  9 7 5 3 1        pivot 7, the second of A      before it: 9 8         3 with it
#                 shard B  8 6 4 2          2 more behind it:
#                 shard A  5 3 1            pivot 5, the first of A       before it: 6           2 with it: found
#                 shard B  6 4 2

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from audience.index.query.attribute_rows import bit_slices, rows_in_ranks, rows_with_value, sorted_values
from audience.index.query.limits import choose_devices
from audience.index.query.shard_threads import map_shards
from audience.index.schema.value_types import SortedValues, SortKey
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.shard import Shard

TIE_SEED = "top"  # chooses among the devices with the last value


def choose_extremes(
    rows_by_shard: Sequence[BitMap], count: int, attribute_name: str, shards: Sequence[Shard], *, largest: bool
) -> list[BitMap]:
    """Return the rows of the *count* given devices with the largest or smallest values, or of all that have a value.

    Args:
        rows_by_shard: Live rows of each shard.
        count: Number of devices.
        attribute_name: Ordered attribute.
        shards: Shards.
        largest: Whether the largest values are wanted.
    """
    rankings = [_Ranking.of(attribute_name, shard, largest) for shard in shards]
    open_rows = [ranking.with_value(rows) for ranking, rows in zip(rankings, rows_by_shard, strict=True)]
    chosen = [BitMap() for _ in shards]
    missing = count
    while missing < (total := sum(map(len, open_rows))):
        number = max(range(len(shards)), key=lambda number: len(open_rows[number]))
        place = max(missing * len(open_rows[number]) // total, 1)
        pivot = rankings[number].key_at(open_rows[number], place)
        parts = map_shards(partial(_split_rows, pivot), shards, rankings, open_rows)
        before_count = sum(len(before) for before, _ in parts)
        equal_count = sum(len(equal) for _, equal in parts)
        if before_count >= missing:
            open_rows = [before for before, _ in parts]
            continue
        chosen = [rows | before for rows, (before, _) in zip(chosen, parts, strict=True)]
        missing -= before_count
        equal_rows = [equal for _, equal in parts]
        if equal_count >= missing:
            open_rows = choose_devices(equal_rows, missing, TIE_SEED, shards)
            break
        chosen = [rows | equal for rows, equal in zip(chosen, equal_rows, strict=True)]
        missing -= equal_count
        open_rows = [rows - before - equal for rows, (before, equal) in zip(open_rows, parts, strict=True)]
    return [rows | rest for rows, rest in zip(chosen, open_rows, strict=True)]


def _split_rows(key: SortKey, _: Shard, ranking: "_Ranking", rows: BitMap) -> tuple[BitMap, BitMap]:
    return ranking.split(rows, key)


def find_sliced_rank(slices: Sequence[BitMap], rows: BitMap, place: int, *, largest: bool) -> int:
    """Return the bit-sliced number of the row at *place*, from 1, among *rows*, which all have a number.

    The bit slices are walked from the highest one: the rows with the digit that is wanted come first.

    Args:
        slices: Bit slices, lowest bit first.
        rows: Rows to order.
        place: Place in the order.
        largest: Whether the largest number comes first.
    """
    number = 0
    for bit in reversed(range(len(slices))):
        first = rows & slices[bit] if largest else rows - slices[bit]
        is_first = len(first) >= place
        if is_first:
            rows = first
        else:
            place -= len(first)
            rows = rows - first
        number |= (is_first == largest) << bit
    return number


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Order of the rows of a shard by their values of an attribute, which the shard may not have."""

    shard: Shard
    attribute: StoredAttribute | None
    values: SortedValues | None
    largest: bool

    @classmethod
    def of(cls, attribute_name: str, shard: Shard, largest: bool) -> "_Ranking":
        attribute = shard.attributes.get(attribute_name)
        values = None if attribute is None else sorted_values(attribute, shard)
        return cls(shard, attribute, values, largest)

    def with_value(self, rows: BitMap) -> BitMap:
        """Return those of *rows* that have a value."""
        return rows & rows_with_value(self.attribute, self.shard).bitmap if self.attribute else BitMap()

    def key_at(self, rows: BitMap, place: int) -> SortKey:
        """Return the value of the row at *place*, from 1, among *rows*, which all have a value."""
        assert self.attribute is not None and self.values is not None
        find_rank = self._rank_in_bitmaps if self.attribute.bit_slicing is None else self._rank_in_slices
        return self.values.key_at(find_rank(self.attribute, rows, place))

    def _rank_in_slices(self, attribute: StoredAttribute, rows: BitMap, place: int) -> int:
        _, slices = bit_slices(attribute, self.shard)
        return find_sliced_rank(slices, rows, place, largest=self.largest)

    def _rank_in_bitmaps(self, attribute: StoredAttribute, rows: BitMap, place: int) -> int:
        """Walk the values from the first one; a row of several values counts where it occurs first."""
        ranks = range(attribute.value_count)
        for rank in reversed(ranks) if self.largest else ranks:
            bitmap = self.shard.load_bitmap(attribute.start + rank)
            place -= rows.intersection_cardinality(bitmap)
            if place <= 0:
                return rank
            if not attribute.is_single_valued:
                rows = rows - bitmap
        raise AssertionError(f"fewer rows have a value of {attribute.name} than are ranked")

    def split(self, rows: BitMap, key: SortKey) -> tuple[BitMap, BitMap]:
        """Return the *rows* that come before *key*, and those that have it as their first value."""
        if not rows or self.attribute is None or self.values is None:
            return BitMap(), BitMap()
        below, through = self.values.rank_below(key), self.values.rank_through(key)
        ranks_before = (through, self.values.size) if self.largest else (0, below)
        before = rows_in_ranks(self.attribute, ranks_before, self.shard, rows).bitmap
        equal = rows_in_ranks(self.attribute, (below, through), self.shard, rows).bitmap
        return before, equal - before
