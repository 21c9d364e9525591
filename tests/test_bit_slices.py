"""Numbers that are kept as bit slices: compared, read and looked up, against the numbers themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage import listed_ranks, number_programs, packed_numbers, packed_words
from audience.index.storage.bitmaps import BitMap, rows_not_less_than

ROW_COUNT = 70_001  # more than a container, and not a multiple of eight


def slice_numbers(numbers: np.ndarray, bit_depth: int) -> list[BitMap]:
    """Return the rows of each bit of *numbers*, lowest bit first."""
    slices = [BitMap(np.flatnonzero(numbers >> bit & 1).tolist()) for bit in range(bit_depth)]
    for rows in slices:
        rows.run_optimize()
    return slices


def look_up_rows(slices: list, is_wanted: np.ndarray, numbers: np.ndarray) -> BitMap:
    """Return the rows whose number is wanted, block by block: by tables, and by a program if there is one."""
    row_count = len(numbers)
    loaded = [packed_words.load_bytes(each, row_count) for each in slices]
    lookups = [packed_numbers.NumberLookup(loaded, is_wanted, row_count)]
    ranks = listed_ranks.list_ranks(numbers.astype(np.uint32), len(slices))
    if ranks is not None:
        lookups.append(listed_ranks.RankLookup(ranks, loaded[listed_ranks.LISTED_BITS :], is_wanted))
    program = number_programs.write_number_program(is_wanted)
    if program is not None:
        lookups.append(number_programs.NumberProgram(loaded, program, row_count))
    for lookup in lookups:
        for start in lookup.starts:
            lookup.look_up(start)
    rows, *others = [lookup.to_bitmap() for lookup in lookups]
    assert all(each == rows for each in others), "a program or listed ranks differ from the table"
    return rows


@st.composite
def some_numbers(draw, max_depth: int = 31) -> tuple[np.ndarray, int]:
    """Numbers of each row, alternating or in runs, and how many bits they have."""
    bit_depth = draw(st.integers(0, max_depth))
    row_count = draw(st.sampled_from([0, 1, 7, 8, 63, 64, 65, 1_000, ROW_COUNT]))
    picked = np.array(draw(st.lists(st.integers(0, (1 << bit_depth) - 1), min_size=1, max_size=40)), dtype=np.int64)
    repeats = draw(st.sampled_from([1, 3, 5_000]))
    return np.resize(np.repeat(picked, repeats), row_count), bit_depth


@given(drawn=some_numbers(), block=st.sampled_from([1, 16, 1 << 13]))
def test_numbers_are_read_back(drawn, block):
    numbers, bit_depth = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_numbers, "BLOCK_WORDS", 64 * block)
        read = packed_numbers.read_numbers(slice_numbers(numbers, bit_depth), len(numbers))
    assert (read.dtype, read.tolist()) == (np.dtype(np.uint32), numbers.tolist())


def store_slices(slices: list[BitMap], row_count: int) -> list[BitMap | packed_words.WordBytes]:
    """Return slices as an index stores them, at an odd address: bytes of words, or bitmaps."""
    stored = [memoryview(b"." + rows.serialize())[1:] for rows in slices]
    views = [
        packed_words.view_word_bytes(data, row_count, len(rows)) for data, rows in zip(stored, slices, strict=True)
    ]
    return [rows if view is None else view for rows, view in zip(slices, views, strict=True)]


@given(
    drawn=some_numbers(max_depth=18),
    block=st.sampled_from([1, 16, 1 << 13]),
    lower_bits=st.sampled_from([0, 1, 3, 7, 9, 16]),
    data=st.data(),
)
def test_rows_with_wanted_numbers(drawn, block, lower_bits, data):
    numbers, bit_depth = drawn
    wanted = data.draw(st.sets(st.sampled_from(numbers.tolist()) if len(numbers) else st.nothing()))
    is_wanted = np.zeros(1 << bit_depth, dtype=np.bool_)
    is_wanted[list(wanted)] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_numbers, "BLOCK_WORDS", 64 * block)
        patch.setattr(number_programs, "BLOCK_WORDS", 64 * block)
        patch.setattr(listed_ranks, "BLOCK_WORDS", 64 * block)
        patch.setattr(packed_numbers, "LOWER_BITS", lower_bits)
        patch.setattr(listed_ranks, "LISTED_BITS", lower_bits)
        slices = store_slices(slice_numbers(numbers, bit_depth), len(numbers))
        rows = look_up_rows(slices, is_wanted, numbers)
    assert list(rows) == np.flatnonzero(np.isin(numbers, list(wanted))).tolist()


@pytest.mark.parametrize("bit_depth", [17, 18, 19, 20])
def test_wanted_numbers_of_more_than_two_bytes(bit_depth):
    numbers = np.random.default_rng(bit_depth).integers(0, 1 << bit_depth, row_count := 80_001)
    stored = store_slices(slice_numbers(numbers, bit_depth), row_count)
    assert not any(isinstance(rows, BitMap) for rows in stored)
    is_wanted = np.arange(1 << bit_depth) % 7 == 3
    rows = look_up_rows(stored, is_wanted, numbers)
    assert list(rows) == np.flatnonzero(is_wanted[numbers]).tolist()


@given(bit_depth=st.integers(0, 9), seed=st.integers(0, 1 << 32), period=st.integers(1, 12), inverted=st.booleans())
def test_programs_find_wanted_numbers(bit_depth, seed, period, inverted):
    numbers = np.resize(np.arange(1 << bit_depth), 4_097)
    kept = np.random.default_rng(seed).random(1 << bit_depth) < 1 / period
    slices = slice_numbers(numbers, bit_depth)
    for is_wanted in (kept, np.arange(1 << bit_depth) % period == 0, np.logical_or.accumulate(kept)):
        is_wanted = is_wanted ^ inverted
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(number_programs, "MAX_STEPS", 1 << 10)
            rows = look_up_rows(slices, is_wanted, numbers)
        assert list(rows) == np.flatnonzero(is_wanted[numbers]).tolist()


def test_programs_are_written_for_few_ranges_and_regular_numbers():
    numbers = np.arange(1 << 17)
    for is_wanted, is_written in (
        ((numbers > 70_000) & (numbers < 70_110), True),
        (numbers % 10 == 7, True),
        (np.random.default_rng(3).random(1 << 17) < 0.01, False),
        (numbers >= 0, False),  # no steps
    ):
        program = number_programs.write_number_program(is_wanted)
        assert (program is not None) == is_written
        assert program is None or 0 < len(program.steps) <= number_programs.MAX_STEPS


def test_only_words_are_viewed_in_place():
    every_other = BitMap(range(0, 3 << 16, 2))
    for rows, row_count, is_viewed in [
        (every_other, 3 << 16, True),
        (every_other, (3 << 16) - 1, True),
        (every_other, 4 << 16, False),  # the last container is empty
        (every_other - BitMap(range(1 << 16, 2 << 16)), 3 << 16, False),
        (every_other - BitMap(range(1 << 16, (2 << 16) - 500)), 3 << 16, False),  # one is an array
        (BitMap(range(3 << 16)), 3 << 16, False),  # runs
        (BitMap(), 0, False),
    ]:
        rows.run_optimize()
        viewed = packed_words.view_word_bytes(memoryview(rows.serialize()), row_count, len(rows))
        assert (viewed is not None) == is_viewed, (rows.get_statistics(), row_count)
        words = np.zeros(packed_words.word_count(row_count), dtype=np.uint64)
        packed_words.fill_words(rows, words)
        assert viewed is None or viewed.tobytes() == words.tobytes()
    stored = memoryview(every_other.serialize())
    assert packed_words.view_word_bytes(stored, 3 << 16, len(every_other) - 1) is None
    assert packed_words.view_word_bytes(stored[:-1], 3 << 16, len(every_other)) is None


@given(drawn=some_numbers(max_depth=12), data=st.data())
def test_rows_from_a_number(drawn, data):
    numbers, bit_depth = drawn
    bound = data.draw(st.integers(0, 1 << bit_depth) | st.sampled_from([1 << bit_depth, (1 << bit_depth) + 1]))
    slices = slice_numbers(numbers, bit_depth)
    before = [list(rows) for rows in slices]
    found = rows_not_less_than(slices, bound)
    rows = BitMap(range(len(numbers))) - found.bitmap if found.complemented else found.bitmap
    assert list(rows) == np.flatnonzero(numbers >= bound).tolist()
    assert [list(rows) for rows in slices] == before, "a slice was changed"
