"""Cache of the rows of subexpressions and of operands as packed words, within a limit of memory.

A cache belongs to one snapshot. An expression is cached when it is evaluated for the second time, an expensive one at
once, and words when they would have saved the time that it takes to make them.

The least recently used entries are dropped, but that words are only marked when they are used: one that is the oldest
is kept once more if it has its mark. To move six entries to the end took longer than to combine few of them.
"""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TypeAlias

from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import RowSet
from audience.index.storage.viewed_words import ViewedWords
from audience.language.ast import Expr

DEFAULT_CACHE_BYTES = 256 << 20
MAX_SEEN_KEYS = 16_384  # keys that are remembered as wanted once
ENTRY_OVERHEAD_BYTES = 200  # approximate size of an entry without its bitmap or words

CacheKey: TypeAlias = tuple[str, Expr | int]  # name of a shard; an expression, or the row of an operand's tags file


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
        self.nbytes = 0  # approximate memory of all entries
        self._entries: OrderedDict[CacheKey, RowSet | ViewedWords] = OrderedDict()  # the least recently used first
        self._marked: set[CacheKey] = set()  # words that were used since they were the oldest entry
        self._seen: OrderedDict[CacheKey, None] = OrderedDict()
        self._missed: OrderedDict[CacheKey, float] = OrderedDict()  # what words would have saved
        self._lock = Lock()

    def get(self, shard: str, expr: Expr) -> RowSet | None:
        """Return the cached rows of *expr* in *shard*, or None."""
        with self._lock:
            return self._use((shard, expr))  # type: ignore[return-value]  # the key is an expression

    def get_words(self, shard: str, tag_rows: Sequence[int]) -> list[ViewedWords | None]:
        """Return the cached words of several stored bitmaps, each or None."""
        with self._lock:
            return [self._use((shard, tag_row)) for tag_row in tag_rows]  # type: ignore[misc]  # the keys are rows

    def find_words(self, keys: Sequence[CacheKey]) -> list[ViewedWords] | None:
        """Return the cached words of several stored bitmaps, or None if those of one are not cached.

        Each key is a shard and a row of its tags file; to make six of them takes as long as to look them up. No lock is
        taken, as words are only read and marked. The mark of words that another thread drops has no effect.
        """
        found = list(map(self._entries.get, keys))
        if None in found:
            return None
        self._marked.update(keys)
        return found  # type: ignore[return-value]  # the keys are those of words

    def holds(self, shard: str, key: Expr | int) -> bool:
        """Return whether rows or words are cached, without using them."""
        return (shard, key) in self._entries

    def has_room(self, nbytes: int) -> bool:
        """Return whether entries of *nbytes* in all could be cached, if others made room."""
        return nbytes <= self.max_bytes

    def copy(self) -> "RowSetCache":
        """Return a cache of its own with the same entries, in the same order, which remembers the same wishes."""
        copied = RowSetCache(self.max_bytes)
        with self._lock:
            copied.nbytes, copied._entries, copied._seen = self.nbytes, self._entries.copy(), self._seen.copy()
            copied._marked, copied._missed = self._marked & self._entries.keys(), self._missed.copy()
        return copied

    def mark_seen(self, shard: str, expr: Expr) -> bool:
        """Record that an expression was evaluated. Return whether it was before."""
        with self._lock:
            was_seen = self._seen.pop((shard, expr), False) is None  # few steps: each hashes the expression
            self._seen[shard, expr] = None
            if len(self._seen) > MAX_SEEN_KEYS:
                self._seen.popitem(last=False)
            return was_seen

    def add_missed(self, shard: str, tag_row: int, gain: float) -> float:
        """Record *gain*, nanoseconds that the words of a stored bitmap would have saved. Return the sum of all."""
        with self._lock:
            missed = self._missed.pop((shard, tag_row), 0.0) + gain
            self._missed[shard, tag_row] = missed
            if len(self._missed) > MAX_SEEN_KEYS:
                self._missed.popitem(last=False)
            return missed

    def offer(self, shard: str, expr: Expr, row_set: RowSet) -> bool:
        """Cache *row_set* if *expr* was evaluated before and there is room. Return whether it is cached."""
        return self.mark_seen(shard, expr) and self.put(shard, expr, row_set)

    def put(self, shard: str, expr: Expr, row_set: RowSet) -> bool:
        """Cache *row_set* if there is room. Return whether it is cached."""
        entry = RowSet(row_set.bitmap, row_set.complemented, bitmaps.bitmap_nbytes(row_set.bitmap))
        return self._put((shard, expr), entry)

    def put_words(self, shard: str, tag_row: int, words: ViewedWords) -> bool:
        """Cache the words of a stored bitmap if there is room. Return whether they are cached."""
        with self._lock:
            self._missed.pop((shard, tag_row), None)
        return self._put((shard, tag_row), words)

    def _use(self, key: CacheKey) -> RowSet | ViewedWords | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def _put(self, key: CacheKey, entry: RowSet | ViewedWords) -> bool:
        with self._lock:
            if not self.has_room(entry.nbytes + ENTRY_OVERHEAD_BYTES):
                return False
            self._remove(key)
            self._entries[key] = entry
            self.nbytes += entry.nbytes + ENTRY_OVERHEAD_BYTES
            while self.nbytes > self.max_bytes:
                self._drop_oldest(key)
            return True

    def _drop_oldest(self, new: CacheKey) -> None:
        """Drop the oldest entry but *new*, if it has no mark."""
        oldest = next(iter(self._entries))
        if oldest in self._marked or oldest == new:
            self._marked.discard(oldest)
            self._entries.move_to_end(oldest)
        else:
            self._remove(oldest)

    def _remove(self, key: CacheKey) -> None:
        entry = self._entries.pop(key, None)
        self._marked.discard(key)
        if entry is not None:
            self.nbytes -= entry.nbytes + ENTRY_OVERHEAD_BYTES

    def __len__(self) -> int:
        return len(self._entries)
