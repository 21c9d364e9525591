"""Rows that at least so many of several bitmaps have.

Four algorithms give the same result; the one that is estimated to be the fastest is chosen:

- few containers, such as long runs: bitmaps are merged one by one into the rows that at least 1, 2, … of them have
- few runs, for any number of bitmaps that a row has to be in: the first and last rows of all runs are sorted, and kept
  for other thresholds over the same bitmaps
- few rows: a counter of one byte for each row
- otherwise: packed words, added as the columns of binary numbers are added by hand
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from audience.index.storage.bitmap_forms import BitmapForm
from audience.index.storage.bitmaps import BitMap, RowSet, bitmap_to_rows, intersect, rows_to_bitmap, union
from audience.index.storage.croaring import Words
from audience.index.storage.kept_forms import KeptForm, KeptForms
from audience.index.storage.packed_words import clear_from, fill_words, word_count, words_to_bitmap
from audience.index.storage.row_runs import SortedRuns
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Measured costs, in nanoseconds; those of merging within a third for two of three of 777 thresholds over real tags.
MERGED_OPERAND, MERGED_CONTAINER, MERGED_ROW, MERGED_RUN, MERGED_WORDS = 1_000, 40, 1.25, 8, 700
MERGED_ROW_AGAIN, MERGED_RUN_AGAIN, MERGED_WORDS_AGAIN = 0.3, 0.1, 1_080  # a level more
MAX_MERGED_LEVELS = 5  # few rows reach a higher one
REGROWN_ROW, REGROWN_RUN = 0.66, 0.12  # with each operand the merged ones are written again
MAX_REGROWN = 800  # of an array, whose rows are words then
SORTED_RUN, SORTED_OPERAND, SORTED_FIXED = 21, 500, 40_000
READ_RUN, READ_OPERAND = 8, 25_000  # of runs that are not kept
FOUND_RUN, FOUND_FIXED = 2.5, 15_000  # if runs were sorted before
BITSET_RUNS = 1 << 14  # that a container of words may have
COUNTER, COUNTED_ROW, COUNTED_OPERAND = 0.02, 6, 5_000
ADDED_WORD, LOADED_ARRAY_ROW, ADDED_OPERAND, ADDED_FIXED = 1.5, 1.3, 3_500, 60_000
MERGED_AT_ONCE_BYTES = 1 << 13  # of all bitmaps, which are merged before their containers are counted
LOADED_OPERANDS = 8  # bitmaps that are packed words at the same time
MERGE: Final = "merge"  # the names of the algorithms
SORTED_RUNS: Final = "sorted runs"
COUNTERS: Final = "counters"
SLICED_WORDS: Final = "sliced words"
_SCRATCH = threading.local()
PADDING_WORDS = 40  # between operands: numpy is slower if they are a multiple of 4,096 bytes apart


Note: TypeAlias = Callable[[str, Mapping[str, float]], None]  # of the algorithm, and of what each would cost


def rows_at_least(
    operands: Sequence[RowSet],
    count: int,
    row_count: int,
    note: Note | None = None,
    kept: KeptForms | None = None,
) -> RowSet:
    """Return the rows, out of *row_count*, that at least *count* of *operands* have.

    Args:
        operands: Sets of rows.
        count: In how many of them a row is, at least.
        row_count: Number of rows of the shard.
        note: Is called with the algorithm and the estimated nanoseconds of each, if one is chosen.
        kept: Keeps what is learnt of the bitmaps of *operands* that are cached.

    >>> sets = [RowSet(BitMap(rows)) for rows in ([0, 1], [1, 2], [1])]
    >>> rows_at_least(sets, 2, 4).bitmap, rows_at_least([~rows for rows in sets], 2, 4)[:2]
    (BitMap([1]), (BitMap([1]), True))
    """
    if count <= 0:
        return RowSet(BitMap(), complemented=True)
    if count > len(operands):
        return RowSet(BitMap())
    if all(operand.complemented for operand in operands):
        return ~rows_at_least([~operand for operand in operands], len(operands) + 1 - count, row_count, note, kept)
    if count == 1:
        return union(operands)
    if count == len(operands):
        return intersect(operands)
    return _as_row_set(_find_rows(operands, count, row_count, note, kept, exactly=False))


def rows_exactly(
    operands: Sequence[RowSet],
    count: int,
    row_count: int,
    note: Note | None = None,
    kept: KeptForms | None = None,
) -> RowSet:
    """Return the rows, out of *row_count*, that exactly *count* of *operands* have; as `rows_at_least`.

    >>> sets = [RowSet(BitMap(rows)) for rows in ([0, 1], [1, 2], [1])]
    >>> rows_exactly(sets, 1, 4).bitmap
    BitMap([0, 2])
    """
    if not 0 <= count <= len(operands):
        return RowSet(BitMap())
    if count == 0:
        return ~rows_at_least(operands, 1, row_count)
    if count == len(operands):
        return intersect(operands)
    if all(operand.complemented for operand in operands):
        return rows_exactly([~operand for operand in operands], len(operands) - count, row_count, note, kept)
    return _as_row_set(_find_rows(operands, count, row_count, note, kept, exactly=True))


def _as_row_set(rows: BitMap) -> RowSet:
    return RowSet(rows, nbytes=2 * len(rows))


def _find_rows(
    operands: Sequence[RowSet],
    count: int,
    row_count: int,
    note: Note | None,
    kept: KeptForms | None,
    *,
    exactly: bool,
) -> BitMap:
    kept = KeptForms() if kept is None else kept
    algorithm, costs, ordered = _choose_algorithm(operands, row_count, count + exactly, kept)
    if note is not None:
        note(algorithm, costs)
    bitmaps = [operand.bitmap for operand in ordered]
    if algorithm == MERGE:
        return merge_bitmaps(bitmaps, count, exactly=exactly)
    if algorithm == SORTED_RUNS:
        return find_in_runs(kept.sort_runs(ordered), count, exactly=exactly)
    if algorithm == COUNTERS:
        return count_in_bytes(bitmaps, count, row_count, exactly=exactly)
    return add_words(operands, count, row_count, exactly=exactly)


def _choose_algorithm(
    operands: Sequence[RowSet], row_count: int, levels: int, kept: KeptForms
) -> tuple[str, dict[str, float], Sequence[RowSet]]:
    """Return the fastest algorithm, the estimated nanoseconds of each, if they were needed, and the order of operands.

    Those come first that an operation reads in the least time.
    """
    if any(operand.complemented for operand in operands):
        return SLICED_WORDS, {}, operands
    if are_merged_at_once(operands):
        return MERGE, {}, sorted(operands, key=attrgetter("nbytes"))
    forms = [kept.measure(operand) for operand in operands]
    reading = [each.form.cost for each in forms]
    ordered = [operands[place] for place in sorted(range(len(operands)), key=reading.__getitem__)]
    total = sum_forms([each.form for each in forms])
    estimated = estimate_costs(total, len(forms), row_count, levels)
    costs = dict(zip((MERGE, SORTED_RUNS, COUNTERS, SLICED_WORDS), estimated, strict=True))
    return *_weigh_sorting(operands, forms, costs, FOUND_FIXED + FOUND_RUN * _count_runs(total), kept), ordered


def _weigh_sorting(
    operands: Sequence[RowSet], forms: Sequence[KeptForm], costs: dict[str, float], finding: float, kept: KeptForms
) -> tuple[str, dict[str, float]]:
    """Return the fastest algorithm and the costs, with those of *finding* rows if the runs are sorted or should be."""
    if kept.find_sum(operands) is not None:
        costs[SORTED_RUNS] = min(finding, costs[SORTED_RUNS])
    fastest = min(costs, key=costs.__getitem__)  # the first of equal ones
    if fastest == SORTED_RUNS:
        return _weigh_reading(forms, costs, kept)
    if finding < costs[fastest] and kept.mark_sum_wanted(operands):
        return SORTED_RUNS, {**costs, SORTED_RUNS: finding}
    return fastest, costs


def are_merged_at_once(operands: Sequence[RowSet]) -> bool:
    """Return whether *operands*, none of them complemented, are so small that to choose an algorithm takes as long."""
    return sum([operand.nbytes for operand in operands]) < MERGED_AT_ONCE_BYTES


def _weigh_reading(forms: Sequence[KeptForm], costs: dict[str, float], kept: KeptForms) -> tuple[str, dict[str, float]]:
    """Return sorted runs and the costs, or the next fastest algorithm if it takes too long to read the runs first."""
    unread = [each for each in forms if each.runs is None]
    if not unread:
        return SORTED_RUNS, costs
    reading = sum(READ_OPERAND + _count_runs(each.form) * READ_RUN for each in unread)
    other = min((name for name in costs if name != SORTED_RUNS), key=costs.__getitem__)
    is_slower = costs[SORTED_RUNS] + reading > costs[other] and not kept.mark_wanted(unread)
    return other if is_slower else SORTED_RUNS, {**costs, "reading runs": reading}


def sum_forms(forms: Sequence[BitmapForm]) -> BitmapForm:
    """Return the sum of all statistics of *forms*."""
    return BitmapForm(*map(sum, zip(*forms, strict=True)))


def estimate_costs(total: BitmapForm, count: int, row_count: int, levels: int) -> tuple[float, float, float, float]:
    """Return the estimated nanoseconds of merging bitmaps, of sorting their runs, of counters and of packed words.

    Args:
        total: Sum of the forms of the bitmaps.
        count: Number of the bitmaps.
        row_count: Number of rows of the shard.
        levels: In how many bitmaps a row has to be found, at most.
    """
    return (
        _estimate_merging(total, count, min(levels, MAX_MERGED_LEVELS) - 1),
        _count_runs(total) * SORTED_RUN + count * SORTED_OPERAND + SORTED_FIXED,
        row_count * COUNTER + total.rows * COUNTED_ROW + count * COUNTED_OPERAND,
        word_count(row_count) * count * ADDED_WORD
        + total.array_rows * LOADED_ARRAY_ROW
        + count * ADDED_OPERAND
        + ADDED_FIXED,
    )


def _count_runs(form: BitmapForm) -> float:
    """Return about how many runs `read_runs` finds."""
    return form.run_count + form.array_rows + form.bitset_containers * BITSET_RUNS


def _estimate_merging(form: BitmapForm, operand_count: int, carries: int) -> float:
    """Return the estimated nanoseconds of merging bitmaps with the sum *form*, whose rows are carried up so often."""
    regrown = min(form.array_rows * operand_count * REGROWN_ROW, form.array_containers * MAX_REGROWN)
    a_run = (MERGED_RUN + REGROWN_RUN * operand_count) * (1 + MERGED_RUN_AGAIN * (carries - 1))
    return (
        operand_count * MERGED_OPERAND
        + form.container_count * MERGED_CONTAINER
        + form.array_rows * (MERGED_ROW + MERGED_ROW_AGAIN * carries)
        + regrown
        + form.run_count * a_run
        + form.bitset_containers * (MERGED_WORDS + MERGED_WORDS_AGAIN * (carries - 1))
    )


def find_in_runs(runs: SortedRuns, count: int, *, exactly: bool) -> BitMap:
    """Return the rows of *count* or more sets, or of as many if *exactly*, by the ends of their *runs*."""
    return runs.find_exactly(count) if exactly else runs.find_at_least(count)


def merge_bitmaps(bitmaps: Sequence[BitMap], count: int, *, exactly: bool) -> BitMap:
    """Return the rows of *count* or more *bitmaps*, or of as many if *exactly*, merged one after another.

    It takes a third of the time if bitmaps of few runs come first: the merged rows then have few runs for long.
    """
    #   levels          1  2        a row of the next bitmap goes up one level, as far as other bitmaps have it too
    #   a: 0 1          0 1
    #   b:   1 2        0 1 2  1
    #   c:   1   3      0 1 2 3  1  1    at least 3: row 1; of the last bitmap, only the rows in the highest level count
    max_level = count if exactly else count - 1
    if not max_level:
        return BitMap.union(*bitmaps)
    levels: list[BitMap] = []
    reached = BitMap()  # rows above all levels
    for bitmap in bitmaps if exactly else bitmaps[:-1]:
        if raised := _raise_levels(levels, bitmap, bitmaps[0], max_level):
            reached = _add_rows(reached, raised)
    if exactly:
        return levels[count - 1] - reached if count <= len(levels) else BitMap()
    return _add_rows(reached, levels[-1] & bitmaps[-1]) if len(levels) == max_level else reached


def _add_rows(rows: BitMap, added: BitMap) -> BitMap:
    """Return the rows in either bitmap, in place: to unite all at the end takes twice as long for long runs."""
    if not rows:
        return added
    rows |= added
    return rows


def _raise_levels(levels: list[BitMap], bitmap: BitMap, first: BitMap, max_level: int) -> BitMap | None:
    """Add each row of *bitmap* to the lowest of *levels* that does not have it; return those that all have.

    The *first* of all bitmaps is not changed while it is the lowest level.
    """
    added = bitmap
    for place in range(max_level):
        if place == len(levels):
            levels.append(added)
            return None
        level = levels[place]
        carried = level & added
        if level is first:
            levels[place] = level | added
        else:
            level |= added
        if not carried:
            return None
        added = carried
    return added


def count_in_bytes(bitmaps: Sequence[BitMap], count: int, row_count: int, *, exactly: bool) -> BitMap:
    """Return the rows of *count* or more *bitmaps*, or of as many if *exactly*, by a counter for each row."""
    counters = np.zeros(row_count, dtype=np.min_scalar_type(len(bitmaps)))
    found = []
    for bitmap in bitmaps:
        rows = bitmap_to_rows(bitmap)
        counted: NDArray[np.unsignedinteger] = counters[rows] + counters.dtype.type(1)
        counters[rows] = counted
        found.append(rows[counted == count])  # each row reaches the count once
    rows = np.concatenate(found)
    if exactly:
        rows = rows[counters[rows] == count]
    return rows_to_bitmap(np.sort(rows))


def add_words(operands: Sequence[RowSet], count: int, row_count: int, *, exactly: bool) -> BitMap:
    """Return the rows of *count* or more *operands*, or of as many if *exactly*, added up in packed words.

    The sum starts at a power of two less *count*, so that the carry out of its highest digit says that the count is
    reached. It is reached exactly if all digits are 0 then, and the power is so large that there is one carry only.
    """
    #   row             0  1  2  3      at least 2 of a, b, c: the power is 2, the sum starts at 0
    #   a               .  x  x  x
    #   b               .  .  x  x
    #   c               .  .  .  x
    #   digit 0         .  x  .  x      of the sum
    #   carry           .  .  x  x      rows 2 and 3 have reached the count
    digits = (count - 1).bit_length()
    if exactly:
        digits = max(digits, (len(operands) - count).bit_length())
    total = WordSum((1 << digits) - count, digits, word_count(row_count))
    for start in range(0, len(operands), LOADED_OPERANDS):
        total.add(operands[start : start + LOADED_OPERANDS])
    words = total.reached
    if exactly:
        words &= ~np.bitwise_or.reduce(total.digits, axis=0) if digits else ~np.uint64(0)
    clear_from(words, row_count)
    return words_to_bitmap(words)


class WordSum:
    """Sum of sets of rows: how many of them have each row, as binary digits; the carry of the highest is *reached*.

    Args:
        start: Sum of each row without any set.
        digits: Number of binary digits.
        size: Number of words.
    """

    def __init__(self, start: int, digits: int, size: int):
        self.reached: Words = np.zeros(size, dtype=np.uint64)
        self.digits: Words = np.zeros((digits, size), dtype=np.uint64)
        for digit in range(digits):
            if start >> digit & 1:
                self.digits[digit] = ~np.uint64(0)
        self._spare, *self._loaded = _reuse_words(size)

    def add(self, operands: Sequence[RowSet], place: int = 0) -> None:
        """Add two to the power of *place* to each row of each of *operands*, at most `LOADED_OPERANDS`."""
        column = self._loaded[: len(operands)]
        for operand, words in zip(operands, column, strict=True):
            fill_words(operand.bitmap, words)
            if operand.complemented:
                np.invert(words, out=words)
        for digit in self.digits[place:]:
            carries: list[Words] = []
            while len(column) > 1:
                carries.append(_add_two(column.pop(), column.pop(), digit, self._spare))
            if column:
                carries.append(_add_one(column.pop(), digit, self._spare))
            column = carries
        for carry in column:
            self.reached |= carry


def _reuse_words(size: int) -> list[Words]:
    """Return words to overwrite, of which each thread keeps those of its last sum: new memory costs a third more."""
    words: list[Words] = getattr(_SCRATCH, "words", [])
    if not words or len(words[0]) != size:
        rows = np.empty((1 + LOADED_OPERANDS, size + PADDING_WORDS), dtype=np.uint64)
        words = _SCRATCH.words = list(rows[:, :size])
    return words


def _add_two(first: Words, second: Words, digit: Words, spare: Words) -> Words:
    """Add two binary digits to *digit* and return the carry, in the memory of *first*; *second* is overwritten."""
    np.bitwise_xor(first, second, out=spare)
    first &= second
    np.bitwise_and(spare, digit, out=second)
    first |= second
    digit ^= spare
    return first


def _add_one(addend: Words, digit: Words, spare: Words) -> Words:
    """Add a binary digit to *digit* and return the carry, in the memory of *addend*."""
    np.bitwise_and(addend, digit, out=spare)
    digit ^= addend
    addend[:] = spare
    return addend
