"""What no page of Pinpoint says is a switch; a catalog gives what it calls things their names here."""

import pytest

from audience import PayloadError, get_vendor, parse, translate
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.vendors import pinpoint

EMAIL_DIMENSION = {"Demographic": {"Channel": {"DimensionType": "INCLUSIVE", "Values": ["EMAIL"]}}}
RUNNER_DIMENSION = {"UserAttributes": {"runnersMonthly": {"AttributeType": "INCLUSIVE", "Values": ["EMAIL"]}}}
SEGMENT = {"SegmentGroups": {"Groups": [{"Dimensions": [EMAIL_DIMENSION, RUNNER_DIMENSION]}], "Include": "ALL"}}


@pytest.mark.parametrize(("word", "meaning"), [("ALL", "AND"), ("ANY", "OR")])
def test_dimensions_without_type_are_joined_when_enabled(monkeypatch, word, meaning):
    with pytest.raises(PayloadError):
        get_vendor("pinpoint").parse(SEGMENT)
    monkeypatch.setattr(pinpoint, "DEFAULT_JOIN_TYPE", word)
    meant = parse(f"channel_type:EMAIL {meaning} user.runnersMonthly:EMAIL")
    assert get_vendor("pinpoint").parse(SEGMENT) == meant


def test_catalog_names_parsed_attributes():
    names = "names.pinpoint = 'user.runnersMonthly:{value}'\nnames.engagelab = 'runner_{value}'"
    catalog = validate_catalog(
        parse_catalog(f"[runner]\n{names}\n[reached]\nnames.pinpoint = 'channel_type:{{value}}'")
    )
    [said] = translate({"Dimensions": RUNNER_DIMENSION}, "pinpoint", "engagelab", catalog).native
    assert said == {"to": {"tag": ["runner_EMAIL"]}}
    assert translate({"Dimensions": EMAIL_DIMENSION}, "pinpoint", "engagelab", catalog).expr == parse("reached:EMAIL")
