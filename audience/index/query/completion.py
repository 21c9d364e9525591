"""Complete a text with the attributes, values and segments of an index, the most frequent values first."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import polars as pl

from audience.index.query.events.names import NamedEvents
from audience.index.query.pattern_search import find_prefix_ranks
from audience.index.schema.columns import list_id_calls
from audience.index.schema.value_types import value_type_of
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.polars_bridge import read_value_table
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.attribute_names import UNTYPED, canonical_type
from audience.language.completion import Completion, Place, complete_words, find_place
from audience.language.printer import quote_name, quote_value

MAX_VALUES = 50  # of one attribute
COUNT_SCHEMA = {"value": pl.String, "devices": pl.UInt64}  # a sum of 32 bits would wrap around


class EventNames(Protocol):
    """Events of an index, by name."""

    def count_devices(self) -> Mapping[str, int]:
        """Return how many devices have each event, the most frequent first."""

    def list_properties(self, event: str) -> Iterable[str]:
        """Return the properties of an event, those that are tags without a value left out."""

    def list_numbers(self, event: str) -> Iterable[str]:
        """Return the properties of an event that are numbers."""

    def count_values(self, event: str, property_: str, prefix: str) -> Mapping[str, int | None]:
        """Return the values of a property that begin with *prefix* and, if known, how many devices have each.

        The property UNTYPED has the tags of the event as its values.
        """


def complete_with_index(
    text: str, position: int, snapshot: Snapshot, events: EventNames | None = None
) -> list[Completion]:
    """Return what may come next at *position* of *text*, names and values of the index first.

    Args:
        text: Expression, complete or not.
        position: Position in *text*.
        snapshot: Snapshot with the names and values.
        events: Names of events; None is those of the snapshot.
    """
    place = find_place(text, position)
    if place is None:
        return []
    if place.event or place.subject in ("event", "aggregated"):
        names = [*_complete_events(place, NamedEvents(snapshot) if events is None else events)]
    else:
        names = [*_complete_names(place, snapshot)]
    return [*names, *complete_words(place)]


def _complete_events(place: Place, events: EventNames) -> Iterator[Completion]:
    """Yield names and values inside the brackets of a call about events."""
    match place.subject:
        case "event":
            for name, devices in events.count_devices().items():
                if name.startswith(place.typed):
                    yield place.make(quote_name(name), "event", devices)
        case "aggregated":
            yield from _complete_numbers(place, events)
        case "attribute":
            yield from _complete_properties(place, events)
        case "property":
            yield from _complete_properties(place, events)
            yield from _complete_property_values(place, UNTYPED, events)
        case "tag":
            yield from _complete_property_values(place, UNTYPED, events)
        case "value":
            yield from _complete_property_values(place, canonical_type(place.attribute), events)


def _complete_numbers(place: Place, events: EventNames) -> Iterator[Completion]:
    """Yield the numbers of events, such as `purchase.amount`."""
    for event, devices in events.count_devices().items():
        for property_ in events.list_numbers(event):
            path = f"{event}.{property_}"
            if "." not in property_ and path.startswith(place.typed):
                yield place.make(quote_name(path), "property", devices)


def _complete_properties(place: Place, events: EventNames) -> Iterator[Completion]:
    for property_ in events.list_properties(place.event):
        if property_.startswith(place.typed):
            yield place.make(quote_name(property_), "property")


def _complete_property_values(place: Place, property_: str, events: EventNames) -> Iterator[Completion]:
    is_tag = property_ == UNTYPED
    for value, devices in events.count_values(place.event, property_, place.typed).items():
        yield place.make(quote_name(value) if is_tag else quote_value(value), "tag" if is_tag else "value", devices)


def _complete_names(place: Place, snapshot: Snapshot) -> Iterator[Completion]:
    match place.subject:
        case "term" if place.typed.startswith("@"):
            yield from _complete_segments(place, snapshot)
        case "term":
            yield from _complete_attributes(place, snapshot, (UNTYPED,))
            yield from _complete_values(place, UNTYPED, snapshot)
            if not place.is_quoted:
                yield from _complete_id_calls(place, snapshot)
                yield from _complete_segments(place, snapshot) if not place.typed else ()
        case "attribute":
            yield from _complete_attributes(place, snapshot, ())
        case "ordering":
            unordered = (name for name, role in snapshot.roles.items() if not value_type_of(role).is_ordered)
            yield from _complete_attributes(place, snapshot, tuple(unordered))
        case "tag":
            yield from _complete_values(place, UNTYPED, snapshot)
        case "value":
            yield from _complete_values(place, canonical_type(place.attribute), snapshot)


def _complete_segments(place: Place, snapshot: Snapshot) -> Iterator[Completion]:
    for name in sorted(snapshot.manifest.segments):
        if name.startswith(place.typed.removeprefix("@")):
            yield place.make(f"@{quote_name(name)}", "segment")


def _complete_attributes(place: Place, snapshot: Snapshot, hidden: tuple[str, ...]) -> Iterator[Completion]:
    for name in snapshot.roles:
        if name.startswith(place.typed) and name not in hidden:
            yield place.make(quote_name(name), "attribute")


def _complete_id_calls(place: Place, snapshot: Snapshot) -> Iterator[Completion]:
    for name in dict.fromkeys(list_id_calls(snapshot.id_columns)):
        if name.startswith(place.typed):
            yield place.make(f"{quote_name(name)}(", "function")


def _complete_values(place: Place, attribute: str, snapshot: Snapshot) -> Iterator[Completion]:
    counts = count_values_with_prefix(attribute, place.typed, snapshot)
    for value, devices in counts.iter_rows():
        text = quote_name(value) if attribute == UNTYPED else quote_value(value)
        yield place.make(text, "tag" if attribute == UNTYPED else "value", devices)


def count_values_with_prefix(attribute: str, prefix: str, snapshot: Snapshot) -> pl.DataFrame:
    """Return the most frequent values that begin with *prefix*, with their device counts.

    Upper and lower case are distinguished only if a value begins with *prefix* itself.
    """
    for ignores_case in (False, True):
        parts = [
            part
            for shard in snapshot.shards
            if (stored := shard.attributes.get(attribute)) is not None
            and not (stored.bit_slicing and stored.bit_slicing.step)  # numbers that are not listed
            for part in [_count_in_shard(shard, stored, prefix, ignores_case)]
        ]
        counts = pl.concat([pl.DataFrame(schema=COUNT_SCHEMA), *parts])
        if len(counts) or not prefix:
            break
    totals = counts.group_by("value").agg(pl.col("devices").sum(), has_nulls=pl.col("devices").is_null().any())
    totals = totals.select("value", devices=pl.when(~pl.col("has_nulls")).then("devices"))
    totals = totals.filter(pl.col("devices").is_null() | (pl.col("devices") > 0))
    return totals.sort(["devices", "value"], descending=[True, False], nulls_last=True).head(MAX_VALUES)


def _count_in_shard(shard: Shard, stored: StoredAttribute, prefix: str, ignores_case: bool) -> pl.DataFrame:
    """Return the values of *stored* in *shard* that begin with *prefix*, and how many devices have each."""
    start, stop = 0, stored.value_count
    if prefix and not ignores_case and not value_type_of(stored.role).is_ordered:
        start, stop = find_prefix_ranks(prefix, shard.attribute_values(stored))
    table = read_value_table(shard).slice(stored.start + start, stop - start)
    table = table.select("value", devices="cardinality").with_row_index("tag_row", stored.start + start)
    if prefix:
        values = pl.col("value").str.to_lowercase() if ignores_case else pl.col("value")
        table = table.filter(values.str.starts_with(prefix.lower() if ignores_case else prefix))
    if stored.bit_slicing:  # its values have no bitmaps of their own, and are not counted
        return table.head(MAX_VALUES).select("value", devices=pl.lit(None, pl.UInt64))
    return _without_deleted(table, shard).select("value", pl.col("devices").cast(pl.UInt64))


def _without_deleted(table: pl.DataFrame, shard: Shard) -> pl.DataFrame:
    deleted = shard.deleted
    if deleted is None:
        return table
    bitmaps = shard.load_bitmaps(table["tag_row"].to_list())
    counts = [bitmap.intersection_cardinality(deleted) for bitmap in bitmaps]
    return table.with_columns(pl.col("devices") - pl.Series(counts, dtype=pl.UInt32))
