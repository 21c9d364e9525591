"""Order of the rows of a shard: sort codes of tags against a slow oracle, and what the order is good for."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DeviceIndex
from audience.index.ingest import row_order, tag_order
from audience.index.ingest.dictionary import DictionaryColumn
from audience.index.ingest.row_order import RowOrder, choose_row_order
from audience.index.ingest.tag_order import TagColumn, encode_tags, find_tag_matrix, rank_tags

TAG_COUNT = 6
row_lists = st.lists(st.lists(st.integers(0, TAG_COUNT), max_size=5), min_size=1, max_size=30)  # codes, 0 is null


def make_list_column(rows: list[list[int]]) -> TagColumn:
    """Return a column of lists with the codes of *rows*."""
    codes = np.array([*itertools.chain.from_iterable(rows)], dtype=np.uint32)
    values = pl.Series([f"t{number}" for number in range(TAG_COUNT)])
    return TagColumn(DictionaryColumn(values, codes), np.array([len(row) for row in rows], dtype=np.uint32))


def make_flag_column(flags: list[bool]) -> TagColumn:
    """Return a Boolean column."""
    return TagColumn(DictionaryColumn(pl.Series(["flag"]), np.array(flags, dtype=np.uint32)))


def make_random_tags(row_count: int, shares: list[float]) -> dict[str, TagColumn]:
    """Return a Boolean column for each of *shares*, true for that share of the rows."""
    random = np.random.default_rng(1)
    return {f"t{at}": make_flag_column(random.random(row_count) < share) for at, share in enumerate(shares)}


def count_runs(order: RowOrder, column: TagColumn) -> int:
    """Return the number of runs of true of a Boolean column in *order*."""
    flags = column.dictionary.codes[order.old_of_new]
    return int(np.count_nonzero(np.diff(flags, prepend=np.uint32(0)) == 1))


@given(row_lists, st.randoms(), st.integers(1, 4), st.integers(1, 7))
def test_tag_codes_are_lowest_ranks_in_rising_order(rows, chance, slot_count, block):
    flags = [chance.random() < 0.5 for _ in rows]
    columns = {"list": make_list_column(rows), "flag": make_flag_column(flags)}
    ranks = rank_tags(columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tag_order, "ROWS_PER_BLOCK", block)
        codes = encode_tags(columns, ranks, len(rows), slot_count)
    no_tag = (1 << ranks.slot_bits) - 1
    matrix = find_tag_matrix(columns, ranks, len(rows))
    for at, (row, is_set) in enumerate(zip(rows, flags, strict=True)):
        of_row = {int(ranks.by_column["list"][code]) for code in row} | {int(ranks.by_column["flag"][int(is_set)])}
        sorted_ranks = sorted(of_row - {int(tag_order.NO_RANK)})
        assert np.flatnonzero(matrix[:, at]).tolist() == sorted_ranks
        slots = [*sorted_ranks, *[no_tag] * slot_count][:slot_count]
        assert int(codes[at]) == sum(
            rank << ranks.slot_bits * (slot_count - 1 - slot) for slot, rank in enumerate(slots)
        )


@given(row_lists, st.randoms(), st.sampled_from([-math.inf, 0.1]), st.sampled_from([1, 5, 1 << 14]))
def test_order_is_permutation_with_the_codes_of_its_columns(rows, chance, min_gain, sample_rows):
    codes = np.array([chance.randrange(4) for _ in rows], dtype=np.uint32)
    column = DictionaryColumn(pl.Series(["a", "b", "c"]), codes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_order, "MIN_GAIN", min_gain)
        patch.setattr(row_order, "MAX_SAMPLE_ROWS", sample_rows)
        order, again = (choose_row_order(len(rows), {"a": column}, {"b": make_list_column(rows)}) for _ in range(2))
    assert sorted(order.old_of_new.tolist()) == list(range(len(rows)))
    assert order.new_of_old[order.old_of_new].tolist() == list(range(len(rows)))
    assert all((found == codes[order.old_of_new]).all() for found in order.sorted_codes.values())
    assert (order.old_of_new == again.old_of_new).all()


def test_independent_tags_become_fewer_runs():
    row_count = 200_000
    tags = make_random_tags(row_count, [0.5, 0.2, 0.06, 0.03, 0.01, 0.002])
    order, table_order = choose_row_order(row_count, {}, tags), choose_row_order(row_count, {})
    runs = {name: count_runs(order, column) / count_runs(table_order, column) for name, column in tags.items()}
    assert max(runs[name] for name in ("t2", "t3", "t4", "t5")) < 0.05
    assert max(runs.values()) < 0.5


def test_columns_with_few_values_keep_long_runs_beside_independent_tags():
    row_count = 100_000
    codes = np.random.default_rng(2).integers(1, 9, row_count).astype(np.uint32)
    column = DictionaryColumn(pl.Series(list("abcdefgh")), codes)
    order = choose_row_order(row_count, {"province": column}, make_random_tags(row_count, [0.5, 0.4]))
    assert np.count_nonzero(np.diff(order.sorted_codes["province"])) < 4 * 8


def test_tags_that_follow_one_another_become_runs(tmp_path):
    city = np.random.default_rng(3).zipf(1.5, 60_000) % 100
    tags = [[f"city{number}", f"province{number % 10}", f"zone{number % 10 % 3}"] for number in city]
    table = pl.DataFrame({"registration_id": [f"d{at}" for at in range(len(city))], "tags": tags})
    index = DeviceIndex.build(table, tmp_path / "index")
    (shard,) = index.snapshot.shards
    assert shard.files.file_sizes["tags"] < 20_000  # 400,000 bytes of arrays in the order of the table
