"""The devices that were found: their number, their ids, a frame of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.errors import PlanError, Problem
from audience.index.ingest.decode import as_lists
from audience.index.schema.columns import GENERIC_ID_COLUMNS, rank_id_columns
from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.polars_bridge import read_ids_at
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.vendors import get_vendor


@dataclass(frozen=True)
class DeviceSet:
    """The devices that an expression means, shard by shard, in the order in which each numbers them."""

    bitmaps: Sequence[BitMap]
    snapshot: Snapshot

    @cached_property
    def _device_count(self) -> int:
        return sum(map(len, self.bitmaps))

    def __len__(self) -> int:
        return self._device_count

    @property
    def shard_rows(self) -> Iterator[tuple[Shard, NDArray[np.uint32]]]:
        """Each shard in which there are any, and their rows there."""
        for shard, found in zip(self.snapshot.shards, self.bitmaps, strict=True):
            if found:
                yield shard, bitmaps.bitmap_to_rows(found)

    def global_rows(self) -> NDArray[np.uint32]:
        """The rows as one array, those of each shard behind all rows of the shards before it."""
        if len(self.bitmaps) == 1:
            return bitmaps.bitmap_to_rows(self.bitmaps[0])
        whole, first, at = np.empty(len(self), dtype=np.uint32), 0, 0
        for shard, found in zip(self.snapshot.shards, self.bitmaps, strict=True):
            np.add(bitmaps.bitmap_to_rows(found), np.uint32(first), out=whole[at : at + len(found)])
            first, at = first + shard.row_count, at + len(found)
        return whole

    def ids(self, vendor: str | None = None) -> pl.Series:
        """One id a device: those of *vendor*, or of the first column of ids; null where a device has none there.

        Raises PlanError where it is not clear which column holds the ids of *vendor*.
        """
        return self._gather_ids(find_id_column(self.snapshot.id_column_names, vendor)).rename("token")

    def difference(self, other: "DeviceSet") -> "DeviceSet":
        """Those of the devices that are not in *other*, a crowd of the same snapshot."""
        found = [mine - theirs for mine, theirs in zip(self.bitmaps, other.bitmaps, strict=True)]
        return DeviceSet(found, self.snapshot)

    def to_frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """One row a device, with its ids, aliases and accounts; *columns* names those that are wanted.

        Raises PlanError for a column that the index does not keep.
        """
        kept = {name.partition(":")[2]: name for name in self.snapshot.id_column_names}
        for name in columns or ():
            if name not in kept:
                hint = f"it keeps {', '.join(kept)}"
                raise PlanError(Problem("no-column", f"the index keeps no column {name!r}", hint=hint))
        return pl.DataFrame([self._gather_ids(kept[name]).rename(name) for name in columns or kept])

    def _gather_ids(self, id_column: str) -> pl.Series:
        found = [read_ids_at(shard, id_column, rows) for shard, rows in self.shard_rows]
        if any(isinstance(each.dtype, pl.List) for each in found):
            found = [as_lists(each) for each in found]
        return pl.concat(found) if found else pl.Series(id_column, [], dtype=pl.String)


def find_id_column(id_columns: Sequence[str], vendor: str | None) -> str:
    """The column of *ids* that holds the ids of *vendor*.

    A column of the vendor's own comes first; then the only column that belongs to no vendor.
    """
    names = {name.partition(":")[2]: name for name in id_columns if name.startswith("id:")}
    if vendor is None:
        return rank_id_columns(id_columns)[0]
    for name in get_vendor(vendor).id_columns:
        if name in names:
            return names[name]
    common = [name for name in names if name in GENERIC_ID_COLUMNS]
    if len(common) == 1:
        return names[common[0]]
    message = f"which column holds the ids of {vendor}? The index has {', '.join(names)}"
    raise PlanError(Problem("no-token", message, hint=f"build it with --token {vendor}=COLUMN"))
