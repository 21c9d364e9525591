"""Tag and remove devices that are selected by their ids."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

import numpy as np
import polars as pl

from audience.counts import format_count
from audience.errors import Problem, TableError
from audience.index.changes.compaction import concat_tables
from audience.index.changes.retagging import retag_shard
from audience.index.changes.session import (
    ShardMatches,
    UpdateResult,
    UpdateSession,
    delete_rows,
    distinct_rows,
    locate_ids,
)
from audience.index.changes.update import MAX_CHUNK_DEVICES
from audience.index.ingest.cast import name_flags
from audience.index.ingest.decode import decode_rows, new_categories
from audience.index.ingest.encode import DeviceTable
from audience.index.schema.column_roles import require_unique_names
from audience.index.schema.columns import Column, select_device_id_columns
from audience.index.storage import bitmaps, id_search
from audience.index.storage.bitmaps import RowNumbers
from audience.index.storage.device_numbers import Numbers
from audience.index.storage.id_search import HashedIds
from audience.index.storage.list_columns import as_lists
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.language.attribute_names import UNTYPED
from audience.progress import Progress

MAX_RETAGGED_DEVICES = 1 << 12  # a shard of fewer is rewritten as fast as some of its devices are
MIN_RETAGGED_RATIO = 1 / 64  # of the devices of a larger one
USUAL_TAG_COLUMNS = ("tags", "tag", "xg_user_define")  # usual names of columns of bare tags


@dataclass(frozen=True, slots=True)
class TagChange:
    """Tags that are added and removed, and the column of each.

    >>> str(TagChange(("vip",), ("new",), {}))
    '+vip, -new'
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    columns: Mapping[str, Column]

    def __str__(self) -> str:
        return ", ".join([*(f"+{tag}" for tag in self.added), *(f"-{tag}" for tag in self.removed)])


def tag_devices(
    opened: Snapshot,
    ids: Iterable[str],
    add: Iterable[str],
    remove: Iterable[str],
    *,
    column: str | None,
    wait: float,
    progress: Progress,
) -> UpdateResult:
    """Add the bare tags *add* to the devices with *ids*, and remove the tags *remove* from them.

    Args:
        opened: Snapshot of the index; what it has read is not read again.
        ids: Device ids, of any vendor.
        add: Tags to add.
        remove: Tags to remove.
        column: Column of the tags to add, or None for those that have them, or else usually have tags.
        wait: Seconds to wait for another writer.
        progress: Progress callback.

    Raises:
        TableError: A tag is both added and removed, a tag is invalid or in another column than *column*, or an id names
            two devices.
        LockedError: Another process changes the index.
    """
    tags_to_add, tags_to_remove = _validate_tag_names(add), _validate_tag_names(remove)
    _reject_conflicting_tags(tags_to_add, tags_to_remove)
    wanted = _deduplicate_ids(ids)
    with lock_for_update(opened.storage, "tag", wait) as manifest:
        progress("tagging devices", 0, 0)
        session = UpdateSession.start(opened, manifest, progress)
        matches = locate_ids(session.shards, select_device_id_columns(manifest.id_columns), HashedIds(wanted))
        change = _plan_change(session.shards, manifest.columns, tags_to_add, tags_to_remove, column)
        columns = list(dict.fromkeys((*manifest.columns, *(change.columns[tag] for tag in tags_to_add))))
        require_unique_names(columns)
        unknown = _count_unknown_ids(wanted, matches)
        changing = _select_changing_devices(matches, tags_to_add, tags_to_remove)
        if not changing:
            return UpdateResult(manifest.number, unknown=unknown)
        changed = sum(len(rows) for _, rows in changing)
        shards, details = _change_tags(session, changing, change, columns), f"{format_count(changed, 'device')} changed"
        number = session.publish_compacted(shards, f"tag {change}", details, columns, changed)
        return UpdateResult(number, changed, unknown=unknown)


def _plan_change(
    shards: Sequence[Shard],
    columns: Sequence[Column],
    tags_to_add: Collection[str],
    tags_to_remove: Collection[str],
    column: str | None,
) -> TagChange:
    """Return the change of tags; those that are added belong to *column*, if there is one."""
    column_of_tag = _assign_tag_columns(shards, columns, [*tags_to_add, *tags_to_remove])
    if column is not None:
        _require_no_other_column(shards, tags_to_add, column)
        column_of_tag |= dict.fromkeys(tags_to_add, Column(column, "tags", UNTYPED))
    return TagChange(tuple(tags_to_add), tuple(tags_to_remove), column_of_tag)


