"""Tables that databases answer a query with."""

import json
import sqlite3
import subprocess
import sys

import duckdb
import polars as pl
import pytest
from postgres_server import ENCODED_PASSWORD, PASSWORD, serve_postgres
from test_sources import TABLE, assert_same_index

from audience import DeviceIndex, TableError

dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi", reason="the extra `adbc` is not installed")

MOMENTS = TABLE.with_columns(
    seen=pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 12, 31), eager=True, time_unit="us")
    .gather_every(1)
    .extend_constant(None, 35),
).with_columns(
    signup=pl.col("seen").dt.replace_time_zone("UTC"),
    day=pl.col("seen").dt.date(),
    price=pl.Series([None if row % 5 == 0 else row * 1.25 for row in range(TABLE.height)]).cast(pl.Decimal(38, 2)),
)


@pytest.fixture(scope="module")
def postgres():
    """URL of a database with the table `devices`."""
    with serve_postgres() as port:
        url = f"postgresql://postgres:{ENCODED_PASSWORD}@127.0.0.1:{port}/postgres"
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE devices (token text, tags text[], age bigint, city text, active boolean, "
                "seen timestamp, signup timestamptz, day date, price numeric)"
            )
            cursor.adbc_ingest("loaded", MOMENTS.with_columns(pl.col("price").cast(pl.String)).to_arrow())
            cursor.execute(INSERT)
            connection.commit()
        yield url


INSERT = """INSERT INTO devices
SELECT token, tags, age, city, active, seen, signup, day, price::numeric FROM loaded ORDER BY substr(token, 2)::int"""


def test_postgres_gives_the_same_index(postgres, tmp_path):
    expected = tmp_path / "expected.parquet"
    MOMENTS.write_parquet(expected)
    (tmp_path / "build").mkdir()
    assert_same_index(postgres, expected, tmp_path / "build", query="TABLE devices;")


def test_the_zone_of_the_session_changes_nothing(postgres, tmp_path):
    query = "SELECT token, seen, signup FROM devices"
    url = f"{postgres}?options=-c%20timezone%3DAsia/Shanghai"
    expected = MOMENTS.select("token", "seen", "signup")
    assert_same_index(url, expected, tmp_path, query=query)


def test_types_of_postgres_are_exact(postgres, tmp_path):
    query = """SELECT 'token-' || i AS token, '0123ABCD-0000-4000-8000-000000000000'::uuid AS who,
        '{"a": 1}'::jsonb AS settings, 12345678901234567890.125::numeric AS big, ARRAY[1.5, 2]::numeric[] AS sizes,
        ARRAY['x', NULL, ''] AS tags, NULL::text AS nothing, ''::text AS empty, 'x'::char(3) AS padded
        FROM generate_series(1, 3) AS t(i)"""
    index = DeviceIndex.build(postgres, tmp_path / "index", query=query)
    for expr in (
        'who:"0123abcd-0000-4000-8000-000000000000"',
        'settings:"{\\"a\\": 1}"',
        "big = 12345678901234567890.125",
        "sizes = 1.5 AND sizes = 2",
        "x",
        'padded:"x  "',
        "NOT has(nothing)",
    ):
        assert index.count(expr) == 3, expr


REFUSED_QUERIES = {
    "SELECT 'a' AS token, 1::money AS cents": ("no-role", "column 'cents' of type money"),
    "SELECT 'a' AS token, 3000000000::oid AS number": ("no-role", "column 'number' of type oid"),
    "SELECT 'a' AS token, '1 day'::interval AS age": ("no-role", "column 'age' of type interval"),
    "SELECT 'a' AS token, '\\x00'::bytea AS photo": ("no-role", "column 'photo'"),
    "SELECT 'a' AS token, '12:00'::time AS hour": ("no-role", "column 'hour'"),
    "SELECT 'a' AS token, '10.0.0.1'::inet AS address": ("no-role", "column 'address' of type inet"),
    "SELECT 'a' AS token, 'NaN'::numeric AS price": ("bad-value", "column 'price' holds 'nan'"),
    "SELECT 'a' AS token, 'infinity'::timestamp AS seen": ("bad-value", "'seen'"),
    "SELECT 'a' AS token, 'b' AS token": ("same-name", "'token'"),
    "SELECT 'a' AS token FROM nothing": ("query-failed", 'relation "nothing" does not exist'),
    "SELEC": ("query-failed", "syntax error"),
    "CREATE TABLE made (token text)": ("no-id", "no column"),
    "SELECT i::text AS token, 1 / (90000 - i) AS n FROM generate_series(1, 100000) AS t(i)": (
        "unreadable",
        "division by zero",
    ),
    "SELECT i::text AS token, pg_terminate_backend(CASE i WHEN 90000 THEN pg_backend_pid() END) AS n "
    "FROM generate_series(1, 100000) AS t(i)": ("unreadable", "the rows cannot be fetched"),
    "": ("no-query", "--query"),
    " ; ": ("no-query", "--query"),
}


