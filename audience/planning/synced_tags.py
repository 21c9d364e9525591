"""Tags that a sync has set at a vendor: which of them a native request may name, and what it takes for granted.

Whether the vendor has an attribute that was never synced is decided by the catalog. An attribute that was synced at any
application is native at an application only while the vendor has the same tags there as the index:

    a sync has ended there, and none has begun since
    pushes follow its changes
    the catalog still gives the same names
    no device's value differs from what the sync has set

Bare tags are checked one by one. All requests of a plan go to one application, so that all attributes of the plan must
be native there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from audience.counts import format_count
from audience.errors import Problem
from audience.language.ast import AttributeAtom, Expr, Tag, atoms
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.planning.vouching import Vouched
from audience.span import Span
from audience.vendors.spec import Payload, Unsupported, Vendor

if TYPE_CHECKING:  # plans without an index load no bitmaps
    from audience.tag_sync.state import Application, AttributeSync, StateFacts
    from audience.tag_sync.tags import Scope

STALE_AT_VENDOR = "stale-at-vendor"  # code of tags that were synced and are not those of the index any more


@dataclass(frozen=True, slots=True)
class TagGroup:
    """Tags that a plan looks at together: a bare tag, or all values of an attribute.

    >>> str(TagGroup("tag", "vip")), str(TagGroup("province"))
    ('vip', 'province')
    """

    type: str
    value: str | None = None

    def __str__(self) -> str:
        return self.type if self.value is None else self.value

    def is_in(self, scope: "Scope") -> bool:
        """Return whether *scope* has all of the tags."""
        return self.type in scope.types or (self.value is not None and Tag(self.type, self.value) in scope)

    def overlaps(self, scope: "Scope") -> bool:
        """Return whether *scope* has any of the tags."""
        return self.is_in(scope) or (self.value is None and any(tag.type == self.type for tag in scope.tags))


@dataclass(frozen=True, slots=True)
class PlannedSync:
    """Sync that a native request rests on: of one attribute, or one bare tag, at one application.

    Attributes:
        group: Tags that are native by it.
        application: The application.
        sync: The sync that has set them, perhaps with others.
        unknown_ids: Number of ids that the vendor did not know then.
        age: Seconds from its end to the plan.
    """

    group: TagGroup
    application: "Application"
    sync: "AttributeSync"
    unknown_ids: int = 0
    age: float = field(default=0.0, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return what manifests say about the sync."""
        sync = self.sync
        return {
            "attribute": str(self.group),
            "type": self.group.type,
            "value": self.group.value,
            "family": self.application.family,
            "application": self.application.digest,
            "host": self.application.host,
            "key_type": self.application.key_type,
            "snapshot": sync.snapshot,
            "devices_digest": sync.devices_digest,
            "naming": sync.named.naming,
            "ended_at": format_timestamp(sync.ended_at),
            "effective_at": format_timestamp(sync.effective_at),
            "age_seconds": round(self.age, 3),
            "is_read": sync.is_read,
            "unknown_ids": self.unknown_ids,
        }


@dataclass(frozen=True, slots=True)
class StaleTags:
    """Attribute, or bare tag, of which a vendor may not have what the index has.

    Attributes:
        group: The tags.
        application: Application at which it is so.
        reason: Why, as a part of a sentence.
        effective_at: When pushes follow the last sync, as a Unix timestamp, if that is all that is waited for.
        remedy: What makes the tags those of the index, if that is not a sync of them.
    """

    group: TagGroup
    application: "Application"
    reason: str
    effective_at: float | None = None
    remedy: str = ""


class SyncedApplication(Protocol):
    """Application of a vendor at which tags were synced, compared with a snapshot of an index."""

    @property
    def facts(self) -> "StateFacts":
        """Return the facts of the syncs of the application."""

    def has_same_names(self, sync: "AttributeSync") -> bool:
        """Return whether the catalog still gives the tags of *sync* the names that they had then."""

    def find_tag(self, name: str) -> Tag | None:
        """Return the tag of the index of which the vendor's *name* was set at any device, or None."""

    def find_difference(self, sync: "AttributeSync", atom: AttributeAtom) -> str | None:
        """Return how the tags of *atom* that *sync* has set differ from those of the index, or None."""

    def find_name_problem(self, tag: Tag) -> Problem | None:
        """Return why no call can set *tag*, or None."""

    def has_other_spelling(self, tag: Tag) -> bool:
        """Return whether the index spells the value of *tag* otherwise, so that the sync has set another name."""

    def count_without_key(self, group: TagGroup) -> int:
        """Return the devices with tags of *group* that have an id, and nothing to which tags are bound there."""


