"""The requests of EngageLab: whom they tell, and whom a live activity can be for."""

import json

import pytest
from test_messages import meant, places

from audience import parse, vendor
from audience.vendors.delivery_spec import Application, Call

ENGAGELAB = vendor("engagelab")
DELIVERY = ENGAGELAB.delivery
APPLICATION = Application("https://x", {"app_key": "k", "master_secret": "s3cret"})
LIST = ENGAGELAB.listing(["r1", "r2"])
LIVE = {"content-state": {"n": 1}, "attributes-type": "la"}


def pushed(body, target, request=DELIVERY.native.request):
    call = Call(targets=(target,), body=body, handle=None, token="t1")
    made = request(call, APPLICATION)
    return made.path, json.loads(made.content)


@pytest.mark.parametrize(
    "text", ["everyone", "a AND NOT b", "registration_id(r1, r2)", "live_activity_id(LiveActivity1)"]
)
def test_the_target_stands_beside_the_body(text):
    target, body = ENGAGELAB.emit(parse(text)), {"from": "push", "body": {"platform": "all"}}
    said = {"request_id": "t1", **body, **target}
    assert pushed(body, target) == ("/v4/push", said)
    assert pushed(body, target, DELIVERY.dry_run) == ("/v4/push/validate", said)


def test_an_id_of_the_request_that_is_given_stays():
    assert pushed({"request_id": "mine"}, LIST)[1]["request_id"] == "mine"


def test_every_call_counts_for_the_500_a_second():
    paces = {way.paces((LIST,)) for way in (DELIVERY.native, *DELIVERY.ways)}
    ((pace,),) = paces
    assert (pace.calls, pace.seconds) == (500, 1.0)


@pytest.mark.parametrize(
    ("event", "text", "reasons"),
    [
        ("start", "everyone", []),
        ("start", "registration_id(r1, r2)", []),
        ("start", "vip", ["no-such-target $.body.live_activity"]),
        ("start", "vip AND registration_id(r1)", ["no-such-target $.body.live_activity"]),
        ("update", "live_activity_id(la1)", []),
        ("update", "everyone", ["no-such-target $.body.live_activity"]),
        ("end", "registration_id(r1)", ["no-such-target $.body.live_activity"]),
    ],
)
def test_a_live_activity_is_for_some_targets_alone(event, text, reasons):
    said = json.dumps({"body": {"live_activity": {"ios": {"event": event, **LIVE}}}})
    body = DELIVERY.body(meant(f'{{"platforms": ["ios"], "vendor": {{"engagelab": {said}}}}}'))
    assert places(DELIVERY.native.refuses(body, (ENGAGELAB.emit(parse(text)),), APPLICATION)) == reasons
