"""Amazon Pinpoint: a segment, groups of dimensions. It is read only: support ended on 2026-10-30.

https://docs.aws.amazon.com/goto/aws-cli/pinpoint-2016-12-01/UpdateSegment, read 2026-11-21.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from audience.algebra.equivalence import equivalent
from audience.language.ast import Compare, Expr, Not, Order, Tag, all_of, any_of
from audience.language.attribute_names import BARE
from audience.vendors.payload_reader import (
    elements,
    limited,
    loaded,
    mapping,
    moment,
    number,
    only,
    refuse,
    string,
    strings,
    word,
    written,
)
from audience.vendors.spec import Limit, Payload, Vendor

PAGE = "https://docs.aws.amazon.com/goto/aws-cli/pinpoint-2016-12-01/UpdateSegment"
QUOTAS = "https://docs.aws.amazon.com/pinpoint/latest/developerguide/quotas.html"

LIMITS = {"dimensions": Limit(100, QUOTAS)}  # the 50 values that it allows are those of a device's attribute

# How several dimensions or groups are joined where Type or Include is missing, "ALL" or "ANY": no page says it.
JOINED_BY_DEFAULT: str | None = None

JOINTS: dict[str, Callable[[Sequence[Expr]], Expr]] = {
    "ALL": all_of,
    "ANY": any_of,
    "NONE": lambda terms: Not(any_of(terms)),
}
DEMOGRAPHIC = {
    "AppVersion": "version",
    "Channel": "channel_type",
    "DeviceType": "device_type",
    "Make": "brand",
    "Model": "model",
    "Platform": "platform",
}
ORDERS: dict[str, Order] = {
    "GREATER_THAN": ">",
    "GREATER_THAN_OR_EQUAL": ">=",
    "LESS_THAN": "<",
    "LESS_THAN_OR_EQUAL": "<=",
}
OWN = {BARE, "country", *DEMOGRAPHIC.values()}  # types of the house that a custom attribute may not take for itself
PREFIXES = ("attribute.", "metric.", "user.")
MOMENTS: dict[str, Order] = {"BEFORE": "<", "AFTER": ">"}


def parse(payload: Any) -> Expr:
    """Read a segment: what is written to Pinpoint, or what `get-segment` answers.

    A custom attribute is a tag of its name; those of users are `user.NAME`, metrics `metric.NAME`.

    >>> from audience.language.printer import render
    >>> team = {"Team": {"AttributeType": "INCLUSIVE", "Values": ["Lakers", "Bulls"]}}
    >>> render(parse({"SegmentGroups": {"Include": "ALL", "Groups": [{"Dimensions": [{"Attributes": team}]}]}}))
    'Team:Lakers OR Team:Bulls'
    """
    request = loaded(payload)
    path = next((key for key in ("SegmentResponse", "WriteSegmentRequest") if key in request), "")
    place = f"$.{path}" if path else "$"
    segment = mapping(request[path], place) if path else request
    if segment.get("ImportDefinition") or segment.get("SegmentType") == "IMPORT":
        refuse("opaque", "an imported segment is a list that only Pinpoint has", place, "read the file instead")
    said = []
    if segment.get("SegmentGroups"):
        said.append(_groups(mapping(segment["SegmentGroups"], f"{place}.SegmentGroups"), f"{place}.SegmentGroups"))
    if segment.get("Dimensions"):
        said.append(all_of(_dimensions(segment["Dimensions"], f"{place}.Dimensions")))
    if not said:
        refuse("missing-key", "there are no SegmentGroups", place, 'the targeting object is {"SegmentGroups": …}')
    if len(said) == 2 and not equivalent(*said):
        refuse("second-target", "Dimensions beside SegmentGroups, which say something else", f"{place}.Dimensions")
    return said[0]


def _groups(groups: Payload, path: str) -> Expr:
    only(groups, ("Include", "Groups"), path)
    bodies = elements(groups.get("Groups"), f"{path}.Groups")
    joint = _joint(groups, "Include", len(bodies), path)
    return JOINTS[joint]([_group(mapping(body, place), place) for body, place in bodies])


def _group(group: Payload, path: str) -> Expr:
    """The dimensions of one group; what its base segments hold is known to Pinpoint alone."""
    only(group, ("Dimensions", "SourceSegments", "SourceType", "Type"), path)
    if group.get("SourceSegments"):
        refuse("opaque", f"only Pinpoint knows who is in {_named(group)}", f"{path}.SourceSegments", "read those first")
    objects = [
        list(_dimensions(body, place)) for body, place in elements(group.get("Dimensions"), f"{path}.Dimensions")
    ]
    joint = _joint(group, "Type", len(objects), path)
    if joint != "ALL" and any(len(terms) > 1 for terms in objects):
        why = "several criteria in one of the dimensions: no page says whether Type joins them too"
        refuse("ambiguous", why, f"{path}.Dimensions", "give each a dimension of its own")
    return JOINTS[joint](list(map(all_of, objects)))


def _named(group: Payload) -> str:
    sources = group["SourceSegments"]
    names = [str(each.get("Id")) for each in sources if isinstance(each, dict)] if isinstance(sources, list) else []
    return f"the segments {', '.join(names)}" if names else "its base segments"


def _joint(holder: Payload, key: str, count: int, path: str) -> str:
    """How *count* parts are joined; where there is one, that may be left out."""
    word = holder.get(key, "ALL" if count == 1 else JOINED_BY_DEFAULT)
    if word is None:
        refuse("missing-key", f"there is no {key!r}, and no page says what it is by default", path, "ALL, ANY or NONE")
    if not isinstance(word, str) or word not in JOINTS:
        refuse("unknown-value", f"expected ALL, ANY or NONE, found {word!r}", f"{path}.{key}")
    return word


def _dimensions(value: Any, path: str) -> Iterator[Expr]:
    """Each criterion of one object of dimensions."""
    kinds: dict[str, Callable[[Payload, str], Iterator[Expr]]] = {
        "Attributes": lambda body, place: _each(body, place, _custom, _attribute),
        "UserAttributes": lambda body, place: _each(body, place, "user.{}".format, _attribute),
        "Metrics": lambda body, place: _each(body, place, "metric.{}".format, _metric),
        "Demographic": _demographic,
        "Location": _location,
        "Behavior": _behavior,
    }
    body = mapping(value, path)
    only(body, kinds, path)
    found = [
        term
        for key, read in kinds.items()
        if body.get(key) is not None
        for term in read(mapping(body[key], f"{path}.{key}"), f"{path}.{key}")
    ]
    if not found:
        refuse("empty-target", "a dimension without a criterion narrows nothing", path)
    limited(LIMITS["dimensions"], len(found), "dimensions", path)
    yield from found


def _each(
    body: Payload, path: str, name: Callable[[str], str], read: Callable[[str, Payload, str], Expr]
) -> Iterator[Expr]:
    for key, criterion in body.items():
        place = f"{path}.{key}"
        yield read(name(string(key, place)), mapping(criterion, place), place)


def _custom(name: str) -> str:
    return f"attribute.{name}" if name in OWN or name.startswith(PREFIXES) else name


def _demographic(body: Payload, path: str) -> Iterator[Expr]:
    only(body, DEMOGRAPHIC, path)
    for key, type_ in DEMOGRAPHIC.items():
        if body.get(key) is not None:
            yield _set(type_, mapping(body[key], f"{path}.{key}"), f"{path}.{key}")


def _location(body: Payload, path: str) -> Iterator[Expr]:
    only(body, ("Country", "GPSPoint"), path)
    if body.get("GPSPoint") is not None:
        refuse("opaque", "only Pinpoint knows who is near a place", f"{path}.GPSPoint")
    if body.get("Country") is not None:
        yield _set("country", mapping(body["Country"], f"{path}.Country"), f"{path}.Country")


def _behavior(body: Payload, path: str) -> Iterator[Expr]:
    only(body, ("Recency",), path)
    if body.get("Recency") is not None:
        hint = "write active within 30 days of a day"
        refuse("opaque", "Recency counts back from the moment of sending", f"{path}.Recency", hint)
    yield from ()


def _set(type_: str, body: Payload, path: str) -> Expr:
    only(body, ("DimensionType", "Values"), path)
    values = _values(body, path)
    kind = _required(body, "DimensionType", ("INCLUSIVE", "EXCLUSIVE"), path)
    return _any(type_, values) if kind == "INCLUSIVE" else Not(_any(type_, values))


def _attribute(type_: str, body: Payload, path: str) -> Expr:
    only(body, ("AttributeType", "Values"), path)
    values = _values(body, path)
    known = ("INCLUSIVE", "EXCLUSIVE", "CONTAINS", "BEFORE", "AFTER", "ON", "BETWEEN")
    match _required(body, "AttributeType", known, path):
        case "INCLUSIVE":
            return _any(type_, values)
        case "EXCLUSIVE":
            return Not(_any(type_, values))
        case "CONTAINS":
            refuse("opaque", "parts of texts are matched at Pinpoint only", path, "list the values that are meant")
        case "BETWEEN":
            refuse("opaque", "no page says whether the two moments are between themselves", path, "BEFORE and AFTER")
        case kind:
            if len(values) > 1:
                refuse("ambiguous", f"{kind} of several moments", f"{path}.Values", "give each a dimension of its own")
            found = moment(values[0], f"{path}.Values[0]")
            if kind == "ON":
                return Tag(type_, found.date().isoformat())
            return Compare(type_, MOMENTS[kind], found.isoformat())


def _metric(type_: str, body: Payload, path: str) -> Expr:
    only(body, ("ComparisonOperator", "Value"), path)
    text = written(number(body.get("Value"), f"{path}.Value"))
    operator = _required(body, "ComparisonOperator", (*ORDERS, "EQUAL"), path)
    return Tag(type_, text) if operator == "EQUAL" else Compare(type_, ORDERS[operator], text)


def _any(type_: str, values: Sequence[str]) -> Expr:
    return any_of(Tag(type_, value) for value in values)


def _values(body: Payload, path: str) -> list[str]:
    values = strings(body.get("Values"), f"{path}.Values")
    if not values:
        refuse("empty-target", "an empty list names no value", f"{path}.Values")
    return values


def _required(body: Payload, key: str, known: Sequence[str], path: str) -> str:
    if body.get(key) is None:
        refuse("missing-key", f"there is no {key!r}", path, f"one of {', '.join(known)}")
    return word(body, key, known, path)


VENDOR = Vendor(
    name="pinpoint",
    title="Amazon Pinpoint",
    page=PAGE,
    read_on="2026-11-21",
    fragment="all, any or none of groups, each of all, any or none of its dimensions",
    limits=LIMITS,
    known_by=("pinpoint",),
    parse=parse,
    any_type=True,
    reads_only="its support ended on 2026-10-30",
)
