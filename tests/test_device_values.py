"""Zones and languages of devices, as tables write them: facts in `device_values`."""

from datetime import timedelta
from zoneinfo import available_timezones

import pytest
from fact_files import load_cases
from hypothesis import given
from hypothesis import strategies as st

from audience import ExpressionError
from audience.language.language_tags import match_language, normalize_language
from audience.language.zone_names import load_named_zone, normalize_zone_name


@pytest.mark.parametrize(("_", "text", "name"), load_cases("device_values", "zone"))
def test_zone_is_read_under_its_canonical_name_or_refused(_, text, name):
    assert (normalize_zone_name(text) or "-") == name
    if name == "-":
        with pytest.raises(ExpressionError, match="unknown time zone"):
            load_named_zone(text)
    else:
        assert load_named_zone(text) == load_named_zone(name)


@pytest.mark.parametrize("name", sorted(available_timezones() - {"Factory", "localtime"}))
def test_every_zone_is_found_in_any_case(name):
    assert normalize_zone_name(name) == normalize_zone_name(name.upper()) == normalize_zone_name(f" {name} ") == name


@given(st.integers(-12 * 60, 14 * 60), st.sampled_from(["{}{:02}:{:02}", "{}{:02}{:02}", "GMT{}{}:{:02}"]))
def test_offset_in_any_style_is_a_zone_of_that_offset(minutes, style):
    text = style.format("-" if minutes < 0 else "+", *divmod(abs(minutes), 60))
    name = normalize_zone_name(text)
    assert name is not None
    assert normalize_zone_name(name) == name
    assert load_named_zone(name).utcoffset(None) in (timedelta(minutes=minutes), None)  # None of the zone UTC


@given(st.text())
def test_any_text_is_a_zone_or_none(text):
    name = normalize_zone_name(text)
    assert name is None or normalize_zone_name(name) == name


@pytest.mark.parametrize(("_", "text", "tag"), load_cases("device_values", "tag"))
def test_language_is_read_in_any_spelling(_, text, tag):
    assert (normalize_language(text) or "-") == tag


@given(st.text() | st.from_regex(r"[a-z]{2,3}([-_][A-Za-z]{4})?([-_][A-Z]{2})?", fullmatch=True))
def test_any_text_is_a_language_or_none(text):
    tag = normalize_language(text)
    assert tag is None or normalize_language(tag) == tag


@pytest.mark.parametrize(("_", "tags", "expected"), load_cases("device_values", "match"))
def test_device_gets_the_nearest_language(_, tags, expected):
    device, *languages = tags.split()
    assert (match_language(device, languages) or "-") == expected
