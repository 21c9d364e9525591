"""One body for every vendor: what a message becomes is lines of text in messages/<vendor>.txt, and the parameters of
the vendor's document are those in parameters/<vendor>.txt.

In them `<60 x>` is x sixty times, `<+2d %Y-%m-%d>` the day after tomorrow in Beijing, or in UTC where it ends in Z, and
`*` any key.
"""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from fact_files import load_cases

import audience
from audience import MessageError, get_vendor, vendor_names
from audience.messages import parse_message
from audience.vendors.delivery_spec import Credentials, deep_merge
from audience.vendors.payload_reader import load_json

BEIJING = timezone(timedelta(hours=8))
TIME_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
SENDABLE_VENDORS = [name for name in vendor_names() if get_vendor(name).delivery]
SCHEMA_FILES = sorted(Path(audience.__file__).parent.glob("vendors/*/fields.json"))


def parse_fact_message(text):
    """The message that a line of facts writes."""
    text = re.sub(r"<(\d+) (.)>", lambda found: found[2] * int(found[1]), text)
    return parse_message(json.loads(re.sub(r"<([+-]\d+)([dhms]) ([^>]+)>", _format_timestamp, text)))


def _format_timestamp(match):
    away = timedelta(**{TIME_UNITS[match[2]]: int(match[1])})
    return (datetime.now(UTC if match[3].endswith("Z") else BEIJING) + away).strftime(match[3])


def problem_lines(problems):
    return sorted(f"{problem.code} {problem.path}" for problem in problems)


def test_every_sendable_vendor_has_fact_files():
    for folder in ("messages", "parameters", "replies"):
        assert {file.stem for file in (Path(__file__).parent / folder).glob("*.txt")} == set(SENDABLE_VENDORS)


@pytest.mark.parametrize(("name", "said", "body"), load_cases("messages", "say"))
def test_message_body(name, said, body):
    assert get_vendor(name).delivery.build_body(parse_fact_message(said)) == load_json(body)


@pytest.mark.parametrize(("name", "said", "reasons"), load_cases("messages", "refuse"))
def test_message_is_rejected_with_all_reasons(name, said, reasons):
    with pytest.raises(MessageError) as caught:
        get_vendor(name).delivery.build_body(parse_fact_message(said))
    assert problem_lines(caught.value.problems) == sorted(reasons.split(", "))


@pytest.mark.parametrize(("name", "said", "reasons"), load_cases("messages", "warn"))
def test_message_body_with_warnings(name, said, reasons):
    delivery, spoken = get_vendor(name).delivery, parse_fact_message(said)
    found = problem_lines([*delivery.warnings(delivery.build_body(spoken)), *delivery.unsupported_fields(spoken)])
    assert found == ([] if reasons == "nothing" else sorted(reasons.split(", ")))


@pytest.mark.parametrize(("name", "said", "reasons"), load_cases("messages", "bar"))
def test_method_rejects_message_with_all_reasons(name, said, reasons):
    wanted, _, text = said.partition(" ")
    delivery = get_vendor(name).delivery
    way = next(way for way in delivery.send_methods if way.name == wanted)
    application = Credentials(next(iter(delivery.base_urls.values())), dict.fromkeys(delivery.required_keys, "1"))
    found = problem_lines(
        way.check(delivery.build_body(parse_fact_message(text)), [get_vendor(name).target_ids(["a", "b"])], application)
    )
    assert found == ([] if reasons == "nothing" else sorted(reasons.split(", ")))


@pytest.mark.parametrize(("name", "path", "body"), load_cases("parameters", "say"))
def test_parameter_is_expressible(name, path, body):
    """What stands in `vendor.NAME` is in the body as it is, though there may be more beside it."""
    said = parse_fact_message(f'{{"vendor": {{"{name}": {body}}}}}')
    written, asked = get_vendor(name).delivery.build_body(said), said.vendor[name]
    for key in path.removeprefix("$.").split("."):
        key = next(iter(asked)) if key == "*" else key
        written, asked = written[key], asked[key]
    assert deep_merge({"it": written}, {"it": asked}) == {"it": written}


@pytest.mark.parametrize(("name", "path", "why"), load_cases("parameters", "leave"))
def test_unsupported_parameter_has_reason(name, path, why):
    """What says who is told comes from the expression, and what no page describes is not known."""
    keys = path.removeprefix("$.").split(".")
    said = 1
    for key in reversed(keys):
        said = {key: said}
    with pytest.raises(MessageError) as caught:
        get_vendor(name).delivery.build_body(parse_fact_message(json.dumps({"vendor": {name: said}})))
    assert f"unknown-key {path}" in problem_lines(caught.value.problems)
    assert why


@pytest.mark.parametrize("file", SCHEMA_FILES, ids=lambda file: file.parent.name)
def test_every_schema_field_is_listed(file):
    schema = json.loads(file.read_text("utf-8"))
    listed = {case.values[1] for case in load_cases("parameters", "say") if case.values[0] == file.parent.name}
    assert set(_property_paths(schema, schema, "$")) == listed


def _property_paths(schema, node, path):
    """The paths of all properties of *within*."""
    node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    for key, value in node.get("properties", {}).items():
        yield f"{path}.{key}"
        yield from _property_paths(schema, value, f"{path}.{key}")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _property_paths(schema, node["additionalProperties"], f"{path}.*")
