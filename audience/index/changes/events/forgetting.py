"""Forget events: all of a name, or those before a day."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from audience.errors import Problem, TableError
from audience.index.changes.session import UpdateSession
from audience.index.ingest.events.event_changes import EventChanges
from audience.index.ingest.events.waiting import keep_waiting_rows
from audience.index.storage.events.writer import EventRows
from audience.index.storage.manifest import EventRange
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.language.suggest import did_you_mean
from audience.progress import Progress


@dataclass(frozen=True, slots=True)
class ForgottenEvents:
    """Result of forgetting events: the number of the current snapshot, and how many events of each name are gone."""

    snapshot: int
    forgotten: int
    names: tuple[str, ...]


def forget_events(
    opened: Snapshot, name: str | None, before: int | None, wait: float, progress: Progress
) -> ForgottenEvents:
    """Forget events; older snapshots keep them until they are vacuumed.

    Args:
        opened: Snapshot of the index; what it has read is not read again.
        name: Name of the events; None for all names.
        before: First day that is kept, since 1970-01-01; None to forget all days.
        wait: Seconds to wait for another writer.
        progress: Progress callback.

    Raises:
        TableError: The index has no events of this name.
        LockedError: Another process changes the index.
    """
    if name is None and before is None:
        hint = "use the name of an event, or --before DAY"
        raise TableError(Problem("nothing-named", "neither a name nor a day of events was given", hint=hint))
    with lock_for_update(opened.storage, "events forget", wait) as manifest:
        session = UpdateSession.start(opened, manifest, progress)
        changes = session.event_changes
        names = changes.event_names()
        if name is not None and name not in names:
            hint = did_you_mean(name, names) or f"it has events of {', '.join(names) or 'no name'}"
            raise TableError(Problem("unknown-event", f"the index has no events {name!r}", hint=hint))
        recorded = changes.recorded_names()
        if name in recorded:
            message = f"events {name!r} are recorded, for caps and exclusions, and are not forgotten"
            hint = "audience forget ID forgets those of one person"
            raise TableError(Problem("recorded-event", message, hint=hint))
        chosen = [each for each in names if each not in recorded] if name is None else [name]
        count_before = changes.count_rows()
        if before is None:
            changes.ranges = {event: kept for event, kept in changes.ranges.items() if event not in chosen}
        else:
            changes.ranges = _keep_from(changes, chosen, before)
        drop_forgotten(changes, chosen if before is None else [], progress)
        forgotten = count_before - changes.count_rows()
        if changes.apply_to(manifest) == manifest:
            return ForgottenEvents(manifest.number, 0, tuple(chosen))
        what = ", ".join(chosen)
        description = f"events forget: {forgotten:,} events of {what}"
        return ForgottenEvents(session.publish_events(description).number, forgotten, tuple(chosen))


def _keep_from(changes: EventChanges, events: Sequence[str], day: int) -> dict[str, EventRange]:
    """Return the ranges, with those days of *events* that are before *day* not kept any more."""
    ranges = dict(changes.ranges)
    for event in events:
        kept = ranges.get(event, EventRange())
        if kept.first_day is None or kept.first_day < day:
            ranges[event] = replace(kept, first_day=day)
    return ranges


def drop_forgotten(changes: EventChanges, events: Sequence[str], progress: Progress) -> None:
    """Write again the files that hold events of the names *events*, or of days that are not kept, without these."""
    files = list(changes.files)
    for done, file in enumerate(files):
        progress("forgetting events", done, len(files))
        segments = changes.open_segments(file)
        kept = [segment for segment in segments if segment.event not in events]
        if sum(segment.row_count for segment in kept) < file.entry.row_count:
            changes.rewrite_files([file], lambda rows: _without(rows, events))
    keep_waiting_rows(changes, events)


def _without(rows: EventRows, events: Sequence[str]) -> EventRows:
    return rows.take(np.arange(0)) if rows.event in events else rows
