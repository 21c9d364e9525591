"""Folders of bitmaps: what is exported is imported with the same answers, and what others write is checked."""

import json
import random
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest
from clickhouse import open_clickhouse, read_rows
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap
from sql_tables import ROLES, make_table, questions

from audience import DeviceIndex, PlanError, TableError, Tag, render
from audience.index.changes.interchange.clickhouse_states import iter_rows, write_state
from audience.index.changes.interchange.portable_roaring import RoaringError, read_portable
from audience.index.ingest import build

TABLE = make_table()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bitmaps")


@pytest.fixture(scope="module")
def index(folder):
    """Return an index of several shards, of which one has deleted rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", 100)
        index = DeviceIndex.build(TABLE, folder / "devices.index", **ROLES)
    index.remove(["t1", "t2", "t4", "t230"])
    return index


@pytest.fixture(scope="module")
def copies(index, folder):
    """Return the indexes that are imported from both formats."""
    index.export_bitmaps(folder / "parquet")
    index.export_bitmaps(folder / "clickhouse", format="clickhouse")
    return [DeviceIndex.import_bitmaps(folder / name, folder / f"{name}.index") for name in ("parquet", "clickhouse")]


def tokens_of(index, expr):
    return sorted(index.resolve(expr).to_frame(["token"])["token"].to_list())


@given(questions)
def test_imported_indexes_give_the_same_answers(index, copies, expr):
    expected = tokens_of(index, expr)
    assert [tokens_of(copy, expr) for copy in copies] == [expected, expected], render(expr)


def test_imported_indexes_have_the_same_columns_and_values(index, copies, folder):
    names = TABLE.columns
    expected = index.resolve("everyone").to_frame(names).sort("token")
    for copy in copies:
        assert copy.snapshot.manifest.columns == index.snapshot.manifest.columns
        assert [column.has_cut_moments for column in copy.snapshot.manifest.columns] == [
            column.has_cut_moments for column in index.snapshot.manifest.columns
        ]
        assert copy.snapshot.timezone == index.snapshot.timezone
        assert copy.resolve("everyone").to_frame(names).sort("token").equals(expected)
    assert {path.stat().st_mode & 0o777 for path in (folder / "parquet").iterdir()} == {0o600}
    assert (folder / "parquet").stat().st_mode & 0o777 == 0o700


def test_attributes_of_many_values_are_columns_of_the_devices(tmp_path):
    table = pl.DataFrame({"token": [f"t{row}" for row in range(6_000)], "spend": [row / 4 for row in range(6_000)]})
    table = table.with_columns(name=pl.lit("n") + pl.col("token"))
    index = DeviceIndex.build(table, tmp_path / "devices.index")
    index.export_bitmaps(tmp_path / "bitmaps")
    assert pl.read_parquet(tmp_path / "bitmaps" / "devices.parquet").columns == [
        "_shard",
        "_position",
        "token",
        "spend",
        "name",
    ]
    copy = DeviceIndex.import_bitmaps(tmp_path / "bitmaps", tmp_path / "copy.index")
    for expr in ("spend > 100.25", "name:nt17", 'name matches "*99"', "NOT spend < 1499"):
        assert tokens_of(copy, expr) == tokens_of(index, expr) != []


def test_an_empty_index_is_carried(tmp_path):
    index = DeviceIndex.build(TABLE.head(3), tmp_path / "devices.index", **ROLES)
    index.remove(TABLE.head(3)["token"].to_list())
    index.export_bitmaps(tmp_path / "bitmaps")
    assert len(DeviceIndex.import_bitmaps(tmp_path / "bitmaps", tmp_path / "copy.index")) == 0


def test_parts_that_are_not_carried_are_refused_by_name(tmp_path, audience):
    index = DeviceIndex.build(TABLE, tmp_path / "devices.index", **ROLES)
    index.save_segment("grown", "age > 17")
    index.add_events(pl.DataFrame({"token": ["t1"], "event": ["purchase"], "time": ["2026-11-28T09:00Z"]}))
    with pytest.raises(PlanError) as raised:
        index.export_bitmaps(tmp_path / "bitmaps")
    assert [problem.message for problem in raised.value.problems] == [
        "bitmaps do not carry events: purchase",
        "bitmaps do not carry segments: grown",
    ]
    folder = str(tmp_path / "bitmaps")
    code, _, err = audience(
        "index", "export-bitmaps", str(tmp_path / "devices.index"), "-o", folder, "--without", "events"
    )
    assert (code, "--without segments" in err) == (2, True)
    options = ["--without", "events", "--without", "segments", "--format", "clickhouse"]
    code, out, _ = audience("index", "export-bitmaps", str(tmp_path / "devices.index"), "-o", folder, *options)
    assert (code, out) == (0, f"{folder}: 240 devices in 1 shard, bitmaps as clickhouse\n")
    code, out, _ = audience("index", "import-bitmaps", folder, "-o", str(tmp_path / "copy.index"))
    assert (code, out) == (0, f"{tmp_path / 'copy.index'}: 240 devices\n")
    assert audience("index", "import-bitmaps", folder, "-o", str(tmp_path / "copy.index"))[0] == 2
    with pytest.raises(PlanError, match="unknown format of bitmaps"):
        index.export_bitmaps(tmp_path / "other", format="orc")
    with pytest.raises(PlanError, match="unknown part"):
        index.export_bitmaps(tmp_path / "other", without=["tags"])
    assert not (tmp_path / "other").exists()


DESCRIPTION: dict[str, Any] = {
    "format": 1,
    "bitmaps": "parquet",
    "timezone": "UTC",
    "devices": [3],
    "columns": [
        {"name": "token", "role": "id", "attribute": "token"},
        {"name": "city", "role": "string", "attribute": "city", "has_bitmaps": True},
        {"name": "age", "role": "number", "attribute": "age", "type": "Decimal:1", "has_bitmaps": True},
        {"name": "tags", "role": "tags", "attribute": "tag", "is_list": True, "has_bitmaps": True},
        {"name": "vip", "role": "tags", "attribute": "tag", "type": "Boolean", "has_bitmaps": True},
    ],
}
DEVICES = {"_shard": [0, 0, 0], "_position": [2, 0, 1], "token": ["t2", "t0", "t1"]}
ROWS = [
    ("city", "city", "Rome", [0]),
    ("city", "city", "Bari", [1]),
    ("age", "age", "17.5", [0, 2]),
    ("tags", "tag", "a", [0, 1]),
    ("tags", "tag", "b", [1]),
    ("vip", "tag", "vip", [2]),
]


def write_foreign(folder, description=DESCRIPTION, devices=DEVICES, rows=ROWS, **columns):
    """Write a folder as another program would."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "description.json").write_text(json.dumps(description))
    pl.DataFrame(devices).write_parquet(folder / "devices.parquet")
    bitmaps = [row[3] if isinstance(row[3], bytes) else BitMap(row[3]).serialize() for row in rows]
    table = {
        "shard": [0] * len(rows),
        **{name: [row[at] for row in rows] for at, name in enumerate(("column", "attribute", "value"))},
    }
    pl.DataFrame({**table, "bitmap": bitmaps, **columns}).write_parquet(folder / "bitmaps.parquet")
    return folder


