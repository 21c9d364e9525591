"""Queries of databases, answered as streams of Arrow record batches."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from audience.errors import Problem, TableError
from audience.index.ingest.locations.arrow_streams import ArrowStream
from audience.index.ingest.locations.location_names import redact_text, redact_url

DUCKDB_SUFFIXES = (".duckdb", ".ddb")
DUCKDB_EXTRA_HINT = "pip install 'audience[duckdb]'"
BATCH_ROWS = 1 << 16
QUERY_EXAMPLE = '--query "SELECT … FROM …"'


@dataclass(frozen=True, slots=True)
class _Driver:
    """ADBC driver: its module, how it is installed, and what it makes of a URL."""

    module: str
    install: str
    read_url: Callable[[str], str]


def _read_sqlite_url(url: str) -> str:
    """Return the URI that opens the file of `sqlite:///path` for reading only; otherwise a new file would be made."""
    path = Path(unquote(url.partition("://")[2].removeprefix("/") or ""))
    path = path if path.exists() else Path("/", path)
    if not path.is_file():
        raise TableError(Problem("no-file", f"there is no database at {url}", hint="write sqlite:///PATH"))
    return f"{path.absolute().as_uri()}?mode=ro"


POSTGRES = _Driver("adbc_driver_postgresql.dbapi", "pip install 'audience[adbc]'", str)
DRIVERS = {
    "postgresql": POSTGRES,
    "postgres": POSTGRES,
    "sqlite": _Driver("adbc_driver_sqlite.dbapi", "pip install 'audience[adbc]'", _read_sqlite_url),
    "snowflake": _Driver(
        "adbc_driver_snowflake.dbapi",
        "pip install adbc-driver-snowflake",
        lambda url: url.removeprefix("snowflake://"),
    ),
    "grpc": _Driver("adbc_driver_flightsql.dbapi", "pip install adbc-driver-flightsql", str),
    "grpc+tls": _Driver("adbc_driver_flightsql.dbapi", "pip install adbc-driver-flightsql", str),
}


def is_duckdb_file(name: str) -> bool:
    """Return whether *name* is that of a file of DuckDB."""
    return name.lower().endswith(DUCKDB_SUFFIXES)


@contextmanager
def run_query(name: str, scheme: str | None, query: str | None) -> Iterator[ArrowStream]:
    """Yield the answer to *query* of the database *name*, batch by batch: one statement, so one snapshot.

    Args:
        name: URL of a database, or a file of DuckDB.
        scheme: Scheme of the URL; None for a file.
        query: Statement that returns rows.

    Raises:
        TableError: There is no query, the driver is not installed, the database cannot be reached or refuses the
            query. No error repeats a password.
    """
    if not (query or "").strip(" \n\t;"):
        message = f"{redact_url(name)} is a database, and no query was given"
        raise TableError(Problem("no-query", message, hint=f"write {QUERY_EXAMPLE}"))
    statement = str(query).strip().rstrip(";") + "\n"  # after a comment, as the driver of Postgres puts it in brackets
    with _wrap_errors(name):
        if scheme is None:
            with _query_duckdb(name, statement) as stream:
                yield stream
        else:
            with _query_adbc(DRIVERS[scheme], name, statement) as stream:
                yield stream


@contextmanager
def _query_duckdb(name: str, statement: str) -> Iterator[ArrowStream]:
    duckdb = _import_driver("duckdb", name, DUCKDB_EXTRA_HINT)
    if not Path(name).is_file():
        raise TableError(Problem("no-file", f"there is no database at {name}", hint="check the path"))
    with _wrap_driver_errors(duckdb.Error, name, "cannot-fetch", "cannot be opened"):
        connection = duckdb.connect(name, read_only=True)
    with closing(connection):
        with _wrap_driver_errors(duckdb.Error, name, "query-failed", "refuses the query"):
            relation = connection.sql(statement)
            if relation is None:
                raise TableError(Problem("query-failed", f"{name}: the query returns no rows", hint="write a SELECT"))
            stream = relation.to_arrow_reader(BATCH_ROWS)
        yield stream


@contextmanager
def _query_adbc(driver: _Driver, url: str, statement: str) -> Iterator[ArrowStream]:
    dbapi = _import_driver(driver.module, url, driver.install)
    with _wrap_driver_errors(dbapi.Error, url, "cannot-fetch", "cannot be reached"):
        connection = dbapi.connect(driver.read_url(url))
    try:
        with connection.cursor() as cursor:
            with _wrap_driver_errors(dbapi.Error, url, "query-failed", "refuses the query"):
                cursor.execute(statement)
                stream = cursor.fetch_record_batch()
            yield stream
    finally:
        with _ignore(dbapi.Error):  # of a connection that broke
            connection.close()


@contextmanager
def _ignore(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind:
        return


def _import_driver(module: str, url: str, install: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        problem = Problem("no-extra", f"{redact_url(url)} needs the package {error.name}", hint=install)
        raise TableError(problem) from None


@contextmanager
def _wrap_driver_errors(kind: type[Exception], url: str, code: str, what: str) -> Iterator[None]:
    try:
        yield
    except kind as error:
        lines = [line.strip() for line in str(error).strip().splitlines()]
        reason = redact_text("; ".join(line for line in lines if line.strip(" ^")), url)
        hint = "check the query" if code == "query-failed" else "check the address, the name and the password"
        raise TableError(Problem(code, f"{redact_url(url)} {what}: {reason}", hint=hint)) from None


@contextmanager
def _wrap_errors(url: str) -> Iterator[None]:
    """Raise errors about the rows without the password of *url*."""
    try:
        yield
    except TableError as error:
        problems = [replace(each, message=redact_text(each.message, url)) for each in error.problems]
        raise TableError(*problems) from None
