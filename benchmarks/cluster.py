"""Build, resolve and emit on two processes under TLS, and compare the files with those of one process.

Each way has a process of its own, whose memory is that of the head. Every file of the index and of the requests is
compared, byte for byte, but for dates and paths in the manifests; every count is compared. The fastest of several
counts says what a call of the cluster costs beside one process. The workers are on this machine, so that two of them
on two cores say nothing of the speed of several machines. With --folder, what was finished is kept there: the same
command goes on from it.

    python -m benchmarks.cluster [--devices N] [--workers N] [--runs N] [--folder DIR] [--json FILE]
"""

import filecmp
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import audience
from audience import DeviceIndex
from audience.cluster.cluster import Cluster
from audience.requests.writer import MANIFEST_FILE, write_requests
from benchmarks import devices
from benchmarks.queries import QUERIES
from benchmarks.report import (
    describe_commit,
    describe_environment,
    format_bytes,
    format_ms,
    format_seconds,
    format_table,
    make_parser,
    open_folder,
    save_json,
)
from benchmarks.timing import fastest_times, run_in_process

AUDIENCE = "province:guangdong OR age < 30"
VENDOR = "engagelab"
DATED = ("index", "as_of", "created")  # of a manifest of requests


@dataclass(frozen=True, slots=True)
class WorkMeasurement:
    """What a process, or a cluster and its head, took.

    Attributes:
        build: Seconds of the build.
        emit: Seconds of the emission, ids alone.
        ids: Number of ids.
        counts: Number of devices of each question.
        count_seconds: Seconds of each count.
        peak_bytes: Memory of the process that asked, at its highest.
        load: Processes that were ready to run, a mean of the last five minutes.
    """

    build: float
    emit: float
    ids: int
    counts: dict[str, int]
    count_seconds: dict[str, float]
    peak_bytes: int
    load: float


def measure_once(folder: Path, name: str, workers: int, runs: int) -> WorkMeasurement:
    """Measure in a process of its own, unless *folder* has what this commit has measured."""
    file, job = folder / f"{name}.measured.json", {"commit": describe_commit(), "workers": workers, "runs": runs}
    if file.exists() and (kept := json.loads(file.read_text()))["job"] == job:
        return WorkMeasurement(**kept["measured"])
    measured = run_in_process(measure, folder, name, workers, runs, threads=2)
    save_json({"job": job, "measured": asdict(measured)}, file)
    return measured


def measure(folder: Path, name: str, workers: int, runs: int) -> WorkMeasurement:
    """Build the index *name*, count, and emit, with so many *workers*; 0 is this process alone."""
    with _open_cluster(workers) as cluster:
        start = time.perf_counter()
        index = DeviceIndex.build(folder / devices.TABLE_FOLDER, folder / name, replace=True, cluster=cluster)
        build = time.perf_counter() - start
        plan = audience.plan(AUDIENCE, VENDOR, index, as_of="2026-11-28T09:00").sent_by_ids(
            audience.Problem("by-ids", "measured")
        )
        start = time.perf_counter()
        emitted = write_requests(plan, index, folder / f"{name}.requests", replace=True, cluster=cluster)
        emit = time.perf_counter() - start
        calls = [partial(index.count, each.text, cluster=cluster) for each in QUERIES.values()]
        seconds = dict(zip(QUERIES, fastest_times(calls, runs), strict=True))
        counts = {question: call() for question, call in zip(QUERIES, calls, strict=True)}
    return WorkMeasurement(build, emit, emitted.id_count, counts, seconds, devices.peak_bytes(), os.getloadavg()[1])


@contextmanager
def _open_cluster(workers: int) -> Iterator[Cluster | None]:
    if not workers:
        yield None
        return
    with audience.local_cluster(workers) as cluster:
        yield cluster


def compare_files(folder: Path, alone: str, shared: str) -> int:
    """Return the number of bytes of files that two indexes and their requests have alike; others are an error."""
    nbytes = 0
    for place in ("{}/shards", "{}.requests"):
        paths = [folder / place.format(name) for name in (alone, shared)]
        names = [{path.name for path in each.iterdir()} - {MANIFEST_FILE, "audit.jsonl"} for each in paths]
        assert names[0] == names[1], names[0] ^ names[1]
        for name in sorted(names[0]):
            assert filecmp.cmp(paths[0] / name, paths[1] / name, shallow=False), f"{paths[1] / name} differs"
            nbytes += (paths[0] / name).stat().st_size
    manifests = [json.loads((folder / f"{name}.requests" / MANIFEST_FILE).read_text()) for name in (alone, shared)]
    assert _without_dates(manifests[0]) == _without_dates(manifests[1])
    kept = [DeviceIndex.open(folder / name).snapshot.manifest for name in (alone, shared)]
    facts = [(each.device_count, each.columns, each.shards, each.next_number) for each in kept]
    assert facts[0] == facts[1]
    return nbytes


def _without_dates(manifest: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name not in DATED}


def format_work(measured: dict[str, Any]) -> str:
    """*measured* as Markdown."""
    both = [measured["alone"], measured["shared"]]
    rows = [
        ("build, s", *(format_seconds(each["build"]) for each in both)),
        (f"emit of {both[0]['ids']:,} ids, s", *(format_seconds(each["emit"]) for each in both)),
        ("processes ready to run", *(f"{each['load']:.1f}" for each in both)),
        ("memory of the process that asks", *(format_bytes(each["peak_bytes"]) for each in both)),
        *(
            (f"count of {name}, ms", *(format_ms(each["count_seconds"][name]) for each in both))
            for name in both[0]["count_seconds"]
        ),
    ]
    table = format_table(("", "one process", f"{measured['workers']} workers"), rows)
    compared = f"{format_bytes(measured['same_bytes'])} of files are the same, and all counts."
    return f"{measured['devices']:,} devices, {measured['date']}, commit {measured['commit']}\n\n{table}\n\n{compared}"


def main() -> None:
    parser = make_parser(__doc__ or "", "devices", "runs", "folder", "json")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with open_folder(arguments.folder) as folder:
        start = time.perf_counter()
        devices.generate_table(folder, int(arguments.devices))
        print(f"The table took {time.perf_counter() - start:.0f} s.", flush=True)
        work = {
            name: measure_once(folder, name, workers, arguments.runs)
            for name, workers in (("alone", 0), ("shared", arguments.workers))
        }
        assert work["alone"].counts == work["shared"].counts
        measured = {
            **describe_environment(),
            "devices": len(DeviceIndex.open(folder / "alone")),
            "workers": arguments.workers,
            "same_bytes": compare_files(folder, "alone", "shared"),
            **{name: asdict(each) for name, each in work.items()},
        }
    save_json(measured, arguments.json)
    print(format_work(measured))


if __name__ == "__main__":
    main()
