"""Devices asked by their ids are in an audience exactly if they are among those that it resolves to."""

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import ALIASES, SHARE_EXPRS, device_rows, index_forms, index_leaf, make_table

from audience import DeviceIndex, parse
from audience.errors import DamagedError, ExpressionError, PlanError
from audience.index.ingest import build, encode
from audience.index.query import membership, row_tests
from audience.index.storage import single_ids
from audience.index.storage.column_lookup import LAST_ROW, ColumnLookup, StoredIds
from audience.index.storage.list_columns import flatten_lists
from audience.index.storage.verified_file import BLOCK_BYTES

leaves = st.one_of(index_leaf, *SHARE_EXPRS)
expr_lists = st.lists(index_forms(leaves), min_size=1, max_size=5)
removed_ids = st.sets(st.integers(0, 20).map(lambda number: f"r{number}"), max_size=4)


@given(
    st.lists(device_rows, max_size=24),
    expr_lists,
    removed_ids,
    st.sampled_from([4, 1 << 22]),
    st.sampled_from([1, 4_096]),
    st.sampled_from([0, 64]),
)
def test_member_is_whoever_resolve_returns(devices, exprs, removed, shard_devices, values, tested):
    table = make_table(devices)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", shard_devices)
        patch.setattr(encode, "MAX_BITMAPS_PER_ATTRIBUTE", values)
        patch.setattr(row_tests, "MAX_TESTED_BITMAPS", tested)
        patch.setattr(row_tests, "MAX_TESTED_IDS", tested)
        patch.setattr(membership, "MAX_SINGLE_ROWS", tested // 16)
        patch.setattr(single_ids, "MAX_SINGLE_IDS", tested)
        index = DeviceIndex.build(table, Path(folder) / "index")
        index.remove(sorted(removed & {*table["registration_id"]}))
        live = table.filter(~pl.col("registration_id").is_in(sorted(removed)))
        audiences = [{*index.resolve(expr).ids()} for expr in exprs]
        aliases = [{*flatten_lists(index.resolve(expr).to_frame(["alias"])["alias"])} for expr in exprs]
        named = {str(number): expr for number, expr in enumerate(exprs)}

        ids = [*table["registration_id"], "r99", "", "\ud800"]
        for identifier in ids:
            assert index.member(identifier, exprs) == [identifier in ids_in for ids_in in audiences]
        asked = pl.Series([*ids[:-1], None, *ids[:-1][::-1]], dtype=pl.String)
        expected = pl.DataFrame({"id": asked, "known": as_mask(asked, {*live["registration_id"]})}).with_columns(
            as_mask(asked, ids_in).alias(name) for name, ids_in in zip(named, audiences, strict=True)
        )
        assert index.members(asked, named).equals(expected)
        for alias in [*ALIASES, "u9"]:
            assert index.member(alias, exprs, column="alias") == [alias in aliases_in for aliases_in in aliases]


def as_mask(ids, wanted):
    return pl.Series([identifier in wanted for identifier in ids], dtype=pl.Boolean)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2**24 - 1)), max_size=80), st.booleans(), st.integers(1, 9)
)
@example([(12, 0)] * 60, True, 1)
def test_hashes_are_found_where_they_are_not_expected(pairs, is_clustered, margin):
    """A table in which hashes are not uniform is searched wider, and nothing is read that was not verified."""
    shift = 24 if is_clustered else 60
    entries = np.sort(np.array([min(hash_, 15) << shift | row for hash_, row in pairs], dtype=np.uint64))
    verified = np.zeros(8 * len(entries), dtype=np.bool_)
    file = SimpleNamespace(data=memoryview(entries).cast("B"), read=lambda start, stop: verified[start:stop].fill(True))
    lookup = ColumnLookup(file, 0, 8 * len(entries), StoredIds(None, [], 0))
    lookup._margin = margin
    for hash_ in range(14):
        start, stop = lookup.find_range(hash_ << shift)
        assert entries[start:stop].tolist() == [each for each in entries.tolist() if each & ~LAST_ROW == hash_ << shift]
        assert verified[8 * start : 8 * stop].all()


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> DeviceIndex:
    """Return an index whose lookup table and ids are in many blocks."""
    ids = [f"r{number:06}" for number in range(60_000)]
    table = pl.DataFrame({"registration_id": ids, "alias": ["shared"] * 3_000 + ids[3_000:], "age": range(60_000)})
    return DeviceIndex.build(table, tmp_path_factory.mktemp("large") / "devices.index")


