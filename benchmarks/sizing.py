"""Predict what billions of devices take, from the costs of one full shard, and check the model where it fits.

The costs of a shard are measured. The model multiplies them; it is printed for fleets of machines. Then a small fleet
is simulated: indexes are real files, readers are processes that begin each round together, and what they take is
compared with what the model says.

    python -m benchmarks.sizing [--devices N] [--copies N] [--readers N …] [--runs N] [--folder DIR] [--json FILE]
"""

import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from audience import DeviceIndex, Expr, parse
from audience.index.ingest.build import MAX_SHARD_DEVICES
from benchmarks import devices
from benchmarks.queries import QUERIES
from benchmarks.report import describe_environment, format_bytes, format_table, make_parser, open_folder, save_json
from benchmarks.timing import fastest_times, run_in_process

HOURS_A_MONTH = 730
ASKED = "flagship"
BUILD_CORES = 2  # that one build keeps busy: its steps overlap, and each of them has one thread


@dataclass(frozen=True, slots=True)
class ShardCosts:
    """What one full shard costs.

    Attributes:
        bytes_per_device: Bytes on disk by kind of file.
        build_seconds: CPU seconds to build a million devices.
        count_seconds: CPU seconds of one count by question, with the files in memory.
        request_seconds: CPU seconds of one call beside the shards, by question: parsing and planning.
        first_requests: Requests of a first count to an object store, for each shard.
        first_bytes: Bytes that a first count reads from an object store, for each shard.
    """

    bytes_per_device: dict[str, float]
    build_seconds: float
    count_seconds: dict[str, float]
    request_seconds: float
    first_requests: float = 3  # one that opens the shard, and two for bitmaps that are far apart in its file
    first_bytes: float = 1.79e6 / 2  # of two full shards, in five requests: few shards are opened by one together


