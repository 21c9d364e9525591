"""Expressions as SQL: in three databases they find the devices that the index finds."""

import json
import os
import sys
import unicodedata
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from clickhouse import open_clickhouse, read_rows
from fact_files import TESTS_FOLDER, read_facts
from hypothesis import example, given
from hypothesis import strategies as st
from postgres_server import ENCODED_PASSWORD, serve_postgres
from sql_tables import ALL_TYPES, NEEDED_TYPES, ROLES, TEXTS, list_conditions, make_table, questions

from audience import DeviceIndex, ExpressionError, Ids, Matches, PlanError, Tag, parse, render
from audience.index.ingest.local_times import read_instants
from audience.index.query.sql import nodes
from audience.index.query.sql.nodes import SQL_DIALECTS
from audience.index.query.sql.wall_clocks import wall_clock_ranges
from audience.index.schema.instant_sets import contains
from audience.language.zones import count_microseconds

TABLE = make_table()
FACTS = read_facts(TESTS_FOLDER / "sql" / "clauses.txt")
BACKSLASH = "\\"
column_types = st.sampled_from([NEEDED_TYPES, ALL_TYPES])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return the file of the table."""
    path = tmp_path_factory.mktemp("sql") / "devices.parquet"
    TABLE.write_parquet(path)
    return path


@pytest.fixture(scope="module")
def index(table):
    return DeviceIndex.build(table, table.with_suffix(".index"), **ROLES)


@pytest.fixture(scope="module")
def in_duckdb(table):
    """Return a function that answers with the tokens of the rows of a clause."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'America/New_York'")
    connection.execute("CREATE TABLE devices AS FROM read_parquet(?)", [str(table)])
    return lambda sql, is_clause=True: read_answer(
        connection.execute(write_select("devices", sql, is_clause)).fetchall(), is_clause
    )


def write_select(table, sql, is_clause):
    """Return a query for the tokens of the rows of a clause, or for what *sql* makes of the table."""
    return f"SELECT token FROM {table} WHERE {sql}" if is_clause else f"SELECT {sql} FROM {table}"


def read_answer(rows, is_clause):
    return [row[0] for row in rows] if is_clause else rows[0]


@pytest.fixture(scope="module")
def in_postgres():
    dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi", reason="the extra `adbc` is not installed")
    with serve_postgres() as port:
        url = f"postgresql://postgres:{ENCODED_PASSWORD}@127.0.0.1:{port}/postgres"
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("SET TimeZone = 'America/New_York'")
            loaded = TABLE.with_columns(TABLE["price"].cast(pl.String), TABLE["small"].cast(pl.Int64))
            cursor.adbc_ingest("devices", loaded.to_arrow())
            cursor.execute("ALTER TABLE devices ALTER price TYPE numeric USING price::numeric")

            def answer(sql, is_clause=True):
                cursor.execute(write_select("devices", sql, is_clause))
                return read_answer(cursor.fetchall(), is_clause)

            yield answer


@pytest.fixture(scope="module")
def clickhouse():
    """Return a session of ClickHouse in this process."""
    session = open_clickhouse()
    session.query("CREATE DATABASE messy")
    yield session
    session.close()


def ask_clickhouse(session, table, sql):
    return [token for (token,) in read_rows(session, f"SELECT token FROM {table} WHERE {sql}")]


@pytest.fixture(scope="module")
def in_clickhouse(clickhouse, table):
    clickhouse.query(f"CREATE TABLE messy.devices ENGINE = Memory AS SELECT * FROM file('{table}', 'Parquet')")
    return lambda sql, is_clause=True: read_answer(
        read_rows(clickhouse, write_select("messy.devices", sql, is_clause)), is_clause
    )


IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") in ("long", "deep")
CHECKED_TYPES = [(dialect, types) for types in (NEEDED_TYPES, *[ALL_TYPES] * IS_LONG) for dialect in SQL_DIALECTS]
BATCH = 10  # conditions in one query, of which planning takes longer than the answer


@pytest.mark.parametrize(("dialect", "types"), CHECKED_TYPES)
def test_each_condition_counts_the_same_devices(index, request, dialect, types):
    answer = request.getfixturevalue(f"in_{dialect}")
    conditions = list_conditions()
    for at in range(0, len(conditions), BATCH):
        batch = conditions[at : at + BATCH]
        clauses = [index.to_sql(condition, dialect, column_types=types).sql for condition in batch]
        sums = ", ".join(f"SUM(CASE WHEN {clause} THEN 1 ELSE 0 END)" for clause in clauses)
        for condition, clause, count in zip(batch, clauses, answer(sums, is_clause=False), strict=True):
            assert int(count) == index.count(condition), f"{render(condition)}\n{clause}"


