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

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from itertools import accumulate, chain, islice
from typing import TYPE_CHECKING, NamedTuple, overload

from audience.index.schema.value_types import StringSequence
from audience.index.storage.bitmap_forms import measure_form
from audience.index.storage.bitmaps import BitMap, RowSet, copy_side_by_side, remove_rows, remove_rows_keeping_runs
from audience.index.storage.cache import RowSetCache
from audience.index.storage.device_numbers import Numbers
from audience.index.storage.earlier_bitmaps import EarlierBitmaps, Numbering, list_united
from audience.index.storage.joined_attributes import TAG_ROW_BITS, BitmapSizes, JoinedAttributes, count_common_prefix
from audience.index.storage.kept_forms import KeptForms
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.packed_words import WordBytes
from audience.index.storage.row_renumbering import RowRenumbering
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
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_JOINED_ROWS = 1 << 21  # of a shard that is joined with others, to at most twice as many
DELTA_FRACTION = 4  # a shard of such a part of it is a delta, which is joined with any
MAX_DELETED_RATIO = 1 / 64  # of the rows of a shard: more are closed up
MAX_GAPS_RATIO = 1 / 1024  # the same where they are gaps in the runs of bitmaps that were asked for
GAPS_CLOSED_EVERY = 8  # changes, so that they cost a first count little, even if each deletes as many
MAX_MEASURED_BITMAPS = 64  # which say whether that is so
MAX_UNMEASURED_RATIO = 1 / 64  # of the rows: sizes of bitmaps are not measured again for so few new ones
MIN_MOVED_BITMAPS, MAX_MOVED_BITMAPS, MAX_MOVED_BYTES = 8, 1 << 10, 1 << 18  # that are read, and moved, together
MOVED_EVERY = 4  # changes: to move them takes a tenth of the time of the first count after one
MAX_EARLIER_SHARDS = 4  # whose bitmaps are kept
MAX_EARLIER_TAGS = 1 << 14  # whose rows of the tags file are remembered
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

    earlier_bitmaps: tuple[EarlierBitmaps, ...] = ()  # of snapshots before, the last one first
    change_count = 0  # since the first shard that this one goes on with
    _earlier_attributes: JoinedAttributes | None = None

    def __init__(self, parts: Sequence[Shard], cache: RowSetCache, known: Sequence[JoinedShard] = ()):
        self.parts = tuple(parts)
        self.renumberings = _renumber_parts(parts, known)
        first = self.parts[0]
        self.files, self.is_remote = first.files, first.is_remote
        self.name = f"joined {'+'.join(part.name for part in parts)}"  # unlike that of a single part, for caches
        self.row_count = sum(self._row_counts)
        self.index_columns = first.index_columns
        self.group = first.group
        self._start_empty()
        self._set_deleted(self._join_deleted(), cache)
        self._earlier_tags: dict[tuple[str, str], int] = {}
        self.profiled: set[str] = set()  # names of attributes of which all values were counted
        self.rows_of_values: dict[str, NDArray[np.int64]] = {}  # rows of each value of an attribute
        self._later_rows: dict[tuple[int, int], dict[int, list[tuple[int, Sequence[int]]]]] = {}
        self._earlier_sizes: Mapping[int, int] = {}
        followed = max(known, key=self._count_common_parts, default=None)
        if followed is not None and self._count_common_parts(followed):
            self._follow(followed)

    def find_max_ratio(self, deleted_count: int) -> float:
        """Return of how many rows of a part *deleted_count* at most may be left where they are.

        They split the runs of bitmaps, which then take up to six times as long to read. Where those that were asked for
        have no long runs, it is not worth to move their rows.
        """
        if deleted_count <= self.row_count * MAX_GAPS_RATIO or (self.change_count + 1) % GAPS_CLOSED_EVERY:
            return MAX_DELETED_RATIO
        bitmaps_by_row = (self._bitmaps, *(earlier.bitmaps for earlier in self.earlier_bitmaps))
        bitmaps = chain.from_iterable(list(kept.values()) for kept in bitmaps_by_row)  # other threads may ask for more
        asked_for = chain(list_united(self.kept_unions).values(), bitmaps)
        forms = map(measure_form, islice(asked_for, MAX_MEASURED_BITMAPS))
        is_slow = any(form.is_slow_with_gaps(MAX_GAPS_RATIO) for form in forms)
        return min(MAX_GAPS_RATIO, MAX_DELETED_RATIO) if is_slow else MAX_DELETED_RATIO

    def becomes(self, parts: Sequence[Shard]) -> bool:
        """Return whether *parts* have the files of the parts of this shard, and all its deleted rows and few others."""
        if [part.files for part in self.parts] != [part.files for part in parts]:
            return False
        pairs = zip(self.parts, parts, strict=True)
        has_all = all((before.deleted or NO_ROWS) <= (after.deleted or NO_ROWS) for before, after in pairs)
        row_count = sum(part.row_count for part in parts)
        others = sum(len(part.deleted or NO_ROWS) for part in parts) - (row_count - self.row_count)
        return has_all and others <= row_count * self.find_max_ratio(others)

    def with_parts(self, parts: Sequence[Shard], cache: RowSetCache) -> JoinedShard:
        """Return the shard with *parts* that it `becomes`; everything that was read is shared."""
        shard = copy(self)
        shard.parts = tuple(parts)
        shard.index_columns, shard.group = parts[0].index_columns, parts[0].group
        shard._set_deleted(shard._join_deleted(), cache)
        if shard.deleted != self.deleted:
            vars(shard).pop("numbering", None)
            shard.earlier_bitmaps = self.pass_bitmaps_on(shard.numbering)
            shard._bitmaps, shard.operands, shard.kept_unions, shard.and_cache = {}, {}, {}, {}
            shard.loaded_exprs = {}
            shard.kept_forms, shard.rows_of_values = KeptForms(), {}
            shard.change_count += 1
        return shard

    def _count_common_parts(self, other: JoinedShard) -> int:
        return count_common_prefix(self.numbering.files, other.numbering.files)

    def _follow(self, earlier: JoinedShard) -> None:
        """Take from *earlier*, whose first part is the same, what is still right when it is asked for."""
        self.earlier_bitmaps = earlier.pass_bitmaps_on(self.numbering)
        self.change_count = earlier.change_count + 1
        self._earlier_attributes = earlier.joined_attributes
        known = {} if len(earlier._earlier_tags) > MAX_EARLIER_TAGS else earlier._earlier_tags
        self._earlier_tags = {**known, **earlier.tag_rows}
        if sum(self._row_counts[self._count_common_parts(earlier) :]) <= self.row_count * MAX_UNMEASURED_RATIO:
            self._earlier_sizes = earlier.bitmap_sizes.known

    def pass_bitmaps_on(self, later: Numbering) -> tuple[EarlierBitmaps, ...]:
        """Return the bitmaps of this shard, and those of earlier ones that were not asked for, for a later one."""
        own = EarlierBitmaps(self._bitmaps.copy(), list_united(self.kept_unions), self.numbering, later)
        return own, *(each.pass_on(later) for each in self.earlier_bitmaps[: MAX_EARLIER_SHARDS - 1])

    @cached_property
    def numbering(self) -> Numbering:
        """Return how the rows of the parts are numbered, and which are deleted."""
        files = tuple(part.files for part in self.parts)
        left_out = tuple(None if renumbering is None else renumbering.deleted for renumbering in self.renumberings)
        return Numbering(files, left_out, (*self.offsets, self.row_count), self.deleted or NO_ROWS)

    @property
    def _row_counts(self) -> list[int]:
        """Return how many rows of each part are numbered."""
        pairs = zip(self.parts, self.renumberings, strict=True)
        return [part.row_count if renumbering is None else renumbering.row_count for part, renumbering in pairs]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Return the first joined row of each part."""
        return (0, *accumulate(self._row_counts[:-1]))

    def _join_deleted(self) -> BitMap:
        return self.join_rows([part.deleted or NO_ROWS for part in self.parts])

    def join_rows(self, rows_of_parts: Sequence[BitMap]) -> BitMap:
        """Return rows of each part as rows of this shard, without those that are closed up."""
        pairs = zip(rows_of_parts, self.renumberings, strict=True)
        return self._join_numbered([each.to_new(rows) if each and rows else rows for rows, each in pairs])

    def _join_numbered(self, rows_of_parts: Sequence[BitMap]) -> BitMap:
        """Return rows of each part, as they are numbered there, as rows of this shard."""
        pairs = zip(rows_of_parts, self.offsets, strict=True)
        shifted = [rows.shift(offset) if offset else rows for rows, offset in pairs if rows]
        if len(shifted) > 2:
            shifted[1:] = [BitMap.union(*shifted[1:])]  # the first one is the largest
        return shifted[0] | shifted[1] if len(shifted) > 1 else next(iter(shifted), NO_ROWS)

    @cached_property
    def is_renumbered(self) -> bool:
        """Return whether any part has gaps that are closed up, so that its rows have other numbers here."""
        return any(renumbering is not None for renumbering in self.renumberings)

    def split_rows(self, rows: BitMap) -> list[BitMap]:
        """Return *rows* of this shard as rows of each part."""
        return [part.cut() for part in _list_parts(self, rows)]

    def device_numbers(self, rows: NDArray[np.uint32]) -> Numbers:
        """Return the numbers of the devices in *rows*, which rise."""
        bounds = np.searchsorted(rows, [*self.offsets, self.row_count])
        rows_of_parts = [
            rows[start:stop] - np.uint32(offset)
            for start, stop, offset in zip(bounds[:-1], bounds[1:], self.offsets, strict=True)
        ]
        return np.concatenate(
            [
                part.device_numbers(own if renumbering is None else renumbering.old_rows(own))
                for part, own, renumbering in zip(self.parts, rows_of_parts, self.renumberings, strict=True)
            ]
        )

    def rows_of_numbers(self, numbers: Numbers) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Find the live rows of the devices with *numbers*, as `Shard.rows_of_numbers` does."""
        rows = np.zeros(len(numbers), dtype=np.uint32)
        is_present = np.zeros(len(numbers), dtype=np.bool_)
        for part, offset, renumbering in zip(self.parts, self.offsets, self.renumberings, strict=True):
            own_rows, is_own = part.rows_of_numbers(numbers)
            rows[is_own] = (own_rows if renumbering is None else renumbering.new_rows(own_rows)) + np.uint32(offset)
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
        return JoinedAttributes(self.parts, self._earlier_attributes)

    @property
    def joined_attributes(self) -> JoinedAttributes:
        """Return the attributes with the rows of all parts."""
        assert isinstance(self.attributes, JoinedAttributes)
        return self.attributes

    def attribute_values(self, attribute: StoredAttribute) -> StringSequence:  # type: ignore[override]
        """Return the values of *attribute* in all parts, in order."""
        return self.joined_attributes.find(attribute.start).values

    @cached_property
    def bitmap_sizes(self) -> BitmapSizes:  # type: ignore[override]
        """Return the approximate size of every bitmap, in bytes."""
        return BitmapSizes(self.joined_attributes, self._earlier_sizes)

    def view_words(self, tag_rows: range) -> list[WordBytes | None]:
        """Return None for each: a joined bitmap is not stored."""
        return [None] * len(tag_rows)

    def read_ranks(self, attribute: StoredAttribute) -> None:
        """Return None: the ranks of joined rows are not stored."""

    def find_tag_row(self, tag: tuple[str, str]) -> int | None:
        """Return the row of the tags file of a tag, or None if it was not located before, or may be another one."""
        row = self.tag_rows.get(tag)
        if row is None and (earlier := self._earlier_tags.get(tag)) is not None:
            stored = self.attributes.get(tag[0])
            if stored is not None and stored.start <= earlier < stored.stop:
                row = self.tag_rows[tag] = earlier
        return row

    def _read_bitmap(self, tag_row: int) -> BitMap:
        for earlier in self.earlier_bitmaps:
            bitmap = earlier.take(tag_row)
            if bitmap is not None and earlier.change is not None:
                return self._add_later_rows(bitmap, (tag_row,), earlier.change.common)
        bitmap = self._join_bitmap(tag_row)
        return remove_rows_keeping_runs(bitmap, self.deleted) if self.deleted else bitmap

    def take_union(self, expr: Expr, tag_rows: Iterable[int]) -> BitMap | None:
        """Return the union of *tag_rows* that an earlier shard kept for *expr*, as it is now; None if none did."""
        for earlier in self.earlier_bitmaps:
            bitmap = earlier.take_union(expr)
            if bitmap is not None and earlier.change is not None:
                return self._add_later_rows(bitmap, tag_rows, earlier.change.common)
        return None

    def _add_later_rows(self, bitmap: BitMap, tag_rows: Iterable[int], first: int) -> BitMap:
        """Return *bitmap* with those rows of the parts from *first* on that have one of the values in *tag_rows*."""
        if first == len(self.parts):
            return bitmap
        by_part: list[list[int]] = [[] for _ in self.parts]
        for tag_row in tag_rows:
            attribute = tag_row >> TAG_ROW_BITS, first
            later = self._later_rows.get(attribute)
            if later is None:
                later = self._later_rows[attribute] = self.joined_attributes.rows_of_later_parts(tag_row, first)
            for position, rows in later.get(tag_row, ()):
                by_part[position].extend(rows)
        if not any(by_part):
            return bitmap
        return bitmap | remove_rows(self._unite_parts(by_part), self.deleted)

    def _join_bitmap(self, tag_row: int) -> BitMap:
        return self._unite_parts(self.joined_attributes.rows_of_parts(tag_row))

    def _unite_parts(self, rows_of_parts: Sequence[Sequence[int]]) -> BitMap:
        """Return the rows that have one of several values, which are in rows of the tags file of each part."""
        rows = zip(self.parts, rows_of_parts, self.renumberings, strict=True)
        return self._join_numbered(
            [_union_of_rows(part, own, renumbering) if own else NO_ROWS for part, own, renumbering in rows]
        )

    def load_bitmaps(self, tag_rows: Sequence[int]) -> list[BitMap]:  # type: ignore[override]
        """Return the bitmaps of several values.

        Each change makes some bitmaps again, wherever memory is free. Small ones are moved together now and then: after
        a hundred changes, it took up to 1.7 times as long to unite them as bitmaps that lie side by side.
        """
        missing = [row for row in tag_rows if row not in self._bitmaps]
        if len(missing) > 1:
            wanted = missing if self.is_remote else self._select_unknown(missing)
            by_part = zip(*map(self.joined_attributes.rows_of_parts, wanted), strict=True)
            for part, renumbering, rows in zip(self.parts, self.renumberings, by_part, strict=False):
                _load_part(part, [row for own in rows for row in own], renumbering)
        known = self._bitmaps
        if self._moves(missing):
            known.update(zip(missing, copy_side_by_side([self.load_bitmap(row) for row in missing]), strict=True))
        return [known[tag_row] if tag_row in known else self.load_bitmap(tag_row) for tag_row in tag_rows]

    def _moves(self, tag_rows: Sequence[int]) -> bool:
        """Return whether the bitmaps in *tag_rows*, which are read together, are moved side by side."""
        if not MIN_MOVED_BITMAPS <= len(tag_rows) <= MAX_MOVED_BITMAPS:
            return False
        if not self.change_count or self.change_count % MOVED_EVERY:
            return False
        return sum(self.bitmap_sizes[tag_row] for tag_row in tag_rows) <= MAX_MOVED_BYTES

    def _select_unknown(self, tag_rows: Sequence[int]) -> list[int]:
        """Return those of *tag_rows* whose bitmaps no earlier shard had."""
        unknown = list(tag_rows)
        for earlier in self.earlier_bitmaps:
            unknown = [row for row in unknown if row not in earlier.bitmaps]
        return unknown


