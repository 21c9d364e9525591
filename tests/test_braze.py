"""What is read from Braze is said to the vendors that can say it."""

import pytest

from audience import PayloadWarning, equivalent, get_vendor, parse, translate


def filter_of(name: str, comparison: str, value) -> dict:
    return {"audience": {"custom_attribute": {"custom_attribute_name": name, "comparison": comparison, "value": value}}}


def test_comparison_is_native_where_numbers_are_compared():
    [said] = translate(filter_of("points", "greater_than", 100), "braze", "airship").native
    assert said == {"audience": {"attribute": "points", "operator": "greater", "value": 100}}


def test_less_than_keeps_users_without_a_value():
    with pytest.warns(PayloadWarning, match="users without a value match too"):
        [said] = translate(filter_of("points", "less_than", 100), "braze", "airship").native
    assert equivalent(get_vendor("airship").parse(said), parse("NOT has(points) OR points < 100"))


@pytest.mark.parametrize("target", ["onesignal", "airship", "engagelab"])
def test_external_user_ids_are_ids_of_the_customer(target):
    [said] = translate({"external_user_ids": ["u1", "u2"]}, "braze", target).native
    assert equivalent(get_vendor(target).parse(said), parse("alias(u1, u2)"))


def test_own_attribute_is_not_the_version_of_an_app():
    result = translate(filter_of("version", "equals", "gold"), "braze", "tpns")
    assert "xg_auto_version" not in str(result.native)
