"""JSON forms of profiles and overlaps."""

from typing import Literal

from typing_extensions import TypedDict

from audience.index.query.insight.overlap import Overlap, OverlapPair, OverlapSegment
from audience.index.query.insight.profile import Profile, ProfiledAttribute, ProfiledValue
from audience.language.printer import render

# Some keys are keywords of Python.
ProfiledValueForm = TypedDict(
    "ProfiledValueForm",
    {
        "value": str,
        "from": str | None,
        "to": str | None,
        "count": int,
        "share": float,
        "base_count": int,
        "base_share": float,
        "lift": float | None,
        "low": float | None,
        "high": float | None,
        "expr": str | None,
    },
)
ProfiledValueForm.__doc__ = """Value of an attribute, a range of values, or a day with an event.

Attributes:
    value: Value; of a range or a day, for people to read.
    from: First value of a range; null without one.
    to: Value after the last one of a range; null without one.
    count: Devices of the audience that have it.
    share: Share of the audience that has it.
    base_count: Devices of the base that have it.
    base_share: Share of the base that has it.
    lift: Share divided by the base's share; null if no device of the base has it.
    low: Lower end of the interval of the lift; null if it is unknown.
    high: Upper end of the interval; null if it is unknown, or if there is none.
    expr: Expression for the devices that have it; null if it cannot be asked for in the zone of the question.
"""


class OtherValuesForm(TypedDict):
    """Values that are not listed, and their counts together.

    Attributes:
        values: Number of values.
        count: Devices of the audience that have one; a device counts once for each of its values.
        base_count: Devices of the base, counted alike.
    """

    values: int
    count: int
    base_count: int


class ProfiledAttributeForm(TypedDict):
    """Attribute or event of the devices of an audience.

    Attributes:
        name: Name of the attribute or event; bare tags are the attribute `tag`.
        kind: Kind of its values; `event` for the days of an event.
        form: Form in which they are listed: values, ranges of a histogram, or days.
        multiple: Whether a device may have several values, so that shares may add up to more than 1.
        known: Devices of the audience that have any value.
        base_known: Devices of the base that have any value.
        distinct: Number of distinct values; null if they are too many to be distinguished.
        information: How much the attribute reveals about who is in the audience, from 0 to 1.
        timezone: Zone of the days; null of other values.
        values: Values, ranges or days.
        others: Values that are not listed; null if there are none.
    """

    name: str
    kind: Literal["tag", "string", "number", "date", "time", "version", "event"]
    form: Literal["values", "histogram", "days"]
    multiple: bool
    known: int
    base_known: int
    distinct: int | None
    information: float
    timezone: str | None
    values: list[ProfiledValueForm]
    others: OtherValuesForm | None


class ProfileForm(TypedDict):
    """Profile of an audience, the attributes that reveal most first.

    Attributes:
        expression: Text of the audience.
        against: Text of the audience that is the base; null for everybody.
        count: Devices of the audience.
        base_count: Devices of the base.
        snapshot: Snapshot that was asked.
        as_of: Moment of the question, as clocks of the zone show it.
        confidence: Confidence of the intervals of lifts.
        attributes: Attributes and events, in the order of what they reveal about who is in the audience.
    """

    expression: str
    against: str | None
    count: int
    base_count: int
    snapshot: int
    as_of: str
    confidence: float
    attributes: list[ProfiledAttributeForm]


class OverlapSegmentForm(TypedDict):
    """Audience among those that are compared.

    Attributes:
        name: Name of the audience.
        expression: Its text.
        count: Its devices.
        share: Share of all devices.
    """

    name: str
    expression: str
    count: int
    share: float


class OverlapPairForm(TypedDict):
    """Audience of a row, compared with that of a column.

    Attributes:
        both: Devices that are in both.
        jaccard: Share of the devices of either that are in both; null if neither has any.
        contained: Share of the row's devices that are in the column's audience; null if the row has none.
    """

    both: int
    jaccard: float | None
    contained: float | None


class CombinationForm(TypedDict):
    """Devices that are in all audiences of these names, and in no other.

    Attributes:
        names: Names of the audiences.
        count: Devices.
    """

    names: list[str]
    count: int


class OverlapForm(TypedDict):
    """Audiences, compared two by two, and in all combinations of up to ten.

    Attributes:
        snapshot: Snapshot that was asked.
        as_of: Moment of the question, as clocks of the zone show it.
        devices: All devices.
        segments: Audiences in the order in which they were given.
        pairs: Row for each audience, with a pair for each audience.
        combinations: Combinations that any device is in, the largest first; null for more than ten audiences.
        none: Devices in none of the audiences.
    """

    snapshot: int
    as_of: str
    devices: int
    segments: list[OverlapSegmentForm]
    pairs: list[list[OverlapPairForm]]
    combinations: list[CombinationForm] | None
    none: int


def profile_json(profile: Profile) -> ProfileForm:
    """Return *profile* as JSON data."""
    return {
        "expression": profile.expression,
        "against": profile.against,
        "count": profile.count,
        "base_count": profile.base_count,
        "snapshot": profile.snapshot,
        "as_of": profile.as_of.isoformat(timespec="seconds"),
        "confidence": profile.confidence,
        "attributes": [_attribute_json(attribute) for attribute in profile.attributes],
    }


def _attribute_json(attribute: ProfiledAttribute) -> ProfiledAttributeForm:
    others = attribute.others
    return {
        "name": attribute.name,
        "kind": attribute.kind,
        "form": attribute.form,
        "multiple": attribute.is_multiple,
        "known": attribute.known,
        "base_known": attribute.base_known,
        "distinct": attribute.distinct,
        "information": attribute.information,
        "timezone": attribute.timezone,
        "values": [_value_json(value) for value in attribute.values],
        "others": None
        if others is None
        else {"values": others.values, "count": others.count, "base_count": others.base_count},
    }


def _value_json(value: ProfiledValue) -> ProfiledValueForm:
    return {
        "value": value.value,
        "from": value.start,
        "to": value.stop,
        "count": value.count,
        "share": value.share,
        "base_count": value.base_count,
        "base_share": value.base_share,
        "lift": value.lift,
        "low": value.low,
        "high": value.high,
        "expr": None if value.query is None else render(value.query),
    }


def overlap_json(overlap: Overlap) -> OverlapForm:
    """Return *overlap* as JSON data."""
    combinations = overlap.combinations
    return {
        "snapshot": overlap.snapshot,
        "as_of": overlap.as_of.isoformat(timespec="seconds"),
        "devices": overlap.devices,
        "segments": [_segment_json(segment) for segment in overlap.segments],
        "pairs": [[_pair_json(pair) for pair in row] for row in overlap.pairs],
        "combinations": None
        if combinations is None
        else [{"names": list(each.names), "count": each.count} for each in combinations],
        "none": overlap.none,
    }


def _segment_json(segment: OverlapSegment) -> OverlapSegmentForm:
    return {
        "name": segment.name,
        "expression": segment.expression,
        "count": segment.count,
        "share": segment.share,
    }


def _pair_json(pair: OverlapPair) -> OverlapPairForm:
    return {"both": pair.both, "jaccard": pair.jaccard, "contained": pair.contained}
