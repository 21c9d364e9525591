"""Sources of tables: each gives the same index as the plain Parquet file, down to the bytes of its shards."""

import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from audience import DeviceIndex, TableError

ROWS = 400
TABLE = pl.DataFrame(
    {
        "token": [f"t{row}" for row in range(ROWS)],
        "tags": [["vip", "new"] if row % 3 else ([] if row % 2 else None) for row in range(ROWS)],
        "age": [None if row % 7 == 0 else row % 80 for row in range(ROWS)],
        "city": [("杭州", "x", None)[row % 3] for row in range(ROWS)],
        "active": [row % 2 == 0 for row in range(ROWS)],
    }
)
WITH_DAYS = TABLE.with_columns(
    country=pl.Series(["cn" if row < 100 else "a b/ü" for row in range(ROWS)]),
    level=pl.Series([1 if row % 50 < 25 else None for row in range(ROWS)], dtype=pl.Int64),
).sort("country", "level", "token", nulls_last=True)


def shard_bytes(path):
    return {file.name: file.read_bytes() for file in sorted(Path(path, "shards").iterdir())}


def assert_same_index(source, expected, tmp_path, query=None):
    """Build both sources, the first by a *query* if it is a database, and compare all shards."""
    DeviceIndex.build(expected, tmp_path / "expected", timezone="UTC")
    DeviceIndex.build(source, tmp_path / "found", timezone="UTC", query=query)
    assert shard_bytes(tmp_path / "found") == shard_bytes(tmp_path / "expected")


