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
        "value": str,  # a range or a day in words
        "from": str | None,  # first value of a range
        "to": str | None,  # value after the last one of a range
        "count": int,  # devices of the audience
        "share": float,  # of the audience
        "base_count": int,
        "base_share": float,
        "lift": float | None,  # share / base_share
        "low": float | None,  # ends of the interval of the lift; a missing upper end is infinite
        "high": float | None,
        "expr": str | None,  # expression for the devices that have the value
    },
)
ProfiledValueForm.__doc__ = "Value of an attribute, a range of values, or a day with an event."


class OtherValuesForm(TypedDict):
    """Values that are not listed, and their counts together."""

    values: int
    count: int
    base_count: int


class ProfiledAttributeForm(TypedDict):
    """Attribute or event of the devices of an audience."""

    name: str
    kind: Literal["tag", "string", "number", "date", "time", "version", "event"]
    form: Literal["values", "histogram", "days"]
    multiple: bool  # whether a device may have several values, so that shares may add up to more than 1
    known: int  # devices of the audience that have any value
    base_known: int
    distinct: int | None  # number of values; null if they are too many to be distinguished
    information: float  # how much the attribute reveals about who is in the audience, from 0 to 1
    timezone: str | None  # zone of the days
    values: list[ProfiledValueForm]
    others: OtherValuesForm | None


class ProfileForm(TypedDict):
    """Profile of an audience, the attributes that reveal most first."""

    expression: str
    against: str | None  # null for everybody
    count: int
    base_count: int
    snapshot: int
    as_of: str
    confidence: float  # of the intervals of lifts
    attributes: list[ProfiledAttributeForm]


class OverlapSegmentForm(TypedDict):
    """Audience among those that are compared."""

    name: str
    expression: str
    count: int
    share: float  # of all devices


class OverlapPairForm(TypedDict):
    """Audience of a row, compared with that of a column."""

    both: int
    jaccard: float | None  # share of the devices of either that are in both
    contained: float | None  # share of the row's devices that are in the column's


class CombinationForm(TypedDict):
    """Devices that are in all audiences of these names, and in no other."""

    names: list[str]
    count: int


class OverlapForm(TypedDict):
    """Audiences, compared two by two, and in all combinations of up to ten."""

    snapshot: int
    as_of: str
    devices: int
    segments: list[OverlapSegmentForm]
    pairs: list[list[OverlapPairForm]]  # a row for each audience, with a pair for each audience
    combinations: list[CombinationForm] | None  # the largest first; null for more than ten audiences
    none: int  # devices in none of the audiences


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
