"""A cache keeps within its memory, and keeps what is used."""

from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import RowSet
from audience.index.storage.cache import ENTRY_OVERHEAD_BYTES, RowSetCache
from audience.index.storage.viewed_words import ViewedWords
from audience.language.ast import bare

WORDS = ViewedWords(64)
ENTRY_BYTES = WORDS.nbytes + ENTRY_OVERHEAD_BYTES
KEYS = st.integers(0, 9)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "find", "rows"]), KEYS), max_size=40)


@given(STEPS, st.integers(1, 4))
def test_memory_is_bounded_and_counted(steps, room):
    cache = RowSetCache(room * ENTRY_BYTES)
    for step, key in steps:
        match step:
            case "put":
                assert cache.put_words("shard", key, WORDS)
                assert cache.holds("shard", key)
            case "find":
                assert cache.find_words([("shard", key)]) == ([WORDS] if cache.holds("shard", key) else None)
            case "rows":
                assert cache.put("shard", bare(f"{key}"), RowSet(bitmaps.full_bitmap(key)))
        assert cache.nbytes <= cache.max_bytes
        assert cache.nbytes == sum(entry.nbytes + ENTRY_OVERHEAD_BYTES for entry in cache._entries.values())
        assert cache._marked <= cache._entries.keys()


@given(st.lists(KEYS, min_size=3, max_size=30))
def test_words_that_are_used_each_time_are_kept(others):
    cache = RowSetCache(3 * ENTRY_BYTES)
    cache.put_words("shard", 100, WORDS)
    for key in others:
        assert cache.find_words([("shard", 100)]) == [WORDS]
        cache.put_words("shard", key, WORDS)


def test_unused_words_go_first():
    cache = RowSetCache(3 * ENTRY_BYTES)
    for key in (1, 2, 3):
        cache.put_words("shard", key, WORDS)
    assert cache.find_words([("shard", 1), ("shard", 3)]) is not None
    cache.put_words("shard", 4, WORDS)
    assert [key for key in (1, 2, 3, 4) if cache.holds("shard", key)] == [1, 3, 4]
    assert cache.find_words([("shard", 1), ("shard", 2)]) is None


def test_gains_of_missing_words_add_up_until_they_are_cached():
    cache = RowSetCache(3 * ENTRY_BYTES)
    assert [cache.add_missed("shard", 1, gain) for gain in (5.0, 7.0)] == [5.0, 12.0]
    assert cache.add_missed("other", 1, 1.0) == 1.0
    assert cache.copy().add_missed("shard", 1, 1.0) == 13.0
    cache.put_words("shard", 1, WORDS)
    assert cache.add_missed("shard", 1, 2.0) == 2.0
