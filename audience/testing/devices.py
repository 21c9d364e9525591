"""Generated device tables for tests, benchmarks and demonstrations."""

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

PROVINCES = ["guangdong", "hunan", "shanghai", "beijing", "sichuan", "zhejiang", "jiangsu", "henan", "四川", "云南"]
VERSIONS = ["1.0.0", "1.0.1", "1.0.2", "1.1.0", "1.2.0", "1.2.0.1", "1.10.0", "2.0.0"]
BRANDS = ["huawei", "Mi", "vivo", "oppo", "honor", "samsung", "apple"]
LANGUAGES = ["zh", "en", "ja", "ko", "de"]
SEXES = ["male", "female"]
CITIES = ["guangzhou", "guilin", "shenzhen", "changsha", "shanghai", "beijing", "chengdu", "guiyang"]
CHANNELS = ["by_push", "by_email", "by_sms", "by_wechat"]
MEMBER_TAGS = ["vip_gold", "vip_silver", "opted_out", "new"]
TAGS = [f"t{number:03}" for number in range(160)]


def generate_devices(count: int, seed: int = 42, first_number: int = 0) -> pl.DataFrame:
    """Return *count* devices: an id of 36 characters, six typed attributes, five tags; the same for the same *seed*.

    An id ends in the number of its device, starting at *first_number*.

    >>> table = generate_devices(1_000)
    >>> table.width, table["registration_id"].str.len_chars().max(), table["tags"].list.len().min()
    (8, 36, 5)
    """
    random = np.random.default_rng(seed)
    day = np.datetime64("2020-04-08") - np.minimum(random.exponential(12, count), 90).astype("timedelta64[D]")
    return pl.DataFrame(
        {
            "registration_id": _generate_ids(first_number, count),
            "province": _pick_values(random, PROVINCES, count),
            "version": _pick_values(random, VERSIONS, count),
            "brand": _pick_values(random, BRANDS, count),
            "language": _pick_values(random, LANGUAGES, count),
            "age": random.integers(14, 80, count, dtype=np.int32),
            "active": day,
            "tags": _generate_tags(random, count),
        }
    )


def generate_updates(table: pl.DataFrame) -> pl.DataFrame:
    """Return the first twenty devices of *table* with a new version."""
    return table.head(20).select("registration_id", version=pl.lit("2.1.0"))


def _generate_ids(first_number: int, count: int) -> pl.Series:
    row = pl.int_range(first_number, first_number + count, dtype=pl.UInt64)
    digits = row.hash(42).cast(pl.String).str.zfill(20)
    return pl.select(pl.concat_str(digits, row.cast(pl.String).str.zfill(15), separator="-")).to_series()


def _pick_values(rng: np.random.Generator, values: list[str], count: int) -> pl.Series:
    """Pick one of *values* for each device, the first ones more often."""
    return pl.Series(values, dtype=pl.String).gather(_pick_places(rng, len(values), count))


def _pick_places(rng: np.random.Generator, size: int, count: int) -> NDArray[np.uint32]:
    """Pick the place of one of *size* values for each device, the first ones more often."""
    weights = 1 / np.arange(1, size + 1)
    return rng.choice(size, count, p=weights / weights.sum()).astype(np.uint32)


def _generate_tags(rng: np.random.Generator, count: int) -> pl.Series:
    """Pick one of the two sexes, and one tag out of each quarter of TAGS."""
    columns = [_pick_places(rng, len(SEXES), count), *(_pick_places(rng, len(TAGS) // 4, count) for _ in range(4))]
    firsts = [0, *(len(SEXES) + quarter * len(TAGS) // 4 for quarter in range(4))]
    places = np.stack([column + np.uint32(first) for column, first in zip(columns, firsts, strict=True)], axis=1)
    picked = pl.Series([*SEXES, *TAGS], dtype=pl.String).gather(places.ravel())
    return picked.reshape((count, len(columns))).arr.to_list()  # a tenth of the time of concat_list


def generate_customers(count: int, seed: int = 42, today: date = date(2026, 11, 28)) -> pl.DataFrame:
    """Return *count* devices with what segments are built of; the same for the same *seed* and *today*.

    About half of the devices have no email, and a third have never bought anything: no last purchase and no spend.

    >>> table = generate_customers(1_000)
    >>> table["last_purchase"].null_count() == table["spend"].null_count()
    True
    """
    random = np.random.default_rng(seed)
    has_email, has_bought = random.random(count) < 0.5, random.random(count) < 0.67
    last_day = np.datetime64(today)
    bought = pl.Series(last_day - np.minimum(random.exponential(40, count), 700).astype("timedelta64[D]"))
    spend = pl.Series(np.round(random.exponential(300, count), 2))
    number = pl.int_range(count, eager=True)
    return pl.DataFrame(
        {
            "registration_id": _generate_ids(0, count),
            "device_id": "d" + number.cast(pl.String).str.zfill(7),
            "province": _pick_values(random, PROVINCES, count),
            "city": _pick_values(random, CITIES, count),
            "version": _pick_values(random, ["5.1.0", "5.2.0", "5.3.0", "5.3.1", "6.0.0"], count),
            "active": last_day - np.minimum(random.exponential(12, count), 90).astype("timedelta64[D]"),
            "birthday": last_day - random.integers(15 * 365, 70 * 365, count).astype("timedelta64[D]"),
            "age": random.integers(15, 70, count, dtype=np.int32),
            "email": ("u" + number.cast(pl.String) + "@example.com").zip_with(
                pl.Series(has_email), pl.Series([None], dtype=pl.String).new_from_index(0, count)
            ),
            "last_purchase": pl.select(pl.when(pl.Series(has_bought)).then(bought)).to_series(),
            "spend": pl.select(pl.when(pl.Series(has_bought)).then(spend)).to_series(),
            "channel": _pick_several(random, CHANNELS, count),
            "tags": _pick_several(random, MEMBER_TAGS, count),
        }
    )


def _pick_several(random: np.random.Generator, values: list[str], count: int) -> pl.Series:
    """Pick each of *values* for about a third of the devices."""
    columns = [pl.when(pl.Series(random.random(count) < 0.35)).then(pl.lit(value)) for value in values]
    return pl.select(pl.concat_list(columns).list.drop_nulls()).to_series()
