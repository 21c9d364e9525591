"""Differences between the tags that a vendor has and the tags that it should have, and the state after the calls.

    start_sync(state, wanted, …)      what is wanted, beside what is known; unfinished from here on
    find_changes(state)               the tags to set and to remove
    apply_calls(state, outcomes)      what calls have done, what is in doubt, which ids are unknown
    end_sync(state, …)                nothing is left to change

All of these are pure functions. A tag in doubt is set or removed again, which is harmless if the vendor has done so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import polars as pl

from audience.index.storage.bitmaps import BitMap, bitmap_to_rows
from audience.tag_sync.alignment import arrange_rows, merge_ids, merge_tags, move_bitmap, move_rows
from audience.tag_sync.state import AttributeSync, StartedSync, TagState
from audience.tag_sync.tags import DeviceTags, NamedScope, Rows, Scope, SyncedTag, TagChanges


@dataclass(frozen=True, slots=True)
class TagPairs:
    """Pairs of a device and a tag that calls set, and those that they remove, as rows of a `TagChanges`."""

    added: Rows
    removed: Rows


@dataclass(frozen=True, slots=True)
class CallOutcomes:
    """Outcomes of calls, in rows of the changes that they were made for.

    Attributes:
        done: Changes that the vendor has made.
        doubtful: Changes of calls whose reply is not known.
        unknown_ids: Ids that the vendor does not know: nothing was changed for them.
    """

    done: TagPairs
    doubtful: TagPairs
    unknown_ids: BitMap = field(default_factory=BitMap)


def start_sync(
    state: TagState,
    wanted: DeviceTags,
    attributes: Mapping[str, NamedScope],
    *,
    snapshot: int,
    devices_digest: str,
    started_at: float,
    full: bool = False,
    retry_unknown: bool = False,
    is_read: bool = False,
) -> TagState:
    """Return *state* with a sync that has begun, whose changes `find_changes` returns.

    A sync that has begun before and not ended is given up. What its calls have done must have been applied, or its
    changes doubted. Its tags stay unfinished unless this sync is about them.

    Args:
        state: State of the application.
        wanted: Tags of the snapshot that are in the scope of *attributes*.
        attributes: What the sync is about.
        snapshot: Number of the snapshot.
        devices_digest: Digest of its devices.
        started_at: Unix timestamp.
        full: Trust nothing that is known: set all tags again, and remove all others that were ever synced.
        retry_unknown: Try ids again that the vendor did not know.
        is_read: Whether the known tags were read from the vendor, and no other device has one of them.
    """
    started = StartedSync(
        number=state.number + 1,
        attributes=dict(attributes),
        snapshot=snapshot,
        devices_digest=devices_digest,
        started_at=started_at,
        is_read=is_read,
    )
    state = forget_known(state, started.scope) if full else state
    if full or retry_unknown:
        state = replace(state, unknown_ids=BitMap())
    merged = merge_ids(state.known.ids, wanted.ids)
    tags = merge_tags(state.known.tags, wanted.tags)
    doubtful = DeviceTags(state.known.ids, state.known.tags, state.doubtful)
    return replace(
        state,
        number=started.number,
        known=DeviceTags(merged.ids, tags, arrange_rows(state.known, tags, merged.first)),
        doubtful=arrange_rows(doubtful, tags, merged.first),
        unknown_ids=move_bitmap(state.unknown_ids, merged.first),
        unfinished=state.unfinished | started.scope | _find_renamed(state, wanted, started.scope),
        started=started,
        wanted=arrange_rows(wanted, tags, merged.second),
    )


def _find_renamed(state: TagState, wanted: DeviceTags, scope: Scope) -> Scope:
    """Return the tags of *state* outside of *scope* whose name is that of a wanted tag now."""
    names = {tag.name for tag in wanted.tags}
    return Scope(tags=frozenset(tag.tag for tag in state.known.tags if tag.name in names and tag.tag not in scope))


def rename_known(state: TagState, scope: Scope, find_tag: Callable[[str], SyncedTag | None]) -> TagState:
    """Return *state* with each known tag outside of *scope* replaced by the tag of *scope* that has its name now.

    A sync then removes the name from devices of the earlier tag, also if no device has the new one.

    Args:
        state: State of the application.
        scope: Tags that are about to be synced.
        find_tag: Returns the tag of *scope* that the vendor calls by a name, or None.
    """
    tags = [tag if tag.tag in scope else find_tag(tag.name) or tag for tag in state.known.tags]
    renamed = Scope(tags=frozenset(old.tag for old, new in zip(state.known.tags, tags, strict=True) if old != new))
    known = replace(state.known, tags=tuple(tags))
    return replace(state, known=known, unfinished=state.unfinished | renamed)


def find_changes(state: TagState) -> TagChanges:
    """Return the changes that a started sync has left to make, which are a function of *state* alone.

    A device that the vendor did not know gets none. Tags outside of the scope of the sync are not changed.
    """
    assert state.started is not None
    scope, unknown = state.started.scope, state.unknown_ids
    added, removed, present, others, accepted = [], [], [], [], []
    for tag, known, doubtful, wanted in zip(
        state.known.tags, state.known.rows, state.doubtful, state.wanted, strict=True
    ):
        is_concerned = tag.tag in scope
        certain = known - doubtful if doubtful else known
        added.append(wanted - certain - unknown if is_concerned else BitMap())
        removed.append((known | doubtful) - wanted - unknown if is_concerned else BitMap())
        present.append((certain & wanted) - unknown if is_concerned else BitMap())
        others.append(BitMap() if is_concerned else known | doubtful)
        accepted.append(bool(certain))
    return TagChanges(
        ids=state.known.ids,
        tags=state.known.tags,
        added=tuple(added),
        removed=tuple(removed),
        present=tuple(present),
        others=tuple(others),
        accepted=tuple(accepted),
    )


def has_changes(changes: TagChanges) -> bool:
    """Return whether there is anything to set or to remove."""
    return any(changes.added) or any(changes.removed)


def compare_tags(state: TagState, wanted: DeviceTags, attributes: Mapping[str, NamedScope]) -> TagChanges:
    """Return the changes of a sync of *attributes* without starting one, as `start_sync` and `find_changes` do."""
    started = start_sync(state, wanted, attributes, snapshot=0, devices_digest="", started_at=0)
    return find_changes(started)


def apply_calls(state: TagState, changes: TagChanges, outcomes: CallOutcomes) -> TagState:
    """Return *state* after calls for *changes*, which are those of this state or of an earlier one of the same sync.

    Pairs of a call that are no changes were at the vendor before, and are there now.
    """
    reached = outcomes.unknown_ids
    known, doubtful = [], []
    for position, (has, doubts) in enumerate(zip(state.known.rows, state.doubtful, strict=True)):
        added = (outcomes.done.added[position] & changes.added[position]) - reached
        removed = (outcomes.done.removed[position] & changes.removed[position]) - reached
        in_doubt = outcomes.doubtful.added[position] & changes.added[position]
        in_doubt |= outcomes.doubtful.removed[position] & changes.removed[position]
        known.append((has | added) - removed)
        doubtful.append((doubts - added - removed) | (in_doubt - added - removed) | (has & reached))
    return replace(
        state,
        known=replace(state.known, rows=tuple(known)),
        doubtful=tuple(doubtful),
        unknown_ids=state.unknown_ids | outcomes.unknown_ids,
    )


def doubt_changes(state: TagState) -> TagState:
    """Return *state* with all changes of its started sync in doubt: any of its calls may have been made."""
    changes = find_changes(state)
    pairs = TagPairs(changes.added, changes.removed)
    nothing = TagPairs(*[tuple(BitMap() for _ in changes.tags)] * 2)
    return apply_calls(state, changes, CallOutcomes(done=nothing, doubtful=pairs))


def forget_known(state: TagState, scope: Scope) -> TagState:
    """Return *state* in which every tag of *scope* that a device may have is in doubt."""
    doubtful = tuple(
        has | doubts if tag.tag in scope else doubts
        for tag, has, doubts in zip(state.known.tags, state.known.rows, state.doubtful, strict=True)
    )
    return replace(state, doubtful=doubtful)


def replace_known(state: TagState, read: DeviceTags, asked: pl.Series, scope: Scope) -> TagState:
    """Return *state* with the tags that were read from the vendor in the place of those that were known.

    Args:
        state: State of the application.
        read: Tags that the vendor has of some devices, those of *scope* only.
        asked: Ids whose tags were read, sorted, each once; all others keep what was known.
        scope: Tags that were read.
    """
    every = merge_ids(state.known.ids, asked)
    with_read = merge_ids(every.ids, read.ids)
    assert len(with_read.ids) == len(every.ids), "tags were read of ids that were not asked for"
    tags = merge_tags(state.known.tags, read.tags)
    answered = move_bitmap(BitMap(range(len(asked))), every.second)
    old = arrange_rows(state.known, tags, every.first)
    doubts = arrange_rows(DeviceTags(state.known.ids, state.known.tags, state.doubtful), tags, every.first)
    new = arrange_rows(read, tags, with_read.second)
    concerned = [tag.tag in scope for tag in tags]
    known = tuple((has - answered) | now if is_in else has for has, now, is_in in zip(old, new, concerned, strict=True))
    doubtful = tuple(each - answered if is_in else each for each, is_in in zip(doubts, concerned, strict=True))
    return replace(
        state,
        known=DeviceTags(every.ids, tags, known),
        doubtful=doubtful,
        unknown_ids=move_bitmap(state.unknown_ids, every.first),
        started=None,
        wanted=(),
    )


def end_sync(state: TagState, *, ended_at: float, delay: timedelta = timedelta(0)) -> TagState:
    """Return *state* at the end of its started sync, which has no change left.

    Args:
        state: State of the application.
        ended_at: Unix timestamp of the last call.
        delay: How long the vendor may take until pushes follow.
    """
    started = state.started
    assert started is not None and not has_changes(find_changes(state)), "the sync has changes left"
    ended = {
        name: AttributeSync(
            named=named,
            snapshot=started.snapshot,
            devices_digest=started.devices_digest,
            ended_at=ended_at,
            effective_at=ended_at + delay.total_seconds(),
            is_read=started.is_read,
        )
        for name, named in started.attributes.items()
    }
    others = {name: sync for name, sync in state.attributes.items() if name not in ended}
    attributes = {**others, **ended}
    return _drop_unused(
        replace(state, attributes=attributes, unfinished=state.unfinished - started.scope, started=None, wanted=())
    )


def _drop_unused(state: TagState) -> TagState:
    """Return *state* without tags that no device has, and without ids that have no tag and are known to the vendor."""
    kept = [at for at, rows in enumerate(state.known.rows) if rows or state.doubtful[at]]
    known, doubtful = ([rows[at] for at in kept] for rows in (state.known.rows, state.doubtful))
    used = BitMap.union(BitMap(), state.unknown_ids, *known, *doubtful)
    tags = tuple(state.known.tags[at] for at in kept)
    if len(used) == len(state.known.ids):
        return replace(state, known=DeviceTags(state.known.ids, tags, tuple(known)), doubtful=tuple(doubtful))
    rows = bitmap_to_rows(used)
    positions = np.zeros(len(state.known.ids), dtype=np.uint32)
    positions[rows] = np.arange(len(rows), dtype=np.uint32)
    ids = state.known.ids.gather(pl.Series(rows))
    return replace(
        state,
        known=DeviceTags(ids, tags, move_rows(known, positions)),
        doubtful=move_rows(doubtful, positions),
        unknown_ids=move_bitmap(state.unknown_ids, positions),
    )


def forget_untagged(state: TagState, ids: pl.Series) -> TagState:
    """Return *state* without those of *ids* that have no tag in it: ids that the vendor did not know."""
    positions = BitMap(np.flatnonzero(state.known.ids.is_in(ids.implode()).to_numpy()).tolist())
    return _drop_unused(replace(state, unknown_ids=state.unknown_ids - positions))


def name_device_tags(tags_by_id: Mapping[str, Iterable[SyncedTag]]) -> DeviceTags:
    """Return the tags of some devices by id as bitmaps.

    >>> from audience.language.ast import Tag
    >>> vip = SyncedTag(Tag("tag", "vip"), "vip")
    >>> name_device_tags({"b": [vip], "a": []}).rows
    (BitMap([1]),)
    """
    ids = sorted(tags_by_id)
    positions: dict[SyncedTag, list[int]] = {}
    for at, identifier in enumerate(ids):
        for tag in tags_by_id[identifier]:
            positions.setdefault(tag, []).append(at)
    rows: Sequence[BitMap] = [BitMap(found) for found in positions.values()]
    return DeviceTags(pl.Series("id", ids, pl.String), tuple(positions), tuple(rows))
