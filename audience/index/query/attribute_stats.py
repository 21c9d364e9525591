"""What an index knows of an attribute."""

from dataclasses import dataclass, field
from functools import partial

import polars as pl

from audience.index.schema.columns import ORDERED_ROLES, Role
from audience.index.schema.value_types import parse_value as key
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.polars_bridge import read_attribute_values, read_value_table
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class AttributeStats:
    """One attribute of a snapshot: its name, its role, and what its shards hold of it."""

    name: str
    role: Role
    snapshot: Snapshot = field(repr=False, compare=False)

    @property
    def shard_attributes(self) -> list[tuple[Shard, StoredAttribute]]:
        """Each shard that has the attribute, and what it knows of it."""
        return [(shard, shard.attributes[self.name]) for shard in self.snapshot.shards if self.name in shard.attributes]

    @property
    def is_single_valued(self) -> bool:
        """Whether a device has one value at most."""
        return all(part.is_single_valued for _, part in self.shard_attributes)

    @property
    def bit_depth(self) -> int:
        """How many binary digits its values take where they are too many for a bitmap each; else 0."""
        return max((part.bit_slicing.bit_depth for _, part in self.shard_attributes if part.bit_slicing), default=0)

    @property
    def distinct_count(self) -> int:
        """How many values there are; of numbers kept as digits, how many one shard has at most."""
        if any(part.bit_slicing and part.bit_slicing.step for _, part in self.shard_attributes):
            return max(part.distinct_count for _, part in self.shard_attributes)
        return len(self.values)

    @property
    def values(self) -> pl.Series:
        """The values that are written down, as text, in their order."""
        none = pl.Series("value", [], dtype=pl.String)
        found = (
            pl.concat([none, *(read_attribute_values(shard, part) for shard, part in self.shard_attributes)])
            .unique()
            .sort()
        )
        if self.role not in ORDERED_ROLES or len(found) < 2:
            return found
        return pl.Series("value", sorted(found, key=partial(key, self.role)), dtype=pl.String)

    def count_by_value(self) -> pl.DataFrame:
        """How many devices have each value that has a bitmap of its own: columns `value` and `devices`."""
        none = pl.DataFrame(schema={"value": pl.String, "devices": pl.UInt32})
        some = [_count_by_value(shard, part) for shard, part in self.shard_attributes if part.bit_slicing is None]
        return pl.concat([none, *some]).group_by("value").agg(pl.col("devices").sum()).sort("value")


def collect_attribute_stats(snapshot: Snapshot) -> dict[str, AttributeStats]:
    """What can be asked, by name; bare tags are the attribute `tag`."""
    return {name: AttributeStats(name, role, snapshot) for name, role in snapshot.roles.items()}


def _count_by_value(shard: Shard, attribute: StoredAttribute) -> pl.DataFrame:
    found = read_value_table(shard).slice(attribute.start, attribute.value_count).select("value", devices="cardinality")
    if shard.deleted is None:
        return found
    gone = [
        shard.load_bitmap(row).intersection_cardinality(shard.deleted) for row in range(attribute.start, attribute.stop)
    ]
    return found.with_columns(pl.col("devices") - pl.Series(gone, dtype=pl.UInt32))
