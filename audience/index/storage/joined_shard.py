"""Join a large shard with the deltas beside it, without deleted rows, to one shard that questions are evaluated in.

Each shard costs some microseconds in every question, however few rows it has, and so do its deleted rows. A joined
shard numbers the rows of its parts one after the other; a part of which many rows are deleted is closed up. When a
question first needs the bitmap of a value, those of the parts are joined, and the other deleted rows are removed.
"""

#   parts               large shard     delta   delta
#   rows                0 … 1,599,999   +0…+9   +0…+39
#   joined rows         0 … 1,599,999 | …0,009 | …0,049
#   bitmap of a value   as it is      | shifted| shifted
#
#   if 160,000 rows of the large shard are deleted
#   joined rows         0 … 1,439,999 | …0,009 | …0,049
#   bitmap of a value   closed up     | shifted| shifted

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, count

import numpy as np
from numpy.typing import NDArray

from audience.index.schema.columns import Role
from audience.index.schema.value_types import SortedStrings, StringSequence, value_type_of
from audience.index.storage.bitmaps import BitMap, RowSet, remove_rows_in_form
from audience.index.storage.cache import RowSetCache
from audience.index.storage.closed_rows import ClosedRows
from audience.index.storage.device_numbers import Numbers
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.packed_words import WordBytes
from audience.index.storage.shard import Shard
from audience.language.ast import (
    Aggregate,
    Did,
    EventMoment,
    Expr,
    Ids,
    Limit,
    Matches,
    Sample,
    Split,
    Top,
)

MAX_JOINED_ROWS = 1 << 21  # of a shard that is joined with others, to at most twice as many
DELTA_FRACTION = 4  # a shard of such a part of it is a delta, which is joined with any
MAX_DELETED_RATIO = 1 / 64  # of the rows of a shard: more are closed up
TAG_ROW_BITS = 32  # a joined row of the tags file: the number of the attribute, and the row within it
MAX_SEARCHED_RATIO = 1 / 16  # of the values of an attribute: so few are searched for one by one
NO_ROWS = BitMap()  # is never changed
EVALUATED_BY_PARTS = (Ids, Sample, Split, Limit, Top, Matches, Did, Aggregate, EventMoment)


def group_parts(shards: Sequence[Shard]) -> list[list[Shard]]:
    """Return groups of *shards*, each in falling size.

    A large shard is alone. Smaller ones are joined; deltas that have no such group come after the smallest shard.
    """
    in_order = sorted(shards, key=_row_count, reverse=True)
    groups = [[shard] for shard in in_order if shard.row_count > MAX_JOINED_ROWS]
    small: list[Shard] = []
    for shard in in_order[len(groups) :]:
        is_delta = shard.row_count * DELTA_FRACTION <= MAX_JOINED_ROWS
        if not small and is_delta and groups:
            small = groups[-1]
        elif not small or (not is_delta and sum(map(_row_count, small)) + shard.row_count > 2 * MAX_JOINED_ROWS):
            small = []
            groups.append(small)
        small.append(shard)
    return groups


def _row_count(shard: Shard) -> int:
    return shard.row_count