@pytest.mark.parametrize("query", REFUSED_QUERIES)
def test_what_cannot_be_kept_or_answered_is_refused(query, postgres, tmp_path):
    code, words = REFUSED_QUERIES[query]
    with pytest.raises(TableError) as raised:
        DeviceIndex.build(postgres, tmp_path / "index", query=query)
    assert (raised.value.code, words in str(raised.value)) == (code, True), raised.value
    assert PASSWORD not in str(raised.value) and ENCODED_PASSWORD not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_query_changes_nothing_in_the_database(postgres, tmp_path):
    for query in ("CREATE TABLE made (token text)", "DELETE FROM devices RETURNING token"):
        try:
            DeviceIndex.build(postgres, tmp_path / "index", query=query, replace=True)
        except TableError as error:
            assert error.code == "no-id"
    assert len(DeviceIndex.build(postgres, tmp_path / "all", query="SELECT token FROM devices -- all")) == TABLE.height


def test_failed_connections_do_not_show_the_password(postgres, tmp_path):
    for url in (
        postgres.replace(ENCODED_PASSWORD, "wr0ng-secret"),
        postgres.replace(ENCODED_PASSWORD, "wr0ng-secret%zz"),
        "postgresql://postgres:wr0ng-secret@127.0.0.1:1/postgres",
        "postgresql://127.0.0.1:1/postgres?user=postgres&password=wr0ng-secret",
    ):
        with pytest.raises(TableError) as raised:
            DeviceIndex.build(url, tmp_path / "index", query="SELECT 1")
        assert raised.value.code == "cannot-fetch"
        assert "wr0ng" not in str(raised.value)


def test_commands_take_queries_and_hide_the_password(postgres, tmp_path):
    script = f"""import pathlib, sys
from audience.cli.app import run
from audience.index.ingest.locations import fetching
spool = fetching.spool_stream
def spool_and_look(*arguments):
    pathlib.Path({str(tmp_path / "title")!r}).write_bytes(pathlib.Path('/proc/self/cmdline').read_bytes())
    return spool(*arguments)
fetching.spool_stream = spool_and_look
run(sys.argv[1:])"""

    def audience(*words):
        command = [sys.executable, "-c", script, *words]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
        assert PASSWORD not in ended.stdout + ended.stderr and ENCODED_PASSWORD not in ended.stdout + ended.stderr
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    query = "SELECT token, age FROM devices"
    built = json.loads(audience("index", "build", postgres, "--query", query, "-o", "x.index", "--json"))
    assert built["devices"] == TABLE.height
    if sys.platform == "linux":
        assert ENCODED_PASSWORD not in (tmp_path / "title").read_text()
        assert "postgresql://postgres:***" in (tmp_path / "title").read_text()
    changes = "SELECT 't1' AS token, 99 AS age UNION ALL SELECT 'new', 18"
    audience("index", "update", "x.index", postgres, "--query", changes)
    assert DeviceIndex.open(tmp_path / "x.index").count("age = 99") == 1
    events = "SELECT 't1' AS token, 'buy' AS event, now() - interval '1 day' AS at"
    audience("events", "add", "x.index", postgres, "--query", events)
    assert DeviceIndex.open(tmp_path / "x.index").count("did(buy)") == 1
    for file in (tmp_path / "x.index").rglob("*"):
        assert not file.is_file() or ENCODED_PASSWORD.encode() not in file.read_bytes()


