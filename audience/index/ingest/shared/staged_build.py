"""Build whose shards the processes of a cluster put to the object store where the index will be published."""

from dataclasses import dataclass, field
from pathlib import Path

from audience.index.ingest.shared.store_drafts import StoreDraft
from audience.index.storage.object_storage import ObjectStorage
from audience.index.storage.staged_storage import StagedStorage


@dataclass(frozen=True, slots=True)
class StagedBuild:
    """Build of the index at the place of *remote*, and the drafts that are needed until it is published."""

    remote: ObjectStorage
    drafts: list[StoreDraft] = field(default_factory=list)

    def open_draft(self, digest: str) -> StoreDraft:
        """Return the draft of the build *digest*. Raises OutputError if the store cannot be written."""
        draft = StoreDraft.open(self.remote.location, digest)
        self.drafts.append(draft)
        return draft

    def open_folder(self, folder: Path) -> StagedStorage:
        """Return the storage of the folder in which the head of the cluster writes what is not a shard."""
        return StagedStorage(folder, self.remote)

    def remove_drafts(self) -> None:
        """Delete what is needed only until the index is published."""
        for draft in self.drafts:
            draft.remove()
