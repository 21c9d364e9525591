"""Message bodies of every vendor, from the lines in messages/<vendor>.txt and parameters/<vendor>.txt.

In them `<60 x>` is 60 times x, `<+2d %Y-%m-%d>` is the day after tomorrow in Beijing (in UTC if the format ends in
Z), and `*` is any key.
"""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from fact_files import load_cases

import audience
from audience import MessageError, get_vendor, vendor_names
from audience.messages import merge_patch, parse_message
from audience.vendors.delivery_spec import Credentials
from audience.vendors.engagelab.localization import LANGUAGE_CODES
from audience.vendors.payload_reader import load_json

BEIJING = timezone(timedelta(hours=8))
TIME_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
SENDABLE_VENDORS = [name for name in vendor_names() if get_vendor(name).delivery]
SCHEMA_FILES = sorted(Path(audience.__file__).parent.glob("vendors/*/fields.json"))


def parse_fact_message(text):
    """Return the message in a line of facts."""
    text = re.sub(r"<(\d+) (.)>", lambda match: match[2] * int(match[1]), text)
    return parse_message(json.loads(re.sub(r"<([+-]\d+)([dhms]) ([^>]+)>", _format_timestamp, text)))


def _format_timestamp(match):
    offset = timedelta(**{TIME_UNITS[match[2]]: int(match[1])})
    return (datetime.now(UTC if match[3].endswith("Z") else BEIJING) + offset).strftime(match[3])


def problem_lines(problems):
    return sorted(f"{problem.code} {problem.path}" for problem in problems)


def test_every_sendable_vendor_has_fact_files():
    for folder in ("messages", "parameters", "replies", "message_places"):
        assert {file.stem for file in (Path(__file__).parent / folder).glob("*.txt")} == set(SENDABLE_VENDORS)


@pytest.mark.parametrize(("name", "message", "body"), load_cases("messages", "say"))
def test_message_becomes_the_documented_body(name, message, body):
    assert get_vendor(name).delivery.build_body(parse_fact_message(message)) == load_json(body)


@pytest.mark.parametrize(("name", "message", "reasons"), load_cases("messages", "refuse"))
def test_message_is_rejected_with_all_reasons(name, message, reasons):
    with pytest.raises(MessageError) as caught:
        get_vendor(name).delivery.build_body(parse_fact_message(message))
    assert problem_lines(caught.value.problems) == sorted(reasons.split(", "))


@pytest.mark.parametrize(("name", "message", "reasons"), load_cases("messages", "warn"))
def test_message_body_with_warnings(name, message, reasons):
    delivery, parsed = get_vendor(name).delivery, parse_fact_message(message)
    problems = problem_lines([*delivery.warnings(delivery.build_body(parsed)), *delivery.unsupported_fields(parsed)])
    assert problems == ([] if reasons == "nothing" else sorted(reasons.split(", ")))


@pytest.mark.parametrize(("name", "message", "reasons"), load_cases("messages", "bar"))
def test_method_rejects_message_with_all_reasons(name, message, reasons):
    method_name, _, text = message.partition(" ")
    delivery = get_vendor(name).delivery
    method = next(method for method in delivery.send_methods if method.name == method_name)
    credentials = Credentials(next(iter(delivery.base_urls.values())), dict.fromkeys(delivery.required_keys, "1"))
    problems = problem_lines(
        method.check(
            delivery.build_body(parse_fact_message(text)), [get_vendor(name).target_ids(["a", "b"])], credentials
        )
    )
    assert problems == ([] if reasons == "nothing" else sorted(reasons.split(", ")))


@pytest.mark.parametrize(("name", "path", "body"), load_cases("parameters", "say"))
def test_parameter_is_expressible(name, path, body):
    """The body contains what `vendor.NAME` has, possibly with more beside it."""
    message = parse_fact_message(f'{{"vendor": {{"{name}": {body}}}}}')
    actual, expected = get_vendor(name).delivery.build_body(message), message.vendor[name]
    for key in path.removeprefix("$.").split("."):
        key = next(iter(expected)) if key == "*" else key
        actual, expected = actual[key], expected[key]
    assert merge_patch({"it": actual}, {"it": expected}) == {"it": actual}


@pytest.mark.parametrize(("name", "path", "why"), load_cases("parameters", "leave"))
def test_unsupported_parameter_has_reason(name, path, why):
    """The expression decides who receives the message, and undocumented parameters are unknown."""
    keys = path.removeprefix("$.").split(".")
    body = 1
    for key in reversed(keys):
        body = {key: body}
    with pytest.raises(MessageError) as caught:
        get_vendor(name).delivery.build_body(parse_fact_message(json.dumps({"vendor": {name: body}})))
    assert f"unknown-key {path}" in problem_lines(caught.value.problems)
    assert why


@pytest.mark.parametrize("file", SCHEMA_FILES, ids=lambda file: file.parent.name)
def test_every_schema_field_is_listed(file):
    schema = json.loads(file.read_text("utf-8"))
    listed = {case.values[1] for case in load_cases("parameters", "say") if case.values[0] == file.parent.name}
    assert set(_property_paths(schema, schema, "$")) == listed


def _property_paths(schema, node, path):
    """Yield the paths of all properties of *node*."""
    node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    for key, value in node.get("properties", {}).items():
        yield f"{path}.{key}"
        yield from _property_paths(schema, value, f"{path}.{key}")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _property_paths(schema, node["additionalProperties"], f"{path}.*")


def test_languages_of_engagelab_are_those_of_its_schema():
    schema = json.loads((Path(audience.__file__).parent / "vendors/engagelab/fields.json").read_text("utf-8"))
    assert json.dumps(sorted(LANGUAGE_CODES)) in find_enums(schema)


def find_enums(node):
    """Return the lists of values of a schema, sorted, as JSON."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    enum = node.get("enum") if isinstance(node, dict) else None
    own = {json.dumps(sorted(enum, key=str))} if isinstance(enum, list) else set()
    return own.union(*map(find_enums, children))
