"""What no page of Braze says is a switch."""

import pytest

from audience import PayloadError, parse, vendor
from audience.vendors import braze

COLOR = {"custom_attribute_name": "eye_color", "comparison": "not_equal", "value": "blue"}


def test_a_text_that_is_not_equal_is_a_not_where_that_is_switched_on(monkeypatch):
    with pytest.raises(PayloadError):
        vendor("braze").parse({"audience": {"custom_attribute": COLOR}})
    monkeypatch.setattr(braze, "NOT_EQUAL_IS_NOT", True)
    assert vendor("braze").parse({"audience": {"custom_attribute": COLOR}}) == parse("NOT eye_color:blue")
