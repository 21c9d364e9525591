"""Jobs that a cluster does, each in a process that can be killed: JOB FOLDER CALLS, or JOB FOLDER ADDRESS CERTIFICATES.

After CALLS calls of this process it kills itself, as a machine does that loses its power. At the ADDRESS is a scheduler
of Dask, whose certificates are in a folder; the process then prints a line for each finished call.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

import audience
from audience import DeviceIndex
from audience.index.changes.events import adding
from audience.index.ingest import build
from audience.index.ingest.events import spool
from audience.index.query import shared_export
from audience.index.query.exported_columns import choose_columns
from audience.index.query.exported_files import ExportForm
from audience.index.storage import joined_shard
from audience.language.as_of import read_as_of
from audience.language.parser import parse
from audience.progress import ignore_progress
from audience.requests import writer

DEVICES = 6_000
say = partial(print, flush=True)
SMALL_SIZES: tuple[tuple[Any, str, int], ...] = (
    (build, "MAX_SHARD_DEVICES", 700),
    (joined_shard, "MAX_JOINED_ROWS", 1),
    (adding, "MAX_CHUNK_EVENTS", 37),
    (spool, "MAX_RUN_EVENTS", 90),
    (spool, "MAX_FILE_EVENTS", 60),
    (writer, "MAX_LINES_PER_FILE", 1),
)


def make_index(folder: Path) -> None:
    """Build the index of all jobs, and the table of events beside it."""
    numbers = range(DEVICES)
    devices = {"token": [f"t{number}" for number in numbers], "age": [number % 50 for number in numbers]}
    platform = [("ios", "android", None)[number % 3] for number in numbers]
    reg_id = [f"r{number}" if number % 7 else None for number in numbers]
    table = pl.DataFrame(devices | {"platform": platform, "xiaomi_token": reg_id})
    DeviceIndex.build(table, folder / "index", timezone="UTC")
    events = range(500)
    pl.DataFrame(
        {
            "token": [f"t{number * 13 % (DEVICES + 500)}" for number in events],
            "event": [("buy", "open")[number % 2] for number in events],
            "time": [datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=number * 7 % 500) for number in events],
            "price": [number % 9 / 4 for number in events],
        }
    ).write_parquet(folder / "events.parquet", row_group_size=50)


def add_events(folder: Path, cluster: Any) -> object:
    return DeviceIndex.open(folder / "index").add_events(folder / "events.parquet", unknown="keep", cluster=cluster)


def export(folder: Path, cluster: Any) -> object:
    index = DeviceIndex.open(folder / "index")
    form = ExportForm(tuple(choose_columns(None, index.snapshot)), "parquet", ";")
    return shared_export.export_on_cluster(
        parse("age < 40"),
        index.snapshot,
        read_as_of(None, "UTC"),
        folder / "out.parquet",
        form,
        cluster,
        replace=False,
        progress=ignore_progress,
    )


def emit(folder: Path, cluster: Any) -> object:
    index = DeviceIndex.open(folder / "index")
    plan = audience.plan("age < 40", "xiaomi", index).sent_by_ids(audience.Problem("by-ids", "asked"))
    return writer.write_requests(plan, index, folder / "requests", cluster=cluster)


JOBS: dict[str, Callable[[Path, Any], object]] = {"events": add_events, "export": export, "emit": emit}


class LimitedCluster:
    """Cluster of this process that makes so many calls, and then does something else."""

    is_of_this_machine = True

    def __init__(self, limit: int, at_limit: Callable[[], None]):
        self.calls, self._limit, self._at_limit = 0, limit, at_limit

    def map(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
        for argument in arguments:
            if self.calls == self._limit:
                self._at_limit()
            self.calls += 1
            yield function(argument)


class SayingCluster:
    """Cluster that prints a line for each finished call."""

    is_of_this_machine = False

    def __init__(self, cluster: Any):
        self._cluster = cluster

    def map(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
        for result in self._cluster.map(function, arguments):
            say("finished")
            yield result


def die() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def shrink_sizes() -> None:
    """Make this process divide small tables as large ones."""
    for module, name, size in SMALL_SIZES:
        setattr(module, name, size)


def dask_setup(_: object) -> None:
    """Make a worker of Dask, which loads this file, do the same."""
    shrink_sizes()


def run_on_dask(job: str, place: Path, address: str, certificates: Path) -> None:
    """Do *job* on the cluster of a scheduler, and print how it ended."""
    files = audience.Certificates(**{name: certificates / f"{name}.pem" for name in ("ca", "cert", "key")})
    try:
        with audience.connect_cluster(address, certificates=files) as cluster:
            JOBS[job](place, SayingCluster(cluster))
    except audience.AudienceError as error:
        say("failed", error.code)
        sys.exit(1)
    say("done")


if __name__ == "__main__":
    job, place, *others = sys.argv[1:]
    shrink_sizes()
    match others:
        case [limit]:
            JOBS[job](Path(place), LimitedCluster(int(limit), die))
        case [address, certificates]:
            run_on_dask(job, Path(place), address, Path(certificates))
