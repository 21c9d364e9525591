"""State of the tags of one application: the last sync of each attribute, and one that has begun and not ended.

It is kept beside the index, as a file that no restore, build or vacuum changes. A plan reads it to find out which
attributes a vendor has as the index has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from audience.index.storage.bitmaps import BitMap
from audience.tag_sync.tags import DeviceTags, Rows, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Application of a vendor, as a sync names it.

    Attributes:
        family: Name of the vendor, or of the vendors that share its applications and tags.
        digest: Digest of the host and the public keys. The keys themselves are in no file.
        host: Host of its pushes.
        key_type: Kind of ids to which its tags are bound.
    """

    family: str
    digest: str
    host: str
    key_type: str = "registration_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeSync:
    """Sync of one attribute, or of one bare tag.

    Attributes:
        scope: What it is about.
        snapshot: Number of the snapshot that it was synced to.
        index_id: Identity of the index, so that an index that was built again is not taken for the older one.
        ended_at: When the sync had ended, as a Unix timestamp.
        effective_at: When pushes follow the last of its changes.
        is_read: Whether the tags were read from the vendor, and no device beside those of the index has one of them.
    """

    scope: Scope
    snapshot: int
    index_id: str
    ended_at: float
    effective_at: float
    is_read: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedSync:
    """Sync that has begun: until it ends, the vendor has tags of both snapshots.

    Attributes:
        number: Number of the sync of this application.
        scope: What it is about.
        snapshot: Number of the snapshot that it syncs to.
        index_id: Identity of the index.
        started_at: Unix timestamp of its first call.
        wanted: For each tag of the state, the devices that have it in that snapshot.
        packing: Digest of its calls, in order.
    """

    number: int
    scope: Scope
    snapshot: int
    index_id: str
    started_at: float
    wanted: Rows
    packing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagState:
    """Tags of one application: those that are known, and those in doubt.

    Attributes:
        application: The application.
        number: Number of its last sync, whether it has ended or not.
        known: Tags that the vendor has, of the devices that were ever synced.
        doubtful: For each tag of *known*, the devices of which it is not known whether they have it.
        unknown_ids: Positions of ids that the vendor did not know at the last sync.
        attributes: Ended syncs by what they are about, as `--attributes` names it.
        started: Sync that has begun and not ended.
    """

    application: Application
    number: int = 0
    known: DeviceTags = field(default_factory=DeviceTags)
    doubtful: Rows = ()
    unknown_ids: BitMap = field(default_factory=BitMap)
    attributes: Mapping[str, AttributeSync] = field(default_factory=dict)
    started: StartedSync | None = None
