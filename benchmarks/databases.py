"""DuckDB and chdb as peers: tables in memory, strings as enums or LowCardinality, tags as booleans and as a list."""

from pathlib import Path

import duckdb as duck
import numpy as np
import pyarrow as pa
from chdb.session import Session
from numpy.typing import NDArray

from benchmarks.devices import ROWS_FOLDER
from benchmarks.peers import TYPED_COLUMNS, MakeForms, QueryForm, can_list_ids
from benchmarks.queries import TAGS, BenchmarkQuery, BitmapStates


def load_duckdb(folder: Path, threads: int) -> MakeForms:
    """Load DuckDB: one table in memory, enums for strings and for the elements of the list of tags."""
    table, connection = folder / ROWS_FOLDER / "*.parquet", duck.connect()
    connection.execute("SET enable_progress_bar = false")
    for name in TYPED_COLUMNS:
        connection.execute(f"CREATE TYPE {name}_type AS ENUM (SELECT DISTINCT {name} FROM '{table}')")
    connection.execute(f"CREATE TYPE tag_type AS ENUM (SELECT DISTINCT unnest(tags) FROM '{table}')")
    typed = ", ".join(f"{name}::{name}_type AS {name}" for name in TYPED_COLUMNS)
    ids = "" if can_list_ids(folder) else "EXCLUDE (registration_id)"
    columns = f"* {ids} REPLACE ({typed}, tags::tag_type[] AS tags)"
    connection.execute(f"CREATE TABLE devices AS SELECT {columns} FROM '{table}'")
    connection.execute(f"SET threads = {threads}")

    def make_forms(question: BenchmarkQuery) -> list[QueryForm]:
        listed = question.sql(lambda name: f"list_contains(tags, '{name}')")
        lists = _duckdb_forms("DuckDB, list column", connection, listed) if question.has_tags else []
        forms = [*_duckdb_forms("DuckDB, scalar columns", connection, question.sql(str)), *lists]
        return [form for form in forms if not ids or form.measure != "ids"]

    return make_forms


def _duckdb_forms(line: str, connection: duck.DuckDBPyConnection, condition: str) -> list[QueryForm]:
    def query_int(query: str) -> int:
        found = connection.execute(query).fetchone()
        return int(found[0]) if found else 0

    rows = f"SELECT row FROM devices WHERE {condition}"
    ids = f"SELECT registration_id FROM devices WHERE {condition}"
    return [
        QueryForm(line, "count", "sum", lambda: query_int(f"SELECT sum(({condition})::int) FROM devices")),
        QueryForm(line, "count", "count_if", lambda: query_int(f"SELECT count_if({condition}) FROM devices")),
        QueryForm(line, "count", "where", lambda: query_int(f"SELECT count(*) FROM devices WHERE {condition}")),
        QueryForm(line, "rows", "numpy", lambda: connection.execute(rows).fetchnumpy()["row"]),
        QueryForm(line, "rows", "arrow", lambda: _to_numpy(connection.sql(rows).to_arrow_table()["row"])),
        QueryForm(line, "ids", "polars", lambda: connection.sql(ids).pl().to_series()),
    ]


def _to_numpy(column: pa.ChunkedArray) -> NDArray[np.uint32]:
    return column.combine_chunks().to_numpy()


def load_chdb(folder: Path, threads: int) -> MakeForms:
    """Load chdb: one Memory table for the columns, one of groupBitmap states for every value of every column."""
    session, table = Session(), folder / ROWS_FOLDER / "*.parquet"
    session.query("CREATE DATABASE benchmark")
    session.query("USE benchmark")
    session.query(f"SET max_threads = {threads}")
    texts = ", ".join(f"{name} LowCardinality(String)" for name in TYPED_COLUMNS)
    tags = ", ".join(f"{name} Bool" for name in TAGS)
    session.query(
        f"CREATE TABLE devices (row UInt32, {texts}, age UInt8, active Date,"
        f" tags Array(LowCardinality(String)), {tags}) ENGINE = Memory"
    )
    names = ", ".join(("row", *TYPED_COLUMNS, "age", "active", "tags", *TAGS))
    session.query(f"INSERT INTO devices ({names}) SELECT {names} FROM file('{table}')")
    _fill_state_table(session)

    def make_forms(question: BenchmarkQuery) -> list[QueryForm]:
        listed = question.sql(lambda name: f"has(tags, '{name}')")
        lists = _chdb_forms("chdb, list column", session, listed) if question.has_tags else []
        return [
            *_chdb_forms("chdb, scalar columns", session, question.sql(str)),
            *_state_forms(session, question.states),
            *lists,
        ]

    return make_forms


