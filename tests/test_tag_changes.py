"""Changes of the tags at a vendor: repeating a sync ends with the tags of the index, whatever calls did."""

from collections.abc import Mapping
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples

from audience.index.storage.bitmaps import BitMap
from audience.language.ast import Tag
from audience.tag_sync.alignment import merge_ids
from audience.tag_sync.changes import (
    CallOutcomes,
    TagPairs,
    apply_calls,
    compare_tags,
    doubt_changes,
    end_sync,
    find_changes,
    has_changes,
    name_device_tags,
    replace_known,
    start_sync,
)
from audience.tag_sync.limits import find_limit_problems
from audience.tag_sync.state import Application, TagState
from audience.tag_sync.tags import DeviceTags, NamedScope, Scope, SyncedTag, TagChanges
from audience.vendors.tag_spec import TagSpec
from audience.vendors.vendor_limit import VendorLimit

APPLICATION = Application(family="pager", digest="0" * 64, host="https://pager.example")
PROVINCES = [SyncedTag(Tag("province", value), f"p_{value}") for value in ("hunan", "hubei")]
BARE = [SyncedTag(Tag("tag", value), value) for value in ("vip", "new")]
TAGS = [*PROVINCES, *BARE]
SCOPES = {
    "province": NamedScope(Scope(frozenset({"province"})), "1"),
    "tag": NamedScope(Scope(frozenset({"tag"})), "1"),
    "tag:vip": NamedScope(Scope(tags=frozenset({Tag("tag", "vip")})), "1"),
}
IDS = [f"id{number}" for number in range(7)] + ["é", "日"]
Tagged = Mapping[str, set[SyncedTag]]


class FakeVendor:
    """Tags of devices as a vendor has them; for ids that it does not know at the time it does nothing."""

    def __init__(self) -> None:
        self.tags: dict[str, set[SyncedTag]] = {}
        self.unknown: set[str] = set()

    def change(self, id_: str, tag: SyncedTag, adds: bool) -> None:
        if id_ not in self.unknown:
            (self.tags.setdefault(id_, set()).add if adds else self.tags.get(id_, set()).discard)(tag)

    def pairs(self) -> set[tuple[str, SyncedTag]]:
        return {(id_, tag) for id_, tags in self.tags.items() for tag in tags}


def list_pairs(ids: pl.Series, tags: tuple[SyncedTag, ...], rows) -> set[tuple[str, SyncedTag]]:
    return {(ids[at], tag) for tag, positions in zip(tags, rows, strict=True) for at in positions}


def pairs_of(tagged: Tagged, scope: Scope) -> set[tuple[str, SyncedTag]]:
    return {(id_, tag) for id_, tags in tagged.items() for tag in tags if tag.tag in scope}


def begin(state: TagState, tagged: Tagged, names: list[str], **options) -> TagState:
    attributes = {name: SCOPES[name] for name in names}
    scope = Scope()
    for named in attributes.values():
        scope = scope | named.scope
    wanted = name_device_tags({id_: [tag for tag in tags if tag.tag in scope] for id_, tags in tagged.items()})
    return start_sync(state, wanted, attributes, snapshot=1, devices_digest="d", started_at=0.0, **options)


def make_calls(state: TagState, vendor: FakeVendor, choose) -> TagState:
    """Make a call for each change: *choose* returns whether it is made, and whether its reply is known."""
    changes = find_changes(state)
    done, doubtful = ([[BitMap() for _ in changes.tags] for _ in ("added", "removed")] for _ in ("done", "doubtful"))
    unknown = BitMap()
    for rows, removes in ((changes.added, False), (changes.removed, True)):
        for tag, positions in enumerate(rows):
            for at in positions:
                is_made, is_known = choose()
                if is_made:
                    vendor.change(changes.ids[at], changes.tags[tag], not removes)
                if is_made and is_known and changes.ids[at] in vendor.unknown:
                    unknown.add(at)
                if is_made or not is_known:
                    (done if is_known else doubtful)[removes][tag].add(at)
    outcomes = CallOutcomes(TagPairs(*map(tuple, done)), TagPairs(*map(tuple, doubtful)), unknown)
    return apply_calls(state, changes, outcomes)


def finish(state: TagState, vendor: FakeVendor) -> TagState:
    while has_changes(find_changes(state)):
        state = make_calls(state, vendor, lambda: (True, True))
    return end_sync(state, ended_at=10.0, delay=timedelta(minutes=10))


def require_sound(state: TagState, vendor: FakeVendor) -> None:
    """Require that the vendor has what is known and not in doubt, and nothing that is neither."""
    known = list_pairs(state.known.ids, state.known.tags, state.known.rows)
    doubtful = list_pairs(state.known.ids, state.known.tags, state.doubtful)
    assert known - doubtful <= vendor.pairs() <= known | doubtful


@st.composite
def tagged_devices(draw) -> Tagged:
    ids = draw(st.lists(st.sampled_from(IDS), unique=True))
    return {id_: draw(st.sets(st.sampled_from(TAGS))) for id_ in ids}


