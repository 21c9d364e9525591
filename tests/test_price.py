"""What each way costs, and which one is taken."""

import json
import re
from dataclasses import replace

import fake_vendor
import pytest
from fake_vendor import APPLICATION, delivery, ids_of, listing, opened, paced, way

from audience import DeliveryError, Problem, vendor, vendors
from audience.delivery.costs import Order, chosen, native_price, placeholder, prices
from audience.vendors.delivery_spec import Call


def order(*ways, ids=95, native=(), **changes) -> Order:
    undo = fake_vendor.register()
    try:
        to = vendor("fake")
    finally:
        undo()
    return Order(
        to=to,
        delivery=delivery(*ways, **changes),
        body={"title": "Hi"},
        application=APPLICATION,
        native=tuple(native),
        ids=ids,
        sample=tuple(ids_of(min(ids, 1_000))),
    )


def test_calls_and_seconds_are_those_that_a_run_takes():
    [price] = prices(order(paced(5, 1.0), ids=95))
    assert (price.way, price.calls, price.openings, price.seconds) == ("list", 10, 0, pytest.approx(1.8))


def test_openings_are_calls_too():
    [price] = prices(order(opened(calls=3), ids=95))
    assert (price.calls, price.openings) == (14, 4)


def test_bytes_are_those_of_the_requests():
    asked = order(way(), ids=100)
    [price] = prices(asked)
    bodies = [
        fake_vendor.request(
            Call(targets=(listing(ids_of(100)[at : at + 10]),), body={"title": "Hi"}, handle=None, token="0" * 36),
            APPLICATION,
        )
        for at in range(0, 100, 10)
    ]
    size = sum(len(body.content) + len(body.path) for body in bodies)
    assert price.bytes == pytest.approx(size, rel=0.1)


def test_the_fewest_seconds_are_taken_then_calls_then_bytes():
    slow, quick = paced(1, 1.0), way("quick")
    large = way("large", ids=40)
    assert [price.way for price in prices(order(slow, quick, large))] == ["large", "quick", "list"]
    assert chosen(order(slow, quick, large)).name == "large"
    assert chosen(order(slow, quick, large), "list").name == "list"


def test_a_way_is_refused_where_nothing_goes_by_it():
    native = [{"everyone": True}]
    assert chosen(order(way(), ids=0, native=native), "native").name == "native"
    with pytest.raises(DeliveryError, match="no-ids"):
        chosen(order(way(), ids=0, native=native), "list")
    for ids, name in ((0, "lst"), (95, "lst"), (95, "native")):
        with pytest.raises(DeliveryError, match="unknown-way"):
            chosen(order(way(), ids=ids, native=native), name)


def test_what_is_not_worth_it_or_refused_is_not_taken():
    few = way("few", ids=90, worth=1_000)
    never = way("never", ids=90, refuses=lambda *of: [Problem("no", "not this message")])
    found = prices(order(few, never, way()))
    assert [(price.way, price.worth, len(price.refused)) for price in found] == [
        ("list", True, 0),
        ("few", False, 0),
        ("never", True, 1),
    ]
    assert chosen(order(few, never, way(), ids=5_000)).name == "few"
    with pytest.raises(DeliveryError, match="not this message"):
        chosen(order(never))
    with pytest.raises(DeliveryError, match="not this message"):
        chosen(order(never, way()), "never")


def test_native_requests_have_a_price_and_may_be_refused():
    asked = order(ids=0, native=[{"everyone": True}, {"to": ["r1"]}])
    assert (native_price(asked).calls, native_price(asked).seconds) == (2, 0)
    never = way("native", ids=None, refuses=lambda *of: [Problem("no", "not this message")])
    with pytest.raises(DeliveryError, match="not this message"):
        chosen(replace(asked, delivery=delivery(native=never)))


@pytest.mark.parametrize("name", [name for name in vendors() if vendor(name).delivery])
def test_every_vendor_has_a_price_without_anybodys_keys(audience, name):
    words = ["plan", "devices.index", "sample(50%, s)", "--vendor", name]
    code, out, _ = audience(*words, "--json")
    found = json.loads(out)["prices"]
    assert code == 0
    assert {price["way"] for price in found["ways"]} == {way.name for way in vendor(name).delivery.ways}
    assert found["taken"] == found["ways"][0]["way"]
    assert all(price["bytes"] > 0 for price in found["ways"] if not price["refused"])
    other = found["ways"][-1]["way"]
    code, out, _ = audience(*words, "--way", other)
    assert code == 0
    assert re.search(rf"^{other} .*taken$", out, re.MULTILINE)
    assert placeholder(vendor(name).delivery).host.startswith("https://")


def test_a_plan_is_shown_also_where_no_price_is_known(audience):
    unsent = next(name for name in vendors() if not vendor(name).delivery and not reads_only(name))
    code, out, _ = audience("plan", "devices.index", "sample(50%, s)", "--vendor", unsent)
    assert code == 0
    assert "by ids" in out


def reads_only(name):
    return getattr(vendor(name), "reads_only", None)
