"""Memory of row numbers is an array's own while the array or a part of it is used, and taken again after that."""

import gc
import os
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage import row_memory
from audience.index.storage.bitmaps import rows_to_bitmap
from audience.index.storage.row_memory import MAX_BYTES, MAX_FREE, MIN_BYTES, SMALL_BYTES, allocate_rows, list_rows

SIZES = (1_000, MIN_BYTES // 4, SMALL_BYTES // 4, SMALL_BYTES // 4 + 1, MAX_BYTES // 16)


@pytest.fixture
def free(monkeypatch):
    slots = {SMALL_BYTES: deque(), MAX_BYTES: deque()}
    monkeypatch.setattr(row_memory, "_FREE", slots)
    return slots


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=30))
def test_rows_keep_what_was_written(steps):
    """Some arrays are freed, some taken, some held by a part only: what is held has its own number everywhere."""
    held = {}
    for number, (is_taken, place) in enumerate(steps):
        held.pop(place, None)
        if is_taken:
            rows = allocate_rows(SIZES[place % 5])
            rows[:] = number
            held[place] = (number, rows[len(rows) // 2 :].view() if place % 2 else rows)
    for number, rows in held.values():
        assert not np.any(rows != number)


@pytest.mark.parametrize("nbytes", [MIN_BYTES, MAX_BYTES])
def test_memory_is_free_when_no_part_of_it_is_used(free, nbytes):
    slot_bytes = max(nbytes, SMALL_BYTES)
    part = allocate_rows(nbytes // 4)[10:20]
    part[:] = 7
    slots = free[slot_bytes]
    free_count = len(slots)
    other = allocate_rows(nbytes // 4)
    assert other.ctypes.data != part.ctypes.data - 40
    del other
    gc.collect()
    free_count = max(free_count, 1)  # a large one has a slab of its own
    assert len(slots) == free_count
    place = part.ctypes.data - 40
    del part
    gc.collect()
    assert len(slots) == free_count + 1
    assert allocate_rows(slot_bytes // 4).ctypes.data == place  # the last one that was used comes first


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that share memory with their parent")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_writes_to_memory_of_its_own():
    rows = allocate_rows(MIN_BYTES)
    rows[:] = 7
    child = os.fork()
    if child == 0:
        rows[:] = 8
        os._exit(0)
    os.waitpid(child, 0)
    assert (rows == 7).all()


@pytest.mark.parametrize("nbytes", [SMALL_BYTES, MAX_BYTES])
def test_few_slots_are_kept(free, nbytes):
    held = [allocate_rows(nbytes // 4) for _ in range(2 * MAX_FREE[nbytes] + 1)]
    del held
    gc.collect()
    assert len(free[nbytes]) == MAX_FREE[nbytes]


@pytest.mark.parametrize("count", [0, MIN_BYTES // 4 - 1, MAX_BYTES // 4 + 1])
def test_small_and_large_arrays_have_no_slot(free, count):
    assert len(allocate_rows(count)) == count
    gc.collect()
    assert not any(free.values())


@pytest.mark.parametrize("count", [0, 1, MIN_BYTES // 4 - 1, MIN_BYTES // 4, MIN_BYTES // 2])
@pytest.mark.parametrize("step", [1, 3, 97])
def test_rows_are_listed_alike_in_all_memory(count, step):
    """Of every kind of container, and while the rows of other audiences are held."""
    expected = np.arange(count, dtype=np.uint32) * step
    held = [list_rows(rows_to_bitmap(expected + np.uint32(first))) for first in (0, 70_000)]
    for first, rows in zip((0, 70_000), held, strict=True):
        assert rows.dtype == np.uint32 and np.array_equal(rows, expected + first)
