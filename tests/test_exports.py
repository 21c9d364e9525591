"""Attributes and ids of devices back out of an index: as frames, and as files."""

import json
import stat
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DeviceIndex, PlanError, TableError
from audience.index.ingest import build
from audience.index.query.exported_files import find_format, write_frames

SHANGHAI = ZoneInfo("Asia/Shanghai")
TABLE = pl.DataFrame(
    {
        "token": ["t1", "t2", "t3"],
        "alias": [["u1", "u2"], ["u1"], None],
        "tags": [["a", "b"], None, ["b"]],
        "vip": [True, False, None],
        "city": ['x,\n"y', "", None],
        "hobbies": [["chess", "go"], ["go"], []],
        "age": [31, None, 17],
        "score": [1.5, -0.25, None],
        "price": [Decimal("1.10"), Decimal("0.05"), None],
        "day": [date(2026, 11, 28), None, date(1999, 1, 1)],
        "seen": [datetime(2026, 11, 28, 1, 2, 3, 4, tzinfo=UTC), None, datetime(2020, 1, 1, tzinfo=UTC)],
        "version": ["1.10", "1.2", None],
    }
)
TYPES = {
    "token": pl.String(),
    "alias": pl.List(pl.String()),
    "city": pl.String(),
    "hobbies": pl.List(pl.String()),
    "age": pl.Int64(),
    "score": pl.Float64(),
    "price": pl.Decimal(38, 2),
    "day": pl.Date(),
    "seen": pl.Datetime("us", "Asia/Shanghai"),
    "version": pl.String(),
    "tags": pl.List(pl.String()),
}


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    path = tmp_path_factory.mktemp("export") / "devices.index"
    options = {"typed": ["city", "hobbies"], "versions": ["version"], "timezone": "Asia/Shanghai"}
    return DeviceIndex.build(TABLE, path, **options)


def by_token(frame):
    return frame.sort("token")


def test_all_columns_have_their_types_and_values(index):
    frame = by_token(pl.concat(index.resolve("everyone").iter_frames()))
    assert dict(frame.schema) == {name: TYPES[name] for name in frame.columns}
    assert set(frame.columns) == TYPES.keys()
    assert frame["tags"].to_list() == [["a", "b", "vip"], [], ["b"]]
    assert frame["seen"][0] == datetime(2026, 11, 28, 9, 2, 3, 4, tzinfo=SHANGHAI)
    for name in ("alias", "age", "score", "price", "day", "version", "seen"):
        assert frame[name].to_list() == TABLE[name].to_list(), name
    assert frame["hobbies"].to_list() == [["chess", "go"], ["go"], []]


def test_frame_has_wanted_columns_in_their_order(index):
    frame = by_token(index.resolve("a OR b").to_frame(["age", "token", "vip", "tag", "id"]))
    assert frame.columns == ["age", "token", "vip", "tag", "id"]
    assert frame.rows() == [(31, "t1", True, ["a", "b", "vip"], "t1"), (17, "t3", False, ["b"], "t3")]


def test_empty_set_has_the_same_types(index):
    empty = index.resolve("nobody")
    assert list(empty.iter_frames()) == []
    assert empty.to_frame(["age", "seen"]).schema == index.resolve("everyone").to_frame(["age", "seen"]).schema


def test_frames_are_no_longer_than_wanted(index):
    frames = [*index.resolve("everyone").iter_frames(["token"], rows=2)]
    assert [len(frame) for frame in frames] == [2, 1]
    with pytest.raises(ValueError, match="expected 1 or more"):
        index.resolve("everyone").iter_frames(rows=0)


UNKNOWN = {
    "city|ctiy": "did you mean city",
    "agee": "did you mean age",
    "age|age": "named twice",
    "": "keeps no column ''",
}


@pytest.mark.parametrize("names", UNKNOWN)
def test_wrong_columns_are_refused(names, index):
    for call in (index.resolve("a").to_frame, index.resolve("a").iter_frames):
        with pytest.raises(PlanError, match=UNKNOWN[names]):
            call(names.split("|"))
    with pytest.raises(PlanError, match="no column is named"):
        index.resolve("a").iter_frames([])


