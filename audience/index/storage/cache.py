"""Bitmaps of subexpressions that are asked for again and again, within a bound of memory.

A cache belongs to one snapshot and is forgotten with it. What is asked for the second time is kept, and at once what is
slow to find; what was used longest ago makes room.
"""

from threading import Lock

from cachetools import LRUCache

from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import RowSet
from audience.language.ast import Expr

DEFAULT_CACHE_BYTES = 256 << 20
MAX_SEEN_EXPRS = 16_384  # subexpressions whose uses are remembered
ENTRY_OVERHEAD_BYTES = 200  # bytes that an entry takes besides its bitmap, about


class RowSetCache:
    """The rows of subexpressions, each in one shard, in at most *most* bytes; threads may share it.

    >>> from audience.language.ast import bare
    >>> cache, found = RowSetCache(1_000), RowSet(bitmaps.full_bitmap(3))
    >>> cache.offer("shard", bare("a"), found), cache.get("shard", bare("a"))
    (False, None)
    >>> cache.offer("shard", bare("a"), found), len(cache.get("shard", bare("a")).bitmap)
    (True, 3)
    """

    def __init__(self, max_bytes: int = DEFAULT_CACHE_BYTES):
        self.max_bytes = max_bytes
        self._entries: LRUCache[tuple[str, Expr], RowSet] = LRUCache(
            max_bytes, getsizeof=lambda found: found.nbytes + ENTRY_OVERHEAD_BYTES
        )
        self._seen: LRUCache[tuple[str, Expr], bool] = LRUCache(MAX_SEEN_EXPRS)
        self._lock = Lock()

    def get(self, shard: str, expr: Expr) -> RowSet | None:
        """What *expr* means in *shard*, if it is kept."""
        with self._lock:
            return self._entries.get((shard, expr))

    def mark_seen(self, shard: str, expr: Expr) -> bool:
        """Whether *expr* was asked for before; from now on it was."""
        with self._lock:
            before = (shard, expr) in self._seen
            self._seen[shard, expr] = True
            return before

    def offer(self, shard: str, expr: Expr, row_set: RowSet) -> bool:
        """Keep what was *found*, if it was asked for before and there is room; whether it is kept."""
        return self.mark_seen(shard, expr) and self.put(shard, expr, row_set)

    def put(self, shard: str, expr: Expr, row_set: RowSet) -> bool:
        """Keep what was *found*, if there is room; whether it is kept."""
        kept = RowSet(row_set.bitmap, row_set.complemented, bitmaps.bitmap_nbytes(row_set.bitmap))
        with self._lock:
            if kept.nbytes + ENTRY_OVERHEAD_BYTES > self._entries.maxsize:
                return False
            self._entries[shard, expr] = kept
            return True

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """About how much memory is taken."""
        return int(self._entries.currsize)
