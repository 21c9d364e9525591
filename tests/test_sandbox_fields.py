"""The checker of request fields by tables of lines, against what each rule says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.sandbox.field_checks import find_field_problem, load_field_table, parse_field_table, parse_field_texts

TABLE = """
name       text required nonempty bytes<=6
size       integer/text 0..9
share      number 0..1
style      text =a|b
level      integer =1|2
on         boolean
extras     json object
lines      json list items<=2
link       text https
word       text ~ [a-z]+
tags       list items<=2
tags[]     text chars<=3
channels   list
channels[] object
channels[].name text required
makers     object
makers.*   object
makers.*.mode text required
inner      object
inner.deep integer
free       map
whole      any
when style=b need link or word
when on=true never share
when inner.deep need level=2
"""


@pytest.mark.parametrize(
    ("request_text", "problem"),
    [
        ('{"name": "a"}', ""),
        ("{}", "missing name"),
        ('{"name": null}', "missing name"),
        ('{"name": ""}', "empty name"),
        ('{"name": "时时时"}', "bytes name"),
        ('{"name": 5}', "type name"),
        ('{"name": "a", "nam": "b"}', "unknown nam"),
        ('{"name": "a", "size": 9}', ""),
        ('{"name": "a", "size": "9"}', ""),
        ('{"name": "a", "size": 10}', "range size"),
        ('{"name": "a", "size": true}', "type size"),
        ('{"name": "a", "size": 1.0}', "type size"),
        ('{"name": "a", "share": 0.5}', ""),
        ('{"name": "a", "share": -0.1}', "range share"),
        ('{"name": "a", "style": "c"}', "value style"),
        ('{"name": "a", "level": 2}', ""),
        ('{"name": "a", "level": 3}', "value level"),
        ('{"name": "a", "on": "true"}', "type on"),
        ('{"name": "a", "extras": "{}"}', ""),
        ('{"name": "a", "extras": "[]"}', "json extras"),
        ('{"name": "a", "extras": "{"}', "json extras"),
        ('{"name": "a", "extras": {}}', "type extras"),
        ('{"name": "a", "lines": "[1, 2]"}', ""),
        ('{"name": "a", "lines": "[1, 2, 3]"}', "items lines"),
        ('{"name": "a", "link": "http://x"}', "pattern link"),
        ('{"name": "a", "word": "ab1"}', "pattern word"),
        ('{"name": "a", "tags": ["abcd"]}', "chars tags[0]"),
        ('{"name": "a", "tags": ["a", "b", "c"]}', "items tags"),
        ('{"name": "a", "channels": [{"name": "hw"}, {}]}', "missing channels[1].name"),
        ('{"name": "a", "channels": [{"name": "hw", "x": 1}]}', "unknown channels[0].x"),
        ('{"name": "a", "makers": {"hw": {"mode": "m"}, "any": {}}}', "missing makers.any.mode"),
        ('{"name": "a", "inner": {"deep": 1}}', "missing level"),
        ('{"name": "a", "inner": {"deep": 1}, "level": 1}', "value level"),
        ('{"name": "a", "inner": {"deep": 1}, "level": 2}', ""),
        ('{"name": "a", "inner": {"dep": 1}}', "unknown inner.dep"),
        ('{"name": "a", "free": {"x": [1]}, "whole": {"y": 2}}', ""),
        ('{"name": "a", "free": []}', "type free"),
        ('{"name": "a", "style": "b"}', "missing link"),
        ('{"name": "a", "style": "b", "word": "x"}', ""),
        ('{"name": "a", "on": true, "share": 0}', "value share"),
        ('{"name": "a", "on": false, "share": 0}', ""),
    ],
)
def test_first_broken_rule_is_found(request_text, problem):
    found = find_field_problem(json.loads(request_text), parse_field_table(TABLE))
    assert (f"{found.kind} {found.path}" if found else "") == problem


@given(
    st.dictionaries(st.text(max_size=8), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
)
def test_any_json_is_checked_without_a_crash(request_fields):
    find_field_problem(request_fields, parse_field_table(TABLE))


@given(st.dictionaries(st.sampled_from(["name", "size", "share", "on"]), st.text(max_size=6)))
def test_texts_become_values_or_stay(texts):
    values = parse_field_texts(texts, parse_field_table("name text\nsize integer\nshare number\non boolean"))
    assert {name: str(value).lower() for name, value in values.items() if name in ("name", "on")} == {
        name: text.lower() for name, text in texts.items() if text and name in ("name", "on")
    }
    assert values.keys() == {name for name, text in texts.items() if text}


@pytest.mark.parametrize("line", ["a word", "a text <=5", "when a needs b", "when a need"])
def test_line_that_cannot_be_read_is_an_error(line):
    with pytest.raises(ValueError, match=r"unknown|expected"):
        parse_field_table(line)


def test_table_file_is_read_once(tmp_path):
    file = tmp_path / "fields.txt"
    file.write_text("a text")
    assert load_field_table(file) is load_field_table(file)
