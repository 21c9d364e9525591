"""Describe the attributes of an index: their roles, values and device counts."""

from dataclasses import dataclass, field

import polars as pl

from audience.index.schema.columns import Role
from audience.index.schema.value_types import value_type_of
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.polars_bridge import read_attribute_values, read_value_table
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class AttributeStats:
    """Attribute of a snapshot: its name, its role and its values in all shards."""

    name: str
    role: Role
    snapshot: Snapshot = field(repr=False, compare=False)

    @property
    def shard_attributes(self) -> list[tuple[Shard, StoredAttribute]]:
        """Return each shard that has the attribute, with the attribute as stored there."""
        return [(shard, shard.attributes[self.name]) for shard in self.snapshot.shards if self.name in shard.attributes]

    @property
    def is_single_valued(self) -> bool:
        """Return whether no device has more than one value."""
        return all(stored.is_single_valued for _, stored in self.shard_attributes)

    @property
    def bit_depth(self) -> int:
        """Return the number of bit slices if there are too many values for one bitmap each, else 0."""
        slicings = [stored.bit_slicing for _, stored in self.shard_attributes]
        return max((slicing.bit_depth for slicing in slicings if slicing), default=0)

    @property
    def distinct_count(self) -> int:
        """Return the number of distinct values; for bit-sliced numbers, the largest number in one shard."""
        if any(stored.bit_slicing and stored.bit_slicing.step for _, stored in self.shard_attributes):
            return max(stored.distinct_count for _, stored in self.shard_attributes)
        return len(self.values)

    @property
    def values(self) -> pl.Series:
        """Return the stored values as strings, in the order of the attribute's type."""
        empty = pl.Series("value", [], dtype=pl.String)
        parts = [read_attribute_values(shard, stored) for shard, stored in self.shard_attributes]
        values = pl.concat([empty, *parts]).unique().sort()
        value_type = value_type_of(self.role)
        if not value_type.is_ordered or len(values) < 2:
            return values
        return pl.Series("value", sorted(values, key=value_type.parse), dtype=pl.String)

    def count_by_value(self) -> pl.DataFrame:
        """Return the columns `value` and `devices`: the device count of each value that has its own bitmap."""
        empty = pl.DataFrame(schema={"value": pl.String, "devices": pl.UInt64})
        counts = [_count_by_value(shard, stored) for shard, stored in self.shard_attributes if not stored.bit_slicing]
        wide = [each.cast({"devices": pl.UInt64}) for each in counts]  # a sum of 32 bits would wrap around
        return pl.concat([empty, *wide]).group_by("value").agg(pl.col("devices").sum()).sort("value")


def collect_attribute_stats(snapshot: Snapshot) -> dict[str, AttributeStats]:
    """Return the attributes of *snapshot* by name; bare tags are the attribute `tag`."""
    return {name: AttributeStats(name, role, snapshot) for name, role in snapshot.roles.items()}


def _count_by_value(shard: Shard, stored: StoredAttribute) -> pl.DataFrame:
    counts = read_value_table(shard).slice(stored.start, stored.value_count).select("value", devices="cardinality")
    deleted = shard.deleted
    if deleted is None:
        return counts
    bitmaps = [shard.load_bitmap(row) for row in range(stored.start, stored.stop)]
    deleted_counts = [bitmap.intersection_cardinality(deleted) for bitmap in bitmaps]
    return counts.with_columns(pl.col("devices") - pl.Series(deleted_counts, dtype=pl.UInt32))
