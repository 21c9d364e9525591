"""Numbers of the devices that events are of, found by their ids."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.schema.columns import IdColumn
from audience.index.storage import id_search
from audience.index.storage.shard import Shard


@dataclass(frozen=True, slots=True)
class FoundDevices:
    """Number of the device of each of some ids, and which of them a device has; other numbers have no meaning."""

    numbers: NDArray[np.uint32]
    is_known: NDArray[np.bool_]


def find_devices(shards: Sequence[Shard], column: IdColumn, ids: pl.Series) -> FoundDevices:
    """Return the numbers of the live devices with *ids*, of which some may be there several times."""
    codes = ids.cast(pl.Categorical(pl.Categories.random("ids", pl.UInt32)))
    positions = codes.to_physical().to_numpy()
    distinct_count = int(positions.max()) + 1 if len(positions) else 0
    distinct = pl.Series("id", np.arange(distinct_count, dtype=np.uint32)).cat.to(codes.dtype).cast(pl.String)
    numbers = np.zeros(len(distinct), dtype=np.uint32)
    is_known = np.zeros(len(distinct), dtype=np.bool_)
    for shard in shards:
        matches = id_search.find_in_column(shard, column, distinct).sort("row")
        at = matches["at"].to_numpy()
        numbers[at] = shard.device_numbers(matches["row"].to_numpy())
        is_known[at] = True
    return FoundDevices(numbers[positions], is_known[positions])
