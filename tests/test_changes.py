"""An index that is changed again and again answers as a dictionary of devices does, and so does each older snapshot."""

import os
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
import xxhash
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from oracle import Device, inside
from strategies import AGES, DAYS, FEW, SAVED, SCHEMA, SEEDS, SHARES, TYPED, VERSIONS, idea_leaf, junctions, rows

from audience import Compare, DeviceIndex, ExpressionError, Ids, Segment, TableError, Tag
from audience.index.changes import compaction, update
from audience.index.ingest import build, encode
from audience.index.storage.snapshot import read
from audience.language.ast import atoms
from audience.language.segments import mentioned

WHOLE = (1 << 64) - 1


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode()) >> 24


def place(identifier: str, seed: str) -> Fraction:
    """Where on [0, 1) a device lies: 40 bits of the hash of its id and those of the seed, mixed as SplitMix64 does."""
    mixed = _hash(identifier) ^ (_hash(seed) << 24)
    mixed = (mixed + 0x9E3779B97F4A7C15) & WHOLE
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & WHOLE
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & WHOLE
    return Fraction(mixed ^ (mixed >> 31), 1 << 64)


NAMES = [f"r{number}" for number in range(14)]
TOKENS = [f"t{number}" for number in range(4)]
PLACES = {name: {seed: place(name, seed) for seed in SEEDS} for name in NAMES}
NOTHING = {"tags": (), "active": (), "alias": ()}
MORE = {"city": pl.String, "level": pl.Int64, "vip": pl.Boolean, "tpns_token": pl.String}
ALL = {**SCHEMA, **MORE}


def device(name: str, row: dict) -> Device:
    """The device *name* for the oracle."""
    tags = {("tag", tag) for tag in row.get("tags") or ()} | ({("tag", "vip")} if row.get("vip") else set())
    tags |= {(column, row[column]) for column in ("province", "brand", "version", "city") if row.get(column)}
    if row.get("level") is not None:
        tags.add(("level", str(row["level"])))
    names = [name, row["tpns_token"]] if row.get("tpns_token") else [name]
    return Device(
        tags=frozenset(tags),
        ids={"alias": row.get("alias") or (), "registration_id": names},
        ages=() if row.get("age") is None else (row["age"],),
        days=tuple(row.get("active") or ()),
        versions=(row["version"],) if row.get("version") else (),
        places=PLACES[name],
    )


def merged(old: dict, said: dict) -> dict:
    return {**old, **{name: value if value is not None else NOTHING.get(name) for name, value in said.items()}}


more = st.fixed_dictionaries(
    {
        "city": st.sampled_from([None, "x", "y"]),
        "level": st.sampled_from([None, -(2**63), 0, 1, 2**63 - 1]),
        "vip": st.sampled_from([None, True, False]),
        "tpns_token": st.sampled_from([None, None, *TOKENS]),
    }
)
whole = st.builds(lambda one, other: {**one, **other}, rows, more)
crowd = st.dictionaries(st.sampled_from(NAMES), whole, max_size=10)
some_names = st.lists(st.sampled_from([*NAMES, "nobody"]), max_size=6)
bare_tags = st.lists(st.sampled_from([*(tag.value for tag in FEW), "vip"]), max_size=2, unique=True)
more_leaf = st.sampled_from([Tag("city", "x"), Tag("tag", "vip"), Tag("level", "0"), Tag("level", str(2**63 - 1))])
asked = junctions(st.one_of(idea_leaf, *SHARES, more_leaf, st.sampled_from(SAVED).map(Segment)), most=8)
ALWAYS = [
    *FEW,
    *TYPED,
    *(Tag("age", str(age)) for age in AGES),
    *(Compare("active", "<=", str(day)) for day in DAYS[::3]),
    *(Compare("version", ">", version) for version in VERSIONS),
    Ids("alias", ("u1", "u2")),
    Ids("registration_id", ("r1", "r2")),
]


