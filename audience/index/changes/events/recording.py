"""Record events by id: they are kept outside snapshots, and the next snapshot has them as events of its devices."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from audience.counts import format_count
from audience.index.changes.session import UpdateSession
from audience.index.ingest.events.recorded_events import apply_records
from audience.index.records.record_files import load_record_list
from audience.index.records.recorded_batches import (
    RecordedBatch,
    list_recorded_batches,
    write_recorded_batches,
)
from audience.index.storage.retention import publish_successor
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.progress import Progress

DEFAULT_WAIT_SECONDS = 600.0  # for another writer of the index, such as a nightly build


@dataclass(frozen=True, slots=True)
class Recording:
    """Recorded batches to write, each with its events, and the names of batches to drop."""

    batches: Sequence[tuple[RecordedBatch, Iterable[pl.DataFrame]]] = ()
    dropped: Collection[str] = ()


def record_events(
    opened: Snapshot, make_recording: Callable[[Snapshot], Recording], wait: float, progress: Progress
) -> int:
    """Record events, and publish a snapshot that has them. Return the number of the current snapshot.

    A batch of the same name and version as a recorded one is not written again. A process that dies before the
    snapshot is published leaves records that the next change of the index brings into its snapshot.

    Args:
        opened: Snapshot of the index; what it has read is not read again.
        make_recording: Returns what to record; it is called with the current snapshot while the index is locked.
        wait: Seconds to wait for another writer.
        progress: Progress callback.

    Raises:
        LockedError: Another process changes the index.
    """
    with lock_for_update(opened.storage, "record", wait) as manifest:
        session = UpdateSession.start(opened, manifest, progress)
        recording = make_recording(Snapshot(opened.storage, manifest, opened))
        known = list_recorded_batches(load_record_list(opened.storage))
        changed = [pair for pair in recording.batches if known.get(pair[0].name) != pair[0]]
        dropped = [name for name in recording.dropped if name in known]
        if changed or dropped:
            write_recorded_batches(opened.storage, changed, dropped)
        applied = apply_records(
            opened.storage, manifest, session.shards, number=manifest.number + 1, first_new=manifest.next_number
        )
        if applied is manifest:
            return manifest.number
        description = f"record: {format_count(len(changed) or len(dropped), 'batch', 'batches')}"
        return publish_successor(opened.storage, manifest, applied, description).number
