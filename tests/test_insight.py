"""Profiles and overlaps: bins, lifts, orders, texts and commands. `test_insight_laws.py` counts devices one by one."""

import json
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from fact_files import load_cases
from hypothesis import given
from hypothesis import strategies as st

from audience import DeviceIndex, ExpressionError, PlanError
from audience.index.query.insight.bins import Bin, Spread, bin_numbers
from audience.index.query.insight.comparison import GroupCounts, GroupSizes, estimate_lifts
from audience.index.query.insight.day_bins import bin_days, bin_times
from audience.index.query.insight.information import measure_evidence, measure_information
from audience.index.query.insight.row_counts import count_below
from audience.index.storage.bitmaps import BitMap
from audience.json_forms.insight import overlap_json, profile_json
from audience.span import display_width

AS_OF = "2026-11-28T09:00+08:00"
BINS: dict[str, tuple[Any, Any]] = {
    "whole": (Decimal, lambda spread: bin_numbers("x", spread, is_whole=True)),
    "number": (Decimal, lambda spread: bin_numbers("x", spread, is_whole=False)),
    "day": (date.fromisoformat, lambda spread: bin_days("x", spread, None)),
    "moment": (datetime.fromisoformat, lambda spread: bin_times("x", spread, ZoneInfo("Asia/Shanghai"))),
}


def list_labels(bins: list[Bin]) -> str:
    """Return the number of bins, and their labels if they are few, else the first two and the last one."""
    labels = [each.label for each in bins]
    shown = " | ".join(labels[:2]) + (f" … {labels[-1]}" if len(labels) > 2 else "")
    return f"{len(labels)}: {shown}"


@pytest.mark.parametrize("verb", BINS)
def test_bins_have_edges_for_people(verb):
    parse, choose = BINS[verb]
    for case in load_cases("insight", verb):
        _, keys, expected = case.values
        bins = choose(Spread(*map(parse, keys.split())))
        assert list_labels(bins) == expected
        assert all(before.stop == after.start for before, after in pairwise(bins)), keys


@given(st.lists(st.integers(0, 1_000), max_size=30), st.lists(st.integers(0, 1_100), max_size=8))
def test_bit_sliced_numbers_are_counted_below_each_bound(numbers, bounds):
    slices = [BitMap(row for row, number in enumerate(numbers) if number >> bit & 1) for bit in range(10)]
    bounds = sorted(set(bounds))
    expected = [sum(number < bound for number in numbers) for bound in bounds]
    assert count_below(slices, bounds, BitMap(range(len(numbers)))) == expected


sizes_of_groups = st.tuples(*[st.integers(0, 400)] * 3)


def make_counts(draw_counts: tuple[int, int, int], sizes: tuple[int, int, int]) -> tuple[GroupCounts, GroupSizes]:
    """Return counts and sizes of groups, given those in both, in the members alone, and in the base alone."""
    (both, first, second), (size, first_size, second_size) = draw_counts, sizes
    counts = (np.array([number]) for number in (both + first, both + second, both))
    return GroupCounts(*counts), GroupSizes(size + first_size, size + second_size, size)


@st.composite
def groups(draw):
    sizes = draw(sizes_of_groups)
    return make_counts(tuple(draw(st.integers(0, size)) for size in sizes), sizes)


@given(groups())
def test_interval_has_the_lift(compared):
    counts, sizes = compared
    lift, low, high = (float(each[0]) for each in estimate_lifts(counts, sizes))
    if not sizes.members or not counts.base[0]:
        assert np.isnan(lift) or lift == np.inf
        return
    assert 0 <= low <= lift * (1 + 1e-9) and lift <= high * (1 + 1e-9)
    if sizes.shared == sizes.members:  # part of the base, of which it cannot have more than all
        assert high <= sizes.base / sizes.members * (1 + 1e-9)


def test_interval_of_groups_apart_is_that_of_katz_if_they_are_large():
    counts, sizes = make_counts((0, 3_000, 2_000), (0, 10_000, 20_000))
    lift, low, high = (float(each[0]) for each in estimate_lifts(counts, sizes))
    factor = np.exp(1.96 * np.sqrt(1 / 3_000 - 1 / 10_000 + 1 / 2_000 - 1 / 20_000))
    assert lift == 3
    assert (low, high) == pytest.approx((lift / factor, lift * factor), rel=5e-3)


