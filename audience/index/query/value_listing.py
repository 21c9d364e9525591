"""Values of an attribute with their device counts, also among the devices of an audience."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from audience.index.query.attribute_stats import AttributeStats
from audience.index.query.counting import count_devices
from audience.index.query.resolve import resolve_rows
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Expr, Tag


class ListedValue(NamedTuple):
    """Value with the number of its devices, and of those of them that are in the audience, if there is one."""

    value: str
    device_count: int
    within: int | None


@dataclass(frozen=True, slots=True)
class ValueListing:
    """Some of the values of an attribute.

    Attributes:
        total: Number of all values that begin with the prefix.
        values: The most frequent ones, or the first ones of numbers that are not counted one by one.
    """

    total: int
    values: tuple[ListedValue, ...]


def list_values(
    stats: AttributeStats, prefix: str, limit: int, audience: Expr | None = None, asked: AsOf | None = None
) -> ValueListing:
    """Return the values of an attribute that begin with *prefix*, the most frequent first.

    Upper and lower case are distinguished only if a value begins with *prefix* itself.

    Args:
        stats: The attribute.
        prefix: Beginning of the values.
        limit: Largest number of values.
        audience: Audience within which they are counted, too.
        asked: Moment of the audience.

    Raises:
        ExpressionError: The index cannot answer *audience*.
    """
    snapshot = stats.snapshot
    rows = None if audience is None else resolve_rows(audience, snapshot, asked)
    is_sliced = any(stored.bit_slicing for _, stored in stats.shard_attributes)
    if is_sliced:
        values = _filter_by_prefix(pl.DataFrame({"value": stats.values}), prefix)
        counted = [(value, _count_value(stats.name, value, snapshot)) for value in values["value"].head(limit)]
    else:
        values = _filter_by_prefix(stats.count_by_value().filter(pl.col("devices") > 0), prefix)
        counted = [*values.sort("devices", "value", descending=[True, False]).head(limit).iter_rows()]
    listed = [
        ListedValue(value, devices, None if rows is None else _count_within(stats.name, value, rows, snapshot))
        for value, devices in counted
    ]
    return ValueListing(len(values), tuple(listed))


def _filter_by_prefix(values: pl.DataFrame, prefix: str) -> pl.DataFrame:
    exact = values.filter(pl.col("value").str.starts_with(prefix))
    if len(exact) or not prefix:
        return exact
    return values.filter(pl.col("value").str.to_lowercase().str.starts_with(prefix.lower()))


def _count_value(attribute: str, value: str, snapshot: Snapshot) -> int:
    return count_devices(Tag(attribute, value), snapshot)


def _count_within(attribute: str, value: str, rows: Sequence[BitMap], snapshot: Snapshot) -> int:
    """Return how many devices of *rows*, by shard, have a value."""
    having = resolve_rows(Tag(attribute, value), snapshot)
    return sum(own.intersection_cardinality(among) for own, among in zip(having, rows, strict=True))
