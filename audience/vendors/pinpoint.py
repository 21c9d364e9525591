"""Amazon Pinpoint: a segment, groups of dimensions. Read only: support ended on 2026-10-30.

https://docs.aws.amazon.com/goto/aws-cli/pinpoint-2016-12-01/UpdateSegment, read 2026-11-21.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from audience.algebra.equivalence import equivalent
from audience.language.ast import Compare, CompareOp, Expr, Not, Tag, all_of, any_of
from audience.language.attribute_names import UNTYPED
from audience.vendors.payload_reader import (
    check_limit,
    fail,
    format_number,
    read_enum,
    read_items,
    read_json_object,
    read_number,
    read_object,
    read_string,
    read_strings,
    read_timestamp,
    reject_unknown_keys,
)
from audience.vendors.spec import Limit, Payload, Vendor

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
DATE_COMPARE_OPS: dict[str, CompareOp] = {"BEFORE": "<", "AFTER": ">"}


def parse(payload: Any) -> Expr:
    """Parse a segment: the input of `update-segment`, or the output of `get-segment`.

    A custom attribute is a tag of its name; user attributes are `user.NAME`, metrics `metric.NAME`.

    >>> from audience.language.printer import render
    >>> team = {"Team": {"AttributeType": "INCLUSIVE", "Values": ["Lakers", "Bulls"]}}
    >>> render(parse({"SegmentGroups": {"Include": "ALL", "Groups": [{"Dimensions": [{"Attributes": team}]}]}}))
    'Team:Lakers OR Team:Bulls'
    """
    request = read_json_object(payload)
    path = next((key for key in ("SegmentResponse", "WriteSegmentRequest") if key in request), "")
    place = f"$.{path}" if path else "$"
    segment = read_object(request[path], place) if path else request
    if segment.get("ImportDefinition") or segment.get("SegmentType") == "IMPORT":
        fail("opaque", "only Pinpoint has the list of an imported segment", place, "read the file instead")
    said = []
    if segment.get("SegmentGroups"):
        said.append(
            _parse_groups(read_object(segment["SegmentGroups"], f"{place}.SegmentGroups"), f"{place}.SegmentGroups")
        )
    if segment.get("Dimensions"):
        said.append(all_of(_parse_dimensions(segment["Dimensions"], f"{place}.Dimensions")))
    if not said:
        fail("missing-key", "missing key 'SegmentGroups'", place, 'the targeting object is {"SegmentGroups": …}')
    if len(said) == 2 and not equivalent(*said):
        fail("second-target", "Dimensions contradict SegmentGroups", f"{place}.Dimensions")
    return said[0]


def _parse_groups(groups: Payload, path: str) -> Expr:
    reject_unknown_keys(groups, ("Include", "Groups"), path)
    bodies = read_items(groups.get("Groups"), f"{path}.Groups")
    joint = _parse_join_type(groups, "Include", len(bodies), path)
    return JOIN_FUNCTIONS[joint]([_parse_group(read_object(body, place), place) for body, place in bodies])


def _parse_group(group: Payload, path: str) -> Expr:
    """Parse the dimensions of one group; only Pinpoint knows its base segments."""
    reject_unknown_keys(group, ("Dimensions", "SourceSegments", "SourceType", "Type"), path)
    if group.get("SourceSegments"):
        fail(
            "opaque",
            f"only Pinpoint knows the members of {_describe_sources(group)}",
            f"{path}.SourceSegments",
            "read those first",
        )
    objects = [
        list(_parse_dimensions(body, place))
        for body, place in read_items(group.get("Dimensions"), f"{path}.Dimensions")
    ]
    joint = _parse_join_type(group, "Type", len(objects), path)
    if joint != "ALL" and any(len(terms) > 1 for terms in objects):
        why = "several criteria in one of the dimensions: whether Type joins them too is not documented"
        fail("ambiguous", why, f"{path}.Dimensions", "give each a dimension of its own")
    return JOIN_FUNCTIONS[joint](list(map(all_of, objects)))


def _describe_sources(group: Payload) -> str:
    sources = group["SourceSegments"]
    names = [str(each.get("Id")) for each in sources if isinstance(each, dict)] if isinstance(sources, list) else []
    return f"the segments {', '.join(names)}" if names else "its base segments"


def _parse_join_type(payload: Payload, key: str, count: int, path: str) -> str:
    """Return how *count* parts are joined; a single part may leave it out."""
    word = payload.get(key, "ALL" if count == 1 else DEFAULT_JOIN_TYPE)
    if word is None:
        fail("missing-key", f"missing key {key!r}, whose default is not documented", path, "ALL, ANY or NONE")
    if not isinstance(word, str) or word not in JOIN_FUNCTIONS:
        fail("unknown-value", f"expected ALL, ANY or NONE, found {word!r}", f"{path}.{key}")
    return word


def _parse_dimensions(value: Any, path: str) -> Iterator[Expr]:
    """Yield each criterion of one object of dimensions."""
    kinds: dict[str, Callable[[Payload, str], Iterator[Expr]]] = {
        "Attributes": lambda body, place: _parse_named_criteria(body, place, _attribute_type, _parse_attribute),
        "UserAttributes": lambda body, place: _parse_named_criteria(body, place, "user.{}".format, _parse_attribute),
        "Metrics": lambda body, place: _parse_named_criteria(body, place, "metric.{}".format, _parse_metric),
        "Demographic": _parse_demographic,
        "Location": _parse_location,
        "Behavior": _parse_behavior,
    }
    body = read_object(value, path)
    reject_unknown_keys(body, kinds, path)
    found = [
        term
        for key, read in kinds.items()
        if body.get(key) is not None
        for term in read(read_object(body[key], f"{path}.{key}"), f"{path}.{key}")
    ]
    if not found:
        fail("empty-target", "expected a criterion, found an empty dimension", path)
    check_limit(LIMITS["dimensions"], len(found), "dimensions", path)
    yield from found


def _parse_named_criteria(
    body: Payload, path: str, name_to_type: Callable[[str], str], parse_criterion: Callable[[str, Payload, str], Expr]
) -> Iterator[Expr]:
    for key, criterion in body.items():
        place = f"{path}.{key}"
        yield parse_criterion(name_to_type(read_string(key, place)), read_object(criterion, place), place)


def _attribute_type(name: str) -> str:
    return f"attribute.{name}" if name in RESERVED_TYPES or name.startswith(RESERVED_PREFIXES) else name


def _parse_demographic(body: Payload, path: str) -> Iterator[Expr]:
    reject_unknown_keys(body, DEMOGRAPHIC_TYPES, path)
    for key, type_ in DEMOGRAPHIC_TYPES.items():
        if body.get(key) is not None:
            yield _parse_value_set(type_, read_object(body[key], f"{path}.{key}"), f"{path}.{key}")


def _parse_location(body: Payload, path: str) -> Iterator[Expr]:
    reject_unknown_keys(body, ("Country", "GPSPoint"), path)
    if body.get("GPSPoint") is not None:
        fail("opaque", "only Pinpoint knows the devices near a location", f"{path}.GPSPoint")
    if body.get("Country") is not None:
        yield _parse_value_set("country", read_object(body["Country"], f"{path}.Country"), f"{path}.Country")


def _parse_behavior(body: Payload, path: str) -> Iterator[Expr]:
    reject_unknown_keys(body, ("Recency",), path)
    if body.get("Recency") is not None:
        hint = "write active within 30 days of a date"
        fail("opaque", "Recency counts back from the time of sending", f"{path}.Recency", hint)
    yield from ()


def _parse_value_set(type_: str, body: Payload, path: str) -> Expr:
    reject_unknown_keys(body, ("DimensionType", "Values"), path)
    values = _parse_values(body, path)
    kind = _require_enum(body, "DimensionType", ("INCLUSIVE", "EXCLUSIVE"), path)
    return _any_of_values(type_, values) if kind == "INCLUSIVE" else Not(_any_of_values(type_, values))


def _parse_attribute(type_: str, body: Payload, path: str) -> Expr:
    reject_unknown_keys(body, ("AttributeType", "Values"), path)
    values = _parse_values(body, path)
    known = ("INCLUSIVE", "EXCLUSIVE", "CONTAINS", "BEFORE", "AFTER", "ON", "BETWEEN")
    match _require_enum(body, "AttributeType", known, path):
        case "INCLUSIVE":
            return _any_of_values(type_, values)
        case "EXCLUSIVE":
            return Not(_any_of_values(type_, values))
        case "CONTAINS":
            fail("opaque", "substrings are matched by Pinpoint only", path, "list the values")
        case "BETWEEN":
            fail("opaque", "whether the two ends are included is not documented", path, "BEFORE and AFTER")
        case kind:
            if len(values) > 1:
                fail(
                    "ambiguous", f"{kind} with several timestamps", f"{path}.Values", "give each a dimension of its own"
                )
            found = read_timestamp(values[0], f"{path}.Values[0]")
            if kind == "ON":
                return Tag(type_, found.date().isoformat())
            return Compare(type_, DATE_COMPARE_OPS[kind], found.isoformat())


def _parse_metric(type_: str, body: Payload, path: str) -> Expr:
    reject_unknown_keys(body, ("ComparisonOperator", "Value"), path)
    text = format_number(read_number(body.get("Value"), f"{path}.Value"))
    operator = _require_enum(body, "ComparisonOperator", (*METRIC_COMPARE_OPS, "EQUAL"), path)
    return Tag(type_, text) if operator == "EQUAL" else Compare(type_, METRIC_COMPARE_OPS[operator], text)


def _any_of_values(type_: str, values: Sequence[str]) -> Expr:
    return any_of(Tag(type_, value) for value in values)


def _parse_values(body: Payload, path: str) -> list[str]:
    values = read_strings(body.get("Values"), f"{path}.Values")
    if not values:
        fail("empty-target", "expected a value, found an empty list", f"{path}.Values")
    return values


def _require_enum(body: Payload, key: str, allowed_values: Sequence[str], path: str) -> str:
    if body.get(key) is None:
        fail("missing-key", f"missing key {key!r}", path, f"one of {', '.join(allowed_values)}")
    return read_enum(body, key, allowed_values, path)


VENDOR = Vendor(
    name="pinpoint",
    title="Amazon Pinpoint",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="all, any or none of groups, each of all, any or none of its dimensions",
    limits=LIMITS,
    id_columns=("pinpoint",),
    parse=parse,
    has_typed_tags=True,
    read_only_reason="its support ended on 2026-10-30",
)
