"""A plan → a folder of request targeting bodies, which appears complete or not at all.

requests-00001.ndjson   one targeting object a line, at most LINES of them
left_out.ndjson         devices that the vendor's lists cannot carry, with the reason, where there are any
manifest.json           expression, vendor, counts, and the size and the XXH128 checksum of every file
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from dataclasses import replace as replace_fields
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from audience._fs.atomic import new_folder, sync
from audience._fs.checksums import summing
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.language.printer import render
from audience.planning.planner import Plan
from audience.progress import Progress, silent
from audience.requests.batching import Batches, batches
from audience.requests.json_bodies import Block, block

LINES = 1_000
MANIFEST, LEFT_OUT = "manifest.json", "left_out.ndjson"
FILES = frozenset({MANIFEST, LEFT_OUT, "requests-*.ndjson"})


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was written: *devices* are meant, *told* of them by their ids, *left_out* not at all.

    A native request is told nothing by id: the vendor finds its devices itself.
    """

    vendor: str
    expression: str
    devices: int
    native: int
    batches: int
    told: int
    left_out: int
    reasons: tuple[Problem, ...]
    conditions: tuple[Problem, ...]
    files: tuple[dict[str, Any], ...]


def emit(
    plan: Plan,
    index: DeviceIndex,
    folder: Path,
    *,
    replace: bool = False,
    progress: Progress = silent,
) -> Emitted:
    """Write the requests of *plan* into the new *folder*, ids looked up in *index*.

    Raises OutputError where *folder* exists or cannot be written to; then nothing is left there.
    """
    devices = index.count(plan.expr)
    if devices == 0:  # an empty result sends nothing, also where the vendor would be asked by tags
        plan = replace_fields(plan, native=(), by_ids=None)
    found = batches(index.resolve(plan.by_ids), plan.vendor) if plan.by_ids is not None else None
    with new_folder(folder, marks=FILES, replace=replace) as draft:
        return write(plan, found, devices, draft, progress)


def write(plan: Plan, found: Batches | None, devices: int, draft: Path, progress: Progress) -> Emitted:
    """Write the native requests of *plan*, and the batches *found* for the rest, into the folder *draft*."""
    files = _write_requests(draft, plan, found, progress)
    if found is not None and found.left:
        files.append(write_left_out(draft / LEFT_OUT, found.left_out()))
    written = Emitted(
        vendor=plan.vendor,
        expression=render(plan.expr),
        devices=devices,
        native=len(plan.native),
        batches=0 if found is None else len(found),
        told=0 if found is None else len(found.told),
        left_out=0 if found is None else len(found.left),
        reasons=(*plan.reasons, *(() if found is None else found.problems())),
        conditions=plan.conditions,
        files=tuple(files),
    )
    (draft / MANIFEST).write_bytes(orjson.dumps(as_json(written), option=orjson.OPT_INDENT_2))
    return written


def write_left_out(file: Path, frames: Iterable[pl.DataFrame]) -> dict[str, Any]:
    """Write the devices that are left out; what a manifest says of the file."""
    return _write(file, ((frame.write_ndjson().encode(), len(frame)) for frame in frames))


def as_json(written: Emitted) -> dict[str, Any]:
    """*written* as it stands in the manifest."""
    return {**asdict(written), "reasons": _told(written.reasons), "conditions": _told(written.conditions)}


def _told(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"code": problem.code, "message": problem.message} for problem in problems]


def _write_requests(folder: Path, plan: Plan, found: Batches | None, progress: Progress) -> list[dict[str, Any]]:
    """Write all requests; the disk takes in each file while the next is made."""
    lines = _cut(chain([block(list(map(orjson.dumps, plan.native)), 0)], _told_of(found, progress)))
    files: list[dict[str, Any]] = []
    with ThreadPoolExecutor(1) as beside:
        synced: list[Future[None]] = []
        for number, pieces in groupby(lines, key=itemgetter(0)):
            file = folder / f"requests-{number:05}.ndjson"
            files.append(_write(file, ((data, count) for _, data, count in pieces)))
            synced.append(beside.submit(sync, file))
        for each in synced:
            each.result()
    return files


def _told_of(found: Batches | None, progress: Progress) -> Iterator[Block]:
    """The bodies of ids, telling how many ids have been written, of how many."""
    if found is None:
        return
    done, total = 0, len(found.told)
    for some in found.blocks():
        yield some
        done += some.ids
        progress("writing ids", done, total)


def _cut(blocks: Iterable[Block]) -> Iterator[tuple[int, memoryview, int]]:
    """The lines of *blocks*, as many at once as go to one file, with its number and how many they are."""
    before = 0
    for some in blocks:
        first, start, data = 0, 0, memoryview(some.data)
        while first < len(some.ends):
            last = min(first + LINES - before % LINES, len(some.ends))
            stop = some.ends[last - 1]
            yield before // LINES + 1, data[start:stop], last - first
            before, first, start = before + last - first, last, stop


def _write(file: Path, pieces: Iterable[tuple[bytes | memoryview, int]]) -> dict[str, Any]:
    """Write *pieces*, each of so many lines; what the manifest says of the file."""
    summed, lines, size = summing(), 0, 0
    with file.open("wb") as stream:
        for data, count in pieces:
            summed.update(data)
            stream.write(data)
            lines, size = lines + count, size + len(data)
    return {"name": file.name, "lines": lines, "bytes": size, "xxh128": summed.hexdigest()}
