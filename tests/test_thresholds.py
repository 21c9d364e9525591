"""Rows that at least, at most or exactly so many of several sets have, against plain counting."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage import croaring, packed_words, row_runs, thresholds
from audience.index.storage.bitmap_forms import measure_form
from audience.index.storage.bitmaps import BitMap, RowSet, bitmap_nbytes
from audience.index.storage.kept_forms import KeptForms

ROW_COUNT = 200_000  # more than three containers
EDGES = [0, 1, 63, 64, 65_535, 65_536, 131_071, 131_072, 196_607, 196_608, ROW_COUNT - 1]


@st.composite
def bitmaps(draw) -> BitMap:
    """Bitmaps whose containers are arrays, words and runs, also empty and full ones."""
    rows = BitMap(draw(st.lists(st.sampled_from(EDGES) | st.integers(0, ROW_COUNT - 1), max_size=8)))
    for start in draw(st.lists(st.integers(0, ROW_COUNT - 1), max_size=3)):
        length, step = draw(st.sampled_from([(ROW_COUNT, 1), (70_000, 1), (70_000, 2), (70_000, 17), (300, 1)]))
        rows |= BitMap(range(start, min(start + length, ROW_COUNT), step))
    if draw(st.booleans()):
        rows.run_optimize()
    return rows


@st.composite
def row_sets(draw) -> list[RowSet]:
    """Lists of sets, of which some are complements; sets may stand twice."""
    some = draw(st.lists(bitmaps(), min_size=1, max_size=4))
    picked = draw(st.lists(st.sampled_from(some), min_size=1, max_size=12))
    flags = draw(st.lists(st.booleans(), min_size=len(picked), max_size=len(picked)) | st.just([False] * len(picked)))
    return [RowSet(rows, flag, bitmap_nbytes(rows)) for rows, flag in zip(picked, flags, strict=True)]


def count_by_row(operands: list[RowSet]) -> np.ndarray:
    """Return in how many of *operands* each row is."""
    counts = np.zeros(ROW_COUNT, dtype=np.int64)
    for operand in operands:
        is_in = np.zeros(ROW_COUNT, dtype=np.bool_)
        is_in[list(operand.bitmap)] = True
        counts += ~is_in if operand.complemented else is_in
    return counts


def rows_of(row_set: RowSet) -> list[int]:
    """Return the rows of a set, written out."""
    everyone = BitMap(range(ROW_COUNT))
    return list(everyone - row_set.bitmap if row_set.complemented else row_set.bitmap)


@given(operands=row_sets(), count=st.integers(-1, 13))
def test_thresholds_count_rows(operands, count):
    counts = count_by_row(operands)
    at_least = thresholds.rows_at_least(operands, count, ROW_COUNT)
    exactly = thresholds.rows_exactly(operands, count, ROW_COUNT)
    assert rows_of(at_least) == np.flatnonzero(counts >= count).tolist()
    assert rows_of(exactly) == np.flatnonzero(counts == count).tolist()


def sort_runs(rows: list[BitMap], count: int, *, exactly: bool) -> BitMap:
    runs = row_runs.SortedRuns([row_runs.read_runs(each) for each in rows])
    return thresholds.find_in_runs(runs, count, exactly=exactly)


@given(operands=row_sets(), count=st.integers(1, 12), exactly=st.booleans())
def test_all_algorithms_agree(operands, count, exactly):
    plain = [operand._replace(complemented=False) for operand in operands]
    rows = [operand.bitmap for operand in plain]
    before = [list(bitmap) for bitmap in rows]
    merged = thresholds.merge_bitmaps(rows, count, exactly=exactly)
    assert merged == thresholds.count_in_bytes(rows, count, ROW_COUNT, exactly=exactly)
    assert merged == thresholds.add_words(plain, count, ROW_COUNT, exactly=exactly)
    assert merged == sort_runs(rows, count, exactly=exactly)
    assert [list(bitmap) for bitmap in rows] == before, "an operand was changed"


@pytest.mark.parametrize("cheapest", range(4))
@given(operands=row_sets(), count=st.integers(1, 12))
def test_whichever_algorithm_is_estimated_to_be_the_fastest(cheapest, operands, count):
    counts = count_by_row(operands)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "MERGED_AT_ONCE_BYTES", 0)
        patch.setattr(thresholds, "estimate_costs", lambda *_: tuple(1e9 * (place != cheapest) for place in range(4)))
        at_least = thresholds.rows_at_least(operands, count, ROW_COUNT)
        exactly = thresholds.rows_exactly(operands, count, ROW_COUNT)
    assert rows_of(at_least) == np.flatnonzero(counts >= count).tolist()
    assert rows_of(exactly) == np.flatnonzero(counts == count).tolist()


def test_estimates_rise_with_the_operands_and_the_levels():
    for rows in (BitMap(range(0, ROW_COUNT, 100)), BitMap(range(0, ROW_COUNT, 3)), BitMap(range(ROW_COUNT))):
        rows.run_optimize()
        form = measure_form(rows)
        costs = [
            thresholds.estimate_costs(thresholds.sum_forms([form] * operands), operands, ROW_COUNT, 2)
            for operands in (3, 9, 20)
        ]
        assert costs == sorted(costs) and all(len(set(each)) == 3 for each in zip(*costs, strict=True))
        merging = [
            thresholds.estimate_costs(thresholds.sum_forms([form] * 9), 9, ROW_COUNT, levels)[0]
            for levels in (2, 3, 4, 5, 6, 9)
        ]
        assert merging == sorted(merging) and merging[0] < merging[-1]


@pytest.mark.parametrize("operand_count", [7, 8, 9, 255, 256, 300])
def test_all_algorithms_agree_for_many_operands(operand_count):
    rng = np.random.default_rng(operand_count)
    rows = [BitMap(rng.integers(0, 1_000, 300)) for _ in range(operand_count)]
    tally = Counter(row for bitmap in rows for row in bitmap)
    for count in (2, operand_count // 4, operand_count - 1, operand_count):
        expected = BitMap([row for row, found in tally.items() if found >= count])
        operands = [RowSet(bitmap) for bitmap in rows]
        assert thresholds.count_in_bytes(rows, count, 1_000, exactly=False) == expected
        assert thresholds.add_words(operands, count, 1_000, exactly=False) == expected
        assert thresholds.merge_bitmaps(rows, count, exactly=False) == expected
        assert sort_runs(rows, count, exactly=False) == expected


@given(rows=bitmaps())
def test_runs_are_read_and_written(rows):
    before = rows.serialize()
    runs = row_runs.read_runs(rows)
    firsts, lasts = (np.sort(np.concatenate([ends, runs.rows])) for ends in (runs.firsts, runs.lasts))
    assert [row for first, last in zip(firsts, lasts, strict=True) for row in range(first, last + 1)] == list(rows)
    assert row_runs.runs_to_bitmap(firsts, lasts) == rows
    assert rows.serialize() == before, "the bitmap was changed"


def test_runs_of_stored_bitmaps_are_kept_when_they_are_wanted_again(monkeypatch):
    monkeypatch.setattr(thresholds, "MERGED_AT_ONCE_BYTES", 0)
    monkeypatch.setattr(thresholds, "estimate_costs", lambda *_: (2.0, 1.0, 3.0, 3.0))
    rows = [BitMap(range(start, ROW_COUNT, 7_000)) for start in (0, 1, 7_001)]
    operands = [RowSet(bitmap, nbytes=8, cached=place < 2) for place, bitmap in enumerate(rows)]
    kept = KeptForms()
    chosen = []
    for _ in range(3):
        found = thresholds.rows_at_least(operands, 2, ROW_COUNT, lambda name, costs: chosen.append(name), kept)
        assert rows_of(found) == list(rows[1] & rows[2])
    assert chosen == [thresholds.MERGE] * 3, "the runs of one of them would be read every time"
    operands[2] = operands[2]._replace(cached=True)
    for _ in range(3):
        thresholds.rows_at_least(operands, 2, ROW_COUNT, lambda name, costs: chosen.append(name), kept)
    assert chosen[3:] == [thresholds.MERGE, thresholds.SORTED_RUNS, thresholds.SORTED_RUNS]
    forms = kept.forms.values()
    assert [each.bitmap for each in forms] == rows and all(each.runs is not None for each in forms)


def test_sorted_runs_are_kept_when_they_are_wanted_again(monkeypatch):
    monkeypatch.setattr(thresholds, "MERGED_AT_ONCE_BYTES", 0)
    monkeypatch.setattr(thresholds, "estimate_costs", lambda *_: (1e6, 2e6, 3e6, 3e6))
    rows = [BitMap(range(start, ROW_COUNT, 7_000)) for start in (0, 1, 7_001)]
    kept = KeptForms()
    chosen: list[str] = []

    def count_reached(places: str, count: int, cached: bool = True) -> int:
        operands = [RowSet(rows[int(place)], nbytes=8, cached=cached) for place in places]
        return len(
            thresholds.rows_at_least(operands, count, ROW_COUNT, lambda name, costs: chosen.append(name), kept).bitmap
        )

    expected = len(rows[1] & rows[2])
    assert [count_reached("012", 2, cached=False) for _ in range(3)] == [expected] * 3
    assert chosen == [thresholds.MERGE] * 3, "they could not be kept"
    assert [count_reached(places, 2) for places in ("012", "210", "102")] == [expected] * 3
    assert chosen[3:] == [thresholds.MERGE, thresholds.SORTED_RUNS, thresholds.SORTED_RUNS]
    assert count_reached("0122", 2) == len(rows[2]), "a set that is counted twice is another sum"
    assert chosen[6:] == [thresholds.MERGE]
    copied = kept.copy()
    assert [*copied] == [*kept]
    count_reached("0112", 3)
    assert [*copied] != [*kept]


@given(rows=bitmaps())
def test_packed_words_are_lossless(rows):
    words = np.full(packed_words.word_count(ROW_COUNT), ~np.uint64(0))
    packed_words.fill_words(rows, words)
    slow = words.copy()
    croaring.LOCKED.fill_words(rows, slow)
    assert (words == slow).all()
    assert packed_words.words_to_bitmap(words) == rows
    mask = packed_words.bitmap_to_mask(rows, ROW_COUNT)
    assert np.flatnonzero(mask).tolist() == list(rows)
    assert packed_words.mask_to_bitmap(mask) == rows


@given(rows=bitmaps(), wanted=st.lists(st.integers(0, ROW_COUNT + 70_000) | st.sampled_from([0, (1 << 32) - 1])))
@pytest.mark.parametrize("masked_ratio", [0, 64, ROW_COUNT])
def test_rows_are_looked_up_in_any_order(masked_ratio, rows, wanted):
    asked = [*wanted, *(row ^ 1 for row in wanted), *list(rows)[:100]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_words, "MASKED_RATIO", masked_ratio)
        found = packed_words.contains_rows(rows, np.array(asked, dtype=np.uint32))
    assert found.tolist() == [row in rows for row in asked]


def test_no_rows_have_no_words():
    assert packed_words.mask_to_bitmap(np.zeros(0, dtype=np.bool_)) == BitMap()
    assert thresholds.add_words([RowSet(BitMap()), RowSet(BitMap())], 2, 0, exactly=True) == BitMap()