class State:
    """What an index should hold: its devices by their names, its columns, and what is saved."""

    def __init__(self, devices: dict, columns: frozenset, saved: dict):
        self.devices, self.columns, self.saved = devices, columns, saved
        self.people = {name: device(name, row) for name, row in devices.items()}

    def knows(self, expr) -> bool:
        """Whether *expr* asks for nothing that the index has never heard of."""
        for atom in atoms(expr):
            if isinstance(atom, Segment) and not (atom.name in self.saved and self.knows(self.saved[atom.name])):
                return False
            if getattr(atom, "type", None) in ("city", "level") and atom.type not in self.columns:
                return False
        return True

    def meant(self, expr) -> list[str]:
        return sorted(name for name, each in self.people.items() if inside(expr, each, self.saved))

    def agrees(self, index: DeviceIndex, exprs) -> None:
        assert len(index) == len(self.people)
        assert dict(index.segments) == self.saved
        for expr in exprs:
            if self.knows(expr):
                meant = self.meant(expr)
                assert sorted(index.resolve(expr).tokens()) == meant
                assert index.count(expr) == len(meant)


def table(devices: dict, columns) -> pl.DataFrame:
    names = pl.Series("registration_id", list(devices), dtype=pl.String)
    said = [{name: row[name] for name in columns} for row in devices.values()]
    return pl.DataFrame([names, *pl.DataFrame(said, schema={name: ALL[name] for name in columns})])