def _fill_state_table(session: Session) -> None:
    session.query("CREATE TABLE states (name String, bits AggregateFunction(groupBitmap, UInt32)) ENGINE = Memory")
    insert = "INSERT INTO states SELECT"
    session.query(f"{insert} tag, groupBitmapState(row) FROM devices ARRAY JOIN tags AS tag GROUP BY tag")
    for name in (*TYPED_COLUMNS, "age", "active"):
        session.query(
            f"{insert} concat('{name}:', toString({name})), groupBitmapState(row) FROM devices GROUP BY {name}"
        )


def _chdb_forms(line: str, session: Session, condition: str) -> list[QueryForm]:
    rows = f"SELECT row FROM devices WHERE {condition}"
    return [
        QueryForm(
            line, "count", "where", lambda: _query_int(session, f"SELECT count() FROM devices WHERE {condition}")
        ),
        QueryForm(line, "count", "countIf", lambda: _query_int(session, f"SELECT countIf({condition}) FROM devices")),
        QueryForm(
            line, "rows", "RowBinary", lambda: np.frombuffer(_query_bytes(session, rows, "RowBinary"), dtype=np.uint32)
        ),
        QueryForm(line, "rows", "Arrow", lambda: _to_numpy(_query_arrow(session, rows)["row"])),
    ]


def _state_forms(session: Session, states: BitmapStates) -> list[QueryForm]:
    """Find each state by its own query, or all of them in one pass over the table of states."""
    line = "chdb, groupBitmap states"
    united = {letter: ", ".join(f"'{name}'" for name in names) for letter, names in states.unions.items()}
    select_state = "SELECT groupBitmapMergeState(bits) FROM states WHERE name IN"
    apart = ", ".join(f"({select_state} ({names})) AS {letter}" for letter, names in united.items())
    passed = ", ".join(f"groupBitmapMergeStateIf(bits, name IN ({names})) AS {one}" for one, names in united.items())
    source = f"FROM (SELECT {passed} FROM states WHERE name IN ({', '.join(united.values())}))"
    number, listing = (
        f"{states.operation}Cardinality({states.operands})",
        f"bitmapToArray({states.operation}({states.operands}))",
    )
    return [
        QueryForm(line, "count", "one pass", lambda: _query_int(session, f"SELECT {number} {source}")),
        QueryForm(line, "count", "apart", lambda: _query_int(session, f"WITH {apart} SELECT {number}")),
        QueryForm(line, "rows", "one pass", lambda: _query_array(session, f"SELECT {listing} {source}")),
        QueryForm(line, "rows", "apart", lambda: _query_array(session, f"WITH {apart} SELECT {listing}")),
    ]


def _query_bytes(session: Session, query: str, output_format: str) -> bytes:
    return session.query(query, output_format).bytes()


def _query_int(session: Session, query: str) -> int:
    return int(_query_bytes(session, query, "TSV"))


def _query_arrow(session: Session, query: str) -> pa.Table:
    return pa.ipc.open_file(_query_bytes(session, query, "Arrow")).read_all()


def _query_array(session: Session, query: str) -> NDArray[np.uint32]:
    """Return the array that is the only value of *query*. Its bytes are the length as LEB128, then the items."""
    data = _query_bytes(session, query, "RowBinary")
    start = next(position for position, byte in enumerate(data, 1) if byte < 128)
    return np.frombuffer(data, dtype=np.uint32, offset=start)
