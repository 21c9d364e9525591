"""Bitmaps of subexpressions that are asked for again and again, within a bound of memory.

A cache belongs to one snapshot and is forgotten with it. What is asked for the second time is kept, and at once what is
slow to find; what was used longest ago makes room.
"""

from threading import Lock

from cachetools import LRUCache

from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import Bits
from audience.language.ast import Expr

BYTES = 256 << 20
MOST_NAMES = 16_384  # subexpressions whose uses are remembered
ENTRY = 200  # bytes that an entry takes besides its bitmap, about


class Cache:
    """The rows of subexpressions, each in one shard, in at most *most* bytes; threads may share it.

    >>> from audience.language.ast import bare
    >>> cache, found = Cache(1_000), Bits(bitmaps.universe(3))
    >>> cache.offer("shard", bare("a"), found), cache.get("shard", bare("a"))
    (False, None)
    >>> cache.offer("shard", bare("a"), found), len(cache.get("shard", bare("a")).bitmap)
    (True, 3)
    """

    def __init__(self, most: int = BYTES):
        self.most = most
        self._kept: LRUCache[tuple[str, Expr], Bits] = LRUCache(most, getsizeof=lambda found: found.weight + ENTRY)
        self._asked: LRUCache[tuple[str, Expr], bool] = LRUCache(MOST_NAMES)
        self._lock = Lock()

    def get(self, shard: str, expr: Expr) -> Bits | None:
        """What *expr* means in *shard*, if it is kept."""
        with self._lock:
            return self._kept.get((shard, expr))

    def again(self, shard: str, expr: Expr) -> bool:
        """Whether *expr* was asked for before; from now on it was."""
        with self._lock:
            before = (shard, expr) in self._asked
            self._asked[shard, expr] = True
            return before

    def offer(self, shard: str, expr: Expr, found: Bits) -> bool:
        """Keep what was *found*, if it was asked for before and there is room; whether it is kept."""
        return self.again(shard, expr) and self.keep(shard, expr, found)

    def keep(self, shard: str, expr: Expr, found: Bits) -> bool:
        """Keep what was *found*, if there is room; whether it is kept."""
        kept = Bits(found.bitmap, found.outside, bitmaps.size_of(found.bitmap))
        with self._lock:
            if kept.weight + ENTRY > self._kept.maxsize:
                return False
            self._kept[shard, expr] = kept
            return True

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """About how much memory is taken."""
        return int(self._kept.currsize)
