"""Tags of devices as a vendor keeps them: at first the tags of the table, then with the changes of all calls.

A tag is copied from the table when a call first changes it; until then it is read from the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from audience.sandbox.http_types import DeviceMask
from audience.sandbox.population import Population
from audience.sandbox.population_rows import PopulationRows, Rows


@dataclass
class TagStore:
    """Tags of the devices of *population* at *vendor*.

    >>> import polars as pl
    >>> devices = Population(pl.DataFrame({"registration_id": ["r1", "r2"], "tags": [["a"], ["b"]]}))
    >>> store = TagStore(devices, "jpush")
    >>> store.add("b", np.array([0], dtype=np.uint32)).tolist(), store.tags_of(0), store.count("b")
    ([0], ['a', 'b'], 2)
    """

    population: Population
    vendor: str
    _changed: dict[str, PopulationRows] = field(default_factory=dict)
    _deleted: set[str] = field(default_factory=set)

    def reset(self) -> None:
        """Restore the tags of the table."""
        self._changed.clear()
        self._deleted.clear()
        self.__dict__.pop("tag_counts", None)

    def devices_with_tag(self, name: str) -> DeviceMask:
        """Return the devices with the tag *name*."""
        if name in self._changed:
            return self._changed[name].to_mask()
        return self._table_mask(name)

    def rows_with_tag(self, name: str) -> Rows:
        """Return the rows of the devices with the tag *name*."""
        if name in self._changed:
            return self._changed[name].to_rows()
        return np.flatnonzero(self._table_mask(name)).astype(np.uint32)

    def count(self, name: str) -> int:
        """Return the number of devices with the tag *name*."""
        return len(self._changed[name]) if name in self._changed else int(np.count_nonzero(self._table_mask(name)))

    def count_devices(self) -> dict[str, int]:
        """Return the number of devices of each tag, without tags that no device has."""
        return {name: count for name in self.names() if (count := self.count(name))}

    def has(self, row: int, name: str) -> bool:
        """Return whether the device in *row* has the tag *name*."""
        if name in self._changed:
            return row in self._changed[name]
        return name in self._table_tags_of(row)

    def tags_of(self, row: int) -> list[str]:
        """Return the tags of the device in *row*, sorted."""
        changed = [name for name, rows in self._changed.items() if row in rows]
        return sorted({*changed, *(name for name in self._table_tags_of(row) if name not in self._changed)})

    def names(self) -> list[str]:
        """Return all tags, sorted: also those that no device has any more, unless they were deleted."""
        table = {*self.population.tag_names(self.vendor)} - self._deleted
        return sorted(table | self._changed.keys())

    def exists(self, name: str) -> bool:
        """Return whether there is a tag *name*."""
        return name in self._changed or bool(self._table_mask(name).any())

    def own_names(self) -> set[str]:
        """Return the untyped tags, and others that calls have changed: those that count for the vendor's limit."""
        return self.population.bare_tag_names() - self._deleted | self._changed.keys()

    @cached_property
    def tag_counts(self) -> npt.NDArray[np.int32]:
        """Number of tags of each device."""
        return self.population.count_tags(self.vendor)

    def find_most_tags(self, gains: list[Rows]) -> int:
        """Return the largest number of tags of a device, of those in *gains*, if each of them got one more for each."""
        if len(gains) == 1:
            return int(self.tag_counts[gains[0]].max(initial=-1)) + 1
        rows, counts = np.unique(np.concatenate([np.zeros(0, dtype=np.uint32), *gains]), return_counts=True)
        return int((self.tag_counts[rows] + counts).max(initial=0))

    def add(self, name: str, rows: Rows) -> Rows:
        """Give the devices in *rows* the tag *name* and return those that did not have it."""
        new = self._own(name).add(rows)
        self.tag_counts[new] += 1
        return new

    def remove(self, name: str, rows: Rows) -> Rows:
        """Take the tag *name* from the devices in *rows* and return those that had it."""
        if not self.exists(name):
            return rows[:0]
        old = self._own(name).remove(rows)
        self.tag_counts[old] -= 1
        return old

    def delete(self, name: str) -> None:
        """Take the tag *name* from all devices and forget it."""
        self.remove(name, self.rows_with_tag(name))
        self._changed.pop(name, None)
        self._deleted.add(name)

    def devices_without(self, name: str, rows: Rows) -> Rows:
        """Return those of *rows* whose devices do not have the tag *name*."""
        if name in self._changed:
            return rows[~self._changed[name].find_members(rows)]
        return rows[~self._table_mask(name)[rows]]

    def _own(self, name: str) -> PopulationRows:
        if name not in self._changed:
            self._changed[name] = PopulationRows(len(self.population), self.rows_with_tag(name))
            self._deleted.discard(name)
        return self._changed[name]

    def _table_mask(self, name: str) -> DeviceMask:
        if name in self._deleted:
            return self.population.no_devices()
        return self.population.devices_with_tag(self.vendor, name)

    def _table_tags_of(self, row: int) -> Iterator[str]:
        return (name for name in self.population.tags_of_row(self.vendor, row) if name not in self._deleted)
