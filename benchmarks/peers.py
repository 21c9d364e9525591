"""The peers, each over the same rows: how it is loaded, and every way in which it counts and lists.

A peer is a function that loads the table and returns a function from a question to its forms. Counts are integers,
`rows` one contiguous uint32 array of row numbers, `ids` the 36-character ids as a Polars series.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience import DeviceIndex, Expr, Tag, parse
from audience.index.storage.bitmaps import BitMap, from_rows
from benchmarks.devices import INDEX, ROWS
from benchmarks.queries import QUESTIONS, Question

PARSED, TEXT, HAND = "audience", "audience, parsing each time", "pyroaring by hand"
MOST_WITH_IDS = 20_000_000
TYPED = ("province", "version", "brand", "language")


@dataclass(frozen=True, slots=True)
class Form:
    """One way to answer: the line of the report it belongs to, what it measures, how it is done, and the call."""

    line: str
    measure: str  # count, rows or ids
    how: str
    call: Callable[[], Any]


Ask: TypeAlias = Callable[[Question], list[Form]]


def bitmaps(folder: Path, threads: int) -> Ask:
    """This project, from a parsed expression and from its text, and bitmaps combined by hand with pyroaring.

    By hand there is one bitmap a value for all devices. The index remembers the texts that it has parsed, so `parse`
    is called here each time.
    """
    index = DeviceIndex.open(folder / INDEX, cache_bytes=0)  # each answer is found anew
    ids, has = index.resolve("everyone").tokens().rechunk() if lists_ids(folder) else None, _Whole(index)

    def ask(question: Question) -> list[Form]:
        def hand() -> NDArray[np.uint32]:
            return np.frombuffer(question.listed(has).to_array(), dtype=np.uint32)

        expr = parse(question.text)
        question.counted(has)
        found = [
            *_audience(PARSED, index, lambda: expr),
            *_audience(TEXT, index, lambda: parse(question.text)),
            Form(HAND, "count", "in place", lambda: question.counted(has)),
            Form(HAND, "rows", "in place", hand),
            Form(HAND, "ids", "gather", lambda: ids.gather(pl.Series(hand()))),
        ]
        return [form for form in found if ids is not None or form.measure != "ids"]

    return ask


def lists_ids(folder: Path) -> bool:
    """Whether ids are listed too: where they are too many, no peer could hold them beside the rest."""
    return pl.scan_parquet(folder / ROWS).select(pl.len()).collect().item() <= MOST_WITH_IDS


def _audience(line: str, index: DeviceIndex, expr: Callable[[], Expr]) -> list[Form]:
    return [
        Form(line, "count", "count", lambda: index.count(expr())),
        Form(line, "rows", "resolve", lambda: index.resolve(expr()).rows()),
        Form(line, "ids", "tokens", lambda: index.resolve(expr()).tokens()),
    ]


class _Whole(dict[str, BitMap]):
    """One bitmap for all devices by the name of a value, made when first asked for: `male` or `type:value`."""

    def __init__(self, index: DeviceIndex):
        super().__init__()
        self.index = index

    def __missing__(self, name: str) -> BitMap:
        type_, _, value = name.rpartition(":")
        found = self.index.resolve(Tag(type_ or "tag", value))
        self[name] = from_rows(found.rows())
        self[name].run_optimize()
        return self[name]


def words(folder: Path, threads: int) -> Ask:
    """numpy: one bit a device for every value of the questions, in 64-bit words."""
    has = _Words(pl.scan_parquet(folder / ROWS))
    for question in QUESTIONS.values():
        question.words(has)
    line = "numpy, packed words"

    def ask(question: Question) -> list[Form]:
        return [
            Form(line, "count", "bitwise_count", lambda: int(np.bitwise_count(question.words(has)).sum())),
            Form(line, "rows", "unpack all", lambda: _unpacked(question.words(has))),
            Form(line, "rows", "unpack what is not zero", lambda: _unpacked_where_set(question.words(has))),
        ]

    return ask


class _Words(dict[str, NDArray[np.uint64]]):
    """Packed words by the name of a value, packed when first asked for."""

    def __init__(self, table: pl.LazyFrame):
        super().__init__()
        self.table = table

    def __missing__(self, name: str) -> NDArray[np.uint64]:
        column, _, value = name.partition(":")
        mask = pl.col(column).cast(pl.String) == value if value else pl.col(column)
        packed = np.packbits(self.table.select(mask).collect().to_series().to_numpy(), bitorder="little")
        self[name] = np.pad(packed, (0, -len(packed) % 8)).view(np.uint64)
        return self[name]


def _unpacked(found: NDArray[np.uint64]) -> NDArray[np.uint32]:
    return np.flatnonzero(np.unpackbits(found.view(np.uint8), bitorder="little").view(np.bool_)).astype(np.uint32)


def _unpacked_where_set(found: NDArray[np.uint64]) -> NDArray[np.uint32]:
    at = np.flatnonzero(found)
    bits = np.flatnonzero(np.unpackbits(found[at].view(np.uint8), bitorder="little").view(np.bool_))
    return (at[bits >> 6] << 6 | bits & 63).astype(np.uint32)


def polars(folder: Path, threads: int) -> Ask:
    """Polars in memory: enums for texts; tags once as booleans, once as a list of enums."""
    tag = _enum(folder, "tags")
    types = {name: _enum(folder, name) for name in TYPED} | {"tags": pl.List(tag)}
    parts = sorted((folder / ROWS).iterdir())
    table = pl.concat([_without_ids(pl.scan_parquet(part), folder).cast(types).collect() for part in parts])
    table = table.rechunk() if lists_ids(folder) else table
    assert pl.thread_pool_size() == threads

    def ask(question: Question) -> list[Form]:
        listed = question.polars(lambda name: pl.col("tags").list.contains(pl.lit(name, dtype=tag)))
        lists = _polars("Polars, list column", table, listed) if question.asks_tags else []
        return [*_polars("Polars, scalar columns", table, question.polars(pl.col)), *lists]

    return ask


def _without_ids(table: pl.LazyFrame, folder: Path) -> pl.LazyFrame:
    return table if lists_ids(folder) else table.drop("registration_id")


def _enum(folder: Path, name: str) -> pl.Enum:
    """The values of a column; its first part has them all."""
    values = pl.read_parquet(folder / ROWS / "part-000.parquet", columns=[name])[name]
    flat = values.explode() if isinstance(values.dtype, pl.List) else values
    return pl.Enum(flat.unique().sort())


def _polars(line: str, table: pl.DataFrame, operands: list[pl.Expr]) -> list[Form]:
    wanted = reduce(and_, operands)
    left = table.lazy().filter(wanted).select(pl.len())
    ids = _polars_lists(table, "registration_id", operands) if "registration_id" in table.columns else {}
    return [
        Form(line, "count", "sum", lambda: int(table.select(wanted.sum()).item())),
        Form(line, "count", "filter", lambda: left.collect().item()),
        Form(line, "count", "filter, streaming", lambda: left.collect(engine="streaming").item()),
        Form(line, "count", "one filter after another", lambda: len(_filtered(table, "row", operands))),
        *(Form(line, "rows", how, _as_numpy(call)) for how, call in _polars_lists(table, "row", operands).items()),
        *(Form(line, "ids", how, call) for how, call in ids.items()),
    ]


def _polars_lists(table: pl.DataFrame, name: str, operands: list[pl.Expr]) -> dict[str, Callable[[], pl.Series]]:
    """The ways to take column *name* where all *operands* hold."""
    wanted = reduce(and_, operands)
    left = table.lazy().filter(wanted).select(name)
    return {
        "filter": lambda: left.collect().to_series(),
        "filter, streaming": lambda: left.collect(engine="streaming").to_series(),
        "filter one column": lambda: table.select(pl.col(name).filter(wanted)).to_series(),
        "one filter after another": lambda: _filtered(table, name, operands),
    }


def _as_numpy(call: Callable[[], pl.Series]) -> Callable[[], NDArray[np.uint32]]:
    return lambda: call().to_numpy()


def _filtered(table: pl.DataFrame, name: str, operands: list[pl.Expr]) -> pl.Series:
    """Column *name* where all *operands* hold, each tried only on the rows that the ones before it left."""
    used = {column for operand in operands for column in operand.meta.root_names()}
    left = table.select(name, *used)
    for operand in operands:
        left = left.filter(operand)
    return left[name]
