"""Bitmaps of values, and the values of rows again, however they are found, against plain grouping."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.ingest import decode, encode
from audience.index.storage import number_sorting


@st.composite
def coded_rows(draw) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Draw the codes and rows of a column, the number of its values, and that of its rows.

    A row may have several values, one of them twice, or none; a value may have many rows, a few, or none.
    """
    row_count = draw(st.sampled_from([1, 63, 65_536, 70_000]))
    value_count = draw(st.sampled_from([1, 2, 255, 256, 300]))
    random = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    count = draw(st.sampled_from([0, 5, 2_000, 20_000]))
    often, codes = random.integers(0, value_count, 1), random.integers(0, value_count + 1, count)
    codes[random.random(count) < draw(st.sampled_from([0, 0.5, 1]))] = often
    rows = random.integers(0, row_count, count)
    return codes.astype(np.uint32), rows.astype(np.uint32), value_count, row_count


@given(
    column=coded_rows(),
    marked_ratio=st.sampled_from([0, 64, 1 << 20]),
    block_codes=st.sampled_from([1, 1_000, 1 << 18]),
    min_polars=st.sampled_from([0, 1 << 12]),
)
@pytest.mark.parametrize("grouped_values", [0, 256, 1 << 16])
def test_each_value_has_its_rows(grouped_values, column, marked_ratio, block_codes, min_polars):
    codes, rows, value_count, row_count = column
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "MIN_GROUPED_CODES", 0)
        patch.setattr(encode, "MAX_GROUPED_VALUES", grouped_values)
        patch.setattr(number_sorting, "MIN_POLARS_NUMBERS", min_polars)
        patch.setattr(encode, "MARKED_RATIO", marked_ratio)
        patch.setattr(encode, "MIN_MARKED", 1)
        patch.setattr(encode, "BLOCK_CODES", block_codes)
        patch.setattr(encode, "MIN_CODES_PER_VALUE", 1)
        bitmaps = encode._build_bitmaps(codes, rows, value_count, row_count)
    expected: dict[int, set[int]] = {}
    for code, row in zip(codes.tolist(), rows.tolist(), strict=True):
        expected.setdefault(code, set()).add(row)
    assert [set(bitmap) for bitmap in bitmaps] == [expected.get(code, set()) for code in range(1, value_count + 1)]


@given(
    st.lists(st.sets(st.integers(0, 9)), max_size=4),
    st.sampled_from([0, 2, 1 << 20]),
    st.sampled_from([1, 3, 10, 1 << 15]),
)
def test_each_row_has_its_values(positions, min_placed, placed_rows):
    values, size = pl.Series([f"v{number}" for number in range(len(positions))], dtype=pl.String), 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "MIN_PLACED", min_placed)
        patch.setattr(decode, "PLACED_ROWS", placed_rows)
        rising = [np.array(sorted(each), dtype=np.int64) for each in positions]
        placed = decode.place_values(values, rising, size, is_single_valued=False)
    expected = [[value for value, own in zip(values, positions, strict=True) if row in own] for row in range(size)]
    assert placed.to_list() == expected
