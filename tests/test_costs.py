"""Cost estimates of send methods, and the choice of the cheapest one."""

import json
import re
from dataclasses import replace

import pytest

from audience import DeliveryError, Problem, get_vendor, vendor_names
from audience.delivery.costs import CostInput, choose_method, estimate_methods, estimate_native, placeholder_credentials
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    CREDENTIALS,
    make_delivery,
    make_ids,
    make_method,
    make_rate_limited_method,
    make_setup_method,
    target_ids,
)
from audience.testing.registration import register_vendors
from audience.vendors.delivery_spec import SendCall


def make_cost_input(*methods, ids=95, native=(), **overrides) -> CostInput:
    unregister = fake_vendor.register_fake_vendors()
    try:
        to = get_vendor("fake")
    finally:
        unregister()
    return CostInput(
        vendor=to,
        delivery=make_delivery(*methods, **overrides),
        bodies=({"title": "Hi"},),
        credentials=CREDENTIALS,
        native_payloads=tuple(native),
        part_sizes=(ids,),
        sample_ids=tuple(make_ids(min(ids, 1_000))),
    )


def test_estimated_calls_and_seconds_match_run():
    [estimate] = estimate_methods(make_cost_input(make_rate_limited_method(5, 1.0), ids=95))
    assert (estimate.method, estimate.calls, estimate.setup_calls) == ("list", 10, 0)
    assert estimate.seconds == pytest.approx(1.8)


def test_estimate_counts_setup_calls():
    [estimate] = estimate_methods(make_cost_input(make_setup_method(max_uses=3), ids=95))
    assert (estimate.calls, estimate.setup_calls) == (14, 4)


def test_estimated_bytes_match_requests():
    cost_input = make_cost_input(make_method(), ids=100)
    [estimate] = estimate_methods(cost_input)
    bodies = [
        fake_vendor.build_request(
            SendCall(
                targets=(target_ids(make_ids(100)[at : at + 10]),),
                body={"title": "Hi"},
                handle=None,
                idempotency_key="0" * 36,
            ),
            CREDENTIALS,
        )
        for at in range(0, 100, 10)
    ]
    size = sum(len(body.content) + len(body.path) for body in bodies)
    assert estimate.request_bytes == pytest.approx(size, rel=0.1)


def test_method_choice_minimizes_seconds_calls_bytes():
    slow, quick = make_rate_limited_method(1, 1.0), make_method("quick")
    large = make_method("large", max_ids=40)
    assert [estimate.method for estimate in estimate_methods(make_cost_input(slow, quick, large))] == [
        "large",
        "quick",
        "list",
    ]
    assert choose_method(make_cost_input(slow, quick, large)).name == "large"
    assert choose_method(make_cost_input(slow, quick, large), "list").name == "list"


def test_method_is_rejected_when_unused():
    native = [{"everyone": True}]
    assert choose_method(make_cost_input(make_method(), ids=0, native=native), "native").name == "native"
    with pytest.raises(DeliveryError, match="no-ids"):
        choose_method(make_cost_input(make_method(), ids=0, native=native), "list")
    for ids, name in ((0, "lst"), (95, "lst"), (95, "native")):
        with pytest.raises(DeliveryError, match="unknown-method"):
            choose_method(make_cost_input(make_method(), ids=ids, native=native), name)


def test_unworthy_or_rejected_method_is_not_chosen():
    few = make_method("few", max_ids=90, min_ids=1_000)
    never = make_method("never", max_ids=90, check=lambda *_: [Problem("no", "not this message")])
    costs = estimate_methods(make_cost_input(few, never, make_method()))
    assert [(estimate.method, estimate.worthwhile, len(estimate.problems)) for estimate in costs] == [
        ("list", True, 0),
        ("few", False, 0),
        ("never", True, 1),
    ]
    assert choose_method(make_cost_input(few, never, make_method(), ids=5_000)).name == "few"
    with pytest.raises(DeliveryError, match="not this message"):
        choose_method(make_cost_input(never))
    with pytest.raises(DeliveryError, match="not this message"):
        choose_method(make_cost_input(never, make_method()), "never")


def test_native_requests_are_estimated_and_can_be_rejected():
    cost_input = make_cost_input(ids=0, native=[{"everyone": True}, {"to": ["r1"]}])
    assert (estimate_native(cost_input).calls, estimate_native(cost_input).seconds) == (2, 0)
    never = make_method("native", max_ids=None, check=lambda *_: [Problem("no", "not this message")])
    with pytest.raises(DeliveryError, match="not this message"):
        choose_method(replace(cost_input, delivery=make_delivery(native_method=never)))


@pytest.mark.parametrize("name", [name for name in vendor_names() if get_vendor(name).delivery])
def test_every_vendor_has_estimate_without_keys(audience, name):
    arguments = ["plan", "devices.index", "sample(50%, s)", "--vendor", name]
    code, out, _ = audience(*arguments, "--json")
    costs = json.loads(out)["costs"]
    assert code == 0
    assert {estimate["method"] for estimate in costs["methods"]} == {
        method.name for method in get_vendor(name).delivery.send_methods
    }
    assert costs["chosen"] == costs["methods"][0]["method"]
    assert all(estimate["bytes"] > 0 for estimate in costs["methods"] if not estimate["problems"])
    most_expensive = costs["methods"][-1]["method"]
    code, out, _ = audience(*arguments, "--method", most_expensive)
    assert code == 0
    assert re.search(rf"^{most_expensive} .*chosen$", out, re.MULTILINE)
    assert placeholder_credentials(get_vendor(name).delivery).base_url.startswith("https://")


def test_plan_is_shown_without_estimate(audience):
    with register_vendors(replace(get_vendor("huawei"), delivery=None)):
        code, out, _ = audience("plan", "devices.index", "sample(50%, s)", "--vendor", "huawei")
    assert code == 0
    assert "by ids" in out
