"""Encoding of events as the rows of segments: sorted by day and device, their values as codes."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import numpy as np
import polars as pl

from audience.index.ingest.cast import format_values
from audience.index.ingest.dictionary import as_scaled_ints, encode_dictionary, encode_flags
from audience.index.schema.columns import Column, Role
from audience.index.storage.events.stored_values import StoredValues
from audience.index.storage.events.writer import EventRows, PropertyRows

EVENT, DAY, NUMBER, INSTANT, BATCH = "event", "day", "number", "instant", "batch"  # columns of a frame of events
MAX_SCALE = 18  # of numbers that are stored as 64-bit whole numbers


def property_column(position: int) -> str:
    """Return the name that the property at *position* has in a frame of events."""
    return f"property {position}"


def encode_events(frame: pl.DataFrame, properties: Sequence[Column]) -> Iterator[EventRows]:
    """Yield the events of each name.

    Args:
        frame: Columns of events, and a column for each of *properties*, as `property_column` calls it.
        properties: Columns of the properties, with their roles.
    """
    ordered = frame.sort(EVENT, DAY, NUMBER, INSTANT, maintain_order=True)
    for events in ordered.partition_by(EVENT, maintain_order=True):
        yield EventRows(
            str(events[EVENT][0]),
            events[DAY].to_numpy(),
            events[NUMBER].to_numpy(),
            events[INSTANT].to_numpy(),
            {
                property_name(column): encode_property(values, column)
                for position, column in enumerate(properties)
                if (values := events[property_column(position)]).null_count() < len(values)
            },
        )


def property_name(column: Column) -> str:
    """Return the name of a property in expressions; a Boolean one is the tag of the name of its column."""
    return column.name_in_table if column.role == "tags" else column.name


def encode_property(values: pl.Series, column: Column) -> PropertyRows:
    """Return the distinct values of a column in order, and the code of each row."""
    if column.role == "tags":
        dictionary = encode_flags(values, column.name_in_table)
        return PropertyRows(StoredValues.of_strings("tags", dictionary.values.to_list()), dictionary.codes)
    dictionary = encode_dictionary(values, column.role)
    return PropertyRows(store_values(dictionary.values, column.role), dictionary.codes)


def store_values(values: pl.Series, role: Role) -> StoredValues:
    """Return sorted distinct values as they are stored."""
    if not len(values):
        return StoredValues.of_strings(role, [])
    if role in ("number", "date", "time"):
        scaled = as_scaled_ints(values)
        if scaled is not None:
            return StoredValues(role, scaled.numbers, scaled.scale)
        return store_decimals(role, format_values(values).to_list())
    return StoredValues.of_strings(role, values.cast(pl.String).to_list())


def store_decimals(role: Role, texts: Sequence[str]) -> StoredValues:
    """Return sorted distinct numbers as 64-bit whole numbers of one scale if all of them fit, else as strings.

    >>> store_decimals("number", ["0.0000001", "12"]).scaled()[0].tolist()
    [1, 120000000]
    >>> store_decimals("number", ["0.5", "1e300"]).scaled()
    """
    numbers = [Decimal(text) for text in texts]
    scale = max(max(-int(number.normalize().as_tuple().exponent), 0) for number in numbers)
    if scale <= MAX_SCALE and all(number.adjusted() + scale < MAX_SCALE for number in numbers):
        return StoredValues(role, np.array([int(number.scaleb(scale)) for number in numbers], dtype=np.int64), scale)
    return StoredValues.of_strings(role, list(texts))
