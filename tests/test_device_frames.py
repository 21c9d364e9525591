"""Ids of devices as series, frames, Arrow tables and streams: each time the same ids in the same order."""

import tempfile
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DeviceIndex
from audience.errors import PlanError
from audience.index.ingest import build
from audience.index.query.device_set import DeviceSet
from audience.index.storage import id_arrays
from audience.index.storage.bitmaps import BitMap

id_forms = st.sampled_from(["r{:04}", "r{}", "四{}"])
alias_forms = st.sampled_from(["none", "text", "lists"])


@st.composite
def device_tables(draw) -> pl.DataFrame:
    """Return devices with ids of one width or several, and aliases that may be missing, or lists."""
    count, form = draw(st.integers(1, 60)), draw(id_forms)
    aliases = [draw(st.none() | st.text("ab", min_size=1, max_size=3)) for _ in range(count)]
    table = pl.DataFrame({"registration_id": [form.format(number) for number in range(count)]})
    match draw(alias_forms):
        case "none":
            return table
        case "text":
            return table.with_columns(pl.Series("alias", aliases, dtype=pl.String))
    lists = [[] if alias is None else list(dict.fromkeys(alias)) for alias in aliases]
    return table.with_columns(pl.Series("alias", lists, dtype=pl.List(pl.String)))


@given(device_tables(), st.integers(1, 70), st.sampled_from([1, 8, 1_000]), st.sampled_from([1, 64]), st.data())
def test_all_forms_have_the_same_ids(table, shard_size, mask_ratio, sparse_ratio, data):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", shard_size)
        patch.setattr(id_arrays, "MASK_RATIO", mask_ratio)
        patch.setattr(id_arrays, "SPARSE_RATIO", sparse_ratio)
        index = DeviceIndex.build(table, Path(folder) / "index")
        shards = index.snapshot.shards
        chosen = [data.draw(st.sets(st.integers(0, shard.row_count - 1))) for shard in shards]
        if data.draw(st.booleans()):  # consecutive rows
            chosen = [range(min(rows, default=0), max(rows, default=-1) + 1) for rows in chosen]
        devices = DeviceSet([BitMap(rows) for rows in chosen], index.snapshot)
        everyone = index.resolve("everyone").to_frame()
        rows = devices.global_rows()
        assert rows.tolist() == [
            row + sum(each.row_count for each in shards[:number])
            for number in range(len(shards))
            for row in sorted(chosen[number])
        ]
        expected = everyone[rows.tolist()]
        assert everyone.sort("registration_id")["registration_id"].to_list() == sorted(table["registration_id"])
        assert devices.ids().to_list() == expected["registration_id"].to_list()
        assert devices.to_frame().equals(expected)
        arrow = devices.to_arrow()
        arrow.validate(full=True)
        for read in (arrow, pa.table(devices)):
            assert read.to_pydict() == expected.to_dict(as_series=False)
        assert pl.DataFrame(devices).equals(expected)
        assert devices.to_arrow(["registration_id"]).column_names == ["registration_id"]


def test_consumers_take_a_set_as_a_table(index):
    devices = index.resolve("male AND age < 30")
    expected = devices.ids().to_list()
    assert pl.DataFrame(devices)["registration_id"].to_list() == expected
    assert pa.RecordBatchReader.from_stream(devices).read_all().num_rows == len(devices)
    assert [row[0] for row in duckdb.sql("FROM devices").fetchall()] == expected
    nobody = index.resolve("male AND NOT male")
    assert (pa.table(nobody).num_rows, pl.DataFrame(nobody).columns) == (0, nobody.to_frame().columns)


def test_unknown_column_is_an_error(index):
    with pytest.raises(PlanError, match="keeps no id column 'alais'"):
        index.resolve("male").to_arrow(["alais"])


def test_damaged_ids_are_not_exported(tmp_path):
    names = [f"r{number:06}" for number in range(40_000)]
    DeviceIndex.build(pl.DataFrame({"registration_id": names, "odd": [at % 2 for at in range(40_000)]}), tmp_path / "i")
    [file] = (tmp_path / "i" / "shards").glob("*.ids.arrow")
    data = bytearray(file.read_bytes())
    data[data.index(names[30_001].encode())] = ord("s")
    file.write_bytes(data)
    for text in ("everyone", "odd = 1"):
        devices = DeviceIndex.open(tmp_path / "i").resolve(text)
        for read in (devices.to_arrow, devices.to_frame, lambda devices=devices: pl.DataFrame(devices)):
            with pytest.raises(Exception, match="not what was written"):
                read()