@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ((0.1, 0, 0.05), (50, 0, 950)),
        ((0.2, 0, 0.01), (20, 0, 99_980)),
        ((0, 0.1, 0.2), (0, 100, 200)),
        ((0.1, 0.3, 0), (200, 100, 0)),
        ((0.1, 0.1, 0.2), (50, 50, 150)),
    ],
    ids=["part", "small part", "apart", "whole", "partly shared"],
)
def test_interval_covers_the_true_lift_as_often_as_it_says(shares, sizes):
    random = np.random.default_rng(17)
    both, first, second = (random.binomial(size, share, 20_000) for size, share in zip(sizes, shares, strict=True))
    expected = [size * share for size, share in zip(sizes, shares, strict=True)]
    group_sizes = GroupSizes(sizes[0] + sizes[1], sizes[0] + sizes[2], sizes[0])
    true_lift = (expected[0] + expected[1]) / group_sizes.members / ((expected[0] + expected[2]) / group_sizes.base)
    lifts = estimate_lifts(GroupCounts(both + first, both + second, both), group_sizes)
    is_known = ~np.isnan(lifts.lift)
    covered = ((lifts.low <= true_lift) & (true_lift <= lifts.high))[is_known].mean()
    assert 0.935 < covered < 0.975


def test_evidence_of_a_rare_value_is_less_than_that_of_a_frequent_one():
    counts = GroupCounts(np.array([1, 600]), np.array([1, 50_000]), np.array([1, 600]))
    rare, frequent = measure_evidence(counts, GroupSizes(1_000, 100_000, 1_000))
    assert 0 < rare < frequent


@given(st.integers(1, 200), st.integers(1, 200), st.randoms(use_true_random=False))
def test_values_of_one_device_each_reveal_nothing(first, second, random):
    is_member = [True] * first + [False] * second
    random.shuffle(is_member)
    members = np.array(is_member, dtype=np.int64)
    counts = GroupCounts(members, np.ones_like(members), members)
    sizes = GroupSizes(first, first + second, first)
    assert measure_information(counts, sizes, is_single_valued=True) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("is_single", [True, False])
def test_value_of_all_members_alone_reveals_everything(is_single):
    counts = GroupCounts(np.array([1_000, 0]), np.array([1_000, 9_000]), np.array([1_000, 0]))
    sizes = GroupSizes(1_000, 10_000, 1_000)
    assert measure_information(counts, sizes, is_single_valued=is_single) == pytest.approx(1)


def test_information_is_none_by_chance():
    random = np.random.default_rng(17)
    for value_count in (2, 20, 500):
        values, is_member = random.integers(0, value_count, 20_000), random.random(20_000) < 0.02
        base, members = (
            np.bincount(values, minlength=value_count),
            np.bincount(values[is_member], minlength=value_count),
        )
        sizes = GroupSizes(int(is_member.sum()), 20_000, int(is_member.sum()))
        assert measure_information(GroupCounts(members, base, members), sizes, is_single_valued=True) < 0.01


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    count = 400
    table = pl.DataFrame(
        {
            "token": [f"t{number}" for number in range(count)],
            "province": ["guangdong" if number % 4 == 0 else "hunan" for number in range(count)],
            "age": [18 + number % 50 for number in range(count)],
            "city": [f"城市{number % 100}" for number in range(count)],
            "app": ["1.10.0" if number % 3 else "1.9.0" for number in range(count)],
            "email": [f"u{number}@example.com" if number % 3 else None for number in range(count)],
            "tags": [["vip", "new"] if number % 4 == 0 else ["new"] for number in range(count)],
        }
    )
    index = DeviceIndex.build(table, tmp_path_factory.mktemp("insight") / "x.index", versions=["app"])
    index.save_segment("south", "province:guangdong")
    return index


