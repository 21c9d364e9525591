"""ClickHouse in this process. It is large, so that it may be missing anywhere but in CI."""

import json
import os

import pytest


def open_clickhouse():
    """Return a session with an empty database in memory."""
    if not os.environ.get("CI"):
        pytest.importorskip("chdb.session", reason="chdb is not installed: pip install chdb")
    from chdb.session import Session

    return Session()


def read_rows(session, statement):
    """Return the rows of the answer to *statement*."""
    return [json.loads(line) for line in session.query(statement, "JSONCompactEachRow").bytes().decode().splitlines()]