def test_a_folder_of_another_program_is_imported(tmp_path):
    index = DeviceIndex.import_bitmaps(write_foreign(tmp_path / "foreign"), tmp_path / "devices.index")
    for expr, tokens in {"city:Rome": ["t0"], "age = 17.5": ["t0", "t2"], "a AND b": ["t1"], "vip": ["t2"]}.items():
        assert tokens_of(index, expr) == tokens, expr


def described(**changes):
    return {**DESCRIPTION, **changes}


def column_described(name, **changes):
    return described(
        columns=[{**column, **(changes if column["name"] == name else {})} for column in DESCRIPTION["columns"]]
    )


REFUSED: dict[str, dict[str, Any]] = {
    "has position 3; the shard has 3 devices": {"rows": [("city", "city", "Rome", [0, 3])]},
    "is there twice": {"rows": [*ROWS, ROWS[0]]},
    "a device has two values of 'city'": {"rows": [*ROWS, ("city", "city", "Oslo", [0])]},
    "has no value": {"rows": [("city", "city", "", [0])]},
    "it is cut off": {"rows": [("city", "city", "Rome", BitMap([1, 2]).serialize()[:-1])]},
    "more bytes follow it": {"rows": [("city", "city", "Rome", BitMap([1]).serialize() + b"x")]},
    "it does not begin as one": {"rows": [("city", "city", "Rome", b"1234")]},
    "the description has 0 such columns": {"rows": [("town", "town", "Rome", [0])]},
    "the description has 2 such columns": {"rows": [("", "tag", "a", [0])]},
    "flags has another tag than its name": {"rows": [("vip", "tag", "VIP", [0])]},
    "column 'age' of Decimal:1s has the values '17.55'": {"rows": [("age", "age", "17.55", [0])]},
    "column 'age' of Decimal:1s has the values 'old'": {"rows": [("age", "age", "old", [0])]},
    "have equal values": {"rows": [("age", "age", "17.5", [0]), ("age", "age", "17.50", [1])]},
    "has 1 devices, and says 2": {"devices_said": [2, 1, 2, 2, 1, 1]},
    "do not have the positions from 0 to 2": {"devices": {**DEVICES, "_position": [0, 0, 1]}},
    "devices.parquet has no column 'token'": {"devices": {"_shard": [0], "_position": [0]}},
    "shards that the description does not have": {"devices": {**DEVICES, "_shard": [0, 0, 1]}},
    "column 'token'": {"devices": {**DEVICES, "token": ["t0", "t0", "t1"]}},
    "expected format 1, found 2": {"description": described(format=2)},
    "unknown time zone": {"description": described(timezone="Mars")},
    "unknown format of bitmaps": {"description": described(bitmaps="orc")},
    "two columns have one name": {"description": described(columns=DESCRIPTION["columns"] * 2)},
    "has no name or no role": {"description": column_described("city", role="secret")},
    "unknown type 'Int12' of column 'age'": {"description": column_described("age", type="Int12")},
    "is not the description": {"description": [1]},
    "unexpected keyword argument": {"description": column_described("age", color="red")},
    "numbers of devices are not those of shards": {"description": described(devices=[-1])},
    "which are in the file of devices": {"description": column_described("token", has_bitmaps=True)},
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_folder_that_contradicts_itself_is_refused(words, tmp_path):
    parts = dict(REFUSED[words])
    extra = {"devices": parts.pop("devices_said")} if "devices_said" in parts else {}
    folder = write_foreign(tmp_path / "foreign", **parts)
    if extra:
        pl.read_parquet(folder / "bitmaps.parquet").with_columns(
            **{name: pl.Series(values) for name, values in extra.items()}
        ).write_parquet(folder / "bitmaps.parquet")
    with pytest.raises(TableError) as raised:
        DeviceIndex.import_bitmaps(folder, tmp_path / "devices.index")
    assert words in str(raised.value), raised.value
    assert not (tmp_path / "devices.index").exists()


@pytest.mark.parametrize("name", ["description.json", "devices.parquet", "bitmaps.parquet"])
def test_a_missing_or_damaged_file_is_named(name, tmp_path):
    folder = write_foreign(tmp_path / "foreign")
    for damage in (lambda file: file.write_bytes(b"\x00" * 40), lambda file: file.unlink()):
        damage(folder / name)
        with pytest.raises(TableError) as raised:
            DeviceIndex.import_bitmaps(folder, tmp_path / "devices.index")
        assert (raised.value.code, name in str(raised.value)) == ("bad-bitmaps", True), raised.value


value_sets = st.one_of(
    st.sets(st.integers(0, (1 << 32) - 1), max_size=50),
    st.builds(lambda start, length: {*range(start, start + length)}, st.integers(0, 1 << 20), st.integers(0, 9_000)),
    st.builds(
        lambda seed, count: {*random.Random(seed).choices(range(200_000), k=count)},
        st.integers(0, 99),
        st.integers(0, 9_000),
    ),
)


@given(value_sets, st.booleans())
def test_portable_bitmaps_are_read(values, has_runs):
    bitmap = BitMap(values)
    if has_runs:
        bitmap.run_optimize()
    assert read_portable(bitmap.serialize()).tolist() == sorted(values)


@given(value_sets, st.booleans(), st.data())
def test_damaged_bitmaps_are_refused_or_are_bitmaps(values, has_runs, data):
    bitmap = BitMap(values)
    if has_runs:
        bitmap.run_optimize()
    damaged = bytearray(bitmap.serialize())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_portable(bytes(damaged))
    except RoaringError:
        return
    assert (np.diff(found.astype(np.int64)) > 0).all()
    assert BitMap(found) == BitMap.deserialize(bytes(damaged))


def test_small_bitmaps_of_billions_of_values_are_not_expanded(tmp_path):
    everything = BitMap(range(1 << 16)).serialize()
    count = 1 << 16
    cookie = (12347 | (count - 1) << 16).to_bytes(4, "little") + b"\xff" * (count // 8)
    heads = np.array([[key, 65_535] for key in range(count)], "<u2").tobytes()
    offsets = (len(cookie) + len(heads) + 4 * count + 6 * np.arange(count)).astype("<u4").tobytes()
    bomb = cookie + heads + offsets + np.array([[1, 0, 65_535]] * count, "<u2").tobytes()
    assert read_portable(everything)[-1] == 65_535
    with pytest.raises(TableError, match="where no device is"):
        DeviceIndex.import_bitmaps(
            write_foreign(tmp_path / "foreign", rows=[("city", "city", "x", bomb)]), tmp_path / "index"
        )


def test_runs_beyond_their_container_are_refused():
    for runs in ([(65_535, 1)], [(5, 10), (3, 1)], [(0, 65_535), (0, 0)]):
        body = np.array([len(runs), *sum(runs, ())], "<u2").tobytes()
        count = sum(length + 1 for _, length in runs) - 1
        data = (12347).to_bytes(4, "little") + b"\x01" + np.array([0, count & 0xFFFF], "<u2").tobytes() + body
        with pytest.raises(RoaringError):
            read_portable(data)


@pytest.fixture(scope="module")
def clickhouse():
    session = open_clickhouse()
    yield session
    session.close()


STATE_COLUMNS = (
    "shard UInt32, column LowCardinality(String), attribute LowCardinality(String), value String, "
    "bitmap AggregateFunction(groupBitmap, UInt32)"
)
OPERATIONS = [("AND", "And"), ("OR", "Or"), ("AND NOT", "Andnot")]
COMBINED = {
    "city:guangdong": "bitmapCardinality({city:guangdong})",
    "city:guangdong OR city:x": "bitmapOrCardinality({city:guangdong}, {city:x})",
    "vip AND NOT city:x": "bitmapAndnotCardinality({tag:vip}, {city:x})",
    "vip AND platform:ios": "bitmapAndCardinality({tag:vip}, {platform:ios})",
    "version:1.2 OR vip OR age = 30": "bitmapCardinality(bitmapOr(bitmapOr({version:1.2}, {tag:vip}), {age:30}))",
    "sizes = 36 AND sizes = 40": "bitmapAndCardinality({sizes:36}, {sizes:40})",
    "signup = 2020-02-29 AND NOT vip": "bitmapAndnotCardinality({signup:2020-02-29}, {tag:vip})",
}


def test_clickhouse_reads_the_states_and_answers_alike(index, copies, folder, clickhouse):
    clickhouse.query("CREATE DATABASE states")
    clickhouse.query(f"CREATE TABLE states.bitmaps ({STATE_COLUMNS}) ENGINE = Memory")
    file = folder / "clickhouse" / "bitmaps.bin"
    clickhouse.query(f"INSERT INTO states.bitmaps SELECT * FROM file('{file}', 'RowBinary', '{STATE_COLUMNS}')")
    stored = read_rows(
        clickhouse, "SELECT attribute, value, sum(bitmapCardinality(bitmap)) FROM states.bitmaps GROUP BY 1, 2"
    )
    assert len(stored) > 100
    for attribute, value, count in stored:
        assert int(count) == index.count(Tag(attribute, value)), (attribute, value)
    chance, state = random.Random(20), "groupBitmapMergeStateIf(bitmap, attribute = '{}' AND value = '{}')"
    plain = [(attribute, value) for attribute, value, _ in stored if value.isalnum() and value.isascii()]
    pairs = [(*chance.choice(plain), *chance.choice(plain), *chance.choice(OPERATIONS)) for _ in range(20)]
    combined = {
        f"{a}:{x} {operation} {b}:{y}": f"bitmap{name}Cardinality({{{a}:{x}}}, {{{b}:{y}}})"
        for a, x, b, y, operation, name in pairs
    }
    for expr, formula in (COMBINED | combined).items():
        states = re.sub(r"\{(\w+):([^}]*)\}", lambda tag, state=state: state.format(*tag.groups()), formula)
        rows = read_rows(clickhouse, f"SELECT {states} FROM states.bitmaps GROUP BY shard")
        assert sum(int(count) for (count,) in rows) == index.count(expr), expr
    assert all(index.count(expr) for expr in COMBINED)


def test_states_of_clickhouse_are_read(index, folder, copies, clickhouse, tmp_path):
    shutil.copytree(folder / "clickhouse", tmp_path / "written")
    (tmp_path / "written" / "bitmaps.bin").unlink()
    file = tmp_path / "written" / "bitmaps.bin"
    positions = (
        "SELECT shard, column, attribute, value, arrayJoin(bitmapToArray(bitmap)) AS position FROM states.bitmaps"
    )
    clickhouse.query(
        f"INSERT INTO FUNCTION file('{file}', 'RowBinary', '{STATE_COLUMNS}') SELECT shard, column, attribute, value, "
        f"groupBitmapState(position) FROM ({positions}) GROUP BY shard, column, attribute, value"
    )
    copy = DeviceIndex.import_bitmaps(tmp_path / "written", tmp_path / "copy.index")
    assert (
        copy.resolve("everyone")
        .to_frame(TABLE.columns)
        .sort("token")
        .equals(index.resolve("everyone").to_frame(TABLE.columns).sort("token"))
    )


@pytest.mark.parametrize("count", [0, 1, 32, 33, 5_000])
def test_states_have_the_bytes_of_clickhouse(count, clickhouse):
    made = clickhouse.query(f"SELECT groupBitmapState(toUInt32(number * 3)) FROM numbers({count})", "RowBinary").bytes()
    ours = write_state(BitMap(range(0, 3 * count, 3)).serialize())
    assert ours[0] == made[0]
    read = iter_states(made)
    assert read == iter_states(ours) == list(range(0, 3 * count, 3))


def iter_states(state):
    """Return the values of a state, which is the end of a row."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "row.bin")
        file.write_bytes(bytes(4) + b"\x01c\x01a\x01v" + state)
        (row,) = iter_rows(file, [100_000])
    return row.positions.tolist()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("0201", "unknown kind 2"),
        ("000201000000", "it is cut off"),
        ("00020100000001000000", "or one twice"),
        ("0021" + "00" * 132, "too many values"),
        ("01ff", "it is cut off"),
        ("01" + "ff" * 10, "a size has too many bytes"),
        ("010431323334", "it does not begin as one"),
    ],
)
def test_damaged_states_are_refused(state, words):
    with pytest.raises(RoaringError, match=words):
        iter_states(bytes.fromhex(state))