def test_attributes_come_in_the_order_of_what_they_reveal(index):
    profile = index.profile("vip", as_of=AS_OF)
    assert {each.name for each in profile.attributes[:2]} == {"province", "tag"}
    assert profile.attributes[0].information == pytest.approx(1)
    assert profile["email"].information == pytest.approx(0, abs=0.01)
    assert [each.value for each in profile["province"].values] == ["guangdong", "hunan"]
    assert [each.value for each in profile["app"].values] == ["1.9.0", "1.10.0"]
    with pytest.raises(KeyError):
        profile["nothing"]


def test_values_that_are_not_listed_are_counted(index):
    city = index.profile("vip", values=3)["city"]
    assert (len(city.values), city.distinct) == (3, 100)
    assert (city.others.values, city.others.base_count) == (97, 400 - sum(each.base_count for each in city.values))


def test_profile_of_nobody_and_of_an_empty_index(index, tmp_path):
    nobody = index.profile("nobody")
    assert (nobody.count, nobody.base_count) == (0, 400)
    assert all(each.lift is None and each.share == 0 for one in nobody.attributes for each in one.values)
    assert "0 devices" in str(nobody)
    table = pl.DataFrame(schema={"token": pl.String, "age": pl.Int64, "city": pl.String, "tags": pl.List(pl.String)})
    empty = DeviceIndex.build(table, tmp_path / "empty.index")
    profile = empty.profile("everyone")
    assert [(each.known, each.values, each.information) for each in profile.attributes] == [(0, (), 0.0)] * 3
    assert "no device has a value" in str(profile)
    assert empty.overlap(["everyone"]).pairs[0][0].contained is None
    assert str(empty.overlap(["everyone", "nobody"]))


def test_profile_of_one_device_and_of_everybody(index):
    one = index.profile("token(t0)")
    assert one.count == 1
    assert one["city"].values[0].count == 1
    everybody = index.profile("everyone")
    assert {each.lift for one in everybody.attributes for each in one.values} == {1.0}
    assert {(each.low, each.high) for one in everybody.attributes for each in one.values} == {(1.0, 1.0)}


def test_arguments_of_insight_are_checked(index):
    with pytest.raises(ExpressionError) as unknown:
        index.profile("vip", attributes=["provinc"])
    assert (unknown.value.code, unknown.value.problems[0].hint) == ("unknown-attribute", "did you mean province?")
    with pytest.raises(ValueError, match="values: expected 1 or more, got 0"):
        index.profile("vip", values=0)
    with pytest.raises(TypeError, match="attributes: expected a list of names"):
        index.profile("vip", attributes="province")
    with pytest.raises(TypeError, match="exprs"):
        index.overlap("vip")
    for exprs, code in [({}, "no-segments"), ([f"age = {age}" for age in range(51)], "too-many-segments")]:
        with pytest.raises(PlanError) as refused:
            index.overlap(exprs)
        assert refused.value.code == code
        assert refused.value.problems[0].hint


def test_frames_and_pages_show_every_value(index):
    profile, overlap = index.profile("vip AND age < 30"), index.overlap({"<vip>": "vip", "south": "@south"})
    frame = profile.to_frame()
    assert len(frame) == sum(len(each.values) for each in profile.attributes)
    assert frame.filter(pl.col("attribute") == "age")["from"].null_count() == 0
    assert "×" in profile._repr_html_()
    assert "&lt;vip&gt;" in overlap._repr_html_()
    assert "<vip>" not in overlap._repr_html_()
    assert overlap.to_frame().rows()[1] == ("<vip>", "south", 100, 1.0, 1.0)