def _renumber_parts(parts: Sequence[Shard], known: Iterable[JoinedShard]) -> tuple[RowRenumbering | None, ...]:
    """Return for each of *parts* its rows without the deleted ones, or None if these are few.

    Those of *known* shards, which have bitmaps already, are taken again if few other rows were deleted since.
    """
    by_name = {
        part.name: (shard, part, renumbering)
        for shard in known
        for part, renumbering in zip(shard.parts, shard.renumberings, strict=True)
    }
    return tuple(_renumber_part(part, *by_name.get(part.name, (None, part, None))) for part in parts)


def _renumber_part(
    part: Shard, known: JoinedShard | None, known_part: Shard, renumbering: RowRenumbering | None
) -> RowRenumbering | None:
    deleted = part.deleted or NO_ROWS
    if renumbering is not None and known_part.files == part.files and renumbering.deleted <= deleted:
        others = len(deleted) - len(renumbering.deleted)
    else:
        renumbering, others = None, len(deleted)
    max_ratio = MAX_DELETED_RATIO if known is None else known.find_max_ratio(others)
    return renumbering if others <= part.row_count * max_ratio else RowRenumbering(deleted, part.row_count)


def _cut_rows(rows: BitMap, start: int, stop: int, renumbering: RowRenumbering | None) -> BitMap:
    """Return the *rows* from *start* up to *stop* as rows of the part that they are of."""
    if not rows.range_cardinality(start, stop):
        return BitMap()
    own = (rows & BitMap(range(start, stop))).shift(-start)
    return own if renumbering is None else renumbering.to_old(own)


