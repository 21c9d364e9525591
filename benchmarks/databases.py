"""DuckDB and chdb as peers: tables in memory, texts as enums or of low cardinality, tags as booleans and as a list."""

from pathlib import Path

import duckdb as duck
import numpy as np
import pyarrow as pa
from chdb.session import Session
from numpy.typing import NDArray

from benchmarks.devices import ROWS
from benchmarks.peers import TYPED, Ask, Form, lists_ids
from benchmarks.queries import TAGS, Question, States


def duckdb(folder: Path, threads: int) -> Ask:
    """DuckDB: one table in memory, enums for texts and for what the list of tags holds."""
    table, connection = folder / ROWS / "*.parquet", duck.connect()
    connection.execute("SET enable_progress_bar = false")
    for name in TYPED:
        connection.execute(f"CREATE TYPE {name}_type AS ENUM (SELECT DISTINCT {name} FROM '{table}')")
    connection.execute(f"CREATE TYPE tag_type AS ENUM (SELECT DISTINCT unnest(tags) FROM '{table}')")
    typed = ", ".join(f"{name}::{name}_type AS {name}" for name in TYPED)
    ids = "" if lists_ids(folder) else "EXCLUDE (registration_id)"
    columns = f"* {ids} REPLACE ({typed}, tags::tag_type[] AS tags)"
    connection.execute(f"CREATE TABLE devices AS SELECT {columns} FROM '{table}'")
    connection.execute(f"SET threads = {threads}")

    def ask(question: Question) -> list[Form]:
        listed = question.sql(lambda name: f"list_contains(tags, '{name}')")
        lists = _duckdb("DuckDB, list column", connection, listed) if question.asks_tags else []
        found = [*_duckdb("DuckDB, scalar columns", connection, question.sql(str)), *lists]
        return [form for form in found if not ids or form.measure != "ids"]

    return ask


def _duckdb(line: str, connection: duck.DuckDBPyConnection, wanted: str) -> list[Form]:
    def number(query: str) -> int:
        return int(connection.execute(query).fetchone()[0])

    rows = f"SELECT row FROM devices WHERE {wanted}"
    ids = f"SELECT registration_id FROM devices WHERE {wanted}"
    return [
        Form(line, "count", "sum", lambda: number(f"SELECT sum(({wanted})::int) FROM devices")),
        Form(line, "count", "count_if", lambda: number(f"SELECT count_if({wanted}) FROM devices")),
        Form(line, "count", "where", lambda: number(f"SELECT count(*) FROM devices WHERE {wanted}")),
        Form(line, "rows", "numpy", lambda: connection.execute(rows).fetchnumpy()["row"]),
        Form(line, "rows", "arrow", lambda: _whole(connection.sql(rows).to_arrow_table()["row"])),
        Form(line, "ids", "polars", lambda: connection.sql(ids).pl().to_series()),
    ]


def _whole(column: pa.ChunkedArray) -> NDArray[np.uint32]:
    return column.combine_chunks().to_numpy()


def chdb(folder: Path, threads: int) -> Ask:
    """chdb: one Memory table for the columns, one of groupBitmap states for every value of every column."""
    session, table = Session(), folder / ROWS / "*.parquet"
    session.query("CREATE DATABASE benchmark")
    session.query("USE benchmark")
    session.query(f"SET max_threads = {threads}")
    texts = ", ".join(f"{name} LowCardinality(String)" for name in TYPED)
    tags = ", ".join(f"{name} Bool" for name in TAGS)
    session.query(
        f"CREATE TABLE devices (row UInt32, {texts}, age UInt8, active Date,"
        f" tags Array(LowCardinality(String)), {tags}) ENGINE = Memory"
    )
    names = ", ".join(("row", *TYPED, "age", "active", "tags", *TAGS))
    session.query(f"INSERT INTO devices ({names}) SELECT {names} FROM file('{table}')")
    _fill_states(session)

    def ask(question: Question) -> list[Form]:
        listed = question.sql(lambda name: f"has(tags, '{name}')")
        lists = _chdb("chdb, list column", session, listed) if question.asks_tags else []
        return [
            *_chdb("chdb, scalar columns", session, question.sql(str)),
            *_states(session, question.states),
            *lists,
        ]

    return ask


def _fill_states(session: Session) -> None:
    session.query("CREATE TABLE states (name String, bits AggregateFunction(groupBitmap, UInt32)) ENGINE = Memory")
    insert = "INSERT INTO states SELECT"
    session.query(f"{insert} tag, groupBitmapState(row) FROM devices ARRAY JOIN tags AS tag GROUP BY tag")
    for name in (*TYPED, "age", "active"):
        session.query(
            f"{insert} concat('{name}:', toString({name})), groupBitmapState(row) FROM devices GROUP BY {name}"
        )


def _chdb(line: str, session: Session, wanted: str) -> list[Form]:
    rows = f"SELECT row FROM devices WHERE {wanted}"
    return [
        Form(line, "count", "where", lambda: _number(session, f"SELECT count() FROM devices WHERE {wanted}")),
        Form(line, "count", "countIf", lambda: _number(session, f"SELECT countIf({wanted}) FROM devices")),
        Form(line, "rows", "RowBinary", lambda: np.frombuffer(_bytes(session, rows, "RowBinary"), dtype=np.uint32)),
        Form(line, "rows", "Arrow", lambda: _whole(_arrow(session, rows)["row"])),
    ]


def _states(session: Session, states: States) -> list[Form]:
    """Each state found by a query of its own, or all of them in one pass over the table of states."""
    line = "chdb, groupBitmap states"
    united = {letter: ", ".join(f"'{name}'" for name in names) for letter, names in states.united.items()}
    found = "SELECT groupBitmapMergeState(bits) FROM states WHERE name IN"
    apart = ", ".join(f"({found} ({names})) AS {letter}" for letter, names in united.items())
    passed = ", ".join(f"groupBitmapMergeStateIf(bits, name IN ({names})) AS {one}" for one, names in united.items())
    source = f"FROM (SELECT {passed} FROM states WHERE name IN ({', '.join(united.values())}))"
    number, listing = f"{states.last}Cardinality({states.operands})", f"bitmapToArray({states.last}({states.operands}))"
    return [
        Form(line, "count", "one pass", lambda: _number(session, f"SELECT {number} {source}")),
        Form(line, "count", "apart", lambda: _number(session, f"WITH {apart} SELECT {number}")),
        Form(line, "rows", "one pass", lambda: _array(session, f"SELECT {listing} {source}")),
        Form(line, "rows", "apart", lambda: _array(session, f"WITH {apart} SELECT {listing}")),
    ]


def _bytes(session: Session, query: str, form: str) -> bytes:
    return session.query(query, form).bytes()


def _number(session: Session, query: str) -> int:
    return int(_bytes(session, query, "TSV"))


def _arrow(session: Session, query: str) -> pa.Table:
    return pa.ipc.open_file(_bytes(session, query, "Arrow")).read_all()


def _array(session: Session, query: str) -> NDArray[np.uint32]:
    """The array that is the only value of *query*: its length, 7 bits a byte, the last below 128; its items."""
    data = _bytes(session, query, "RowBinary")
    start = next(place for place, byte in enumerate(data, 1) if byte < 128)
    return np.frombuffer(data, dtype=np.uint32, offset=start)