# What was measured on two cores of an EPYC, for docs/sizing.md.
RECORDED = ShardCosts(
    bytes_per_device={"checksums": 0.00839, "ids": 44.0, "lookup": 8.0, "tags": 8.02},
    build_seconds=1.9,
    count_seconds={
        "flagship": 0.000112,
        "typed attributes": 0.000124,
        "tags": 0.000475,
        "range": 2.93e-05,
        "rare tags": 1.5e-05,
    },
    request_seconds=0.000253,
)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Machines with the same number of cores. With *replicas* each has all devices, otherwise its part of them."""

    machines: int
    cores: int
    replicas: bool


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in dollars, to be replaced by your own."""

    core_hour: float = 0.04
    gigabyte_month: float = 0.023
    thousand_requests: float = 0.0004


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a number of devices takes on a fleet."""

    indexes: int
    shards: int
    shards_per_machine: int
    bytes_per_machine: float
    bitmap_bytes: float
    build_seconds: float
    count_seconds: float
    counts_per_second: float
    first_requests: float
    first_bytes: float
    month: float


def predict(costs: ShardCosts, count: int, fleet: Fleet, prices: Prices = Prices()) -> Prediction:
    """Return what *count* devices take on *fleet*.

    Replicas have one index; of parts, each machine has one, and counts are added. Shards are answered by one thread
    each; a machine has as many at once as it has cores.
    """
    shards = math.ceil(count / MAX_SHARD_DEVICES)
    own = shards if fleet.replicas else math.ceil(shards / fleet.machines)
    nbytes = sum(costs.bytes_per_device.values()) * count
    indexes = 1 if fleet.replicas else min(fleet.machines, shards)
    builders = min(fleet.cores * (1 if fleet.replicas else fleet.machines), BUILD_CORES * indexes)
    busy = own * costs.count_seconds[ASKED] + costs.request_seconds  # seconds of one core for one count, on a machine
    rounds = math.ceil(own / fleet.cores)
    answered = fleet.cores / busy
    stored = nbytes * (fleet.machines if fleet.replicas else 1)
    return Prediction(
        indexes=indexes,
        shards=shards,
        shards_per_machine=own,
        bytes_per_machine=stored / fleet.machines,
        bitmap_bytes=costs.bytes_per_device["tags"] * own * MAX_SHARD_DEVICES,
        build_seconds=costs.build_seconds * count / 1e6 / builders,
        count_seconds=rounds * costs.count_seconds[ASKED] + costs.request_seconds,
        counts_per_second=answered * (fleet.machines if fleet.replicas else 1),
        first_requests=costs.first_requests * shards * (fleet.machines if fleet.replicas else 1),
        first_bytes=costs.first_bytes * shards * (fleet.machines if fleet.replicas else 1),
        month=fleet.machines * fleet.cores * HOURS_A_MONTH * prices.core_hour + nbytes / 1e9 * prices.gigabyte_month,
    )


def measure_build(folder: Path, count: int) -> tuple[float, dict[str, float]]:
    """Build the index of *count* devices; alone in its process. CPU seconds a million, and bytes a device."""
    before = time.process_time()
    built = devices.build_index(folder, os.cpu_count() or 1)
    return (time.process_time() - before) / count * 1e6, {kind: size / count for kind, size in built.files.items()}


def measure_counts(folders: Sequence[Path], runs: int) -> tuple[dict[str, float], float]:
    """Return the seconds of a count in one shard, by question, and those of reading the longest question.

    All shards are visited in turn, as in a large index: their bitmaps do not stay in the cache of the processor.
    """
    indexes = [DeviceIndex.open(folder, cache_bytes=0, threads=1) for folder in folders]
    calls = [partial(_count_all, indexes, parse(question.text)) for question in QUERIES.values()]
    seconds = [each / len(folders) for each in fastest_times(calls, runs)]
    texts = [partial(parse, question.text) for question in QUERIES.values()]
    return dict(zip(QUERIES, seconds, strict=True)), max(fastest_times(texts, runs))


def _count_all(indexes: Sequence[DeviceIndex], expr: Expr) -> list[int]:
    return [index.count(expr) for index in indexes]


def copy_index(source: Path, copy: Path) -> None:
    """Copy an index. Files that no count reads are linked."""
    shutil.copytree(source, copy, copy_function=_copy_bitmaps)


def _copy_bitmaps(source: str, copy: str) -> str:
    if ".ids." in source or ".lookup." in source:
        os.link(source, copy)
        return copy
    return shutil.copy2(source, copy)


def _read_in_rounds(folders: Sequence[Path], rounds: int, barrier: Barrier, results: Any, number: int) -> None:
    """Count in all *folders*, *rounds* times, and report the seconds on the clock and of the processor."""
    expr = parse(QUERIES[ASKED].text)
    indexes = [DeviceIndex.open(folder, cache_bytes=0, threads=1) for folder in folders]
    counted = _count_all(indexes, expr)
    barrier.wait()
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        assert _count_all(indexes, expr) == counted
    results.put((number, sum(counted), time.perf_counter() - clock, time.process_time() - processor))


def simulate(folders: Sequence[Path], readers: int, rounds: int) -> tuple[int, float, float]:
    """Let *readers* processes count in their parts of *folders*.

    Return the devices counted, and the seconds of a round: of the slowest reader on the clock, and of the busiest one's
    processor.
    """
    context = get_context("spawn")
    barrier, results = context.Barrier(readers), context.Queue()
    parts = [folders[number::readers] for number in range(readers)]
    processes = [
        context.Process(target=_read_in_rounds, args=(part, rounds, barrier, results, number))
        for number, part in enumerate(parts)
    ]
    for process in processes:
        process.start()
    answers = [results.get() for _ in processes]
    for process in processes:
        process.join()
    total = sum(count for _, count, _, _ in answers)
    return total, max(answer[2] for answer in answers) / rounds, max(answer[3] for answer in answers) / rounds


def predict_round(seconds: float, copies: int, readers: int, cores: int) -> tuple[float, float]:
    """Return the seconds of a round on the clock and of the busiest reader's processor, if a count takes *seconds*.

    >>> predict_round(0.5, copies=6, readers=2, cores=2), predict_round(0.5, copies=6, readers=6, cores=2)
    ((1.5, 1.5), (1.5, 0.5))
    """
    own = math.ceil(copies / readers) * seconds
    return max(own, copies * seconds / min(cores, readers)), own


def measure(options: Any) -> dict[str, Any]:
    """Measure a shard, and the simulated fleets."""
    count = int(options.devices)
    with open_folder(options.folder) as folder:
        if not (folder / devices.TABLE_FOLDER).exists():
            devices.generate_table(folder, count)
        build_seconds, nbytes = run_in_process(measure_build, folder, count, threads=os.cpu_count() or 1)
        index_folder = folder / devices.INDEX_FOLDER
        copies = [folder / f"copy-{number}.index" for number in range(options.copies)]
        for copy in copies:
            copy_index(index_folder, copy)
        counts, request = run_in_process(measure_counts, copies, options.runs, threads=1)
        costs = ShardCosts(nbytes, build_seconds, counts, request)
        fleets = []
        for readers in options.readers:
            total, clock, processor = simulate(copies, readers, options.runs * 20)
            expected = predict_round(counts[ASKED], len(copies), readers, os.cpu_count() or 1)
            fleets.append({"readers": readers, "counted": total, "clock": clock, "processor": processor,
                           "predicted_clock": expected[0], "predicted_processor": expected[1]})  # fmt: skip
        for copy in copies:
            shutil.rmtree(copy)
    measured = {"devices": count, "copies": options.copies, "costs": asdict(costs), "fleets": fleets}
    return describe_environment() | measured


def to_full_shard(costs: ShardCosts, count: int) -> ShardCosts:
    """Return the costs of a full shard from those of one with *count* devices, in proportion."""
    factor = MAX_SHARD_DEVICES / count
    return replace(costs, count_seconds={name: seconds * factor for name, seconds in costs.count_seconds.items()})


def format_sizing(measured: dict[str, Any]) -> str:
    """*measured* and the predictions as Markdown."""
    costs = ShardCosts(**measured["costs"])
    kinds = ", ".join(f"{kind} {size:.1f}" for kind, size in sorted(costs.bytes_per_device.items()))
    times = ", ".join(f"{name} {seconds * 1e3:.3f}" for name, seconds in costs.count_seconds.items())
    head = (
        f"One shard of {measured['devices']:,} devices: {sum(costs.bytes_per_device.values()):.1f} bytes a device"
        f" ({kinds}); {costs.build_seconds:.2f} CPU seconds to build a million; a count in ms: {times};"
        f" reading the expression {costs.request_seconds * 1e3:.2f} ms."
    )
    full = to_full_shard(costs, measured["devices"])
    return "\n\n".join([head, _format_simulation(measured), format_predictions(full)])


def _format_simulation(measured: dict[str, Any]) -> str:
    rows = [
        (
            str(each["readers"]),
            *(f"{each[name] * 1e3:.2f}" for name in ("predicted_processor", "processor")),
            f"{each['processor'] / each['predicted_processor'] - 1:+.0%}",
            *(f"{each[name] * 1e3:.2f}" for name in ("predicted_clock", "clock")),
            f"{each['clock'] / each['predicted_clock'] - 1:+.0%}",
        )
        for each in measured["fleets"]
    ]
    titles = ("readers", "CPU ms predicted", "measured", "", "clock ms predicted", "measured", "")
    return f"{measured['copies']} shards, a round of one count in each:\n\n{format_table(titles, rows)}"


def format_predictions(costs: ShardCosts) -> str:
    rows = []
    for billions in (1, 5, 10):
        for fleet in (Fleet(1, 16, True), Fleet(4, 16, True), Fleet(4, 16, False), Fleet(16, 16, False)):
            made = predict(costs, billions * 10**9, fleet)
            kind = "replicas" if fleet.replicas else "parts"
            rows.append(
                (
                    f"{billions}", f"{fleet.machines} × {fleet.cores}", kind if fleet.machines > 1 else "one",
                    f"{made.indexes}", f"{made.shards_per_machine:,}", format_bytes(int(made.bytes_per_machine)),
                    format_bytes(int(made.bitmap_bytes)),
                    f"{made.build_seconds / 60:.0f}", f"{made.count_seconds * 1e3:.1f}",
                    f"{made.counts_per_second:,.0f}",
                    f"{made.first_requests:,.0f}", format_bytes(int(made.first_bytes)), f"{made.month:,.0f}",
                )
            )  # fmt: skip
    titles = ("10⁹ devices", "machines × cores", "", "indexes", "shards each", "disk each", "bitmaps each",
              "build min", "count ms", "counts/s", "first count: requests", "read", "$ a month")  # fmt: skip
    return format_table(titles, rows)


def main() -> None:
    """Measure, print, and save."""
    parser = make_parser(__doc__, "runs", "folder", "json")
    parser.add_argument("--devices", type=float, default=MAX_SHARD_DEVICES)
    parser.add_argument("--copies", type=int, default=24)
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    measured = measure(options)
    print(format_sizing(measured))
    save_json(measured, options.json)


if __name__ == "__main__":
    main()