def test_backslashes_are_no_escapes_for_any_setting_of_postgres(index, in_postgres):
    in_postgres("set_config('standard_conforming_strings', 'off', false)", is_clause=False)
    try:
        for expr in [Tag(name, text) for name in ("tag", "city") for text in TEXTS]:
            assert_same_devices(expr, in_postgres, index, "postgres", NEEDED_TYPES)
        for expr in (Matches("city", "*\\\\*"), Matches("city", "*\\\\*", ignores_case=True), Ids("token", ("t'0\\",))):
            assert_same_devices(expr, in_postgres, index, "postgres", NEEDED_TYPES)
    finally:
        in_postgres("set_config('standard_conforming_strings', 'on', false)", is_clause=False)


def find_tokens(index, expr):
    return sorted(index.resolve(expr).to_frame(["token"])["token"].to_list())


def assert_same_devices(expr, answer, index, dialect, types):
    clause = index.to_sql(expr, dialect, column_types=types)
    found, expected = sorted(answer(clause.sql)), find_tokens(index, expr)
    extra, lost = {*found} - {*expected}, {*expected} - {*found}
    assert found == expected, f"{render(expr)}\n{clause}\nonly in SQL {extra}, only in the index {lost}"


@given(questions, column_types)
def test_duckdb_finds_the_same_devices(index, in_duckdb, expr, types):
    assert_same_devices(expr, in_duckdb, index, "duckdb", types)


@given(questions, column_types)
def test_postgres_finds_the_same_devices(index, in_postgres, expr, types):
    assert_same_devices(expr, in_postgres, index, "postgres", types)


@given(questions, column_types)
def test_clickhouse_finds_the_same_devices(index, in_clickhouse, expr, types):
    assert_same_devices(expr, in_clickhouse, index, "clickhouse", types)


@pytest.mark.parametrize(("verb", "expr", "expected"), FACTS, ids=[f"{verb} {expr}" for verb, expr, _ in FACTS])
def test_clauses_and_refusals_are_those_of_the_facts(index, verb, expr, expected):
    if verb != "refused":
        assert index.to_sql(expr, verb, column_types=NEEDED_TYPES).sql == expected
        return
    for dialect in SQL_DIALECTS:
        with pytest.raises(ExpressionError) as raised:
            index.to_sql(expr, dialect, column_types=NEEDED_TYPES)
        assert raised.value.code == "not-in-sql"
        assert expected in str(raised.value)


def test_all_reasons_are_given_at_once(index):
    with pytest.raises(ExpressionError) as raised:
        index.to_sql("sample(10%, x) OR NOT seen < today OR (vip limit 5 seed x)")
    assert [problem.code for problem in raised.value.problems] == ["not-in-sql"] * 3
    assert "--column-type seen=timestamptz" in str(raised.value)


def test_values_with_nul_are_found_or_cannot_be_there(clickhouse, tmp_path):
    values = ["a\0b", "\0", "a", "\0\0'\\"]
    table = pl.DataFrame(
        {"token": [f"t{row}" for row in range(4)], "tags": [[text] for text in values], "city": values}
    )
    path = tmp_path / "nul.parquet"
    table.write_parquet(path)
    index = DeviceIndex.build(path, tmp_path / "nul.index")
    connection = duckdb.connect()
    for row, text in enumerate(values):
        for expr in (
            Tag("tag", text),
            Tag("city", text),
            ~~Tag("city", text),
            Matches("city", f"*{text.replace(BACKSLASH, BACKSLASH * 2)}"),
        ):
            expected = find_tokens(index, expr)
            assert f"t{row}" in expected
            asked = f"SELECT token FROM '{path}' WHERE {index.to_sql(expr, 'duckdb')}"
            assert sorted(token for (token,) in connection.execute(asked).fetchall()) == expected
            assert (
                sorted(ask_clickhouse(clickhouse, f"file('{path}', 'Parquet')", index.to_sql(expr, "clickhouse")))
                == expected
            )
            assert "\0" not in index.to_sql(expr, "postgres").sql


zones = st.sampled_from(
    ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Africa/Monrovia"]
)
moments = st.sampled_from(
    [
        datetime(2026, 3, 29, 1),
        datetime(2026, 10, 25, 0, 30),
        datetime(2011, 12, 30, 10),
        datetime(1972, 1, 7),
        datetime(1986, 5, 4),
    ]
).flatmap(lambda moment: st.timedeltas(timedelta(-2), timedelta(2)).map(lambda distance: moment + distance))


@given(zones, moments, moments, st.lists(moments, min_size=1))
@example("Europe/Berlin", datetime(2026, 3, 29, 1), datetime(2026, 3, 29, 2), [datetime(2026, 3, 29, 2, 30)])
def test_timestamps_without_a_zone_are_read_as_the_build_reads_them(zone, first, last, timestamps):
    start, stop = sorted(map(count_microseconds, (first, last)))
    instants = read_instants(pl.Series(timestamps, dtype=pl.Datetime("us")), ZoneInfo(zone)).instants.to_physical()
    ranges = wall_clock_ranges(((start, stop),), ZoneInfo(zone))
    for timestamp, instant in zip(timestamps, instants.to_list(), strict=True):
        assert contains(ranges, count_microseconds(timestamp)) == (start <= instant < stop), (timestamp, ranges)


