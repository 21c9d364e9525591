"""Tags that the devices of a snapshot should have at a vendor, by the ids that it knows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from audience._fs.checksums import hash128
from audience.counts import format_count
from audience.errors import PlanError, Problem
from audience.index.query.deliverable_ids import mark_invalid_ids, select_deliverable_rows
from audience.index.query.vendor_id_columns import find_id_column
from audience.index.schema.columns import SHARED_ID_ROLES, Column, IdColumn
from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows, full_bitmap, rows_to_bitmap
from audience.index.storage.list_columns import is_list
from audience.index.storage.manifest import Manifest
from audience.index.storage.polars_bridge import read_ids_at
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Tag
from audience.tag_sync.index_values import iter_tag_rows
from audience.tag_sync.tags import DeviceTags, SyncedTag
from audience.vendors.spec import Vendor

MAX_IDS = (1 << 32) - 1  # of which each has a position of 32 bits
MAX_EXAMPLES = 5
MAX_CACHED_DIGESTS = 64


@dataclass(frozen=True, slots=True)
class DesiredTags:
    """Tags that devices of a snapshot should have.

    Attributes:
        tags: All ids that the vendor takes, and the tags of each.
        snapshot: Number of the snapshot.
        devices_digest: Digest of its devices and their tags.
        without_id: Number of devices without an id in the column.
        rejected: Number of ids that the vendor does not take.
        examples: Some of the rejected ids.
    """

    tags: DeviceTags
    snapshot: int
    devices_digest: str
    without_id: int = 0
    rejected: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _ShardIds:
    """Ids of rows of a shard, of each row at most one."""

    shard: Shard
    rows: RowNumbers
    ids: pl.Series


def digest_devices(manifest: Manifest) -> str:
    """Return a digest of the devices of a snapshot and their tags: equal digests mean equal devices.

    Segments and events do not count, nor does the number of the snapshot.
    """
    shards = tuple((files.name, files.row_count, files.checksum) for files in manifest.shards)
    deleted = manifest.deleted_rows and manifest.deleted_rows.checksum
    cuts = tuple(column.has_cut_moments for column in manifest.columns)
    return _digest_facts(shards, deleted, manifest.columns, cuts, manifest.timezone)


@lru_cache(MAX_CACHED_DIGESTS)
def _digest_facts(
    shards: tuple[tuple[str, int, str], ...],
    deleted: str | None,
    columns: tuple[Column, ...],
    cuts: tuple[bool, ...],
    timezone: str,
) -> str:
    fields = [(column.name_in_table, column.role, column.name, column.separator) for column in columns]
    return hash128(orjson.dumps([shards, deleted, fields, cuts, timezone]))


def find_key_column(snapshot: Snapshot, vendor: Vendor, key_type: str) -> IdColumn:
    """Return the column of the ids to which tags of *vendor* are bound.

    Raises:
        PlanError: The index has no such column.
    """
    if key_type not in SHARED_ID_ROLES:
        return find_id_column(snapshot.id_columns, vendor.name)
    for column in snapshot.id_columns:
        if column.kind == key_type:
            return column
    message = f"tags are bound to {key_type}, and the index has no ids of that kind"
    raise PlanError(Problem("unknown-ids", message, hint=f"build it with --{key_type} COLUMN"))


def read_desired_tags(
    snapshot: Snapshot, names: Mapping[Tag, SyncedTag], vendor: Vendor, key_type: str = "registration_id"
) -> DesiredTags:
    """Return the tags that devices of *snapshot* should have at *vendor*.

    Args:
        snapshot: Snapshot of an index.
        names: The vendor's name for each tag; other tags are left out.
        vendor: Vendor.
        key_type: Kind of ids to which tags are bound.

    Raises:
        PlanError: The index has no such ids or too many, or devices that share one have different tags.
    """
    column = find_key_column(snapshot, vendor, key_type)
    is_shared = not column.is_device_id
    vendor = replace(vendor, max_id_length=None) if is_shared else vendor  # the limit is that of device ids
    counts = _Rejections()
    parts = [part for shard in snapshot.shards for part in _iter_deliverable(shard, column, vendor, counts)]
    _reject_too_many_ids(sum(len(part.ids) for part in parts))
    ids, positions = _sort_ids([part.ids for part in parts])
    rows = _place_tags(parts, positions, names, len(ids))
    if len(ids) < sum(map(len, positions)):
        _require_same_tags(ids, positions, rows, key_type)
    tags = tuple(rows)
    return DesiredTags(
        tags=DeviceTags(ids, tags, tuple(rows_to_bitmap(np.sort(np.concatenate(rows[tag]))) for tag in tags)),
        snapshot=snapshot.manifest.number,
        devices_digest=digest_devices(snapshot.manifest),
        without_id=counts.without_id,
        rejected=counts.rejected,
        examples=tuple(counts.examples),
    )


class _Rejections:
    """Counts of the devices that cannot be named at the vendor."""

    def __init__(self) -> None:
        self.without_id = 0
        self.rejected = 0
        self.examples: list[str] = []

    def add(self, ids: pl.Series) -> None:
        """Count rejected ids; one that is null is of a device without an id."""
        present = ids.drop_nulls()
        self.without_id += len(ids) - len(present)
        self.rejected += len(present)
        self.examples += present.head(MAX_EXAMPLES - len(self.examples)).to_list()


def _iter_deliverable(shard: Shard, column: IdColumn, vendor: Vendor, rejections: _Rejections) -> Iterator[_ShardIds]:
    """Yield the ids of live rows that *vendor* takes: a part for the first id of each row, one for the second, …."""
    if column not in shard.id_columns:
        rejections.without_id += shard.device_count
        return
    rows = bitmap_to_rows(shard.live_rows)
    if not len(rows):
        return
    if not shard.has_id_lists(column):
        valid = select_deliverable_rows(shard, column, shard.live_rows, vendor)
        if len(valid) < len(rows):
            rejections.add(read_ids_at(shard, column, bitmap_to_rows(shard.live_rows - valid)))
        rows = bitmap_to_rows(valid)
        yield _ShardIds(shard, rows, read_ids_at(shard, column, rows).alias("id"))
        return
    lists = read_ids_at(shard, column, rows)
    assert is_list(lists)
    lengths = lists.list.len().fill_null(0)
    rejections.without_id += int((lengths == 0).sum())
    for at in range(int(lengths.max() or 0)):  # type: ignore[arg-type]
        has_id = lengths > at
        ids = lists.filter(has_id).list.get(at)
        invalid = mark_invalid_ids(ids, vendor)
        rejections.add(ids.filter(invalid))
        yield _ShardIds(shard, rows[has_id.to_numpy()][~invalid.to_numpy()], ids.filter(~invalid).alias("id"))


def _reject_too_many_ids(count: int) -> None:
    """Raise PlanError for more ids than positions of 32 bits can count."""
    if count > MAX_IDS:
        message = f"tags of {count:,} ids; a sync compares at most {MAX_IDS:,}"
        raise PlanError(Problem("too-many-devices", message, hint="sync one index for each app or region"))


def _sort_ids(parts: Sequence[pl.Series]) -> tuple[pl.Series, list[NDArray[np.uint32]]]:
    """Return all ids, sorted and each once, and the position of each id of each part."""
    joined = pl.concat([pl.Series("id", [], pl.String), *parts])
    order = joined.arg_sort()
    ordered = joined.gather(order)
    is_new = (ordered != ordered.shift(1)).fill_null(value=True)
    positions = np.empty(len(joined), dtype=np.uint32)
    positions[order.to_numpy()] = is_new.cum_sum().to_numpy() - 1
    stops = np.cumsum([len(part) for part in parts])
    ids = ordered if is_new.all() else ordered.filter(is_new)
    return ids.rechunk(), np.split(positions, stops[:-1]) if parts else []


def _place_tags(
    parts: Sequence[_ShardIds],
    positions: Sequence[NDArray[np.uint32]],
    names: Mapping[Tag, SyncedTag],
    id_count: int,
) -> dict[SyncedTag, list[NDArray[np.uint32]]]:
    """Return the positions of the devices with each tag, in parts; those of a shared id are there for each device."""
    types = frozenset(tag.type for tag in names)
    placed: dict[SyncedTag, list[NDArray[np.uint32]]] = {}
    for part, of_part in zip(parts, positions, strict=True):
        by_tag: dict[SyncedTag, BitMap] = {}
        for tag, rows in iter_tag_rows(part.shard, names.__contains__, types):
            name = names[tag]
            by_tag[name] = by_tag[name] | rows if name in by_tag else rows
        by_row = np.zeros(part.shard.row_count, dtype=np.uint32)
        by_row[part.rows] = of_part
        everyone = len(part.rows) == part.shard.row_count
        deliverable = full_bitmap(0) if everyone else rows_to_bitmap(part.rows)
        for name, rows in by_tag.items():
            found = rows if everyone else rows & deliverable
            if found:
                placed.setdefault(name, []).append(by_row[bitmap_to_rows(found)])
    return placed


def _require_same_tags(
    ids: pl.Series,
    positions: Sequence[NDArray[np.uint32]],
    rows: Mapping[SyncedTag, Sequence[NDArray[np.uint32]]],
    key_type: str,
) -> None:
    """Raise PlanError if a tag is of some devices with a shared id and not of all of them."""
    devices = np.bincount(np.concatenate(positions), minlength=len(ids))
    for tag, found in rows.items():
        having = np.bincount(np.concatenate(found), minlength=len(ids))
        uneven = np.flatnonzero((having > 0) & (having < devices))
        if len(uneven):
            at = int(uneven[0])
            message = (
                f"{format_count(len(uneven), key_type)} of several devices with different tags: "
                f"{having[at]} of the {devices[at]} devices of {ids[at]!r} have {tag.name}"
            )
            hint = f"tags bound to {key_type} are those of all its devices: give them the same tags, or bind to devices"
            raise PlanError(Problem("shared-id", message, hint=hint))
