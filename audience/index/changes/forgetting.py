"""Forget a person: the devices with an id, their events, and what is kept by id, also in older snapshots.

A snapshot that has the id is dropped, also if only a deleted row has it. The current one is written again without it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from audience._fs.checksums import hash128
from audience.counts import format_count
from audience.errors import ExpressionError, Problem, TableError
from audience.index.changes.compaction import merge_shards
from audience.index.changes.session import UpdateSession
from audience.index.ingest.events.event_changes import EventChanges
from audience.index.ingest.events.waiting import forget_waiting, has_waiting
from audience.index.records.forgotten import forgotten_record, read_forgotten
from audience.index.records.policies import iter_policy_records, list_policy_records, read_policies
from audience.index.records.policy import Policy
from audience.index.records.record_files import load_record_list, replace_record_files
from audience.index.records.recorded_batches import remove_recorded_ids
from audience.index.records.segment_history import cleared_history_records, record_changes
from audience.index.schema.columns import IdColumn, list_id_calls, select_id_columns
from audience.index.storage import bitmaps, id_search, polars_bridge
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.deleted_rows import read_deleted_rows
from audience.index.storage.device_numbers import Numbers
from audience.index.storage.events.device_removal import count_events, names_any, remove_devices_from_file
from audience.index.storage.events.event_file import OpenEventFile
from audience.index.storage.id_lists import read_id_list, write_id_list
from audience.index.storage.layout import history_file
from audience.index.storage.manifest import Manifest, read_manifest
from audience.index.storage.published import Storage
from audience.index.storage.retention import delete_snapshots, list_snapshot_numbers
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.language.ast import Atom, Expr, IdFile, Ids, Nobody, map_operands, walk_operands
from audience.language.call_reader import unknown_call_problem
from audience.language.grammar import tokenize, unquote_token
from audience.language.parser import parse_saved
from audience.language.printer import render
from audience.progress import Progress


@dataclass(frozen=True, slots=True)
class ForgottenInIndex:
    """Result of forgetting some ids: what an index held about them; in a dry run, what it holds.

    Attributes:
        devices: Number of devices with one of the ids.
        ids: All ids that were removed: the given ids, and the other ids of their devices.
        events: Number of events of these devices, by name.
        segments: Saved segments that named one of the ids.
        policies: Policies that named one of the ids.
        dropped_snapshots: Numbers of the snapshots that were dropped because they contained one of the ids.
        snapshot: Number of the current snapshot.
    """

    devices: int
    ids: tuple[str, ...] = field(repr=False)
    events: Mapping[str, int] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    dropped_snapshots: tuple[int, ...] = ()
    snapshot: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """Devices to forget.

    Attributes:
        rows: Rows of each shard by its name, in all kept snapshots, also deleted ones.
        numbers: Numbers of the devices.
        device_count: Number of them that the current snapshot has.
        ids_by_column: Their ids, and those that were asked for, by column.
    """

    rows: Mapping[str, BitMap]
    numbers: Numbers
    device_count: int
    ids_by_column: Mapping[IdColumn, tuple[str, ...]]

    @property
    def ids(self) -> tuple[str, ...]:
        """Return all ids."""
        return tuple(dict.fromkeys(identifier for ids in self.ids_by_column.values() for identifier in ids))


def forget_ids(
    opened: Snapshot, ids: Iterable[str], column: str | None, *, dry_run: bool, wait: float, progress: Progress
) -> ForgottenInIndex:
    """Remove the devices with one of *ids* from the index, and every trace of these ids.

    A salted hash of the ids is kept, which suppresses them if they come back.

    Args:
        opened: Snapshot of the index.
        ids: Ids of the persons to forget.
        column: Id column that the ids are of, as expressions name it; None is any.
        dry_run: Only look for what would be removed.
        wait: Seconds to wait for another writer.
        progress: Progress callback.

    Raises:
        TableError: An id is empty.
        ExpressionError: The index has no such column.
        LockedError: Another process changes the index.
    """
    storage, wanted = opened.storage, tuple(ids)
    if not all(wanted):
        raise TableError(Problem("bad-ids", "an id is empty", hint="pass ids of at least one character"))
    with lock_for_update(storage, "forget", wait) as manifest:
        numbers = list_snapshot_numbers(storage, manifest)
        manifests = [read_manifest(storage, history_file(number)) for number in numbers]
        person = _find_person(storage, manifests, manifest, _select_columns(column, manifest), wanted)
        tainted = [each for each in manifests if _has_trace(storage, each, person)]
        policies = [policy for policy in read_policies(storage).values() if _names_any(policy.expr, person)]
        found = ForgottenInIndex(
            devices=person.device_count,
            ids=person.ids,
            events=count_events(storage, manifest.event_files, person.numbers),
            segments=tuple(name for name, _ in _iter_tainted_segments(storage, manifest, person)),
            policies=tuple(policy.name for policy in policies),
            dropped_snapshots=tuple(each.number for each in tainted),
            snapshot=manifest.number,
        )
        if dry_run:
            return found
        _rewrite_records(storage, person)
        remove_recorded_ids(storage, pl.Series("id", person.ids, dtype=pl.String))
        if not tainted:
            return found
        current = manifest
        if any(each.number == manifest.number for each in tainted):
            current = _publish_without(UpdateSession.start(opened, manifest, progress), person)
        kept = [each for each in manifests if each not in tainted]
        delete_snapshots(storage, [*kept, *([] if current is manifest else [current])])
        return replace(found, snapshot=current.number)


def _select_columns(name: str | None, manifest: Manifest) -> list[IdColumn]:
    if name is None:
        return manifest.id_columns
    columns = select_id_columns(name, manifest.id_columns)
    if not columns:
        raise ExpressionError(unknown_call_problem(name, None, list_id_calls(manifest.id_columns)))
    return columns


def _find_person(
    storage: Storage,
    manifests: Sequence[Manifest],
    current: Manifest,
    columns: Sequence[IdColumn],
    ids: tuple[str, ...],
) -> Person:
    """Find the devices that have one of *ids*, in all shards of *manifests*."""
    shards = {files.name: Shard(storage, files) for each in manifests for files in each.shards}
    deleted = read_deleted_rows(storage, current.deleted_rows)
    live = {files.name: shards[files.name].with_deleted(deleted.get(files.name)) for files in current.shards}
    wanted = pl.Series("id", ids, dtype=pl.String).unique()
    rows = {name: _rows_with_ids(shard, columns, wanted) for name, shard in shards.items()}
    numbers_with_id = _numbers_of(shards.values(), rows)
    of_live = {name: rows[name] & shard.live_rows for name, shard in live.items()}
    live_numbers = _numbers_of(live.values(), of_live)
    is_live = np.zeros(len(numbers_with_id), dtype=np.bool_)
    for shard in live.values():
        is_live |= shard.rows_of_numbers(numbers_with_id)[1]
    numbers = np.union1d(live_numbers, numbers_with_id[~is_live])
    for name, shard in shards.items():
        rows[name] |= bitmaps.rows_to_bitmap(np.sort(shard.rows_of_numbers(numbers)[0]))
    found = _collect_ids(shards, rows)
    others = _find_in_use(live.values(), rows, found)
    kept = {
        column: tuple(dict.fromkeys([*(ids if column in columns else ()), *sorted(values - others[column])]))
        for column, values in found.items()
    }
    asked = {column: ids for column in columns if column not in kept}
    return Person({name: each for name, each in rows.items() if each}, numbers, len(live_numbers), {**asked, **kept})


def _rows_with_ids(shard: Shard, columns: Iterable[IdColumn], ids: pl.Series) -> BitMap:
    matches = [id_search.find_in_column(shard, column, ids)["row"] for column in columns if column in shard.id_columns]
    return bitmaps.rows_to_bitmap(pl.concat([pl.Series("row", [], pl.UInt32), *matches]).unique().sort().to_numpy())


def _numbers_of(shards: Iterable[Shard], rows: Mapping[str, BitMap]) -> Numbers:
    parts = [shard.device_numbers(bitmaps.bitmap_to_rows(rows[shard.name])) for shard in shards]
    return np.unique(np.concatenate([np.empty(0, np.uint32), *parts]))


def _collect_ids(shards: Mapping[str, Shard], rows: Mapping[str, BitMap]) -> dict[IdColumn, set[str]]:
    """Return the ids of single devices that are in some rows, by their column."""
    found: dict[IdColumn, set[str]] = {}
    for name, shard in shards.items():
        for column in shard.id_columns:
            if column.is_device_id and rows[name]:
                ids = polars_bridge.read_ids_at(shard, column, bitmaps.bitmap_to_rows(rows[name]))
                values = ids.explode() if isinstance(ids.dtype, pl.List) else ids
                found.setdefault(column, set()).update(values.drop_nulls())
    return found


def _find_in_use(
    live: Iterable[Shard], rows: Mapping[str, BitMap], found: Mapping[IdColumn, set[str]]
) -> dict[IdColumn, set[str]]:
    """Return which of the ids *found* belong to live devices in other rows."""
    in_use: dict[IdColumn, set[str]] = {column: set() for column in found}
    for shard in live:
        for column, ids in found.items():
            if column in shard.id_columns and ids:
                matches = id_search.find_in_column(shard, column, pl.Series("id", sorted(ids)))
                own = rows[shard.name]
                in_use[column].update(id_ for row, id_ in matches.select("row", "id").iter_rows() if row not in own)
    return in_use


# Traces in a snapshot. ------------------------------------------------------------------------------------------------


def _has_trace(storage: Storage, manifest: Manifest, person: Person) -> bool:
    """Return whether a snapshot has a row, an event or a segment of a person."""
    return (
        any(files.name in person.rows for files in manifest.shards)
        or any(names_any(storage, entry, person.numbers, person.ids) for entry in manifest.event_files)
        or any(has_waiting(storage, file, person.ids) for file in manifest.waiting_events)
        or any(True for _ in _iter_tainted_segments(storage, manifest, person))
    )


def _iter_tainted_segments(storage: Storage, manifest: Manifest, person: Person) -> Iterator[tuple[str, Expr]]:
    """Yield the name and the expression of each saved segment that names an id of a person."""
    for name, text in manifest.segments.items():
        files = [read_id_list(storage, file) for file in manifest.segment_files.get(name, ())]
        expr = parse_saved(text, files)
        if _names_any(expr, person):
            yield name, expr


def _text_names_any(text: str, person: Person) -> bool:
    """Return whether a word of an expression is an id of a person; its files of ids are not known any more."""
    ids = {*person.ids}
    return any(unquote_token(token) in ids for token in tokenize(text))


def _names_any(expr: Expr | None, person: Person) -> bool:
    ids = {*person.ids}
    nodes = () if expr is None else walk_operands(expr)
    return any(isinstance(node, Ids) and not ids.isdisjoint(node.values) for node in nodes)


def remove_from_expr(expr: Expr, ids: Collection[str]) -> Expr:
    """Return *expr* without *ids* in its lists of ids; a list without any other id is nobody.

    >>> from audience.language.parser import parse
    >>> render(remove_from_expr(parse("vip OR alias(u1, u2) OR token(u1)"), {"u1"}))
    'vip OR alias(u2) OR nobody'
    """

    def remove(atom: Atom) -> Expr:
        if not isinstance(atom, Ids) or not any(value in ids for value in atom.values):
            return atom
        values = tuple(value for value in atom.values if value not in ids)
        files = tuple(_remove_from_file(file, ids) for file in atom.files)
        return Ids(atom.kind, values, tuple(file for file in files if file.ids)) if values else Nobody()

    return map_operands(expr, remove)


def _remove_from_file(file: IdFile, ids: Collection[str]) -> IdFile:
    kept = tuple(value for value in file.ids if value not in ids)
    return file if len(kept) == len(file.ids) else replace(file, ids=kept, digest=hash128("\n".join(kept).encode()))


# Writing. -------------------------------------------------------------------------------------------------------------


def _rewrite_records(storage: Storage, person: Person) -> None:
    """Remove the ids from policies, and keep their salted hashes."""
    policies = read_policies(storage).values()
    rewritten = [_remove_from_policy(policy, person) for policy in policies]
    contents = [
        forgotten_record(read_forgotten(storage).add(person.ids_by_column)),
        *cleared_history_records(storage, lambda text: _text_names_any(text, person)),
    ]
    replaced = list_policy_records(load_record_list(storage))
    replace_record_files(storage, [*contents, *(iter_policy_records(rewritten) if rewritten else ())], removed=replaced)


def _remove_from_policy(policy: Policy, person: Person) -> Policy:
    if not _names_any(policy.expr, person) or policy.expr is None:
        return policy
    remaining = remove_from_expr(policy.expr, {*person.ids})
    return replace(policy, expr=None if policy.kind == "suppress" and remaining == Nobody() else remaining)


def _publish_without(session: UpdateSession, person: Person) -> Manifest:
    """Publish the current snapshot without the rows, events and segments of a person."""
    storage, manifest = session.storage, session.manifest
    segments, segment_files = dict(manifest.segments), dict(manifest.segment_files)
    for name, expr in _iter_tainted_segments(storage, manifest, person):
        remaining = remove_from_expr(expr, {*person.ids})
        files = {file: None for node in walk_operands(remaining) if isinstance(node, Ids) for file in node.files}
        segments[name] = render(remaining)
        segment_files[name] = tuple(write_id_list(storage, file) for file in files)
    _remove_events(session.event_changes, person)
    changed = replace(
        manifest,
        segments=segments,
        segment_files={name: files for name, files in segment_files.items() if files},
    )
    shards = [_rewrite_shard(session, shard, person) for shard in session.shards]
    kept = [shard for shard in shards if shard.device_count] or shards[:1]
    description = f"forget: {format_count(person.device_count, 'device')}"
    changed = record_changes(storage, manifest, changed, operation="forget", by=None)
    return replace(session, manifest=changed).publish(kept, description, manifest.columns)


def _remove_events(changes: EventChanges, person: Person) -> None:
    """Write the files that have events of a person again without them. Names of batches stay known."""
    files, changes.files = changes.files, []
    for file in files:
        if not names_any(changes.storage, file.entry, person.numbers, person.ids):
            changes.files.append(file)
            continue
        entry = remove_devices_from_file(changes.storage, file.entry, person.numbers, person.ids, next(changes.names))
        if entry is None:
            changes.keep_batch_names(file.directory.batches)
        else:
            changes.files.append(OpenEventFile(changes.storage, entry))
    forget_waiting(changes, person.ids)


def _rewrite_shard(session: UpdateSession, shard: Shard, person: Person) -> Shard:
    """Return a shard without the rows of a person, encoded again, so that no value of them is left."""
    rows = person.rows.get(shard.name)
    if rows is None:
        return shard
    live = shard.with_deleted(rows if shard.deleted is None else rows | shard.deleted)
    return merge_shards([live], session.manifest.columns, session.storage, next(session.shard_names))
