"""What no page of Braze says is a switch."""

import pytest

from audience import PayloadError, get_vendor, parse
from audience.vendors import braze

COLOR_FILTER = {"custom_attribute_name": "eye_color", "comparison": "not_equal", "value": "blue"}


def test_not_equal_parses_as_not_when_enabled(monkeypatch):
    with pytest.raises(PayloadError):
        get_vendor("braze").parse({"audience": {"custom_attribute": COLOR_FILTER}})
    monkeypatch.setattr(braze, "NOT_EQUAL_IS_NOT", True)
    assert get_vendor("braze").parse({"audience": {"custom_attribute": COLOR_FILTER}}) == parse("NOT eye_color:blue")
