"""A NOT that no page of a vendor explains goes by ids, and goes back to that vendor if it came from there."""

import pytest

from audience import get_vendor, plan, translate, vendor_names

NOT_BEIJING = {"type": "groupcast", "filter": {"where": {"and": [{"not": {"province": "北京"}}]}}}


def test_own_not_goes_by_ids():
    planned = plan("vip AND NOT province:北京", "umeng")
    assert planned.native == ()
    assert [problem.code for problem in planned.reasons] == ["undocumented-not"]


def test_documented_not_is_native():
    assert plan("NOT vip", "umeng").native == (
        {"type": "groupcast", "filter": {"where": {"and": [{"not": {"tag": "vip"}}]}}},
    )


def test_not_of_a_payload_goes_back_with_an_assumption():
    planned = translate(NOT_BEIJING, "umeng", "umeng")
    assert planned.native == (NOT_BEIJING,)
    assert "undocumented-not" in [problem.code for problem in planned.assumptions]


@pytest.mark.parametrize("name", [name for name in vendor_names(can="emit") if get_vendor(name).undocumented_nots])
def test_every_such_type_is_one_of_the_vendor(name):
    vendor = get_vendor(name)
    assert vendor.undocumented_nots <= vendor.builtins.keys()
