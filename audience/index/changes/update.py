"""Changes of an index: devices updated, tagged and removed, each as a new snapshot.

A device that changes leaves its row, which is dead from then on, and gets a new one in a new shard. Nothing that a
reader may hold is ever written to.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.errors import Problem, TableError
from audience.index.changes.compaction import (
    ShardGroup,
    concat_tables,
    plan_full_compaction,
    plan_light_compaction,
    rewrite_groups,
    select_fragmented_groups,
    select_stale_groups,
)
from audience.index.ingest.build import (
    reject_duplicate_ids,
    reject_shared_tags,
    reject_too_many_devices,
    require_device_ids,
    write_shard,
)
from audience.index.ingest.cast import describe_rows
from audience.index.ingest.decode import as_lists, decode_rows, new_categories, reject_mixed_numbers, to_categorical
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.reader import SourceTable, inspect_source
from audience.index.ingest.sources import Source
from audience.index.schema.column_roles import ColumnRoles, require_unique_names
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps, id_search
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import (
    SHARDS_FOLDER,
    Manifest,
    Snapshot,
    publish_manifest,
    timestamp_now,
    write_deleted_rows,
)
from audience.index.storage.write_lock import lock_for_update
from audience.language.attribute_names import UNTYPED
from audience.language.suggest import did_you_mean
from audience.progress import Progress

USUAL_TAG_COLUMNS = ("tags", "tag", "xg_user_define")  # what columns of bare tags are usually called
MAX_CHUNK_DEVICES = 1 << 20  # devices of an update that are in memory at once
MAX_INLINE_COMPACT_DEVICES = 1 << 18  # devices; to tidy up more takes a second or more

ShardMatches: TypeAlias = tuple[Shard, pl.DataFrame]  # a shard, and the rows that were found there with their ids
UpdateRows: TypeAlias = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """What a change did: the number of its snapshot, and how many devices it changed, added and removed.

    *unknown* ids are those that no device has; of them nothing was done.
    """

    snapshot: int
    changed: int = 0
    added: int = 0
    removed: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class UpdateSession:
    """An index that is being changed: what is current, its shards, the names that new files get, who hears of it."""

    folder: Path
    manifest: Manifest
    shards: list[Shard]
    shard_names: Iterator[str]
    progress: Progress

    @classmethod
    def start(cls, folder: Path, manifest: Manifest, progress: Progress) -> "UpdateSession":
        names = (f"{manifest.number + 1:08}-{number:05}" for number in count())
        return cls(folder, manifest, list(Snapshot(folder, manifest).shards), names, progress)

    def write_new_shard(self, table: DeviceTable) -> Shard:
        """A new shard of *table*."""
        return Shard(
            self.folder / SHARDS_FOLDER, write_shard(self.folder / SHARDS_FOLDER, next(self.shard_names), table)
        )

    def publish_compacted(self, shards: Sequence[Shard], description: str, columns: Sequence[Column]) -> int:
        """Make *shards* the index, and what would slow down questions new ones; the number of the last snapshot.

        Where that takes a while, they are published as they are before, so that the change is seen soon.
        """
        state, groups = self, plan_light_compaction(shards)
        anew = select_stale_groups(groups)
        if sum(shard.device_count for group in anew for shard in group) > MAX_INLINE_COMPACT_DEVICES:
            state = replace(self, manifest=self.publish(shards, description, columns))
            description = f"tidied after {description.partition(':')[0]}"
        return state.publish(self.rewrite_shards(groups, anew, columns), description, columns).number

    def rewrite_shards(
        self, groups: Sequence[ShardGroup], to_rewrite: Sequence[ShardGroup], columns: Sequence[Column]
    ) -> list[Shard]:
        """*groups* as shards, those *anew* written."""
        return rewrite_groups(
            groups, to_rewrite, columns, (self.folder / SHARDS_FOLDER, self.shard_names), self.progress
        )

    def publish(self, shards: Sequence[Shard], description: str, columns: Sequence[Column]) -> Manifest:
        """Make *shards* the index; its manifest."""
        number = self.manifest.number + 1
        devices = sum(shard.device_count for shard in shards)
        reject_too_many_devices(devices)
        dead = write_deleted_rows(self.folder, number, {shard.name: shard.deleted for shard in shards if shard.deleted})
        files = tuple(shard.files for shard in shards)
        manifest = Manifest(
            number, timestamp_now(), description, devices, tuple(columns), files, dead, self.manifest.segments
        )
        publish_manifest(self.folder, manifest)
        return manifest


def update_devices(
    folder: Path,
    source: Source,
    roles: ColumnRoles,
    vendors: Sequence[str],
    *,
    new_columns: Iterable[str],
    wait: float,
    progress: Progress,
) -> UpdateResult:
    """Write what the table *source* says of devices: those that are known change in its columns, others are added.

    Raises TableError as a build does, and for a column that the index does not have, unless it is one of *new*.
    """
    with lock_for_update(folder, "update", wait) as manifest:
        table = _inspect_update_table(source, replace(roles, existing=manifest.columns), vendors, set(new_columns))
        columns = list(dict.fromkeys((*manifest.columns, *table.columns)))
        key = _find_key_column(table, manifest)
        if not table.row_count and len(columns) == len(manifest.columns):
            return UpdateResult(manifest.number)
        state = UpdateSession.start(folder, manifest, progress)
        shards, fresh, changed = state.shards, list[Shard](), 0
        for first, part in table.iter_chunks(MAX_CHUNK_DEVICES):
            progress("updating devices", first, table.row_count)
            _validate_key_column(part, key, first)
            found = _locate_ids(shards, [f"id:{key.name}"], part[key])
            changed += sum(len(rows) for _, rows in found)
            fresh.append(state.write_new_shard(_merge_devices(part, key, found, columns)))
            shards = _delete_rows(shards, found)
        progress("checking ids", 0, 0)
        others = [column for column in table.columns if column.role == "id" and column != key]
        reject_duplicate_ids(fresh, table, [key])  # what others had such an id has left them
        reject_duplicate_ids([*shards, *fresh], table, others, fresh)
        reject_shared_tags([*shards, *fresh], columns)
        reject_mixed_numbers([*shards, *fresh], columns)
        added = table.row_count - changed
        what = f"update: {_format_device_count(changed)} changed, {added:,} added"
        return UpdateResult(state.publish_compacted([*shards, *fresh], what, columns), changed, added)


def _find_key_column(table: SourceTable, manifest: Manifest) -> Column:
    """The first column of ids that the index and *table* share."""
    for column in manifest.columns:
        if column.role == "id" and column in table.columns:
            return column
    names = ", ".join(column.name_in_table for column in manifest.columns if column.role == "id")
    raise TableError(Problem("no-id", "the table has no column of ids that the index has", hint=f"it has {names}"))


def _inspect_update_table(
    source: Source, roles: ColumnRoles, vendors: Sequence[str], new_columns: set[str]
) -> SourceTable:
    """The table *source*, whose columns are those of the index, or *new*."""
    table = inspect_source(source, roles, vendors)
    sources = [column.name_in_table for column in roles.existing]
    for column in table.columns:
        if column not in roles.existing and column.name_in_table not in new_columns:
            hint = (
                did_you_mean(column.name_in_table, sources)
                or f"say --new {column.name_in_table}, or --ignore {column.name_in_table}"
            )
            message = f"the index was built without a column {column.name_in_table!r}"
            raise TableError(Problem("new-column", message, hint=hint))
    require_unique_names(list(dict.fromkeys((*roles.existing, *table.columns))))
    return table


def _validate_key_column(chunk: DeviceTable, key_column: Column, first_row: int) -> None:
    """Every row needs an id in the column *key*, and no two rows of a part the same."""
    require_device_ids(chunk, first_row)
    for wrong, code, what in (
        (chunk[key_column].is_null(), "missing-id", "no id"),
        (chunk[key_column].is_duplicated(), "duplicate-id", "an id that another row has"),
    ):
        rows = describe_rows(wrong, chunk[key_column], first_row)
        if rows:
            raise TableError(Problem(code, f"column {key_column.name_in_table!r} holds {what}: {rows}"))


def _locate_ids(shards: Sequence[Shard], id_columns: Sequence[str], ids: pl.Series) -> list[ShardMatches]:
    """Where the devices with *ids* are, in rising rows; one id that names two devices is refused."""
    found = []
    for shard in shards:
        rows = pl.concat(
            [
                pl.DataFrame(schema=id_search.MATCH_SCHEMA),
                *(id_search.find_in_column(shard, name, ids) for name in id_columns),
            ]
        )
        if len(rows):
            found.append((shard, (rows.unique() if len(id_columns) > 1 else rows).sort("row")))
    if len(id_columns) > 1:
        named = pl.concat([rows.select("id") for _, rows in found]) if found else pl.DataFrame({"id": []})
        twice = named.filter(named["id"].is_duplicated())
        if len(twice):
            message = f"{twice['id'][0]!r} names different devices at different vendors"
            raise TableError(Problem("ambiguous-id", message))
    return found


def _delete_rows(shards: Sequence[Shard], matches: Iterable[ShardMatches]) -> list[Shard]:
    """*shards* without the rows that were *found*."""
    gone = {shard.name: bitmaps.rows_to_bitmap(_to_sorted_rows(rows)) for shard, rows in matches}
    return [
        shard.with_deleted(gone[shard.name] | (shard.deleted or bitmaps.BitMap())) if shard.name in gone else shard
        for shard in shards
    ]


def _to_sorted_rows(matches: pl.DataFrame) -> UpdateRows:
    return matches["row"].unique().sort().to_numpy()


def _merge_devices(
    chunk: DeviceTable, key_column: Column, matches: Sequence[ShardMatches], columns: Sequence[Column]
) -> DeviceTable:
    """The devices of *part*, with what the shards know of them beyond it."""
    names = new_categories(columns)
    chunk = {column: to_categorical(values, names.get(column)) for column, values in chunk.items()}
    kept = [column for column in columns if column not in chunk]
    added = np.ones(len(chunk[key_column]), dtype=np.bool_)
    tables = []
    for shard, rows in matches:
        old, at = decode_rows(shard, rows["row"].to_numpy(), kept, names), rows["at"]
        tables.append({column: old[column] if column in old else chunk[column].gather(at) for column in columns})
        added[at.to_numpy()] = False
    others = pl.Series(np.flatnonzero(added))
    missing = pl.Series([None], dtype=pl.String).new_from_index(0, len(others))
    tables.append({column: chunk[column].gather(others) if column in chunk else missing for column in columns})
    return concat_tables(tables, columns)


def tag_devices(
    folder: Path, ids: Iterable[str], add: Iterable[str], remove: Iterable[str], wait: float, progress: Progress
) -> UpdateResult:
    """Give the devices with *ids* the bare tags *add*, and take *remove* from them.

    Raises TableError for a tag that is to be added and removed, and for an id that names two devices.
    """
    adds, removes = _validate_tag_names(add), _validate_tag_names(remove)
    _reject_conflicting_tags(adds, removes)
    wanted = _deduplicate_ids(ids)
    with lock_for_update(folder, "tag", wait) as manifest:
        progress("tagging devices", 0, 0)
        state = UpdateSession.start(folder, manifest, progress)
        found = _locate_ids(state.shards, _list_device_id_columns(manifest), wanted)
        owners = _assign_tag_columns(state.shards, manifest.columns, [*adds, *removes])
        columns = list(dict.fromkeys((*manifest.columns, *(owners[name] for name in adds))))
        require_unique_names(columns)
        unknown = len(wanted) - sum(rows["id"].n_unique() for _, rows in found)
        moving = [
            (shard, some)
            for shard, rows in found
            if len(some := _select_changing_rows(shard, _to_sorted_rows(rows), adds, removes))
        ]
        fresh = [
            state.write_new_shard(_apply_tag_changes(table, owners, adds, removes))
            for table in _decode_in_chunks(moving, columns)
        ]
        changed = sum(len(rows) for _, rows in moving)
        if not changed:
            return UpdateResult(manifest.number, unknown=unknown)
        said = [*(f"+{name}" for name in adds), *(f"-{name}" for name in removes)]
        what = f"tag {', '.join(said)}: {_format_device_count(changed)} changed"
        number = state.publish_compacted([*_delete_rows(state.shards, moving), *fresh], what, columns)
        return UpdateResult(number, changed, unknown=unknown)


def _decode_in_chunks(matches: Iterable[ShardMatches], columns: Sequence[Column]) -> Iterator[DeviceTable]:
    """The devices that were *found*, as many at a time as are in memory at once, but for those of one shard."""
    some, size, names = list[DeviceTable](), 0, new_categories(columns)
    for shard, rows in matches:
        if some and size + len(rows) > MAX_CHUNK_DEVICES:
            yield concat_tables(some, columns)
            some, size = [], 0
        some.append(decode_rows(shard, rows["row"].to_numpy(), columns, names))
        size += len(rows)
    if some:
        yield concat_tables(some, columns)


def _reject_conflicting_tags(tags_to_add: Mapping[str, None], tags_to_remove: Mapping[str, None]) -> None:
    if not tags_to_add and not tags_to_remove:
        raise TableError(Problem("no-tag", "no tag is to be added or removed", hint="say --add TAG or --remove TAG"))
    for name in tags_to_add:
        if name in tags_to_remove:
            raise TableError(Problem("both-ways", f"the tag {name!r} is to be added and removed", hint="say one"))


def _validate_tag_names(names: Iterable[str]) -> dict[str, None]:
    found = dict[str, None]()
    for name in names:
        if not isinstance(name, str) or not name:
            raise TableError(Problem("empty-name", f"{name!r} is no tag", hint="write at least one character"))
        if not _is_encodable(name):
            raise TableError(Problem("bad-name", f"{name!r} is no text", hint="half of a character stands in it"))
        found[name] = None
    return found


def _is_encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _deduplicate_ids(ids: Iterable[str]) -> pl.Series:
    """*ids*, each once; one text is one id, not its letters."""
    try:
        some = ids if isinstance(ids, pl.Series) else [ids] if isinstance(ids, str) else list(ids)
        return pl.Series("id", some, dtype=pl.String).drop_nulls().unique()
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise TableError(Problem("bad-ids", "the ids are no texts", hint="give a list of texts")) from error


def _list_device_id_columns(manifest: Manifest) -> list[str]:
    return [name for name in manifest.id_column_names if name.startswith("id:")]


def _assign_tag_columns(shards: Sequence[Shard], columns: Sequence[Column], tags: Iterable[str]) -> dict[str, Column]:
    """The column that each of the tags *names* belongs to: where it stands already, or one that is called so.

    Any other tag goes to the first column of lists; one that holds no tag but its own name is yes or no.
    """
    sources = {column.name_in_table: column for column in columns if column.role == "tags"}
    claims = id_search.collect_tag_sources(shards)
    found = {name: sources[min(claims[name])] for name in tags if claims.get(name)}
    lists = {source for value, some in claims.items() for source in some if source != value}
    usual = next((name for name in USUAL_TAG_COLUMNS if name in sources), None) or next(
        filter(lists.__contains__, sources), None
    )
    if usual is None:
        taken = {column.name_in_table for column in columns}
        free = next(
            name for name in chain(USUAL_TAG_COLUMNS, (f"tags {number}" for number in count(2))) if name not in taken
        )
        sources[usual := free] = Column(free, "tags", UNTYPED)
    return {name: found.get(name) or sources[name if name in sources else usual] for name in tags}


def _select_changing_rows(
    shard: Shard, rows: UpdateRows, tags_to_add: Iterable[str], tags_to_remove: Iterable[str]
) -> pl.DataFrame:
    """Those of *rows* that lack a tag which is added, or have one which is removed."""
    within = bitmaps.rows_to_bitmap(rows)
    changing = bitmaps.BitMap()
    for name in tags_to_add:
        changing |= within - shard.rows_with_tag(name)
    for name in tags_to_remove:
        changing |= within & shard.rows_with_tag(name)
    return pl.DataFrame({"row": bitmaps.bitmap_to_rows(changing)})


def _apply_tag_changes(
    table: DeviceTable, column_of_tag: Mapping[str, Column], tags_to_add: Iterable[str], tags_to_remove: Iterable[str]
) -> DeviceTable:
    """*table* with the tags of all of its devices changed."""
    changed = dict(table)
    for column in dict.fromkeys(column_of_tag.values()):
        more = [name for name in tags_to_add if column_of_tag[name] == column]
        less = [name for name in tags_to_remove if column_of_tag[name] == column]
        if column not in changed:  # a tag that nobody has is taken from nobody
            continue
        tags = as_lists(changed[column]).fill_null([])
        changed[column] = tags.list.set_union(more).list.set_difference(less)
    return changed


def remove_devices(folder: Path, ids: Iterable[str], wait: float, progress: Progress) -> UpdateResult:
    """Take the devices with *ids* out of the index."""
    wanted = _deduplicate_ids(ids)
    with lock_for_update(folder, "remove", wait) as manifest:
        progress("removing devices", 0, 0)
        state = UpdateSession.start(folder, manifest, progress)
        found = _locate_ids(state.shards, _list_device_id_columns(manifest), wanted)
        unknown = len(wanted) - sum(rows["id"].n_unique() for _, rows in found)
        removed = sum(len(_to_sorted_rows(rows)) for _, rows in found)
        if not removed:
            return UpdateResult(manifest.number, unknown=unknown)
        number = state.publish_compacted(
            _delete_rows(state.shards, found), f"remove: {_format_device_count(removed)}", manifest.columns
        )
        return UpdateResult(number, removed=removed, unknown=unknown)


def compact_index(folder: Path, wait: float, progress: Progress) -> UpdateResult:
    """Write what questions have to go around anew: shards with dead rows, and many small ones as one."""
    with lock_for_update(folder, "compact", wait) as manifest:
        state = UpdateSession.start(folder, manifest, progress)
        groups = plan_full_compaction(state.shards)
        anew = select_fragmented_groups(groups)
        shards = state.rewrite_shards(groups, anew, manifest.columns)
        if shards == state.shards:
            return UpdateResult(manifest.number)
        what = f"compact: {len(state.shards)} shards are {len(shards)} now"
        return UpdateResult(state.publish(shards, what, manifest.columns).number)


def _format_device_count(device_count: int) -> str:
    return "1 device" if device_count == 1 else f"{device_count:,} devices"
