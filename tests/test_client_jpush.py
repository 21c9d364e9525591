"""JPush's own client builds the same audience from its selectors, and takes it into its payload unchanged."""

import jpush
import pytest

from audience import parse, plan, vendor
from audience.vendors.payload_reader import dump, load

EXPRS = [
    "vip",
    "NOT vip",
    "深圳 OR 广州",
    "(深圳 OR 广州) AND 女 AND 会员 AND NOT old AND NOT 老用户",
    "alias(u1, u2) AND NOT old",
    "registration_id(r1, r2)",
]


def written(audience) -> dict:
    """What the client would send."""
    push = jpush.JPush("key", "secret").create_push()
    push.audience = audience
    push.platform = jpush.all_
    push.notification = jpush.notification(alert="hello")
    return load(dump(push.payload))


@pytest.mark.parametrize("text", EXPRS)
def test_its_selectors_build_the_same_audience(text):
    audience = vendor("jpush").emit(parse(text))["audience"]
    selectors = [getattr(jpush, key)(*names) for key, names in audience.items()]
    built = jpush.audience(*selectors)
    assert built == audience


@pytest.mark.parametrize("text", ["everyone", *EXPRS, "(a AND b) OR (c AND d)"])
def test_its_payload_is_read_back_as_what_was_said(text):
    for payload in plan(text, "jpush").native:
        assert vendor("jpush").parse(written(payload["audience"])) == vendor("jpush").parse(payload)


def test_its_word_for_everyone_is_ours():
    assert written(jpush.all_)["audience"] == vendor("jpush").emit(parse("everyone"))["audience"]


def test_a_list_of_ids_is_what_its_selector_builds():
    ids = [f"r{number}" for number in range(vendor("jpush").batch)]
    assert vendor("jpush").listing(ids)["audience"] == jpush.audience(jpush.registration_id(*ids))
