"""Encoding of events as the rows of segments: sorted by day and device, their values as codes."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.ingest.cast import format_values
from audience.index.ingest.dictionary import as_scaled_ints, encode_dictionary, encode_flags
from audience.index.schema.columns import Column, Role
from audience.index.storage.device_numbers import lower_bits, partition_of
from audience.index.storage.events.stored_values import StoredValues
from audience.index.storage.events.writer import EventRows, PropertyRows

EVENT, DAY, NUMBER, INSTANT, ID = "event", "day", "number", "instant", "id"  # columns of a frame of events
MAX_SCALE = 18  # of numbers that are stored as 64-bit whole numbers


def property_column(position: int) -> str:
    """Return the name that the property at *position* has in a frame of events."""
    return f"property {position}"


def encode_events(
    frame: pl.DataFrame, names: Sequence[str], properties: Sequence[Column], batch: int = 0
) -> Iterator[EventRows]:
    """Yield the events of each name.

    Args:
        frame: Columns of events of devices of one partition, those of names being positions in *names*, and a column
            for each of *properties*, as `property_column` calls it.
        names: Names of events.
        properties: Columns of the properties, with their roles.
        batch: Number of the batch in the file.
    """
    if not len(frame):
        return
    parts = frame.partition_by(EVENT) if frame[EVENT].n_unique() > 1 else [frame]
    for events in sorted(parts, key=lambda part: names[part[EVENT][0]]):
        days, instants, numbers = events[DAY].to_numpy(), events[INSTANT].to_numpy(), events[NUMBER].to_numpy()
        numbers = lower_bits(numbers)
        order = order_events(days, numbers, instants)
        yield EventRows(
            names[events[EVENT][0]],
            days[order],
            numbers[order],
            instants[order],
            {
                property_name(column): encode_property(values, column).take(order)
                for position, column in enumerate(properties)
                if (values := events[property_column(position)]).null_count() < len(values)
            },
            (batch,),
        )


def find_partition(frame: pl.DataFrame) -> int:
    """Return the partition of the devices of the events in *frame*, of which there is at least one."""
    return partition_of(int(frame[NUMBER][0]))


def order_events(
    days: NDArray[np.int32], numbers: NDArray[np.uint32], instants: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Return the positions of events ordered by day, device number and instant.

    >>> order_events(np.array([2, 1], dtype=np.int32), np.array([0, 7], dtype=np.uint32), np.array([5, 9])).tolist()
    [1, 0]
    """
    keys = (days - days.min()).astype(np.uint64) << np.uint64(32) | numbers
    ordered = pl.DataFrame({"key": keys, "instant": instants}).select(pl.arg_sort_by("key", "instant"))
    return ordered.to_series().to_numpy()


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
    """Return sorted distinct numbers as 64-bit integers of one decimal scale if all of them fit, else as strings.

    >>> store_decimals("number", ["0.0000001", "12"]).scaled()[0].tolist()
    [1, 120000000]
    >>> store_decimals("number", ["0.5", "1e300"]).scaled()
    """
    numbers = [Decimal(text) for text in texts]
    scale = max(max(-int(number.normalize().as_tuple().exponent), 0) for number in numbers)
    if scale <= MAX_SCALE and all(number.adjusted() + scale < MAX_SCALE for number in numbers):
        return StoredValues(role, np.array([int(number.scaleb(scale)) for number in numbers], dtype=np.int64), scale)
    return StoredValues.of_strings(role, list(texts))
