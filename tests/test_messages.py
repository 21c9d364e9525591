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
from fact_files import cases

import audience
from audience import MessageError, vendor, vendors
from audience.messages import message
from audience.vendors.delivery_spec import Application, merged
from audience.vendors.payload_reader import load

BEIJING = timezone(timedelta(hours=8))
UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
SENT = [name for name in vendors() if vendor(name).delivery]
SCHEMAS = sorted(Path(audience.__file__).parent.glob("vendors/*/fields.json"))


def meant(text):
    """The message that a line of facts writes."""
    text = re.sub(r"<(\d+) (.)>", lambda found: found[2] * int(found[1]), text)
    return message(json.loads(re.sub(r"<([+-]\d+)([dhms]) ([^>]+)>", _moment, text)))


def _moment(found):
    away = timedelta(**{UNITS[found[2]]: int(found[1])})
    return (datetime.now(UTC if found[3].endswith("Z") else BEIJING) + away).strftime(found[3])


def places(problems):
    return sorted(f"{problem.code} {problem.path}" for problem in problems)


def test_every_vendor_that_is_sent_to_has_files_of_facts():
    for folder in ("messages", "parameters", "replies"):
        assert {file.stem for file in (Path(__file__).parent / folder).glob("*.txt")} == set(SENT)


@pytest.mark.parametrize(("name", "said", "body"), cases("messages", "say"))
def test_a_message_is_said(name, said, body):
    assert vendor(name).delivery.body(meant(said)) == load(body)


@pytest.mark.parametrize(("name", "said", "reasons"), cases("messages", "refuse"))
def test_a_message_is_refused_for_all_these_reasons(name, said, reasons):
    with pytest.raises(MessageError) as caught:
        vendor(name).delivery.body(meant(said))
    assert places(caught.value.problems) == sorted(reasons.split(", "))


@pytest.mark.parametrize(("name", "said", "reasons"), cases("messages", "warn"))
def test_a_message_is_said_with_all_these_warnings(name, said, reasons):
    delivery, spoken = vendor(name).delivery, meant(said)
    found = places([*delivery.warnings(delivery.body(spoken)), *delivery.lost(spoken)])
    assert found == ([] if reasons == "nothing" else sorted(reasons.split(", ")))


@pytest.mark.parametrize(("name", "said", "reasons"), cases("messages", "bar"))
def test_a_way_cannot_carry_a_message_to_two_ids_for_all_these_reasons(name, said, reasons):
    wanted, _, text = said.partition(" ")
    delivery = vendor(name).delivery
    way = next(way for way in delivery.ways if way.name == wanted)
    application = Application(next(iter(delivery.hosts.values())), dict.fromkeys(delivery.keys, "1"))
    found = places(way.refuses(delivery.body(meant(text)), [vendor(name).listing(["a", "b"])], application))
    assert found == ([] if reasons == "nothing" else sorted(reasons.split(", ")))


@pytest.mark.parametrize(("name", "path", "body"), cases("parameters", "say"))
def test_a_parameter_can_be_said(name, path, body):
    """What stands in `vendor.NAME` is in the body as it is, though there may be more beside it."""
    said = meant(f'{{"vendor": {{"{name}": {body}}}}}')
    written, asked = vendor(name).delivery.body(said), said.vendor[name]
    for key in path.removeprefix("$.").split("."):
        key = next(iter(asked)) if key == "*" else key
        written, asked = written[key], asked[key]
    assert merged({"it": written}, {"it": asked}) == {"it": written}


@pytest.mark.parametrize(("name", "path", "why"), cases("parameters", "leave"))
def test_a_parameter_is_left_out_for_a_reason(name, path, why):
    """What says who is told comes from the expression, and what no page describes is not known."""
    keys = path.removeprefix("$.").split(".")
    said = 1
    for key in reversed(keys):
        said = {key: said}
    with pytest.raises(MessageError) as caught:
        vendor(name).delivery.body(meant(json.dumps({"vendor": {name: said}})))
    assert f"unknown-key {path}" in places(caught.value.problems)
    assert why


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.parent.name)
def test_every_field_of_a_schema_is_listed(file):
    schema = json.loads(file.read_text("utf-8"))
    listed = {case.values[1] for case in cases("parameters", "say") if case.values[0] == file.parent.name}
    assert set(_paths(schema, schema, "$")) == listed


def _paths(schema, within, path):
    """The paths of all properties of *within*."""
    within = schema["$defs"][within["$ref"].rpartition("/")[2]] if "$ref" in within else within
    for key, value in within.get("properties", {}).items():
        yield f"{path}.{key}"
        yield from _paths(schema, value, f"{path}.{key}")
    if isinstance(within.get("additionalProperties"), dict):
        yield from _paths(schema, within["additionalProperties"], f"{path}.*")
