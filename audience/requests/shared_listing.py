"""Devices of an emission that the processes of a cluster find; counts and checksums come back, and no bitmap.

Each process finds the devices of its shards and their ids, describes the devices without one in a file, and returns the
numbers of both. From these the head knows which ids each file of requests has.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path
from secrets import token_hex
from typing import Any

from audience._fs.atomic import TEMP_SUFFIX
from audience._fs.private_files import create_file
from audience.cluster.cluster import Cluster
from audience.errors import Problem
from audience.index.ingest.shared.kept_calls import KeptCalls, ResultForm
from audience.index.query.deliverable_ids import select_deliverable_rows
from audience.index.query.evaluate import find_live_rows
from audience.index.query.shared_shards import GroupTask, group_tasks
from audience.index.query.vendor_id_columns import find_id_column
from audience.index.storage.bitmaps import BitMap, bitmap_to_rows
from audience.index.storage.joined_shard import rows_by_shard
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Expr
from audience.requests.batching import ReasonCounts, add_reasons, describe_reasons, iter_skipped_rows
from audience.requests.platform_counts import (
    PlatformCount,
    ShardPlatforms,
    count_in_shard,
    knows_platforms,
    rank_platforms,
)
from audience.vendors import get_vendor


@dataclass(frozen=True, slots=True)
class EmittedExprs:
    """Expressions of an emission, validated and expanded.

    Attributes:
        by_ids: Devices that are listed by id; None if all are reached by native requests.
        target: All devices, if native requests reach some of them; None if all are listed.
        vendor: Name of the vendor.
    """

    by_ids: Expr | None
    target: Expr | None
    vendor: str


@dataclass(frozen=True, slots=True)
class _Question:
    exprs: EmittedExprs
    folder: Path


@dataclass(frozen=True, slots=True)
class ListedShard:
    """Share of a shard in an emission.

    Attributes:
        listed: Number of its ids that are listed.
        skipped: Number of its devices without a deliverable id.
        reasons: Number of these and first message by reason.
        skipped_file: File that describes them, if there are any.
        platforms: Devices that are reached, by platform.
    """

    listed: int
    skipped: int
    reasons: ReasonCounts
    skipped_file: Path | None
    platforms: ShardPlatforms


@dataclass(frozen=True, slots=True)
class SharedListing:
    """Devices of an emission, those of each shard of the snapshot in order."""

    shards: tuple[ListedShard, ...]
    platforms: tuple[PlatformCount, ...] | None

    @property
    def listed(self) -> list[int]:
        """Return the number of listed ids of each shard."""
        return [shard.listed for shard in self.shards]

    @property
    def skipped_count(self) -> int:
        """Return the number of devices without a deliverable id."""
        return sum(shard.skipped for shard in self.shards)

    def skipped_problems(self) -> list[Problem]:
        """Return a problem for each reason, with the number of devices and the first id."""
        reasons = reduce(add_reasons, (shard.reasons for shard in self.shards), ReasonCounts())
        return describe_reasons(reasons, sum(self.listed) + self.skipped_count)

    def iter_skipped(self) -> Iterator[tuple[bytes, int]]:
        """Yield the lines that describe the skipped devices, and their number."""
        for shard in self.shards:
            if shard.skipped_file is not None:
                yield shard.skipped_file.read_bytes(), shard.skipped


def list_on_cluster(exprs: EmittedExprs, snapshot: Snapshot, kept: KeptCalls, cluster: Cluster) -> SharedListing:
    """Find the devices of an emission on *cluster*.

    Args:
        exprs: Expressions of the emission.
        snapshot: Snapshot.
        kept: Finished calls of the emission, in a folder that all processes see.
        cluster: The processes.

    Raises:
        ClusterError: The cluster is lost, or its processes do not see the index.
    """
    found: dict[str, ListedShard] = {}
    tasks = group_tasks(snapshot, _Question(exprs, kept.folder))
    named = {f"listed-{task.positions[0]:06}": task for task in tasks}
    for answer in kept.map(_list_group, named, LISTED_FORM, cluster):
        found |= answer
    shards = tuple(found[shard.name] for shard in snapshot.shards)
    platforms = rank_platforms([shard.platforms for shard in shards]) if knows_platforms(snapshot) else None
    return SharedListing(shards, platforms)


def _list_group(task: GroupTask[_Question]) -> dict[str, ListedShard]:
    """Return the devices of each shard by its name, and write a file of those that are skipped."""
    exprs, evaluated = task.question.exprs, task.shards()
    found = [
        None if expr is None else rows_by_shard(evaluated, [find_live_rows(expr, shard) for shard in evaluated])
        for expr in (exprs.by_ids, exprs.target)
    ]
    names = next(rows for rows in found if rows is not None)
    shards = [shard for shard in task.place.open().shards if shard.name in names]
    by_ids, target = found
    return {
        shard.name: _list_shard(
            shard,
            BitMap() if by_ids is None else by_ids[shard.name],
            None if target is None else target[shard.name],
            task,
        )
        for shard in shards
    }


def _list_shard(shard: Shard, by_ids: BitMap, target: BitMap | None, task: GroupTask[_Question]) -> ListedShard:
    snapshot, vendor = task.place.open(), get_vendor(task.question.exprs.vendor, can="emit")
    listed = skipped = BitMap()
    if by_ids:
        listed = select_deliverable_rows(shard, find_id_column(snapshot.id_columns, vendor.name), by_ids, vendor)
        skipped = by_ids - listed
    reasons, file = ReasonCounts(), None
    if skipped:
        file = task.question.folder / f".{shard.name}.{token_hex(4)}{TEMP_SUFFIX}"
        with create_file(file) as stream:
            for frame in iter_skipped_rows(shard, bitmap_to_rows(skipped), snapshot.id_columns, vendor):
                frame.write_ndjson(stream)
                reasons = add_reasons(reasons, ReasonCounts.of(frame))
    reached = listed if target is None else target - skipped
    return ListedShard(len(listed), len(skipped), reasons, file, count_in_shard(shard, reached))


def _listed_to_json(listed: dict[str, ListedShard]) -> Any:
    return {name: asdict(replace(shard, skipped_file=None)) | {"skipped_file": _file_name(shard)}
            for name, shard in listed.items()}  # fmt: skip


def _file_name(shard: ListedShard) -> str | None:
    return None if shard.skipped_file is None else shard.skipped_file.name


def _listed_from_json(data: Any, folder: Path) -> dict[str, ListedShard]:
    return {name: _read_listed(fields, folder) for name, fields in data.items()}


def _read_listed(fields: dict[str, Any], folder: Path) -> ListedShard:
    reasons = {reason: (count, message) for reason, (count, message) in fields["reasons"]["by_reason"].items()}
    return ListedShard(
        fields["listed"],
        fields["skipped"],
        ReasonCounts(reasons),
        None if fields["skipped_file"] is None else folder / fields["skipped_file"],
        ShardPlatforms(**fields["platforms"]),
    )


def _list_files(listed: dict[str, ListedShard]) -> list[Path]:
    return [shard.skipped_file for shard in listed.values() if shard.skipped_file is not None]


LISTED_FORM = ResultForm(_listed_to_json, _listed_from_json, _list_files)