def read_blocks(index) -> int:
    [shard] = index.snapshot.shards
    return sum(int(shard._data_files[kind]._verified_blocks.sum()) for kind in ("lookup", "ids"))


def count_blocks(index) -> int:
    [shard] = index.snapshot.shards
    return sum(len(shard._data_files[kind]._verified_blocks) for kind in ("lookup", "ids"))


QUESTIONS = [
    lambda index: index.member("r012345", ["age = 12345", "age < 12345"]) == [True, False],
    lambda index: index.members(["r012345"], ["age = 12345"])["age = 12345"].to_list() == [True],
    lambda index: index.count("age = 12345 AND registration_id(r012345, r999999)") == 1,
    lambda index: index.count("registration_id(r012345)") == 1,
    lambda index: "r012345" in index.resolve("age > 9"),
    lambda index: index.member("r012345", ["everyone"], column="alias") == [True],
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_one_id_reads_few_blocks(large, question):
    index = DeviceIndex.open(large.snapshot.location)
    assert count_blocks(index) > 30
    assert question(index)
    assert read_blocks(index) <= 12


def test_damaged_blocks_are_errors_where_they_are_touched(large, tmp_path):
    copied = tmp_path / "copied.index"
    shutil.copytree(large.snapshot.location, copied)
    [file] = copied.glob("shards/*.lookup.arrow")
    data = bytearray(file.read_bytes())
    for at in range(BLOCK_BYTES * 2, BLOCK_BYTES * 6, BLOCK_BYTES):
        data[at] ^= 1
    file.write_bytes(data)
    identifiers = [f"r{number:06}" for number in range(0, 60_000, 500)]
    answers = []
    for identifier in identifiers:
        try:
            answers += DeviceIndex.open(copied).member(identifier, ["everyone"])
        except DamagedError as error:
            assert file.name in str(error)
    assert answers == [True] * len(answers)
    assert 0 < len(answers) < len(identifiers)


def test_shared_ids_mean_any_of_their_devices(large):
    asked = ["age < 3000", "age >= 3000", "age = 2999", "NOT age < 3000"]
    assert large.member("shared", asked, column="alias") == [True, False, True, False]
    assert large.member("shared", asked) == [False] * 4  # not an id of a device
    assert large.members(["shared", "x"], asked, column="alias").rows() == [
        ("shared", True, True, False, True, False),
        ("x", False, False, False, False, False),
    ]
    assert large.count("alias(shared)") == 3_000


def test_column_chooses_among_the_ids(tmp_path):
    table = pl.DataFrame({"tpns_token": ["a", "b"], "device_id": ["b", "c"], "tags": [["vip"], []]})
    tokens = {"tpns": "tpns_token", "device_id": "device_id"}
    index = DeviceIndex.build(table, tmp_path / "devices.index", tokens=tokens)
    answers = {
        column: index.member("b", ["vip", "NOT vip"], column=column)
        for column in (None, "tpns", "tpns_token", "device_id")
    }
    assert answers == {
        None: [True, True],
        "tpns": [False, True],
        "tpns_token": [False, True],
        "device_id": [True, False],
    }
    assert index.members(["b"], ["vip"]).rows() == [("b", True, True)]
    with pytest.raises(ExpressionError) as caught:
        index.member("b", ["vip"], column="device_idd")
    assert (caught.value.problems[0].code, caught.value.problems[0].hint) == ("unknown-ids", "did you mean device_id?")


def test_wrong_arguments_are_errors(large):
    wrong = {
        "exprs: expected a list of expressions, got 'male'": lambda: large.member("r1", "male"),
        "exprs: expected Sequence or Mapping, got Tag": lambda: large.members(["r1"], parse("age = 1")),
        "identifier: expected str, got 1": lambda: large.member(1, ["age = 1"]),
        "identifiers: expected a list of ids, got 'r1'": lambda: large.members("r1", ["age = 1"]),
        "identifiers: expected strings": lambda: large.members([1], ["age = 1"]),
        "identifiers: expected strings, got a series of Int64": lambda: large.members(pl.Series([1]), ["age = 1"]),
    }
    for message, call in wrong.items():
        with pytest.raises(TypeError, match=message):
            call()
    for exprs in (["age = 1", "age = 1"], {"known": "age = 1"}, {"id": "age = 1"}):
        with pytest.raises(PlanError, match="two columns of the answer would have the name"):
            large.members(["r1"], exprs)
    with pytest.raises(ExpressionError, match="no attribute 'agee'"):
        large.member("r1", ["agee = 1"])


def test_every_expression_is_asked_at_the_same_moment(tmp_path):
    table = pl.DataFrame({"token": ["t1"], "active": ["2026-11-27"]})
    index = DeviceIndex.build(table, tmp_path / "devices.index", dates=["active"])
    exprs = ["active = today", "active = yesterday"]
    for as_of, expected in {"2026-11-27T10:00": [True, False], "2026-11-28T10:00": [False, True]}.items():
        assert index.member("t1", exprs, as_of=as_of) == expected
        assert index.members(["t1"], exprs, as_of=as_of).rows() == [("t1", True, *expected)]


@pytest.fixture
def members(audience, folder, monkeypatch):
    """Return a function that runs `audience member` on an index of generated devices."""
    monkeypatch.chdir(folder)
    return lambda *words: audience("member", "devices.index", *words)


def test_command_answers_for_one_id_or_several(members, folder):
    first, second = pl.read_parquet(folder / "devices.parquet").filter(pl.col("age") > 30)["registration_id"].head(2)
    code, out, err = members(first, "-e", "age > 30", "-e", "age <= 30")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["audience", first],
        ["age", ">", "30", "yes"],
        ["age", "<=", "30", "no"],
    ]
    code, out, err = members(first, "x9", second, "-e", "age > 30")
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["yes", "no", "yes"]
    assert "1 of 3 ids belong to no device: 'x9'" in err
    code, out, err = members(first, "x9", "-e", "age > 30", "--json")
    assert orjson.loads(out)["devices"] == [
        {"id": first, "known": True, "member": [True]},
        {"id": "x9", "known": False, "member": [False]},
    ]
    assert orjson.loads(out)["audiences"][0]["expression"] == "age > 30"
    assert members("x9", "-e", "mael")[2].startswith("warning: no-device: no device has 'mael'")


def test_command_reads_ids_of_files(members, folder):
    ids = pl.read_parquet(folder / "devices.parquet")["registration_id"].head(3)
    (folder / "some.txt").write_text("\n".join(ids))
    assert members("--ids", "some.txt", "-e", "everyone")[1].count("yes") == 3
    assert members("--ids", "devices.parquet", "-e", "everyone", "--column", "registration_id")[1].count("yes") == 5_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x", "-e", "male AND"], "missing-operand"),
        (["x", "-e", "agee > 1"], "did you mean age"),
        (["x"], "--expr"),
        (["-e", "male"], "no ids were given"),
        (["x", "-e", "male", "--column", "alais"], "it holds registration_id"),
    ],
)
def test_wrong_command_is_an_error(words, message, members):
    code, out, err = members(*words)
    assert (code, out) == (2, "")
    assert message in err
