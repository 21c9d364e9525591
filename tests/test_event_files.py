"""Files of events: what is written is what is read, and damage is an error that names the file."""

from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DamagedError, DeviceIndex
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.events.segment import EventSegment

ZONE = ZoneInfo("Asia/Shanghai")
DEVICES = pl.DataFrame({"token": [f"t{number}" for number in range(8)]})
EVENTS = pl.DataFrame(
    {
        "token": ["t1", "t2", "t2", "t2", "t7"],
        "event": ["buy", "buy", "buy", "open", "open"],
        "at": [datetime(2026, 11, 1, 15, 59, 59), *[datetime(2026, 11, 1, 16)] * 2, *[datetime(2026, 11, 3)] * 2],
        "amount": [1.5, None, 20.25, None, None],
        "vip": [True, False, None, None, True],
        "item": ["shoe", "bag", "bag", None, None],
    }
).with_columns(pl.col("at").dt.replace_time_zone("UTC"))


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    return DeviceIndex.build(DEVICES, tmp_path / "index", timezone="Asia/Shanghai")


def read_numbers(index: DeviceIndex) -> dict[int, str]:
    """Return the token of each device number."""
    tokens = {}
    for shard in index.snapshot.shards:
        rows = np.arange(shard.row_count, dtype=np.uint32)
        column = index.snapshot.id_columns[0]
        tokens |= zip(shard.device_numbers(rows).tolist(), shard.take_ids(column, rows).to_pylist(), strict=True)
    return tokens


def read_segment(segment: EventSegment, tokens: dict[int, str]) -> list[tuple]:
    """Return the events of a segment as device, instant and properties; compare its bitmaps with its rows."""
    events = []
    for at, day in enumerate(segment.days.tolist()):
        start, stop = segment.row_starts[at : at + 2].tolist()
        numbers, instants = segment.load_numbers(start, stop).tolist(), segment.load_instants(start, stop).tolist()
        counts = Counter(numbers)
        assert segment.load_day_devices(at) == BitMap(counts)
        for digit, bitmap in enumerate(segment.load_day_counts(at)):
            assert bitmap == BitMap(number for number, count in counts.items() if (count - 1) >> digit & 1)
        assert max(counts.values()) <= 2 ** len(segment.load_day_counts(at))
        values = [
            (name, list(each.values()), each.load_codes(start, stop).tolist())
            for name, each in segment.properties.items()
        ]
        for row, (number, instant) in enumerate(zip(numbers, instants, strict=True)):
            moment = datetime.fromtimestamp(0, ZONE) + timedelta(microseconds=instant)
            assert (moment.date() - datetime(1970, 1, 1).date()).days == day
            found = {name: texts[codes[row] - 1] for name, texts, codes in values if codes[row]}
            events.append((tokens[(segment.partition << 32) + number], moment, tuple(sorted(found.items()))))
        assert numbers == sorted(numbers)
    return events


def read_events(index: DeviceIndex, event: str) -> Counter:
    """Return all events of a name with the number of times that each is there."""
    tokens = read_numbers(index)
    return Counter(row for segment in index.snapshot.events.segments(event) for row in read_segment(segment, tokens))


def test_events_are_read_as_they_were_added(index):
    assert index.add_events(EVENTS).added == 5
    first, later = (datetime(2026, 11, day, hour, minute, second, tzinfo=ZONE)
                    for day, hour, minute, second in ((1, 23, 59, 59), (2, 0, 0, 0)))  # fmt: skip
    assert read_events(index, "buy") == Counter(
        [
            ("t1", first, (("amount", "1.5"), ("item", "shoe"), ("vip", "vip"))),
            ("t2", later, (("item", "bag"),)),
            ("t2", later, (("amount", "20.25"), ("item", "bag"))),
        ]
    )
    assert index.snapshot.events.names() == ["buy", "open"]
    assert index.snapshot.events.properties("buy") == {"amount": "number", "item": "string", "vip": "tags"}
    assert index.snapshot.events.properties("open") == {"vip": "tags"}
    assert index.snapshot.events.coverage("buy") == (None, 20759)


def test_changes_of_devices_keep_their_events(index, tmp_path):
    index.add_events(EVENTS)
    before = {event: read_events(index, event) for event in ("buy", "open")}
    index.tag(["t1"], add="x")
    index.update(pl.DataFrame({"token": ["t2", "new"], "age": [1, 2]}), new=["age"])
    index.compact()
    assert {event: read_events(index, event) for event in ("buy", "open")} == before
    index.backup(tmp_path / "copy")
    assert read_events(DeviceIndex.open(tmp_path / "copy"), "buy") == before["buy"]
    index.restore(1)
    assert index.snapshot.events.names() == []


def test_flipped_byte_is_an_error_that_names_the_file(index):
    index.add_events(EVENTS)
    (file,) = index.folder.glob("shards/*.events")
    sound = file.read_bytes()
    for at in {*range(0, len(sound), 97), len(sound) - 1}:
        damaged = bytearray(sound)
        damaged[at] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(DamagedError, match=file.name):
            DeviceIndex.open(index.folder).verify()
    file.write_bytes(sound[:-1])
    with pytest.raises(DamagedError, match=file.name):
        DeviceIndex.open(index.folder)


INSTANTS = st.integers(0, 4 * 86_400_000_000).map(lambda number: number - number % 3)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(DEVICES["token"].to_list()),
            st.sampled_from(["a", "b"]),
            INSTANTS,
            st.none() | st.integers(-(10**6), 10**6).map(lambda number: number / 100),
            st.none() | st.sampled_from(["x", "y", "ä"]),
        ),
        max_size=40,
    )
)
def test_every_event_is_read_as_it_was_added(tmp_path_factory, rows):
    index = DeviceIndex.build(DEVICES, tmp_path_factory.mktemp("events") / "index", timezone="Asia/Shanghai")
    schema = {"token": pl.String, "event": pl.String, "at": pl.Int64, "amount": pl.Float64, "item": pl.String}
    table = pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
    assert index.add_events(table).added == len(rows)
    for event in ("a", "b"):
        expected = Counter()
        for token, name, instant, amount, item in rows:
            if name == event:
                text = None if amount is None else f"{amount:.2f}".rstrip("0").rstrip(".")
                values = {"amount": text, "item": item}
                found = tuple(sorted((key, value) for key, value in values.items() if value is not None))
                moment = datetime.fromtimestamp(0, ZONE) + timedelta(microseconds=instant)
                expected[token, moment, found] += 1
        assert read_events(index, event) == expected