def _load_part(part: Shard, tag_rows: Sequence[int], renumbering: RowRenumbering | None) -> None:
    """Load bitmaps of *part*, many of them together."""
    if renumbering is None:
        part.load_bitmaps(tag_rows)
        return
    missing = [tag_row for tag_row in dict.fromkeys(tag_rows) if tag_row not in renumbering.bitmaps]
    renumbering.bitmaps.update(zip(missing, map(renumbering.to_new, part.read_bitmaps(missing)), strict=True))


def _union_of_rows(part: Shard, tag_rows: Sequence[int], renumbering: RowRenumbering | None) -> BitMap:
    """Return the rows that have the value in one of several rows of the tags file, as they are numbered."""
    _load_part(part, tag_rows, renumbering)
    load = part.load_bitmap if renumbering is None else renumbering.bitmaps.__getitem__
    first, *others = map(load, tag_rows)
    return BitMap.union(first, *others) if others else first


class PartRows(NamedTuple):
    """Rows of a stored shard, as they are numbered among those of an evaluated one: from `start` up to `stop`."""

    shard: Shard
    evaluated: Shard
    rows: BitMap  # of the evaluated shard, also of other parts
    start: int
    stop: int
    renumbering: RowRenumbering | None

    def cut(self) -> BitMap:
        """Return the rows as they are numbered in the stored shard."""
        if self.shard is self.evaluated:
            return self.rows
        return _cut_rows(self.rows, self.start, self.stop, self.renumbering)


