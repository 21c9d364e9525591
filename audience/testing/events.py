"""Generated tables of events for tests, benchmarks and demonstrations."""

from datetime import UTC, date, datetime

import numpy as np
import polars as pl

CATEGORIES = ["books", "shoes", "bags", "toys", "garden"]
BUYER_SHARE = 0.4  # of the devices; the others never buy anything
MEAN_PURCHASES = 3.0  # of a buyer, in all days


def generate_purchases(
    devices: pl.DataFrame, seed: int = 42, today: date | None = None, days: int = 90
) -> pl.DataFrame:
    """Return purchases of two fifths of *devices*, the same for the same *seed*, in the *days* that end with yesterday.

    Args:
        devices: Table with the column `registration_id`.
        seed: Seed of all that is random.
        today: Day after the last purchase; None is today in UTC.
        days: Number of days with purchases.

    >>> from audience.testing.devices import generate_devices
    >>> table = generate_purchases(generate_devices(1_000), today=date(2026, 11, 29))
    >>> table.columns, table["at"].dt.date().max()
    (['registration_id', 'at', 'amount', 'category'], datetime.date(2026, 11, 28))
    """
    random = np.random.default_rng(seed)
    buyers = np.flatnonzero(random.random(len(devices)) < BUYER_SHARE)
    rows = np.repeat(buyers, random.geometric(1 / MEAN_PURCHASES, len(buyers)))
    start = np.datetime64(today or datetime.now(UTC).date(), "us")
    seconds = random.integers(1, days * 86_400, len(rows), endpoint=True)
    table = pl.DataFrame(
        {
            "registration_id": devices["registration_id"].gather(rows),
            "at": pl.Series(start - (seconds * 1_000_000).astype("timedelta64[us]")).dt.replace_time_zone("UTC"),
            "amount": np.round(random.exponential(40, len(rows)) + 1, 2),
            "category": pl.Series(CATEGORIES).gather(random.integers(0, len(CATEGORIES), len(rows))),
        }
    )
    return table.sort("at", "registration_id")