def test_json_has_every_field(index):
    form = profile_json(index.profile("vip", "NOT vip", attributes=["age", "tag"], as_of=AS_OF))
    assert json.loads(json.dumps(form)) == form
    assert (form["against"], form["snapshot"], form["confidence"]) == ("NOT vip", 2, 0.95)
    (age,) = [each for each in form["attributes"] if each["name"] == "age"]
    assert (age["form"], age["kind"], age["multiple"], age["others"]) == ("histogram", "number", False, None)
    first = age["values"][0]
    assert (first["value"], first["from"], first["to"], first["expr"]) == ("15 to 19", "15", "20", "15 <= age < 20")
    (tag,) = [each for each in form["attributes"] if each["name"] == "tag"]
    vip = next(each for each in tag["values"] if each["value"] == "vip")
    assert (vip["count"], vip["base_count"], vip["lift"], vip["high"], vip["expr"]) == (100, 0, None, None, "vip")
    overlap = overlap_json(index.overlap({"a": "vip", "b": "@south"}, as_of=AS_OF))
    assert json.loads(json.dumps(overlap)) == overlap
    assert overlap["pairs"][0][1] == {"both": 100, "jaccard": 1.0, "contained": 1.0}
    assert overlap["combinations"] == [{"names": ["a", "b"], "count": 100}]
    assert (overlap["none"], overlap["as_of"]) == (300, "2026-11-28T01:00:00+00:00")


def test_profile_command_prints_text_and_json_and_explains_typos(audience, index, monkeypatch):
    monkeypatch.chdir(Path(index.folder).parent)
    code, out, err = audience("profile", "x.index", "vip", "--attribute", "province", "--as-of", AS_OF)
    assert (code, out.splitlines()[0]) == (0, "audience   vip: 100 devices")
    assert "guangdong" in out
    assert err.startswith("note: as-of: as of 2026-11-28T01:00:00+00:00 UTC")
    code, out, _ = audience("profile", "x.index", "vip", "--against", "age < 30", "--values", "2", "--json")
    form = json.loads(out)
    assert (form["count"], form["against"]) == (100, "age < 30")
    assert max(len(each["values"]) for each in form["attributes"] if each["form"] == "values") == 2
    code, out, err = audience("profile", "x.index", "vpi")
    assert (code, out.splitlines()[0]) == (0, "audience   vpi: 0 devices")
    assert "did you mean vip?" in err
    code, out, err = audience("profile", "x.index", "vip", "--attribute", "cty")
    assert (code, out) == (2, "")
    assert "did you mean city?" in err


def test_overlap_command_names_segments_and_refuses_bad_ones(audience, index, monkeypatch):
    monkeypatch.chdir(Path(index.folder).parent)
    code, out, _ = audience("overlap", "x.index", "vip", "young=age < 30", "province=hunan", "south=@south", "--json")
    form = json.loads(out)
    assert code == 0
    assert [each["name"] for each in form["segments"]] == ["vip", "young", "province=hunan", "south"]
    assert [each["expression"] for each in form["segments"]] == ["vip", "age < 30", "province:hunan", "@south"]
    code, out, _ = audience("overlap", "x.index", "--segments")
    assert code == 0
    assert "none of them" in out
    for words, problem in [
        ([], "no-segments"),
        (["vip", "--segments"], "bad-option"),
        (["a=vip", "a=new"], "same-segment"),
        (["vip AND"], "missing-operand"),
        (["age=x"], "bad-value"),
    ]:
        code, out, err = audience("overlap", "x.index", *words)
        assert (code, out) == (2, "")
        assert err.startswith(problem), (words, err)


def test_text_of_many_audiences_fits_a_terminal(index):
    few = str(index.overlap({f"a{number}": f"age < {number}" for number in range(20, 30)}))
    many = str(index.overlap({f"a{number}": f"age < {number}" for number in range(20, 60)}))
    assert "… and 740 pairs that share less" in many
    assert max(map(display_width, few.splitlines())) < 130
    assert "●" in few
    assert "●" not in many


@pytest.mark.parametrize("width", [80, 120, 200])
def test_tables_fit_the_terminal(audience, index, monkeypatch, width):
    monkeypatch.chdir(Path(index.folder).parent)
    monkeypatch.setenv("COLUMNS", str(width))
    long = "age < 30 AND province:guangdong AND NOT (app < 1.10 OR city:城市1 OR city:城市2)"
    for words in (["profile", "x.index", long], ["overlap", "x.index", "vip", long, "@south", "age < 60"]):
        code, out, _ = audience(*words)
        assert code == 0
        table = [line for line in out.splitlines() if "reveals" not in line and "share of the" not in line]
        assert [line for line in table if display_width(line) > width] == [], words[0]
