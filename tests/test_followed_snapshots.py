"""What a reader keeps of one snapshot for the next: answers are those of an index that was just opened."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SHARE_EXPRS, device_rows, index_forms, index_leaf
from test_joined_shards import NAMES, make_table

from audience import DeviceIndex, parse
from audience.errors import ExpressionError
from audience.index.changes import compaction
from audience.index.ingest import encode
from audience.index.query import physical_plan, resolve, tag_costs
from audience.index.storage import bitmap_forms, bitmaps, joined_shard

query_exprs = index_forms(st.one_of(index_leaf, *SHARE_EXPRS), max_leaves=6)
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)
steps = st.one_of(
    st.tuples(st.just("update"), st.dictionaries(st.sampled_from(NAMES), device_rows, min_size=1, max_size=4)),
    st.tuples(st.just("remove"), names),
    st.tuples(st.just("tag"), names),
    st.tuples(st.just("restore"), st.integers(1, 4)),
    st.tuples(st.just("segment"), query_exprs),
)


def make_change(index: DeviceIndex, step: tuple) -> None:
    match step:
        case "update", devices:
            index.update(make_table(devices))
        case "remove", ids:
            index.remove(ids)
        case "tag", ids:
            index.tag(ids, add="a", remove="b")
        case "restore", number:
            index.restore(max(2, index.snapshot.manifest.number - number))
        case "segment", expr:
            index.save_segment("saved", expr)


@given(
    first=st.dictionaries(st.sampled_from(NAMES), device_rows, min_size=4),
    changes=st.lists(st.tuples(steps, st.booleans()), min_size=2, max_size=5),
    exprs=st.lists(query_exprs, min_size=1, max_size=3),
    growth=st.sampled_from([2, 4]),
    bitmaps=st.sampled_from([2, 4_096]),
    open_rows=st.sampled_from([0, joined_shard.MAX_DELETED_RATIO, 1]),
    gaps=st.booleans(),
    stale=st.sampled_from([compaction.MAX_DELETED_RATIO, 1]),
    words=st.booleans(),
)
def test_snapshot_answers_alike_whatever_was_asked_before(
    tmp_path_factory, first, changes, exprs, growth, bitmaps, open_rows, gaps, stale, words
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "GROWTH", growth)
        patch.setattr(compaction, "MAX_DELETED_RATIO", stale)
        patch.setattr(encode, "MAX_BITMAPS_PER_ATTRIBUTE", bitmaps)
        patch.setattr(joined_shard, "MAX_DELETED_RATIO", open_rows)
        patch.setattr(joined_shard, "MIN_MOVED_BITMAPS", 2)
        if gaps:  # wherever a bitmap has a run
            patch.setattr(joined_shard, "MAX_GAPS_RATIO", 1e-9)
            patch.setattr(joined_shard, "GAPS_CLOSED_EVERY", 1)
            patch.setattr(bitmap_forms, "MAX_GAPS_COST", 0)
        if words:
            patch.setattr(physical_plan, "PROGRAM_NS", -1e12)
            patch.setattr(tag_costs, "MIN_COST_NS", 0)
        index = DeviceIndex.build(make_table(first), tmp_path_factory.mktemp("followed") / "index")
        index.save_segment("saved", "everyone")
        questions, reader = [*exprs, parse("@saved")], DeviceIndex.open(index.folder)
        for step, asks in changes:
            make_change(index, step)
            if not asks:
                continue
            reader.refresh()
            opened = DeviceIndex.open(index.folder)
            for expr in questions:
                assert {reader.count(expr) for _ in range(3)} == {opened.count(expr)}, expr
                rows = [list(rows) for rows in resolve.resolve_rows(expr, reader.snapshot)]
                assert rows == [list(rows) for rows in resolve.resolve_rows(expr, opened.snapshot)]


@pytest.fixture
def index(tmp_path):
    cities = ["a", "b", "c"] * 300
    table = pl.DataFrame({"token": [f"r{number}" for number in range(900)], "city": cities, "age": list(range(900))})
    return DeviceIndex.build(table, tmp_path / "index")


def list_tag_rows(index: DeviceIndex, attribute: str) -> dict:
    (shard,) = index.snapshot.evaluated_shards
    stored = shard.attributes[attribute]
    rows = range(stored.start, stored.stop)
    values = shard.attribute_values(stored)
    return {values[rank]: shard.load_bitmap(row) for rank, row in enumerate(rows)}


def test_bitmaps_that_a_change_does_not_touch_are_the_same_objects(index):
    index.remove(["r0"])
    before = list_tag_rows(index, "city")
    index.update(pl.DataFrame({"token": ["r1"], "city": ["c"]}))
    after = list_tag_rows(index, "city")
    assert after["a"] is before["a"]
    assert list(after["b"]) == list(before["b"])[1:]
    assert list(after["c"]) == [*before["c"], 900]


@pytest.mark.parametrize(("asked", "is_closed"), [("city:a", True), ("age:5", False)])
def test_gaps_are_closed_up_soon_in_runs_that_were_asked_for(index, monkeypatch, asked, is_closed):
    monkeypatch.setattr(joined_shard, "MAX_GAPS_RATIO", 1 / 16)
    monkeypatch.setattr(joined_shard, "GAPS_CLOSED_EVERY", 1)
    monkeypatch.setattr(joined_shard, "MAX_DELETED_RATIO", 1 / 4)
    index.remove(["r0"])
    before = index.count(asked)
    index.remove([f"r{number}" for number in range(6, 90)])
    (shard,) = index.snapshot.evaluated_shards
    assert (shard.row_count < 900) == is_closed
    assert before - index.count(asked) == (28 if asked == "city:a" else 0)


def test_small_bitmaps_that_are_read_together_are_moved_now_and_then(index, monkeypatch):
    monkeypatch.setattr(joined_shard, "MOVED_EVERY", 2)
    index.remove(["r0"])
    kept, before = [], None
    for number in range(1, 5):
        assert index.count("age < 100") == 100 - number
        after = list_tag_rows(index, "age")["50"]
        kept.append(after is before)
        before = after
        index.remove([f"r{number}"])
    assert kept == [False, True, False, True]


@pytest.mark.parametrize(("max_bytes", "kept"), [(bitmaps.MAX_KEPT_UNION_BYTES, 1), (4, 100)])
def test_comparison_that_is_asked_again_is_kept_as_one_bitmap_if_that_is_small(index, monkeypatch, max_bytes, kept):
    monkeypatch.setattr(bitmaps, "MAX_KEPT_UNION_BYTES", max_bytes)
    for removed in range(2):
        index.remove([f"r{removed}"])
        young = range(removed + 1, 100)
        has_a, has_b = (sum(age % 3 == rest for age in young) for rest in (0, 1))
        expected = {
            "city:a AND age < 100": has_a,
            "age < 100 AND NOT city:a": len(young) - has_a,
            "city:b AND age < 100": has_b,
        }
        for _ in range(3):
            assert {text: index.count(text) for text in expected} == expected
        (shard,) = index.snapshot.evaluated_shards
        assert [len(union.bitmaps) for union in shard.kept_unions.values()] == [kept]
        assert sum(map(len, list_tag_rows(index, "age").values())) == shard.device_count


@pytest.mark.parametrize(("text", "before", "loaded"), [("city:a AND age < 100", 33, 1), ("age < 100", 99, 0)])
@pytest.mark.parametrize(
    ("age", "more"),
    [(50, 1), (-5, 1), (150, 0), (None, 0)],  # in the range, a value before all others, out of it, none
)
def test_small_union_follows_a_change_without_the_bitmaps_of_its_values(index, text, before, loaded, age, more):
    index.remove(["r0"])
    assert [index.count(text) for _ in range(2)] == [before, before]
    index.update(pl.DataFrame({"token": ["new"], "city": ["a"], "age": [age]}, schema_overrides={"age": pl.Int64}))
    assert index.count(text) == before + more
    (shard,) = index.snapshot.evaluated_shards
    assert shard.loaded_count == loaded
    index.update(pl.DataFrame({"token": ["r3"], "city": ["a"], "age": [500]}))
    assert index.count(text) == before + more - 1
    index.restore(index.snapshot.manifest.number - 1)
    assert index.count(text) == before + more


def test_tags_of_an_or_that_is_asked_again_beside_a_comparison_are_kept_as_one_bitmap(index):
    for removed in range(2):
        index.remove([f"r{removed}"])
        for _ in range(3):
            assert index.count("(city:a OR city:b) AND age >= 100") == sum(age % 3 < 2 for age in range(100, 900))
        (shard,) = index.snapshot.evaluated_shards
        assert [len(union.bitmaps) for union in shard.kept_unions.values()] == [1, 1]
        assert index.count("city:a OR city:b") == sum(age % 3 < 2 for age in range(removed + 1, 900))


@pytest.mark.parametrize("city", ["aa", "0", "d"])
def test_values_that_come_and_go_move_the_ranks_of_others(index, city):
    questions = {"city:a": 299, "city:b": 300, "city:c": 300, f'city:"{city}"': 1, "city:a OR city:c": 599}
    index.remove(["r1"])
    for text in questions:
        index.count(text)
    index.update(pl.DataFrame({"token": ["r0"], "city": [city]}))
    for text, count in questions.items():
        assert index.count(text) == count - (text == "city:b"), text
    index.update(pl.DataFrame({"token": ["r0"], "city": ["a"]}))
    assert (index.count("city:a"), index.count(f'city:"{city}"'), index.count("city:c")) == (300, 0, 300)


def test_expression_is_validated_again_for_other_columns_and_segments(index):
    index.save_segment("young", "age < 30")
    asked = parse("@young AND city:a")
    assert index.count(asked) == 10
    index.save_segment("young", "age < 60")
    assert index.count(asked) == 20
    index.update(pl.DataFrame({"token": ["r0"], "sex": ["m"]}), new=["sex"])
    assert (index.count(asked), index.count("sex:m")) == (20, 1)
    index.drop_segment("young")
    with pytest.raises(ExpressionError, match="young"):
        index.count(asked)


def test_bare_tag_that_is_called_like_a_column_is_looked_for_in_each_snapshot(tmp_path):
    table = pl.DataFrame({"token": ["t1", "t2"], "tags": [["vip", "age"], ["vip"]], "age": [1, 2]})
    index = DeviceIndex.build(table, tmp_path / "index")
    asked = parse("tag:age AND vip")
    assert index.count(asked) == 1
    index.tag(["t1"], remove="age")
    index.compact()
    with pytest.raises(ExpressionError, match="attribute"):
        index.count(asked)


def test_rows_of_merged_deltas_are_forgotten(index):
    for number in range(12):
        index.update(pl.DataFrame({"token": [f"r{3 * number}"], "city": ["b" if number % 2 else "c"]}))
        opened = DeviceIndex.open(index.folder)
        for text in ("city:a", "city:b", "city:c", "city:a OR city:b", "NOT city:b AND age < 500"):
            assert index.count(text) == opened.count(text), (number, text)
        rows = {city: list(bitmap) for city, bitmap in list_tag_rows(index, "city").items()}
        assert rows == {city: list(bitmap) for city, bitmap in list_tag_rows(opened, "city").items()}
