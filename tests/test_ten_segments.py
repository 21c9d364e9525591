"""Ten segments that push engineers build, each counted against Polars on the same table."""

from datetime import date, timedelta

import polars as pl
import pytest
from polars import col
from strategies import bucket_of

from audience import DeviceIndex, parse
from audience.testing.devices import generate_customers

TODAY = date(2026, 11, 28)
AS_OF = "2026-11-28T09:00+08:00"
CHANNELS = ["by_push", "by_email", "by_sms", "by_wechat"]
STAFF = [f"d{number:07}" for number in range(0, 3_000, 3)]

active_within_7_days = (col("active") > TODAY - timedelta(7)) & (col("active") <= TODAY)
new_enough = col("version").is_in(["5.2.0", "5.3.0", "6.0.0"])  # at least 5.2, and not 5.3.1
channel_count = sum(col("channel").list.contains(channel).cast(pl.Int8) for channel in CHANNELS)
next_days = [(TODAY + timedelta(days)) for days in range(3)]
SEGMENTS = {
    "active within 7 days AND province in (guangdong, hunan) AND version >= 5.2 AND NOT version:5.3.1"
    " AND NOT opted_out AND NOT device_id(@staff.txt)": (
        active_within_7_days
        & col("province").is_in(["guangdong", "hunan"])
        & new_enough
        & ~col("tags").list.contains("opted_out")
        & ~col("device_id").is_in(STAFF)
    ),
    "anniversary(birthday) = today": (col("birthday").dt.month() == 11) & (col("birthday").dt.day() == 28),
    "anniversary(birthday) within next 3 days": pl.any_horizontal(
        (col("birthday").dt.month() == day.month) & (col("birthday").dt.day() == day.day) for day in next_days
    ),
    "age between 18 and 25": col("age").is_between(18, 25),
    "city starts with gua": col("city").str.starts_with("gua"),
    "vip_*": col("tags").list.eval(pl.element().str.starts_with("vip_")).list.any(),
    "email is null": col("email").is_null(),
    "last_purchase before 30 days ago": col("last_purchase") < TODAY - timedelta(30),
    "last_purchase is null": col("last_purchase").is_null(),
    "at least 2 of (by_push, by_email, by_sms, by_wechat)": channel_count >= 2,
}


@pytest.fixture(scope="module")
def customers(tmp_path_factory):
    """Folder with a table of customers, an index of it and a list of the staff."""
    folder = tmp_path_factory.mktemp("customers")
    table = generate_customers(30_000, today=TODAY)
    DeviceIndex.build(table, folder / "customers.index", timezone="Asia/Shanghai")
    (folder / "staff.txt").write_text("\n".join(STAFF))
    return folder, table


@pytest.mark.parametrize("text", SEGMENTS)
def test_segment_has_the_devices_that_polars_finds(customers, text):
    folder, table = customers
    index = DeviceIndex.open(folder / "customers.index")
    found = index.resolve(parse(text, folder=folder), as_of=AS_OF)
    assert sorted(found.ids()) == sorted(table.filter(SEGMENTS[text])["registration_id"])


def with_positions(table: pl.DataFrame, seed: str) -> pl.DataFrame:
    """Return *table* with the position of each device under *seed*, times 2 ** 64."""
    positions = [int(bucket_of(device_id, seed) * 2**64) for device_id in table["registration_id"]]
    return table.with_columns(pl.Series("position", positions, dtype=pl.UInt64))


def test_a_tenth_of_a_segment_has_the_devices_below_a_tenth(customers):
    folder, table = customers
    index = DeviceIndex.open(folder / "customers.index")
    text, condition = next(iter(SEGMENTS.items()))
    tenth = index.resolve(parse(f"{text} AND sample(10%, winter)", folder=folder), as_of=AS_OF)
    expected = with_positions(table.filter(condition), "winter").filter(col("position") < 2**64 // 10 + 1)
    assert sorted(tenth.ids()) == sorted(expected["registration_id"])
    assert 0 < len(tenth) < index.count(parse(text, folder=folder), as_of=AS_OF)


def test_top_1000_by_spend_are_the_largest(customers):
    folder, table = customers
    index = DeviceIndex.open(folder / "customers.index")
    found = table.filter(col("registration_id").is_in(list(index.resolve("everyone top 1000 by spend").ids())))
    assert sorted(found["spend"]) == sorted(table["spend"].drop_nulls().top_k(1_000))


def test_limit_has_exactly_so_many_of_the_segment(customers):
    folder, table = customers
    index = DeviceIndex.open(folder / "customers.index")
    ordered = with_positions(table.filter(~col("tags").list.contains("opted_out")), "summer").sort("position")
    for count in (50, 5_000):
        limited = index.resolve(f"NOT opted_out limit {count} seed summer")
        assert len(limited) == count
        assert sorted(limited.ids()) == sorted(ordered.head(count)["registration_id"])