class OnlyAStream:
    """Table of which nothing but its stream is known, as of an engine that nobody has heard of."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


ARROW = TABLE.to_arrow()
STREAMS = {
    "pyarrow table": lambda: ARROW,
    "record batches": lambda: pa.RecordBatchReader.from_batches(ARROW.schema, ARROW.to_batches(max_chunksize=33)),
    "slice": lambda: pa.concat_tables([ARROW.slice(0, 5), ARROW.slice(5)]),
    "pandas": lambda: TABLE.to_pandas(use_pyarrow_extension_array=True),
    "pandas with other row labels": lambda: TABLE.to_pandas(use_pyarrow_extension_array=True).set_index(
        pl.Series(range(9, ROWS + 9)).to_numpy()
    ),
    "duckdb": lambda: duckdb.connect().from_arrow(ARROW),
    "any object": lambda: OnlyAStream(ARROW),
    "dictionaries and views": lambda: ARROW.set_column(3, "city", ARROW["city"].cast(pa.string()).dictionary_encode()),
}


@pytest.mark.parametrize("name", STREAMS)
def test_an_arrow_stream_gives_the_same_index(name, tmp_path):
    assert_same_index(STREAMS[name](), TABLE, tmp_path)


NDJSON_FILES = {
    "a column of the second file": ('{"token": "a", "x": "u"}\n', '{"token": "b", "x": "v", "y": 1}\n'),
    "a column of the first file": ('{"token": "a", "y": 1}\n', '{"token": "b"}\n'),
    "columns that differ in case": ('{"token": "a", "City": "u"}\n', '{"token": "b", "city": "v"}\n'),
    "numbers with a point": ('{"token": "a", "x": 1}\n', '{"token": "b", "x": 1.5}\n'),
    "text beside numbers": ('{"token": "a", "x": 1}\n', '{"token": "b", "x": "07"}\n'),
    "no values": ('{"token": "a", "x": null, "tags": []}\n', '{"token": "b", "x": "v", "tags": ["t"]}\n'),
    "no rows": ("", '{"token": "b", "x": 1}\n'),
}


@pytest.mark.parametrize("name", NDJSON_FILES)
def test_files_of_ndjson_are_read_as_one_file(name, tmp_path):
    for number, text in enumerate(NDJSON_FILES[name]):
        (tmp_path / f"p={number}").mkdir()
        (tmp_path / f"p={number}" / "part.ndjson").write_text(text)
    (tmp_path / "whole.ndjson").write_text("".join(NDJSON_FILES[name]))
    parts = sorted(tmp_path.glob("*/part.ndjson"))
    assert_same_index(parts, tmp_path / "whole.ndjson", tmp_path)


def test_files_of_ndjson_with_types_that_exclude_each_other_are_refused(tmp_path):
    (tmp_path / "1.ndjson").write_text('{"token": "a", "x": 1}\n')
    (tmp_path / "2.ndjson").write_text('{"token": "b", "x": ["v"]}\n')
    with pytest.raises(
        TableError, match=r"failed to determine supertype(.|\n)*give all files the same columns and types"
    ):
        DeviceIndex.build([tmp_path / "1.ndjson", tmp_path / "2.ndjson"], tmp_path / "index")


def test_files_of_other_columns_are_refused_without_advice_to_programmers(tmp_path):
    pl.DataFrame({"token": ["a"], "x": [1]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"token": ["b"], "x": [1], "y": [1]}).write_parquet(tmp_path / "2.parquet")
    with pytest.raises(TableError, match="give all files the same columns and types") as raised:
        DeviceIndex.build([tmp_path / "1.parquet", tmp_path / "2.parquet"], tmp_path / "index")
    assert "2.parquet" in str(raised.value) and "pass" not in str(raised.value)


LISTS = [["a"], None, [], ["b", None, "a"], ["c" * 20]]


@pytest.mark.parametrize("slices", [(0, 5), (1, 4), (3, 5), (2, 2)])
@pytest.mark.parametrize(
    "type_", [pa.list_view(pa.string()), pa.large_list_view(pa.string_view()), pa.list_(pa.string_view())], ids=str
)
def test_lists_of_any_layout_keep_their_elements(type_, slices, tmp_path):
    start, stop = slices
    table = pa.table({"token": [f"t{number}" for number in range(5)], "tags": pa.array(LISTS, type_)})
    plain = pl.DataFrame(
        {"token": table["token"].to_pylist(), "tags": LISTS}, schema_overrides={"tags": pl.List(pl.String)}
    )
    assert_same_index(OnlyAStream(table.slice(start, stop - start)), plain[start:stop], tmp_path)


def test_events_and_updates_take_arrow_streams(tmp_path):
    index = DeviceIndex.build(ARROW, tmp_path / "index")
    assert index.update(pa.table({"token": ["t1", "new"], "age": [17, 18]})).added == 1
    events = pa.table({"token": ["t1"], "event": ["buy"], "at": pa.array([0], pa.timestamp("us", "UTC"))})
    assert index.add_events(events).added == 1
    assert index.add_events(pa.RecordBatchReader.from_stream(events)).repeated


REFUSED_STREAMS = {
    "bad type": (pa.table({"token": ["a"], "of": pa.array([None], pa.month_day_nano_interval())}), "no-role", "'of'"),
    "map": (
        pa.table({"token": ["a"], "of": pa.array([[("x", 1)]], pa.map_(pa.string(), pa.int8()))}),
        "no-role",
        "'of'",
    ),
    "list of lists": (pa.table({"token": ["a"], "of": [[["x"]]]}), "no-role", "'of'"),
    "struct": (pa.table({"token": ["a"], "of": [{"x": 1}]}), "no-role", "'of'"),
    "bytes": (pa.table({"token": ["a"], "of": [b"x"]}), "no-role", "'of'"),
    "same name": (pa.table([pa.array(["a"])] * 2, names=["token", "token"]), "same-name", "'token'"),
    "no table": (pa.chunked_array([[1]]), "not-a-table", "ChunkedArray"),
}


@pytest.mark.parametrize("name", REFUSED_STREAMS)
def test_what_cannot_be_kept_is_refused(name, tmp_path):
    stream, code, words = REFUSED_STREAMS[name]
    with pytest.raises(TableError, match=words) as raised:
        DeviceIndex.build(stream, tmp_path / "index")
    assert raised.value.code == code
    assert not (tmp_path / "index").exists()
    if code == "no-role":
        assert len(DeviceIndex.build(stream, tmp_path / "index", ignore=["of"])) == 1


@pytest.mark.parametrize(
    "values", [pa.array([(1, 2, 3)], pa.month_day_nano_interval()), pa.array([1], pa.decimal256(50, 2))], ids=str
)
def test_an_arrow_file_over_which_polars_panics_is_refused(values, tmp_path):
    table = pa.table({"token": ["a"], "of": values})
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(TableError, match=r"unreadable: .*t\.arrow cannot be read"):
        DeviceIndex.build(tmp_path / "t.arrow", tmp_path / "index")
    assert len(DeviceIndex.build(table, tmp_path / "index", ignore=["of"])) == 1


def test_a_stream_that_breaks_leaves_nothing(tmp_path):
    def break_off():
        yield from ARROW.to_batches(max_chunksize=100)[:2]
        raise ConnectionError("the server is gone")

    with pytest.raises(TableError, match="the server is gone"):
        DeviceIndex.build(pa.RecordBatchReader.from_batches(ARROW.schema, break_off()), tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


HIVE_WRITERS = {
    "parquet": lambda frame, file: frame.write_parquet(file),
    "ipc": lambda frame, file: frame.write_ipc(file),
    "ndjson": lambda frame, file: frame.write_ndjson(file),
    "csv": lambda frame, file: frame.drop("tags", strict=False).write_csv(file),
}


def write_hive(folder, format_, keep=()):
    """Write WITH_DAYS as a Hive folder by country and level; *keep* are such columns that the files have, too."""
    for country, encoded in (("a b/ü", "a%20b%2F%C3%BC"), ("cn", "cn")):
        for level, name in ((1, "1"), (None, "__HIVE_DEFAULT_PARTITION__")):
            part = folder / f"country={encoded}" / f"level={name}"
            part.mkdir(parents=True)
            rows = WITH_DAYS.filter(pl.col("country") == country, pl.col("level").eq_missing(level))
            HIVE_WRITERS[format_](rows.drop({"country", "level"} - set(keep)), part / f"part-0.{format_}")
            (part / "_SUCCESS").touch()
            (part / ".part-0.crc").touch()


@pytest.mark.parametrize("format_", HIVE_WRITERS)
def test_the_folders_of_a_hive_table_are_columns(format_, tmp_path):
    write_hive(tmp_path / "hive", format_)
    expected = WITH_DAYS.drop("tags") if format_ == "csv" else WITH_DAYS
    assert_same_index(tmp_path / "hive", expected, tmp_path)


@pytest.mark.parametrize("format_", HIVE_WRITERS)
def test_files_may_have_the_columns_of_their_folders(format_, tmp_path):
    write_hive(tmp_path / "hive", format_, keep=["country", "level"])
    expected = WITH_DAYS.drop("tags") if format_ == "csv" else WITH_DAYS
    assert_same_index(tmp_path / "hive", expected, tmp_path)
    (tmp_path / "hive" / "country=cn").rename(tmp_path / "hive" / "country=de")
    with pytest.raises(TableError, match="its folder gives another value") as raised:
        DeviceIndex.build(tmp_path / "hive", tmp_path / "index")
    assert raised.value.code == "bad-partition"


def test_a_glob_over_hive_folders_has_their_columns(tmp_path):
    write_hive(tmp_path / "hive", "parquet")
    assert_same_index(str(tmp_path / "hive" / "country=*" / "**" / "*.parquet"), WITH_DAYS, tmp_path)
    below = DeviceIndex.build(str(tmp_path / "hive" / "country=cn" / "*" / "*.parquet"), tmp_path / "below")
    assert {"level"} == below.attributes.keys() - {"tag", "age", "city", "country"}
    assert "country" not in below.attributes


PARTITION_TYPES = {
    ("7", "10"): ("number", "level = 7"),
    ("007", "10"): ("string", "level:007"),
    ("1.5", "2"): ("number", "level = 1.5"),
    ("true", "false"): ("tags", "level"),
    ("2026-11-28", "2026-11-30"): ("date", "level = 2026-11-28"),
    ("2026-11-28", "2026-11-31"): ("string", "level:2026-11-28"),
    ("12345678901234567890", "1"): ("string", "level:12345678901234567890"),
}


@pytest.mark.parametrize("texts", PARTITION_TYPES)
def test_values_of_folders_have_the_type_that_all_have(texts, tmp_path):
    for row, text in enumerate(texts):
        (tmp_path / "hive" / f"level={text}").mkdir(parents=True)
        pl.DataFrame({"token": [f"t{row}"]}).write_parquet(tmp_path / "hive" / f"level={text}" / "x.parquet")
    role, expr = PARTITION_TYPES[texts]
    index = DeviceIndex.build(tmp_path / "hive", tmp_path / "index")
    assert ({"tag": "tags"} if role == "tags" else {"level": role}) == {
        name: stats.role for name, stats in index.attributes.items()
    }
    assert index.count(expr) == 1


def test_events_in_folders_of_days_are_batches_of_their_own(tmp_path):
    index = DeviceIndex.build(TABLE, tmp_path / "index")
    for day in ("2026-11-27", "2026-11-28"):
        (tmp_path / "events" / f"at={day}").mkdir(parents=True)
        file = tmp_path / "events" / f"at={day}" / "part-0.parquet"
        pl.DataFrame({"token": ["t1"], "event": ["buy"]}).write_parquet(file)  # the same bytes on both days
    assert index.add_events(tmp_path / "events").added == 2
    assert index.add_events(tmp_path / "events").added == 0


def test_folders_of_different_columns_are_refused(tmp_path):
    for folder in ("day=1", "hour=1", "day=1/day=2"):
        (tmp_path / "hive" / folder).mkdir(parents=True)
    pl.DataFrame({"token": ["a"]}).write_parquet(tmp_path / "hive" / "day=1" / "x.parquet")
    pl.DataFrame({"token": ["b"]}).write_parquet(tmp_path / "hive" / "hour=1" / "x.parquet")
    with pytest.raises(TableError, match="'day'") as raised:
        DeviceIndex.build(tmp_path / "hive", tmp_path / "index")
    assert raised.value.code == "bad-partition"
    pl.DataFrame({"token": ["b"]}).write_parquet(tmp_path / "hive" / "day=1" / "day=2" / "x.parquet")
    with pytest.raises(TableError, match="gives a column twice"):
        DeviceIndex.build(tmp_path / "hive", tmp_path / "index")


def test_packages_of_other_sources_are_not_loaded_at_the_start():
    packages = {"httpx", "pyarrow.compute", "pyarrow.parquet", "obstore", "duckdb", "deltalake", "pyiceberg"}
    script = f"import sys, audience.index.device_index; print(sorted({packages!r} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.strip() == "[]"
