"""JSON forms of indexes."""

from contextlib import suppress

import polars as pl
from typing_extensions import TypedDict

from audience.errors import ExpressionError
from audience.index.device_index import DeviceIndex
from audience.index.query.attribute_stats import AttributeStats
from audience.index.query.counting import count_devices
from audience.index.query.event_stats import EventStats, collect_event_stats
from audience.index.schema.columns import Role
from audience.json_forms.questions import format_as_of
from audience.language.as_of import AsOf
from audience.language.printer import render


class IndexForm(TypedDict):
    """Index.

    Attributes:
        name: Its name.
        devices: Number of its devices.
        snapshot: Number of its snapshot.
        created: When the snapshot was published.
        timezone: Time zone of days.
    """

    name: str
    devices: int
    snapshot: int
    created: str
    timezone: str


class IndexesForm(TypedDict):
    """Indexes of the service.

    Attributes:
        indexes: The indexes, in the order in which they were named.
    """

    indexes: list[IndexForm]


class ValueForm(TypedDict):
    """Value of an attribute.

    Attributes:
        value: The value.
        devices: Devices that have it.
    """

    value: str
    devices: int


class AttributeForm(TypedDict):
    """Attribute.

    Attributes:
        name: Its name; bare tags are `tag`.
        kind: `tag`, `string`, `number`, `date`, `time` or `version`.
        values: Number of its values.
        multiple: Whether a device may have several values.
        most_frequent: Most frequent values; none for numbers that are not counted one by one.
    """

    name: str
    kind: str
    values: int
    multiple: bool
    most_frequent: list[ValueForm]


class SegmentCountForm(TypedDict):
    """Saved segment.

    Attributes:
        name: Its name.
        expression: Its expression.
        devices: Devices that match; null if the question cannot be answered.
    """

    name: str
    expression: str
    devices: int | None


class PropertyForm(TypedDict):
    """Property of an event.

    Attributes:
        name: Name of the property.
        kind: Kind of its values; the kinds are those of attributes.
    """

    name: str
    kind: str


class EventForm(TypedDict):
    """Event.

    Attributes:
        name: Its name.
        devices: Devices that did it.
        first_day: Day of the first one, as 2026-11-28.
        last_day: Day of the last one.
        properties: Its properties.
    """

    name: str
    devices: int
    first_day: str | None
    last_day: str | None
    properties: list[PropertyForm]


class IndexPolicyForm(TypedDict):
    """Policy.

    Attributes:
        name: Its name.
        text: The cap, or what the list of ids is.
    """

    name: str
    text: str


class IndexDescriptionForm(IndexForm):
    """Index with all that it holds.

    Attributes:
        as_of: Moment at which segments were counted.
        ids: Columns of ids.
        attributes: Attributes of the devices.
        segments: Saved segments.
        events: Events of the devices.
        policies: Policies for all that is sent.
    """

    as_of: str
    ids: list[str]
    attributes: list[AttributeForm]
    segments: list[SegmentCountForm]
    events: list[EventForm]
    policies: list[IndexPolicyForm]


def index_json(name: str, index: DeviceIndex) -> IndexForm:
    """Return the JSON form of an index."""
    manifest = index.snapshot.manifest
    return {
        "name": name,
        "devices": len(index),
        "snapshot": manifest.number,
        "created": manifest.created,
        "timezone": manifest.timezone,
    }


def index_description_json(name: str, index: DeviceIndex, asked: AsOf, max_values: int) -> IndexDescriptionForm:
    """Return the JSON form of all that an index holds.

    Args:
        name: Name of the index.
        index: The index.
        asked: When segments are counted.
        max_values: Number of the most frequent values of each attribute.
    """
    snapshot = index.snapshot
    return {
        **index_json(name, index),
        "as_of": format_as_of(asked),
        "ids": [column.name for column in snapshot.id_columns],
        "attributes": [attribute_json(stats, max_values) for stats in index.attributes.values()],
        "segments": [_segment_count_json(segment, index, asked) for segment in index.segments],
        "events": [_event_json(stats) for stats in collect_event_stats(snapshot)],
        "policies": [{"name": policy.name, "text": str(policy)} for policy in index.policies.values()],
    }


def attribute_json(stats: AttributeStats, max_values: int) -> AttributeForm:
    """Return the JSON form of an attribute with its most frequent values."""
    counts = stats.count_by_value().filter(pl.col("devices") > 0)
    frequent = counts.sort("devices", "value", descending=[True, False]).head(max_values)
    return {
        "name": stats.name,
        "kind": kind_of(stats.role),
        "values": stats.distinct_count,
        "multiple": not stats.is_single_valued,
        "most_frequent": [{"value": value, "devices": devices} for value, devices in frequent.iter_rows()],
    }


def kind_of(role: Role) -> str:
    """Return the kind of the values of a role.

    >>> kind_of("tags"), kind_of("number")
    ('tag', 'number')
    """
    return "tag" if role == "tags" else role


def _segment_count_json(name: str, index: DeviceIndex, asked: AsOf) -> SegmentCountForm:
    expr, devices = index.segments[name], None
    with suppress(
        ExpressionError
    ):  # it asks about days of events that are not covered, or about an attribute that is gone
        devices = count_devices(expr, index.snapshot, asked)
    return {"name": name, "expression": render(expr), "devices": devices}


def _event_json(stats: EventStats) -> EventForm:
    return {
        "name": stats.name,
        "devices": stats.device_count,
        "first_day": None if stats.first_day is None else stats.first_day.isoformat(),
        "last_day": None if stats.last_day is None else stats.last_day.isoformat(),
        "properties": [{"name": name, "kind": kind_of(role)} for name, role in stats.properties.items()],
    }