def _change_tags(
    session: UpdateSession, changing: Sequence[ShardMatches], change: TagChange, columns: Sequence[Column]
) -> list[Shard]:
    """Return all shards of *session* with the tags of the devices *changing* changed.

    A shard is rewritten with its new tags, or its devices move to a new shard.
    """
    retagged = {
        shard.name: retag_shard(
            shard,
            bitmaps.rows_to_bitmap(distinct_rows(rows)),
            change.columns,
            change.added,
            change.removed,
            (session.storage, next(session.shard_names)),
        )
        for shard, rows in changing
        if _is_retagged_whole(shard, rows)
    }
    moving = [(shard, rows) for shard, rows in changing if shard.name not in retagged]
    new_shards = [
        session.write_new_shard(_apply_change(table, change), numbers)
        for table, numbers in _decode_in_chunks(moving, columns)
    ]
    kept = [retagged.get(shard.name, shard) for shard in session.shards]
    return [*delete_rows(kept, moving), *new_shards]


def _is_retagged_whole(shard: Shard, rows: pl.DataFrame) -> bool:
    """Return whether a shard is rewritten with its new tags, because it is small or many of its devices change.

    Devices that move to a new shard are decoded and encoded in every column.
    """
    return shard.row_count < MAX_RETAGGED_DEVICES or len(rows) > shard.row_count * MIN_RETAGGED_RATIO


def remove_devices(opened: Snapshot, ids: Iterable[str], wait: float, progress: Progress) -> UpdateResult:
    """Remove the devices with *ids* from the index.

    Args:
        opened: Snapshot of the index; what it has read is not read again.
        ids: Device ids, of any vendor.
        wait: Seconds to wait for another writer.
        progress: Progress callback.

    Raises:
        TableError: An id names two devices.
        LockedError: Another process changes the index.
    """
    wanted = _deduplicate_ids(ids)
    with lock_for_update(opened.storage, "remove", wait) as manifest:
        progress("removing devices", 0, 0)
        session = UpdateSession.start(opened, manifest, progress)
        matches = locate_ids(session.shards, select_device_id_columns(manifest.id_columns), HashedIds(wanted))
        unknown = _count_unknown_ids(wanted, matches)
        removed = sum(len(distinct_rows(rows)) for _, rows in matches)
        if not removed:
            return UpdateResult(manifest.number, unknown=unknown)
        shards, details = delete_rows(session.shards, matches), format_count(removed, "device")
        number = session.publish_compacted(shards, "remove", details, manifest.columns, removed)
        return UpdateResult(number, removed=removed, unknown=unknown)


def _deduplicate_ids(ids: Iterable[str]) -> pl.Series:
    """Return the distinct *ids*; a string is one id, not a sequence of letters."""
    try:
        values = ids if isinstance(ids, pl.Series) else [ids] if isinstance(ids, str) else list(ids)
        return pl.Series("id", values, dtype=pl.String).drop_nulls().unique()
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise TableError(Problem("bad-ids", "the ids are not strings", hint="give a list of strings")) from error


def _count_unknown_ids(ids: pl.Series, matches: Sequence[ShardMatches]) -> int:
    return len(ids) - sum(rows["id"].n_unique() for _, rows in matches)


def _validate_tag_names(names: Iterable[str]) -> dict[str, None]:
    """Return the distinct tags, in order; a string is one tag, not a sequence of letters."""
    tags = dict[str, None]()
    for name in [names] if isinstance(names, str) else names:
        if not isinstance(name, str) or not name:
            raise TableError(Problem("empty-name", f"not a valid tag: {name!r}", hint="use at least one character"))
        if not _is_encodable(name):
            raise TableError(Problem("bad-name", f"{name!r} is not valid Unicode", hint="remove unpaired surrogates"))
        tags[name] = None
    return tags


def _is_encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reject_conflicting_tags(tags_to_add: Collection[str], tags_to_remove: Collection[str]) -> None:
    if not tags_to_add and not tags_to_remove:
        raise TableError(Problem("no-tag", "no tag to add or remove", hint="use --add TAG or --remove TAG"))
    for tag in tags_to_add:
        if tag in tags_to_remove:
            raise TableError(Problem("both-ways", f"the tag {tag!r} is both added and removed", hint="choose one"))


