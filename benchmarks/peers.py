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

from audience import DeviceIndex, Expr, parse
from audience.index.bits import rows_of
from benchmarks.devices import INDEX, ROWS
from benchmarks.questions import QUESTIONS, TAGS, Bitmaps, Question

PARSED, TEXT, HAND = "audience", "audience, parsing each time", "pyroaring by hand"
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
    """This project, from a parsed expression and from its text, and its own bitmaps combined by hand.

    The index remembers the texts that it has parsed, so `parse` is called here each time.
    """
    index = DeviceIndex.open(folder / INDEX)
    ids, has = index.resolve("everyone").tokens().rechunk(), bitmaps_of(index)

    def ask(question: Question) -> list[Form]:
        def hand() -> NDArray[np.uint32]:
            return np.frombuffer(question.listed(has).to_array(), dtype=np.uint32)

        expr = parse(question.text)
        return [
            *_audience(PARSED, index, lambda: expr),
            *_audience(TEXT, index, lambda: parse(question.text)),
            Form(HAND, "count", "in place", lambda: question.counted(has)),
            Form(HAND, "rows", "in place", hand),
            Form(HAND, "ids", "gather", lambda: ids.gather(pl.Series(hand()))),
        ]

    return ask


def _audience(line: str, index: DeviceIndex, expr: Callable[[], Expr]) -> list[Form]:
    return [
        Form(line, "count", "count", lambda: index.count(expr())),
        Form(line, "rows", "resolve", lambda: rows_of(index.resolve(expr()).rows)),
        Form(line, "ids", "tokens", lambda: index.resolve(expr()).tokens()),
    ]


def bitmaps_of(index: DeviceIndex) -> Bitmaps:
    """Every stored bitmap by the name of its value: bare tags by themselves, others as type:value."""
    store = index.store
    return {
        value if name == "tag" else f"{name}:{value}": store.bitmap(attribute.start + place)
        for name, attribute in index.attributes.items()
        for place, value in enumerate(store.values(attribute))
    }


def words(folder: Path, threads: int) -> Ask:
    """numpy: one bit a device for every value of the questions, in 64-bit words."""
    has = _Words(pl.read_parquet(folder / ROWS, columns=[*TYPED, "age", "active", *TAGS]))
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

    def __init__(self, table: pl.DataFrame):
        super().__init__()
        self.table = table

    def __missing__(self, name: str) -> NDArray[np.uint64]:
        column, _, value = name.partition(":")
        mask = self.table[column].cast(pl.String) == value if value else self.table[column]
        packed = np.packbits(mask.to_numpy(), bitorder="little")
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
    table = pl.read_parquet(folder / ROWS).with_columns(pl.col(name).cast(_enum(folder, name)) for name in TYPED)
    tag = _enum(folder, "tags")
    table = table.with_columns(pl.col("tags").cast(pl.List(tag))).rechunk()
    assert pl.thread_pool_size() == threads

    def ask(question: Question) -> list[Form]:
        listed = question.polars(lambda name: pl.col("tags").list.contains(pl.lit(name, dtype=tag)))
        lists = _polars("Polars, list column", table, listed) if question.asks_tags else []
        return [*_polars("Polars, scalar columns", table, question.polars(pl.col)), *lists]

    return ask


def _enum(folder: Path, name: str) -> pl.Enum:
    values = pl.read_parquet(folder / ROWS, columns=[name])[name]
    flat = values.explode() if isinstance(values.dtype, pl.List) else values
    return pl.Enum(flat.unique().sort())


def _polars(line: str, table: pl.DataFrame, operands: list[pl.Expr]) -> list[Form]:
    wanted = reduce(and_, operands)
    left = table.lazy().filter(wanted).select(pl.len())
    return [
        Form(line, "count", "sum", lambda: int(table.select(wanted.sum()).item())),
        Form(line, "count", "filter", lambda: left.collect().item()),
        Form(line, "count", "filter, streaming", lambda: left.collect(engine="streaming").item()),
        Form(line, "count", "one filter after another", lambda: len(_filtered(table, "row", operands))),
        *(Form(line, "rows", how, _as_numpy(call)) for how, call in _polars_lists(table, "row", operands).items()),
        *(Form(line, "ids", how, call) for how, call in _polars_lists(table, "registration_id", operands).items()),
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
