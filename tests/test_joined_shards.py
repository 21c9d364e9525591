"""Joined shards: a large shard and its deltas answer as one what they answer one by one."""

import pickle

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import DEVICE_SCHEMA, SHARE_EXPRS, device_rows, index_forms, index_leaf

from audience import DeviceIndex, parse
from audience.index.changes import compaction
from audience.index.ingest import encode
from audience.index.query import evaluate, pattern_search, physical_plan, resolve, tag_costs
from audience.index.query.device_set import DeviceSet
from audience.index.query.stored_bitmaps import load_together
from audience.index.query.validate import validate_and_expand
from audience.index.storage import id_arrays, joined_attributes, joined_shard, row_renumbering
from audience.index.storage.detached import detach_snapshot
from audience.index.storage.joined_attributes import MergedStrings
from audience.index.storage.joined_shard import JoinedShard
from audience.language.ast import Ids, Limit, Matches, Sample, Split, Top, walk

NAMES = [f"r{number}" for number in range(24)]
query_exprs = index_forms(st.one_of(index_leaf, *SHARE_EXPRS), max_leaves=8)
parts = st.lists(st.dictionaries(st.sampled_from(NAMES), device_rows, max_size=5), min_size=1, max_size=4)


def make_table(devices: dict) -> pl.DataFrame:
    names = pl.Series("registration_id", list(devices), dtype=pl.String)
    return pl.DataFrame([names, *pl.DataFrame(list(devices.values()), schema=DEVICE_SCHEMA)])


@given(
    first=st.dictionaries(st.sampled_from(NAMES), device_rows, min_size=1),
    updates=parts,
    removed=st.lists(st.sampled_from(NAMES), max_size=3),
    exprs=st.lists(query_exprs, min_size=1, max_size=6),
    bitmaps=st.sampled_from([1, 4_096]),
    later=st.booleans(),
    words=st.booleans(),
    compared=st.sampled_from([0, 256]),
    open_rows=st.sampled_from([0, joined_shard.MAX_DELETED_RATIO, 1]),
    sparse_ratio=st.sampled_from([row_renumbering.MOVED_RATIO, 1 << 30]),
    mask_ratio=st.sampled_from([0, id_arrays.MASK_RATIO, 1 << 30]),
)
def test_joined_shard_answers_like_its_parts(
    tmp_path_factory,
    first,
    updates,
    removed,
    exprs,
    bitmaps,
    later,
    words,
    compared,
    open_rows,
    sparse_ratio,
    mask_ratio,
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "MAX_BITMAPS_PER_ATTRIBUTE", bitmaps)
        patch.setattr(pattern_search, "MAX_MATCHED_ONE_BY_ONE", compared)
        patch.setattr(compaction, "GROWTH", 1 << 20)
        patch.setattr(compaction, "MAX_DELETED_RATIO", 1)
        patch.setattr(joined_shard, "MAX_DELETED_RATIO", open_rows)
        patch.setattr(row_renumbering, "MOVED_RATIO", sparse_ratio)
        patch.setattr(row_renumbering, "FOUND_RATIO", sparse_ratio)
        patch.setattr(id_arrays, "MASK_RATIO", mask_ratio)
        if words:  # wherever packed words can be used
            patch.setattr(physical_plan, "PROGRAM_NS", -1e12)
            patch.setattr(tag_costs, "MIN_COST_NS", 0)
        index = DeviceIndex.build(make_table(first), tmp_path_factory.mktemp("joined") / "index")
        for devices in updates:
            index.update(make_table(devices))
            if later:  # what was joined before is shared with the next snapshot
                for expr in exprs:
                    index.count(expr)
        index.remove(removed)
        snapshot = index.snapshot
        alone = DeviceIndex.open(index.folder).snapshot
        alone.evaluated_shards = alone.shards
        for expr in exprs:
            require_loaded_together(expr, snapshot)
        for expr in [*exprs, *exprs]:
            joined = [list(rows) for rows in resolve.resolve_rows(expr, snapshot)]
            assert index.count(expr) == sum(map(len, joined))
            assert joined == [list(rows) for rows in resolve.resolve_rows(expr, alone)]
            assert list_rows(expr, snapshot) == list_rows(expr, alone)


def list_rows(expr, snapshot):
    """Return the row numbers in the whole index, and those of a set that was pickled."""
    devices = DeviceSet(resolve.resolve_rows(expr, snapshot), snapshot)
    copied = DeviceSet(pickle.loads(pickle.dumps(devices.bitmaps)), snapshot)
    assert (len(devices), devices) == (len(copied), copied)
    ids, of_rows = devices.ids().to_list(), copied.ids().to_list()
    assert ids == of_rows
    return devices.global_rows().tolist(), copied.global_rows().tolist(), ids


def require_loaded_together(expr, snapshot):
    """Assert that no bitmap of *expr* is loaded after those that are loaded together, unless another atom needs it."""
    expanded = validate_and_expand(expr, snapshot, None)
    others = Ids | Limit | Matches | Sample | Split | Top
    detached = detach_snapshot(snapshot)
    for shard in detached.evaluated_shards:
        load_together([expanded], shard)
        loaded = shard.loaded_count
        evaluate.evaluate_in_shard(expanded, shard)
        assert shard.loaded_count == loaded or any(isinstance(each, others) for each in walk(expanded))