def _assign_tag_columns(shards: Sequence[Shard], columns: Sequence[Column], tags: Iterable[str]) -> dict[str, Column]:
    """Return the column that each tag belongs to.

    It is the column in which a device has the tag, else a column of the name of the tag, else the default column.
    """
    #   column   values of devices            kind of column
    #   tags     ["male", "vip"], ["male"]    list: has tags that are not its own name
    #   beta     true, false                  flag: has the tag `beta` or no tag
    tags = list(tags)
    tag_columns = {column.name_in_table: column for column in columns if column.role == "tags"}
    sources = id_search.collect_tag_sources(shards, tags)
    known = {tag: tag_columns[min(columns)] for tag, columns in sources.items() if columns}
    known |= {tag: tag_columns[tag] for tag in tags if tag not in known and tag in tag_columns}
    unknown = [tag for tag in tags if tag not in known]
    return known | (dict.fromkeys(unknown, _default_tag_column(tag_columns, shards, columns)) if unknown else {})


def _require_no_other_column(shards: Sequence[Shard], tags: Iterable[str], column: str) -> None:
    """Raise TableError if one of *tags* is in another column, whose updates would take it away."""
    for tag, sources in id_search.collect_tag_sources(shards, list(tags)).items():
        for other in sorted(sources - {column}):
            message = f"column {other!r} holds the tag {tag!r}, and an update with that column takes it away"
            hint = (
                f"use another tag; or first remove this one from all devices: audience index tag INDEX --remove {tag}"
            )
            raise TableError(Problem("same-tag", message, hint=hint))


def _default_tag_column(
    tag_columns: Mapping[str, Column], shards: Sequence[Shard], columns: Sequence[Column]
) -> Column:
    """Return the column of tags that no column has yet: one of a usual name, else a list, else a new column."""
    usual = [name for name in USUAL_TAG_COLUMNS if name in tag_columns]
    if usual:
        return tag_columns[usual[0]]
    sources = id_search.collect_tag_sources(shards)
    list_columns = {column for tag, names in sources.items() for column in names if column != tag}
    for name in tag_columns:
        if name in list_columns:
            return tag_columns[name]
    taken = {column.name_in_table for column in columns}
    candidates = chain(USUAL_TAG_COLUMNS, (f"tags {number}" for number in count(2)))
    return Column(next(name for name in candidates if name not in taken), "tags", UNTYPED)


def _select_changing_devices(
    matches: Iterable[ShardMatches], tags_to_add: Iterable[str], tags_to_remove: Iterable[str]
) -> list[ShardMatches]:
    """Return the rows of *matches* whose tags change, without shards that have none."""
    changing = [
        (shard, _changing_rows(shard, distinct_rows(rows), tags_to_add, tags_to_remove)) for shard, rows in matches
    ]
    return [(shard, rows) for shard, rows in changing if len(rows)]


def _changing_rows(
    shard: Shard, rows: RowNumbers, tags_to_add: Iterable[str], tags_to_remove: Iterable[str]
) -> pl.DataFrame:
    """Return those of *rows* that lack a tag to add or have a tag to remove, as the column `row`."""
    selected, changing = bitmaps.rows_to_bitmap(rows), bitmaps.BitMap()
    for tag in tags_to_add:
        changing |= selected - shard.rows_with_tag(tag)
    for tag in tags_to_remove:
        changing |= selected & shard.rows_with_tag(tag)
    return pl.DataFrame({"row": bitmaps.bitmap_to_rows(changing)})


def _decode_in_chunks(
    matches: Iterable[ShardMatches], columns: Sequence[Column]
) -> Iterator[tuple[DeviceTable, Numbers]]:
    """Decode the matched devices and their numbers, at most MAX_CHUNK_DEVICES at once unless one shard has more."""
    tables, numbers, device_count = list[DeviceTable](), list[Numbers](), 0
    categories = new_categories(columns)
    for shard, matched in matches:
        rows = matched["row"].to_numpy()
        if tables and device_count + len(rows) > MAX_CHUNK_DEVICES:
            yield concat_tables(tables, columns), np.concatenate(numbers)
            tables, numbers, device_count = [], [], 0
        tables.append(decode_rows(shard, rows, columns, categories))
        numbers.append(shard.device_numbers(rows))
        device_count += len(rows)
    if tables:
        yield concat_tables(tables, columns), np.concatenate(numbers)


def _apply_change(table: DeviceTable, change: TagChange) -> DeviceTable:
    """Return *table* with the tags of all its devices changed."""
    changed = dict(table)
    for column in dict.fromkeys(change.columns.values()):
        if column not in changed:  # a tag to remove that no device has
            continue
        added = [tag for tag in change.added if change.columns[tag] == column]
        removed = [tag for tag in change.removed if change.columns[tag] == column]
        tags = as_lists(name_flags(changed[column], column)).fill_null([])
        changed[column] = tags.list.set_union(added).list.set_difference(removed)
    return changed
