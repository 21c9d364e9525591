"""Expressions over packed words, roaring bitmaps and plain Boolean arrays have the same rows."""

import pickle
from functools import reduce

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience import And, DeviceIndex, Except, Expr, Not, Or, Threshold
from audience.index.query import physical_plan, tag_costs, tag_questions
from audience.index.query.device_set import DeviceSet
from audience.index.query.late_bitmaps import LateBitmap
from audience.index.query.physical_plan import Answer
from audience.index.query.tag_questions import read_tags
from audience.index.query.tag_trees import read_tree
from audience.index.query.word_expressions import find_program
from audience.index.storage import thresholds, word_programs
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.cache import RowSetCache
from audience.index.storage.croaring import CONTAINER_WORDS
from audience.index.storage.detached import detach_snapshot
from audience.language.ast import Everyone, Nobody, Tag, bare

ROW_COUNT = 140_000  # more than two containers, and not a multiple of the bits of a word
DELETED = [0, 63, 64, 65_535, 65_536, 131_072, *range(70_000, 70_500), ROW_COUNT - 1]
NUMBERS = np.arange(ROW_COUNT)
MASKS = {
    "none_of_last": NUMBERS < 131_072,
    "few": np.isin(NUMBERS, [0, 1, 63, 64, 65_535, 65_536, ROW_COUNT - 1]),
    "run": (NUMBERS > 60_000) & (NUMBERS < 80_000),
    "dense": NUMBERS % 2 == 0,
    "third": NUMBERS % 3 == 0,
    "runs": NUMBERS % 90 < 40,
    "rare": NUMBERS % 1_009 == 0,
    "all": NUMBERS >= 0,
}
TAGS = [bare(name) for name in MASKS]