def test_words_of_a_question_are_chosen_again_after_a_removal(tmp_path, monkeypatch):
    monkeypatch.setattr(physical_plan, "PROGRAM_NS", -1e12)
    monkeypatch.setattr(tag_costs, "MIN_COST_NS", 0)
    table = pl.DataFrame({"token": [f"r{number}" for number in range(90)], "city": ["a", "b", "c"] * 30})
    index = DeviceIndex.build(table, tmp_path / "index")
    for text, cities in {
        "city:a OR NOT city:b": "ac",
        "NOT city:a AND NOT city:b": "c",
        "city:a AND NOT city:b": "a",
    }.items():
        expr, before = parse(text), index.snapshot.manifest.number
        counts = {index.count(expr) for _ in range(4)}
        index.remove(["r0", "r2"])
        assert (counts, index.count(expr)) == ({30 * len(cities)}, 30 * len(cities) - len({"a", "c"} & set(cities)))
        index.restore(before)


def test_deltas_are_joined_with_the_smallest_other_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(joined_shard, "MAX_JOINED_ROWS", 160)
    tables = [pl.DataFrame({"token": [f"{size}-{number}" for number in range(size)]}) for size in (300, 100, 20, 3)]
    index = DeviceIndex.build(tables[0], tmp_path / "index")
    monkeypatch.setattr(compaction, "GROWTH", 1 << 20)
    for table in tables[1:]:
        index.update(table)
    large, joined = index.snapshot.evaluated_shards
    assert large.row_count == 300
    assert isinstance(joined, JoinedShard)
    assert [part.row_count for part in joined.parts] == [100, 20, 3]
    assert sorted(index.resolve("everyone").ids()) == sorted(pl.concat(tables)["token"])


def test_bitmaps_of_evaluated_shards_have_no_deleted_rows(tmp_path):
    table = pl.DataFrame({"token": [f"r{number}" for number in range(90)], "city": ["a", "b", "c"] * 30})
    index = DeviceIndex.build(table, tmp_path / "index")
    for number in range(1, 8):
        index.remove([f"r{number}"])
        (shard,) = index.snapshot.evaluated_shards
        stored = shard.attributes["city"]
        rows = [list(shard.load_bitmap(tag_row)) for tag_row in range(stored.start, stored.stop)]
        assert sum(map(len, rows)) == 90 - number == len(index)
        assert index.count("city:a OR city:b") == sum(map(len, rows[:2]))
    index.restore(1)
    assert index.count("city:a AND NOT city:b") == 30


def test_bitmap_of_a_value_that_no_delta_has_is_not_copied(tmp_path):
    table = pl.DataFrame({"token": [f"r{number}" for number in range(9)], "city": ["a", "b", "c"] * 3})
    index = DeviceIndex.build(table, tmp_path / "index")
    index.update(pl.DataFrame({"token": ["r9"], "city": ["b"]}))
    (joined,) = index.snapshot.evaluated_shards
    assert isinstance(joined, JoinedShard)
    stored = joined.attributes["city"]
    of_first = joined.parts[0].attributes["city"]
    assert joined.load_bitmap(stored.start) is joined.parts[0].load_bitmap(of_first.start)
    assert list(joined.load_bitmap(stored.start + 1)) == [*joined.parts[0].load_bitmap(of_first.start + 1), 9]


@pytest.mark.parametrize("text", ["a AND {}", "a AND b AND {}", "NOT a AND {}", "{} EXCEPT a", "a OR {}"])
@pytest.mark.parametrize("pattern", ["*1*", "c1*", "c1*9", "*9"])
def test_pattern_is_compared_with_many_values_in_each_part(tmp_path, text, pattern):
    cities = [f"c{number}" for number in range(400)]
    tags = [[("a", "b")[number % 2]] for number in range(400)]
    table = pl.DataFrame({"token": cities, "city": cities, "tags": tags})
    index = DeviceIndex.build(table, tmp_path / "index")
    index.update(table.slice(19, 3))
    assert isinstance(index.snapshot.evaluated_shards[0], JoinedShard)
    whole = DeviceIndex.build(table, tmp_path / "whole")
    expr = text.format(f'city matches "{pattern}"')
    assert index.count(expr) == whole.count(expr)
    assert sorted(index.resolve(expr).ids()) == sorted(whole.resolve(expr).ids())


def test_attributes_that_two_threads_join_at_once_are_told_apart(tmp_path, monkeypatch):
    numbers = range(90)
    table = pl.DataFrame(
        {
            "token": [f"r{number}" for number in numbers],
            "city": ["a", "b", "c"] * 30,
            "sex": [("m", "f")[number % 2] for number in numbers],
        }
    )
    index = DeviceIndex.build(table, tmp_path / "index")
    index.update(table.head(1))
    (joined,) = index.snapshot.evaluated_shards
    join_attribute, asked = joined_attributes.join_attribute, []

    def join_while_another_thread_asks(name, parts, start):
        if not asked:
            asked.append("sex")
            assert "sex" in joined.attributes
        return join_attribute(name, parts, start)

    monkeypatch.setattr(joined_attributes, "join_attribute", join_while_another_thread_asks)
    assert joined.attributes["city"].start != joined.attributes["sex"].start
    assert [index.count(f"city:{city}") for city in "abc"] == [30, 30, 30]
    assert (index.count("sex:m"), index.count("sex:m AND city:a")) == (45, 15)


@given(st.sets(st.text("abc", max_size=3)), st.sets(st.text("abc", max_size=3)))
def test_merged_strings_are_those_of_both_in_order(first, others):
    first, others = sorted(first), sorted(others - first)
    positions = [sorted([*first, *others]).index(text) for text in others]
    merged = MergedStrings(first, others, positions)
    assert [merged[rank] for rank in range(len(merged))] == sorted([*first, *others])
    for rank, text in enumerate(sorted([*first, *others])):
        assert merged.rank_of_first(rank) == (first.index(text) if text in first else None)