class JoinedShard(Shard):
    """Several shards as one. The first part is the largest; rows of a part follow those of the parts before it.

    It has rows, and bitmaps without deleted rows, but no files and no ids: those are asked of its parts. Attributes
    that the parts store in ways that cannot be joined are left out; expressions about them are evaluated in each part.
    """

    def __init__(self, parts: Sequence[Shard], cache: RowSetCache, known: "Iterable[JoinedShard]" = ()):
        self.parts = tuple(parts)
        self.closed = _close_parts(parts, known)
        first = self.parts[0]
        self.files, self.is_remote = first.files, first.is_remote
        self.name = f"joined {'+'.join(part.name for part in parts)}"  # unlike that of a single part, for caches
        self.row_count = sum(self._row_counts)
        self.index_columns = first.index_columns
        self.group = first.group
        self._start_empty()
        self._earlier_bitmaps: dict[int, BitMap] = {}  # with rows that have been deleted since
        self._set_deleted(self._join_deleted(), cache)

    def becomes(self, parts: Sequence[Shard]) -> bool:
        """Return whether *parts* have the files of the parts of this shard, and all its deleted rows and few others."""
        if [part.files for part in self.parts] != [part.files for part in parts]:
            return False
        pairs = zip(self.parts, parts, strict=True)
        has_all = all((before.deleted or NO_ROWS) <= (after.deleted or NO_ROWS) for before, after in pairs)
        row_count = sum(part.row_count for part in parts)
        others = sum(len(part.deleted or NO_ROWS) for part in parts) - (row_count - self.row_count)
        return has_all and others <= row_count * MAX_DELETED_RATIO

    def with_parts(self, parts: Sequence[Shard], cache: RowSetCache) -> "JoinedShard":
        """Return the shard with *parts* that it `becomes`; everything that was read is shared."""
        shard = copy(self)
        shard.parts = tuple(parts)
        shard.index_columns, shard.group = parts[0].index_columns, parts[0].group
        shard._set_deleted(shard._join_deleted(), cache)
        if shard.deleted != self.deleted:
            shard._earlier_bitmaps = {**self._earlier_bitmaps, **self._bitmaps}
            shard._bitmaps, shard.operands, shard.compare_cache, shard.and_cache = {}, {}, {}, {}
            shard.loaded_exprs = {}
            shard.kept_forms = {}
        return shard

    @property
    def _row_counts(self) -> list[int]:
        """Return how many rows of each part are numbered."""
        pairs = zip(self.parts, self.closed, strict=True)
        return [part.row_count if closed is None else closed.row_count for part, closed in pairs]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Return the first joined row of each part."""
        return (0, *accumulate(self._row_counts[:-1]))

    def _join_deleted(self) -> BitMap:
        return self.join_rows([part.deleted or NO_ROWS for part in self.parts])

    def join_rows(self, rows_of_parts: Sequence[BitMap]) -> BitMap:
        """Return rows of each part as rows of this shard, without those that are closed up."""
        pairs = zip(rows_of_parts, self.closed, strict=True)
        return self._join_numbered([closed.close(rows) if closed and rows else rows for rows, closed in pairs])

    def _join_numbered(self, rows_of_parts: Sequence[BitMap]) -> BitMap:
        """Return rows of each part, as they are numbered there, as rows of this shard."""
        pairs = zip(rows_of_parts, self.offsets, strict=True)
        shifted = [rows.shift(offset) if offset else rows for rows, offset in pairs if rows]
        if len(shifted) > 2:
            shifted[1:] = [BitMap.union(*shifted[1:])]  # the first one is the largest
        return shifted[0] | shifted[1] if len(shifted) > 1 else next(iter(shifted), NO_ROWS)

    def split_rows(self, rows: BitMap) -> list[BitMap]:
        """Return *rows* of this shard as rows of each part."""
        bounds = zip(self.offsets, (*self.offsets[1:], self.row_count), self.closed, strict=True)
        return [_cut_rows(rows, start, stop, closed) for start, stop, closed in bounds]

    def device_numbers(self, rows: NDArray[np.uint32]) -> Numbers:
        """Return the numbers of the devices in *rows*, which rise."""
        bounds = np.searchsorted(rows, [*self.offsets, self.row_count])
        rows_of_parts = [
            rows[start:stop] - np.uint32(offset)
            for start, stop, offset in zip(bounds[:-1], bounds[1:], self.offsets, strict=True)
        ]
        return np.concatenate(
            [
                part.device_numbers(own if closed is None else closed.old_rows(own))
                for part, own, closed in zip(self.parts, rows_of_parts, self.closed, strict=True)
            ]
        )

    def rows_of_numbers(self, numbers: Numbers) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Find the live rows of the devices with *numbers*, as `Shard.rows_of_numbers` does."""
        rows = np.zeros(len(numbers), dtype=np.uint32)
        is_present = np.zeros(len(numbers), dtype=np.bool_)
        for part, offset, closed in zip(self.parts, self.offsets, self.closed, strict=True):
            own_rows, is_own = part.rows_of_numbers(numbers)
            rows[is_own] = (own_rows if closed is None else closed.new_rows(own_rows)) + np.uint32(offset)
            is_present |= is_own
        return rows[is_present], is_present

    def is_evaluated_by_parts(self, expr: Expr) -> bool:
        """Return whether the rows of *expr*, which has no operands, are found in each part instead of here."""
        if isinstance(expr, EVALUATED_BY_PARTS):
            return True
        type_ = getattr(expr, "type", None)
        return type_ is not None and type_ not in self.attributes

    def join_row_sets(self, row_sets: Sequence[RowSet]) -> RowSet:
        """Return the rows that were found in each part."""
        found = [
            part.live_rows - row_set.bitmap if row_set.complemented else row_set.bitmap
            for part, row_set in zip(self.parts, row_sets, strict=True)
        ]
        return RowSet(self.join_rows(found), False, sum(row_set.nbytes for row_set in row_sets))

    @cached_property
    def attributes(self) -> Mapping[str, StoredAttribute]:  # type: ignore[override]  # computed when they are needed
        """Return the attributes whose bitmaps can be joined, by name."""
        return JoinedAttributes(self.parts)

    @property
    def _joined(self) -> "JoinedAttributes":
        assert isinstance(self.attributes, JoinedAttributes)
        return self.attributes

    def attribute_values(self, attribute: StoredAttribute) -> StringSequence:  # type: ignore[override]
        """Return the values of *attribute* in all parts, in order."""
        return self._joined.find(attribute.start).values

    @cached_property
    def bitmap_sizes(self) -> "BitmapSizes":  # type: ignore[override]
        """Return the approximate size of every bitmap, in bytes."""
        return BitmapSizes(self._joined)

    def view_words(self, tag_rows: range) -> list[WordBytes | None]:
        """Return None for each: a joined bitmap is not stored."""
        return [None] * len(tag_rows)

    def _read_bitmap(self, tag_row: int) -> BitMap:
        earlier = self._earlier_bitmaps.pop(tag_row, None)
        bitmap = self._join_bitmap(tag_row) if earlier is None else earlier
        return remove_rows_in_form(bitmap, self.deleted) if self.deleted else bitmap

    def _join_bitmap(self, tag_row: int) -> BitMap:
        tag_rows = self._joined.rows_of_parts(tag_row)
        rows = zip(self.parts, tag_rows, self.closed, strict=True)
        return self._join_numbered(
            [_union_of_rows(part, own, closed) if own else NO_ROWS for part, own, closed in rows]
        )

    def load_bitmaps(self, tag_rows: Sequence[int]) -> list[BitMap]:  # type: ignore[override]
        """Return the bitmaps of several values."""
        missing = [row for row in tag_rows if row not in self._bitmaps and row not in self._earlier_bitmaps]
        if len(missing) > 1:
            by_part = zip(*map(self._joined.rows_of_parts, missing), strict=True)
            for part, closed, rows in zip(self.parts, self.closed, by_part, strict=True):
                _load_part(part, [row for own in rows for row in own], closed)
        return [self.load_bitmap(tag_row) for tag_row in tag_rows]


