"""Measure patterns, thresholds, limits, top and samples, beside Polars, DuckDB and bitmaps combined by hand.

All have the same devices in the same order, in memory, and one thread; times are those of the processor. All counts are
compared; for `top` the sum of the values. The first answer is that of an index that was just opened, the next one comes
from its cache. The first answer is also measured by the clock, with as many threads as there are cores, as an index is
opened by default. Tags in another order are combined again: their bitmaps are loaded, and the answer is not cached.
Thresholds are compared with the union of the same tags. Limits
and samples are chosen by the hash of the id: Polars computes the same hashes with polars-hash, DuckDB has no such
function.

    python -m benchmarks.forms [--devices N] [--runs N] [--threads N] [--folder DIR] [--json FILE]
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars_hash
import xxhash

from audience import DeviceIndex, Or, Threshold, parse
from audience.index.storage.bitmaps import BitMap, rows_to_bitmap
from benchmarks.report import (
    OPTIONS,
    describe_environment,
    format_ms,
    format_table,
    make_parser,
    open_folder,
    save_json,
)
from benchmarks.timing import fastest_times, run_in_process

TABLE, INDEX = "forms.parquet", "forms.index"
CITY_COUNT, TAG_COUNT = 100_000, 20
LEAST = (2, 3, 4, 5, 10)
DENSITIES = {"rare": 0.001, "some": 0.03, "many": 0.2, "half": 0.5}
LIMIT, TOP, SEED = 50_000, 1_000, "summer"
PERCENT = 1

Forms = dict[str, Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """One expression, and how peers answer it; what a peer cannot say is left out."""

    text: str
    polars: Callable[[pl.DataFrame], float] | None = None
    sql: str | None = None
    bitmaps: Callable[[dict[str, BitMap]], float] | None = None
    audience: Callable[[DeviceIndex, Any], Any] = DeviceIndex.count
    summarize: Callable[[Any, pl.DataFrame], float] = lambda count, table: count


@dataclass(frozen=True, slots=True)
class Measurement:
    """Times in seconds by peer; ours are the first answer, the next ones, and those with tags in another order.

    All are times of the processor but *first_clock*, which is that of the clock, with as many threads as cores.
    """

    text: str
    result: float
    first: float
    first_clock: float
    again: float
    combined: float | None
    peers: dict[str, float]


def tags_of(name: str) -> list[str]:
    return [f"{name}{number:02}" for number in range(TAG_COUNT)]


def generate_table(folder: Path, count: int) -> None:
    """Write *count* devices: an id, a city, what they spent, and tags of four densities."""
    rng = np.random.default_rng(42)
    prefixes = ["guang", "gui", "bei", "shang", "vip_", "城市", "hu", "Nan", "xi", "zheng"]
    cities = pl.Series(f"{prefix}{number:05}" for prefix in prefixes for number in range(CITY_COUNT // len(prefixes)))
    columns: dict[str, Any] = {
        "registration_id": pl.int_range(count, eager=True).cast(pl.String).str.zfill(36),
        "city": cities.gather(rng.integers(0, len(cities), count).astype(np.uint32)),
        "spend": np.round(rng.lognormal(3, 1.5, count), 2),
    }
    for name, density in DENSITIES.items():
        columns |= {tag: rng.random(count, dtype=np.float32) < density for tag in tags_of(name)}
    pl.DataFrame(columns).write_parquet(folder / TABLE)


def build_index(folder: Path) -> None:
    DeviceIndex.build(folder / TABLE, folder / INDEX, replace=True)


def iter_questions() -> Iterator[Question]:
    for text, starts, regex, like in (
        ('city matches "guang*"', "guang", None, "city LIKE 'guang%'"),
        ('city matches "*0012*"', None, "0012", "city LIKE '%0012%'"),
        ('city matches "?u*9?1*"', None, r"(?s)\A.u.*9.1", "city LIKE '_u%9_1%'"),
        ('city matches "nan*7" ignoring case', None, r"(?is)\Anan.*7\z", "city ILIKE 'nan%7'"),
    ):
        matching = pl.col("city").str.starts_with(starts) if starts else pl.col("city").str.contains(regex)
        yield Question(text, lambda table, matching=matching: table.select(matching.sum()).item(), count_sql(like))
    within = pl.col("many00") & pl.col("city").str.contains(r"(?s)\A.u.*9.1")  # whose rows must be found
    yield Question(
        'many00 AND city matches "?u*9?1*"',
        lambda table: table.select(within.sum()).item(),
        count_sql("many00 AND city LIKE '_u%9_1%'"),
    )
    for name in DENSITIES:
        tags = tags_of(name)
        yield Question(
            " OR ".join(tags),
            lambda table, tags=tags: table.select(pl.any_horizontal(tags).sum()).item(),
            count_sql(" OR ".join(tags)),
            lambda bitmaps, tags=tags: len(BitMap.union(*(bitmaps[tag] for tag in tags))),
        )
        for least in LEAST:
            yield Question(
                f"at least {least} of ({', '.join(tags)})",
                lambda table, tags=tags, least=least: count_at_least(table, tags, least),
                count_sql(f"{' + '.join(f'{tag}::int' for tag in tags)} >= {least}"),
                lambda bitmaps, tags=tags, least=least: len(at_least_by_hand([bitmaps[tag] for tag in tags], least)),
            )
    in_sample = position() < pl.lit(-(-(2**64) * PERCENT // 100), pl.UInt64)
    yield Question(f"sample({PERCENT}%, {SEED})", lambda table: table.select(in_sample.sum()).item())
    for term, condition in (("everyone", pl.lit(True)), ("many00", pl.col("many00"))):
        yield Question(
            f"{term} limit {LIMIT} seed {SEED}",
            lambda table, condition=condition: choose_by_position(table, condition),
            audience=list_rows,
            summarize=lambda rows, table: float(rows.sum(dtype=np.int64)),
        )
    for order in ("top", "bottom"):
        direction, descending = ("DESC", True) if order == "top" else ("ASC", False)
        yield Question(
            f"many00 {order} {TOP} by spend",
            lambda table, largest=descending: sum_extremes(table, largest),
            f"SELECT sum(spend) FROM (SELECT spend FROM t WHERE many00 ORDER BY spend {direction} LIMIT {TOP})",
            audience=list_rows,
            summarize=lambda rows, table: round(float(table["spend"].gather(rows).sum()), 2),
        )


def count_sql(condition: str) -> str:
    return f"SELECT sum(({condition})::int) FROM t"


def count_at_least(table: pl.DataFrame, tags: list[str], least: int) -> int:
    counted = reduce(add, (pl.col(tag).cast(pl.UInt8) for tag in tags))
    return table.select((counted >= least).sum()).item()


def at_least_by_hand(bitmaps: list[BitMap], least: int) -> BitMap:
    """The rows that at least 1, 2, … of the bitmaps have, one bitmap after the other."""
    levels = [BitMap() for _ in range(least)]
    for bitmap in bitmaps:
        carried = bitmap
        for level in levels:
            carried, before = level & carried, carried
            level |= before
    return levels[-1]


def position() -> pl.Expr:
    """The position of each device under the seed, times 2 ** 64, as the index defines it."""
    hashed_seed = xxhash.xxh3_64_intdigest(SEED.encode()) & ~0xFFFFFF
    mixed = (polars_hash.col("registration_id").nchash.xxh3_64() // (1 << 24)) ^ pl.lit(hashed_seed, pl.UInt64)
    mixed = mixed + pl.lit(0x9E3779B97F4A7C15, pl.UInt64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed // (1 << shift))) * pl.lit(factor, pl.UInt64)
    return mixed ^ (mixed // (1 << 31))


def choose_by_position(table: pl.DataFrame, condition: pl.Expr) -> float:
    """The sum of the row numbers of the devices with the lowest positions."""
    chosen = table.lazy().filter(condition).select("row", position=position()).bottom_k(LIMIT, by="position").collect()
    return float(chosen["row"].cast(pl.Int64).sum())


def sum_extremes(table: pl.DataFrame, largest: bool) -> float:
    chosen = table.lazy().filter(pl.col("many00")).select("spend")
    found = (chosen.top_k if largest else chosen.bottom_k)(TOP, by="spend").collect()
    return round(float(found["spend"].sum()), 2)


def list_rows(index: DeviceIndex, expr: Any) -> Any:
    return index.resolve(expr).global_rows()


def load_table(folder: Path) -> pl.DataFrame:
    """The table in the order in which the index numbers its rows."""
    ids = DeviceIndex.open(folder / INDEX).resolve("everyone").ids()
    table = pl.read_parquet(folder / TABLE)
    return table[ids.cast(pl.UInt32)].with_row_index("row")


def measure_all(folder: Path, runs: int, threads: int) -> list[Measurement]:
    import duckdb

    table = load_table(folder)
    database = duckdb.connect()
    database.execute(f"SET threads = {threads}")
    database.register("frame", table.drop("registration_id", "row"))
    database.execute("CREATE TABLE t AS SELECT * FROM frame")
    index = DeviceIndex.open(folder / INDEX, threads=threads)
    bitmaps = {tag: rows_to_bitmap(index.resolve(tag).global_rows()) for name in DENSITIES for tag in tags_of(name)}
    for bitmap in bitmaps.values():
        bitmap.run_optimize()

    def open_index(threads: int | None = threads) -> DeviceIndex:
        return DeviceIndex.open(folder / INDEX, threads=threads)

    return [measure_question(each, open_index, runs, table, database, bitmaps) for each in iter_questions()]


def measure_question(
    question: Question,
    open_index: Callable[..., DeviceIndex],
    runs: int,
    table: pl.DataFrame,
    database: Any,
    bitmaps: dict[str, BitMap],
) -> Measurement:
    expr = parse(question.text)
    index = open_index()
    forms: Forms = {"audience": lambda: question.audience(index, expr)}
    if question.polars is not None:
        forms["Polars"] = lambda: question.polars(table)
    if question.sql is not None:
        forms["DuckDB"] = lambda: round(float(database.execute(question.sql).fetchone()[0]), 2)
    if question.bitmaps is not None:
        forms["pyroaring by hand"] = lambda: question.bitmaps(bitmaps)
    results = {name: form() for name, form in forms.items()}
    results["audience"] = question.summarize(results["audience"], table)
    assert len({round(float(result), 1) for result in results.values()}) == 1, f"{question.text}: {results}"
    first = min(time_first(question, expr, open_index(), time.process_time) for _ in range(runs))
    first_clock = min(time_first(question, expr, open_index(None), time.perf_counter) for _ in range(runs))
    again, *others = fastest_times(list(forms.values()), runs, time.process_time)
    peers = dict(zip(list(forms)[1:], others, strict=True))
    combined = time_combined(expr, index) if isinstance(expr, Or | Threshold) else None
    return Measurement(question.text, results["audience"], first, first_clock, again, combined, peers)


def time_combined(expr: Or | Threshold, index: DeviceIndex) -> float:
    """The least seconds of *expr* with its operands in each other order in turn."""
    seconds = []
    for place in range(1, len(expr.terms)):
        turned = replace(expr, terms=expr.terms[place:] + expr.terms[:place])
        started = time.process_time()
        index.count(turned)
        seconds.append(time.process_time() - started)
    return min(seconds)


def time_first(question: Question, expr: Any, index: DeviceIndex, timer: Callable[[], float]) -> float:
    """The seconds of the first answer after opening; the files are in the page cache."""
    index.count("everyone")
    started = timer()
    question.audience(index, expr)
    return timer() - started


def format_measurements(measured: list[dict[str, Any]]) -> str:
    peers = ("Polars", "DuckDB", "pyroaring by hand")
    unions = {text.split(" OR ")[0]: each["combined"] for each in measured if " OR " in (text := each["text"])}
    rows = [
        (
            f"`{shorten(each['text'])}`",
            format_ms(each["first"]),
            format_ms(each["first_clock"]),
            format_ms(each["again"]),
            format_combined(each, unions),
            *(format_peer(each["peers"].get(peer), each["first"]) for peer in peers),
        )
        for each in measured
    ]
    ours = ("first ms", "first, all cores, by the clock ms", "next ms", "other order ms")
    return format_table(("expression", *ours, *(f"{peer} ms" for peer in peers)), rows)


def format_combined(each: dict[str, Any], unions: dict[str, float]) -> str:
    """The time of tags in another order, and of a threshold how many times that of their union it is."""
    if each["combined"] is None:
        return ""
    union = next((union for tag, union in unions.items() if f"({tag}," in each["text"]), None)
    return format_ms(each["combined"]) + ("" if union is None else f" ({each['combined'] / union:.1f} × OR)")


def shorten(text: str) -> str:
    return text if len(text) < 50 else f"{text[:30]}…"


def format_peer(seconds: float | None, first: float) -> str:
    return "" if seconds is None else f"{format_ms(seconds)} ({seconds / first:.1f} ×)"


def main() -> None:
    options = make_parser(__doc__, *OPTIONS).parse_args()
    with open_folder(options.folder) as folder:
        if not (folder / TABLE).exists():
            run_in_process(generate_table, folder, int(options.devices), threads=2)
            run_in_process(build_index, folder, threads=2)
        found = run_in_process(measure_all, folder, options.runs, options.threads, threads=options.threads)
    measured = [asdict(each) for each in found]
    save_json({**describe_environment(), "forms": measured}, options.json)
    print(format_measurements(measured))


if __name__ == "__main__":
    main()
