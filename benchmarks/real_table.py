"""How many times faster are counts over the tags of real people than lists in Polars and DuckDB?

The table has millions of people with 200 tags in a list column: people of a census, of whom more are made, each like
one of them or mixed of two, with a few tags lost; and the folders of --realdata, each with files of row numbers divided
by commas, one for each tag. Questions are those of `benchmarks.regimes`, each asked once, about tags of each density.

    python -m benchmarks.real_table [--realdata FOLDER,…] [--rows N] [--rounds N] [--threads N] [--folder DIR]
                                    [--json FILE]
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.devices import peak_bytes
from benchmarks.regime_peers import LOADERS, NEW, OURS, Calls, Library
from benchmarks.regime_questions import Question
from benchmarks.regime_report import fastest, format_fastest
from benchmarks.regime_tables import GROWN, REAL_FILE, SHARED_DATA, RegimeTable
from benchmarks.regimes import (
    INDEX_FOLDER,
    TABLE_FOLDER,
    build_table,
    measure_questions,
    merge_json,
    read_classes,
    select_part,
    table_folder,
)
from benchmarks.report import (
    describe_environment,
    format_bytes,
    format_ms,
    format_table,
    make_parser,
    open_folder,
)
from benchmarks.timing import run_in_process

ASKED_FORMS = ("and2", "flag", "nest", "or8", "at least 2 of 8")
DUCKDB_MEMORY = "1500MB"
POLARS_LINE, DUCKDB_LINE = "Polars, list column", "DuckDB, list column"


def load_polars_lists(folder: Path) -> Library:
    """Read the lists as enums."""
    parts = sorted(folder.glob("*.parquet"))
    names = pl.scan_parquet(folder).select(pl.col("tags").explode().drop_nulls().unique().sort())
    tag = pl.Enum(names.collect(engine="streaming").to_series())
    table = pl.concat([pl.read_parquet(part, columns=["tags"]).cast(pl.List(tag)) for part in parts])

    def count(question: Question) -> Calls:
        tags = pl.col("tags")
        wanted = question.form.polars([tags.list.contains(pl.lit(name, dtype=tag)) for name in question.tags])
        calls: Calls = {"list.contains": lambda: int(table.select(wanted.sum()).item())}
        if (least := LEAST_COMMON.get(question.form.name)) is not None:
            asked = pl.lit(pl.Series([list(question.tags)], dtype=pl.List(tag)))
            common = tags.list.set_intersection(asked).list.len() >= least
            calls["list.set_intersection"] = lambda: int(table.select(common.sum()).item())
        return calls

    return Library(POLARS_LINE, count)


LEAST_COMMON = {"or8": 1, "at least 2 of 8": 2, "and2": 2}  # tags in common with those that are asked for


def load_duckdb_lists(folder: Path, threads: int) -> Library:
    """Read the lists as enums."""
    import duckdb

    connection = duckdb.connect(config={"memory_limit": DUCKDB_MEMORY, "threads": threads})
    connection.execute("SET enable_progress_bar = false")
    files = f"'{folder}/*.parquet'"
    connection.execute(f"CREATE TYPE tag AS ENUM (SELECT DISTINCT unnest(tags) FROM {files})")
    connection.execute(f"CREATE TABLE t AS SELECT tags::tag[] AS tags FROM {files}")

    def query_int(query: str) -> int:
        found = connection.execute(query).fetchone()
        return int(found[0]) if found else 0

    def count(question: Question) -> Calls:
        names = [f"'{name}'::tag" for name in question.tags]
        condition = question.form.sql.format(*(f"list_contains(tags, {name})" for name in names))
        calls: Calls = {"list_contains": partial(query_int, f"SELECT sum(({condition})::int) FROM t")}
        if (function := LIST_FUNCTIONS.get(question.form.name)) is not None:
            condition = function.format(f"[{', '.join(names)}]")
            calls[function.partition("(")[0]] = partial(query_int, f"SELECT sum(({condition})::int) FROM t")
        return calls

    return Library(DUCKDB_LINE, count)


LIST_FUNCTIONS = {"or8": "list_has_any(tags, {})", "and2": "list_has_all(tags, {})"}


def measure_table(table: RegimeTable, folder: Path, rounds: int, threads: int) -> dict[str, Any]:
    """Measure all questions, in this process."""
    classes, masks = read_classes(table, folder)
    index, lists = folder / INDEX_FOLDER, folder / TABLE_FOLDER
    libraries = [library for peer in (OURS, "pyroaring", "numpy") for library in LOADERS[peer](masks, index, threads)]
    libraries += [load_polars_lists(lists), load_duckdb_lists(lists, threads)]
    cells = measure_questions(table, classes, masks, [libraries], ASKED_FORMS, rounds, listed_forms=())
    return {"cells": cells, "peak_bytes": peak_bytes()}


def list_tables(options: argparse.Namespace) -> tuple[list[RegimeTable], dict[str, str]]:
    """Return the tables to measure, and why one is not."""
    tables = [RegimeTable(f"real, {folder.name}", None, folder) for folder in options.realdata]
    if (SHARED_DATA / REAL_FILE).exists():
        return select_part([*tables, RegimeTable(GROWN)], options.part), {}
    return select_part(tables, options.part), {GROWN: f"{REAL_FILE} is not in {SHARED_DATA}"}


def run_benchmark(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure all tables. Return the results, ready for JSON."""
    tables, skipped = list_tables(options)
    measured: dict[str, Any] = {**describe_environment(), "skipped": skipped, "cells": [], "peak_bytes": 0}
    for table in tables:
        print(table.name, file=sys.stderr, flush=True)
        place = table_folder(folder, table, options.rows)
        run_in_process(build_table, table, place, options.rows, threads=options.threads)
        found = run_in_process(measure_table, table, place, options.rounds, options.threads, threads=options.threads)
        measured["cells"] += found["cells"]
        measured["peak_bytes"] = max(found["peak_bytes"], measured["peak_bytes"])
        if options.json:
            merge_json(measured, options.json)
    return measured