class JoinedAttributes(Mapping[str, StoredAttribute]):
    """Attributes of several shards by name, those that can be joined. Each is joined when it is first asked for.

    Several threads may ask at once, also for one attribute: then the first that is entered is the one that all use.
    """

    def __init__(self, parts: Sequence[Shard]):
        self.parts = tuple(parts)
        self._by_name: dict[str, JoinedAttribute | None] = {}
        self._by_number: dict[int, JoinedAttribute] = {}
        self._numbers = count()

    def __getitem__(self, name: str) -> StoredAttribute:
        if name not in self._by_name:
            number = next(self._numbers)  # no two threads have the same
            joined = _join_attribute(name, self.parts, number << TAG_ROW_BITS)
            if joined is not None:
                self._by_number[number] = joined
            self._by_name.setdefault(name, joined)
        found = self._by_name[name]
        if found is None:
            raise KeyError(name)
        return found.stored

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys(name for part in self.parts for name in part.attributes)
        return (name for name in names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def find(self, tag_row: int) -> "JoinedAttribute":
        """Return the attribute that a row of the tags file belongs to."""
        return self._by_number[tag_row >> TAG_ROW_BITS]

    def rows_of_parts(self, tag_row: int) -> list[Sequence[int]]:
        """Return the rows of the tags files of all parts that are joined as *tag_row*."""
        joined = self.find(tag_row)
        return joined.rows_of_parts(tag_row - joined.stored.start)


@dataclass(frozen=True, slots=True)
class JoinedAttribute:
    """Attribute of several shards: its values in order, and the rows of the tags files that hold them."""

    stored: StoredAttribute
    values: "MergedStrings"
    first_row: int  # of the first part
    rows_of_others: Sequence[Mapping[str, Sequence[int]]]  # by value, of the other parts

    def rows_of_parts(self, rank: int) -> list[Sequence[int]]:
        """Return the rows of the tags files of all parts that hold the value of *rank*."""
        if not any(self.rows_of_others):  # bit slices, too
            return [(self.first_row + rank,), *(() for _ in self.rows_of_others)]
        value, rank_of_first = self.values[rank], self.values.rank_of_first(rank)
        of_first = () if rank_of_first is None else (self.first_row + rank_of_first,)
        return [of_first, *(rows.get(value, ()) for rows in self.rows_of_others)]


@dataclass(frozen=True, slots=True)
class MergedStrings:
    """Sorted strings of the first part, and *others* that only later parts have, each at its *position* among them."""

    first: StringSequence
    others: Sequence[str] = ()
    positions: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.first) + len(self.others)

    def __getitem__(self, rank: int) -> str:
        before = bisect_left(self.positions, rank)
        is_other = before < len(self.positions) and self.positions[before] == rank
        return self.others[before] if is_other else self.first[rank - before]

    def rank_of_first(self, rank: int) -> int | None:
        """Return the rank among the strings of the first part; None if it does not have the string."""
        before = bisect_left(self.positions, rank)
        is_other = before < len(self.positions) and self.positions[before] == rank
        return None if is_other else rank - before


