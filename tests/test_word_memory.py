"""Memory of packed words is the words' own for as long as they are used, and taken again after that."""

import gc
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience.index.storage import word_memory

SLOT, PAGE = word_memory.MAX_BYTES, word_memory.PAGE_BYTES
SIZES = (SLOT, 1_000, 100_000, 1 << 17, (1 << 17) + 1_025, 400_000)
has_slots = pytest.mark.skipif(
    word_memory.HUGE_PAGES is None or word_memory.UNUSED is None, reason="the system has no huge pages"
)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=30))
def test_words_keep_what_was_written(steps):
    """Some memory is freed, some taken: what is held has its own number everywhere."""
    held = {}
    for number, (is_taken, place) in enumerate(steps):
        held.pop(place, None)
        if is_taken:
            held[place] = (number, word_memory.allocate(SIZES[place % len(SIZES)]))
            held[place][1][:] = number
    for number, memory in held.values():
        assert memory[0] == memory[-1] == number
        assert memory.ctypes.data % 64 == 0
        assert not np.any(memory != number)


@pytest.fixture
def slabs(monkeypatch):
    slabs = {size: word_memory._Slabs(each.slot_bytes) for size, each in word_memory._SLABS.items()}
    monkeypatch.setattr(word_memory, "_SLABS", slabs)
    return max(slabs.values(), key=attrgetter("slot_bytes"))


def _fill_slots(count):
    held = [word_memory.allocate(SLOT) for _ in range(count)]
    for each in held:
        each[:] = 1
    return held


@has_slots
def test_a_slot_is_free_when_no_part_of_it_is_used(slabs):
    part = word_memory.allocate(SLOT)[100:200]
    part[:] = 7
    address = part.ctypes.data - 100
    others = [word_memory.allocate(SLOT) for _ in range(word_memory.SLAB_SLOTS - 1)]
    for other in others:
        other[:] = 0
    assert slabs.count_slots() == (word_memory.SLAB_SLOTS, word_memory.SLAB_SLOTS)
    assert part.tolist() == [7] * 100
    del part
    gc.collect()
    assert slabs.count_slots() == (word_memory.SLAB_SLOTS - 1, word_memory.SLAB_SLOTS)
    again = word_memory.allocate(SLOT)
    assert again.ctypes.data == address
    assert slabs.count_slots() == (word_memory.SLAB_SLOTS, word_memory.SLAB_SLOTS)
    assert {other.ctypes.data % 4_096 for other in others} != {others[0].ctypes.data % 4_096}


@has_slots
@given(st.sampled_from(sorted(word_memory._SLABS)), st.permutations(range(word_memory.SLAB_SLOTS)))
@settings(max_examples=20)
def test_pages_without_used_words_are_given_back(size, order):
    """Used words keep what was written, also in pages of which other words had a part."""
    slabs = word_memory._Slabs(word_memory._SLABS[size].slot_bytes)
    held = dict(enumerate(slabs.take(size + word_memory.HEADER_BYTES) for _ in range(word_memory.SLAB_SLOTS)))
    for number, memory in held.items():
        memory[:] = number + 1
    (slab,) = slabs._slabs
    base = np.frombuffer(slab.memory, dtype=np.uint8)
    pages = range(-base.ctypes.data % PAGE, len(base) - PAGE, PAGE)
    del memory
    for number in order[:-1]:
        del held[number]
        assert all((memory == number + 1).all() for number, memory in held.items())
        for page in pages:
            slots = range(page // slabs.slot_bytes, (page + PAGE - 1) // slabs.slot_bytes + 1)
            if held.keys().isdisjoint(slots):
                assert not base[page : page + PAGE].any()
    held.clear()
    assert slabs.count_slots() == (0, 0)


@has_slots
def test_words_take_the_slots_of_earlier_ones(slabs):
    for _ in range(5):
        held = _fill_slots(40)
        keep = held[::2]
        del held
        assert slabs.count_slots() == (20, 2 * word_memory.SLAB_SLOTS)
        held = _fill_slots(20)
        assert slabs.count_slots() == (40, 2 * word_memory.SLAB_SLOTS)
        del held, keep


@has_slots
def test_a_slab_is_kept_until_the_lock_is_free(slabs):
    """Garbage may be collected while this thread takes a slot."""
    memory = word_memory.allocate(SLOT)
    with slabs._lock:
        del memory
    assert slabs.count_slots() == (0, word_memory.SLAB_SLOTS)
    memory = word_memory.allocate(SLOT)
    assert slabs.count_slots() == (1, word_memory.SLAB_SLOTS)
    del memory
    assert slabs.count_slots() == (0, 0)


def test_without_huge_pages_there_are_no_slabs(slabs, monkeypatch):
    monkeypatch.setattr(word_memory, "HUGE_PAGES", None)
    memory = [word_memory.allocate(SLOT) for _ in range(3)]
    assert [(len(each), each.ctypes.data % 64) for each in memory] == [(SLOT, 0)] * 3
    assert slabs.count_slots() == (0, 0)