def test_types_that_a_column_cannot_have_are_refused(index, tmp_path):
    for types, words in (
        ({"nothing": "text"}, "no column 'nothing'"),
        ({"cty": "text"}, "did you mean city?"),
        ({"age": "list"}, "use number or double or real or text"),
        ({"score": "number"}, "use double, real or text"),
        ({"tags": "text"}, "use list or boolean"),
    ):
        with pytest.raises(ExpressionError) as raised:
            index.to_sql("everyone", column_types=types)
        assert (raised.value.code, words in str(raised.value)) == ("bad-column-type", True), raised.value
    table = pl.DataFrame({"token": ["t"], "City": ["a"], "city": ["b"]})
    twins = DeviceIndex.build(table, tmp_path / "twins.index")
    assert twins.to_sql("city:b", "postgres").sql == "CAST(\"city\" AS TEXT) = 'b'"
    with pytest.raises(ExpressionError, match="DuckDB takes the columns 'City' and 'city' for one"):
        twins.to_sql("city:b", "duckdb")
    with pytest.raises(PlanError, match="unknown dialect"):
        twins.to_sql("city:b", "oracle")


TEXTS_WITH_BREAKS = ["a\nb", "\r\n", "it's\t\\", "\x1b[0m", "\x85", "\u2028%_", "x\x7f"]


@pytest.mark.parametrize("dialect", SQL_DIALECTS)
@pytest.mark.parametrize("types", [{}, {"tags": "text"}], ids=str)
def test_a_clause_is_one_line_without_control_characters(tmp_path, dialect, types):
    values = pl.DataFrame(
        {"token": [str(number) for number in range(len(TEXTS_WITH_BREAKS))], "city": TEXTS_WITH_BREAKS}
    )
    table = values.with_columns(tags=pl.lit("vip; new"))
    index = DeviceIndex.build(table, tmp_path / "breaks.index", split={"tags": ";"})
    expr = " AND ".join(["vip", *(f"NOT {render(Tag('city', text))}" for text in TEXTS_WITH_BREAKS)])
    clause = str(index.to_sql(expr, dialect, column_types=types))
    assert [character for character in clause if unicodedata.category(character) in ("Cc", "Zl", "Zp")] == []


@pytest.mark.parametrize("text", TEXTS_WITH_BREAKS)
def test_a_text_with_breaks_is_the_same_text_in_duckdb(text):
    [(found,)] = duckdb.sql(f"SELECT {nodes.write_sql(nodes.string(text, 'duckdb'), 'duckdb')}").fetchall()
    assert found == text


def test_a_deep_expression_is_written(index):
    expr = parse("vip")
    for _ in range(49):
        expr = ~(expr & parse("age > 1"))
    assert index.to_sql(expr).sql.count("NOT") == 49


def test_the_command_writes_sql_and_what_it_takes_for_granted(audience, index):
    folder = index.snapshot.location
    code, out, err = audience("translate", "vip AND age > 5", "--to", "sql", "--index", folder, "--dialect", "postgres")
    assert (code, out) == (0, index.to_sql("vip AND age > 5", "postgres").sql + "\n")
    assert "assumed: in the database tags is list of text, vip is boolean" in err
    code, out, _ = audience(
        "translate",
        "seen < today",
        "--to",
        "sql",
        "--index",
        folder,
        "--column-type",
        "seen=timestamptz",
        "--as-of",
        "2026-11-28T09:00",
        "--json",
    )
    assert (code, json.loads(out)["sql"]) == (0, "\"seen\" < CAST('2026-11-27 16:00:00+00' AS TIMESTAMPTZ)")
    for arguments, words in (
        (["vip", "--to", "sql"], "--index INDEX"),
        (["vip", "--dialect", "postgres"], "add --to sql"),
        (["vip", "--to", "sql", "--index", folder, "--column-type", "vip"], "--column-type price=double"),
        (["sample(10%, x)", "--to", "sql", "--index", folder], "not-in-sql"),
    ):
        code, out, err = audience("translate", *arguments)
        assert (code, out, words in err) == (2, "", True), err


def test_without_sqlglot_the_error_names_the_extra(index, monkeypatch):
    for module in ("sqlglot", "audience.index.query.sql.nodes", "audience.index.query.sql.where_clause"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    with pytest.raises(PlanError) as raised:
        index.to_sql("vip")
    assert (raised.value.code, raised.value.problems[0].hint) == ("no-extra", "pip install 'audience[sql]'")
