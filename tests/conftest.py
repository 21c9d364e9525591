"""Hypothesis profiles, and indexes that several tests share."""

import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings

from audience import DeviceIndex
from audience.demo import devices

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("deep", max_examples=3_000, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

CENSUS = Path(__file__).parents[2] / "shared" / "data" / "census-income.parquet"


@pytest.fixture(scope="session")
def table() -> pl.DataFrame:
    """Five thousand generated devices."""
    return devices(5_000)


@pytest.fixture(scope="session")
def index(table, tmp_path_factory) -> DeviceIndex:
    """The index of `table`."""
    return DeviceIndex.build(table, tmp_path_factory.mktemp("index") / "devices.index")


@pytest.fixture(scope="session")
def census() -> Path:
    """A table of real people."""
    if not CENSUS.is_file():
        pytest.skip("the census table is not part of the project")
    return CENSUS
