"""Stateful tests: a changed index and its older snapshots answer as a dictionary of devices does."""

import math
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sizes import scale_examples
from strategies import (
    AGES,
    BARE_TAGS,
    DAYS,
    DEVICE_SCHEMA,
    SEGMENT_NAMES,
    SHARE_EXPRS,
    TYPED_TAGS,
    VERSIONS,
    buckets_of,
    device_rows,
    index_forms,
    index_leaf,
)

from audience import Compare, DeviceIndex, ExpressionError, Ids, Segment, TableError, Tag
from audience.index.changes import compaction, session, tagging, update
from audience.index.ingest import build, encode, row_order
from audience.index.schema.columns import IdColumn
from audience.index.storage import id_search, joined_shard
from audience.index.storage.bitmaps import bitmap_to_rows
from audience.index.storage.device_numbers import NumberSequence
from audience.index.storage.layout import history_file
from audience.index.storage.manifest import read_manifest
from audience.index.storage.published import LocalStorage
from audience.language.ast import walk_operands
from audience.language.segments import referenced_segments
from audience.testing.oracle import OracleDevice, is_inside

NAMES = [f"r{number}" for number in range(14)]
TOKENS = [f"t{number}" for number in range(4)]
BUCKETS = {name: buckets_of(name) for name in NAMES}
EMPTY_VALUES = {"tags": (), "active": (), "alias": ()}
EXTRA_SCHEMA = {"city": pl.String, "level": pl.Int64, "vip": pl.Boolean, "tpns_token": pl.String}
FULL_SCHEMA = {**DEVICE_SCHEMA, **EXTRA_SCHEMA}


def make_device(name: str, row: dict) -> OracleDevice:
    """Return the device *name* for the oracle."""
    tags = {("tag", tag) for tag in row.get("tags") or ()} | ({("tag", "vip")} if row.get("vip") else set())
    tags |= {(column, row[column]) for column in ("province", "brand", "version", "city") if row.get(column)}
    if row.get("level") is not None:
        tags.add(("level", str(row["level"])))
    names = [name, row["tpns_token"]] if row.get("tpns_token") else [name]
    return OracleDevice(
        tags=frozenset(tags),
        ids={"alias": row.get("alias") or (), "registration_id": names},
        ages=() if row.get("age") is None else (row["age"],),
        days=tuple(row.get("active") or ()),
        versions=(row["version"],) if row.get("version") else (),
        buckets=BUCKETS[name],
    )


def merge_rows(row: dict, changes: dict) -> dict:
    return {**row, **{name: value if value is not None else EMPTY_VALUES.get(name) for name, value in changes.items()}}


extra_columns = st.fixed_dictionaries(
    {
        "city": st.sampled_from([None, "x", "y"]),
        "level": st.sampled_from([None, -(2**63), 0, 1, 2**63 - 1]),
        "vip": st.sampled_from([None, True, False]),
        "tpns_token": st.sampled_from([None, None, *TOKENS]),
    }
)
full_rows = st.builds(lambda one, other: {**one, **other}, device_rows, extra_columns)
device_dicts = st.dictionaries(st.sampled_from(NAMES), full_rows, max_size=10)
name_lists = st.lists(st.sampled_from([*NAMES, "nobody"]), max_size=6)
bare_tags = st.lists(st.sampled_from([*(tag.value for tag in BARE_TAGS), "vip"]), max_size=2, unique=True)
extra_leaf = st.sampled_from([Tag("city", "x"), Tag("tag", "vip"), Tag("level", "0"), Tag("level", str(2**63 - 1))])
query_exprs = index_forms(
    st.one_of(index_leaf, *SHARE_EXPRS, extra_leaf, st.sampled_from(SEGMENT_NAMES).map(Segment)), max_leaves=8
)
INVARIANT_QUERIES = [
    *BARE_TAGS,
    *TYPED_TAGS,
    *(Tag("age", str(age)) for age in AGES),
    *(Compare("active", "<=", str(day)) for day in DAYS[::3]),
    *(Compare("version", ">", version) for version in VERSIONS),
    Ids("alias", ("u1", "u2")),
    Ids("registration_id", ("r1", "r2")),
]


def read_numbers(index: DeviceIndex) -> dict[str, int]:
    """Return the numbers of the devices by name."""
    numbers = {}
    for shard in index.snapshot.shards:
        rows = bitmap_to_rows(shard.live_rows)
        names = shard.take_ids(IdColumn("id", "registration_id"), rows).to_pylist()
        numbers |= zip(names, shard.device_numbers(rows).tolist(), strict=True)
    return numbers


