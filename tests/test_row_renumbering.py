"""Rows that are renumbered after a deletion: their numbers are those of a list without the deleted rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage import row_renumbering
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.row_renumbering import RowRenumbering

ROW_COUNTS = [1, 63, 64, 65, 128, 1_000, 65_535, 65_536, 65_537, 131_072, 140_000]


@st.composite
def row_sets(draw, row_count: int) -> BitMap:
    """Draw rows below *row_count*: single ones, runs, and rows at random of some density."""
    rows = set(draw(st.lists(st.integers(0, row_count - 1), max_size=20)))
    for start in draw(st.lists(st.integers(0, row_count - 1), max_size=4)):
        rows.update(range(start, min(row_count, start + draw(st.sampled_from([1, 40, 64, 700, 70_000])))))
    density = draw(st.sampled_from([0, 0.02, 0.5, 0.97]))
    random = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    rows.update(np.flatnonzero(random.random(row_count) < density).tolist())
    return BitMap(rows)


@given(st.data(), st.sampled_from(ROW_COUNTS), st.sampled_from([0, 1 << 11]), st.sampled_from([1, 128, 1 << 30]))
def test_rows_are_renumbered_as_if_the_others_had_never_been(data, row_count, max_bounds, sparse_ratio):
    deleted, rows = data.draw(row_sets(row_count)), data.draw(row_sets(row_count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_renumbering, "MAX_BOUNDS", max_bounds)
        patch.setattr(row_renumbering, "MOVED_RATIO", sparse_ratio)
        patch.setattr(row_renumbering, "FOUND_RATIO", sparse_ratio)
        renumbering = RowRenumbering(deleted, row_count)
        remaining = [row for row in range(row_count) if row not in deleted]
        numbers = {row: number for number, row in enumerate(remaining)}
        expected = [numbers[row] for row in rows if row in numbers]
        assert renumbering.row_count == len(remaining)
        assert list(renumbering.to_new(rows)) == expected
        assert list(renumbering.to_old(BitMap(expected))) == [row for row in rows if row in numbers]
        kept = np.array(sorted(numbers.keys() & set(rows)), dtype=np.uint32)
        assert renumbering.new_rows(kept).tolist() == expected
        assert renumbering.old_rows(renumbering.new_rows(kept)).tolist() == kept.tolist()


def test_renumbered_runs_stay_runs():
    random = np.random.default_rng(3)
    deleted = BitMap(np.flatnonzero(random.random(200_000) < 0.1).tolist())
    run = BitMap(range(30_000, 190_000))
    renumbering = RowRenumbering(deleted, 200_000)
    statistics = renumbering.to_new(run).get_statistics()
    assert statistics["n_run_containers"] == statistics["n_containers"]
    assert (run - deleted).get_statistics()["n_bitset_containers"] > 0
    assert renumbering.to_old(renumbering.to_new(run)) == run - deleted
