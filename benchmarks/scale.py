"""Measure the growth of time, memory and file sizes from one million devices to a hundred million.

Each size has the counts and peers of `benchmarks.evaluate`, and the time to open the index and to count without page
cache. All answers are compared. List columns are left out, because peers need seconds to count them at a hundred
million devices. From 20 million devices on, the peers hold no ids.

    python -m benchmarks.scale [--devices N …] [--peers NAME …] [--folder DIR] [--json FILE] [--figure SVG]
"""

import gc
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from audience import DeviceIndex, parse
from benchmarks import devices, evaluate
from benchmarks.peers import PARSED_LINE, QueryForm
from benchmarks.queries import QUERIES
from benchmarks.report import (
    describe_environment,
    format_bytes,
    format_ms,
    format_table,
    make_parser,
    open_folder,
    save_json,
)

DEVICE_COUNTS = (1e6, 3e6, 1e7, 3e7, 1e8)
SHOWN_QUERIES = ("flagship", "typed attributes", "range", "tags")
DRAWN_LINES = (
    PARSED_LINE,
    "pyroaring by hand",
    "numpy, packed words",
    "Polars, scalar columns",
    "DuckDB, scalar columns",
    "chdb, groupBitmap states",
)


@dataclass(frozen=True, slots=True)
class ColdMeasurement:
    """Seconds to open the index and for the first count without page cache, and the memory after all counts."""

    open: float
    first_count: dict[str, float]
    peak_bytes: int


def measure_cold(folder: Path) -> ColdMeasurement:
    """Open and count, each time after the page cache was dropped."""
    index_folder, counts, opens = folder / devices.INDEX_FOLDER, {}, []
    DeviceIndex.open(index_folder).count(QUERIES["flagship"].text)  # what the process itself loads first
    for name, question in QUERIES.items():
        expr = parse(question.text)
        evict_files(index_folder)
        start = time.perf_counter()
        index = DeviceIndex.open(index_folder)
        opens.append(time.perf_counter() - start)
        index.count(expr)
        counts[name] = time.perf_counter() - start
    return ColdMeasurement(min(opens), counts, devices.peak_bytes())


def evict_files(folder: Path) -> None:
    """Drop the files of *folder* from the page cache, which keeps those that are mapped."""
    gc.collect()
    for file in folder.rglob("*"):
        if file.is_file():
            handle = os.open(file, os.O_RDONLY)
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def is_column_count(form: QueryForm) -> bool:
    return form.measure == "count" and "list column" not in form.line


def run_benchmark(folder: Path, counts: list[int], peers: list[str], runs: int, threads: int) -> dict[str, Any]:
    """Measure everything. Return the results, ready for JSON."""
    sizes = []
    for count in counts:
        size_folder = folder / f"{count}"
        size_folder.mkdir(parents=True, exist_ok=True)
        measured = evaluate.run_benchmark(size_folder, count, runs, threads, peers, is_column_count)
        measured["cold"] = asdict(evaluate.run_in_process(measure_cold, size_folder, threads=threads))
        (size_folder / "measured.json").write_text(json.dumps(measured))
        sizes.append(measured)
    return {**describe_environment(), "sizes": sorted(sizes, key=lambda size: size["built"]["devices"])}


def format_report(measured: dict[str, Any]) -> str:
    """Return the results as Markdown: the cost of the index, then each query by size beside the peers."""
    head = ("devices", "build s", "million a second", "memory at the highest", "on disk", "open ms", "open cold ms",
            "first count cold ms", "memory of a reader")  # fmt: skip
    parts = [format_table(head, [_cost_cells(size) for size in measured["sizes"]])]
    for name in SHOWN_QUERIES:
        lines = list(
            dict.fromkeys(answer["line"] for size in measured["sizes"] for answer in _count_answers(size, name))
        )
        rows = [(f"{size['built']['devices']:,}", *_count_cells(size, name, lines)) for size in measured["sizes"]]
        parts.append(f"`{QUERIES[name].text}`, count in ms\n\n{format_table(('devices', *lines), rows)}")
    return "\n\n".join(parts)


