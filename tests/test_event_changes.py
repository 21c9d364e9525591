"""Law of events: any sequence of changes leaves the events that a plain list of them has."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sizes import scale_examples
from test_event_files import read_numbers, read_segment

from audience import DeviceIndex
from audience.index.changes import compaction
from audience.index.changes.events import merging
from audience.index.ingest import build
from audience.index.ingest.events import spool
from audience.index.storage.bitmaps import bitmap_to_rows
from audience.index.storage.device_numbers import NumberSequence

ZONE = ZoneInfo("Asia/Shanghai")
IDS = [f"t{number}" for number in range(10)]
NAMES = ["buy", "open"]
START = datetime(2026, 10, 30, tzinfo=ZONE)
EPOCH = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))
SCHEMA = {"token": pl.String, "event": pl.String, "at": pl.Int64, "amount": pl.Float64, "item": pl.String}

ROWS = st.lists(
    st.tuples(
        st.sampled_from(IDS),
        st.sampled_from(NAMES),
        st.integers(0, 6 * 24).map(lambda hours: (START + timedelta(hours=hours) - EPOCH) // timedelta(microseconds=1)),
        st.none() | st.integers(-200, 200).map(lambda number: number / 4),
        st.none() | st.sampled_from(["x", "y", "ä"]),
    ),
    min_size=1,
    max_size=12,
)


def day_of(instant: int) -> int:
    moment = EPOCH + timedelta(microseconds=instant)
    return (moment.astimezone(ZONE).date() - EPOCH.date()).days


@dataclass
class Model:
    """Devices, their events, those that wait, and what is known of each name of events."""

    devices: set[str]
    events: list[tuple] = field(default_factory=list)
    waiting: list[tuple] = field(default_factory=list)
    batches: set[str] = field(default_factory=set)
    keep: dict[str, int | None] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    covers: dict[str, int] = field(default_factory=dict)

    def add(self, rows: list[tuple], keeps_unknown: bool, keep_days: int | None) -> None:
        for name in {row[1] for row in rows}:
            last = max(day_of(row[2]) for row in rows if row[1] == name)
            self.covers[name] = max(last, self.covers.get(name, last))
            self.keep[name] = keep_days or self.keep.get(name)
            if self.keep[name] is not None:
                cut = self.covers[name] - self.keep[name] + 1
                self.first[name] = max(cut, self.first.get(name, cut))
        self.events += [row for row in rows if row[0] in self.devices]
        if keeps_unknown:
            self.waiting += [row for row in rows if row[0] not in self.devices]
        self.drop_outdated()

    def drop_outdated(self) -> None:
        def is_kept(row: tuple) -> bool:
            first = self.first.get(row[1])
            return first is None or day_of(row[2]) >= first

        self.events, self.waiting = list(filter(is_kept, self.events)), list(filter(is_kept, self.waiting))

    def arrive(self, devices: set[str]) -> None:
        self.devices |= devices
        self.events += [row for row in self.waiting if row[0] in self.devices]
        self.waiting = [row for row in self.waiting if row[0] not in self.devices]

    def remove(self, devices: set[str]) -> None:
        self.devices -= devices
        self.events = [row for row in self.events if row[0] not in devices]


def expected_events(rows: list[tuple], name: str) -> Counter:
    expected = Counter()
    for token, event, instant, amount, item in rows:
        if event == name:
            text = None if amount is None else f"{amount:.2f}".rstrip("0").rstrip(".")
            values = {"amount": "0" if text == "-0" else text, "item": item}
            found = tuple(sorted((key, value) for key, value in values.items() if value is not None))
            expected[token, (EPOCH + timedelta(microseconds=instant)).astimezone(ZONE), found] += 1
    return expected


def read_live_events(index: DeviceIndex, name: str) -> Counter:
    """Return the events of live devices, which are the only ones with a row."""
    tokens = read_numbers(index)
    live = set()
    for shard in index.snapshot.shards:
        live |= set(shard.device_numbers(bitmap_to_rows(shard.live_rows)).tolist())
    known = {number: (token if number in live else None) for number, token in tokens.items()}

    class Tokens(dict):
        def __missing__(self, number: int) -> None:
            return None

    rows = Counter()
    for segment in index.snapshot.events.segments(name):
        rows.update(row for row in read_segment(segment, Tokens(known)) if row[0] is not None)
    return rows


class Events(RuleBasedStateMachine):
    """Changes of an index and of a plain list of events."""

    @initialize(devices=st.sets(st.sampled_from(IDS), min_size=3), first=st.sampled_from([0, 2**32 - 4, 2**33 - 9]))
    def build(self, devices, first):
        self.folder = TemporaryDirectory()
        self.patches = [
            (build, "MAX_SHARD_DEVICES", 4),
            (compaction, "MAX_SHARD_DEVICES", 4),
            (spool, "MAX_RUN_EVENTS", 9),
            (spool, "MAX_FILE_EVENTS", 7),
            (merging, "GROWTH", 2),
            (build, "NumberSequence", partial(NumberSequence, first)),
        ]
        self.originals = [(module, name, getattr(module, name)) for module, name, _ in self.patches]
        for module, name, value in self.patches:
            setattr(module, name, value)
        table = pl.DataFrame({"token": sorted(devices)})
        self.index = DeviceIndex.build(table, f"{self.folder.name}/index", timezone="Asia/Shanghai")
        self.other = DeviceIndex.open(self.index.folder)
        self.model = Model(set(devices))
        self.kept = {}
        self.last_rows = None
        self.remember()

    def remember(self):
        self.kept[self.index.snapshot.manifest.number] = deepcopy(self.model)

    def teardown(self):
        for module, name, value in getattr(self, "originals", []):
            setattr(module, name, value)
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(rows=ROWS, unknown=st.sampled_from(["drop", "keep"]), keep=st.none() | st.integers(2, 5))
    def add(self, rows, unknown, keep):
        table = pl.DataFrame(rows, schema=SCHEMA, orient="row")
        table = table.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
        name = f"batch {len(self.model.batches)} {self.index.snapshot.manifest.number}"
        result = self.index.add_events(table, batch=name, unknown=unknown, keep=keep)
        assert not result.repeated
        self.model.batches.update(result.batches)
        self.model.add(rows, unknown == "keep", keep)
        self.last_rows = table
        self.remember()

    @precondition(lambda self: self.last_rows is not None)
    @rule(data=st.data())
    def repeat(self, data):
        if self.model.batches:
            name = data.draw(st.sampled_from(sorted(self.model.batches)))
            result = self.index.add_events(self.last_rows, batch=name)
            assert (result.repeated, result.added) == ((name,), 0)

    @rule(ids=st.sets(st.sampled_from(IDS), min_size=1))
    def update(self, ids):
        self.index.update(pl.DataFrame({"token": sorted(ids)}))
        self.model.arrive(ids)
        self.remember()

    @rule(ids=st.sets(st.sampled_from(IDS), min_size=1, max_size=4))
    def remove(self, ids):
        self.index.remove(ids)
        self.model.remove(ids)
        self.remember()

    @rule(ids=st.sets(st.sampled_from(IDS), min_size=1), tag=st.sampled_from("ab"))
    def tag(self, ids, tag):
        self.index.tag(ids, add=tag)
        self.remember()

    @rule()
    def compact(self):
        self.index.compact()
        self.remember()

    @rule(data=st.data())
    def restore(self, data):
        kept = [each.number for each in self.index.history() if each.number in self.kept]
        number = data.draw(st.sampled_from(kept))
        self.index.restore(number)
        self.model = deepcopy(self.kept[number])
        self.remember()

    @precondition(lambda self: self.model.covers)
    @rule(data=st.data(), day=st.none() | st.integers(0, 6))
    def forget(self, data, day):
        name = data.draw(st.sampled_from(sorted(self.model.covers)))
        first = day_of((START - EPOCH) // timedelta(microseconds=1)) + (day or 0)
        before = None if day is None else (START + timedelta(day)).date().isoformat()
        self.index.forget_events(name, before=before)
        if day is None:
            self.model.events = [row for row in self.model.events if row[1] != name]
            self.model.waiting = [row for row in self.model.waiting if row[1] != name]
            for known in (self.model.keep, self.model.first, self.model.covers):
                known.pop(name, None)
        else:
            self.model.first[name] = max(first, self.model.first.get(name, first))
            self.model.drop_outdated()
        self.remember()

    @rule(ids=st.sets(st.sampled_from(IDS), min_size=2))
    def replace(self, ids):
        DeviceIndex.build(pl.DataFrame({"token": sorted(ids, reverse=True)}), self.index.folder, replace=True)
        self.index.refresh()
        self.model.remove(self.model.devices - ids)
        self.model.arrive(ids)
        self.kept = {}
        self.remember()

    @rule()
    def vacuum(self):
        self.index.vacuum()
        self.index.verify()

    @invariant()
    def events_are_those_of_the_list(self):
        if not hasattr(self, "index"):
            return
        self.other.refresh()
        for index in (self.index, self.other):
            log = index.snapshot.events
            assert set(log.names()) == set(self.model.covers)
            for name in NAMES:
                assert read_live_events(index, name) == expected_events(self.model.events, name)
                if name in self.model.covers:
                    assert log.coverage(name) == (self.model.first.get(name), self.model.covers[name])
            assert sum(each.event_count for each in index.events()) == len(self.model.events)


Events.TestCase.settings = settings(max_examples=scale_examples(4), stateful_step_count=15, deadline=None)
TestEvents = Events.TestCase


def test_batch_stays_known_when_an_index_without_its_devices_replaces_it(tmp_path):
    index = DeviceIndex.build(pl.DataFrame({"token": ["t0", "t1"]}), tmp_path / "index", timezone="Asia/Shanghai")
    bought = pl.DataFrame([("t1", "buy", START)], schema=["token", "event", "at"], orient="row")
    index.add_events(bought, batch="monday")
    DeviceIndex.build(pl.DataFrame({"token": ["t0"]}), index.folder, replace=True)
    index.refresh()
    repeated = index.add_events(bought, batch="monday")
    assert (repeated.repeated, repeated.added) == (("monday",), 0)
