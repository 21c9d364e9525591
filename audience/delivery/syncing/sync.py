"""Sync of the tags of one application: they become those of a snapshot.

    load_state ─▶ consolidate ─▶ start_sync ─▶ find_changes ─▶ pack_for ─▶ save_state, create_sync_ledger
                  the ledger     what is       what to set     the calls       │ from here on calls may be made
                  of the last    wanted        and to remove                   ▼
                                             end_sync, save_state ◀── make_calls

A process may die anywhere: the next one consolidates what the ledger has, and goes on with the difference.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from audience.activity_log import log_activity
from audience.delivery.syncing.consolidation import apply_outcomes, consolidate, pack_for
from audience.delivery.syncing.folder import LEDGER_FILE, lock_application, require_local_folder, sync_folder
from audience.delivery.syncing.ledger import SyncLedger, SyncRecord, create_sync_ledger
from audience.delivery.syncing.pieces import count_pairs
from audience.delivery.syncing.plan import SyncPlan, estimate_duration, plan_attributes
from audience.delivery.syncing.status import SyncStatus, load_sync_status
from audience.delivery.syncing.worker import SyncOptions, SyncTask, make_calls
from audience.errors import DeliveryError, Problem
from audience.index.storage.published import Storage
from audience.language.ast import Tag
from audience.tag_sync.changes import end_sync, find_changes, has_changes, rename_known, start_sync
from audience.tag_sync.desired import DesiredTags
from audience.tag_sync.last_index import LastIndex, find_other_index, write_last_index
from audience.tag_sync.obsolete import ObsoleteTags, find_obsolete, list_removals
from audience.tag_sync.packing import Packing
from audience.tag_sync.state import Application, TagState
from audience.tag_sync.storage import describe_state, load_state, save_state
from audience.tag_sync.tags import LeftOutTag, NamedScope, Scope, SyncedTag, TagChanges, join_scopes
from audience.vendors.delivery_spec import Credentials
from audience.vendors.spec import Vendor
from audience.vendors.tag_spec import TagSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncTarget:
    """Tags that an application is to have: those of a snapshot.

    Attributes:
        attributes: What the sync is about.
        desired: Tags of the devices of the snapshot.
        left_out: Tags that cannot be set at the vendor.
        find_tag: Returns the tag that the vendor calls by a name, also one that no device has; None if it is none of
            what the sync is about.
        is_current: Returns whether the catalog and the index still say that the vendor has a tag.
    """

    attributes: Mapping[str, NamedScope]
    desired: DesiredTags
    left_out: tuple[LeftOutTag, ...] = ()
    find_tag: Callable[[str], SyncedTag | None] = lambda name: None
    is_current: Callable[[Tag], bool] = lambda tag: True


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncCommand:
    """Request to sync one application.

    Attributes:
        storage: Storage of the index.
        vendor: The vendor.
        application: The application.
        credentials: Its credentials.
        target: Tags that it is to have.
        request: Options that `audience resume` needs to sync again, as JSON values.
        full: Whether nothing that is known of the vendor's tags is trusted.
        retry_unknown: Whether ids are tried again that the vendor did not know.
        remove_obsolete: Whether tags of earlier syncs are removed that the catalog and the index name no more.
        read: Reads the tags that the vendor has into a state, and returns whether no other device has one of them;
            None if what was synced is trusted.
        find_limits: Finds limits of the vendor that a device, a tag or the application would exceed.
    """

    storage: Storage
    vendor: Vendor
    application: Application
    credentials: Credentials
    target: SyncTarget
    request: Mapping[str, object] = field(default_factory=dict)
    full: bool = False
    retry_unknown: bool = False
    remove_obsolete: bool = False
    read: Callable[[TagState], tuple[TagState, bool]] | None = None
    find_limits: Callable[[TagState], list[Problem]] = lambda state: []

    @property
    def spec(self) -> TagSpec:
        """Return how the vendor takes changes of tags."""
        assert self.vendor.tags is not None, "the vendor takes tags"
        return self.vendor.tags

    @property
    def folder(self) -> Path:
        """Return the folder of the index."""
        return require_local_folder(self.storage.location)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSync:
    """Sync that can begin.

    Attributes:
        state: State of the application, in which the sync has begun.
        changes: What it changes.
        packing: The calls for that.
        plan: What is shown of it.
        waits_until: Moment by the boot clock before which no call leaves, as an earlier one may still arrive.
        late_until: Moment up to which an earlier call may arrive, whether it is waited for or not.
        unfinished: Tags whose last sync had not ended before.
    """

    state: TagState
    changes: TagChanges
    packing: Packing
    plan: SyncPlan
    waits_until: float | None
    late_until: float | None
    unfinished: Scope


def plan_sync(command: SyncCommand, options: SyncOptions) -> SyncPlan:
    """Return what a sync would do. Nothing is written, and no lock is taken."""
    folder = sync_folder(command.folder, command.application)
    return _prepare(command, load_state(command.storage, command.application), folder, options).plan


def run_sync(
    command: SyncCommand,
    options: SyncOptions,
    on_plan: Callable[[SyncPlan], None] = lambda plan: None,
    on_wait: Callable[[float], None] = lambda seconds: None,
) -> SyncStatus:
    """Make the tags of the application those of the target, and return the status of the sync.

    Args:
        command: The sync.
        options: Retries, concurrency and callbacks.
        on_plan: Called with the plan before the first call.
        on_wait: Called with the seconds that are waited for calls of an earlier sync.

    Raises:
        LockedError: Another process syncs the application, or changes the index.
        DeliveryError: A limit of the vendor would be exceeded. No call was made.
    """
    with lock_application(command.folder, command.application) as folder:
        state = load_state(command.storage, command.application)
        if problems := [*_find_other_index(command, state)]:
            raise DeliveryError(*problems)
        prepared = _prepare(command, state, folder, options, on_wait)
        on_plan(prepared.plan)
        if prepared.plan.problems:
            raise DeliveryError(*prepared.plan.problems)
        if not has_changes(prepared.changes):
            state = save_state(command.storage, _end(command, prepared, prepared.state, options), wait=options.wait)
            _note_index(command, state)
        else:
            state = _run_calls(command, prepared, folder, options, on_wait)
    return load_sync_status(command.folder, describe_state(state))


def _prepare(
    command: SyncCommand,
    state: TagState,
    folder: Path,
    options: SyncOptions,
    on_wait: Callable[[float], None] | None = None,
) -> PreparedSync:
    """Return the sync that makes the tags those of the target; with *on_wait* it is about to begin."""
    spec, now = command.spec, options.clock.read()
    consolidated = consolidate(state, folder / LEDGER_FILE, spec, options.retry.timeout, now)
    late_until, state, is_read = consolidated.late_until, consolidated.state, False
    unfinished, other_index = state.unfinished, [*_find_other_index(command, state)]
    if command.read is not None:
        if late_until is not None and on_wait is not None:  # what arrives after the reading would be missed
            _wait(late_until, options, on_wait)
            late_until = None
        state, is_read = command.read(state)
    scope = join_scopes(named.scope for named in command.target.attributes.values())
    state = rename_known(state, scope, command.target.find_tag)
    target, obsolete = _find_obsolete_tags(command, consolidated.state, state)
    waits = late_until is not None and not _is_same_target(consolidated.state, target)
    state = _start(command, target, state, started_at=now.wall, is_read=is_read)
    changes = find_changes(state)
    packing = pack_for(changes, spec)
    problems = (*other_index, *command.find_limits(state))
    return PreparedSync(
        state=state,
        changes=changes,
        packing=packing,
        plan=replace(_make_plan(command, target, state, changes, packing), obsolete=obsolete, problems=problems),
        waits_until=late_until if waits else None,
        late_until=late_until,
        unfinished=unfinished,
    )


def _find_obsolete_tags(
    command: SyncCommand, consolidated: TagState, known: TagState
) -> tuple[SyncTarget, tuple[ObsoleteTags, ...]]:
    """Return the target, which also removes obsolete tags if *command* asks for it, and those that it leaves."""
    target = command.target
    obsolete = find_obsolete(known, target.is_current)
    if not command.remove_obsolete:
        return target, obsolete
    removals = list_removals(consolidated, obsolete, target.is_current)
    return replace(target, attributes={**removals, **target.attributes}), ()


def _start(command: SyncCommand, target: SyncTarget, state: TagState, *, started_at: float, is_read: bool) -> TagState:
    """Return *state* with a sync to *target* that has begun."""
    return start_sync(
        state,
        target.desired.tags,
        target.attributes,
        snapshot=target.desired.snapshot,
        devices_digest=target.desired.devices_digest,
        started_at=started_at,
        full=command.full,
        retry_unknown=command.retry_unknown,
        is_read=is_read,
    )


def _make_plan(
    command: SyncCommand, target: SyncTarget, state: TagState, changes: TagChanges, packing: Packing
) -> SyncPlan:
    """Return what is shown of a sync before its calls, without obsolete tags and problems."""
    return SyncPlan(
        application=command.application,
        vendor=command.vendor.name,
        snapshot=target.desired.snapshot,
        attributes=plan_attributes(state, changes),
        calls=packing.count,
        min_calls=packing.minimum,
        seconds=estimate_duration(packing, command.spec),
        unknown_ids=len(state.unknown_ids),
        without_id=target.desired.without_id,
        rejected_ids=target.desired.rejected,
        rejected_examples=target.desired.examples,
        left_out=target.left_out,
    )


def _find_other_index(command: SyncCommand, state: TagState) -> Iterator[Problem]:
    """Yield a problem if another index has synced since, and the sync takes what was synced for granted."""
    other = find_other_index(command.application, state.source)
    if other and not command.full and command.read is None:
        application = command.application
        message = f"tags of {application.family} at {application.host} were last synced from another index: {other}"
        readable = "" if command.spec.reading is None else "; or --from-vendor, which finds what the other one has set"
        hint = f"sync from one index only; to go on from here, sync with --full, which sets every tag again{readable}"
        yield Problem("synced-from-another-index", message, hint=hint)


def _note_index(command: SyncCommand, state: TagState) -> None:
    """Let other indexes of this user notice the sync."""
    location = str(Path(command.storage.location).absolute())
    write_last_index(command.application, LastIndex(state.source, location))


def _is_same_target(state: TagState, target: SyncTarget) -> bool:
    """Return whether the sync that has begun sets and removes what this one would."""
    started = state.started
    return (
        started is not None
        and started.devices_digest == target.desired.devices_digest
        and dict(started.attributes) == dict(target.attributes)
    )


def _end(command: SyncCommand, prepared: PreparedSync, state: TagState, options: SyncOptions) -> TagState:
    """Return the ended *state*. An attribute of which nothing was changed is effective when it was before."""
    ended = end_sync(state, ended_at=options.clock.wall(), delay=command.spec.delay)
    attributes, named = dict(ended.attributes), state.started.attributes if state.started is not None else {}
    for name, before in state.attributes.items():
        scope = before.named.scope
        is_clean = not scope.overlaps(prepared.unfinished) and not _has_changes_in(scope, prepared.changes)
        if is_clean and name in named:
            attributes[name] = replace(attributes[name], effective_at=before.effective_at)
    return replace(ended, attributes=attributes)


def _has_changes_in(scope: Scope, changes: TagChanges) -> bool:
    rows = zip(changes.tags, changes.added, changes.removed, strict=True)
    return any(tag.tag in scope and (added or removed) for tag, added, removed in rows)


def _run_calls(
    command: SyncCommand,
    prepared: PreparedSync,
    folder: Path,
    options: SyncOptions,
    on_wait: Callable[[float], None],
) -> TagState:
    """Make the calls of a sync, and record its end if all of them are done. Return the state."""
    late_until = prepared.late_until
    if prepared.waits_until is not None:
        _wait(prepared.waits_until, options, on_wait)
        late_until = None
    started = prepared.state.started
    assert started is not None
    state = replace(prepared.state, started=replace(started, packing=prepared.packing.digest))
    state = save_state(command.storage, state, wait=options.wait)
    _note_index(command, state)
    record = _make_record(command, state, prepared, options, late_until)
    create_sync_ledger(folder / LEDGER_FILE, record, prepared.packing.count)
    task = SyncTask(
        number=state.number,
        vendor=command.vendor,
        spec=command.spec,
        credentials=command.credentials,
        key_type=command.application.key_type,
        changes=prepared.changes,
        packing=prepared.packing,
    )
    with SyncLedger(folder / LEDGER_FILE) as ledger:
        log_activity("sync-started", sync=state.number, vendor=record.vendor, calls=prepared.packing.count)
        make_calls(ledger, task, options)
        pending = prepared.packing.count - len(ledger.list_calls("done"))
        log_activity("sync-ended", sync=state.number, vendor=record.vendor, pending=pending)
        if pending:
            return state
        state = apply_outcomes(state, prepared.changes, prepared.packing, ledger)
        state = save_state(command.storage, _end(command, prepared, state, options), wait=options.wait)
        with ledger.transaction():
            ledger.query("end_sync", now=options.clock.wall())
    return state


def _wait(moment: float, options: SyncOptions, on_wait: Callable[[float], None]) -> None:
    """Wait until *moment* of the boot clock."""

    async def wait() -> None:
        while (remaining := moment - options.clock.boot()) > 0:
            await options.clock.sleep(remaining)

    seconds = moment - options.clock.boot()
    if seconds > 0:
        on_wait(seconds)
        asyncio.run(wait())


def _make_record(
    command: SyncCommand, state: TagState, prepared: PreparedSync, options: SyncOptions, late_until: float | None
) -> SyncRecord:
    now = options.clock.read()
    return SyncRecord(
        number=state.number,
        packing=prepared.packing.digest,
        vendor=command.vendor.name,
        host=command.application.host,
        request=orjson.dumps(dict(command.request)).decode(),
        pair_count=sum(map(count_pairs, prepared.packing.calls)),
        timeout=options.retry.timeout,
        boot_id=now.boot_id,
        late_until=late_until,
        created_at=now.wall,
    )
