"""Events that a catalog says a vendor counts itself: its own conditions there, and ids wherever it says less."""

from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples
from strategies import boolean_exprs

from audience import DeviceIndex, equivalent, parse, plan, render, simplify, translate, vendor_names
from audience.algebra.normal_forms import nnf
from audience.language.ast import Did, EventFilter, Tag
from audience.planning.catalog.loader import parse_catalog

CATALOG = parse_catalog(
    '[tag]\nat = ["airship"]\n[events.open]\nat = ["airship"]\n[events.purchase.names]\nairship = "bought"'
)


def count(activity: str, least: int) -> dict[str, object]:
    """The selector of devices that did *activity* so often or more."""
    return {"activity": activity, "metric": "count", "operator": "greater_eq", "value": least}


NATIVE = {
    "did(open)": count("open", 1),
    "did(purchase) >= 3": count("bought", 3),
    "did(purchase) = 0": {"NOT": count("bought", 1)},
    "did(purchase) <= 2": {"NOT": count("bought", 3)},
    "did(open) between 2 and 4": {"AND": [count("open", 2), {"NOT": count("open", 5)}]},
    "vip OR did(open) = 1": {"OR": [{"tag": "vip"}, {"AND": [count("open", 1), {"NOT": count("open", 2)}]}]},
}
BY_IDS = [
    "did(open) within 7 days",
    "did(open where a)",
    "did(view)",
    "did(open) AND did(view)",
    "sum(purchase.amount) > 100",
    "first(open) within 7 days",
]


@pytest.mark.parametrize("text", NATIVE)
def test_a_declared_event_is_a_condition_of_the_vendor(text):
    planned = plan(text, "airship", catalog=CATALOG)
    assert [payload["audience"] for payload in planned.native] == [NATIVE[text]]
    assert planned.by_ids is None
    assert "vendor-events" in [assumption.code for assumption in planned.assumptions]


@pytest.mark.parametrize("text", BY_IDS)
def test_what_the_vendor_does_not_surely_count_alike_goes_by_ids(text):
    planned = plan(text, "airship", catalog=CATALOG, as_of="2026-11-28T09:00")
    assert planned.native == ()
    assert "no-events" in [reason.code for reason in planned.reasons]


@pytest.mark.parametrize("name", [name for name in vendor_names(can="emit") if name != "airship"])
def test_other_vendors_get_ids(name):
    assert plan("did(open)", name, catalog=CATALOG).native == ()


def test_a_payload_is_read_by_the_catalogs_names_and_goes_back_unchanged():
    payload = {"audience": {"AND": [{"tag": "vip"}, count("bought", 2)]}}
    back = translate(payload, source="airship", target="airship", catalog=CATALOG)
    assert (render(back.expr), back.native) == ("vip AND did(purchase) >= 2", (payload,))
    assert translate(payload, source="airship", target="airship").native == (payload,)
    assert "reference(airship, activity" in render(translate(payload, source="airship", target="airship").expr)


@pytest.mark.parametrize(
    "selector",
    [
        count("bought", 0),
        count("bought", True),
        count("bought", 2) | {"operator": "greater"},
        count("bought", 2) | {"metric": "total_value"},
        count("bought", 2) | {"after": 3, "precision": "days"},
        count("purchase", 2),
    ],
)
def test_other_activities_stay_references(selector):
    planned = translate({"audience": selector}, source="airship", target="airship", catalog=CATALOG)
    assert render(planned.expr).startswith("reference(airship, activity")


EVENTS = st.builds(
    lambda name, least, more: Did(EventFilter(name), least, None if more is None else least + more),
    st.sampled_from(["open", "purchase"]),
    st.integers(1, 4),
    st.none() | st.integers(0, 3),
)


@given(boolean_exprs(EVENTS | st.sampled_from([Tag("tag", name) for name in ("a", "b")]), max_leaves=5))
@settings(max_examples=scale_examples(60), deadline=None)
def test_native_requests_and_ids_are_together_what_was_asked(expr):
    planned = plan(expr, "airship", catalog=CATALOG, max_requests=4)
    parts = [*planned.request_exprs, *([] if planned.by_ids is None else [planned.by_ids])]
    union = parts[0] if parts else parse("nobody")
    for part in parts[1:]:
        union = union | part
    assert equivalent(simplify(nnf(union)), simplify(nnf(expr)))


def test_an_index_that_forgets_events_sends_ids(tmp_path):
    index = DeviceIndex.build(
        pl.DataFrame({"registration_id": ["a", "b"], "tags": [["vip"], []]}), tmp_path / "d.index"
    )
    table = pl.DataFrame({"registration_id": ["a", "b"], "event": ["open"] * 2, "at": [datetime(2026, 11, 20)] * 2})
    index.add_events(table)
    assert plan("vip AND did(open)", "airship", index, catalog=CATALOG).by_ids is None
    assert plan("vip AND did(open)", "airship", index).native == ()
    index.add_events(table.with_columns(at=datetime(2026, 11, 21)), keep="90d")
    assert plan("vip AND did(open)", "airship", index, catalog=CATALOG).native == ()
