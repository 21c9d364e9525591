"""Counts and rows beyond 32 bits, of indexes that pretend to have as many devices."""

import polars as pl
import pytest

from audience import DeviceIndex, TableError
from audience.index.ingest import build
from audience.index.ingest.reader import wrap_polars_errors
from audience.index.query import attribute_stats, completion
from audience.index.query.completion import count_values_with_prefix

FACTOR = 3_000_000_000  # times the devices of a shard


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index of three shards, whose counts are multiplied before they are added."""
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 1)
    return DeviceIndex.build(pl.DataFrame({"token": list("abc"), "city": ["x", "x", "y"]}), tmp_path / "index")


def multiply(counts: pl.DataFrame) -> pl.DataFrame:
    return counts.with_columns(pl.col("devices") * FACTOR)


def test_values_of_more_devices_than_32_bits_count(index, monkeypatch):
    count = attribute_stats._count_by_value
    monkeypatch.setattr(attribute_stats, "_count_by_value", lambda *shard: multiply(count(*shard)))
    assert index.attributes["city"].count_by_value().rows() == [("x", 2 * FACTOR), ("y", FACTOR)]


def test_completions_of_more_devices_than_32_bits_count(index, monkeypatch):
    without_deleted = completion._without_deleted
    monkeypatch.setattr(completion, "_without_deleted", lambda *table: multiply(without_deleted(*table)))
    assert count_values_with_prefix("city", "", index.snapshot).rows() == [("x", 2 * FACTOR), ("y", FACTOR)]
    (found,) = [each for each in index.complete("city:x") if each.text.endswith("x")]
    assert found.devices == 2 * FACTOR


def test_more_rows_than_polars_reads_at_once_are_refused_by_what_to_do():
    error_of_polars = pl.exceptions.ComputeError("Polars' maximum length reached. Consider installing 'polars[rt64]'.")
    with pytest.raises(TableError, match="the table has more than 4,294,967,295 rows") as error, wrap_polars_errors():
        raise error_of_polars
    assert "index update" in error.value.problems[0].hint
