"""The devices with the largest and smallest values of an attribute, against a sort in Python."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version
from strategies import bucket_of

from audience import DeviceIndex
from audience.index.ingest import build, encode
from audience.index.query.ranking import TIE_SEED, choose_extremes
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.shard import Shard

NUMBERS = [0.0, -1.5, 2.25, 3.0, 10.0, 9.0, 1e15, 0.1]
INSTANTS = [datetime(2020, 4, 1) + timedelta(hours=7 * step, microseconds=step) for step in range(6)]
COLUMNS = {
    "number": (pl.Float64, st.sampled_from(NUMBERS), float),
    "fine": (pl.Float64, st.floats(-1e6, 1e6, allow_nan=False), float),
    "numbers": (pl.List(pl.Int64), st.lists(st.integers(-3, 3), max_size=3), float),
    "day": (pl.Date, st.sampled_from([date(1, 1, 1), date(2020, 2, 29), date(2020, 3, 1), date(9999, 12, 31)]), None),
    "instant": (pl.Datetime("us"), st.sampled_from(INSTANTS), None),
    "release": (pl.String, st.sampled_from(["1.2", "1.2.0", "1.10", "2.0", "1.9.1"]), Version),
}


@contextmanager
def open_index(values: list, column: str, shard_devices: int, max_bitmaps: int) -> Iterator[DeviceIndex]:
    """Build an index of devices with *values*, of which those that are None are missing."""
    table = pl.DataFrame(
        {"registration_id": [f"r{at}" for at in range(len(values))], column: values},
        schema={"registration_id": pl.String, column: COLUMNS[column][0]},
    )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", shard_devices)
        patch.setattr(encode, "MAX_BITMAPS_PER_ATTRIBUTE", max_bitmaps)
        versions = {"versions": ["release"]} if column == "release" else {}
        yield DeviceIndex.build(table, Path(folder) / "index", **versions)


def ids_of(shard: Shard) -> list[str]:
    """Return the ids of all rows of *shard*."""
    (column,) = shard.id_columns
    return shard.read_id_column(column).to_pylist()


def sort_key(values, column: str, largest: bool):
    """Return what a device is sorted by, or None if it has no value."""
    to_key = COLUMNS[column][2] or (lambda value: value)
    keys = [to_key(value) for value in (values if isinstance(values, list) else [values]) if value is not None]
    return (max(keys) if largest else min(keys)) if keys else None


@given(st.data())
def test_extremes_are_those_of_a_sort(data):
    column = data.draw(st.sampled_from(list(COLUMNS)))
    values = data.draw(st.lists(st.none() | COLUMNS[column][1], min_size=1, max_size=25))
    largest = data.draw(st.booleans())
    with open_index(
        values, column, data.draw(st.sampled_from([4, 1_000])), data.draw(st.sampled_from([1, 99]))
    ) as index:
        shards = index.snapshot.shards
        wanted = data.draw(st.sets(st.integers(0, len(values) - 1)))
        rows = [BitMap(row for row, id_ in enumerate(ids_of(shard)) if int(id_[1:]) in wanted) for shard in shards]
        keys = {f"r{at}": key for at in wanted if (key := sort_key(values[at], column, largest)) is not None}
        in_order = sorted(keys, key=lambda id_: (bucket_of(id_, TIE_SEED), id_))
        in_order.sort(key=lambda id_: keys[id_], reverse=largest)
        for count in range(1, len(keys) + 2):
            chosen = choose_extremes(rows, count, column, shards, largest=largest)
            found = [ids_of(shard)[row] for some, shard in zip(chosen, shards, strict=True) for row in some]
            assert sorted(found) == sorted(in_order[:count])
        assert [len(some) for some in rows] == [len(BitMap(some)) for some in rows]