class IndexState:
    """Expected content of an index: its devices by name, its columns, and its segments.

    `numbers` are the numbers of the devices by name, once an index in this state was seen.
    """

    def __init__(self, devices: dict, columns: frozenset, segments: dict):
        self.devices, self.columns, self.segments = devices, columns, segments
        self.oracle_devices = {name: make_device(name, row) for name, row in devices.items()}
        self.numbers: dict[str, int] | None = None

    def knows_names_in(self, expr) -> bool:
        """Return whether the index has every attribute and segment that *expr* refers to."""
        for atom in walk_operands(expr):
            if isinstance(atom, Segment) and not (
                atom.name in self.segments and self.knows_names_in(self.segments[atom.name])
            ):
                return False
            if getattr(atom, "type", None) in ("city", "level") and atom.type not in self.columns:
                return False
        return True

    def expected_names(self, expr) -> list[str]:
        devices = self.oracle_devices
        population = list(devices.values())
        return sorted(name for name in devices if is_inside(expr, devices[name], self.segments, population))

    def assert_matches(self, index: DeviceIndex, exprs) -> None:
        assert len(index) == len(self.oracle_devices)
        assert dict(index.segments) == self.segments
        for expr in exprs:
            if self.knows_names_in(expr):
                expected = self.expected_names(expr)
                assert sorted(index.resolve(expr).ids()) == expected
                assert index.count(expr) == len(expected)


def make_table(devices: dict, columns) -> pl.DataFrame:
    names = pl.Series("registration_id", list(devices), dtype=pl.String)
    rows = [{name: row[name] for name in columns} for row in devices.values()]
    return pl.DataFrame([names, *pl.DataFrame(rows, schema={name: FULL_SCHEMA[name] for name in columns})])


