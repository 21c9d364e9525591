"""Peers over the same rows: how each is loaded, and every form in which it counts and lists.

A peer is a function that loads the table and returns a function from a query to its forms. Counts are integers,
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
from audience.index.storage.bitmaps import BitMap, rows_to_bitmap
from benchmarks.devices import INDEX_FOLDER, ROWS_FOLDER
from benchmarks.queries import QUERIES, BenchmarkQuery

PARSED_LINE, TEXT_LINE, MANUAL_LINE = "audience", "audience, parsing each time", "pyroaring by hand"
CACHED_LINE, CORES_LINE = "audience, with its cache", "audience, all cores"
MAX_DEVICES_WITH_IDS = 20_000_000
TYPED_COLUMNS = ("province", "version", "brand", "language")


@dataclass(frozen=True, slots=True)
class QueryForm:
    """One form of a query: its line of the report, its measure, its variant, and the call."""

    line: str
    measure: str  # count, rows or ids
    variant: str
    call: Callable[[], Any]


MakeForms: TypeAlias = Callable[[BenchmarkQuery], list[QueryForm]]


def load_bitmaps(folder: Path, threads: int) -> MakeForms:
    """Load this project, queried by expression and by text, and bitmaps combined by hand with pyroaring.

    By hand, there is one bitmap over all devices for each value. The index caches parsed texts, so `parse` is called
    each time. An index that may cache results, and one that uses all cores, are lines of their own.
    """
    index = DeviceIndex.open(folder / INDEX_FOLDER, cache_bytes=0, threads=threads)  # results are not cached
    cached = DeviceIndex.open(folder / INDEX_FOLDER, threads=threads)
    on_all_cores = DeviceIndex.open(folder / INDEX_FOLDER, cache_bytes=0)
    ids, has = index.resolve("everyone").ids().rechunk() if can_list_ids(folder) else None, _BitmapsByName(index)

    def make_forms(question: BenchmarkQuery) -> list[QueryForm]:
        def list_manually() -> NDArray[np.uint32]:
            return np.frombuffer(question.combine_bitmaps(has).to_array(), dtype=np.uint32)

        expr = parse(question.text)
        question.count_bitmaps(has)
        forms = [
            *_audience_forms(PARSED_LINE, index, lambda: expr),
            *_audience_forms(TEXT_LINE, index, lambda: parse(question.text)),
            *_audience_forms(CACHED_LINE, cached, lambda: expr),
            *_audience_forms(CORES_LINE, on_all_cores, lambda: expr),
            QueryForm(MANUAL_LINE, "count", "in place", lambda: question.count_bitmaps(has)),
            QueryForm(MANUAL_LINE, "rows", "in place", list_manually),
            QueryForm(MANUAL_LINE, "ids", "gather", lambda: ids.gather(pl.Series(list_manually()))),
        ]
        return [form for form in forms if ids is not None or form.measure != "ids"]

    return make_forms


def can_list_ids(folder: Path) -> bool:
    """Return whether ids are listed too; no peer could hold too many of them in memory."""
    return pl.scan_parquet(folder / ROWS_FOLDER).select(pl.len()).collect().item() <= MAX_DEVICES_WITH_IDS


def _audience_forms(line: str, index: DeviceIndex, expr: Callable[[], Expr]) -> list[QueryForm]:
    return [
        QueryForm(line, "count", "count", lambda: index.count(expr())),
        QueryForm(line, "rows", "resolve", lambda: index.resolve(expr()).global_rows()),
        QueryForm(line, "ids", "tokens", lambda: index.resolve(expr()).ids()),
    ]


class _BitmapsByName(dict[str, BitMap]):
    """One bitmap over all devices for each value, built on first use: `male` or `type:value`."""

    def __init__(self, index: DeviceIndex):
        super().__init__()
        self.index = index

    def __missing__(self, name: str) -> BitMap:
        type_, _, value = name.rpartition(":")
        devices = self.index.resolve(Tag(type_ or "tag", value))
        self[name] = rows_to_bitmap(devices.global_rows())
        self[name].run_optimize()
        return self[name]


def load_packed_words(folder: Path, threads: int) -> MakeForms:
    """Load numpy: one bit a device for every value of the queries, in 64-bit words."""
    has = _PackedWordsByName(pl.scan_parquet(folder / ROWS_FOLDER))
    for question in QUERIES.values():
        question.words(has)
    line = "numpy, packed words"

    def make_forms(question: BenchmarkQuery) -> list[QueryForm]:
        return [
            QueryForm(line, "count", "bitwise_count", lambda: int(np.bitwise_count(question.words(has)).sum())),
            QueryForm(line, "rows", "unpack all", lambda: unpack_rows(question.words(has))),
            QueryForm(line, "rows", "unpack what is not zero", lambda: unpack_nonzero_words(question.words(has))),
        ]

    return make_forms


class _PackedWordsByName(dict[str, NDArray[np.uint64]]):
    """Packed words by name of a value, packed on first use."""

    def __init__(self, table: pl.LazyFrame):
        super().__init__()
        self.table = table

    def __missing__(self, name: str) -> NDArray[np.uint64]:
        column, _, value = name.partition(":")
        mask = pl.col(column).cast(pl.String) == value if value else pl.col(column)
        packed = np.packbits(self.table.select(mask).collect().to_series().to_numpy(), bitorder="little")
        self[name] = np.pad(packed, (0, -len(packed) % 8)).view(np.uint64)
        return self[name]


def unpack_rows(words: NDArray[np.uint64]) -> NDArray[np.uint32]:
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little").view(np.bool_)).astype(np.uint32)


def unpack_nonzero_words(words: NDArray[np.uint64]) -> NDArray[np.uint32]:
    at = np.flatnonzero(words)
    bits = np.flatnonzero(np.unpackbits(words[at].view(np.uint8), bitorder="little").view(np.bool_))
    return (at[bits >> 6] << 6 | bits & 63).astype(np.uint32)


def load_polars(folder: Path, threads: int) -> MakeForms:
    """Load Polars: enums for strings; tags once as booleans, once as a list of enums."""
    tag = _column_enum(folder, "tags")
    types = {name: _column_enum(folder, name) for name in TYPED_COLUMNS} | {"tags": pl.List(tag)}
    parts = sorted((folder / ROWS_FOLDER).iterdir())
    table = pl.concat([_drop_ids(pl.scan_parquet(part), folder).cast(types).collect() for part in parts])
    table = table.rechunk() if can_list_ids(folder) else table
    assert pl.thread_pool_size() == threads

    def make_forms(question: BenchmarkQuery) -> list[QueryForm]:
        listed = question.polars(lambda name: pl.col("tags").list.contains(pl.lit(name, dtype=tag)))
        lists = _polars_forms("Polars, list column", table, listed) if question.has_tags else []
        return [*_polars_forms("Polars, scalar columns", table, question.polars(pl.col)), *lists]

    return make_forms


def _drop_ids(table: pl.LazyFrame, folder: Path) -> pl.LazyFrame:
    return table if can_list_ids(folder) else table.drop("registration_id")


def _column_enum(folder: Path, name: str) -> pl.Enum:
    """Return the values of a column; its first part has all of them."""
    values = pl.read_parquet(folder / ROWS_FOLDER / "part-000.parquet", columns=[name])[name]
    flat = values.explode() if isinstance(values.dtype, pl.List) else values
    return pl.Enum(flat.unique().sort())


def _polars_forms(line: str, table: pl.DataFrame, operands: list[pl.Expr]) -> list[QueryForm]:
    wanted = reduce(and_, operands)
    filtered = table.lazy().filter(wanted).select(pl.len())
    ids = _polars_column_calls(table, "registration_id", operands) if "registration_id" in table.columns else {}
    return [
        QueryForm(line, "count", "sum", lambda: int(table.select(wanted.sum()).item())),
        QueryForm(line, "count", "filter", lambda: filtered.collect().item()),
        QueryForm(line, "count", "filter, streaming", lambda: filtered.collect(engine="streaming").item()),
        QueryForm(line, "count", "one filter after another", lambda: len(_filter_in_turn(table, "row", operands))),
        *(
            QueryForm(line, "rows", how, _call_as_numpy(call))
            for how, call in _polars_column_calls(table, "row", operands).items()
        ),
        *(QueryForm(line, "ids", how, call) for how, call in ids.items()),
    ]


def _polars_column_calls(table: pl.DataFrame, name: str, operands: list[pl.Expr]) -> dict[str, Callable[[], pl.Series]]:
    """Return the forms that select column *name* where all *operands* hold."""
    wanted = reduce(and_, operands)
    filtered = table.lazy().filter(wanted).select(name)
    return {
        "filter": lambda: filtered.collect().to_series(),
        "filter, streaming": lambda: filtered.collect(engine="streaming").to_series(),
        "filter one column": lambda: table.select(pl.col(name).filter(wanted)).to_series(),
        "one filter after another": lambda: _filter_in_turn(table, name, operands),
    }


def _call_as_numpy(call: Callable[[], pl.Series]) -> Callable[[], NDArray[np.uint32]]:
    return lambda: call().to_numpy()


def _filter_in_turn(table: pl.DataFrame, name: str, operands: list[pl.Expr]) -> pl.Series:
    """Select column *name* where all *operands* hold, each evaluated on the rows that those before it left."""
    used = {column for operand in operands for column in operand.meta.root_names()}
    remaining = table.select(name, *used)
    for operand in operands:
        remaining = remaining.filter(operand)
    return remaining[name]
