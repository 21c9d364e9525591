"""The devices that were found: their number, their ids, a frame of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from audience.errors import PlanError, Problem
from audience.index import bits
from audience.index.bits import BitMap
from audience.index.columns import ID_WORDS
from audience.index.store import Store
from audience.vendors import vendor as vendor_record


@dataclass(frozen=True, slots=True)
class Crowd:
    """The devices that an expression means, in the order in which the index numbers them."""

    rows: BitMap
    store: Store

    def __len__(self) -> int:
        return len(self.rows)

    def tokens(self, vendor: str | None = None) -> pl.Series:
        """One id a device: those of *vendor*, or of the first column of ids; null where a device has none there.

        Raises PlanError where it is not clear which column holds the ids of *vendor*.
        """
        return self._take(id_column(self.store.ids, vendor)).rename("token")

    def to_frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """One row a device, with its ids, aliases and accounts; *columns* names those that are wanted.

        Raises PlanError for a column that the index does not keep.
        """
        kept = {name.partition(":")[2]: name for name in self.store.ids}
        for name in columns or ():
            if name not in kept:
                hint = f"it keeps {', '.join(kept)}"
                raise PlanError(Problem("no-column", f"the index keeps no column {name!r}", hint=hint))
        return pl.DataFrame([self._take(kept[name]).rename(name) for name in columns or kept])

    def _take(self, name: str) -> pl.Series:
        return self.store.id_table[name].gather(pl.Series(bits.rows_of(self.rows)))


def id_column(ids: Sequence[str], vendor: str | None) -> str:
    """The column of *ids* that holds the ids of *vendor*.

    A column of the vendor's own comes first; then the only column that belongs to no vendor.
    """
    names = {name.partition(":")[2]: name for name in ids if name.startswith("id:")}
    if vendor is None:
        first = next((word for word in ID_WORDS if word in names), next(iter(names)))
        return names[first]
    for name in vendor_record(vendor).known_by:
        if name in names:
            return names[name]
    common = [name for name in names if name in ID_WORDS]
    if len(common) == 1:
        return names[common[0]]
    message = f"which column holds the ids of {vendor}? The index has {', '.join(names)}"
    raise PlanError(Problem("no-token", message, hint=f"build it with --token {vendor}=COLUMN"))
