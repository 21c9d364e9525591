"""Faults on demand, over real connections; what testers ask the sandbox itself; the command."""

import pytest
from vendor_calls import NOTIFICATION, desks_of, engagelab, say

from audience.errors import DeliveryError
from audience.sandbox import Fault
from audience.sandbox.desks import entries, summary


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("drop:0.1", Fault("drop", share=0.1)),
        ("error=503:/2@emas/MassPush", Fault("error", "503", "emas", "MassPush", every=2)),
        ("late=0.5:#1@tpns/package/upload", Fault("late", "0.5", "tpns", "package/upload", nth=1)),
        ("refuse=Invalid.Parameter@emas", Fault("refuse", "Invalid.Parameter", "emas")),
    ],
)
def test_faults_are_written_in_one_word(text, wanted):
    assert Fault.read(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "burn", "drop:2", "drop:#0", "delay", "delay=x", "error=404", "drop:#1:/2", "drop@", "drop 0.1"]
)
def test_what_is_no_fault_is_refused(text):
    with pytest.raises(DeliveryError):
        Fault.read(text)


@pytest.mark.parametrize(
    ("fault", "codes", "told"),
    [
        ("refuse=20101:#2", ["", "20101", ""], 2),
        ("fast:/2", ["", "23008", ""], 2),
        ("error=503:#1", ["21030", "", ""], 2),
        ("error-after:#1", ["27000", "", ""], 3),
        ("refuse:#1@tpns", ["", "", ""], 3),
        ("refuse:#1@engagelab/push/validate", ["", "", ""], 3),
        ("refuse:1", ["21003"] * 3, 0),
        ("refuse:0", [""] * 3, 3),
    ],
)
def test_a_fault_meets_the_requests_that_it_picks(fault, codes, told):
    desks = desks_of()
    desks.faults = type(desks.faults)([Fault.read(fault)])
    call = engagelab({"to": {"registration_id": ["r1"]}, "body": NOTIFICATION})
    assert [say(desks, "engagelab", call).code for _ in codes] == codes
    assert desks.desks["engagelab"].told.by_id().get("r1", 0) == told


def test_faults_by_chance_are_the_same_for_the_same_seed():
    def hits(seed):
        faults = type(desks_of().faults)([Fault.read("drop:0.3", seed)])
        return [bool(faults.pick("tpns", "/v3/push/app")) for _ in range(1_000)]

    assert hits(1) == hits(1) != hits(2)
    assert 250 < sum(hits(1)) < 350


def test_the_log_tells_what_was_called():
    desks = desks_of()
    call = engagelab({"to": {"tag": ["a"]}, "body": NOTIFICATION})
    reply = say(desks, "engagelab", call)
    desks.write("engagelab", call, reply, [])
    [entry] = entries(desks, "engagelab")
    assert (entry["endpoint"], entry["status"], entry["devices"], entry["message"]) == (
        "/v4/push",
        200,
        2,
        reply.message,
    )
    assert entries(desks, "tpns") == []
    desks.reset()
    assert (entries(desks), summary(desks, "engagelab")["told"]) == ([], 0)
