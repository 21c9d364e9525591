"""What no page of Pinpoint says is read with a warning; a catalog gives what it calls things their names here."""

import pytest

from audience import PayloadWarning, get_vendor, parse, translate
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog

EMAIL_DIMENSION = {"Demographic": {"Channel": {"DimensionType": "INCLUSIVE", "Values": ["EMAIL"]}}}
RUNNER_DIMENSION = {"UserAttributes": {"runnersMonthly": {"AttributeType": "INCLUSIVE", "Values": ["EMAIL"]}}}
SEGMENT = {"SegmentGroups": {"Groups": [{"Dimensions": [EMAIL_DIMENSION, RUNNER_DIMENSION]}], "Include": "ALL"}}


def test_dimensions_without_type_are_read_as_the_narrowest_with_a_warning():
    with pytest.warns(PayloadWarning, match="without Type, whose default is not documented"):
        meant = get_vendor("pinpoint").parse(SEGMENT)
    assert meant == parse("channel_type:EMAIL AND user.runnersMonthly:EMAIL")


def test_catalog_names_parsed_attributes():
    names = "names.pinpoint = 'user.runnersMonthly:{value}'\nnames.engagelab = 'runner_{value}'"
    catalog = validate_catalog(
        parse_catalog(f"[runner]\n{names}\n[reached]\nnames.pinpoint = 'channel_type:{{value}}'")
    )
    [said] = translate({"Dimensions": RUNNER_DIMENSION}, "pinpoint", "engagelab", catalog).native
    assert said == {"to": {"tag": ["runner_EMAIL"]}}
    assert translate({"Dimensions": EMAIL_DIMENSION}, "pinpoint", "engagelab", catalog).expr == parse("reached:EMAIL")
