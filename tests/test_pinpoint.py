"""What no page of Pinpoint says is a switch; a catalog gives what it calls things their names here."""

import pytest

from audience import PayloadError, parse, translate, vendor
from audience.planning.catalog.check import check
from audience.planning.catalog.loader import loads
from audience.vendors import pinpoint

EMAIL = {"Demographic": {"Channel": {"DimensionType": "INCLUSIVE", "Values": ["EMAIL"]}}}
RUNNERS = {"UserAttributes": {"runnersMonthly": {"AttributeType": "INCLUSIVE", "Values": ["EMAIL"]}}}
SEGMENT = {"SegmentGroups": {"Groups": [{"Dimensions": [EMAIL, RUNNERS]}], "Include": "ALL"}}


@pytest.mark.parametrize(("word", "meaning"), [("ALL", "AND"), ("ANY", "OR")])
def test_dimensions_are_joined_without_a_word_where_that_is_switched_on(monkeypatch, word, meaning):
    with pytest.raises(PayloadError):
        vendor("pinpoint").parse(SEGMENT)
    monkeypatch.setattr(pinpoint, "JOINED_BY_DEFAULT", word)
    meant = parse(f"channel_type:EMAIL {meaning} user.runnersMonthly:EMAIL")
    assert vendor("pinpoint").parse(SEGMENT) == meant


def test_a_catalog_names_what_is_read():
    names = "names.pinpoint = 'user.runnersMonthly:{value}'\nnames.engagelab = 'runner_{value}'"
    catalog = check(loads(f"[runner]\n{names}\n[reached]\nnames.pinpoint = 'channel_type:{{value}}'"))
    [said] = translate({"Dimensions": RUNNERS}, "pinpoint", "engagelab", catalog).native
    assert said == {"to": {"tag": ["runner_EMAIL"]}}
    assert translate({"Dimensions": EMAIL}, "pinpoint", "engagelab", catalog).expr == parse("reached:EMAIL")
