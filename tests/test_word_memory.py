"""Memory of packed words is the words' own for as long as they are used, and taken again after that."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage import word_memory

SLOT = word_memory.MAX_BYTES
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
            held[place] = (number, word_memory.allocate((SLOT, 1_000, 100_000)[place % 3]))
            held[place][1][:] = number
    for number, memory in held.values():
        assert memory[0] == memory[-1] == number
        assert memory.ctypes.data % 64 == 0
        assert not np.any(memory != number)


@has_slots
def test_a_slot_is_free_when_no_part_of_it_is_used(monkeypatch):
    slabs = word_memory._Slabs()
    monkeypatch.setattr(word_memory, "_SLABS", slabs)
    part = word_memory.allocate(SLOT)[100:200]
    part[:] = 7
    assert len(slabs._free) == word_memory.SLAB_SLOTS - 1
    others = [word_memory.allocate(SLOT) for _ in range(word_memory.SLAB_SLOTS - 1)]
    for other in others:
        other[:] = 0
    assert not slabs._free
    assert part.tolist() == [7] * 100
    del part
    gc.collect()
    assert len(slabs._free) == 1
    assert not word_memory.allocate(SLOT).any()  # the system has taken the pages back
    assert {other.ctypes.data % 4_096 for other in others} != {others[0].ctypes.data % 4_096}


def test_without_huge_pages_there_are_no_slabs(monkeypatch):
    slabs = word_memory._Slabs()
    monkeypatch.setattr(word_memory, "_SLABS", slabs)
    monkeypatch.setattr(word_memory, "HUGE_PAGES", None)
    memory = [word_memory.allocate(SLOT) for _ in range(3)]
    assert [(len(each), each.ctypes.data % 64) for each in memory] == [(SLOT, 0)] * 3
    assert not slabs._free
