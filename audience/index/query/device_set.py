"""The devices that were found: their number, their ids, a frame of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.errors import PlanError, Problem
from audience.index.ingest.decode import listed
from audience.index.schema.columns import ID_WORDS, by_preference
from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.polars_bridge import some_ids
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.vendors import vendor as vendor_record


@dataclass(frozen=True)
class Crowd:
    """The devices that an expression means, shard by shard, in the order in which each numbers them."""

    found: Sequence[BitMap]
    snapshot: Snapshot

    @cached_property
    def _size(self) -> int:
        return sum(map(len, self.found))

    def __len__(self) -> int:
        return self._size

    @property
    def parts(self) -> Iterator[tuple[Shard, NDArray[np.uint32]]]:
        """Each shard in which there are any, and their rows there."""
        for shard, found in zip(self.snapshot.shards, self.found, strict=True):
            if found:
                yield shard, bitmaps.rows_of(found)

    def rows(self) -> NDArray[np.uint32]:
        """The rows as one array, those of each shard behind all rows of the shards before it."""
        if len(self.found) == 1:
            return bitmaps.rows_of(self.found[0])
        whole, first, at = np.empty(len(self), dtype=np.uint32), 0, 0
        for shard, found in zip(self.snapshot.shards, self.found, strict=True):
            np.add(bitmaps.rows_of(found), np.uint32(first), out=whole[at : at + len(found)])
            first, at = first + shard.rows, at + len(found)
        return whole

    def tokens(self, vendor: str | None = None) -> pl.Series:
        """One id a device: those of *vendor*, or of the first column of ids; null where a device has none there.

        Raises PlanError where it is not clear which column holds the ids of *vendor*.
        """
        return self._take(id_column(self.snapshot.ids, vendor)).rename("token")

    def without(self, other: "Crowd") -> "Crowd":
        """Those of the devices that are not in *other*, a crowd of the same snapshot."""
        found = [mine - theirs for mine, theirs in zip(self.found, other.found, strict=True)]
        return Crowd(found, self.snapshot)

    def to_frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """One row a device, with its ids, aliases and accounts; *columns* names those that are wanted.

        Raises PlanError for a column that the index does not keep.
        """
        kept = {name.partition(":")[2]: name for name in self.snapshot.ids}
        for name in columns or ():
            if name not in kept:
                hint = f"it keeps {', '.join(kept)}"
                raise PlanError(Problem("no-column", f"the index keeps no column {name!r}", hint=hint))
        return pl.DataFrame([self._take(kept[name]).rename(name) for name in columns or kept])

    def _take(self, name: str) -> pl.Series:
        found = [some_ids(shard, name, rows) for shard, rows in self.parts]
        if any(isinstance(each.dtype, pl.List) for each in found):
            found = [listed(each) for each in found]
        return pl.concat(found) if found else pl.Series(name, [], dtype=pl.String)


def id_column(ids: Sequence[str], vendor: str | None) -> str:
    """The column of *ids* that holds the ids of *vendor*.

    A column of the vendor's own comes first; then the only column that belongs to no vendor.
    """
    names = {name.partition(":")[2]: name for name in ids if name.startswith("id:")}
    if vendor is None:
        return by_preference(ids)[0]
    for name in vendor_record(vendor).known_by:
        if name in names:
            return names[name]
    common = [name for name in names if name in ID_WORDS]
    if len(common) == 1:
        return names[common[0]]
    message = f"which column holds the ids of {vendor}? The index has {', '.join(names)}"
    raise PlanError(Problem("no-token", message, hint=f"build it with --token {vendor}=COLUMN"))
