"""What an index knows of an attribute."""

from dataclasses import dataclass, field
from functools import partial

import polars as pl

from audience.index.schema.columns import ORDERED, Role
from audience.index.schema.value_types import read as key
from audience.index.storage.layout import Attribute
from audience.index.storage.polars_bridge import table, values
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Known:
    """One attribute of a snapshot: its name, its role, and what its shards hold of it."""

    name: str
    role: Role
    snapshot: Snapshot = field(repr=False, compare=False)

    @property
    def parts(self) -> list[tuple[Shard, Attribute]]:
        """Each shard that has the attribute, and what it knows of it."""
        return [(shard, shard.attributes[self.name]) for shard in self.snapshot.shards if self.name in shard.attributes]

    @property
    def single(self) -> bool:
        """Whether a device has one value at most."""
        return all(part.single for _, part in self.parts)

    @property
    def digits(self) -> int:
        """How many binary digits its values take where they are too many for a bitmap each; else 0."""
        return max((part.digits.count for _, part in self.parts if part.digits), default=0)

    @property
    def distinct(self) -> int:
        """How many values there are; of numbers kept as digits, how many one shard has at most."""
        if any(part.digits and part.digits.step for _, part in self.parts):
            return max(part.distinct for _, part in self.parts)
        return len(self.values)

    @property
    def values(self) -> pl.Series:
        """The values that are written down, as text, in their order."""
        none = pl.Series("value", [], dtype=pl.String)
        found = pl.concat([none, *(values(shard, part) for shard, part in self.parts)]).unique().sort()
        if self.role not in ORDERED or len(found) < 2:
            return found
        return pl.Series("value", sorted(found, key=partial(key, self.role)), dtype=pl.String)

    def counts(self) -> pl.DataFrame:
        """How many devices have each value that has a bitmap of its own: columns `value` and `devices`."""
        none = pl.DataFrame(schema={"value": pl.String, "devices": pl.UInt32})
        some = [_counts(shard, part) for shard, part in self.parts if part.digits is None]
        return pl.concat([none, *some]).group_by("value").agg(pl.col("devices").sum()).sort("value")


def known(snapshot: Snapshot) -> dict[str, Known]:
    """What can be asked, by name; bare tags are the attribute `tag`."""
    return {name: Known(name, role, snapshot) for name, role in snapshot.roles.items()}


def _counts(shard: Shard, part: Attribute) -> pl.DataFrame:
    found = table(shard).slice(part.start, part.written).select("value", devices="cardinality")
    if shard.dead is None:
        return found
    gone = [shard.bitmap(row).intersection_cardinality(shard.dead) for row in range(part.start, part.stop)]
    return found.with_columns(pl.col("devices") - pl.Series(gone, dtype=pl.UInt32))
