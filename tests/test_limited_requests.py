"""A limit chooses among the devices that can be sent to, so that as many are sent as were asked for."""

import json

import polars as pl
import pytest

from audience import DeviceIndex, plan
from audience.requests.campaign import plan_campaign, write_campaign
from audience.requests.writer import write_requests


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index of 40 devices, of which the even ones have a token of TPNS and every fourth one of FCM."""
    numbers = range(40)
    table = pl.DataFrame(
        {
            "device_id": [f"d{number}" for number in numbers],
            "tpns_token": [f"t{number}" if number % 2 == 0 else None for number in numbers],
            "fcm_token": [f"f{number}" if number % 4 == 0 else None for number in numbers],
            "tags": [["vip"] if number < 30 else [] for number in numbers],
            "spend": list(numbers),
        }
    )
    return DeviceIndex.build(table, tmp_path_factory.mktemp("limited") / "index")


def sent_tokens(found):
    return {token for payload in found.requests() for token in payload["token_list"]}


def test_limit_is_filled_with_devices_that_have_an_id(index, tmp_path):
    found = plan("vip limit 10 seed summer", "tpns", index)
    sent = sent_tokens(found)
    assert len(sent) == 10
    assert sent == sent_tokens(plan("(vip AND has(tpns_token)) limit 10 seed summer", "tpns", index))
    result = write_requests(found, index, tmp_path / "requests")
    assert (result.devices, result.id_count) == (10, 10)
    assert result.skipped_count == len(index.resolve("vip limit 10 seed summer") - index.resolve("has(tpns_token)"))


def test_larger_limit_sends_to_all_who_have_an_id(index):
    assert len(sent_tokens(plan("vip limit 1000 seed summer", "tpns", index))) == 15


def test_top_is_filled_with_devices_that_have_an_id(index):
    assert sent_tokens(plan("everyone top 3 by spend", "tpns", index)) == {"t38", "t36", "t34"}
    assert sent_tokens(plan("vip bottom 2 by spend", "tpns", index)) == {"t0", "t2"}


def test_inner_limit_stays_what_it_is(index):
    inner = index.resolve("vip limit 10 seed summer")
    found = plan("(vip limit 10 seed summer) AND has(spend)", "tpns", index)
    assert sent_tokens(found) == set(inner.ids("tpns").drop_nulls())


def test_campaign_fills_limit_with_devices_that_any_vendor_reaches(index, tmp_path):
    campaign = plan_campaign("vip limit 12 seed summer", ["fcm", "tpns"], index)
    assert sum(share.assigned for share in campaign.shares) == 12
    wanted = index.resolve("(vip AND (has(tpns_token) OR has(fcm_token))) limit 12 seed summer")
    assert {len(wanted)} == {12}
    write_campaign(campaign, tmp_path / "campaign")
    lines = [
        json.loads(line)
        for file in sorted((tmp_path / "campaign").glob("tpns/requests-*.ndjson"))
        for line in file.read_text().splitlines()
    ]
    tokens = {token for line in lines for token in line["token_list"]}
    assert tokens == set((wanted - index.resolve("has(fcm_token)")).ids("tpns"))
    assert campaign.unreachable_count == len(
        index.resolve("vip limit 12 seed summer") - index.resolve("has(tpns_token)")
    )
