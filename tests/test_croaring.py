"""Operations on bitmaps without Python's lock: equal to those of pyroaring, which stand in for what is missing."""

import ctypes
import gc
from dataclasses import fields

import numpy as np
import pyroaring
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage import croaring
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.croaring import (
    LOCKED,
    Operations,
    choose_block_length,
    choose_operations,
    load_unlocked,
    share_question,
)

NAMES = [field.name for field in fields(Operations)]
BINARY = [name for name in NAMES if name.startswith(("intersection", "union", "difference")) and name != "union_many"]
ROW_COUNT = 5 << 16


@st.composite
def bitmaps(draw) -> BitMap:
    """Bitmaps with arrays, words and runs, in the form in which operations leave them or in the smallest one."""
    rows = BitMap(optimize=False)
    for key in draw(st.sets(st.integers(0, 4))):
        start = (key << 16) + draw(st.integers(0, 9_000))
        step = draw(st.sampled_from([1, 2, 7, 40, 3_000]))
        rows |= BitMap(range(start, start + draw(st.integers(1, 50_000)), step), optimize=False)
    if draw(st.booleans()):
        rows.run_optimize()
    return rows


def test_this_wheel_works_without_the_lock():
    assert [name for name in NAMES if getattr(load_unlocked(), name) is getattr(LOCKED, name)] == []


@pytest.mark.parametrize("name", BINARY)
@given(first=bitmaps(), second=bitmaps())
def test_operation_on_two_bitmaps_is_that_of_pyroaring(name, first, second):
    seen = []
    for operations in (LOCKED, load_unlocked()):
        left, right = BitMap(first, optimize=False), BitMap(second, optimize=False)
        seen.append((getattr(operations, name)(left, right), left, right))
    assert seen[0] == seen[1]


@given(operands=st.lists(bitmaps(), min_size=1, max_size=6))
def test_union_of_many_bitmaps_is_that_of_pyroaring_and_changes_none(operands):
    before = [list(bitmap) for bitmap in operands]
    assert load_unlocked().union_many(operands) == BitMap.union(*operands)
    assert [list(bitmap) for bitmap in operands] == before, "an operand was changed"


@given(rows=bitmaps())
def test_conversions_of_one_bitmap_are_those_of_pyroaring(rows):
    unlocked = load_unlocked()
    for operations in (LOCKED, unlocked):
        filled = np.empty(len(rows), dtype=np.uint32)
        operations.fill_rows(rows, filled)
        assert filled.tolist() == list(rows)
        assert operations.from_rows(filled) == rows
    assert unlocked.deserialize(memoryview(rows.serialize())) == rows
    if rows:
        words, slow = np.empty((2, ROW_COUNT // 64), dtype=np.uint64)
        unlocked.fill_words(rows, words)
        LOCKED.fill_words(rows, slow)
        assert (words == slow).all()


@given(values=st.lists(st.integers(0, 2**32 - 1)))
def test_rows_in_any_order(values):
    assert load_unlocked().from_rows(np.array(values, dtype=np.uint32)) == BitMap(values)


@given(rows=bitmaps(), cut=st.integers(0, 400), garbage=st.binary(max_size=60))
def test_bytes_of_no_bitmap(rows, cut, garbage):
    whole = rows.serialize()
    for data in (whole[: max(0, len(whole) - 1 - cut)], garbage):
        answers = []
        for operations in (LOCKED, load_unlocked()):
            try:
                answers.append(operations.deserialize(memoryview(data)))
            except (ValueError, IndexError):
                answers.append(None)
        assert answers[0] == answers[1]


def test_results_outlive_their_operands():
    first, second = BitMap(range(0, 200_000, 3)), BitMap(range(100_000, 300_000))
    expected = [first & second, first | second, first - second]
    unlocked = load_unlocked()
    results = [function(first, second) for function in (unlocked.intersection, unlocked.union, unlocked.difference)]
    del first, second
    gc.collect()
    assert results == expected
    results[0].add(7)
    results[1] &= results[0]
    assert results[1] == expected[0]


def test_small_bitmaps_keep_the_lock():
    large, rows = croaring.MIN_UNLOCKED_BYTES, BitMap(range(croaring.MIN_UNLOCKED_ROWS))
    assert choose_operations(large, rows) is LOCKED, "no other thread waits for it"
    with share_question(), share_question():
        assert choose_operations(large - 1) is choose_operations(large, rows - BitMap([0])) is LOCKED
        assert choose_operations(large) is choose_operations(large, rows) is load_unlocked()
    assert choose_operations(large) is LOCKED


def test_blocks_are_longer_where_threads_share():
    assert choose_block_length(10) == 10
    with share_question():
        assert choose_block_length(10) == 10 * croaring.SHARED_BLOCKS


@pytest.fixture
def reload(monkeypatch):
    """Load the operations again, with what the test has patched."""
    croaring.load_unlocked.cache_clear()
    yield croaring.load_unlocked
    monkeypatch.undo()
    croaring.load_unlocked.cache_clear()


def test_an_unknown_version_is_not_called(reload, monkeypatch):
    monkeypatch.setattr(pyroaring, "__croaring_version__", "v99.0.0")
    assert reload() is LOCKED


def test_objects_of_an_unknown_layout_are_not_written_to(reload, monkeypatch):
    monkeypatch.setattr(croaring, "_find_pointer", lambda: None)
    assert reload() is LOCKED


def test_a_wheel_without_the_functions(reload, monkeypatch):
    monkeypatch.setattr(pyroaring, "__file__", ctypes.__file__)
    assert reload() is LOCKED
    monkeypatch.setattr(pyroaring, "__file__", None)  # the running program, which has other functions
    reload.cache_clear()
    assert reload() == LOCKED


WRONG = {
    "intersection": LOCKED.union,
    "union": LOCKED.difference,
    "difference": LOCKED.intersection,
    "intersection_cardinality": LOCKED.union_cardinality,
    "union_cardinality": LOCKED.difference_cardinality,
    "difference_cardinality": LOCKED.intersection_cardinality,
    "intersection_update": LOCKED.union_update,
    "union_update": LOCKED.difference_update,
    "difference_update": LOCKED.intersection_update,
    "union_many": lambda bitmaps: bitmaps[0],
    "fill_rows": lambda bitmap, rows: rows.fill(0),
    "from_rows": lambda rows: BitMap(),
    "fill_words": lambda bitmap, words: None,
    "deserialize": lambda data: BitMap(),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_function_that_does_something_else_is_not_used(reload, monkeypatch, name):
    define = croaring._Functions.define
    wrong = WRONG[name]
    monkeypatch.setattr(croaring._Functions, "define", lambda self: list((dict(define(self)) | {name: wrong}).items()))
    assert [each for each in NAMES if getattr(reload(), each) is getattr(LOCKED, each)] == [name]
