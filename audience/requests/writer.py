"""A plan → a folder of request targeting bodies, which appears complete or not at all.

requests-00001.ndjson   one targeting object a line, at most LINES of them
skipped.ndjson         devices that the vendor's lists cannot carry, with the reason, where there are any
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

from audience._fs.atomic import atomic_folder, fsync_path
from audience._fs.checksums import new_hasher
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.language.printer import render
from audience.planning.planner import Plan
from audience.progress import Progress, ignore_progress
from audience.requests.batching import Batches, batch_ids
from audience.requests.json_bodies import BodyBlock, make_body_block

MAX_LINES_PER_FILE = 1_000
MANIFEST_FILE, SKIPPED_FILE = "manifest.json", "skipped.ndjson"
OWNED_FILES = frozenset({MANIFEST_FILE, SKIPPED_FILE, "requests-*.ndjson"})


@dataclass(frozen=True, slots=True)
class EmitResult:
    """What was written: *devices* are meant, *told* of them by their ids, *left_out* not at all.

    A native request is told nothing by id: the vendor finds its devices itself.
    """

    vendor: str
    expression: str
    devices: int
    native: int
    batches: int
    id_count: int
    skipped_count: int
    reasons: tuple[Problem, ...]
    assumptions: tuple[Problem, ...]
    files: tuple[dict[str, Any], ...]


def write_requests(
    plan: Plan,
    index: DeviceIndex,
    folder: Path,
    *,
    replace: bool = False,
    progress: Progress = ignore_progress,
) -> EmitResult:
    """Write the requests of *plan* into the new *folder*, ids looked up in *index*.

    Raises OutputError where *folder* exists or cannot be written to; then nothing is left there.
    """
    devices = index.count(plan.expr)
    if devices == 0:  # an empty result sends nothing, also where the vendor would be asked by tags
        plan = replace_fields(plan, native=(), by_ids=None)
    found = batch_ids(index.resolve(plan.by_ids), plan.vendor) if plan.by_ids is not None else None
    with atomic_folder(folder, owned_patterns=OWNED_FILES, replace=replace) as draft:
        return write_plan(plan, found, devices, draft, progress)


def write_plan(plan: Plan, batches: Batches | None, device_count: int, folder: Path, progress: Progress) -> EmitResult:
    """Write the native requests of *plan*, and the batches *found* for the rest, into the folder *draft*."""
    files = _write_request_files(folder, plan, batches, progress)
    if batches is not None and batches.skipped_devices:
        files.append(write_skipped(folder / SKIPPED_FILE, batches.iter_skipped()))
    written = EmitResult(
        vendor=plan.vendor,
        expression=render(plan.expr),
        devices=device_count,
        native=len(plan.native),
        batches=0 if batches is None else len(batches),
        id_count=0 if batches is None else len(batches.deliverable),
        skipped_count=0 if batches is None else len(batches.skipped_devices),
        reasons=(*plan.reasons, *(() if batches is None else batches.skipped_problems())),
        assumptions=plan.assumptions,
        files=tuple(files),
    )
    (folder / MANIFEST_FILE).write_bytes(orjson.dumps(build_manifest(written), option=orjson.OPT_INDENT_2))
    return written


def write_skipped(path: Path, frames: Iterable[pl.DataFrame]) -> dict[str, Any]:
    """Write the devices that are left out; what a manifest says of the file."""
    return _write_checksummed(path, ((frame.write_ndjson().encode(), len(frame)) for frame in frames))


def build_manifest(result: EmitResult) -> dict[str, Any]:
    """*written* as it stands in the manifest."""
    return {
        **asdict(result),
        "reasons": _problems_to_json(result.reasons),
        "assumptions": _problems_to_json(result.assumptions),
    }


def _problems_to_json(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"code": problem.code, "message": problem.message} for problem in problems]


def _write_request_files(folder: Path, plan: Plan, batches: Batches | None, progress: Progress) -> list[dict[str, Any]]:
    """Write all requests; the disk takes in each file while the next is made."""
    lines = _split_by_file(
        chain([make_body_block(list(map(orjson.dumps, plan.native)), 0)], _iter_id_blocks(batches, progress))
    )
    files: list[dict[str, Any]] = []
    with ThreadPoolExecutor(1) as beside:
        synced: list[Future[None]] = []
        for number, pieces in groupby(lines, key=itemgetter(0)):
            file = folder / f"requests-{number:05}.ndjson"
            files.append(_write_checksummed(file, ((data, count) for _, data, count in pieces)))
            synced.append(beside.submit(fsync_path, file))
        for each in synced:
            each.result()
    return files


def _iter_id_blocks(batches: Batches | None, progress: Progress) -> Iterator[BodyBlock]:
    """The bodies of ids, telling how many ids have been written, of how many."""
    if batches is None:
        return
    done, total = 0, len(batches.deliverable)
    for some in batches.json_blocks():
        yield some
        done += some.id_count
        progress("writing ids", done, total)


def _split_by_file(blocks: Iterable[BodyBlock]) -> Iterator[tuple[int, memoryview, int]]:
    """The lines of *blocks*, as many at once as go to one file, with its number and how many they are."""
    before = 0
    for some in blocks:
        first, start, data = 0, 0, memoryview(some.data)
        while first < len(some.ends):
            last = min(first + MAX_LINES_PER_FILE - before % MAX_LINES_PER_FILE, len(some.ends))
            stop = some.ends[last - 1]
            yield before // MAX_LINES_PER_FILE + 1, data[start:stop], last - first
            before, first, start = before + last - first, last, stop


def _write_checksummed(path: Path, pieces: Iterable[tuple[bytes | memoryview, int]]) -> dict[str, Any]:
    """Write *pieces*, each of so many lines; what the manifest says of the file."""
    summed, lines, size = new_hasher(), 0, 0
    with path.open("wb") as stream:
        for data, count in pieces:
            summed.update(data)
            stream.write(data)
            lines, size = lines + count, size + len(data)
    return {"name": path.name, "lines": lines, "bytes": size, "xxh128": summed.hexdigest()}
