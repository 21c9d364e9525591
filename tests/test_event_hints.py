"""An attribute that an index does not have gets the hint at an event, or at a property of one, of that name."""

from datetime import datetime

import polars as pl
import pytest

from audience import DeviceIndex, ExpressionError, parse

HINTS = {
    "purchase within 7 days": "it is an event: write did(purchase) within 7 days of 2026-11-28",
    "purchase within 7 days of 2026-11-01": "it is an event: write did(purchase) within 7 days of 2026-11-01",
    "purchase >= 3": "it is an event: write did(purchase)",
    "has(purchase)": "it is an event: write did(purchase)",
    "vip AND amount > 3": "it is a property of an event: write did(purchase where amount > 3)",
    "NOT category in (shoes, bags)": "it is a property of an event: write did(purchase where category:shoes)",
    'category matches "s*"': 'it is a property of an event: write did(purchase where category matches "s*")',
}


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    table = pl.DataFrame({"device_id": ["d1", "d2"], "tags": [["vip"], []]})
    index = DeviceIndex.build(table, tmp_path_factory.mktemp("hints") / "index", tags=["tags"])
    events = {"event": ["purchase"], "at": [datetime(2026, 11, 1)], "amount": [20], "category": ["shoes"]}
    index.add_events(pl.DataFrame({"device_id": ["d1"], **events}))
    return index


@pytest.mark.parametrize(("text", "hint"), HINTS.items())
def test_unknown_attribute_has_a_hint_at_the_event(text, hint, index):
    with pytest.raises(ExpressionError) as caught:
        index.count(text, as_of="2026-11-28T09:00")
    [problem, *_] = caught.value.problems
    assert (problem.code, problem.hint) == ("unknown-attribute", hint)
    if hint.startswith("it is an event"):
        assert index.count(parse(hint.partition("write ")[2]), as_of="2026-11-28T09:00", allow_gaps=True) <= 1
