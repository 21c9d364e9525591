"""Cache of the rows of subexpressions, within a limit of memory.

A cache belongs to one snapshot. An expression is cached when it is evaluated for the second time, an expensive one at
once. The least recently used entries are dropped.
"""

from threading import Lock

from cachetools import LRUCache

from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import RowSet
from audience.language.ast import Expr

DEFAULT_CACHE_BYTES = 256 << 20
MAX_SEEN_EXPRS = 16_384  # expressions that are remembered as evaluated once
ENTRY_OVERHEAD_BYTES = 200  # approximate size of an entry without its bitmap


class RowSetCache:
    """Rows of expressions, by shard, in at most *max_bytes* bytes. Threads may share it.

    >>> from audience.language.ast import bare
    >>> cache, rows = RowSetCache(1_000), RowSet(bitmaps.full_bitmap(3))
    >>> cache.offer("shard", bare("a"), rows), cache.get("shard", bare("a"))
    (False, None)
    >>> cache.offer("shard", bare("a"), rows), len(cache.get("shard", bare("a")).bitmap)
    (True, 3)
    """

    def __init__(self, max_bytes: int = DEFAULT_CACHE_BYTES):
        self.max_bytes = max_bytes
        self._entries: LRUCache[tuple[str, Expr], RowSet] = LRUCache(
            max_bytes, getsizeof=lambda row_set: row_set.nbytes + ENTRY_OVERHEAD_BYTES
        )
        self._seen: LRUCache[tuple[str, Expr], bool] = LRUCache(MAX_SEEN_EXPRS)
        self._lock = Lock()

    def get(self, shard: str, expr: Expr) -> RowSet | None:
        """Return the cached rows of *expr* in *shard*, or None."""
        with self._lock:
            return self._entries.get((shard, expr))

    def mark_seen(self, shard: str, expr: Expr) -> bool:
        """Record that *expr* was evaluated. Return whether it was before."""
        with self._lock:
            was_seen = (shard, expr) in self._seen
            self._seen[shard, expr] = True
            return was_seen

    def offer(self, shard: str, expr: Expr, row_set: RowSet) -> bool:
        """Cache *row_set* if *expr* was evaluated before and there is room. Return whether it is cached."""
        return self.mark_seen(shard, expr) and self.put(shard, expr, row_set)

    def put(self, shard: str, expr: Expr, row_set: RowSet) -> bool:
        """Cache *row_set* if there is room. Return whether it is cached."""
        entry = RowSet(row_set.bitmap, row_set.complemented, bitmaps.bitmap_nbytes(row_set.bitmap))
        with self._lock:
            if entry.nbytes + ENTRY_OVERHEAD_BYTES > self._entries.maxsize:
                return False
            self._entries[shard, expr] = entry
            return True

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Return the approximate memory of all entries, in bytes."""
        return int(self._entries.currsize)
