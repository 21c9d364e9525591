"""Request files that the processes of a cluster write; they are the bytes that one process would write.

The head knows how many ids of each shard are listed, so each process gets the range of ids that the bodies of a file
list. The expression goes out, and checksums come back.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from secrets import token_hex
from typing import Any

from audience._fs.atomic import TEMP_SUFFIX, fsync_path
from audience._fs.checksums import new_hasher
from audience._fs.private_files import create_file
from audience.cluster.cluster import Cluster
from audience.errors import ClusterError, Problem
from audience.index.ingest.shared.kept_calls import KeptCalls, ResultForm
from audience.index.query.deliverable_ids import select_deliverable_rows
from audience.index.query.shared_shards import SnapshotPlace, find_rows_of_shard
from audience.index.query.vendor_id_columns import find_id_column
from audience.index.storage.bitmaps import RowNumbers, bitmap_to_rows
from audience.index.storage.shard import Shard
from audience.language.ast import Expr
from audience.progress import Progress
from audience.requests.json_bodies import iter_body_blocks
from audience.vendors import get_vendor

KEPT_SHARDS = 8  # whose rows a process keeps for the next file


@dataclass(frozen=True, slots=True)
class ListedIds:
    """Ids of one audience that are listed at one vendor.

    Attributes:
        place: The snapshot.
        expr: Audience, validated and expanded.
        vendor: Name of the vendor.
    """

    place: SnapshotPlace
    expr: Expr
    vendor: str


@dataclass(frozen=True, slots=True)
class ShardPart:
    """Some of the listed ids of a shard, in the order of its rows.

    Attributes:
        position: Position of the shard in the snapshot.
        listed: Number of ids of the shard that are listed.
        start: First id of the part.
        stop: End of the part.
    """

    position: int
    listed: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class FileTask:
    """File of requests.

    Attributes:
        ids: Ids of the audience.
        parts: Those of them that are listed in the file.
        path: The file.
        first_lines: Bodies that stand before those of ids, each with its line feed.
    """

    ids: ListedIds
    parts: tuple[ShardPart, ...]
    path: Path
    first_lines: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class WrittenRequests:
    """File of requests that a process has written, and its entry of the manifest."""

    path: Path
    entry: dict[str, Any]


def write_files_on_cluster(
    ids: ListedIds,
    listed: Sequence[int],
    first_lines: Sequence[bytes],
    name_file: Callable[[int], str],
    max_lines: int,
    kept: KeptCalls,
    cluster: Cluster,
    progress: Progress,
) -> list[WrittenRequests]:
    """Write files of requests, and return them.

    Args:
        ids: Ids of the audience.
        listed: Number of ids of each shard that are listed.
        first_lines: Bodies before those of ids, fewer than *max_lines*.
        name_file: Returns the name of a file by its number, from 1.
        max_lines: Bodies of a file.
        kept: Finished calls of the emission, in a folder that all machines share.
        cluster: Processes that write.
        progress: Progress callback.

    Raises:
        ClusterError: The cluster is lost, or its processes do not see the same index.
    """
    if not any(listed) and not first_lines:
        return []
    max_ids = get_vendor(ids.vendor, can="emit").max_ids
    ranges = list(_divide_ids(sum(listed), max_ids, max_lines, len(first_lines)))
    tasks = {
        f"file-{number:06}": FileTask(
            ids,
            find_parts(listed, *each),
            kept.folder / name_file(number),
            tuple(first_lines) if number == 1 else (),
        )
        for number, each in enumerate(ranges, 1)
    }
    files: list[WrittenRequests] = []
    for file, (_, stop) in zip(kept.map(write_file, tasks, REQUESTS_FORM, cluster), ranges, strict=True):
        files.append(file)
        progress("writing ids", stop, sum(listed))
    return files


def _divide_ids(id_count: int, max_ids: int, max_lines: int, first_lines: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the end of the ids of each file.

    >>> list(_divide_ids(10, 2, 3, 1)), list(_divide_ids(0, 2, 3, 1))
    ([(0, 4), (4, 10)], [(0, 0)])
    """
    start, stop = 0, min(id_count, max_ids * (max_lines - first_lines))
    yield start, stop
    while stop < id_count:
        start, stop = stop, min(id_count, stop + max_ids * max_lines)
        yield start, stop


def find_parts(listed: Sequence[int], start: int, stop: int) -> tuple[ShardPart, ...]:
    """Return the parts of shards that have the ids from *start* to *stop* of all listed ids.

    >>> [(part.position, part.start, part.stop) for part in find_parts([5, 0, 5], 3, 7)]
    [(0, 3, 5), (2, 0, 2)]
    """
    parts, before = [], 0
    for position, count in enumerate(listed):
        first, end = max(start - before, 0), min(stop - before, count)
        if first < end:
            parts.append(ShardPart(position, count, first, end))
        before += count
    return tuple(parts)


def write_file(task: FileTask) -> WrittenRequests:
    """Write one file of requests.

    Raises:
        ClusterError: A shard has another number of listed ids than the head has counted.
    """
    vendor = get_vendor(task.ids.vendor, can="emit")
    column = find_id_column(task.ids.place.open().id_columns, vendor.name)
    draft = task.path.with_name(f".{task.path.name}.{token_hex(4)}{TEMP_SUFFIX}")
    hasher, line_count, size = new_hasher(), 0, 0
    with create_file(draft) as stream:
        for line in task.first_lines:
            hasher.update(line)
            size += stream.write(line)
            line_count += 1
        for block in iter_body_blocks(_iter_parts(task), column, vendor):
            hasher.update(block.data)
            size += stream.write(block.data)
            line_count += len(block.ends)
    fsync_path(draft)
    draft.replace(task.path)
    entry = {"name": task.path.name, "lines": line_count, "bytes": size, "xxh128": hasher.hexdigest()}
    return WrittenRequests(task.path, entry)


def _iter_parts(task: FileTask) -> Iterator[tuple[Shard, RowNumbers]]:
    """Yield the shards of the file, each with the rows whose ids it lists."""
    shards = task.ids.place.open().shards
    for part in task.parts:
        rows = _find_listed_rows(task.ids, part.position)
        if len(rows) != part.listed:
            message = f"{len(rows):,} ids of the shard {shards[part.position].name}, expected {part.listed:,}"
            raise ClusterError(Problem("other-source", message, hint="use a folder that all machines share"))
        yield shards[part.position], rows[part.start : part.stop]


@lru_cache(KEPT_SHARDS)
def _find_listed_rows(ids: ListedIds, position: int) -> RowNumbers:
    snapshot, vendor = ids.place.open(), get_vendor(ids.vendor, can="emit")
    shard = snapshot.shards[position]
    column = find_id_column(snapshot.id_columns, vendor.name)
    rows = select_deliverable_rows(shard, column, find_rows_of_shard(ids.expr, shard, snapshot), vendor)
    return bitmap_to_rows(rows)


def _requests_to_json(file: WrittenRequests) -> Any:
    return file.entry


def _requests_from_json(entry: Any, folder: Path) -> WrittenRequests:
    return WrittenRequests(folder / entry["name"], entry)


def _list_requests(file: WrittenRequests) -> list[Path]:
    return [file.path]


REQUESTS_FORM = ResultForm(_requests_to_json, _requests_from_json, _list_requests)
