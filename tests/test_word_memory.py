"""Memory of packed words is the words' own for as long as they are used, and taken again after that."""

import gc
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience.index.storage import word_memory

SLOT, SLAB_SLOTS, PAGE = word_memory.MAX_BYTES, word_memory.SLAB_SLOTS, word_memory.HUGE_PAGE_BYTES
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


def fill_slots(count):
    held = [word_memory.allocate(SLOT) for _ in range(count)]
    for each in held:
        each[:] = 1
    return held


@has_slots
def test_a_slot_is_free_when_no_part_of_it_is_used(slabs, monkeypatch):
    monkeypatch.setattr(word_memory, "MAX_SPARE", 0)
    part = word_memory.allocate(SLOT)[100:200]
    part[:] = 7
    others = fill_slots(SLAB_SLOTS - 1)
    assert slabs.count_slots() == (SLAB_SLOTS, SLAB_SLOTS)
    assert part.tolist() == [7] * 100
    del part
    gc.collect()
    assert slabs.count_slots() == (SLAB_SLOTS - 1, SLAB_SLOTS)
    assert len({other.ctypes.data % 4_096 for other in others}) > 1


@has_slots
def test_pages_of_which_a_part_is_used_are_kept(slabs, monkeypatch):
    """Words that take a slot after others find what these wrote: the system was given nothing."""
    monkeypatch.setattr(word_memory, "MAX_SPARE", 0)
    held = fill_slots(SLAB_SLOTS)
    for number in range(SLAB_SLOTS - 1):  # the last one has a page of its own
        held[number] = None
        held[number] = word_memory.allocate(SLOT)
        assert held[number].all()


@has_slots
@given(st.sampled_from(sorted(word_memory._SLABS)), st.permutations(range(SLAB_SLOTS)))
@settings(max_examples=20)
def test_pages_without_used_words_are_given_back(size, order):
    """Used words keep what was written, also in pages of which other words had a part."""
    slabs = word_memory._Slabs(word_memory._SLABS[size].slot_bytes)
    slabs._give_back = slabs._free_slot  # at once, without a spare one
    held = dict(enumerate([slabs.take(size + word_memory.HEADER_BYTES) for _ in range(SLAB_SLOTS)]))
    for number in held:
        held[number][:] = number + 1
    (slab,) = slabs._slabs
    pages = np.frombuffer(slab.memory, dtype=np.uint8)[slab.start :]
    pages = pages[: len(pages) // PAGE * PAGE].reshape(-1, PAGE)
    assert pages.ctypes.data % PAGE == 0
    for number in order[:-1]:
        del held[number]
        assert all((memory == number + 1).all() for number, memory in held.items())
        for page in range(-(-SLAB_SLOTS * slabs.slot_bytes // PAGE)):
            slots = range(page * PAGE // slabs.slot_bytes, ((page + 1) * PAGE - 1) // slabs.slot_bytes + 1)
            if held.keys().isdisjoint(slots):
                assert not pages[page].any()
    held.clear()
    assert slabs.count_slots() == (0, 0)


@has_slots
def test_words_take_the_slots_of_earlier_ones(slabs):
    for _ in range(5):
        held = fill_slots(40)
        keep = held[::2]
        del held
        assert slabs.count_slots() == (20 + word_memory.MAX_SPARE, 2 * SLAB_SLOTS)
        held = fill_slots(20)
        assert slabs.count_slots() == (40, 2 * SLAB_SLOTS)
        del held, keep


@has_slots
def test_first_slabs_are_filled_first(slabs):
    held = fill_slots(2 * SLAB_SLOTS)
    first = held[5].ctypes.data
    del held[40], held[5], held[2]
    again = [word_memory.allocate(SLOT) for _ in range(3)]
    assert slabs.count_slots() == (2 * SLAB_SLOTS, 2 * SLAB_SLOTS)
    assert first in [each.ctypes.data for each in again[:2]]


@has_slots
def test_a_result_takes_the_same_memory_each_time(slabs):
    """A slab is not opened and given back for each of them."""
    taken = set()
    for _ in range(5):
        memory = word_memory.allocate(SLOT)
        taken.add(memory.ctypes.data)
        del memory
    assert len(taken) == 1
    assert slabs.count_slots() == (word_memory.MAX_SPARE, SLAB_SLOTS)


@has_slots
def test_a_slab_stays_without_the_lock_until_the_next_is_unused(slabs):
    """Garbage may be collected while this thread takes a slot."""
    held = fill_slots(SLAB_SLOTS)
    spare = word_memory.allocate(SLOT)
    with slabs._lock:
        held.clear()
    assert slabs.count_slots() == (1 + word_memory.MAX_SPARE, 2 * SLAB_SLOTS)
    held = fill_slots(SLAB_SLOTS + 1)
    del spare
    held.clear()
    assert slabs.count_slots() == (word_memory.MAX_SPARE, SLAB_SLOTS)


def test_without_huge_pages_there_are_no_slabs(slabs, monkeypatch):
    monkeypatch.setattr(word_memory, "HUGE_PAGES", None)
    memory = [word_memory.allocate(SLOT) for _ in range(3)]
    assert [(len(each), each.ctypes.data % 64) for each in memory] == [(SLOT, 0)] * 3
    assert slabs.count_slots() == (0, 0)
