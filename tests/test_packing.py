"""Packing of changes of tags into calls: laws against an oracle of dicts, and the calls of small cases."""

from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise, product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience.index.storage.bitmaps import BitMap
from audience.language.ast import Tag
from audience.tag_sync.costs import estimate_seconds
from audience.tag_sync.packing import PackedGrid, collect_rows, pack_changes, rectangle_bound
from audience.tag_sync.packing.common_tags import Limits
from audience.tag_sync.packing.dearest_calls import DearestCalls, PricedTags
from audience.tag_sync.packing.rectangle_bound import bound_by_prices
from audience.tag_sync.packing.rectangles import group_tags
from audience.tag_sync.packing.value_lists import find_value_lists, pair_lists
from audience.tag_sync.tags import SyncedTag, TagChanges
from audience.vendors.delivery_spec import RateLimit
from audience.vendors.spec import VendorLimit
from audience.vendors.tag_spec import Grid, TagCallForm, TagSpec

SOURCE = "https://example.com"


def form(name, adds, removes, max_ids, max_tags, max_pairs=None):
    return TagCallForm(
        name=name, adds=adds, removes=removes, max_ids=max_ids, max_tags=max_tags, max_pairs=max_pairs, source=SOURCE
    )


def scaled_forms(ids, tags, pairs):
    """The forms of calls of the vendors, with limits that small cases reach."""
    return {
        "tag or device": (form("tag", True, True, ids, 1), form("device", True, True, 1, tags)),
        "tag": (form("tag", True, True, ids, 1),),
        "tags or pairs": (
            *(form("add", True, False, ids, 1), form("remove", False, True, ids, 1)),
            *(
                form("add-pairs", True, False, pairs, pairs, pairs),
                form("remove-pairs", False, True, pairs, pairs, pairs),
            ),
        ),
        "rectangles": (form("bind", True, False, ids, tags), form("unbind", False, True, ids, tags)),
        "device": (form("user", True, True, 1, tags),),
        "two-way rectangles": (form("channels", True, True, ids, tags),),
    }


def make_changes(old, new, doubtful=frozenset(), device_count=None, tag_count=None):
    """Changes from the pairs of *old* to those of *new*; it is not known whether the vendor has those of *doubtful*."""
    device_count = device_count or 1 + max((device for device, _ in old | new | doubtful), default=0)
    tag_count = tag_count or 1 + max((tag for _, tag in old | new | doubtful), default=0)

    def rows(pairs):
        devices = [[] for _ in range(tag_count)]
        for device, tag in pairs:
            devices[tag].append(device)
        return tuple(BitMap(each) for each in devices)

    return TagChanges(
        pl.Series("id", [f"r{at:06}" for at in range(device_count)], pl.String),
        tuple(SyncedTag(Tag("tag", f"t{at}"), f"n{at}") for at in range(tag_count)),
        added=rows(new - old | new & doubtful),
        removed=rows(old - new | doubtful - new),
        present=rows(new & old - doubtful),
    )


def apply_calls(packing, changes, old, new):
    """Return the pairs after the calls; check their limits, and that no device has what nobody wants."""
    held = set(old)
    for packed in packing.calls:
        call = packed.to_call(changes)
        assert (call.form.adds or not len(packed.added)) and (call.form.removes or not len(packed.removed))
        sides = [pairs_of(part, call.form) for part in (call.added, call.removed)]
        assert not sides[0] & sides[1]
        held = held - sides[1] | sides[0]
        assert held <= old | new
        assert held >= old & new, "a tag that is kept was removed"
        assert not sides[1] & new, "a tag that is set by another call may be removed after it"
        yield held


def pairs_of(part, form):
    match part:
        case Grid():
            assert form.max_pairs is None or not part.ids
            assert len(part.ids) <= form.max_ids and len(part.tags) <= form.max_tags
            assert len({*part.ids}) == len(part.ids) and len({*part.tags}) == len(part.tags)
            pairs = [(int(device[1:]), int(tag[1:])) for device in part.ids for tag in part.tags]
        case _:
            pairs = [(int(device[1:]), int(tag[1:])) for device, tag in part.pairs]
            assert form.max_pairs is not None and len(pairs) <= form.max_pairs
            assert len({*pairs}) == len(pairs)
    return frozenset(pairs)