class IndexChanges(RuleBasedStateMachine):
    """All changes of an index, in any order."""

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(os, "fsync", lambda handle: None)  # durability is not tested here
        self.folder = Path(tempfile.mkdtemp())

    def teardown(self):
        self.patch.undo()
        shutil.rmtree(self.folder)

    @initialize(
        devices=device_dicts,
        shard=st.sampled_from([4, 16, 1 << 22]),
        bitmaps=st.sampled_from([1, 4_096]),
        part=st.sampled_from([1, 3, 1 << 20]),
        max_deleted=st.sampled_from([0, 1 / 4, 1]),
        merge_limit=st.sampled_from([2, 1 << 18]),
        searched=st.sampled_from([1, 2, session.SEARCHED_SHARDS]),
        prefixed=st.sampled_from([1, id_search.MIN_PREFIXED]),
        min_gain=st.sampled_from([-math.inf, row_order.MIN_GAIN]),
        joined_rows=st.sampled_from([0, 5, joined_shard.MAX_JOINED_ROWS]),
        open_rows=st.sampled_from([0, joined_shard.MAX_DELETED_RATIO, 1]),
        tokens=st.booleans(),
        first=st.sampled_from([0, 2**32 - 5, 2**33 - 9]),
    )
    def build(
        self,
        devices,
        shard,
        bitmaps,
        part,
        max_deleted,
        merge_limit,
        searched,
        prefixed,
        min_gain,
        joined_rows,
        open_rows,
        tokens,
        first,
    ):
        for module, name, value in (
            (build, "MAX_SHARD_DEVICES", shard),
            (compaction, "MAX_SHARD_DEVICES", shard),
            (encode, "MAX_BITMAPS_PER_ATTRIBUTE", bitmaps),
            (update, "MAX_CHUNK_DEVICES", part),
            (tagging, "MAX_CHUNK_DEVICES", part),
            (session, "MAX_INLINE_COMPACT_DEVICES", merge_limit),
            (session, "MIN_SHARED_DEVICES", merge_limit),
            (session, "SEARCHED_SHARDS", searched),
            (id_search, "MIN_PREFIXED", prefixed),
            (compaction, "MAX_DELETED_RATIO", max_deleted),
            (row_order, "MIN_GAIN", min_gain),
            (joined_shard, "MAX_JOINED_ROWS", joined_rows),
            (joined_shard, "MAX_DELETED_RATIO", open_rows),
            (build, "NumberSequence", partial(NumberSequence, first)),
        ):
            self.patch.setattr(module, name, value)
        columns = [*DEVICE_SCHEMA, "tpns_token"] if tokens else list(DEVICE_SCHEMA)
        devices = {name: {column: row[column] for column in columns} for name, row in devices.items()}
        if self.has_shared_tokens(devices):
            devices = {name: {**row, "tpns_token": None} for name, row in devices.items()}
        self.index = DeviceIndex.build(make_table(devices, columns), self.folder / "index")
        self.state = IndexState(devices, frozenset(columns), {})
        self.state.numbers = read_numbers(self.index)
        self.given_numbers = set(self.state.numbers.values())
        assert len(self.given_numbers) == len(devices) and min(self.given_numbers, default=first) >= first
        assert first or sorted(self.given_numbers) == list(range(len(devices)))
        self.states_by_snapshot = {1: self.state}
        self.older_reader = DeviceIndex.open(self.folder / "index"), self.state

    @staticmethod
    def has_shared_tokens(devices) -> bool:
        """Return whether two devices have the same token."""
        tokens = [row["tpns_token"] for row in devices.values() if row.get("tpns_token")]
        return len(set(tokens)) < len(tokens)

    def enter_state(self, state: IndexState, exprs) -> None:
        """Expect the index to be in *state*."""
        self.check_numbers(state)
        self.state = state
        number = self.index.snapshot.manifest.number
        self.states_by_snapshot |= dict.fromkeys(
            range(max(self.states_by_snapshot) + 1, number + 1), state
        )  # two if a compacted snapshot follows
        self.check_answers(exprs)

    def check_numbers(self, state: IndexState) -> None:
        """Expect known devices to have the numbers that they had, and new devices numbers that no device had."""
        numbers = read_numbers(self.index)
        assert numbers.keys() == state.devices.keys()
        before = self.state.numbers if state.numbers is None else state.numbers
        known = {name: number for name, number in before.items() if name in numbers}
        new = {name: number for name, number in numbers.items() if name not in known}
        assert {**numbers, **known} == numbers
        assert state.numbers is None or not new
        assert len(set(new.values()) - self.given_numbers) == len(new)
        self.given_numbers.update(new.values())
        state.numbers = numbers

    @invariant()
    def check_rows_of_numbers(self):
        if hasattr(self, "index"):
            others = {1 << 20, (1 << 32) - 1, 1 << 34} - self.given_numbers
            wanted = np.array([*sorted(self.given_numbers, key=hash), *others], dtype=np.uint64)[::-1]
            snapshot, is_found = self.index.snapshot, np.zeros(len(wanted), dtype=np.int64)
            assert snapshot.manifest.next_number > max(self.given_numbers, default=-1)
            for shard in dict.fromkeys((*snapshot.shards, *snapshot.evaluated_shards)):
                rows, is_present = shard.rows_of_numbers(wanted)
                assert sorted(rows.tolist()) == list(shard.live_rows)
                order = np.argsort(rows)
                assert shard.device_numbers(rows[order]).tolist() == wanted[is_present][order].tolist()
                is_found += is_present if shard in snapshot.evaluated_shards else 0
            numbers = set(self.state.numbers.values())
            assert is_found.tolist() == [number in numbers for number in wanted.tolist()]

    @rule(exprs=st.lists(query_exprs, min_size=1, max_size=4))
    def check_answers(self, exprs):
        self.state.assert_matches(self.index, exprs)
        index, state = self.older_reader
        state.assert_matches(index, exprs)

    @invariant()
    def check_index(self):
        if hasattr(self, "index"):
            self.check_answers(INVARIANT_QUERIES)
            assert self.index.verify()
            assert [moment.number for moment in self.index.history()] == sorted(self.states_by_snapshot)

    @rule(
        devices=device_dicts,
        columns=st.sets(st.sampled_from(list(FULL_SCHEMA)), max_size=6),
        exprs=st.lists(query_exprs, max_size=3),
    )
    def update(self, devices, columns, exprs):
        changes = {name: {column: row[column] for column in columns} for name, row in devices.items()}
        after = self.state.devices | {
            name: merge_rows(self.state.devices.get(name, {}), row) for name, row in changes.items()
        }
        new = columns - self.state.columns
        known_count = len(changes.keys() & self.state.devices.keys())
        if self.has_shared_tokens(after):
            with pytest.raises(TableError, match="duplicate-id"):
                self.index.update(make_table(changes, sorted(columns)), new=new)
            return
        result = self.index.update(make_table(changes, sorted(columns)), new=new)
        assert (result.changed, result.added) == (known_count, len(changes) - known_count)
        self.enter_state(IndexState(after, self.state.columns | columns, self.state.segments), exprs)

    @rule(names=name_lists, add=bare_tags, remove=bare_tags, exprs=st.lists(query_exprs, max_size=3))
    def tag(self, names, add, remove, exprs):
        remove = [name for name in remove if name not in add]
        assume(add or remove)
        assume("vip" in self.state.columns or "vip" not in (*add, *remove))
        after = dict(self.state.devices)
        for name in after.keys() & set(names):
            row = after[name]
            tags = (set(row.get("tags") or ()) | set(add)) - set(remove) - {"vip"}
            after[name] = {**row, "tags": sorted(tags)}
            if "vip" in (*add, *remove):
                after[name]["vip"] = "vip" in add
        result = self.index.tag(names, add=add, remove=remove)
        state = IndexState(after, self.state.columns, self.state.segments)
        assert result.unknown == len(set(names) - after.keys())
        assert result.changed == sum(state.oracle_devices[name] != self.state.oracle_devices[name] for name in after)
        self.enter_state(state, exprs)

    @rule(names=name_lists | st.just(NAMES), exprs=st.lists(query_exprs, max_size=3))
    def remove(self, names, exprs):
        after = {name: row for name, row in self.state.devices.items() if name not in names}
        result = self.index.remove(names)
        assert (result.removed, result.unknown) == (
            len(self.state.devices) - len(after),
            len(set(names) - self.state.devices.keys()),
        )
        self.enter_state(IndexState(after, self.state.columns, self.state.segments), exprs)

    @rule(exprs=st.lists(query_exprs, max_size=3))
    def compact(self, exprs):
        self.index.compact()
        assert all(shard.deleted is None for shard in self.index.snapshot.shards)
        self.enter_state(self.state, exprs)

    @rule(data=st.data(), exprs=st.lists(query_exprs, max_size=3))
    def restore(self, data, exprs):
        number = data.draw(st.sampled_from(sorted(self.states_by_snapshot)))
        self.index.restore(number)
        self.enter_state(self.states_by_snapshot[number], exprs)

    @rule(keep=st.integers(1, 4))
    def vacuum(self, keep):
        self.index.vacuum(keep)
        self.states_by_snapshot = dict(sorted(self.states_by_snapshot.items())[-keep:])
        needed = {name for number in self.states_by_snapshot for name in self.snapshot_files(number)}
        assert {file.name for file in (self.folder / "index" / "shards").iterdir()} == needed

    def snapshot_files(self, number: int) -> set[str]:
        return read_manifest(LocalStorage(self.folder / "index"), history_file(number)).file_names()

    @rule(data=st.data(), at=st.integers(0, 3))
    def save(self, data, at):
        below = [Segment(name) for name in SEGMENT_NAMES[:at] if name in self.state.segments]
        expr = data.draw(index_forms(st.sampled_from([*BARE_TAGS[:3], *below]), max_leaves=4))
        self.index.save_segment(SEGMENT_NAMES[at], expr)
        saved = {**self.state.segments, SEGMENT_NAMES[at]: expr}
        self.enter_state(IndexState(self.state.devices, self.state.columns, saved), [Segment(SEGMENT_NAMES[at])])

    @precondition(lambda self: self.state.segments)
    @rule(data=st.data())
    def drop(self, data):
        name = data.draw(st.sampled_from(sorted(self.state.segments)))
        remaining = {other: expr for other, expr in self.state.segments.items() if other != name}
        if any(name in referenced_segments(expr) for expr in remaining.values()):
            with pytest.raises(ExpressionError, match="used-segment"):
                self.index.drop_segment(name)
            return
        self.index.drop_segment(name)
        self.enter_state(IndexState(self.state.devices, self.state.columns, remaining), [])

    @rule(fresh=st.booleans())
    def refresh_reader(self, fresh):
        index, _ = self.older_reader
        if fresh:
            index = DeviceIndex.open(self.folder / "index")
        else:
            index.refresh()
        self.older_reader = index, self.state

    @rule(exprs=st.lists(query_exprs, max_size=3))
    def backup_copy(self, exprs):
        copy = self.folder / "copy"
        self.index.backup(copy)
        self.state.assert_matches(DeviceIndex.open(copy), exprs)
        shutil.rmtree(copy)


TestChanges = IndexChanges.TestCase
TestChanges.settings = settings(max_examples=scale_examples(settings().max_examples // 2), stateful_step_count=12)