class SplitRows(Sequence[BitMap]):
    """Rows of each of *shards*, which are cut from *rows* of each *evaluated* shard when they are first needed."""

    def __init__(self, shards: Sequence[Shard], evaluated: Sequence[Shard], rows: Sequence[BitMap]):
        self.device_count = sum(map(len, rows))
        self._shards, self._evaluated, self._rows = shards, evaluated, rows

    @cached_property
    def parts(self) -> list[PartRows]:
        """Return the rows of each shard, which are not cut."""
        by_name = {part.shard.name: part for part in _iter_parts(self._evaluated, self._rows)}
        return [by_name[shard.name] for shard in self._shards]

    @cached_property
    def _bitmaps(self) -> list[BitMap]:
        return [part.cut() for part in self.parts]

    def __len__(self) -> int:
        return len(self._shards)

    @overload
    def __getitem__(self, number: int) -> BitMap: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[BitMap]: ...
    def __getitem__(self, number: int | slice) -> BitMap | Sequence[BitMap]:
        return self._bitmaps[number]

    def __iter__(self) -> Iterator[BitMap]:
        return iter(self._bitmaps)

    def __reduce__(self) -> tuple[type[list[BitMap]], tuple[list[BitMap]]]:
        """Pickle a plain list, without the shard."""
        return list, (self._bitmaps,)

    @property
    def consecutive_rows(self) -> BitMap | None:
        """Return the rows where those of a shard follow all rows of shards before it; else, or with gaps, None."""
        match self._evaluated:
            case (JoinedShard() as shard,) if shard.parts == self._shards and not shard.is_renumbered:
                return self._rows[0]
        return None


def _iter_parts(evaluated: Iterable[Shard], rows: Iterable[BitMap]) -> Iterator[PartRows]:
    """Iterate over the rows of each stored shard for those of evaluated ones; none are cut."""
    return chain.from_iterable(_list_parts(*pair) for pair in zip(evaluated, rows, strict=True))


def _list_parts(shard: Shard, rows: BitMap) -> list[PartRows]:
    if not isinstance(shard, JoinedShard):
        return [PartRows(shard, shard, rows, 0, shard.row_count, None)]
    starts, stops = shard.offsets, (*shard.offsets[1:], shard.row_count)
    places = zip(shard.parts, starts, stops, shard.renumberings, strict=True)
    return [PartRows(part, shard, rows, start, stop, renumbering) for part, start, stop, renumbering in places]


def rows_by_shard(evaluated: Iterable[Shard], rows: Iterable[BitMap]) -> dict[str, BitMap]:
    """Return the rows of each shard of a snapshot, by its name, for those of some of the `evaluated_shards`."""
    return {part.shard.name: part.cut() for part in _iter_parts(evaluated, rows)}
