"""How an expression is evaluated, as `explain_physical` shows it: the evaluator's choices, and none of its own."""

import json
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DeviceIndex, ExpressionError, parse, render
from audience.index.ingest import build
from audience.index.query import counting, evaluate, physical_plan, shard_threads, tag_costs, tag_questions
from audience.index.storage import bitmaps, joined_shard, thresholds
from audience.index.storage.detached import detach_snapshot
from audience.index.storage.joined_shard import JoinedShard
from audience.span import display_width

ROW_COUNT, SHARD_ROWS = 21_000, 7_000  # a bitmap of a shard is one container
RANDOM = np.random.default_rng(15)
MASKS = {
    "half": RANDOM.random(ROW_COUNT) < 0.5,
    "third": RANDOM.random(ROW_COUNT) < 0.3,
    "some": RANDOM.random(ROW_COUNT) < 0.1,
    "rare": RANDOM.random(ROW_COUNT) < 0.002,
    "first": np.arange(ROW_COUNT) < 5_000,
}
TABLE = pl.DataFrame(
    {"token": [f"{at:05}" for at in range(ROW_COUNT)], **MASKS, "age": np.arange(ROW_COUNT) % 90, "name": "x"}
)

# What a plan may do, an expression, how often it is asked, and the ways of its nodes.
EVALUATIONS = [
    ("", "half", 1, [[]]),
    ("", "NOT half", 1, [[]]),
    ("", "half AND third", 1, [["roaring"], [], []]),  # no bitmap was located before
    ("", "half AND third", 2, [["at once"], [], []]),
    ("", "half AND NOT (third OR some)", 1, [["roaring"], [], [], ["roaring"], [], []]),
    ("", "half AND NOT (third OR some)", 2, [["at once"], [], [], [], [], []]),
    ("", "NOT (third OR some)", 1, [[], ["roaring"], [], []]),
    ("", "nosuch AND NOT (half OR age < 30)", 1, [["roaring"], [], [], ["skipped"], [], []]),
    ("", "half EXCEPT third", 2, [["at once"], [], []]),
    ("", "half AND age < 30", 1, [["roaring"], [], ["union"]]),
    ("", "half AND age < 30", 3, [["roaring"], [], []]),  # its operands are remembered
    ("", "age < 30", 1, [["computed"]]),
    ("", "age < 30", 3, [["cached"]]),
    ("", "nosuch AND age < 30", 1, [["roaring"], [], ["skipped"]]),
    ("", "half AND everyone AND NOT nobody", 1, [["roaring"], [], [], []]),
    ("", "half limit 9 seed x", 1, [[], []]),
    ("", "half AND (third limit 9 seed x)", 1, [["roaring"], [], ["computed"], []]),
    ("", "at least 2 of (rare, some, NOT half)", 1, [["sliced words"], [], [], []]),
    ("", "at least 2 of (rare, some, half)", 1, [["merge"], [], [], []]),
    ("", "at least 2 of (rare, some, age < 30)", 1, [["merge"], [], [], ["computed"]]),
    ("words", "half AND third", 1, [["roaring"], [], []]),
    ("words", "half AND third", 2, [["words"], [], []]),
    ("words", "half AND third", 3, [["words"], [], []]),
    ("words", "at least 2 of (rare, some, half)", 3, [["cached"], [], [], []]),
    ("words", "third OR (half AND age < 30)", 3, [["roaring"], [], ["cached"], [], []]),
    ("bitmaps", "half AND third", 3, [["roaring"], [], []]),
    ("bitmaps", "half OR third", 3, [["at once"], [], []]),
    ("bitmaps", "at least 2 of (rare, some, first)", 2, [["at once"], [], [], []]),
    ("bitmaps", "at least 2 of (rare, some, first)", 3, [["cached"], [], [], []]),
    ("bitmaps", "some AND (half OR third)", 2, [["at once"], [], [], [], []]),
    ("bitmaps", "some AND (half OR third)", 3, [["roaring"], [], ["union"], [], []]),
    ("bitmaps", "half EXCEPT third", 3, [["roaring"], [], []]),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Indexes of three shards: without deleted devices, and of one where small changes make a joined shard."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", SHARD_ROWS)
        for is_changed in (False, True):
            folder = tmp_path_factory.mktemp("physical") / "devices.index"
            index = DeviceIndex.build(TABLE, folder)
            if is_changed:
                index.remove(["00000", "20000"])
                index.tag(["00001"], add="half")
            found.append(folder)
    return found


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Join no shards with others, but for deltas."""
    monkeypatch.setattr(joined_shard, "MAX_JOINED_ROWS", 100)


def allow(patch: pytest.MonkeyPatch, plan: str) -> None:
    """Let a plan choose words or bitmaps; otherwise nothing is planned, which small bitmaps are not."""
    if plan:
        patch.setattr(tag_costs, "MIN_COST_NS", 0)
        patch.setattr(tag_questions, "MAX_RECOUNTED_NS", 0)
        patch.setattr(physical_plan, "estimate_words", lambda *_, **__: -1e9 if plan == "words" else 1e9)


def kept_by(index: DeviceIndex) -> Any:
    """Return all that decides how later questions are evaluated."""
    snapshot = index.snapshot
    shards = {id(shard): shard for shard in (*snapshot.shards, *snapshot.evaluated_shards)}.values()
    group = snapshot.shards[0].group
    names = (
        "tag_rows",
        "operands",
        "kept_unions",
        "_bitmaps",
        "_forms",
        "kept_forms",
        "counted_exprs",
        "found_exprs",
        "tag_questions",
        "and_cache",
        "_lookups",
    )
    return (
        [list(snapshot.cache._entries), list(snapshot.cache._seen), snapshot.cache.nbytes, {*snapshot.cache._marked}],
        [[list(vars(shard)[name]) for name in names] for shard in shards],
        [list(kept) for kept in (group.slow_exprs, group.chosen_rows, group.event_numbers)],
        [list(kept) for kept in (group.matching_ranges, group.tag_trees)],
        [list(kept) for kept in (snapshot.validated_exprs, snapshot.bound_exprs)],
    )


@pytest.mark.parametrize(("plan", "text", "asked", "ways"), EVALUATIONS)
def test_ways_are_shown(folders, plan, text, asked, ways, monkeypatch):
    allow(monkeypatch, plan)
    index = DeviceIndex.open(folders[0], threads=1)
    explanation = index.explain_physical(text, asked=asked)
    assert [[way.name for way in line.ways] for line in explanation.lines] == ways
    assert explanation.device_count == index.count(text)
    assert (explanation.shard_count, explanation.thread_count, explanation.asked) == (3, 1, asked)


SPIES = {
    "at once": [(counting, "count_tree_rows")],
    "words": [(counting, "count_rows"), (evaluate, "find_rows")],
    "roaring": [(bitmaps, "count_intersection"), (bitmaps, "count_union")],
    "merge": [(thresholds, "merge_bitmaps")],
    "sorted runs": [(thresholds, "find_in_runs")],
    "counters": [(thresholds, "count_in_bytes")],
    "sliced words": [(thresholds, "add_words")],
}


@pytest.mark.parametrize("plan", ["", "words", "bitmaps"])
@pytest.mark.parametrize(
    "text",
    ["half AND third", "half OR some", "half EXCEPT rare", "at least 2 of (half, third, some)", "half AND age < 9"],
)
def test_what_is_shown_is_what_is_done(folders, plan, text, monkeypatch):
    allow(monkeypatch, plan)
    index, called, running = DeviceIndex.open(folders[0], threads=1), Counter[str](), list[str]()
    for way, functions in SPIES.items():
        for module, name in functions:
            function = getattr(module, name)

            def spy(*args, way=way, function=function, **options):
                called[way] += not running  # a step of another way is none
                running.append(way)
                try:
                    return function(*args, **options)
                finally:
                    running.pop()

            monkeypatch.setattr(module, name, spy)
    for _ in range(4):
        explained = index.explain_physical(text).lines[0].ways
        called.clear()
        index.count(text)
        expected = {way.name: len(way.shards) for way in explained if way.name in SPIES}
        assert +called == expected


ALGORITHMS = (thresholds.MERGE, thresholds.SORTED_RUNS, thresholds.COUNTERS, thresholds.SLICED_WORDS)


@pytest.mark.parametrize("chosen", ALGORITHMS)
def test_algorithm_of_a_threshold_is_the_cheapest(folders, chosen, monkeypatch):
    monkeypatch.setattr(thresholds, "MERGED_AT_ONCE_BYTES", 0)
    estimates = {name: 1e6 if name == chosen else 1e9 for name in ALGORITHMS}
    monkeypatch.setattr(thresholds, "estimate_costs", lambda *_: tuple(estimates.values()))
    (way,) = DeviceIndex.open(folders[0]).explain_physical("at least 2 of (half, third, some)").lines[0].ways
    assert way.name == chosen
    costs = dict(way.costs)
    assert (costs.pop("reading runs", None) is not None) == (chosen == thresholds.SORTED_RUNS)
    assert costs == {name: 3 * cost for name, cost in estimates.items()}  # of three shards


ATOMS = st.sampled_from([*MASKS, "nosuch", "age:7", "age < 30", "sample(50%, x)", "has(name)"]).map(parse)
TEXTS = st.one_of(
    st.recursive(
        ATOMS.map(render),
        lambda terms: st.one_of(
            st.lists(terms, min_size=2, max_size=3).map(lambda some: f"({' AND '.join(some)})"),
            st.lists(terms, min_size=2, max_size=3).map(lambda some: f"({' OR '.join(some)})"),
            st.lists(terms, min_size=3, max_size=4).map(lambda some: f"at least 2 of ({', '.join(some)})"),
            terms.map(lambda term: f"NOT ({term})"),
            st.tuples(terms, terms).map(lambda some: f"({some[0]} EXCEPT {some[1]})"),
        ),
        max_leaves=6,
    ),
    st.sampled_from(["half limit 9 seed x", "third top 9 by age", "half AND (some limit 9 seed x)"]),
)


@pytest.mark.parametrize("plan", ["", "words", "bitmaps"])
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_asking_changes_nothing(folders, plan, texts):
    """What is kept stays as it is, and what was shown for the next time is what is shown after a count."""
    with pytest.MonkeyPatch.context() as patch:
        allow(patch, plan)
        for folder in folders:
            index = DeviceIndex.open(folder, threads=1)
            for text in texts:
                before = kept_by(index)
                shown = index.explain_physical(text, asked=2)
                assert kept_by(index) == before
                assert index.count(text) == shown.device_count
                assert index.explain_physical(text).ways() == shown.ways()


def test_copies_have_their_own_shards(folders):
    snapshot = DeviceIndex.open(folders[1]).snapshot
    copied = detach_snapshot(snapshot)
    assert not {*map(id, copied.shards)} & {*map(id, snapshot.shards)}
    joined = [shard for shard in copied.evaluated_shards if isinstance(shard, JoinedShard)]
    assert joined
    for shard in joined:
        assert {*map(id, shard.parts)} <= {*map(id, copied.shards)}
        assert shard.cache is copied.cache is not snapshot.cache
    assert list(copied.shards[0].group.shards) == list(copied.shards)


def test_shards_that_choose_alike_are_one_line(folders, monkeypatch):
    allow(monkeypatch, "words")
    index = DeviceIndex.open(folders[0], threads=1)
    first, again = (index.explain_physical("half AND first", asked=asked) for asked in (2, 3))
    assert "    shards 2-3: " in str(first)  # no device there has the tag `first`
    (words,) = [way for way in again.lines[0].ways if way.name == "words"]
    assert (words.shards, words.operand_count, words.cached_count) == ((1,), 2, 2)
    assert again.lines[2].form is not None
    assert (again.lines[2].form.rows, again.lines[2].form.cached_words) == (5_000, 1)
    assert {"roaring", "words"} <= words.costs.keys()


def test_small_threshold_among_operands_is_shown(folders, monkeypatch):
    allow(monkeypatch, "bitmaps")
    monkeypatch.setattr(physical_plan, "MAX_AT_ONCE_NS", 0.0)
    index = DeviceIndex.open(folders[0], threads=1)
    for name in ("half", "rare", "some", "first"):
        index.count(name)  # locates the bitmap
    explanation = index.explain_physical("half AND at least 2 of (rare, some, first)")
    ways = [[way.name for way in line.ways] for line in explanation.lines]
    assert ways[2] == ["merge", "merge"], ways  # located in the first shard, and not in others


@pytest.mark.parametrize(("_plan", "text", "_asked", "_ways"), EVALUATIONS)
def test_lines_are_those_of_counts(folders, _plan, text, _asked, _ways):
    index = DeviceIndex.open(folders[0], threads=1)
    physical = [(line.path, line.text) for line in index.explain_physical(text).lines]
    assert physical == [(line.path, line.text) for line in index.explain(text)]


def test_threads_are_those_that_evaluate(folders, monkeypatch):
    monkeypatch.setattr(shard_threads, "MIN_SHARED_SECONDS", 0)
    monkeypatch.setattr(shard_threads, "MIN_LOADING_SECONDS", 0)
    assert DeviceIndex.open(folders[0], threads=1).explain_physical("half AND third").thread_count == 1
    assert 1 <= DeviceIndex.open(folders[0], threads=2).explain_physical("half AND third").thread_count <= 2


@pytest.mark.parametrize("plan", ["", "words", "bitmaps"])
def test_text_has_80_columns(folders, plan, monkeypatch):
    allow(monkeypatch, plan)
    index = DeviceIndex.open(folders[0], threads=1)
    long = f"at least 2 of (half, third, some, name:{'广东省深圳市' * 40}, {' AND '.join(['rare', 'half', 'first'])})"
    deep = "half AND NOT (third OR (some AND NOT (rare OR (first AND NOT (half AND age < 30)))))"
    for text in (long, deep, "age:7 OR age:9"):
        for asked in (1, 2, 4):
            lines = str(index.explain_physical(text, asked=asked)).splitlines()
            assert max(map(display_width, lines)) <= 80
            assert len(lines) > 3


def test_wrong_questions_are_refused(folders):
    index = DeviceIndex.open(folders[0])
    with pytest.raises(ExpressionError):
        index.explain_physical("nosuch:7")
    for asked in (0, 101):
        with pytest.raises(ValueError, match=f"asked: expected 1 to 100, got {asked}"):
            index.explain_physical("half", asked=asked)


# The command. ---------------------------------------------------------------------------------------------------------


def test_command_shows_both_times(audience, folders):
    code, out, err = audience("explain", str(folders[0]), "half AND third", "--physical")
    assert (code, err) == (0, "")
    assert "counted for the first time:\n" in out
    assert "    all shards: roaring operations one after another\n" in out
    assert "    all shards: stored bitmaps at once, 2 operands; estimated" in out
    assert max(map(display_width, out.splitlines())) <= 80


def test_command_writes_json(audience, folders):
    facts = json.loads(audience("explain", str(folders[0]), "half AND third", "--physical", "--json")[1])
    first, again = facts["physical"]["first"], facts["physical"]["again"]
    assert (first["asked"], again["asked"], again["shards"]) == (1, 5, 3)
    assert first["count"] == again["count"] == facts["tree"][0]["devices"]
    line, operand, _ = again["lines"]
    (way,) = line["ways"]
    assert (line["text"], line["path"], way["way"]) == ("AND", [], "at once")
    assert (way["shards"], way["operands"]) == ([1, 2, 3], 2)
    assert way["estimated_microseconds"]["at once"] > 0
    assert operand["form"]["rows"] == int(MASKS["half"].sum())
    assert sum(operand["form"][f"{kind}_containers"] for kind in ("array", "bitset", "run")) == 3
    assert "physical" not in json.loads(audience("explain", str(folders[0]), "half", "--json")[1])