OUTCOMES = st.tuples(st.booleans(), st.booleans())  # whether a call is made, and whether its outcome is known
NAMES = st.lists(st.sampled_from(sorted(SCOPES)), unique=True, min_size=1)


@settings(max_examples=scale_examples(100))
@given(st.data())
def test_syncs_end_with_the_tags_of_the_index(data):
    state, vendor = TagState(application=APPLICATION), FakeVendor()
    for _ in range(data.draw(st.integers(1, 4))):
        tagged, names = data.draw(tagged_devices()), data.draw(NAMES)
        vendor.unknown = data.draw(st.sets(st.sampled_from(IDS), max_size=2))
        state = begin(state, tagged, names, retry_unknown=data.draw(st.booleans()), full=data.draw(st.booleans()))
        for _ in range(data.draw(st.integers(0, 3))):
            state = make_calls(state, vendor, lambda: data.draw(OUTCOMES))
            require_sound(state, vendor)
            if data.draw(st.booleans()):
                state = doubt_changes(state)
                require_sound(state, vendor)
        if data.draw(st.booleans()):
            state = finish(state, vendor)
            require_sound(state, vendor)
            scope = state.attributes[names[0]].named.scope
            unknown = {state.known.ids[at] for at in state.unknown_ids}
            wanted = {pair for pair in pairs_of(tagged, scope) if pair[0] not in unknown}
            had = {pair for pair in vendor.pairs() if pair[1].tag in scope and pair[0] not in unknown}
            assert wanted == had
    vendor.unknown = set()
    tagged = data.draw(tagged_devices())
    state = finish(begin(state, tagged, ["province", "tag"], retry_unknown=True), vendor)
    assert vendor.pairs() == pairs_of(tagged, Scope(frozenset({"province", "tag"})))
    assert not state.unfinished and state.started is None
    assert list_pairs(state.known.ids, state.known.tags, state.known.rows) == vendor.pairs()
    assert not any(state.doubtful)


@given(tagged_devices(), tagged_devices(), st.sets(st.tuples(st.sampled_from(IDS), st.sampled_from(TAGS))))
def test_a_full_sync_sets_what_others_have_removed(before, after, lost):
    vendor = FakeVendor()
    state = finish(begin(TagState(application=APPLICATION), before, ["province", "tag"]), vendor)
    for id_, tag in lost:
        vendor.change(id_, tag, adds=False)
    state = finish(begin(state, after, ["province", "tag"], full=True), vendor)
    assert vendor.pairs() == pairs_of(after, Scope(frozenset({"province", "tag"})))
    require_sound(state, vendor)


@given(tagged_devices(), tagged_devices(), tagged_devices())
def test_tags_that_were_read_replace_those_that_were_known(before, there, after):
    vendor = FakeVendor()
    state = finish(begin(TagState(application=APPLICATION), before, ["tag"]), vendor)
    vendor.tags = {id_: {tag for tag in tags if tag.tag.type == "tag"} for id_, tags in there.items()}
    asked = pl.Series("id", sorted({*before, *there, *after}), pl.String)
    state = replace_known(state, name_device_tags(vendor.tags), asked, SCOPES["tag"].scope)
    require_sound(state, vendor)
    state = finish(begin(state, after, ["tag"], is_read=True), vendor)
    assert vendor.pairs() == pairs_of(after, SCOPES["tag"].scope)
    assert state.attributes["tag"].is_read


@given(st.sets(st.text()), st.sets(st.text()))
def test_merged_ids_are_those_of_both_lists(first, second):
    lists = [pl.Series("id", sorted(ids, key=str.encode), pl.String) for ids in (first, second)]
    merged = merge_ids(*lists)
    assert merged.ids.to_list() == sorted(first | second, key=str.encode)
    for ids, positions in zip(lists, (merged.first, merged.second), strict=True):
        moved = merged.ids if positions is None else merged.ids.gather(pl.Series(positions))
        assert (positions is None and not len(ids)) or moved.to_list() == ids.to_list()


def test_a_sync_has_the_times_of_its_end():
    state = finish(begin(TagState(application=APPLICATION), {"a": {BARE[0]}}, ["tag:vip"]), FakeVendor())
    sync = state.attributes["tag:vip"]
    assert (sync.ended_at, sync.effective_at, sync.snapshot, state.number) == (10.0, 610.0, 1, 1)


def test_a_sync_that_was_given_up_leaves_its_tags_unfinished():
    state = begin(TagState(application=APPLICATION), {"a": {PROVINCES[0]}}, ["province"])
    state = finish(begin(state, {"a": {BARE[0]}}, ["tag"]), FakeVendor())
    assert state.unfinished == SCOPES["province"].scope and list(state.attributes) == ["tag"]


