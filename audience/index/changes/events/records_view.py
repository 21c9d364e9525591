"""View of a snapshot without some of the recorded batches, for questions about what else is recorded."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from audience.index.records.recorded_batches import RECORD_PREFIX
from audience.index.storage.events.removal import drop_batches
from audience.index.storage.side_files import SideStorage
from audience.index.storage.snapshot import Snapshot


def view_without_batches(snapshot: Snapshot, names: Collection[str]) -> Snapshot:
    """Return *snapshot* as it would be without the recorded batches *names*; nothing of the index changes."""
    versions = snapshot.manifest.records
    dropped = {f"{RECORD_PREFIX}{name}@{versions[name]}" for name in names if name in versions}
    if not dropped:
        return snapshot
    with TemporaryDirectory() as side:  # files stay readable while they are open
        storage = SideStorage(snapshot.storage, Path(side))
        files = drop_batches(storage, snapshot.manifest.event_files, dropped.__contains__, "view")
        return Snapshot(storage, replace(snapshot.manifest, event_files=tuple(files)), snapshot)