def _cost_cells(measured: dict[str, Any]) -> tuple[str, ...]:
    built, first = measured["built"], measured["cold"]
    return (
        f"{built['devices']:,}",
        f"{built['seconds']:.1f}",
        f"{built['devices'] / built['seconds'] / 1e6:.2f}",
        format_bytes(built["peak_bytes"]),
        format_bytes(sum(built["files"].values())),
        format_ms(measured["opening"]["open"]),
        format_ms(first["open"]),
        format_ms(first["first_count"]["flagship"]),
        format_bytes(first["peak_bytes"]),
    )


def _count_answers(measured: dict[str, Any], question: str) -> list[dict[str, Any]]:
    answers = [answer for visit in measured["visits"] for answer in visit["answers"]]
    return [answer for answer in answers if answer["question"] == question and answer["measure"] == "count"]


def _count_cells(measured: dict[str, Any], question: str, lines: list[str]) -> list[str]:
    seconds_by_line = {answer["line"]: answer["seconds"] for answer in _count_answers(measured, question)}
    return [
        f"{format_ms(seconds_by_line[line])} ({seconds_by_line[line] / seconds_by_line[PARSED_LINE]:,.1f} ×)"
        if line in seconds_by_line
        else ""
        for line in lines
    ]


def draw_figure(measured: dict[str, Any], file: Path) -> None:
    """Draw the growth of counts and builds as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {
        "svg.hashsalt": "audience",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    counts = [size["built"]["devices"] for size in measured["sizes"]]
    for line in DRAWN_LINES:
        series = [
            {a["line"]: a["seconds"] * 1e3 for a in _count_answers(size, "typed attributes")}
            for size in measured["sizes"]
        ]
        points = [(count, times[line]) for count, times in zip(counts, series, strict=True) if line in times]
        wide = 2.5 if line == PARSED_LINE else 1.2
        left.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=wide, label=line)
    left.set(xscale="log", yscale="log", xlabel="devices", title="counting four typed attributes, ms, one thread")
    left.legend(frameon=False, fontsize=7.5)
    for label, values in _growth_series(measured).items():
        right.plot(counts, values, marker="o", markersize=3, label=label)
    right.set(xscale="log", yscale="log", xlabel="devices", title="the index")
    right.legend(frameon=False, fontsize=7.5)
    figure.savefig(file, metadata={"Date": None})


def _growth_series(measured: dict[str, Any]) -> dict[str, list[float]]:
    built = [size["built"] for size in measured["sizes"]]
    return {
        "build, s": [size["seconds"] for size in built],
        "memory to build, GB": [size["peak_bytes"] / 1e9 for size in built],
        "on disk, GB": [sum(size["files"].values()) / 1e9 for size in built],
        "of that bitmaps, GB": [size["files"]["tags"] / 1e9 for size in built],
    }


def main() -> None:
    parser = make_parser(__doc__, "runs", "threads", "folder", "json")
    parser.add_argument("--devices", type=float, nargs="+", default=DEVICE_COUNTS)
    parser.add_argument("--peers", nargs="+", default=list(evaluate.PEERS), choices=list(evaluate.PEERS))
    parser.add_argument("--from-json", type=Path, help="print and draw what this file holds, measure nothing")
    parser.add_argument("--figure", type=Path, help="draw how it grows to this SVG file")
    options = parser.parse_args()
    if options.from_json:
        measured = json.loads(options.from_json.read_text())
    else:
        with open_folder(options.folder) as folder:
            measured = run_benchmark(
                folder, list(map(int, options.devices)), options.peers, options.runs, options.threads
            )
    if options.figure:
        draw_figure(measured, options.figure)
    save_json(measured, options.json)
    print(format_report(measured))


if __name__ == "__main__":
    main()