def test_types_of_shards_are_made_one(tmp_path):
    index = DeviceIndex.build(pl.DataFrame({"token": ["t1"], "age": [1], "tags": [["a"]]}), tmp_path / "x.index")
    more = pl.DataFrame({"token": ["t2"], "age": [Decimal("2.5")], "city": ["x"], "vip": [True]})
    index.update(more, new=["city", "vip"])
    index.update(pl.DataFrame({"token": ["t3"], "city": ["z"]}))
    assert by_token(
        pl.concat(index.resolve("everyone").iter_frames(["token", "age", "city", "vip", "tags"]))
    ).rows() == [
        ("t1", Decimal("1.0"), None, False, ["a"]),
        ("t2", Decimal("2.5"), "x", True, ["vip"]),
        ("t3", None, "z", False, []),
    ]


# Law. -----------------------------------------------------------------------------------------------------------------

words = st.text("ab,;\"'\n 四=é", min_size=1, max_size=4).filter(lambda text: text.strip() == text)
some = st.lists(words, unique=True, max_size=3)
device_values = st.fixed_dictionaries(
    {
        "tags": some,
        "city": st.none() | words,
        "hobbies": some,
        "age": st.none() | st.integers(-(2**40), 2**40),
        "score": st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
        "day": st.none() | st.dates(),
        "seen": st.none()
        | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
    }
)
SCHEMA = {
    "token": pl.String,
    "tags": pl.List(pl.String),
    "city": pl.String,
    "hobbies": pl.List(pl.String),
    "age": pl.Int64,
    "score": pl.Float64,
    "day": pl.Date,
    "seen": pl.Datetime("us", "UTC"),
}


@given(
    st.lists(device_values, min_size=1, max_size=25),
    st.sampled_from([1, 7, 1_000]),
    st.sampled_from([".parquet", ".ndjson", ".arrow"]),
)
def test_table_comes_back_as_it_went_in(devices, shard_size, suffix):
    rows = [{"token": f"t{number:03}", **device} for number, device in enumerate(devices)]
    table = pl.DataFrame(rows, schema=SCHEMA)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", shard_size)
        index = DeviceIndex.build(table, Path(folder) / "index", typed=["city", "hobbies"])
        exported = by_token(pl.concat(index.resolve("everyone").iter_frames(list(SCHEMA), rows=4)))
        path = Path(folder) / f"people{suffix}"
        frames = index.resolve("everyone").iter_frames(list(SCHEMA), rows=3)
        write_frames(path, find_format(path), exported.clear(), frames, replace=False, list_separator=";")
        read = {".parquet": pl.read_parquet, ".ndjson": pl.read_ndjson, ".arrow": pl.read_ipc}[suffix]
        reread = by_token(read(path))
    expected = [
        {name: sorted(value) if isinstance(value, list) else value for name, value in row.items()} for row in rows
    ]
    found = [
        {name: sorted(value) if isinstance(value, list) else value for name, value in row.items()}
        for row in exported.to_dicts()
    ]
    assert found == expected
    if suffix != ".ndjson":
        assert reread.to_dicts() == exported.to_dicts()
        assert reread.schema == exported.schema
    else:
        assert [row["age"] for row in reread.to_dicts()] == [row["age"] for row in rows]
        assert reread["city"].to_list() == table["city"].to_list()


