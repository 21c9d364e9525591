"""The libraries of the regimes: each holds all tags in the form that suits it, and returns calls for a question.

A call that counts returns a number. A call that lists returns row numbers as an array. Peers keep the order of the
table, as they would without an index. Bitmaps in the order of the index are measured too: they show what the evaluation
costs beside them, but they are not a peer, since making that order is the work of the build.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience import DeviceIndex, parse
from audience.index.query.validate import validate_and_expand
from audience.index.storage.bitmaps import BitMap, bitmap_to_rows, rows_to_bitmap
from benchmarks.peers import unpack_nonzero_words, unpack_rows
from benchmarks.regime_questions import CombineWords, Question, Words
from benchmarks.regime_tables import Masks

OURS, NEW, TEXT, AGAIN = "audience", "audience, new expression", "audience, text", "audience, again"
ORDERED = "pyroaring, order of the index"
BLOCK_WORDS = (8_192, 32_768)  # 64 and 256 KB of each operand
BUFFER_COUNT = 3
WARM_UP_ROUNDS, ASKED_BEFORE = 3, 3
DUCKDB_MEMORY = "1GB"

Calls: TypeAlias = dict[str, Callable[[], Any]]
Way: TypeAlias = tuple[str, Callable[[Question], Calls], NDArray[np.uint32] | None]  # name, calls, order of the rows


@dataclass(frozen=True, slots=True)
class Library:
    """How a library counts and lists: calls for a question by variant.

    `order` has the row of the table for each row that is listed, if they are not the same.
    """

    name: str
    count: Callable[[Question], Calls]
    rows: Callable[[Question], Calls] | None = None
    order: NDArray[np.uint32] | None = None

    def way_to_count(self) -> Way:
        return self.name, self.count, None

    def way_to_list(self) -> Way | None:
        return (self.name, self.rows, self.order) if self.rows else None


def load_audience(masks: Masks, index_folder: Path, threads: int) -> list[Library]:
    """Open the index and read all tags. Expressions are validated beforehand, or parsed, or neither, or were asked."""
    index = DeviceIndex.open(index_folder, threads=threads)
    for text in iter_warm_up(list(masks)):
        index.count(text)

    def prepare(question: Question) -> Callable[[], Any]:
        expr = parse(question.text)
        validate_and_expand(expr, index.snapshot)
        return partial(index.count, expr)

    def ask_again(question: Question) -> Callable[[], Any]:
        call = prepare(question)
        for _ in range(ASKED_BEFORE):
            call()
        return call

    def list_prepared(question: Question) -> Callable[[], Any]:
        expr = parse(question.text)
        validate_and_expand(expr, index.snapshot)
        return lambda: index.resolve(expr).global_rows()

    return [
        Library(
            OURS,
            lambda question: {"count": prepare(question)},
            lambda question: {"resolve": list_prepared(question)},
            read_order(index),
        ),
        Library(AGAIN, lambda question: {"count": ask_again(question)}),
        Library(NEW, lambda question: {"count": partial(index.count, parse(question.text))}),
        Library(TEXT, lambda question: {"count": partial(index.count, question.text)}),
    ]


def iter_warm_up(tags: list[str]) -> Iterator[str]:
    """Iterate over texts with every tag as an operand of AND, OR and NOT, of which no measured question has a part."""
    for shift in range(1, WARM_UP_ROUNDS + 1):
        for number in range(len(tags)):
            a, b, c, d = (tags[(number + shift * step) % len(tags)] for step in range(4))
            yield f"({a} AND {b} AND {c}) OR ({d} AND NOT ({a} OR {b} OR {c}))"
            yield f"at least 2 of ({a}, {b}, {c})"


def read_order(index: DeviceIndex) -> NDArray[np.uint32]:
    """Return the row of the table that each row of the index has; ids are rows of the table."""
    return index.resolve("everyone").ids().cast(pl.UInt32).to_numpy()


def load_bitmaps(masks: Masks, index_folder: Path, threads: int) -> list[Library]:
    """Make bitmaps in the order of the table, with runs and without, and with runs in the order of the index."""
    order = read_order(DeviceIndex.open(index_folder))
    plain = {tag: BitMap(_to_array(mask), optimize=False) for tag, mask in masks.items()}
    optimized = {tag: BitMap(_to_array(mask)) for tag, mask in masks.items()}
    ordered = {tag: BitMap(_to_array(mask[order])) for tag, mask in masks.items()}
    return [
        _library_of_bitmaps("pyroaring", {"": plain, ", runs": optimized}),
        _library_of_bitmaps(ORDERED, {"": ordered}, order),
    ]


def _to_array(mask: NDArray[np.bool_]) -> Any:
    return rows_to_bitmap(np.flatnonzero(mask).astype(np.uint32)).to_array()


def _library_of_bitmaps(
    name: str, kinds: dict[str, dict[str, BitMap]], order: NDArray[np.uint32] | None = None
) -> Library:
    def count(question: Question) -> Calls:
        return {
            f"{variant}{kind}": partial(function, [bitmaps[tag] for tag in question.tags])
            for kind, bitmaps in kinds.items()
            for variant, function in question.form.counts.items()
        }

    def rows(question: Question) -> Calls:
        return {
            f"{variant}{kind}": lambda function=function, operands=[bitmaps[tag] for tag in question.tags]: (
                bitmap_to_rows(function(operands))
            )
            for kind, bitmaps in kinds.items()
            for variant, function in question.form.bitmaps.items()
        }

    return Library(name, count, rows, order)


def load_words(masks: Masks, index_folder: Path, threads: int) -> list[Library]:
    """Pack one bit a device for each tag. Words are combined whole, or in blocks that stay in the cache."""
    words = {tag: _pack_words(mask) for tag, mask in masks.items()}
    word_count = len(next(iter(words.values())))
    sizes = {"whole": word_count} | {f"blocks of {size // 128} KB": size for size in BLOCK_WORDS if size < word_count}
    buffers = [np.empty(word_count, np.uint64) for _ in range(BUFFER_COUNT)]
    counts = np.empty(word_count, np.uint8)

    def count(question: Question) -> Calls:
        operands = [words[tag] for tag in question.tags]
        return {
            name: partial(_count_blocks, question.form.words, operands, size, buffers, counts)
            for name, size in sizes.items()
        }

    def rows(question: Question) -> Calls:
        operands = [words[tag] for tag in question.tags]
        return {
            "unpack all": lambda: unpack_rows(question.form.words(operands, buffers)),
            "unpack what is not zero": lambda: unpack_nonzero_words(question.form.words(operands, buffers)),
        }

    return [Library("numpy, packed words", count, rows)]


def _pack_words(mask: NDArray[np.bool_]) -> Words:
    packed = np.packbits(mask, bitorder="little")
    return np.pad(packed, (0, -len(packed) % 8)).view(np.uint64)


def _count_blocks(
    combine: CombineWords, operands: list[Words], size: int, buffers: list[Words], counts: NDArray[np.uint8]
) -> int:
    total, word_count = 0, len(operands[0])
    for start in range(0, word_count, size):
        stop = min(start + size, word_count)
        found = combine([words[start:stop] for words in operands], [buffer[: stop - start] for buffer in buffers])
        total += int(np.bitwise_count(found, out=counts[: stop - start]).sum())
    return total


def load_polars(masks: Masks, index_folder: Path, threads: int) -> list[Library]:
    table = pl.DataFrame(masks).with_row_index("row")

    def count(question: Question) -> Calls:
        wanted = question.form.polars([pl.col(tag) for tag in question.tags])
        filtered = table.lazy().filter(wanted).select(pl.len())
        return {
            "sum": lambda: int(table.select(wanted.sum()).item()),
            "filter": lambda: int(filtered.collect().item()),
        }

    def rows(question: Question) -> Calls:
        wanted = question.form.polars([pl.col(tag) for tag in question.tags])
        filtered = table.lazy().filter(wanted).select("row")
        return {
            "filter": lambda: filtered.collect().to_series().to_numpy(),
            "arg_where": lambda: table.select(pl.arg_where(wanted)).to_series().to_numpy(),
        }

    return [Library("Polars", count, rows)]


def load_duckdb(masks: Masks, index_folder: Path, threads: int) -> list[Library]:
    import duckdb

    connection = duckdb.connect(config={"memory_limit": DUCKDB_MEMORY, "threads": threads})
    connection.register("frame", pl.DataFrame(masks).with_row_index("row").to_arrow())
    connection.execute("CREATE TABLE t AS SELECT * FROM frame")
    connection.unregister("frame")

    def query_int(query: str) -> int:
        found = connection.execute(query).fetchone()
        return int(found[0]) if found else 0

    def count(question: Question) -> Calls:
        condition = question.form.sql.format(*question.tags)
        return {
            "sum": partial(query_int, f"SELECT sum(({condition})::int) FROM t"),
            "where": partial(query_int, f"SELECT count(*) FROM t WHERE {condition}"),
        }

    def rows(question: Question) -> Calls:
        query = f"SELECT row FROM t WHERE {question.form.sql.format(*question.tags)}"
        return {"numpy": lambda: connection.execute(query).fetchnumpy()["row"]}

    return [Library("DuckDB", count, rows)]


def load_chdb(masks: Masks, index_folder: Path, threads: int) -> list[Library]:
    """Make a groupBitmap state of each tag."""
    from chdb.session import Session

    file = index_folder.with_suffix(".rows.parquet")
    pl.DataFrame(masks).with_row_index("row").write_parquet(file)
    session = Session()
    for query in ("CREATE DATABASE benchmark", "USE benchmark", f"SET max_threads = {threads}"):
        session.query(query)
    session.query("CREATE TABLE states (name String, bits AggregateFunction(groupBitmap, UInt32)) ENGINE = Memory")
    for tag in masks:
        state = "groupBitmapState(assumeNotNull(row))"
        session.query(f"INSERT INTO states SELECT '{tag}', {state} FROM file('{file}') WHERE {tag}")
    file.unlink()

    def count(question: Question) -> Calls:
        state = question.form.states.format(*question.tags)
        states = ", ".join(f"(SELECT bits FROM states WHERE name = '{tag}') AS {tag}" for tag in question.tags)
        query = f"WITH {states} SELECT bitmapCardinality({state})"
        return {"states": lambda: int(session.query(query, "TSV").bytes())}

    return [Library("chdb, groupBitmap states", count)]


LOADERS: dict[str, Callable[[Masks, Path, int], list[Library]]] = {
    "audience": load_audience,
    "pyroaring": load_bitmaps,
    "numpy": load_words,
    "Polars": load_polars,
    "DuckDB": load_duckdb,
    "chdb": load_chdb,
}


def measure_operand_bytes(masks: Masks) -> dict[str, int]:
    """Return the bytes of each tag in the order of the table: of a roaring bitmap, or of packed words if fewer."""
    return {tag: min(len(BitMap(_to_array(mask)).serialize()), len(mask) // 8) for tag, mask in masks.items()}
