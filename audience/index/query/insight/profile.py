"""Profile of an audience: which values distinguish its devices from everybody, or from another audience."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import polars as pl

from audience.index.query.insight.comparison import CONFIDENCE
from audience.index.query.insight.profile_text import format_profile, format_profile_html
from audience.language.ast import Expr

ProfileForm: TypeAlias = Literal["values", "histogram", "days"]
ProfileKind: TypeAlias = Literal["tag", "string", "number", "date", "time", "version", "event"]


@dataclass(frozen=True, slots=True)
class ProfiledValue:
    """Value of an attribute, or a range of its values, or a day with an event.

    Attributes:
        value: Value, or the range for people to read.
        count: Devices of the audience that have it.
        share: Share of the audience that has it.
        base_count: Devices of the base that have it.
        base_share: Share of the base that has it.
        lift: `share` divided by `base_share`; None if no device of the base has it.
        low: Lower end of the interval of the lift; None if it is unknown.
        high: Upper end; None if it is unknown, or there is none.
        start: First value of a range; None without a lower end, and if it is no range.
        stop: Value after the last one of a range; None without an upper end, and if it is no range.
        query: Expression for the devices that have it; None if it cannot be asked for in the zone of the question.
    """

    value: str
    count: int
    share: float
    base_count: int
    base_share: float
    lift: float | None
    low: float | None
    high: float | None
    start: str | None
    stop: str | None
    query: Expr | None


@dataclass(frozen=True, slots=True)
class OtherValues:
    """Values that are not listed: their number, and the counts of all of them together.

    A device counts once for each of its values; of days with an event, it counts once.
    """

    values: int
    count: int
    base_count: int


@dataclass(frozen=True, slots=True)
class ProfiledAttribute:
    """Attribute, or event, of the devices of an audience.

    Attributes:
        name: Name of the attribute or event; bare tags are the attribute `tag`.
        kind: Kind of its values; `event` for the days of an event.
        form: `values` in the order of what they say about the audience, or of versions; a `histogram` of ranges; or
            the `days` of an event.
        is_multiple: Whether a device may have several values, so that shares may add up to more than 1.
        known: Devices of the audience that have any value.
        base_known: Devices of the base that have any value.
        distinct: Number of distinct values of these devices; None if they are too many to be distinguished.
        information: How much the attribute reveals about who is in the audience, from 0 to 1.
        timezone: Zone of the days; None of other values.
        values: Values, ranges or days.
        others: Values that are not listed; None if there are none.
    """

    name: str
    kind: ProfileKind
    form: ProfileForm
    is_multiple: bool
    known: int
    base_known: int
    distinct: int | None
    information: float
    timezone: str | None
    values: Sequence[ProfiledValue]
    others: OtherValues | None


@dataclass(frozen=True, slots=True)
class Profile:
    """Attributes of the devices of an audience, compared with everybody or another audience, the most revealing first.

    Attributes:
        expression: Text of the audience.
        against: Text of the audience that it is compared with; None for everybody.
        count: Devices of the audience.
        base_count: Devices that it is compared with.
        snapshot: Number of the snapshot.
        as_of: Moment of the question, in its time zone.
        attributes: Attributes and events.
    """

    expression: str
    against: str | None
    count: int
    base_count: int
    snapshot: int
    as_of: datetime
    attributes: Sequence[ProfiledAttribute]
    confidence: float = CONFIDENCE

    def __str__(self) -> str:
        return format_profile(self)

    def _repr_html_(self) -> str:
        return format_profile_html(self)

    def __getitem__(self, name: str) -> ProfiledAttribute:
        """Return the attribute or event with this name. Raises KeyError if the profile does not have it."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute
        raise KeyError(name)

    def to_frame(self) -> pl.DataFrame:
        """Return one row for each value, in the order of the profile; values that are not listed are left out."""
        rows = [
            (
                attribute.name,
                attribute.kind,
                each.value,
                each.start,
                each.stop,
                each.count,
                each.share,
                each.base_count,
                each.base_share,
                each.lift,
                each.low,
                each.high,
            )
            for attribute in self.attributes
            for each in attribute.values
        ]
        return pl.DataFrame(rows, schema=FRAME_SCHEMA, orient="row")


FRAME_SCHEMA: dict[str, type[pl.DataType]] = {
    "attribute": pl.String,
    "kind": pl.String,
    "value": pl.String,
    "from": pl.String,
    "to": pl.String,
    "count": pl.Int64,
    "share": pl.Float64,
    "base_count": pl.Int64,
    "base_share": pl.Float64,
    "lift": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}
