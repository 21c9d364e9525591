"""Packing of changes of tags into calls: laws against an oracle of dicts, and the calls of small cases."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.storage.bitmaps import BitMap
from audience.language.ast import Tag
from audience.tag_sync.costs import estimate_seconds
from audience.tag_sync.packing import PackedGrid, collect_rows, pack_changes
from audience.tag_sync.tags import SyncedTag, TagChanges
from audience.vendors.delivery_spec import RateLimit
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
        assert held >= old & new
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


def make_spec(forms, max_concurrent=None, **limits):
    return TagSpec(
        family="example",
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