PAIRS = st.frozensets(st.tuples(st.integers(0, 7), st.integers(0, 5)), max_size=30)
FORMS = st.builds(
    lambda name, ids, tags, pairs: scaled_forms(ids, tags, pairs)[name],
    st.sampled_from([*scaled_forms(2, 2, 2)]),
    *(st.integers(2, 4), st.integers(2, 4), st.integers(2, 5)),
)


@given(old=PAIRS, new=PAIRS, doubtful=PAIRS, forms=FORMS)
def test_calls_make_the_changes_and_nothing_else(old, new, doubtful, forms):
    changes = make_changes(old, new, doubtful)
    packing = pack_changes(changes, forms)
    for held in (old - doubtful, old | doubtful):  # the vendor has none, or all, of what is in doubt
        *_, last = [held, *apply_calls(packing, changes, held, new)]
        assert last == new
    assert packing.minimum <= packing.count
    assert packing.digest == pack_changes(changes, forms).digest


@given(old=PAIRS, new=PAIRS, forms=FORMS)
def test_rows_of_calls_are_their_pairs(old, new, forms):
    changes = make_changes(old, new)
    packing = pack_changes(changes, forms)
    added, removed = collect_rows(packing.calls, len(changes.tags))
    for wanted, rows in ((changes.added, added), (changes.removed, removed)):
        assert all(some <= all_of_them for some, all_of_them in zip(wanted, rows, strict=True))


def test_a_call_names_ids_and_tags():
    changes = make_changes(frozenset(), frozenset({(0, 1), (2, 1)}))
    (packed,) = pack_changes(changes, scaled_forms(1000, 100, 20)["tag"]).calls
    assert isinstance(packed.added, PackedGrid)
    assert packed.to_call(changes, "alias").added == Grid(("r000000", "r000002"), ("n1",))
    assert packed.to_call(changes, "alias").key_type == "alias"


@given(old=PAIRS, new=PAIRS, forms=FORMS)
def test_tags_of_one_name_are_refused(old, new, forms):
    changes = make_changes(old, new, tag_count=6)
    first = changes.tags[0]
    tags = (*changes.tags[:-1], SyncedTag(Tag("city", "other"), first.name))
    with pytest.raises(ValueError, match=f"two tags have the name {first.name} at the vendor"):
        pack_changes(replace(changes, tags=tags), forms)


def make_spec(forms, max_concurrent=None, calls_per_day=None, **limits):
    return TagSpec(
        family="example",
        max_calls_per_day=VendorLimit(calls_per_day, SOURCE),
        forms=forms,
        build_request=None,
        parse_reply=None,
        max_concurrent=max_concurrent,
        rate_limits=lambda form: (RateLimit(form.name, limits[form.name], 60, SOURCE),),
    )


@pytest.mark.parametrize(
    ("calls", "max_concurrent", "seconds"),
    [((0, 0), None, 0), ((1, 0), None, 0), ((601, 0), None, 60), ((601, 101), None, 60), ((601, 0), 1, 300.5)],
)
def test_seconds_follow_the_slowest_limit(calls, max_concurrent, seconds):
    forms = scaled_forms(1000, 100, 20)["tag or device"]
    spec = make_spec(forms, max_concurrent, tag=600, device=600)
    chosen = [forms[0]] * calls[0] + [forms[1]] * calls[1]
    assert estimate_seconds(chosen, spec, call_seconds=0.5) == pytest.approx(seconds)


@pytest.mark.parametrize(("calls", "days"), [((0, 0), 0), ((10, 10), 0), ((11, 1), 1), ((1, 20), 1), ((5, 31), 3)])
def test_calls_beyond_those_of_a_day_wait_for_the_next_one(calls, days):
    forms = scaled_forms(1000, 100, 20)["tag or device"]
    spec = make_spec(forms, None, 10, tag=600, device=600)
    chosen = [forms[0]] * calls[0] + [forms[1]] * calls[1]
    assert estimate_seconds(chosen, spec) // 86_400 == days


# Fewest calls, by trying all. ----------------------------------------------------------------------------------------


def subsets(items, size):
    return [frozenset(each) for count in range(size + 1) for each in combinations(sorted(items), count)]


