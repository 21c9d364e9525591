"""Bitmaps as runs: the first and the last row of each, in arrays that numpy sorts.

Runs of several bitmaps that overlap say how many of them have a row, without any of its other rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from audience.index.storage.bitmaps import CONTAINER_ROWS, BitMap, RowNumbers, bitmap_to_rows, rows_to_bitmap
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RUN_COOKIE, MIN_OFFSET_CONTAINERS = 12347, 4  # https://github.com/RoaringBitmap/RoaringFormatSpec
COOKIE_BITS = 16
MAX_LISTED_ROWS = 3  # a run, on average: bitmaps of short runs are made of their rows

Halves: TypeAlias = "NDArray[np.uint16]"
Number = TypeVar("Number", "np.uint32", "np.int64")


class Runs(NamedTuple):
    """First and last rows of runs, and *rows* that are runs of their own, all rising. Runs may be adjacent."""

    firsts: RowNumbers
    lasts: RowNumbers
    rows: RowNumbers


class SortedRuns:
    """Runs of several sets of rows, by which the rows are found that so many of the sets have."""

    #   a   0 1 2                 first rows  0 1 3
    #   b     1   3               last rows   1 2 3
    #   2 or more                 1 to 1, because the first of all runs has ended then; 3 to 2 is none

    def __init__(self, sets: Sequence[Runs]):
        rows = _merge([runs.rows for runs in sets])  # once, because most runs may be single rows
        self._firsts = _merge([rows, _merge([runs.firsts for runs in sets])])
        self._lasts = _merge([rows, _merge([runs.lasts for runs in sets])])

    def __len__(self) -> int:
        return len(self._firsts)

    def find_at_least(self, count: int) -> BitMap:
        """Return the rows of *count* or more of the sets, at least one."""
        return runs_to_bitmap(*self._reach(count))

    def find_exactly(self, count: int) -> BitMap:
        """Return the rows of *count* of the sets, at least one: what more of them have is cut out of the runs."""
        (firsts, lasts), (more_firsts, more_lasts) = self._reach(count), self._reach(count + 1)
        starts = _merge([firsts.astype(np.int64), more_lasts.astype(np.int64) + 1])
        ends = _merge([more_firsts.astype(np.int64) - 1, lasts.astype(np.int64)])
        is_left = starts <= ends
        return runs_to_bitmap(starts[is_left].astype(np.uint32), ends[is_left].astype(np.uint32))

    def _reach(self, count: int) -> tuple[RowNumbers, RowNumbers]:
        """Return the first and last rows of the runs of rows of *count* or more of the sets, at least one.

        After *ended* runs have ended, so many sets have a row from which on *count* more than these have begun, up to
        the row with which the next one ends.
        """
        ended = max(0, len(self._firsts) - count + 1)
        firsts, lasts = self._firsts[count - 1 :], self._lasts[:ended]
        is_reached = firsts <= lasts
        begins, ends = is_reached.copy(), is_reached.copy()
        is_joined = is_reached[1:] & is_reached[:-1] & (firsts[1:] <= lasts[:-1] + 1)
        begins[1:] &= ~is_joined
        ends[:-1] &= ~is_joined
        return firsts[np.flatnonzero(begins)], lasts[np.flatnonzero(ends)]


def _merge(parts: Sequence[NDArray[Number]]) -> NDArray[Number]:
    """Return all rows of *parts*, each of which rises, in order: a stable sort merges them."""
    return np.sort(np.concatenate(parts), kind="stable")


def read_runs(bitmap: BitMap) -> Runs:
    """Return the runs of *bitmap*, out of its serialized form if that has runs and arrays alone.

    >>> [part.tolist() for part in read_runs(BitMap([1, 2, 7]))]
    [[1], [2], [7]]
    """
    statistics = bitmap.get_statistics()
    count = statistics["n_containers"]
    if count < MIN_OFFSET_CONTAINERS or statistics["n_bitset_containers"]:
        return _find_runs(bitmap_to_rows(bitmap))
    return _parse_runs(bitmap.serialize(), count)


def _find_runs(rows: RowNumbers) -> Runs:
    """Return the runs of rising *rows*."""
    is_border = np.ones(len(rows) + 1, dtype=np.bool_)
    np.not_equal(rows[1:], rows[:-1] + np.uint32(1), out=is_border[1:-1])
    return _set_rows_apart(rows[is_border[:-1]], rows[is_border[1:]])


def _set_rows_apart(firsts: RowNumbers, lasts: RowNumbers) -> Runs:
    is_long = firsts < lasts
    return Runs(firsts[is_long], lasts[is_long], firsts[~is_long])


def _parse_runs(data: bytes, count: int) -> Runs:
    """Return the runs of a serialized bitmap of *count* containers, none of them words."""
    has_runs, start = _read_kinds(data, count)
    header = np.frombuffer(data, "<u2", 2 * count, start).reshape(count, 2)
    offsets = np.frombuffer(data, "<u4", count, start + 4 * count)
    body = start + 8 * count
    halves = np.frombuffer(data, "<u2", offset=body)
    starts = (offsets.astype(np.int64) - body) // 2
    keys = header[:, 0].astype(np.uint32) << np.uint32(16)
    is_array = ~has_runs
    run_counts = halves[starts[has_runs]].astype(np.int64)
    array_counts = header[is_array, 1].astype(np.int64) + 1
    run_places = _list_places(starts[has_runs] + 1, run_counts, 2)
    array_places = _list_places(starts[is_array], array_counts, 1)
    firsts = np.repeat(keys[has_runs], run_counts) + halves[run_places]
    rows = np.repeat(keys[is_array], array_counts) + halves[array_places]
    found = _set_rows_apart(firsts, firsts + halves[run_places + 1])
    return found._replace(rows=_merge([found.rows, rows]))


def _read_kinds(data: bytes, count: int) -> tuple[NDArray[np.bool_], int]:
    """Return whether each of *count* containers has runs, and where the header after that begins."""
    cookie = int.from_bytes(data[:4], "little")
    if cookie & ((1 << COOKIE_BITS) - 1) != RUN_COOKIE:
        return np.zeros(count, dtype=np.bool_), 8
    flag_bytes = -(-count // 8)
    flags = np.frombuffer(data, np.uint8, flag_bytes, 4)
    return np.unpackbits(flags, count=count, bitorder="little").view(np.bool_), 4 + flag_bytes


def _list_places(starts: NDArray[np.int64], counts: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """Return *counts* places from each of *starts* on, *step* apart.

    >>> _list_places(np.array([5, 20]), np.array([2, 1]), 2).tolist()
    [5, 7, 20]
    """
    before = np.cumsum(counts) - counts
    places: NDArray[np.int64] = np.repeat(starts - step * before, counts) + step * np.arange(counts.sum())
    return places


def runs_to_bitmap(firsts: RowNumbers, lasts: RowNumbers) -> BitMap:
    """Return the bitmap of runs in rising order, which may be adjacent.

    >>> runs_to_bitmap(np.array([1, 65_535], np.uint32), np.array([2, 65_536], np.uint32))
    BitMap([1, 2, 65535, 65536])
    """
    lengths = (lasts - firsts).astype(np.int64) + 1
    if lengths.sum() <= MAX_LISTED_ROWS * len(lengths):
        return rows_to_bitmap(_list_places(firsts.astype(np.int64), lengths, 1).astype(np.uint32))
    firsts, lasts = _join_adjacent(firsts, lasts)
    crosses = (firsts ^ lasts) >= np.uint32(CONTAINER_ROWS)  # at most one a container
    within = ~crosses
    bitmap = _fill_containers(firsts[within], lasts[within])
    for first, last in zip(firsts[crosses].tolist(), lasts[crosses].tolist(), strict=True):
        bitmap.add_range(first, last + 1)
    bitmap.run_optimize()
    return bitmap


def _join_adjacent(firsts: RowNumbers, lasts: RowNumbers) -> tuple[RowNumbers, RowNumbers]:
    """Return runs between which there is another row."""
    is_apart = firsts[1:] > lasts[:-1] + 1
    if is_apart.all():
        return firsts, lasts
    places = np.flatnonzero(is_apart)
    return firsts[np.append(0, places + 1)], lasts[np.append(places, len(lasts) - 1)]


def _fill_containers(firsts: RowNumbers, lasts: RowNumbers) -> BitMap:
    """Return the bitmap of runs each of which is in one container."""
    if not len(firsts):
        return BitMap()
    keys = (firsts >> np.uint32(16)).astype(np.uint16)
    changes = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])
    pairs = np.empty((len(firsts), 2), dtype="<u2")
    pairs[:, 0] = firsts & np.uint32(CONTAINER_ROWS - 1)
    lengths = pairs[:, 1] = lasts - firsts  # less 1
    cardinalities = np.add.reduceat(lengths, changes, dtype=np.int64) + np.diff(changes, append=len(firsts))
    return BitMap.deserialize(_join_containers(keys[changes], cardinalities, changes.tolist(), pairs))


def _join_containers(
    keys: Halves, cardinalities: NDArray[np.int64], changes: Sequence[int], pairs: NDArray[np.uint16]
) -> bytes:
    """Return the serialized bitmap of containers of runs, each from one of *changes* on up to the next.

    *pairs* are the first row of each run in its container and its length, less 1.
    """
    count, stops = len(keys), [*changes[1:], len(pairs)]
    flags = np.packbits(np.ones(count, dtype=np.bool_), bitorder="little").tobytes()
    parts = [(RUN_COOKIE | (count - 1) << COOKIE_BITS).to_bytes(4, "little"), flags]
    parts.append(np.column_stack([keys, cardinalities - 1]).astype("<u2").tobytes())
    if count >= MIN_OFFSET_CONTAINERS:
        first = 4 + len(flags) + 8 * count
        offsets = [first + 2 * number + 4 * start for number, start in enumerate(changes)]
        parts.append(np.array(offsets, dtype="<u4").tobytes())
    for start, stop in zip(changes, stops, strict=True):
        parts += [(stop - start).to_bytes(2, "little"), pairs[start:stop].tobytes()]
    return b"".join(parts)
