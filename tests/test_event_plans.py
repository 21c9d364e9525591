"""Plans of conditions about events: every vendor gets ids, for one reason, and no payload is read as one of them."""

import pytest
from fact_files import load_cases
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples
from strategies import BARE_TAGS, boolean_exprs, event_leaf

from audience import (
    ExpressionError,
    PayloadWarning,
    equivalent,
    get_vendor,
    parse,
    plan,
    render,
    simplify,
    vendor_names,
)
from audience.algebra.normal_forms import nnf
from audience.language.ast import EventAtom, atoms, walk_operands
from audience.language.binding import bind
from audience.vendors.payload_reader import load_json

AS_OF = "2026-11-28T09:00"
AUDIENCES = [
    "did(purchase)",
    "did(purchase where category:shoes AND amount > 20) >= 3 within 30 days",
    "NOT did(open) within 14 days",
    "did(purchase) = 0",
    "sum(purchase.amount) > 100 within 30 days",
    "avg(purchase.amount) <= 5",
    "first(purchase) within 7 days",
    "last(purchase) before 30 days ago",
    "t1 AND did(purchase) >= 3 within 36 hours",
    "NOT (t1 OR did(purchase where t2))",
    "did(purchase) limit 5 seed summer",
    "at least 2 of (did(a), did(b), did(c))",
]
WRITABLE = vendor_names(can="emit")


@pytest.mark.parametrize("text", AUDIENCES)
def test_every_vendor_gets_the_ids_of_those_who_did(text):
    bound = bind(text, AS_OF)
    for name in WRITABLE:
        planned = plan(text, name, as_of=AS_OF, vendor_has="all")
        assert (planned.native, planned.expr) == ((), bound)
        assert equivalent(planned.by_ids, simplify(nnf(bound)))
        expected = {"no-limit"} if "limit" in text else {"no-events"}
        assert expected <= {reason.code for reason in planned.reasons} <= {*expected, "not-alone", "unbounded-not"}


@pytest.mark.parametrize("name", WRITABLE)
def test_part_without_events_may_be_native(name):
    planned = plan("alias(u1) OR did(purchase) within 7 days", name, as_of=AS_OF)
    assert EventAtom not in [type(atom) for part in planned.request_exprs for atom in atoms(part)]
    assert any(isinstance(atom, EventAtom) for atom in atoms(planned.by_ids))


@given(boolean_exprs(event_leaf | st.sampled_from(BARE_TAGS[:3]), max_leaves=5))
@settings(max_examples=scale_examples(20), deadline=None)
def test_no_payload_is_written_for_an_event(expr):
    try:
        bound = bind(expr, AS_OF)
    except ExpressionError:
        return
    for name in WRITABLE:
        planned = plan(bound, name)
        parts = [get_vendor(name).parse(payload) for payload in planned.native]
        assert not any(isinstance(atom, EventAtom) for part in parts for atom in atoms(part))


@pytest.mark.parametrize(("name", "payload", "meaning"), load_cases("vendors", "read"))
def test_no_payload_is_read_as_an_event(name, payload, meaning):
    expr = get_vendor(name).parse(load_json(payload))
    assert not any(isinstance(node, EventAtom) for node in walk_operands(expr))


def test_tag_that_is_spelled_like_a_condition_stays_a_tag():
    with pytest.warns(PayloadWarning):
        expr = get_vendor("engagelab").parse({"to": {"tag": ["did(purchase)"], "tag_and": ["sum", "where"]}})
    assert render(expr) == '"did(purchase)" AND sum AND where'
    assert parse(render(expr)) == expr


def test_plan_names_the_condition_as_written_and_as_bound():
    planned = plan("t1 AND did(purchase) within 7 days", "tpns", as_of=AS_OF)
    assert render(planned.written) == "t1 AND did(purchase) within 7 days"
    assert render(planned.expr) == "t1 AND did(purchase) within 7 days of 2026-11-28"
    assert all(render(each) in planned._repr_html_() for each in (planned.written, planned.expr))
