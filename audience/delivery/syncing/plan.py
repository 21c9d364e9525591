"""Plan of a sync: what it would change at the vendor, in how many calls, and how long that takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from audience.errors import Problem
from audience.index.storage.bitmaps import BitMap
from audience.tag_sync.costs import estimate_seconds
from audience.tag_sync.obsolete import ObsoleteTags
from audience.tag_sync.packing import Packing
from audience.tag_sync.state import Application, TagState
from audience.tag_sync.tags import LeftOutTag, Rows, Scope, SyncedTag, TagChanges
from audience.vendors.tag_spec import TagSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributePlan:
    """Plan of a sync for one attribute, or for one bare tag.

    Attributes:
        name: Name of the attribute or of the bare tag, as in `TagNames.attributes`.
        tags: Number of tags of the attribute that devices of the snapshot have.
        devices: Number of ids with at least one of these tags.
        added: Number of pairs of an id and a tag to set.
        removed: Number of pairs to remove.
    """

    name: str
    tags: int
    devices: int
    added: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPlan:
    """Plan of a sync.

    Attributes:
        application: The application.
        vendor: Name of the vendor.
        snapshot: Number of the snapshot whose tags the vendor gets.
        attributes: What is done for each attribute.
        calls: Number of calls.
        min_calls: Number of calls below which no calls of the vendor's forms make the changes.
        seconds: Duration at the vendor's rate limits.
        unknown_ids: Number of ids that the vendor did not know, which are not tried again.
        without_id: Number of devices without an id.
        rejected_ids: Number of ids that the vendor does not take.
        rejected_examples: Some of them.
        left_out: Tags that cannot be set at the vendor.
        obsolete: Tags of earlier syncs that stay at the vendor, and that the catalog and the index name no more.
        problems: Limits of the vendor that would be exceeded, and other reasons not to begin.
    """

    application: Application
    vendor: str
    snapshot: int
    attributes: tuple[AttributePlan, ...]
    calls: int
    min_calls: int
    seconds: float
    unknown_ids: int
    without_id: int = 0
    rejected_ids: int = 0
    rejected_examples: tuple[str, ...] = ()
    left_out: tuple[LeftOutTag, ...] = ()
    obsolete: tuple[ObsoleteTags, ...] = ()
    problems: tuple[Problem, ...] = ()


def plan_attributes(state: TagState, changes: TagChanges) -> tuple[AttributePlan, ...]:
    """Return what *changes*, those of the started sync of *state*, are for each of its attributes."""
    assert state.started is not None
    return tuple(
        _plan_attribute(name, named.scope, state, changes) for name, named in sorted(state.started.attributes.items())
    )


def _plan_attribute(name: str, scope: Scope, state: TagState, changes: TagChanges) -> AttributePlan:
    wanted = _select(state.wanted, changes.tags, scope)
    return AttributePlan(
        name=name,
        tags=sum(map(bool, wanted)),
        devices=len(BitMap.union(BitMap(), *wanted)),
        added=sum(map(len, _select(changes.added, changes.tags, scope))),
        removed=sum(map(len, _select(changes.removed, changes.tags, scope))),
    )


def _select(rows: Rows, tags: Sequence[SyncedTag], scope: Scope) -> list[BitMap]:
    return [bitmap for tag, bitmap in zip(tags, rows, strict=True) if tag.tag in scope]


def estimate_duration(packing: Packing, spec: TagSpec) -> float:
    """Return the seconds that the calls of *packing* take at the vendor's rate limits."""
    return estimate_seconds((call.form for call in packing.calls), spec)
