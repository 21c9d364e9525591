"""What each vendor answers, as lines of facts: tests/sandbox/*.txt."""

import re

import pytest
from callers import CALLERS
from fact_files import load_cases
from vendor_calls import make_router, send_call

from audience.sandbox.http_types import HttpCall
from audience.sandbox.router import summarize_deliveries


def build_call(vendor: str, verb: str, text: str) -> HttpCall:
    """The call that a line of facts describes; `<60 x>` is 60 times x."""
    text = re.sub(r"<(\d+) (.)>", lambda match: match[2] * int(match[1]), text)
    return CALLERS[vendor].frames.get(verb, CALLERS[vendor].post_text)(text)


FACT_VERBS = sorted({"post", *(verb for caller in CALLERS.values() for verb in caller.frames)})


@pytest.mark.parametrize(
    ("vendor", "verb", "said", "wanted"),
    [
        pytest.param(case.values[0], verb, *case.values[1:], id=f"{verb} {case.id}")
        for verb in FACT_VERBS
        for case in load_cases("sandbox", verb)
    ],
)
def test_vendor_replies_match_docs(vendor, verb, said, wanted):
    desks = make_router()
    reply = send_call(desks, vendor, build_call(vendor, verb, said))
    status, _, rest = wanted.partition(" ")
    told = desks.states[vendor].delivery_log.counts_by_id()
    assert reply.status == int(status)
    if rest == "waiting":
        assert not told
        assert summarize_deliveries(desks, vendor)["waiting"]
        return
    assert f"{reply.code} {' '.join(told)}".strip() == rest
    assert (reply.device_count, set(told.values())) == (len(told), {1} if told else set())