def coverages(form, added, removed, may_add, may_remove):
    """What single calls of *form* can make of the pairs of *added* and *removed*."""
    sides = []
    for usable, wanted, allowed in ((form.adds, added, may_add), (form.removes, removed, may_remove)):
        if not usable:
            sides.append({frozenset()})
        elif form.max_pairs is not None:
            sides.append({frozenset(each) for each in subsets(wanted, form.max_pairs)})
        else:
            devices, tags = ({pair[at] for pair in may_add | may_remove} for at in (0, 1))
            sides.append(
                {
                    named & wanted
                    for some in subsets(devices, form.max_ids)
                    for of_tags in subsets(tags, form.max_tags)
                    if (named := frozenset(product(some, of_tags))) <= allowed
                }
            )
    for one, other in product(*sides):
        axis = 1 if form.max_tags == 1 else 0
        is_alike = len({pair[axis] for pair in one | other}) <= 1 or not (one and other)
        if is_alike or 1 not in (form.max_ids, form.max_tags):
            yield "add", one, "remove", other


def find_fewest_calls(old, new, forms, device_count, tag_count):
    """Return the least number of calls, in any order that removes no tag that is kept."""
    everything = frozenset(product(range(device_count), range(tag_count)))
    added, removed = new - old, old - new
    calls = {
        (one, other)
        for each in forms
        for _, one, _, other in coverages(each, added, removed, new, everything - (old & new))
    }
    done = {(frozenset(), frozenset())}
    for count in range(len(added) + len(removed) + 1):
        if (added, removed) in done:
            return count
        done = {(have | one, lost | other) for have, lost in done for one, other in calls}
    raise AssertionError("no calls make the changes")


SMALL_PAIRS = st.frozensets(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=5)
SMALL_FORMS = st.builds(
    lambda name, limits: scaled_forms(*limits)[name],
    st.sampled_from([*scaled_forms(2, 2, 2)]),
    st.sampled_from([(2, 2, 2), (2, 2, 3), (3, 2, 2), (2, 3, 2)]),
)


@settings(max_examples=60, deadline=None)
@given(old=SMALL_PAIRS, new=SMALL_PAIRS, forms=SMALL_FORMS)
def test_minimum_is_no_more_than_the_fewest_calls(old, new, forms):
    packing = pack_changes(make_changes(old, new, device_count=3, tag_count=3), forms)
    fewest = find_fewest_calls(old, new, forms, 3, 3)
    assert packing.minimum <= fewest <= packing.count


def list_pairs(rows):
    return frozenset((device, tag) for tag, row in enumerate(rows) for device in row)


@st.composite
def columns_of_tags(draw):
    """Columns of up to three tags, of which each device may have one or none, and is to get some, at any prices."""
    device_count = draw(st.integers(1, 9))
    columns = []
    for _ in range(draw(st.integers(1, 4))):
        width = draw(st.integers(1, 3))
        codes = draw(st.lists(st.integers(0, width), min_size=device_count, max_size=device_count))
        wanted = draw(st.none() | st.lists(st.booleans(), min_size=device_count, max_size=device_count))
        prices = draw(st.lists(st.floats(0.1, 1.5), min_size=width, max_size=width))
        columns.append(PricedTags(np.array(codes), np.array([*prices, 0.0]), wanted and np.array(wanted)))
    return columns


def find_dearest(columns, tags, costs, limits):
    """Return what the dearest call of *tags*, as columns and codes, costs."""
    devices = [at for at in range(len(costs[0])) if all(columns[column].codes[at] == code for column, code in tags)]
    prices = [sum(columns[column].price_devices(None)[at] / costs[column][at] for column, _ in tags) for at in devices]
    return sum(sorted(prices, reverse=True)[: limits.max_ids])


@given(columns=columns_of_tags(), limits=st.builds(Limits, st.integers(1, 5), st.integers(1, 4)), data=st.data())
def test_no_call_costs_more_than_one(columns, limits, data):
    search = DearestCalls(columns, limits, data.draw(st.sampled_from([0, 12_000, 30_000, 10**9])))
    search.find()
    choices = [[None, *((at, code) for code in range(len(each.prices) - 1))] for at, each in enumerate(columns)]
    for chosen in product(*choices):
        tags = [tag for tag in chosen if tag]
        if len(tags) <= limits.max_tags:
            assert find_dearest(columns, tags, search.costs, limits) <= 1 + 1e-5


