"""Generate device tables for tests, benchmarks and demonstrations."""

import numpy as np
import polars as pl

PROVINCES = ["guangdong", "hunan", "shanghai", "beijing", "sichuan", "zhejiang", "jiangsu", "henan", "四川", "云南"]
VERSIONS = ["1.0.0", "1.0.1", "1.0.2", "1.1.0", "1.2.0", "1.2.0.1", "1.10.0", "2.0.0"]
BRANDS = ["huawei", "Mi", "vivo", "oppo", "honor", "samsung", "apple"]
LANGUAGES = ["zh", "en", "ja", "ko", "de"]
SEXES = ["male", "female"]
TAGS = [f"t{number:03}" for number in range(160)]


def devices(count: int, seed: int = 42, first: int = 0) -> pl.DataFrame:
    """*count* devices: an id of 36 characters, six typed attributes, five tags; the same for the same *seed*.

    An id ends in the number of its device, from *first* on.

    >>> table = devices(1_000)
    >>> table.width, table["registration_id"].str.len_chars().max(), table["tags"].list.len().min()
    (8, 36, 5)
    """
    random = np.random.default_rng(seed)
    day = np.datetime64("2020-04-08") - np.minimum(random.exponential(12, count), 90).astype("timedelta64[D]")
    return pl.DataFrame(
        {
            "registration_id": _ids(first, count),
            "province": _picked(random, PROVINCES, count),
            "version": _picked(random, VERSIONS, count),
            "brand": _picked(random, BRANDS, count),
            "language": _picked(random, LANGUAGES, count),
            "age": random.integers(14, 80, count, dtype=np.int32),
            "active": day,
            "tags": _tags(random, count),
        }
    )


def changes(table: pl.DataFrame) -> pl.DataFrame:
    """The first twenty devices of *table*, with a new version."""
    return table.head(20).select("registration_id", version=pl.lit("2.1.0"))


def _ids(first: int, count: int) -> pl.Series:
    row = pl.int_range(first, first + count, dtype=pl.UInt64)
    digits = row.hash(42).cast(pl.String).str.zfill(20)
    return pl.select(pl.concat_str(digits, row.cast(pl.String).str.zfill(15), separator="-")).to_series()


def _picked(random: np.random.Generator, names: list[str], count: int) -> pl.Series:
    """Each of *count* devices has one of *names*, the first ones more often."""
    weights = 1 / np.arange(1, len(names) + 1)
    places = random.choice(len(names), count, p=weights / weights.sum()).astype(np.uint32)
    return pl.Series(names, dtype=pl.String).gather(places)


def _tags(random: np.random.Generator, count: int) -> pl.Series:
    """One of the two sexes, and one tag out of each quarter of TAGS."""
    quarters = np.split(np.array(TAGS), 4)
    columns = [_picked(random, SEXES, count), *(_picked(random, list(quarter), count) for quarter in quarters)]
    return pl.select(pl.concat_list([pl.lit(column) for column in columns])).to_series()