class Changes(RuleBasedStateMachine):
    """Everything that may happen to an index, in any order."""

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(os, "fsync", lambda handle: None)  # nothing here outlives the machine
        self.folder = Path(tempfile.mkdtemp())

    def teardown(self):
        self.patch.undo()
        shutil.rmtree(self.folder)

    @initialize(
        devices=crowd,
        shard=st.sampled_from([4, 16, 1 << 22]),
        bitmaps=st.sampled_from([1, 4_096]),
        part=st.sampled_from([1, 3, 1 << 20]),
        dead=st.sampled_from([0, 1 / 4, 1]),
        soon=st.sampled_from([2, 1 << 18]),
        tokens=st.booleans(),
    )
    def build(self, devices, shard, bitmaps, part, dead, soon, tokens):
        for module, name, value in (
            (build, "SHARD", shard),
            (compaction, "SHARD", shard),
            (encode, "MOST_BITMAPS", bitmaps),
            (update, "PART", part),
            (update, "SOON", soon),
            (compaction, "MOST_DEAD", dead),
        ):
            self.patch.setattr(module, name, value)
        columns = [*SCHEMA, "tpns_token"] if tokens else list(SCHEMA)
        devices = {name: {column: row[column] for column in columns} for name, row in devices.items()}
        if self.shared(devices):
            devices = {name: {**row, "tpns_token": None} for name, row in devices.items()}
        self.index = DeviceIndex.build(table(devices, columns), self.folder / "index")
        self.state = State(devices, frozenset(columns), {})
        self.kept = {1: self.state}
        self.held = DeviceIndex.open(self.folder / "index"), self.state

    @staticmethod
    def shared(devices) -> bool:
        """Whether two devices have the same token."""
        found = [row["tpns_token"] for row in devices.values() if row.get("tpns_token")]
        return len(set(found)) < len(found)

    def moved(self, state: State, exprs) -> None:
        """The index is in *state* now."""
        self.state = state
        number = self.index.snapshot.manifest.number
        self.kept |= dict.fromkeys(range(max(self.kept) + 1, number + 1), state)  # more than one where it was tidied
        self.asks(exprs)

    @rule(exprs=st.lists(asked, min_size=1, max_size=4))
    def asks(self, exprs):
        self.state.agrees(self.index, exprs)
        index, state = self.held
        state.agrees(index, exprs)

    @invariant()
    def answers_agree(self):
        if hasattr(self, "index"):
            self.asks(ALWAYS)
            assert self.index.check()
            assert [moment.number for moment in self.index.history()] == sorted(self.kept)

    @rule(devices=crowd, columns=st.sets(st.sampled_from(list(ALL)), max_size=6), exprs=st.lists(asked, max_size=3))
    def update(self, devices, columns, exprs):
        said = {name: {column: row[column] for column in columns} for name, row in devices.items()}
        after = self.state.devices | {name: merged(self.state.devices.get(name, {}), row) for name, row in said.items()}
        new = columns - self.state.columns
        known = len(said.keys() & self.state.devices.keys())
        if self.shared(after):
            with pytest.raises(TableError, match="duplicate-id"):
                self.index.update(table(said, sorted(columns)), new=new)
            return
        found = self.index.update(table(said, sorted(columns)), new=new)
        assert (found.changed, found.added) == (known, len(said) - known)
        self.moved(State(after, self.state.columns | columns, self.state.saved), exprs)

    @rule(names=some_names, add=bare_tags, gone=bare_tags, exprs=st.lists(asked, max_size=3))
    def tag(self, names, add, gone, exprs):
        gone = [name for name in gone if name not in add]
        assume(add or gone)
        assume("vip" in self.state.columns or "vip" not in (*add, *gone))
        after = dict(self.state.devices)
        for name in after.keys() & set(names):
            row = after[name]
            tags = (set(row.get("tags") or ()) | set(add)) - set(gone) - {"vip"}
            after[name] = {**row, "tags": sorted(tags)}
            if "vip" in (*add, *gone):
                after[name]["vip"] = "vip" in add
        found = self.index.tag(names, add=add, remove=gone)
        state = State(after, self.state.columns, self.state.saved)
        assert found.unknown == len(set(names) - after.keys())
        assert found.changed == sum(state.people[name] != self.state.people[name] for name in after)
        self.moved(state, exprs)

    @rule(names=some_names | st.just(NAMES), exprs=st.lists(asked, max_size=3))
    def remove(self, names, exprs):
        after = {name: row for name, row in self.state.devices.items() if name not in names}
        found = self.index.remove(names)
        assert (found.removed, found.unknown) == (
            len(self.state.devices) - len(after),
            len(set(names) - self.state.devices.keys()),
        )
        self.moved(State(after, self.state.columns, self.state.saved), exprs)

    @rule(exprs=st.lists(asked, max_size=3))
    def compact(self, exprs):
        self.index.compact()
        assert all(shard.dead is None for shard in self.index.snapshot.shards)
        self.moved(self.state, exprs)

    @rule(data=st.data(), exprs=st.lists(asked, max_size=3))
    def restore(self, data, exprs):
        number = data.draw(st.sampled_from(sorted(self.kept)))
        self.index.restore(number)
        self.moved(self.kept[number], exprs)

    @rule(keep=st.integers(1, 4))
    def vacuum(self, keep):
        self.index.vacuum(keep)
        self.kept = dict(sorted(self.kept.items())[-keep:])
        needed = {name for number in self.kept for name in self.files(number)}
        assert {file.name for file in (self.folder / "index" / "shards").iterdir()} == needed

    def files(self, number: int) -> set[str]:
        return read(self.folder / "index" / "history" / f"{number:08}.json").files()

    @rule(data=st.data(), at=st.integers(0, 3))
    def save(self, data, at):
        below = [Segment(name) for name in SAVED[:at] if name in self.state.saved]
        expr = data.draw(junctions(st.sampled_from([*FEW[:3], *below]), most=4))
        self.index.save(SAVED[at], expr)
        saved = {**self.state.saved, SAVED[at]: expr}
        self.moved(State(self.state.devices, self.state.columns, saved), [Segment(SAVED[at])])

    @precondition(lambda self: self.state.saved)
    @rule(data=st.data())
    def drop(self, data):
        name = data.draw(st.sampled_from(sorted(self.state.saved)))
        left = {other: expr for other, expr in self.state.saved.items() if other != name}
        if any(name in mentioned(expr) for expr in left.values()):
            with pytest.raises(ExpressionError, match="used-segment"):
                self.index.drop(name)
            return
        self.index.drop(name)
        self.moved(State(self.state.devices, self.state.columns, left), [])

    @rule(fresh=st.booleans())
    def catches_up(self, fresh):
        index, _ = self.held
        if fresh:
            index = DeviceIndex.open(self.folder / "index")
        else:
            index.refresh()
        self.held = index, self.state

    @rule(exprs=st.lists(asked, max_size=3))
    def copies(self, exprs):
        copy = self.folder / "copy"
        self.index.backup(copy)
        self.state.agrees(DeviceIndex.open(copy), exprs)
        shutil.rmtree(copy)


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=12)