def format_report(measured: dict[str, Any]) -> str:
    """Return the results as Markdown: each peer as a multiple of our time."""
    peers = (DUCKDB_LINE, POLARS_LINE, "pyroaring", "numpy, packed words")
    rows = []
    for cell in measured["cells"]:
        ours = fastest(cell, OURS)
        others = (f"{format_ms(fastest(cell, peer))} ({fastest(cell, peer) / ours:,.1f} ×)" for peer in peers)
        rows.append((cell["table"], cell["tags"], cell["form"], format_ms(ours), *others, format_fastest(cell, NEW)))
    head = ("table", "tags", "form", "audience ms", *(f"{peer} ms" for peer in peers), f"{NEW} ms")
    skipped = [f"Not measured: {name}: {reason}." for name, reason in measured["skipped"].items()]
    return "\n\n".join([*skipped, format_gains(measured["cells"]), format_table(head, rows)])


def format_gains(cells: list[dict[str, Any]]) -> str:
    """Return how many times longer lists take: the geometric mean of all cells of a table, and the lowest."""
    rows = []
    for table in dict.fromkeys(cell["table"] for cell in cells):
        some = [cell for cell in cells if cell["table"] == table]
        for peer in (DUCKDB_LINE, POLARS_LINE):
            ratios = np.array([fastest(cell, peer) / fastest(cell, OURS) for cell in some])
            mean = float(np.exp(np.log(ratios).mean()))
            rows.append((table, f"{some[0]['devices']:,}", peer, f"{mean:,.0f} ×", f"{ratios.min():,.0f} ×"))
    return format_table(("table", "people", "peer", "geometric mean", "lowest"), rows)


def main() -> None:
    parser = make_parser(__doc__, "threads", "folder", "json")
    parser.add_argument("--realdata", type=lambda text: tuple(map(Path, text.split(","))), default=())
    parser.add_argument("--rows", type=float, default=4_300_000, help="of the table of people that are made")
    parser.add_argument("--part", default="1/1", help="K/N: every N-th table from the K-th on")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    options.rows = int(options.rows)
    with open_folder(options.folder) as folder:
        measured = run_benchmark(options, folder)
    measured = merge_json(measured, options.json) if options.json else measured
    print(f"A process had at most {format_bytes(measured['peak_bytes'])}.\n\n{format_report(measured)}")


if __name__ == "__main__":
    main()
