"""What each vendor answers, as lines of facts: tests/sandbox/*.txt."""

import json

import pytest
from fact_files import cases
from vendor_calls import NOTIFICATION, desks_of, engagelab, jpush, message, push, push_v2, say, tpns

from audience.sandbox.http_types import Call


def call_of(vendor: str, verb: str, text: str) -> Call:
    """The call that a line of facts describes."""
    match vendor, verb:
        case "engagelab", "to":
            return engagelab({"to": json.loads(text), "body": NOTIFICATION})
        case "engagelab", "body":
            return engagelab(
                {"to": "all" if "live" not in text else {"registration_id": ["r2"]}, "body": json.loads(text)}
            )
        case "engagelab", "options":
            return engagelab({"to": "all", "body": {**NOTIFICATION, "options": json.loads(text)}})
        case "jpush", "audience":
            return jpush({"platform": "all", "audience": json.loads(text), "notification": {"alert": "x"}})
        case "tpns", "rules":
            return tpns(message(audience_type="tag", tag_rules=json.loads(text)))
        case "tpns", "with":
            return tpns(message(**json.loads(text)))
        case "emas", "tags":
            return push(Target="TAG", TargetValue=text)
        case "emas", "push":
            return push(**json.loads(text))
        case "emas", "task":
            return push_v2(json.loads(text))
    return {"engagelab": engagelab, "jpush": jpush, "tpns": tpns}[vendor](text.encode())


VERBS = ("to", "body", "options", "audience", "rules", "with", "tags", "push", "task", "post")


@pytest.mark.parametrize(
    ("vendor", "verb", "said", "wanted"),
    [
        pytest.param(case.values[0], verb, *case.values[1:], id=f"{verb} {case.id}")
        for verb in VERBS
        for case in cases("sandbox", verb)
    ],
)
def test_a_vendor_answers_as_its_documents_say(vendor, verb, said, wanted):
    desks = desks_of()
    reply = say(desks, vendor, call_of(vendor, verb, said))
    status, _, rest = wanted.partition(" ")
    told = desks.desks[vendor].told.by_id()
    assert reply.status == int(status)
    assert f"{reply.code} {' '.join(told)}".strip() == rest
    assert (reply.devices, set(told.values())) == (len(told), {1} if told else set())
