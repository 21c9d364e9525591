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


@given(drawn=some_numbers(max_depth=18), block=st.sampled_from([1, 16, 1 << 13]), data=st.data())
def test_rows_with_wanted_numbers(drawn, block, data):
    numbers, bit_depth = drawn
    wanted = data.draw(st.sets(st.sampled_from(numbers.tolist()) if len(numbers) else st.nothing()))
    is_wanted = np.zeros(1 << bit_depth, dtype=np.bool_)
    is_wanted[list(wanted)] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_words, "BLOCK_WORDS", 64 * block)
        rows = packed_words.rows_with_numbers(slice_numbers(numbers, bit_depth), is_wanted, len(numbers))
    assert list(rows) == np.flatnonzero(np.isin(numbers, list(wanted))).tolist()


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
