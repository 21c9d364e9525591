"""Attributes of several shards as those of one: the values of all parts in order, and where each part has them.

A small change gives the index one more part, whose devices have values that are known. Then the values keep their
ranks, so that what is known of them by their rows of the tags file stays right.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count, takewhile
from operator import eq

from audience.index.schema.columns import Role
from audience.index.schema.value_types import SortedStrings, StringSequence, value_type_of
from audience.index.storage.layout import ShardFiles, StoredAttribute
from audience.index.storage.shard import Shard

TAG_ROW_BITS = 32  # a joined row of the tags file: the number of the attribute, and the row within it
MAX_SEARCHED_RATIO = 1 / 16  # of the values of an attribute: so few are searched for one by one


@dataclass(frozen=True)
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

    def find_rank(self, text: str, rank_of_first: int | None) -> int:
        """Return the rank of *text*, which has *rank_of_first* in the first part, None if it is one of the others.

        >>> strings = MergedStrings(["b", "d"], ["a", "c"], [0, 2])
        >>> [strings.find_rank(text, rank) for text, rank in [("a", None), ("b", 0), ("c", None), ("d", 1)]]
        [0, 1, 2, 3]
        """
        if rank_of_first is None:
            return self._ranks_of_others[text]
        return rank_of_first + bisect_right(self._firsts_before, rank_of_first)

    def is_other(self, text: str) -> bool:
        """Return whether only later parts have *text*."""
        return text in self._ranks_of_others

    @cached_property
    def _ranks_of_others(self) -> dict[str, int]:
        return dict(zip(self.others, self.positions, strict=True))

    @cached_property
    def _firsts_before(self) -> list[int]:
        """Return how many strings of the first part come before each of the others."""
        return [position - before for before, position in enumerate(self.positions)]


@dataclass(frozen=True, slots=True)
class JoinedAttribute:
    """Attribute of several shards: its values in order, and the rows of the tags files that hold them."""

    stored: StoredAttribute
    values: MergedStrings
    first_row: int  # of the first part
    rows_of_others: Sequence[Mapping[str, Sequence[int]]]  # by value, of the other parts
    files: Sequence[ShardFiles] = field(repr=False)  # of all parts

    def rows_of_parts(self, rank: int) -> list[Sequence[int]]:
        """Return the rows of the tags files of all parts that hold the value of *rank*."""
        if not any(self.rows_of_others):  # bit slices, too
            return [(self.first_row + rank,), *(() for _ in self.rows_of_others)]
        value, rank_of_first = self.values[rank], self.values.rank_of_first(rank)
        of_first = () if rank_of_first is None else (self.first_row + rank_of_first,)
        return [of_first, *(rows.get(value, ()) for rows in self.rows_of_others)]


class JoinedAttributes(Mapping[str, StoredAttribute]):
    """Attributes of several shards by name, those that can be joined. Each is joined when it is first asked for.

    Several threads may ask at once, also for one attribute: then the first that is entered is the one that all use.
    An attribute has the number that it had in *earlier* ones, of which some parts are the same, if its values are.
    """

    def __init__(self, parts: Sequence[Shard], earlier: "JoinedAttributes | None" = None):
        self.parts = tuple(parts)
        self._by_name: dict[str, JoinedAttribute | None] = {}
        self._by_number: dict[int, JoinedAttribute] = {}
        # No two attributes have the same number.
        self._numbers: Iterator[int] = count() if earlier is None else earlier._numbers
        self._earlier = {} if earlier is None else earlier._select_joined(self.parts[0].files)

    def __getitem__(self, name: str) -> StoredAttribute:
        if name not in self._by_name:
            earlier = self._earlier.get(name)
            joined = None if earlier is None else follow_attribute(name, self.parts, earlier)
            if joined is None:
                joined = join_attribute(name, self.parts, next(self._numbers) << TAG_ROW_BITS)
            if joined is not None:
                self._by_number[joined.stored.start >> TAG_ROW_BITS] = joined
            self._by_name.setdefault(name, joined)
        found = self._by_name[name]
        if found is None:
            raise KeyError(name)
        return found.stored

    def _select_joined(self, files: ShardFiles) -> "dict[str, JoinedAttribute]":
        """Return the attributes that were joined, now or earlier, of which *files* are those of the first part."""
        known = {**self._earlier, **self._by_name}
        return {name: joined for name, joined in known.items() if joined is not None and joined.files[0] == files}

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys(name for part in self.parts for name in part.attributes)
        return (name for name in names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def find(self, tag_row: int) -> JoinedAttribute:
        """Return the attribute that a row of the tags file belongs to."""
        return self._by_number[tag_row >> TAG_ROW_BITS]

    def rows_of_parts(self, tag_row: int) -> list[Sequence[int]]:
        """Return the rows of the tags files of all parts that are joined as *tag_row*."""
        joined = self.find(tag_row)
        return joined.rows_of_parts(tag_row - joined.stored.start)

    def rows_of_later_parts(self, tag_row: int, first: int) -> dict[int, list[tuple[int, Sequence[int]]]]:
        """Return where parts from *first* on, which is not the first of all, have values of the attribute of *tag_row*.

        These are positions of parts and rows of their tags files, by the row as which they are joined.
        """
        joined, found = self.find(tag_row), dict[int, list[tuple[int, Sequence[int]]]]()
        known = self.parts[0].known_ranks.get(joined.stored.name, {})
        start, find_rank = joined.stored.start, joined.values.find_rank
        for position, rows in enumerate(joined.rows_of_others[first - 1 :], first):
            for value, own in rows.items():
                found.setdefault(start + find_rank(value, known.get(value)), []).append((position, own))
        return found


class BitmapSizes:
    """Approximate sizes of joined bitmaps. What later parts have is small: those that are *known* stay right."""

    def __init__(self, attributes: JoinedAttributes, known: Mapping[int, int]):
        self._attributes = attributes
        self.known = dict(known)

    def __getitem__(self, tag_row: int) -> int:
        size = self.known.get(tag_row)
        if size is None:
            parts, rows = self._attributes.parts, self._attributes.rows_of_parts(tag_row)
            size = sum(part.bitmap_sizes[row] for part, own in zip(parts, rows, strict=True) for row in own)
            self.known[tag_row] = size
        return size


def count_common_prefix(some: Sequence[object], others: Sequence[object]) -> int:
    """Return how many of the first elements of two sequences are equal.

    >>> count_common_prefix("abc", "abd")
    2
    """
    return sum(1 for _ in takewhile(bool, map(eq, some, others)))


def follow_attribute(name: str, parts: Sequence[Shard], earlier: JoinedAttribute) -> JoinedAttribute | None:
    """Return *earlier* with the parts after those that are the same; None if it must be joined again.

    Each of its values has its rank. So no other part has a value that is not among them, and none of them is gone.
    """
    kept = count_common_prefix([part.files for part in parts], earlier.files)
    stored = [part.attributes.get(name) for part in parts]
    present = [attribute for attribute in stored if attribute is not None]
    if not kept or any(_form_of(attribute) != _form_of(earlier.stored) for attribute in present):
        return None
    if any(attribute is not None and attribute.bit_slicing is not None for attribute in stored[1:]):
        return None
    others = list(zip(parts[kept:], stored[kept:], strict=True))
    rows_of_others = [
        *earlier.rows_of_others[: kept - 1],
        *({} if attribute is None else part.rows_by_value(attribute) for part, attribute in others),
    ]
    if not _has_same_values(earlier, parts[0], stored[0], rows_of_others[kept - 1 :], rows_of_others):
        return None
    is_single_valued = all(attribute.is_single_valued for attribute in present)
    return replace(
        earlier,
        stored=replace(earlier.stored, is_single_valued=is_single_valued),
        rows_of_others=rows_of_others,
        files=[part.files for part in parts],
    )


def _form_of(attribute: StoredAttribute) -> tuple[object, ...]:
    return attribute.role, attribute.type_name, attribute.bit_slicing


def _has_same_values(
    earlier: JoinedAttribute,
    first: Shard,
    stored: StoredAttribute | None,
    new_rows: Sequence[Mapping[str, Sequence[int]]],
    rows_of_others: Sequence[Mapping[str, Sequence[int]]],
) -> bool:
    """Return whether the values of *earlier* are those of *first* and of *rows_of_others*, of which some are *new*."""
    wanted = {value for rows in new_rows for value in rows}
    known = _find_ranks_of_first(wanted, first, stored, earlier.stored.role)
    others = earlier.values.others
    return all(known[value] is not None or earlier.values.is_other(value) for value in wanted) and (
        len(rows_of_others) == len(earlier.rows_of_others) + len(new_rows)
        or all(any(value in rows for rows in rows_of_others) for value in others)
    )


def join_attribute(name: str, parts: Sequence[Shard], start: int) -> JoinedAttribute | None:
    """Return an attribute of *parts* whose rows begin at *start*; None if no part has it, or it cannot be joined."""
    stored = [part.attributes.get(name) for part in parts]
    present = [attribute for attribute in stored if attribute is not None]
    first, others = stored[0], stored[1:]
    if first is not None and len(present) == 1:
        moved = replace(first, start=start, stop=start + first.stop - first.start)
        strings = MergedStrings(parts[0].attribute_values(first))
        return JoinedAttribute(moved, strings, first.start, [{} for _ in others], [part.files for part in parts])
    if len(set(map(_form_of, present))) != 1 or present[0].bit_slicing is not None:
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
    files = [part.files for part in parts]
    return JoinedAttribute(joined, values, 0 if first is None else first.start, rows_of_others, files)


def _merge_values(
    shard: Shard, attribute: StoredAttribute | None, role: Role, rows_of_others: Sequence[Mapping[str, Sequence[int]]]
) -> MergedStrings:
    """Return the values of *attribute* of the first part, and those of the other parts that it lacks, in order."""
    strings: StringSequence = [] if attribute is None else shard.attribute_values(attribute)
    wanted = {value for rows in rows_of_others for value in rows}
    known = _find_ranks_of_first(wanted, shard, attribute, role)
    value_type = value_type_of(role)
    lacking = sorted(
        (value for value in wanted if known[value] is None), key=lambda text: (value_type.parse(text), text)
    )
    ordered = SortedStrings(value_type, strings)
    positions = [ordered.rank_through(value_type.parse(value)) + before for before, value in enumerate(lacking)]
    return MergedStrings(strings, lacking, positions)


def _find_ranks_of_first(
    values: Set[str], shard: Shard, attribute: StoredAttribute | None, role: Role
) -> Mapping[str, int | None]:
    """Return the ranks of *values* in the first part, None for one that it does not have; they are kept there."""
    if attribute is None:
        return dict.fromkeys(values)
    known = shard.known_ranks.setdefault(attribute.name, {})
    fill_ranks(values - known.keys(), shard.attribute_values(attribute), role, known)
    return known


def fill_ranks(values: Collection[str], strings: StringSequence, role: Role, known: dict[str, int | None]) -> None:
    """Enter the rank of each of *values* among the sorted *strings* in *known*, None for one that is not there."""
    if len(values) > len(strings) * MAX_SEARCHED_RATIO:
        ranks: dict[str, int | None] = {strings[rank]: rank for rank in reversed(range(len(strings)))}
        known.update({**dict.fromkeys(values), **ranks})
        return
    ordered = SortedStrings(value_type_of(role), strings)
    for value in values:
        key = ordered.value_type.parse(value)
        equal = range(ordered.rank_below(key), ordered.rank_through(key))
        known[value] = next((rank for rank in equal if strings[rank] == value), None)