def test_a_name_that_moves_to_another_tag_changes_no_device_and_leaves_the_old_tag_unfinished():
    state = finish(begin(TagState(application=APPLICATION), {"a": {PROVINCES[0]}}, ["province"]), FakeVendor())
    renamed = SyncedTag(Tag("tag", "hunan"), PROVINCES[0].name)
    wanted = name_device_tags({"a": [renamed]})
    assert not has_changes(compare_tags(state, wanted, {"tag": SCOPES["tag"]}))
    state = start_sync(state, wanted, {"tag": SCOPES["tag"]}, snapshot=1, devices_digest="", started_at=0.0)
    assert PROVINCES[0].tag in state.unfinished and state.known.tags == (renamed,)


def test_another_name_of_a_tag_is_set_and_the_old_one_removed():
    state = finish(begin(TagState(application=APPLICATION), {"a": {PROVINCES[0]}}, ["province"]), FakeVendor())
    wanted = name_device_tags({"a": [SyncedTag(PROVINCES[0].tag, "other")]})
    changes = compare_tags(state, wanted, {"province": SCOPES["province"]})
    assert named(changes, changes.added) == {"other": [0]} and named(changes, changes.removed) == {"p_hunan": [0]}


def named(changes: TagChanges, rows) -> dict[str, list[int]]:
    return {tag.name: list(found) for tag, found in zip(changes.tags, rows, strict=True) if found}


@pytest.mark.parametrize(
    ("limits", "messages"),
    [
        ({"max_tags_per_device": 2}, ["1 id with too many tags: a of 3"]),
        ({"max_tags": 2}, ["the application would have 3 tags"]),
        ({"max_devices_per_tag": 1}, ["1 tag too large: vip of 2 devices"]),
        ({"max_tags_per_device": 3, "max_tags": 3, "max_devices_per_tag": 2}, []),
    ],
)
def test_limits_count_tags_outside_of_the_scope_too(limits, messages):
    state = finish(begin(TagState(application=APPLICATION), {"a": {PROVINCES[0]}}, ["province"]), FakeVendor())
    state = begin(state, {"a": set(BARE), "b": {BARE[0]}}, ["tag"])
    bounds = {name: VendorLimit(maximum, "https://pager.example/limits") for name, maximum in limits.items()}
    spec = TagSpec(family="pager", forms=(), build_request=None, parse_reply=None, rate_limits=None, **bounds)
    problems = [*find_limit_problems(state, spec)]
    assert [problem.message for problem in problems] == messages
    assert all("https://pager.example/limits" in (problem.hint or "") for problem in problems)


KEYED = [SyncedTag(Tag("city", each), f"city:{each}") for each in ("oslo", "rome")]
CITY = NamedScope(Scope(frozenset({"city"})), "named")
SHARED = SyncedTag(Tag("tag", "x"), "city:x")


@pytest.mark.parametrize(
    ("old", "new", "attributes", "most", "problem"),
    [
        ({}, {"a": KEYED[:1], "b": KEYED[1:]}, {"city": CITY}, 1, None),
        ({"a": KEYED[:1]}, {"a": KEYED[1:]}, {"city": CITY}, 1, None),
        ({}, {"a": KEYED}, {"city": CITY}, 1, ("two-values", "1 id with several values of 'city': a")),
        (
            {},
            {"a": KEYED[:1], "b": [SHARED]},
            {"city": CITY, "tag": SCOPES["tag"]},
            9,
            ("key-clash", "'city' is the key"),
        ),
        ({"a": KEYED[:1]}, {"b": [SHARED]}, {"tag": SCOPES["tag"]}, 9, ("key-clash", "'city' is the key")),
        ({"a": [SHARED]}, {"a": KEYED[:1]}, {"city": CITY, "tag": SCOPES["tag"]}, 9, None),
        (
            {},
            {"a": [*KEYED[:1], BARE[0]]},
            {"city": CITY, "tag": SCOPES["tag"]},
            1,
            ("tag-limit", "would change 2 keys"),
        ),
    ],
)
def test_a_device_has_one_tag_of_a_key(old, new, attributes, most, problem):
    started = {"snapshot": 1, "devices_digest": "", "started_at": 0.0}
    state = TagState(application=APPLICATION)
    if old:
        every = {"city": CITY, "tag": SCOPES["tag"]}
        state = finish(start_sync(state, name_device_tags(old), every, **started), FakeVendor())
    state = start_sync(state, name_device_tags(new), attributes, **started)
    spec = TagSpec(
        family="pager",
        forms=(),
        build_request=None,
        parse_reply=None,
        rate_limits=None,
        find_key=lambda name: name.partition(":")[0],
        max_keys=VendorLimit(most, "https://pager.example/limits"),
    )
    found = [(each.code, each.message) for each in find_limit_problems(state, spec)]
    assert len(found) == (problem is not None) and all(
        code == problem[0] and problem[1] in text for code, text in found
    )


def test_no_devices_have_no_changes():
    assert not has_changes(compare_tags(TagState(application=APPLICATION), DeviceTags(), {"tag": SCOPES["tag"]}))