@pytest.fixture(scope="module")
def indexes(tmp_path_factory) -> list[tuple[DeviceIndex, np.ndarray]]:
    """Return indexes without and with deleted devices, and which rows are live."""
    opened = []
    for deleted in ([], DELETED):
        folder = tmp_path_factory.mktemp("words") / "devices.index"
        table = pl.DataFrame({"token": [f"{number:06}" for number in NUMBERS], **MASKS})
        index = DeviceIndex.build(table, folder)
        if deleted:
            index.remove([f"{number:06}" for number in deleted])
        for name in MASKS:
            index.count(name)  # locates the bitmap
        opened.append((index, ~np.isin(NUMBERS, deleted)))
    return opened


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Evaluate small tables in several blocks, and plan for the least effort."""
    monkeypatch.setattr(word_programs, "MAX_BLOCK_WORDS", 1 << 10)
    monkeypatch.setattr(word_programs, "MIN_BLOCK_WORDS", 1 << 8)
    monkeypatch.setattr(tag_costs, "MIN_COST_NS", 0)
    monkeypatch.setattr(tag_questions, "MAX_RECOUNTED_NS", 0)
    monkeypatch.setattr(tag_questions, "MAX_REPEATED_NS", 0)


def junctions(terms: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    some = st.lists(terms, min_size=2, max_size=5).map(tuple)
    thresholds = st.builds(
        lambda operator, terms, count: Threshold(operator, min(count, len(terms) - (operator == "at most")), terms),
        st.sampled_from(["at least", "at most", "exactly"]),
        st.lists(terms, min_size=1, max_size=9).map(tuple),
        st.integers(1, 8),
    )
    return some.map(And) | some.map(Or) | terms.map(Not) | st.builds(Except, terms, terms) | thresholds


EXPRS = st.recursive(st.sampled_from(TAGS) | st.sampled_from([Everyone(), Nobody()]), junctions, max_leaves=25)


def mask_of(expr: Expr) -> np.ndarray:
    """Return for each row whether *expr* holds, by counting."""
    match expr:
        case Tag():
            return MASKS[expr.value]
        case Everyone():
            return NUMBERS >= 0
        case Nobody():
            return NUMBERS < 0
        case Not():
            return ~mask_of(expr.term)
        case And():
            return reduce(np.logical_and, map(mask_of, expr.terms))
        case Or():
            return reduce(np.logical_or, map(mask_of, expr.terms))
        case Except():
            return mask_of(expr.term) & ~mask_of(expr.excluded)
        case Threshold():
            counts = np.sum([mask_of(term) for term in expr.terms], axis=0, dtype=np.int64)
            compare = {"at least": np.greater_equal, "at most": np.less_equal, "exactly": np.equal}[expr.operator]
            return np.asarray(compare(counts, expr.count))
    raise AssertionError(expr)


def take_way(patch: pytest.MonkeyPatch, way: str) -> None:
    """Let all expressions over tags be evaluated in one way, with words in blocks or of all rows together."""
    patch.setattr(tag_costs, "MIN_COST_NS", float("inf" if way in ("at once", "chained") else "0"))
    patch.setattr(physical_plan, "estimate_words", lambda *_, **__: float("-inf" if "words" in way else "inf"))
    if way == "chained":  # every union
        patch.setattr(tag_questions, "MIN_CHAINED_OPERANDS", 2)
        patch.setattr(tag_questions, "MAX_UNCHECKED_OPERANDS", 1)
        patch.setattr(tag_questions, "MIN_MISSING_RATIO", 2)
    if way == "operands":  # also of unions and thresholds of small bitmaps
        patch.setattr(tag_questions, "MAX_SMALL_OPERANDS", 0)
        patch.setattr(thresholds, "MERGED_AT_ONCE_BYTES", 0)
    patch.setattr(physical_plan, "MAX_AT_ONCE_NS", 0.0 if way == "operands" else float("inf"))
    if way == "whole words":
        patch.setattr(word_programs.WordProgram, "choose_length", lambda _, size: size)


WAYS = ["words", "whole words", "bitmaps", "operands", "at once", "chained"]
FORMS = {
    "rows": lambda devices: devices.global_rows(),
    "count": len,
    "bitmap": lambda devices: np.array(devices.bitmaps[0].to_array()),
    "pickle": lambda devices: pickle.loads(pickle.dumps(devices)).global_rows(),
}


@pytest.mark.parametrize("way", WAYS)
@given(expr=EXPRS)
@settings(deadline=None)
def test_all_ways_agree(indexes, way, expr):
    with pytest.MonkeyPatch.context() as patch:
        take_way(patch, way)
        for index, live in indexes:
            expected = np.flatnonzero(mask_of(expr) & live)
            assert index.count(expr) == len(expected)
            assert np.array_equal(np.sort(index.resolve(expr).ids().cast(pl.UInt32).to_numpy()), expected)


@pytest.mark.parametrize("way", WAYS)
@given(expr=EXPRS, forms=st.permutations(["rows", "count", "bitmap", "pickle"]))
@settings(deadline=None)
def test_rows_are_the_same_in_each_form(indexes, way, expr, forms):
    """Whichever form is asked for first: rows and counts may come from words, of which no bitmap was made.

    That the bitmap is right shows in the ids of `test_all_ways_agree`.
    """
    with pytest.MonkeyPatch.context() as patch:
        take_way(patch, way)
        for index, live in indexes:
            index.count(expr)  # finds the bitmaps, so that the rows may be found late
            devices = index.resolve(expr)
            found = {form: FORMS[form](devices) for form in forms}
            assert np.array_equal(found["rows"], found["bitmap"]) and np.array_equal(found["rows"], found["pickle"])
            assert found["count"] == len(found["rows"]) == int((mask_of(expr) & live).sum())
            assert (found["rows"][1:] > found["rows"][:-1]).all()


def test_rows_of_a_new_expression_are_found_late(indexes, monkeypatch):
    take_way(monkeypatch, "words")
    expr = And((bare("dense"), Not(bare("third"))))
    index, _ = indexes[0]
    index.count(expr)
    devices = index.resolve(expr)
    assert isinstance(devices.bitmaps, LateBitmap)
    assert devices == DeviceSet([BitMap(devices.global_rows())], index.snapshot)
    assert not isinstance(index.resolve(expr).bitmaps, LateBitmap)  # those of the same object may be cached


@pytest.mark.parametrize("way", WAYS)
def test_thresholds_of_complements_have_no_deleted_rows(indexes, way, monkeypatch):
    take_way(monkeypatch, way)
    threshold = Threshold("at least", 2, (bare("third"), Not(bare("rare")), Not(bare("few"))))
    for expr in (threshold, Not(threshold), And((bare("all"), threshold)), Or((bare("few"), threshold))):
        for index, live in indexes:
            counted = int((mask_of(expr) & live).sum())
            assert (index.count(expr), len(index.resolve(expr))) == (counted, counted)


def test_words_are_made_when_they_would_have_saved_the_time_to_make_them(indexes, monkeypatch):
    monkeypatch.setattr(physical_plan, "estimate_words", lambda *_, **__: 0.0)
    monkeypatch.setattr(physical_plan, "_estimate_roaring", lambda *_, **__: 40.0)
    monkeypatch.setattr(physical_plan, "estimate_making", lambda tag_rows, shard: 100.0 if tag_rows else 0.0)
    index, _ = indexes[0]
    (shard,) = detach_snapshot(index.snapshot).evaluated_shards
    monkeypatch.setattr(shard, "cache", RowSetCache())
    rows = {name: shard.find_operand(("tag", name)).tag_row for name in ("dense", "third", "runs")}
    chosen = []
    for name in ("third", "runs", "third", "runs", "third"):
        expr = And((bare("dense"), bare(name)))
        words = physical_plan.choose_words(expr, read_tags(expr, shard), shard, Answer.COUNT)
        cached = [name for name, row in rows.items() if shard.cache.holds(shard.name, row)]
        chosen.append((words is not None, cached))
    missed = [(False, []), (False, [])]  # 40 nanoseconds of two tags each
    assert chosen == [*missed, (True, ["dense", "third"]), (False, ["dense", "third"]), (True, ["dense", "third"])]


@pytest.mark.parametrize("room", [0, 1])
def test_words_that_are_not_kept_are_not_made_each_time(indexes, room, monkeypatch):
    monkeypatch.setattr(physical_plan, "estimate_words", lambda *_, **__: 0.0)
    monkeypatch.setattr(physical_plan, "_estimate_roaring", lambda *_, **__: 40.0)
    monkeypatch.setattr(physical_plan, "estimate_making", lambda tag_rows, shard: 100.0 if tag_rows else 0.0)
    index, _ = indexes[0]
    (shard,) = detach_snapshot(index.snapshot).evaluated_shards
    monkeypatch.setattr(shard, "cache", RowSetCache(room * 3 * ROW_COUNT // 8))
    expr, other = And((bare("dense"), bare("third"))), And((bare("runs"), bare("rare")))
    chosen = []
    for asked in (expr, expr, expr, expr, other, other, other, expr):
        words = physical_plan.choose_words(asked, read_tags(asked, shard), shard, Answer.BITMAP)
        chosen.append(words is not None)
    kept = [False, False, True, True, False, False, True, False]  # the others took the room
    assert chosen == (kept if room else [False] * 8)


def test_union_that_leaves_no_row_out_begins_with_the_tag_that_costs_least_by_row(indexes, monkeypatch):
    monkeypatch.setattr(tag_questions, "MAX_UNCHECKED_OPERANDS", 3)
    index, _ = indexes[0]
    (shard,) = index.snapshot.evaluated_shards
    for names, cheapest in ((("few", "dense", "all", "run"), "all"), (("few", "dense", "third", "run"), None)):
        expr = Or(tuple(map(bare, names)))
        assert index.count(expr) == mask_of(expr).sum()
        _, question = shard.tag_questions[id(expr)]
        first = shard.find_operand(("tag", cheapest or names[0])).rows.bitmap
        assert question.bitmaps[0] is first
        assert question.steps.is_chained == bool(cheapest)


def test_unions_of_few_small_tags_are_chained(indexes, monkeypatch):
    index, _ = indexes[0]
    (shard,) = index.snapshot.evaluated_shards
    for names, is_chained in ((("few", "all", "run"), True), (("few", "all"), False), (("few", "all", "dense"), False)):
        expr = Or(tuple(map(bare, names)))
        assert read_tags(expr, shard).steps.is_chained == is_chained, names
    monkeypatch.setattr(tag_questions, "MAX_SMALL_OPERANDS", 2)
    assert not read_tags(Or((bare("few"), bare("all"), bare("run"))), shard).steps.is_chained


def test_rows_of_a_chained_union_are_cached_when_it_is_asked_again(indexes, monkeypatch):
    take_way(monkeypatch, "chained")
    index, _ = indexes[0]
    (shard,) = index.snapshot.evaluated_shards
    monkeypatch.setattr(tag_costs, "MIN_COST_NS", 0)
    expr, cached = Or(tuple(map(bare, ("rare", "third", "runs", "dense")))), []
    for _ in range(4):
        assert len(index.resolve(expr)) == index.count(expr) == int(mask_of(expr).sum())
        cached.append(shard.cache.get(shard.name, expr) is not None)
    assert (cached[0], cached[-1]) == (False, True)


@pytest.mark.parametrize("operator", ["at least", "at most", "exactly"])
def test_threshold_of_small_tags_is_cached_when_it_is_asked_again(indexes, operator):
    index, _ = indexes[0]
    (shard,) = index.snapshot.evaluated_shards
    expr = Threshold(operator, 2, tuple(map(bare, ("few", "all", "run", "none_of_last"))))
    expected, cached = int(mask_of(expr).sum()), []
    for _ in range(3):
        assert (index.count(expr), len(index.resolve(expr))) == (expected, expected)
        cached.append(shard.cache.get(shard.name, expr) is not None)
    assert cached == [False, True, True]


@pytest.mark.parametrize("operator", ["at least", "exactly"])
def test_thresholds_of_one_term(indexes, operator, monkeypatch):
    monkeypatch.setattr(tag_costs, "MIN_COST_NS", float("inf"))
    for term in (bare("third"), Not(bare("third")), Not(And((bare("third"), Not(bare("few")))))):
        threshold = Threshold(operator, 1, (term,))
        for expr in (threshold, Not(threshold), And((bare("runs"), threshold)), Or((bare("few"), threshold))):
            for index, live in indexes:
                counted = int((mask_of(expr) & live).sum())
                assert (index.count(expr), len(index.resolve(expr))) == (counted, counted), expr


def test_last_intersections_are_counted_without_words():
    def count(expr: Expr) -> tuple[int, tuple[tuple[int, int, int], ...]]:
        tree = read_tree(expr)
        assert tree is not None
        program = find_program(tree)
        assert program is not None
        steps, terms = program.counted
        return len(steps), terms

    a, b, c = TAGS[:3]
    assert count(And((a, b))) == (0, ((1, 0, 1),))
    assert count(And((a, Not(b)))) == (0, ((1, 0, 0), (-1, 0, 1)))
    assert count(Not(And((a, Not(Or((b, c))))))) == (1, ((1, 0, 0), (-1, 0, 3)))
    assert count(Or((a, b, c))) == (2, ((1, 3, 3),))


def test_words_are_planned(indexes, monkeypatch):
    monkeypatch.setattr(physical_plan, "estimate_words", lambda *_, **__: float("-inf"))
    expr = And((bare("dense"), Not(bare("third"))))
    for index, live in indexes:
        assert index.count(expr) == int((mask_of(expr) & live).sum())
        (shard,) = index.snapshot.evaluated_shards
        plan = shard.tag_questions[id(expr)][1].plan
        assert shard.cache.find_words(plan.keys) is not None
        assert [step.operation.__name__ for step in plan.program.steps][:2] == ["invert", "bitwise_and"]
        assert len(plan.tag_rows) == 2


def test_buffers_of_many_lengths_take_bounded_memory(monkeypatch):
    monkeypatch.setattr(word_programs, "MAX_KEPT_BYTES", 60_000)
    kept = word_programs._ScratchBuffers()
    for containers in (1, 2, 3, 1, 2, 3):
        length = containers * CONTAINER_WORDS - 7
        buffers = kept.take_buffers(2, length)
        assert [len(buffer.words) for buffer in buffers] == [length] * 2
        assert buffers[0] is not buffers[1]
    assert list(kept.buffers) == [3], "the last buffers are kept whatever they take, and no others beyond the bound"


def test_a_buffer_is_used_again_for_other_lengths_of_as_many_containers():
    kept = word_programs._ScratchBuffers()
    (first,) = kept.take_buffers(1, CONTAINER_WORDS)
    assert kept.take_buffers(1, CONTAINER_WORDS - 1)[0] is first
    assert kept.take_buffers(1, CONTAINER_WORDS + 1)[0] is not first
