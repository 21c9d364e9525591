"""Head of an index in an object store: the one object that is replaced, by compare-and-swap.

    index.json                      the head: the manifest, the list of records, the kept snapshots
    history/CHECKSUM.json           manifest of a kept snapshot
    shards/CHECKSUM/NAME            file of a snapshot
    records/CHECKSUM/NAME           file outside snapshots
    openings/CHECKSUM               first blocks of the shards of a snapshot
    drafts/DIGEST/NAME              what a build on a cluster notes until it is published

All objects but the head have their content's checksum in their key, and never change. So a publisher that is refused
has overwritten nothing, and a snapshot and its records are published together or not at all.
"""

from dataclasses import asdict, dataclass

from audience.errors import InvalidIndexError, Problem
from audience.index.storage.checked_json import read_checked, serialize_checked
from audience.index.storage.layout import RECORDS_FOLDER, SHARDS_FOLDER

HEAD_FILE, HISTORY_OBJECTS, OPENING_OBJECTS, DRAFT_OBJECTS = "index.json", "history", "openings", "drafts"
HEAD_VERSION = 1


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """Snapshot that readers can still open: its number, and the checksum of its manifest."""

    number: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Head:
    """Content of the head.

    Attributes:
        manifest: Text of the current manifest.
        records: Text of the list of records; None if there are none.
        history: Kept snapshots, oldest first; the last one is current.
        opening: Checksum of the object with the first blocks.
        publication: Random name of the publication.
    """

    manifest: str
    records: str | None
    history: tuple[KeptSnapshot, ...]
    opening: str
    publication: str

    @property
    def number(self) -> int:
        """Return the number of the current snapshot."""
        return self.history[-1].number


@dataclass(frozen=True, slots=True)
class PushResult:
    """Result of a push: the number of the published snapshot, and what was written.

    `files` is 0 if the store had the snapshot already.
    """

    url: str
    snapshot: int
    devices: int
    files: int
    nbytes: int


def serialize_head(head: Head) -> bytes:
    """Return the object of *head*."""
    return serialize_checked("published", {"version": HEAD_VERSION, **asdict(head)})


def parse_head(data: bytes, path: str) -> Head:
    """Return the head in the object at *path*.

    Raises:
        DamagedError: A byte of it was changed.
        InvalidIndexError: Another version has written it.
    """
    body = read_checked(data, "published", path)
    if body.pop("version") != HEAD_VERSION:
        message = f"{path} was written by another version of audience"
        raise InvalidIndexError(Problem("other-format", message, hint="use the version that has published the index"))
    history = tuple(KeptSnapshot(**entry) for entry in body["history"])
    return Head(**{**body, "history": history})


def shard_key(name: str, version: str) -> str:
    """Return the key of a file of a snapshot."""
    return f"{SHARDS_FOLDER}/{version}/{name}"


def record_key(name: str, version: str) -> str:
    """Return the key of a file outside snapshots."""
    return f"{RECORDS_FOLDER}/{version}/{name}"


def history_key(checksum: str) -> str:
    """Return the key of the manifest of a kept snapshot."""
    return f"{HISTORY_OBJECTS}/{checksum}.json"


def opening_key(checksum: str) -> str:
    """Return the key of the first blocks of the shards of a snapshot."""
    return f"{OPENING_OBJECTS}/{checksum}"
