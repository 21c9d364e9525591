"""Amazon Pinpoint: a segment, groups of dimensions. Read only: support ended on 2026-10-30.

https://docs.aws.amazon.com/goto/aws-cli/pinpoint-2016-12-01/UpdateSegment, read 2026-11-21.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from audience.algebra.equivalence import equivalent
from audience.language.ast import Compare, CompareOp, Expr, Not, Tag, all_of, any_of
from audience.language.attribute_names import UNTYPED
from audience.vendors.payload_reader import PayloadCursor, format_number
from audience.vendors.spec import Limit, Vendor

PAGE = "https://docs.aws.amazon.com/goto/aws-cli/pinpoint-2016-12-01/UpdateSegment"
QUOTAS_DOCS = "https://docs.aws.amazon.com/pinpoint/latest/developerguide/quotas.html"

LIMITS = {"dimensions": Limit(100, QUOTAS_DOCS)}  # the quota of 50 values applies to a device's attribute

# The default of Type and Include, by which dimensions and groups are joined: "ALL" or "ANY", not documented.
DEFAULT_JOIN_TYPE: str | None = None

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
RESERVED_TYPES = {
    UNTYPED,
    "country",
    *DEMOGRAPHIC_TYPES.values(),
}  # types of the house that a custom attribute may not take for itself
RESERVED_PREFIXES = ("attribute.", "metric.", "user.")
ATTRIBUTE_TYPES = ("INCLUSIVE", "EXCLUSIVE", "CONTAINS", "BEFORE", "AFTER", "ON", "BETWEEN")
DATE_COMPARE_OPS: dict[str, CompareOp] = {"BEFORE": "<", "AFTER": ">"}


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
    if segment["ImportDefinition"].value or segment["SegmentType"].value == "IMPORT":
        segment.fail("opaque", "only Pinpoint has the list of an imported segment", "read the file instead")
    exprs = []
    if segment["SegmentGroups"].value:
        exprs.append(_parse_groups(segment["SegmentGroups"]))
    if segment["Dimensions"].value:
        exprs.append(all_of(_parse_dimensions(segment["Dimensions"])))
    if not exprs:
        hint = 'the targeting object is {"SegmentGroups": …}'
        segment.fail("missing-key", "missing key 'SegmentGroups'", hint)
    if len(exprs) == 2 and not equivalent(*exprs):
        segment["Dimensions"].fail("second-target", "Dimensions contradict SegmentGroups")
    return exprs[0]


def _parse_groups(groups: PayloadCursor) -> Expr:
    bodies = groups.only(("Include", "Groups"))["Groups"].items()
    join = _parse_join_type(groups, "Include", len(bodies))
    return JOIN_FUNCTIONS[join]([_parse_group(body) for body in bodies])


def _parse_group(group: PayloadCursor) -> Expr:
    """Parse the dimensions of one group; only Pinpoint knows its base segments."""
    group.only(("Dimensions", "SourceSegments", "SourceType", "Type"))
    sources = group["SourceSegments"]
    if sources.value:
        sources.fail("opaque", f"only Pinpoint knows the members of {_describe_sources(sources)}", "read those first")
    dimensions = [list(_parse_dimensions(body)) for body in group["Dimensions"].items()]
    join = _parse_join_type(group, "Type", len(dimensions))
    if join != "ALL" and any(len(terms) > 1 for terms in dimensions):
        message = "several criteria in one of the dimensions: whether Type joins them too is not documented"
        group["Dimensions"].fail("ambiguous", message, "give each a dimension of its own")
    return JOIN_FUNCTIONS[join](list(map(all_of, dimensions)))


def _describe_sources(sources: PayloadCursor) -> str:
    segments = sources.value if isinstance(sources.value, list) else []
    names = [str(segment.get("Id")) for segment in segments if isinstance(segment, dict)]
    return f"the segments {', '.join(names)}" if names else "its base segments"


def _parse_join_type(group: PayloadCursor, key: str, count: int) -> str:
    """Return how *count* parts are joined; a single part may leave it out."""
    join = group.get(key, "ALL" if count == 1 else DEFAULT_JOIN_TYPE)
    if join.value is None:
        message = f"missing key {key!r}, whose default is not documented"
        group.fail("missing-key", message, "ALL, ANY or NONE")
    if not isinstance(join.value, str) or join.value not in JOIN_FUNCTIONS:
        join.fail("unknown-value", f"expected ALL, ANY or NONE, found {join.value!r}")
    return join.value


def _parse_dimensions(dimensions: PayloadCursor) -> Iterator[Expr]:
    """Yield each criterion of one object of dimensions."""
    dimensions.only(CRITERIA_PARSERS)
    terms = [
        term
        for key, parse_criteria in CRITERIA_PARSERS.items()
        if dimensions[key].value is not None
        for term in parse_criteria(dimensions[key])
    ]
    if not terms:
        dimensions.fail("empty-target", "expected a criterion, found an empty dimension")
    dimensions.check_limit(LIMITS["dimensions"], len(terms), "dimensions")
    yield from terms


def _parse_attributes(attributes: PayloadCursor) -> Iterator[Expr]:
    for name in attributes.object():
        reserved = name in RESERVED_TYPES or name.startswith(RESERVED_PREFIXES)
        yield _parse_attribute(f"attribute.{name}" if reserved else name, attributes[name])


def _parse_user_attributes(attributes: PayloadCursor) -> Iterator[Expr]:
    return (_parse_attribute(f"user.{name}", attributes[name]) for name in attributes.object())


def _parse_metrics(metrics: PayloadCursor) -> Iterator[Expr]:
    return (_parse_metric(f"metric.{name}", metrics[name]) for name in metrics.object())


def _parse_demographic(demographic: PayloadCursor) -> Iterator[Expr]:
    demographic.only(DEMOGRAPHIC_TYPES)
    for key, type_ in DEMOGRAPHIC_TYPES.items():
        if demographic[key].value is not None:
            yield _parse_value_set(type_, demographic[key])


def _parse_location(location: PayloadCursor) -> Iterator[Expr]:
    location.only(("Country", "GPSPoint"))
    if location["GPSPoint"].value is not None:
        location["GPSPoint"].fail("opaque", "only Pinpoint knows the devices near a location")
    if location["Country"].value is not None:
        yield _parse_value_set("country", location["Country"])


def _parse_behavior(behavior: PayloadCursor) -> Iterator[Expr]:
    recency = behavior.only(("Recency",))["Recency"]
    if recency.value is not None:
        hint = "write active within 30 days of a date"
        recency.fail("opaque", "Recency counts back from the time of sending", hint)
    yield from ()


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
    return values if is_inclusive else Not(values)


def _parse_attribute(type_: str, criterion: PayloadCursor) -> Expr:
    values = _parse_values(criterion.only(("AttributeType", "Values")))
    any_value = any_of(Tag(type_, value) for value in values)
    match _require_enum(criterion, "AttributeType", ATTRIBUTE_TYPES):
        case "INCLUSIVE":
            return any_value
        case "EXCLUSIVE":
            return Not(any_value)
        case "CONTAINS":
            criterion.fail("opaque", "substrings are matched by Pinpoint only", "list the values")
        case "BETWEEN":
            message = "whether the two ends are included is not documented"
            criterion.fail("opaque", message, "BEFORE and AFTER")
        case comparison:
            return _parse_date_criterion(type_, comparison, criterion["Values"])


def _parse_date_criterion(type_: str, comparison: str, values: PayloadCursor) -> Expr:
    timestamps = values.items()
    if len(timestamps) > 1:
        values.fail("ambiguous", f"{comparison} with several timestamps", "give each a dimension of its own")
    timestamp = timestamps[0].timestamp()
    if comparison == "ON":
        return Tag(type_, timestamp.date().isoformat())
    return Compare(type_, DATE_COMPARE_OPS[comparison], timestamp.isoformat())


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
    builtins={**{type_: key for key, type_ in DEMOGRAPHIC_TYPES.items()}, "country": "Country"},
    has_typed_tags=True,
    read_only_reason="its support ended on 2026-10-30",
)