@dataclass(frozen=True, slots=True)
class SyncedTags:
    """Tags that were synced at one application.

    Attributes:
        here: The application; None if tags were synced at none.
        elsewhere: The other applications of the vendor at which tags were synced.
        now: Unix timestamp of the plan.
        find_name: Returns the vendor's name for a tag.
    """

    here: SyncedApplication | None = None
    elsewhere: tuple[SyncedApplication, ...] = ()
    now: float = 0.0
    find_name: Callable[[Tag], str] = render
    _stale: dict[AttributeAtom, StaleTags | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def is_synced(self, atom: AttributeAtom) -> bool:
        """Return whether tags that *atom* is about were ever synced, or are being synced, at any application."""
        return any(_is_synced(each.facts, group_of(atom)) for each in self._applications)

    @property
    def _applications(self) -> tuple[SyncedApplication, ...]:
        return self.elsewhere if self.here is None else (self.here, *self.elsewhere)

    def find_stale(self, atom: AttributeAtom) -> StaleTags | None:
        """Return why the vendor may not have what *atom* asks for as the index has it, or None."""
        if self.here is None:
            return None
        if atom not in self._stale:
            self._stale[atom] = self._describe_stale(atom, self.here)
        return self._stale[atom]

    def _describe_stale(self, atom: AttributeAtom, here: SyncedApplication) -> StaleTags | None:
        group, application = group_of(atom), here.facts.application
        if reason := self._find_reason(atom, here):
            return StaleTags(group, application, reason, remedy=self._find_remedy(atom, here))
        sync = find_ended_sync(here.facts, group)
        if sync is None or sync.effective_at <= self.now:
            return None
        until = format_timestamp(sync.effective_at)
        reason, remedy = f"pushes may follow older tags until {until}", "wait until then: a sync would change nothing"
        return StaleTags(group, application, reason, sync.effective_at, remedy)

    def _find_remedy(self, atom: AttributeAtom, here: SyncedApplication) -> str:
        """Return what helps where a sync of the attribute is not what does."""
        facts = here.facts
        if isinstance(atom, Tag) and self.is_synced(atom) and (problem := here.find_name_problem(atom)):
            return problem.hint or ""
        is_begun = facts.started is not None and group_of(atom).overlaps(facts.started.scope)
        return "run `audience resume INDEX`" if is_begun and not (facts.is_copy or facts.other_index) else ""

    def find_sync(self, atom: AttributeAtom) -> PlannedSync | None:
        """Return the sync that has set what *atom* asks for, or None."""
        facts = None if self.here is None else self.here.facts
        sync = None if facts is None else find_ended_sync(facts, group_of(atom))
        if self.here is None or facts is None or sync is None:
            return None
        if sync.is_read and isinstance(atom, Tag) and self.here.find_tag(self.find_name(atom)) is None:
            sync = replace(sync, is_read=False)  # its devices were not counted, as no device of the index has it
        age = max(0.0, self.now - sync.ended_at)
        return PlannedSync(group_of(atom), facts.application, sync, facts.unknown_ids, age)

    def _find_reason(self, atom: AttributeAtom, here: SyncedApplication) -> str | None:
        facts, group = here.facts, group_of(atom)
        if not self.is_synced(atom):
            return self._find_foreign_name(atom)
        if isinstance(atom, Tag) and (problem := here.find_name_problem(atom)):
            return f"no call can set it: {problem.message}"
        if is_being_synced(facts, group):
            return describe_open_sync(facts)
        sync = find_ended_sync(facts, group)
        if sync is None:
            is_here = _is_synced(facts, group)
            return "only some of its tags were synced" if is_here else "it was synced for another application only"
        if not here.has_same_names(sync):
            return f"the catalog has other names for it than at the sync to snapshot {sync.snapshot:,}"
        if isinstance(atom, Tag) and here.has_other_spelling(atom):
            return f"the index spells {render(atom)} otherwise, and the sync has set that spelling"
        if other := self._find_other_owner(atom, here):
            return other
        if difference := here.find_difference(sync, atom):
            return difference
        if without_key := here.count_without_key(group):
            kind = facts.application.key_type
            return f"{format_count(without_key, 'device')} with it without the {kind} to which the sync has bound tags"
        return None

    def _find_other_owner(self, atom: AttributeAtom, here: SyncedApplication) -> str | None:
        """Return a reason if devices have the name of *atom* from a tag that no sync of its attribute is about."""
        if not isinstance(atom, Tag):
            return None
        name = self.find_name(atom)
        other = here.find_tag(name)
        return None if other is None or group_of(other) == group_of(atom) else _describe_owner(name, other)

    def _find_foreign_name(self, atom: AttributeAtom) -> str | None:
        """Return a reason if a tag that was never synced has a name that a sync has set for another tag.

        A request without synced tags may go to any of the applications.
        """
        if not isinstance(atom, Tag):
            return None
        name = self.find_name(atom)
        others = (each.find_tag(name) for each in self._applications if _may_have_other_names(each))
        other = next((tag for tag in others if tag not in (None, atom)), None)
        return None if other is None else _describe_owner(name, other)


def _describe_owner(name: str, tag: Tag) -> str:
    return f"a sync has set {name!r} for {render(tag)}"


def _may_have_other_names(application: SyncedApplication) -> bool:
    """Return whether a name may be that of another tag now: while the catalog is that of the syncs, none is."""
    facts = application.facts
    is_unfinished = facts.started is not None or bool(facts.unfinished)
    return is_unfinished or not all(map(application.has_same_names, facts.attributes.values()))


def group_of(atom: AttributeAtom) -> TagGroup:
    """Return the tags that must be those of the index for *atom* to be: a bare tag, or all values of an attribute."""
    return TagGroup(atom.type, atom.value if isinstance(atom, Tag) and atom.type == UNTYPED else None)


def is_being_synced(facts: "StateFacts", group: TagGroup) -> bool:
    """Return whether a sync of any tag of *group* has begun and not ended."""
    return group.overlaps(facts.unfinished) or (facts.started is not None and group.overlaps(facts.started.scope))


def describe_open_sync(facts: "StateFacts") -> str:
    """Return why the vendor may have tags of two snapshots, as a part of a sentence."""
    if facts.other_index:
        return f"another index has synced since: {facts.other_index}"
    if facts.is_copy:
        return "this index is a copy, and nothing is known of later syncs from the original"
    return "a sync has begun and not ended"


def find_ended_sync(facts: "StateFacts", group: TagGroup) -> "AttributeSync | None":
    """Return the last sync that has set all tags of *group*, or None."""
    ended = [sync for sync in facts.attributes.values() if group.is_in(sync.named.scope)]
    return max(ended, key=lambda sync: sync.ended_at, default=None)


def _is_synced(facts: "StateFacts", group: TagGroup) -> bool:
    return is_being_synced(facts, group) or any(group.overlaps(sync.named.scope) for sync in facts.attributes.values())


def format_timestamp(timestamp: float) -> str:
    """Return a Unix timestamp in UTC.

    >>> format_timestamp(1_700_000_000.25)
    '2023-11-14T22:13:20.250Z'
    """
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def describe_syncs(syncs: Iterable[PlannedSync]) -> list[str]:
    """Return a line for each application and snapshot of *syncs*: what was synced to it, when, and where."""
    names: dict[tuple[str, int, float, float], list[str]] = {}
    for each in syncs:
        key = each.application.host, each.sync.snapshot, each.sync.ended_at, each.age
        names.setdefault(key, []).append(str(each.group))
    return [
        f"{', '.join(attributes)} to snapshot {snapshot:,}, {format_age(age)} ago, at {host}"
        for (host, snapshot, _, age), attributes in names.items()
    ]


def format_age(seconds: float) -> str:
    """Return a duration in its largest unit.

    >>> format_age(7), format_age(60), format_age(7_300), format_age(200_000)
    ('7 seconds', '1 minute', '2 hours', '2 days')
    """
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return format_count(int(seconds // size), unit)
    return format_count(int(seconds), "second")


def refuse_stale_tags(vendor: Vendor, synced: SyncedTags, vouched: Vouched) -> Vendor:
    """Return *vendor* without its stale tags: those whose devices at the vendor may differ from the index.

    Args:
        vendor: Vendor whose functions translate the names of the catalog.
        synced: Tags that were synced at the application that requests go to.
        vouched: Types that are not refused.
    """
    if synced.here is None:
        return vendor

    def emit(expr: Expr) -> Payload:
        stale = find_stale([expr], synced, vouched)
        if not stale:
            return vendor.emit(expr)
        problems = _emit_problems(expr, vendor)
        raise Unsupported([*problems, *(stale_problem(each, vendor, _find_span(each, expr)) for each in stale)])

    def tag_problems(tag: Tag) -> list[Problem]:
        stale = find_stale([tag], synced, vouched)
        return [*vendor.tag_problems(tag), *(stale_problem(each, vendor, tag.span) for each in stale)]

    return replace(vendor, emit=emit, tag_problems=tag_problems)


def find_stale(exprs: Iterable[Expr], synced: SyncedTags, vouched: Vouched) -> list[StaleTags]:
    """Return the attributes and bare tags of *exprs* that are stale and not *vouched* for."""
    stale = [synced.find_stale(atom) for atom in _list_attribute_atoms(exprs) if atom.type not in vouched]
    return list(dict.fromkeys(each for each in stale if each is not None))


def find_syncs(exprs: Iterable[Expr], synced: SyncedTags, vouched: Vouched) -> list[PlannedSync]:
    """Return the syncs of the attributes and bare tags of *exprs* that are not *vouched* for."""
    syncs = [synced.find_sync(atom) for atom in _list_attribute_atoms(exprs) if atom.type not in vouched]
    by_group: dict[TagGroup, PlannedSync] = {}
    for each in filter(None, syncs):
        first = by_group.setdefault(each.group, each)
        if not each.sync.is_read:
            by_group[each.group] = replace(first, sync=each.sync)
    return list(by_group.values())


def stale_problem(stale: StaleTags, vendor: Vendor, span: Span | None = None) -> Problem:
    """Return the reason for ids, with what makes the tags those of the index: a command, or time."""
    return _describe_alike([stale], vendor.name, span)


def merge_stale_problems(problems: Sequence[Problem], stale: Iterable[StaleTags], vendor: Vendor) -> list[Problem]:
    """Return *problems* with those merged into one that give the same reason for several tags of *stale*."""
    alike: dict[tuple[str, str], list[StaleTags]] = {}
    for each in stale:
        alike.setdefault((each.reason, each.remedy), []).append(each)
    merged = {
        stale_problem(each, vendor).message: _describe_alike(group, vendor.name)
        for group in alike.values()
        if len(group) > 1
        for each in group
    }
    return list(dict.fromkeys(merged.get(problem.message, problem) for problem in problems))


def _describe_alike(stale: Sequence[StaleTags], vendor: str, span: Span | None = None) -> Problem:
    """Return the reason for ids that all of *stale* give."""
    names = [str(each.group) for each in stale]
    message = f"{vendor} may not have {', '.join(names)} as the index has {'it' if len(names) == 1 else 'them'}"
    command = f"audience sync INDEX --vendor {vendor} --catalog FILE --attributes {','.join(names)}"
    vouched = ",".join(dict.fromkeys(each.group.type for each in stale))
    hint = f"{stale[0].remedy or f'run `{command}`'}; or vouch: --vendor-has {vouched}"
    return Problem(STALE_AT_VENDOR, f"{message}: {stale[0].reason}", span, hint=hint)


def list_sync_assumptions(
    exprs: Iterable[Expr], synced: SyncedTags, vouched: Vouched, vendor: Vendor
) -> Iterator[Problem]:
    """Yield what native requests of *exprs* take for granted about tags that were synced."""
    exprs = list(exprs)
    if names := _list_vouched(exprs, synced, vouched):
        message = f"{vendor.name} has these tags as the index has them, as --vendor-has vouches for: {', '.join(names)}"
        yield Problem("vendor-has", message)
    syncs = find_syncs(exprs, synced, vouched)
    if unread := ", ".join(str(each.group) for each in syncs if not each.sync.is_read):
        message = f"no other device at {vendor.name} has a tag of {unread}, none had one before the first sync, "
        message += "and no index on another machine syncs it"
        yield Problem("vendor-devices", message)
    if unknown := max((each.unknown_ids for each in syncs), default=0):
        message = (
            f"{vendor.name} still does not know {format_count(unknown, 'id')} that it did not know at the last sync"
        )
        yield Problem("unknown-at-sync", message)


def _list_vouched(exprs: Iterable[Expr], synced: SyncedTags, vouched: Vouched) -> list[str]:
    vouched_atoms = [atom for atom in _list_attribute_atoms(exprs) if atom.type in vouched and synced.is_synced(atom)]
    return list(dict.fromkeys(str(group_of(atom)) for atom in vouched_atoms))


def _list_attribute_atoms(exprs: Iterable[Expr]) -> list[AttributeAtom]:
    found = (atom for expr in exprs for atom in atoms(expr) if isinstance(atom, AttributeAtom))
    return list(dict.fromkeys(found))


def _find_span(stale: StaleTags, expr: Expr) -> Span | None:
    """Return the place of the first atom of *expr* that is about *stale* tags."""
    return next((atom.span for atom in _list_attribute_atoms([expr]) if group_of(atom) == stale.group), None)


def _emit_problems(expr: Expr, vendor: Vendor) -> list[Problem]:
    """Return why *vendor* cannot express *expr*, whether its tags are stale or not."""
    try:
        vendor.emit(expr)
    except Unsupported as error:
        return list(error.problems)
    return []