@given(columns=columns_of_tags(), limits=st.builds(Limits, st.integers(1, 5), st.integers(1, 4)))
def test_a_longer_search_makes_no_pair_cheaper(columns, limits):
    columns = [replace(column, wanted=None) for column in columns]
    searches = [DearestCalls(columns, limits, steps) for steps in (0, 12_000, 10**9)]
    for search in searches:
        search.find()
    for shorter, longer in pairwise(searches):
        assert all((more >= less - 1e-5).all() for more, less in zip(shorter.costs, longer.costs, strict=True))


ROWS = st.lists(st.frozensets(st.integers(0, 2), max_size=2), min_size=4, max_size=4)


@settings(max_examples=60, deadline=None)
@given(wanted=ROWS, present=ROWS, groups=st.sampled_from([[[0], [1], [2], [3]], [[0, 1], [2, 3]], [[0, 1, 2, 3]]]))
def test_bound_by_prices_is_no_more_than_the_fewest_calls(wanted, present, groups):
    rows = [BitMap(each) for each in wanted]
    allowed = [row | BitMap(each) for row, each in zip(rows, present, strict=True)]
    old, new = list_pairs(allowed) - list_pairs(rows), list_pairs(allowed)
    fewest = find_fewest_calls(old, new, (form("bind", True, False, 2, 2),), 3, 4)
    for steps in (10**9, 30_000, 0):  # of the search; with few, frequent tags get no price
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rectangle_bound, "MAX_STEPS", steps)
            patch.setattr(rectangle_bound, "FREQUENT_SHARES", (0.7, 0.4))
            assert bound_by_prices(rows, allowed, groups, Limits(2, 2)) <= fewest


def test_frequent_tags_get_no_price_where_the_search_of_all_takes_too_long(monkeypatch):
    """Eight attributes of six values by Zipf's law, of which the most frequent one goes with all others."""
    shares = 1 / np.arange(1, 7)
    codes = np.random.default_rng(1).choice(6, (8, 3_000), p=shares / shares.sum())
    rows = [BitMap(np.flatnonzero(column == value).tolist()) for column in codes for value in range(6)]
    groups = [[*range(at, at + 6)] for at in range(0, len(rows), 6)]

    def bound(steps, shares=rectangle_bound.FREQUENT_SHARES):
        monkeypatch.setattr(rectangle_bound, "MAX_STEPS", steps)
        monkeypatch.setattr(rectangle_bound, "FREQUENT_SHARES", shares)
        return bound_by_prices(rows, rows, groups, Limits(20, 10), 600)

    assert 2 * bound(2_000_000, ()) < bound(2_000_000) <= bound(10**9)


def test_independent_tags_of_many_devices_have_prices_though_calls_have_many_cells():
    """Fourteen attributes of twelve values: a call that is full has two values, as one of three has half of its ids."""
    codes = np.random.default_rng(1).integers(0, 12, (14, 61_000))
    rows = [BitMap(np.flatnonzero(column == value).astype(np.uint32)) for column in codes for value in range(12)]
    groups = [[*range(at, at + 12)] for at in range(0, len(rows), 12)]
    full_calls = 14 * 61_000 // (61 * 10)
    assert 3 * full_calls < bound_by_prices(rows, rows, groups, Limits(61, 10), 5 * full_calls) <= 5 * full_calls