# The command. ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def export(audience, index, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        return audience("export", str(index.folder), *words)

    return run


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files")
@pytest.mark.parametrize("suffix", ["parquet", "csv", "ndjson", "jsonl", "arrow", "PARQUET"])
def test_command_writes_a_private_file(export, suffix):
    code, out, err = export("b", "-o", f"people.{suffix}", "--columns", "id,city,age", "--json")
    facts = json.loads(out)
    file = Path(f"people.{suffix}")
    assert (code, facts["devices"], facts["columns"], facts["bytes"]) == (
        0,
        2,
        ["id", "city", "age"],
        file.stat().st_size,
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    code, _, err = export("b", "-o", file.name)
    assert (code, "already exists" in err, "--replace" in err) == (2, True, True)
    assert export("b", "-o", file.name, "--replace", "--columns", "id")[0] == 0
    assert [each.name for each in Path().iterdir()] == [file.name]


@pytest.mark.parametrize("name", [None, "csv", "ndjson", "parquet", "arrow"])
def test_standard_output_has_the_bytes_of_a_file(name, index):
    """In each format, and the summary is on standard error."""
    suffix = name or "csv"
    file = index.folder.parent / f"compared.{suffix}"
    command = [sys.executable, "-m", "audience", "export", str(index.folder), "b", "--columns", "id,city,hobbies"]
    subprocess.run([*command, "-o", str(file), "--replace"], check=True, capture_output=True)
    format_words = [] if name is None else ["--format", name]
    done = subprocess.run([*command, "-o", "-", *format_words, "--json"], check=True, capture_output=True)
    assert done.stdout == file.read_bytes()
    assert json.loads(done.stderr)["bytes"] == len(done.stdout)
    file.unlink()


def test_an_unknown_format_is_refused(export):
    code, out, err = export("b", "-o", "-", "--format", "cvs")
    assert (code, out) == (2, "")
    assert "did you mean csv?" in err


def test_a_format_may_be_named_where_the_suffix_does_not(export):
    assert export("b", "-o", "people.txt", "--format", "ndjson", "--columns", "id")[0] == 0


def test_csv_quotes_and_joins(export):
    assert export("everyone", "-o", "people.csv", "--columns", "token,city,hobbies,seen,tags")[0] == 0
    rows = sorted(pl.read_csv("people.csv").rows())
    assert rows == [
        ("t1", 'x,\n"y', "chess;go", "2026-11-28T09:02:03.000004+08:00", "a;b;vip"),
        ("t2", None, "go", None, None),
        ("t3", None, None, "2020-01-01T08:00:00+08:00", "b"),
    ]


def test_value_with_the_separator_is_refused_and_leaves_no_file(export):
    code, _, err = export("a", "-o", "people.csv", "--list-separator", "e")
    assert (code, "bad-separator" in err, "'chess'" in err, list(Path().iterdir())) == (2, True, True, [])
    assert export("a", "-o", "people.csv", "--list-separator", "|")[0] == 0


def test_ndjson_has_lists_and_nulls(export):
    export("everyone", "-o", "people.ndjson", "--columns", "token,hobbies,seen,price,day")
    rows = sorted(map(json.loads, Path("people.ndjson").read_text().splitlines()), key=lambda row: row["token"])
    assert rows[0] | {"price": None} == {
        "token": "t1",
        "hobbies": ["chess", "go"],
        "seen": "2026-11-28T09:02:03.000004+08:00",
        "price": None,
        "day": "2026-11-28",
    }
    assert float(rows[0]["price"]) == 1.1
    assert rows[2]["hobbies"] == []


def test_empty_audience_has_a_file_with_the_columns(export):
    for suffix in ("csv", "parquet", "arrow", "ndjson"):
        assert export("nobody", "-o", f"none.{suffix}", "--columns", "id,age")[0] == 0
    assert Path("none.csv").read_text() == "id,age\n"
    assert pl.read_parquet("none.parquet").schema == {"id": pl.String, "age": pl.Int64}
    assert Path("none.ndjson").read_text() == ""


BAD_EXPORTS = {
    "a -o people.xlsx": "unknown-format",
    "a -o people": "unknown-format",
    "a -o gone/people.csv": "cannot-write",
    "a -o people.csv --columns ctiy": "did you mean city",
    "a -o people.csv --columns id,id": "named twice",
    "ctiy:x -o people.csv": "unknown-attribute",
}


@pytest.mark.parametrize("line", BAD_EXPORTS)
def test_bad_input_is_refused_and_leaves_no_file(export, line):
    code, out, err = export(*line.split())
    assert (code, out, BAD_EXPORTS[line] in err, list(Path().iterdir())) == (2, "", True, [])


def test_error_while_writing_keeps_the_older_file(tmp_path, index):
    file = tmp_path / "people.csv"
    file.write_text("old")
    frame = pl.DataFrame({"hobbies": [["a;b"]]})
    with pytest.raises(TableError):
        write_frames(file, find_format(file), frame.clear(), [frame], replace=True, list_separator=";")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
