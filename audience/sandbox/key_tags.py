"""Tags that are bound to keys of one kind, devices, aliases or accounts, and that pushes follow after a delay."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from audience.sandbox.http_types import DeviceMask
from audience.sandbox.population import Population
from audience.sandbox.population_rows import Rows
from audience.sandbox.tag_store import TagStore

TagChange: TypeAlias = Literal["add", "remove", "delete"]


@dataclass
class KeyTags:
    """Tags of the keys of one kind.

    Attributes:
        bound: Tags as calls have set them, of a population with a device for each key.
        clock: Returns the Unix time in seconds.
        delay: Seconds until pushes follow a change.
    """

    bound: TagStore
    clock: Callable[[], float]
    delay: float
    _seen: TagStore = field(init=False)
    _waiting: deque[tuple[float, TagChange, str, Rows]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        is_immediate = self.delay <= 0
        self._seen = self.bound if is_immediate else TagStore(self.bound.population, self.bound.vendor)

    def reset(self) -> None:
        """Restore the tags of the table."""
        self._waiting.clear()
        self.bound.reset()
        self._seen.reset()

    def change(self, verb: TagChange, name: str, rows: Rows) -> None:
        """Add a tag to the keys in *rows*, remove it from them, or delete it."""
        _apply(self.bound, verb, name, rows)
        if self._seen is not self.bound:
            self._waiting.append((self.clock() + self.delay, verb, name, rows))

    def seen_by_pushes(self) -> TagStore:
        """Return the tags that pushes follow now."""
        now = self.clock()
        while self._waiting and self._waiting[0][0] <= now:
            _apply(self._seen, *self._waiting.popleft()[1:])
        return self._seen


@dataclass(frozen=True)
class NamedKeys:
    """Aliases or accounts, as a population with a device for each, and the rows of their own devices."""

    names: Population
    row_counts: npt.NDArray[np.int64]
    rows: Rows

    @classmethod
    def collect(cls, rows_by_name: Mapping[str, list[int]]) -> "NamedKeys":
        """Return the keys of *rows_by_name*."""
        names = pl.Series("registration_id", list(rows_by_name), pl.String)
        rows = [row for each in rows_by_name.values() for row in each]
        counts = np.array([len(each) for each in rows_by_name.values()], dtype=np.int64)
        return cls(Population(names.to_frame()), counts, np.array(rows, dtype=np.uint32))

    def find_devices(self, keys: DeviceMask, device_count: int) -> DeviceMask:
        """Return which of *device_count* devices have one of *keys*.

        >>> keys = NamedKeys.collect({"u1": [0, 2], "u2": [1]})
        >>> keys.find_devices(np.array([True, False]), 4).tolist()
        [True, False, True, False]
        """
        devices = np.zeros(device_count, dtype=np.bool_)
        devices[self.rows[np.repeat(keys, self.row_counts)]] = True
        return devices


def _apply(store: TagStore, verb: TagChange, name: str, rows: Rows) -> None:
    match verb:
        case "add":
            store.add(name, rows)
        case "remove":
            store.remove(name, rows)
        case "delete":
            store.delete(name)
