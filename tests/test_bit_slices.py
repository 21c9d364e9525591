"""Numbers that are kept as bit slices: compared, read and looked up, against the numbers themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage import packed_words
from audience.index.storage.bitmaps import BitMap, rows_from_number

ROW_COUNT = 70_001  # more than a container, and not a multiple of eight


def slice_numbers(numbers: np.ndarray, bit_depth: int) -> list[BitMap]:
    """Return the rows of each bit of *numbers*, lowest bit first."""
    slices = [BitMap(np.flatnonzero(numbers >> bit & 1).tolist()) for bit in range(bit_depth)]
    for rows in slices:
        rows.run_optimize()
    return slices


def look_up_rows(slices: list, is_wanted: np.ndarray, row_count: int) -> BitMap:
    """Return the rows whose number is wanted, block by block."""
    loaded = [packed_words.load_bytes(each, row_count) for each in slices]
    lookup = packed_words.NumberLookup(loaded, is_wanted, row_count)
    for start in lookup.starts:
        lookup.look_up(start)
    return lookup.to_bitmap()


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
        patch.setattr(packed_words, "BLOCK_WORDS", 64 * block)
        read = packed_words.read_numbers(slice_numbers(numbers, bit_depth), len(numbers))
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
        patch.setattr(packed_words, "BLOCK_WORDS", 64 * block)
        patch.setattr(packed_words, "LOWER_BITS", lower_bits)
        slices = store_slices(slice_numbers(numbers, bit_depth), len(numbers))
        rows = look_up_rows(slices, is_wanted, len(numbers))
    assert list(rows) == np.flatnonzero(np.isin(numbers, list(wanted))).tolist()


@pytest.mark.parametrize("bit_depth", [17, 18, 19, 20])
def test_wanted_numbers_of_more_than_two_bytes(bit_depth):
    numbers = np.random.default_rng(bit_depth).integers(0, 1 << bit_depth, row_count := 80_001)
    stored = store_slices(slice_numbers(numbers, bit_depth), row_count)
    assert not any(isinstance(rows, BitMap) for rows in stored)
    is_wanted = np.arange(1 << bit_depth) % 7 == 3
    rows = look_up_rows(stored, is_wanted, row_count)
    assert list(rows) == np.flatnonzero(is_wanted[numbers]).tolist()


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
    found = rows_from_number(slices, bound)
    rows = BitMap(range(len(numbers))) - found.bitmap if found.complemented else found.bitmap
    assert list(rows) == np.flatnonzero(numbers >= bound).tolist()
    assert [list(rows) for rows in slices] == before, "a slice was changed"
