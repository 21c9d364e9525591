"""Amazon Pinpoint: a segment, groups of dimensions. Read only: support ended on 2026-10-30.

https://docs.aws.amazon.com/goto/aws-cli/pinpoint-2016-12-01/UpdateSegment, read 2026-11-21.

Attributes of a device have the type of their name, those of a user `user.NAME`, and metrics `metric.NAME`. What only
Pinpoint can evaluate is a reference: other segments and imported ones, and places. Recency counts back from now in
hours: `active within 168 hours`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

from audience.algebra.equivalence import equivalent
from audience.language.ast import (
    Between,
    Compare,
    CompareOp,
    Expr,
    Matches,
    Not,
    Reference,
    Relative,
    Tag,
    all_of,
    any_of,
)
from audience.language.attribute_names import OWN_KEY_PREFIX, own_key_type
from audience.language.patterns import escape_pattern
from audience.language.windows import Period
from audience.vendors.payload_reader import PayloadCursor, format_number
from audience.vendors.spec import Vendor, VendorLimit

PAGE = "https://docs.aws.amazon.com/goto/aws-cli/pinpoint-2016-12-01/UpdateSegment"
QUOTAS_DOCS = "https://docs.aws.amazon.com/pinpoint/latest/developerguide/quotas.html"

LIMITS = {"dimensions": VendorLimit(100, QUOTAS_DOCS)}  # the quota of 50 values applies to a device's attribute

JOIN_FUNCTIONS: dict[str, Callable[[Sequence[Expr]], Expr]] = {
    "ALL": all_of,
    "ANY": any_of,
    "NONE": lambda terms: Not(any_of(terms)),
}
DEMOGRAPHIC_TYPES = {
    "AppVersion": "version",
    "Channel": "channel_type",
    "DeviceType": "device_type",
    "Make": "brand",
    "Model": "model",
    "Platform": "platform",
}
METRIC_COMPARE_OPS: dict[str, CompareOp] = {
    "GREATER_THAN": ">",
    "GREATER_THAN_OR_EQUAL": ">=",
    "LESS_THAN": "<",
    "LESS_THAN_OR_EQUAL": "<=",
}
RESERVED_PREFIXES = ("metric.", "user.")
ATTRIBUTE_TYPES = ("INCLUSIVE", "EXCLUSIVE", "CONTAINS", "BEFORE", "AFTER", "ON", "BETWEEN")
DATE_COMPARE_OPS: dict[str, CompareOp] = {"BEFORE": "<", "AFTER": ">"}
DAY_FORMAT = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
RECENCY_TYPES = ("ACTIVE", "INACTIVE")
HOURS_BY_DURATION = {"HR_24": 24, "DAY_7": 7 * 24, "DAY_14": 14 * 24, "DAY_30": 30 * 24}
ACTIVE = "active"  # type of the moment of the last activity


def parse(payload: Any) -> Expr:
    """Parse a segment: the input of `update-segment`, or the output of `get-segment`.

    A custom attribute is a tag of its name; user attributes are `user.NAME`, metrics `metric.NAME`.

    >>> from audience.language.printer import render
    >>> team = {"Team": {"AttributeType": "INCLUSIVE", "Values": ["Lakers", "Bulls"]}}
    >>> render(parse({"SegmentGroups": {"Include": "ALL", "Groups": [{"Dimensions": [{"Attributes": team}]}]}}))
    'Team:Lakers OR Team:Bulls'
    """
    request = PayloadCursor(payload).json_object()
    wrapper = next((key for key in ("SegmentResponse", "WriteSegmentRequest") if key in request), None)
    segment = request[wrapper] if wrapper else request
    if not segment["ImportDefinition"].is_absent or segment["SegmentType"].value == "IMPORT":
        return _parse_import(segment)
    exprs = []
    if not segment["SegmentGroups"].is_absent:
        exprs.append(_parse_groups(segment["SegmentGroups"]))
    if not segment["Dimensions"].is_absent:
        exprs.append(all_of(_parse_dimensions(segment["Dimensions"])))
    if not exprs:
        hint = 'the targeting object is {"SegmentGroups": …}'
        segment.fail("missing-key", "missing key 'SegmentGroups'", hint)
    if len(exprs) == 2 and not equivalent(*exprs):
        segment["Dimensions"].fail("second-target", "Dimensions contradict SegmentGroups")
    return exprs[0]


def _parse_import(segment: PayloadCursor) -> Reference:
    """Return the reference of an imported segment: its id, or the file that it is imported from."""
    if not segment["Id"].is_absent:
        return Reference("pinpoint", "segment", segment["Id"].string())
    if segment["ImportDefinition"].is_absent:
        segment.fail("missing-key", "missing key 'ImportDefinition'", "name the file of an imported segment")
    return Reference("pinpoint", "import", segment["ImportDefinition"]["S3Url"].string())


def _parse_groups(groups: PayloadCursor) -> Expr:
    bodies = groups.only(("Include", "Groups"))["Groups"].items()
    join = _parse_join_type(groups, "Include", len(bodies))
    return JOIN_FUNCTIONS[join]([_parse_group(body) for body in bodies])


def _parse_group(group: PayloadCursor) -> Expr:
    """Parse the dimensions of one group, which narrow the segments that it is based on."""
    group.only(("Dimensions", "SourceSegments", "SourceType", "Type"))
    terms = []
    if not group["SourceSegments"].is_absent:
        terms.append(_parse_sources(group))
    if not group["Dimensions"].is_absent or not terms:
        terms.append(_parse_group_dimensions(group))
    return all_of(terms)


def _parse_sources(group: PayloadCursor) -> Expr:
    """Return the references of the segments that a group is based on, joined as it says."""
    segments = group["SourceSegments"].items()
    join = _parse_join_type(group, "SourceType", len(segments))
    return JOIN_FUNCTIONS[join]([_parse_source(segment) for segment in segments])


def _parse_source(segment: PayloadCursor) -> Reference:
    name = segment.only(("Id", "Version"))["Id"].string()
    version = segment["Version"]
    return Reference("pinpoint", "segment", name if version.value is None else f"{name} {_parse_version(version)}")


def _parse_version(version: PayloadCursor) -> str:
    return format_number(version.number())


def _parse_group_dimensions(group: PayloadCursor) -> Expr:
    bodies = group["Dimensions"]
    bodies_list = [bodies] if isinstance(bodies.value, dict) else bodies.items()
    dimensions = [list(_parse_dimensions(body)) for body in bodies_list]
    join = _parse_join_type(group, "Type", len(dimensions))
    if join != "ALL" and any(len(terms) > 1 for terms in dimensions):
        bodies.warn("criteria in one of the dimensions are taken to be joined by AND, whatever the Type")
    return JOIN_FUNCTIONS[join](list(map(all_of, dimensions)))


def _parse_join_type(group: PayloadCursor, key: str, count: int) -> str:
    """Return how *count* parts are joined; the default is not documented, and taken to be the narrowest."""
    join = group[key]
    if join.value is None:
        if count > 1:
            join.warn(f"without {key}, whose default is not documented, all parts are taken to be required")
        return "ALL"
    if not isinstance(join.value, str) or join.value not in JOIN_FUNCTIONS:
        join.fail("unknown-value", f"expected ALL, ANY or NONE, found {join.value!r}")
    return join.value


def _parse_dimensions(dimensions: PayloadCursor) -> Iterator[Expr]:
    """Yield each criterion of one object of dimensions."""
    dimensions.only(CRITERIA_PARSERS)
    terms = [
        term
        for key, parse_criteria in CRITERIA_PARSERS.items()
        if not dimensions[key].is_absent
        for term in parse_criteria(dimensions[key])
    ]
    if not terms:
        dimensions.fail("empty-target", "expected a criterion, found an empty dimension")
    dimensions.check_limit(LIMITS["dimensions"], len(terms), "dimensions")
    yield from terms


def _parse_attributes(attributes: PayloadCursor) -> Iterator[Expr]:
    for name in attributes.object():
        is_reserved = name.startswith(RESERVED_PREFIXES)
        type_ = f"{OWN_KEY_PREFIX}{name}" if is_reserved else own_key_type(_require_name(name, attributes))
        yield _parse_attribute(type_, attributes[name])


def _parse_user_attributes(attributes: PayloadCursor) -> Iterator[Expr]:
    for name in attributes.object():
        yield _parse_attribute(f"user.{name}", attributes[name])


def _require_name(name: str, attributes: PayloadCursor) -> str:
    return PayloadCursor(name, attributes.path).string()


def _parse_metrics(metrics: PayloadCursor) -> Iterator[Expr]:
    return (_parse_metric(f"metric.{name}", metrics[name]) for name in metrics.object())


def _parse_demographic(demographic: PayloadCursor) -> Iterator[Expr]:
    demographic.only(DEMOGRAPHIC_TYPES)
    for key, type_ in DEMOGRAPHIC_TYPES.items():
        if not demographic[key].is_absent:
            yield _parse_value_set(type_, demographic[key])


def _parse_location(location: PayloadCursor) -> Iterator[Expr]:
    location.only(("Country", "GPSPoint"))
    if not location["GPSPoint"].is_absent:
        point = location["GPSPoint"].only(("Coordinates", "RangeInKilometers"))
        for key in ("Latitude", "Longitude"):
            point["Coordinates"].only(("Latitude", "Longitude"))[key].number()
        yield Reference("pinpoint", "GPSPoint", point.json_text())
    if not location["Country"].is_absent:
        yield _parse_value_set("country", location["Country"])


def _parse_behavior(behavior: PayloadCursor) -> Iterator[Expr]:
    recency = behavior.only(("Recency",))["Recency"]
    if not recency.is_absent:
        recency.only(("Duration", "RecencyType"))
        hours = HOURS_BY_DURATION[recency["Duration"].enum(HOURS_BY_DURATION)]
        active = Relative(ACTIVE, Period(hours, "hour"))
        if recency["RecencyType"].enum(RECENCY_TYPES) == "INACTIVE":
            recency.warn("devices that were never active are taken to match INACTIVE, which is not documented")
            yield Not(active)
        else:
            yield active


CRITERIA_PARSERS: dict[str, Callable[[PayloadCursor], Iterator[Expr]]] = {
    "Attributes": _parse_attributes,
    "UserAttributes": _parse_user_attributes,
    "Metrics": _parse_metrics,
    "Demographic": _parse_demographic,
    "Location": _parse_location,
    "Behavior": _parse_behavior,
}


def _parse_value_set(type_: str, criterion: PayloadCursor) -> Expr:
    values = any_of(Tag(type_, value) for value in _parse_values(criterion.only(("DimensionType", "Values"))))
    is_inclusive = _require_enum(criterion, "DimensionType", ("INCLUSIVE", "EXCLUSIVE")) == "INCLUSIVE"
    return values if is_inclusive else _exclude(values, criterion)


def _exclude(values: Expr, criterion: PayloadCursor) -> Not:
    criterion.warn("devices without a value are taken to match EXCLUSIVE, which is not documented")
    return Not(values)


def _parse_attribute(type_: str, criterion: PayloadCursor) -> Expr:
    values = _parse_values(criterion.only(("AttributeType", "Values")))
    any_value = any_of(Tag(type_, value) for value in values)
    match _require_enum(criterion, "AttributeType", ATTRIBUTE_TYPES):
        case "INCLUSIVE":
            return any_value
        case "EXCLUSIVE":
            return _exclude(any_value, criterion)
        case "CONTAINS":
            return any_of(Matches(type_, f"*{escape_pattern(value)}*") for value in values)
        case "BETWEEN":
            return _parse_between(type_, criterion["Values"])
        case comparison:
            return _parse_date_criterion(type_, comparison, criterion["Values"])


def _parse_between(type_: str, values: PayloadCursor) -> Expr:
    if len(values.items()) != 2:
        values.fail("wrong-type", f"BETWEEN needs two dates, found {len(values.items())}")
    start, end = map(_parse_moment, values.items())
    values.warn("both ends are taken to be included, which is not documented")
    return Between(type_, start, end)


def _parse_date_criterion(type_: str, comparison: str, values: PayloadCursor) -> Expr:
    moments = values.items()
    if len(moments) > 1:
        values.fail("ambiguous", f"{comparison} with several dates", "give each a dimension of its own")
    moment = _parse_moment(moments[0])
    if comparison == "ON":
        values.warn("the day is one of UTC; in an expression it is a day of the index's time zone")
        return Tag(type_, moment.partition("T")[0])  # whatever the time of day
    return Compare(type_, DATE_COMPARE_OPS[comparison], moment)


def _parse_moment(value: PayloadCursor) -> str:
    """Return a moment in UTC, or a day: Pinpoint documents moments only, and people write days."""
    if not DAY_FORMAT.fullmatch(value.string()):
        return value.instant()
    try:
        return date.fromisoformat(value.string()).isoformat()
    except ValueError:
        value.fail("unknown-value", f"expected a day of the calendar, found {value.value!r}")


def _parse_metric(type_: str, criterion: PayloadCursor) -> Expr:
    text = format_number(criterion.only(("ComparisonOperator", "Value"))["Value"].number())
    operator = _require_enum(criterion, "ComparisonOperator", (*METRIC_COMPARE_OPS, "EQUAL"))
    return Tag(type_, text) if operator == "EQUAL" else Compare(type_, METRIC_COMPARE_OPS[operator], text)


def _parse_values(criterion: PayloadCursor) -> list[str]:
    values = criterion["Values"].strings()
    if not values:
        criterion["Values"].fail("empty-target", "expected a value, found an empty list")
    return values


def _require_enum(criterion: PayloadCursor, key: str, allowed_values: Sequence[str]) -> str:
    if criterion[key].value is None:
        criterion.fail("missing-key", f"missing key {key!r}", f"one of {', '.join(allowed_values)}")
    return criterion[key].enum(allowed_values)


VENDOR = Vendor(
    name="pinpoint",
    title="Amazon Pinpoint",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="all, any or none of groups, each of all, any or none of its dimensions",
    limits=LIMITS,
    id_columns=("pinpoint",),
    parse=parse,
    builtins={**{type_: key for key, type_ in DEMOGRAPHIC_TYPES.items()}, "country": "Country", ACTIVE: "Recency"},
    has_typed_tags=True,
    read_only_reason="its support ended on 2026-10-30",
)