@pytest.mark.parametrize("max_ids", [16, 22])
def test_attributes_that_fill_calls_in_pairs_are_packed_in_pairs(max_ids):
    """Four attributes of four values in all combinations: 16 devices have two values in common, and 4 have three."""
    new = frozenset((at, 4 * place + at // 4**place % 4) for at in range(256) for place in range(4))
    changes = make_changes(frozenset(), new)
    tags = tuple(SyncedTag(Tag(f"a{at // 4}", str(at % 4)), tag.name) for at, tag in enumerate(changes.tags))
    packing = pack_changes(replace(changes, tags=tags), scaled_forms(max_ids, 10, 20)["rectangles"])
    assert (packing.count, packing.minimum) == (32, 32)


def with_attributes(changes, width):
    """*changes* with tags that are values of attributes, *width* of each."""
    tags = (SyncedTag(Tag(f"a{at // width}", str(at % width)), tag.name) for at, tag in enumerate(changes.tags))
    return replace(changes, tags=tuple(tags))


@pytest.mark.parametrize("copies", [1, 3])
def test_changes_between_twelve_values_take_six_calls_that_remove(copies):
    """Every value changes into every other: fewer lists do not part each two values (Sperner's theorem)."""
    moves = [move for move in product(range(12), repeat=2) if move[0] != move[1]] * copies
    old, new = (frozenset((at, move[side]) for at, move in enumerate(moves)) for side in (0, 1))
    packing = pack_changes(with_attributes(make_changes(old, new), 12), scaled_forms(1000, 10, 20)["rectangles"])
    assert [call.form.name for call in packing.calls].count("unbind") == 6


@given(old=PAIRS, new=PAIRS, doubtful=PAIRS, width=st.integers(2, 6), limits=st.tuples(*[st.integers(2, 4)] * 2))
def test_calls_for_values_of_attributes_make_the_changes_and_nothing_else(old, new, doubtful, width, limits):
    changes = with_attributes(make_changes(old, new, doubtful), width)
    packing = pack_changes(changes, scaled_forms(limits[0], limits[1], 2)["rectangles"])
    *_, last = [old | doubtful, *apply_calls(packing, changes, old | doubtful, new)]
    assert last == new
    assert packing.minimum <= packing.count


@given(st.integers(2, 60), st.integers(2, 12))
def test_two_lists_part_each_two_values(value_count, max_tags):
    pairs = pair_lists(value_count, max_tags)
    assert len({*pairs}) == len(pairs) == value_count and all(first < second for first, second in pairs)
    assert max(Counter(at for pair in pairs for at in pair).values()) <= max_tags


@given(old=PAIRS, new=PAIRS, width=st.integers(2, 6), max_ids=st.integers(1, 4))
def test_lists_of_values_remove_no_more_than_they_should(old, new, width, max_ids):
    changes = with_attributes(make_changes(old, new, tag_count=6), width)
    kept = [row | more for row, more in zip(changes.present, changes.added, strict=True)]
    rows = [row.copy() for row in changes.removed]
    groups = group_tags(tag.tag.type for tag in changes.tags)
    for tags, devices in find_value_lists(rows, kept, groups, Limits(max_ids, 3)):
        assert 1 <= len(devices) <= max_ids and len(tags) <= 3
        assert not any(kept[tag] & BitMap(devices) for tag in tags)
        assert any(changes.removed[tag] & BitMap(devices) for tag in tags)
    has_one_value = all(
        len([tag for tag in group if device in kept[tag]]) < 2 for group in groups for device in range(8)
    )
    several = [group for group in groups if sum(bool(changes.removed[tag]) for tag in group) > 1]
    assert not has_one_value or not any(rows[tag] for group in several for tag in group)


# More than the naive packing is never made, and devices keep within their bound. -------------------------------------


def count_naive_calls(changes, forms):
    """Calls that each form alone, tag by tag, would need."""
    total = 0
    for rows, usable in ((changes.added, "adds"), (changes.removed, "removes")):
        size = max(each.max_ids for each in forms if getattr(each, usable) and each.max_pairs is None)
        total += sum(-(-len(row) // size) for row in rows)
    return total


@given(old=PAIRS, new=PAIRS, forms=FORMS)
def test_packing_is_no_worse_than_tag_by_tag(old, new, forms):
    changes = make_changes(old, new)
    if all(each.max_ids > 1 for each in forms if each.max_pairs is None) or len(forms) > 1:
        assert pack_changes(changes, forms).count <= count_naive_calls(changes, forms)


@given(old=PAIRS, new=PAIRS, forms=FORMS, most=st.integers(1, 6))
def test_no_device_has_more_tags_than_the_vendor_takes(old, new, forms, most):
    def most_tags(pairs):
        return max(Counter(device for device, _ in pairs).values(), default=0)

    changes = make_changes(old, new)
    packing = pack_changes(changes, forms, max_tags_per_device=most)
    bound = max(most, most_tags(old), most_tags(new))
    *_, last = [old, *apply_calls(packing, changes, old, new)]
    assert last == new
    assert all(most_tags(held) <= bound for held in apply_calls(packing, changes, old, new))
    assert packing.minimum <= packing.count


def test_no_tag_is_removed_a_second_time():
    changes = make_changes(frozenset({(0, 0), (0, 1)}), frozenset({(0, 2)}))
    assert pack_changes(changes, scaled_forms(2, 2, 3)["tag"], max_tags_per_device=2).count == 3
