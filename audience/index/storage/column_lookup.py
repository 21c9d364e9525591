"""Find the rows of single ids, reading only the blocks of a shard's files that the search touches."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import isqrt

from audience._fs.checksums import hash64
from audience.index.storage.id_lookup import ROW_BITS
from audience.index.storage.verified_file import VerifiedFile

LAST_ROW = (1 << ROW_BITS) - 1
EXPECTED_DEVIATIONS = 4  # standard deviations around the position of a hash in a table; it is searched wider if needed
ENTRY_BYTES = 8  # of a hash table
OFFSET_BYTES = 8  # of an offset of an Arrow array of large strings, or of large lists


def encode_id(identifier: str) -> bytes:
    """Return the bytes of an id as they are stored; a lone surrogate is in no stored id."""
    return identifier.encode("utf-8", "surrogatepass")


def hash_id(identifier: bytes) -> int:
    """Return the XXH3 hash of an id with the lowest bits, which hold the row in a table, set to zero.

    >>> hash_id(b"r1") >> ROW_BITS
    826831479356
    """
    return hash64(identifier) & ~LAST_ROW


class StoredIds:
    """Ids of a column in the mapped file of a shard; those of a row are verified when they are read.

    Args:
        file: File of ids.
        levels: Position in *file* of each array of offsets, the outermost first: none for ids of one width, one for
            strings, two for lists of strings.
        start: Position of the bytes of the ids.
        width: Bytes of an id, if there are no offsets.
    """

    def __init__(self, file: VerifiedFile, levels: Sequence[int], start: int, width: int = 0):
        self._file = file
        self._levels = levels
        self._start = start
        self._width = width

    def read(self, row: int) -> list[bytes]:
        """Return the ids of *row*; an empty one, or none, if the row has none."""
        match self._levels:
            case []:
                start = self._start + row * self._width
                return [bytes(self._file.read(start, start + self._width))]
            case [strings]:
                return [self._read_string(strings, row)]
            case [lists, strings]:
                return [self._read_string(strings, element) for element in range(*self._read_range(lists, row))]
        raise AssertionError(f"{len(self._levels)} levels of offsets")

    def _read_range(self, offsets: int, position: int) -> tuple[int, int]:
        at = offsets + OFFSET_BYTES * position
        start, stop = self._file.read(at, at + 2 * OFFSET_BYTES).cast("q")
        return start, stop

    def _read_string(self, offsets: int, position: int) -> bytes:
        start, stop = self._read_range(offsets, position)
        return bytes(self._file.read(self._start + start, self._start + stop))


class ColumnLookup:
    """Rows of a shard by their ids in one column: a sorted table of hashes, and the ids that they are of.

    Hashes are uniform, so that a search begins where a hash is expected. Nothing is converted or copied, and Polars is
    not needed.

    Args:
        file: File of hash tables.
        start: Position of the entries in *file*.
        stop: Position behind the entries.
        stored_ids: Ids of the column.
    """

    def __init__(self, file: VerifiedFile, start: int, stop: int, stored_ids: StoredIds):
        self.stored_ids = stored_ids
        self._entries = file.data[start:stop].cast("Q")
        self._count = len(self._entries)
        self._margin = EXPECTED_DEVIATIONS * (isqrt(self._count) // 2 + 1)
        self._file = file
        self._start = start

    def find_range(self, hash_: int) -> tuple[int, int]:
        """Return the range of the entries with a hash; they are verified."""
        entries, count, margin = self._entries, self._count, self._margin
        last, center = hash_ | LAST_ROW, (hash_ >> 32) * count >> 32
        while True:
            low, high = max(center - margin, 0), min(center + margin, count)
            self._file.read(self._start + ENTRY_BYTES * low, self._start + ENTRY_BYTES * high)
            start = bisect_left(entries, hash_, low, high)
            stop = start  # most shards do not have the id
            if start < high and entries[start] <= last:
                stop = bisect_right(entries, last, start, high)
            if (start > low or not low) and (stop < high or high == count):
                return start, stop
            margin *= 8

    def find_rows(self, identifier: bytes, hash_: int) -> list[int]:
        """Return the rows that have an id with this hash, in any order; deleted rows may be among them."""
        start, stop = self.find_range(hash_)
        if start == stop:
            return []
        read = self.stored_ids.read
        return [row for entry in self._entries[start:stop] if identifier in read(row := entry & LAST_ROW)]
