"""State of the tags of one application: the last sync of each attribute, and one that has begun and not ended.

It is kept beside the index, as a file that no restore, build or vacuum changes. A plan reads it to find out which
attributes a vendor has as the index has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from audience.index.storage.bitmaps import BitMap
from audience.tag_sync.tags import DeviceTags, NamedScope, Rows, Scope, join_scopes


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
        named: Tags that were synced, with their naming.
        snapshot: Number of the snapshot that they were synced to.
        devices_digest: Digest of the devices of that snapshot and their tags, by `desired.digest_devices`. A snapshot
            with the same digest has the same devices, also of an index that was built again.
        ended_at: When the sync had ended, as a Unix timestamp.
        effective_at: When pushes follow the last of its changes.
        is_read: Whether the tags were read from the vendor, and no device beside those of the index has one of them.
    """

    named: NamedScope
    snapshot: int
    devices_digest: str
    ended_at: float
    effective_at: float
    is_read: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedSync:
    """Sync that has begun: until it ends, the vendor has tags of both snapshots.

    Attributes:
        number: Number of the sync of this application.
        attributes: What it is about.
        snapshot: Number of the snapshot that it syncs to.
        devices_digest: Digest of the devices of that snapshot and their tags.
        started_at: Unix timestamp of its first call.
        is_read: Whether the tags were read from the vendor before, and no other device has one of them.
        packing: Digest of its calls, in order.
    """

    number: int
    attributes: Mapping[str, NamedScope]
    snapshot: int
    devices_digest: str
    started_at: float
    is_read: bool = False
    packing: str = ""

    @property
    def scope(self) -> Scope:
        """Return all tags that it is about."""
        return join_scopes(named.scope for named in self.attributes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class TagState:
    """Tags of one application: those that are known, and those in doubt.

    All rows are positions in the ids of *known*, one bitmap for each of its tags.

    Attributes:
        application: The application.
        number: Number of its last sync, whether it has ended or not.
        known: Tags that the vendor has, of the devices that were ever synced.
        doubtful: Devices of which it is not known whether they have the tag.
        unknown_ids: Positions of ids that the vendor did not know at the last sync.
        attributes: Ended syncs by the name of their attribute or bare tag, as in `TagNames.attributes`.
        unfinished: Tags whose last sync has not ended: the vendor may have those of two snapshots, mixed.
        started: Sync that has begun and not ended.
        wanted: Devices that have the tag in the snapshot of *started*; empty if there is none.
        checksum: Checksum of the file that it was read from or written to; empty before the first one.
        source: Unique name of this state, by which syncs of several indexes notice each other; empty before the first
            file is written.
    """

    application: Application
    number: int = 0
    known: DeviceTags = field(default_factory=DeviceTags)
    doubtful: Rows = ()
    unknown_ids: BitMap = field(default_factory=BitMap)
    attributes: Mapping[str, AttributeSync] = field(default_factory=dict)
    unfinished: Scope = field(default_factory=Scope)
    started: StartedSync | None = None
    wanted: Rows = ()
    checksum: str = field(default="", compare=False)
    source: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFacts:
    """Small part of the state of an application, which is read without its ids and bitmaps.

    Attributes:
        application: The application.
        number: Number of its last sync, whether it has ended or not.
        attributes: Ended syncs by what they are about.
        unfinished: Tags whose last sync has not ended.
        started: Sync that has begun and not ended.
        devices: Number of ids with tags.
        tags: Number of tags.
        unknown_ids: Number of ids that the vendor did not know.
        is_copy: Whether the folder of the index is a copy of the one from which tags were synced: nothing is known of
            later syncs from there. All tags are unfinished then.
        other_index: Place of another index that has synced the application since, from this machine; else empty. All
            tags are unfinished then.
        checksum: Checksum of the file of the state.
        source: Name that no other state has.
    """

    application: Application
    number: int
    attributes: Mapping[str, AttributeSync]
    unfinished: Scope
    started: StartedSync | None
    devices: int
    tags: int
    unknown_ids: int
    is_copy: bool = False
    other_index: str = ""
    checksum: str = ""
    source: str = ""