class BitmapSizes:
    """Approximate sizes of joined bitmaps: what later parts have is small."""

    def __init__(self, attributes: JoinedAttributes):
        self._attributes = attributes
        self._known: dict[int, int] = {}

    def __getitem__(self, tag_row: int) -> int:
        size = self._known.get(tag_row)
        if size is None:
            parts, rows = self._attributes.parts, self._attributes.rows_of_parts(tag_row)
            size = sum(part.bitmap_sizes[row] for part, own in zip(parts, rows, strict=True) for row in own)
            self._known[tag_row] = size
        return size


def _close_parts(parts: Sequence[Shard], known: Iterable[JoinedShard]) -> tuple[ClosedRows | None, ...]:
    """Return for each of *parts* its rows without the deleted ones, or None if these are few.

    Those of *known* shards, which have bitmaps already, are taken again if few other rows were deleted since.
    """
    pairs = (pair for shard in known for pair in zip(shard.parts, shard.closed, strict=True))
    by_name = {part.name: (part, closed) for part, closed in pairs}
    return tuple(_close_part(part, *by_name.get(part.name, (part, None))) for part in parts)


def _close_part(part: Shard, known: Shard, closed: ClosedRows | None) -> ClosedRows | None:
    deleted, max_count = part.deleted or NO_ROWS, part.row_count * MAX_DELETED_RATIO
    if closed is not None and known.files == part.files and closed.deleted <= deleted:
        others = len(deleted) - len(closed.deleted)
    else:
        closed, others = None, len(deleted)
    return closed if others <= max_count else ClosedRows(deleted, part.row_count)


def _cut_rows(rows: BitMap, start: int, stop: int, closed: ClosedRows | None) -> BitMap:
    """Return the *rows* from *start* up to *stop* as rows of the part that they are of."""
    if not rows.range_cardinality(start, stop):
        return BitMap()
    own = (rows & BitMap(range(start, stop))).shift(-start)
    return own if closed is None else closed.open(own)


def _load_part(part: Shard, tag_rows: Sequence[int], closed: ClosedRows | None) -> None:
    """Load bitmaps of *part*, many of them together."""
    if closed is None:
        part.load_bitmaps(tag_rows)
        return
    missing = [tag_row for tag_row in dict.fromkeys(tag_rows) if tag_row not in closed.bitmaps]
    closed.bitmaps.update(zip(missing, map(closed.close, part.read_bitmaps(missing)), strict=True))


