"""What each vendor answers, as lines of facts: tests/sandbox/*.txt."""

import json
import re

import pytest
from fact_files import load_cases
from vendor_calls import (
    NOTIFICATION,
    emas_push_call,
    emas_push_v2_call,
    engagelab_call,
    jpush_call,
    make_router,
    send_call,
    tpns_call,
    tpns_message,
)

from audience.sandbox.http_types import HttpCall
from audience.sandbox.router import summarize_deliveries


def build_call(vendor: str, verb: str, text: str) -> HttpCall:
    """The call that a line of facts describes; `<60 x>` is 60 times x."""
    text = re.sub(r"<(\d+) (.)>", lambda match: match[2] * int(match[1]), text)
    match vendor, verb:
        case "engagelab", "to":
            return engagelab_call({"to": json.loads(text), "body": NOTIFICATION})
        case "engagelab", "body":
            return engagelab_call(
                {"to": "all" if "live" not in text else {"registration_id": ["r2"]}, "body": json.loads(text)}
            )
        case "engagelab", "options":
            return engagelab_call({"to": "all", "body": {**NOTIFICATION, "options": json.loads(text)}})
        case "jpush", "audience":
            return jpush_call({"platform": "all", "audience": json.loads(text), "notification": {"alert": "x"}})
        case "tpns", "rules":
            return tpns_call(tpns_message(audience_type="tag", tag_rules=json.loads(text)))
        case "tpns", "with":
            return tpns_call(tpns_message(**json.loads(text)))
        case "emas", "tags":
            return emas_push_call(Target="TAG", TargetValue=text)
        case "emas", "push":
            return emas_push_call(**json.loads(text))
        case "emas", "task":
            return emas_push_v2_call(json.loads(text))
    return {"engagelab": engagelab_call, "jpush": jpush_call, "tpns": tpns_call}[vendor](text.encode())


FACT_VERBS = ("to", "body", "options", "audience", "rules", "with", "tags", "push", "task", "post")


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