def test_the_password_may_stand_in_the_environment(postgres, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    url = postgres.replace(f":{ENCODED_PASSWORD}", "")
    assert len(DeviceIndex.build(url, tmp_path / "index", query="SELECT token FROM devices")) == TABLE.height


def test_memory_does_not_grow_with_the_answer(postgres, tmp_path):
    """A small version of the measurement with two million rows."""
    script = """import sys, resource
from pathlib import Path
from audience.index.ingest.locations.fetching import fetch_source
from audience.index.ingest.read_options import ReadOptions
from audience.progress import ignore_progress
peaks = []
for rows in (20_000, 500_000):
    columns = "i || '-' AS token, ARRAY['a', 'b'] AS tags, repeat('x', 100) AS city"
    query = f"SELECT {columns} FROM generate_series(1, {rows}) AS t(i)"
    with fetch_source(sys.argv[1], ReadOptions(query=query), (), ignore_progress):
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] - peaks[0])"""
    command = [sys.executable, "-c", script, postgres]
    grown = int(subprocess.run(command, capture_output=True, text=True, timeout=200, check=True).stdout)
    assert grown < 120_000  # kB


def make_duckdb(file):
    with duckdb.connect(file) as connection:
        arrow = TABLE.to_arrow()  # noqa: F841 - the query names it
        connection.execute("CREATE TABLE devices AS SELECT * FROM arrow")
    return file


def test_duckdb_files_give_the_same_index(tmp_path):
    file = make_duckdb(tmp_path / "devices.duckdb")
    assert_same_index(file, TABLE, tmp_path, query="FROM devices")
    for name, query, code in (
        ("devices.duckdb", "FROM nothing", "query-failed"),
        ("devices.duckdb", "CREATE TABLE made (i int)", "query-failed"),
        ("devices.duckdb", None, "no-query"),
        ("nothing.duckdb", "FROM devices", "no-file"),
        ("text.duckdb", "FROM devices", "cannot-fetch"),
    ):
        (tmp_path / "text.duckdb").write_text("no database" * 1000)
        with pytest.raises(TableError) as raised:
            DeviceIndex.build(tmp_path / name, tmp_path / "index", query=query)
        assert raised.value.code == code, raised.value
    assert not (tmp_path / "nothing.duckdb").exists()


def test_sqlite_files_give_the_same_index(tmp_path):
    table = TABLE.select("token", "age", "city")
    with sqlite3.connect(tmp_path / "devices.db") as connection:
        connection.execute("CREATE TABLE devices (token TEXT, age INTEGER, city TEXT)")
        connection.executemany("INSERT INTO devices VALUES (?, ?, ?)", table.rows())
    connection.close()
    url = f"sqlite:///{tmp_path / 'devices.db'}"
    assert_same_index(url, table, tmp_path, query="SELECT * FROM devices")
    with pytest.raises(TableError, match="there is no database"):
        DeviceIndex.build(f"sqlite:///{tmp_path / 'nothing.db'}", tmp_path / "index", query="SELECT 1")
    assert not (tmp_path / "nothing.db").exists()


def test_a_query_is_for_one_database(tmp_path):
    TABLE.write_parquet(tmp_path / "devices.parquet")
    make_duckdb(tmp_path / "devices.duckdb")
    for source, code in (
        (tmp_path / "devices.parquet", "not-a-database"),
        (TABLE, "not-a-database"),
        (TABLE.lazy(), "not-a-database"),
        (TABLE.to_arrow(), "not-a-database"),
        (TABLE.to_pandas(use_pyarrow_extension_array=True), "not-a-database"),
        ([tmp_path / "devices.parquet", tmp_path / "devices.duckdb"], "several-sources"),
    ):
        with pytest.raises(TableError) as raised:
            DeviceIndex.build(source, tmp_path / "index", query="FROM devices")
        assert raised.value.code == code


@pytest.mark.parametrize(
    ("url", "module", "install"),
    [
        ("postgresql://host/devices", "adbc_driver_postgresql.dbapi", "pip install 'audience[adbc]'"),
        ("devices.duckdb", "duckdb", "pip install 'audience[duckdb]'"),
        ("snowflake://me:hidden@account/devices", "adbc_driver_snowflake.dbapi", "pip install adbc-driver-snowflake"),
    ],
)
def test_the_missing_extra_is_named(url, module, install, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TableError) as raised:
        DeviceIndex.build(url, tmp_path / "index", query="SELECT 1")
    assert (raised.value.code, raised.value.problems[0].hint) == ("no-extra", install)
    assert "hidden" not in str(raised.value)