def _union_of_rows(part: Shard, tag_rows: Sequence[int], closed: ClosedRows | None) -> BitMap:
    """Return the rows that have the value in one of several rows of the tags file, as they are numbered."""
    _load_part(part, tag_rows, closed)
    load = part.load_bitmap if closed is None else closed.bitmaps.__getitem__
    first, *others = map(load, tag_rows)
    return BitMap.union(first, *others) if others else first


def _join_attribute(name: str, parts: Sequence[Shard], start: int) -> JoinedAttribute | None:
    """Return an attribute of *parts* whose rows begin at *start*; None if no part has it, or it cannot be joined."""
    stored = [part.attributes.get(name) for part in parts]
    present = [attribute for attribute in stored if attribute is not None]
    first, others = stored[0], stored[1:]
    if first is not None and len(present) == 1:
        moved = replace(first, start=start, stop=start + first.stop - first.start)
        strings = MergedStrings(parts[0].attribute_values(first))
        return JoinedAttribute(moved, strings, first.start, [{} for _ in others])
    forms = {(attribute.role, attribute.type_name, attribute.bit_slicing) for attribute in present}
    if len(forms) != 1 or present[0].bit_slicing is not None:
        return None
    rows_of_others = [
        {} if attribute is None else part.rows_by_value(attribute)
        for part, attribute in zip(parts[1:], others, strict=True)
    ]
    values = _merge_values(parts[0], first, present[0].role, rows_of_others)
    joined = replace(
        present[0],
        start=start,
        stop=start + len(values),
        distinct_count=len(values),
        is_single_valued=all(attribute.is_single_valued for attribute in present),
    )
    return JoinedAttribute(joined, values, 0 if first is None else first.start, rows_of_others)


def _merge_values(
    shard: Shard, attribute: StoredAttribute | None, role: Role, rows_of_others: Sequence[Mapping[str, Sequence[int]]]
) -> MergedStrings:
    """Return the values of *attribute* of the first part, and those of the other parts that it lacks, in order."""
    strings: StringSequence = [] if attribute is None else shard.attribute_values(attribute)
    wanted = {value for rows in rows_of_others for value in rows}
    known = {} if attribute is None else shard.known_ranks.setdefault(attribute.name, {})
    find_ranks(wanted - known.keys(), strings, role, known)
    value_type = value_type_of(role)
    lacking = sorted(
        (value for value in wanted if known[value] is None), key=lambda text: (value_type.parse(text), text)
    )
    ordered = SortedStrings(value_type, strings)
    positions = [ordered.rank_through(value_type.parse(value)) + before for before, value in enumerate(lacking)]
    return MergedStrings(strings, lacking, positions)


def find_ranks(values: Collection[str], strings: StringSequence, role: Role, known: dict[str, int | None]) -> None:
    """Enter the rank of each of *values* among the sorted *strings* in *known*, None for one that is not there."""
    if len(values) > len(strings) * MAX_SEARCHED_RATIO:
        ranks = {strings[rank]: rank for rank in reversed(range(len(strings)))}
        known.update((value, ranks.get(value)) for value in values)
        return
    ordered = SortedStrings(value_type_of(role), strings)
    for value in values:
        key = ordered.value_type.parse(value)
        equal = range(ordered.rank_below(key), ordered.rank_through(key))
        known[value] = next((rank for rank in equal if strings[rank] == value), None)


def rows_by_shard(evaluated: Iterable[Shard], rows: Iterable[BitMap]) -> dict[str, BitMap]:
    """Return the rows of each shard of a snapshot, by its name, for those of some of the `evaluated_shards`."""
    by_name: dict[str, BitMap] = {}
    for shard, bitmap in zip(evaluated, rows, strict=True):
        if isinstance(shard, JoinedShard):
            by_name |= zip((part.name for part in shard.parts), shard.split_rows(bitmap), strict=True)
        else:
            by_name[shard.name] = bitmap
    return by_name
