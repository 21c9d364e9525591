"""Devices chosen by their position under a seed, against the positions computed one by one in Python."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import bucket_of

from audience import DeviceIndex, Sample
from audience.index.ingest import build
from audience.index.query import counting, evaluate, limits, physical_plan, sampling, tag_costs
from audience.index.storage import id_lookup, id_search, thresholds
from audience.index.storage.bitmaps import BitMap

SEEDS = ["summer", "winter", ""]


COLUMNS = st.sampled_from(["both", "registration_id", "tpns"])


@contextmanager
def open_index(columns: list[str], shard_devices: int, order: list[int]) -> Iterator[tuple[DeviceIndex, list[str]]]:
    """Build an index of devices whose ids are in *columns*; yield it with the id that gives each row its position."""
    table = pl.DataFrame(
        {
            "registration_id": [f"r{at}" if column != "tpns" else None for at, column in enumerate(columns)],
            "tpns_token": [f"t{at}" if column != "registration_id" else None for at, column in enumerate(columns)],
        },
        schema={"registration_id": pl.String, "tpns_token": pl.String},
    )[order]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", shard_devices)
        yield DeviceIndex.build(table, Path(folder) / "index"), first_ids(table)


def first_ids(table: pl.DataFrame) -> list[str]:
    """Return the id of each device that gives it its position."""
    return table.select(pl.coalesce("registration_id", "tpns_token")).to_series().to_list()


def ids_of(rows: list[BitMap], index: DeviceIndex) -> list[str]:
    """Return the first ids of the given rows of all shards, sorted."""
    shards = index.snapshot.shards
    return sorted(
        limits.read_first_id(row, shard)[0] for found, shard in zip(rows, shards, strict=True) for row in found
    )


@given(st.data())
def test_limit_chooses_lowest_positions(data):
    columns = data.draw(st.lists(COLUMNS, min_size=1, max_size=30))
    order = data.draw(st.permutations(range(len(columns))))
    shard_devices = data.draw(st.sampled_from([4, 1_000]))
    with open_index(columns, shard_devices, order) as (index, ids), pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_HASHED_ROWS", data.draw(st.sampled_from([0, limits.MAX_HASHED_ROWS])))
        wanted = data.draw(st.lists(st.sampled_from(ids), unique=True))
        shards = index.snapshot.shards
        rows = [
            BitMap(row for row in range(shard.row_count) if limits.read_first_id(row, shard)[0] in wanted)
            for shard in shards
        ]
        seed, deviations = data.draw(st.sampled_from(SEEDS)), data.draw(st.sampled_from([1, limits.DEVIATIONS]))
        patch.setattr(limits, "DEVIATIONS", deviations)
        for count in {1, len(wanted) // 2 + 1, len(wanted) or 1, len(wanted) + 1}:
            chosen = limits.choose_devices(rows, count, seed, shards)
            assert ids_of(chosen, index) == sorted(sorted(wanted, key=lambda id_: bucket_of(id_, seed))[:count])


@given(st.data())
def test_devices_at_one_position_are_chosen_by_id(data):
    columns = data.draw(st.lists(COLUMNS, min_size=1, max_size=12))
    order = data.draw(st.permutations(range(len(columns))))
    with open_index(columns, data.draw(st.sampled_from([4, 1_000])), order) as (index, ids):
        shards = index.snapshot.shards
        rows = [BitMap(range(shard.row_count)) for shard in shards]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(id_lookup, "_mix_hashes", lambda entries, seed_hash, mixed, spare: np.zeros_like(entries))
            for count in range(1, len(ids) + 1):
                assert ids_of(limits.choose_devices(rows, count, "x", shards), index) == sorted(ids)[:count]


def test_sample_is_every_device_below_a_position():
    columns = ["both", "registration_id", "tpns"] * 300
    with open_index(columns, 100, list(range(len(columns)))) as (index, ids):
        for percent in ("0.1", "1", "37.5", "100"):
            expr = Sample(percent, "summer")
            rows = [sampling.sample_rows(expr, shard) for shard in index.snapshot.shards]
            end = Fraction(percent) / 100
            assert ids_of(rows, index) == sorted(id_ for id_ in ids if bucket_of(id_, "summer") < end)


def test_expensive_expressions_are_evaluated_once(tmp_path, monkeypatch):
    table = pl.DataFrame({"registration_id": [f"r{at}" for at in range(50)], "age": range(50)})
    index = DeviceIndex.build(table, tmp_path / "index")
    first_counts = {}
    monkeypatch.setattr(tag_costs, "MIN_COST_NS", 0)
    monkeypatch.setattr(physical_plan, "estimate_words", lambda *args, **options: float("-inf"))
    monkeypatch.setattr(thresholds, "MERGED_AT_ONCE_BYTES", 0)  # small ones are evaluated twice
    index.count("age:7 OR age:8 OR age:9")  # locates the bitmaps, so that words could be chosen
    texts = ["at least 2 of (age:7, age:8, age:9)", "sample(50%, x)", "age > 9 limit 9 seed x"]
    for text in (*texts, "everyone top 9 by age", "registration_id(r1, r99)"):
        first_counts[text] = index.count(text), sorted(index.resolve(text).ids())
    for name in ("choose_words", "combine_threshold"):
        monkeypatch.setattr(evaluate, name, lambda *args, **options: pytest.fail("was evaluated again"))
    monkeypatch.setattr(counting, "choose_words", lambda *args, **options: pytest.fail("was evaluated again"))
    for module, name in ((evaluate, "sample_rows"), (evaluate, "choose_rows"), (id_search, "locate_in_shard")):
        monkeypatch.setattr(module, name, lambda *args: pytest.fail("was evaluated again"))
    for text, (count, ids) in first_counts.items():
        assert (index.count(text), sorted(index.resolve(text).ids())) == (count, ids)
