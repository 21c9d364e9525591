"""Syncs of tags that the native requests of a folder depend on, as listed in its manifest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audience.planning.synced_tags import TagGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class EmittedSync:
    """Sync of an attribute, or of a bare tag, at one application.

    Attributes:
        group: Its tags.
        application: Digest of the host and the public keys of the application.
        host: Host of the application.
        snapshot: Number of the snapshot that the tags were synced to.
        devices_digest: Digest of the devices of that snapshot.
        naming: Digest of the names that the catalog gave to the tags.
        ended_at: When the sync had ended, in UTC.
    """

    group: TagGroup
    application: str
    host: str
    snapshot: int
    devices_digest: str
    naming: str
    ended_at: str

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "EmittedSync":
        """Return the sync of an entry of a manifest."""
        return cls(
            group=TagGroup(entry["type"], entry["value"]),
            application=entry["application"],
            host=entry["host"],
            snapshot=int(entry["snapshot"]),
            devices_digest=entry["devices_digest"],
            naming=entry["naming"],
            ended_at=entry["ended_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedRequests:
    """Syncs that the native requests of a folder rest on, and the question that they answer.

    Attributes:
        syncs: The syncs, at one application or several.
        exprs: Audiences of the native requests.
        family: Name of the vendor whose applications these are.
        index: Path of the index; None if the manifest does not have it.
        snapshot: Number of the snapshot of the index that was asked.
        devices_digest: Digest of the devices of that snapshot.
        as_of: Moment of the question.
        timezone: Name of its time zone.
        allow_gaps: Whether events were asked although some of their days are not covered.
    """

    syncs: tuple[EmittedSync, ...]
    exprs: tuple[str, ...]
    family: str
    index: str | None
    snapshot: int
    devices_digest: str
    as_of: str | None
    timezone: str | None
    allow_gaps: bool = False


def read_synced_requests(manifest: Mapping[str, Any]) -> SyncedRequests | None:
    """Return what the native requests of a manifest rest on; None if they rest on no sync."""
    entries = manifest.get("synced") or ()
    if not entries:
        return None
    return SyncedRequests(
        syncs=tuple(map(EmittedSync.from_json, entries)),
        exprs=tuple(map(str, manifest["native_exprs"])),
        family=entries[0]["family"],
        index=manifest["index"],
        snapshot=int(manifest["snapshot"]),
        devices_digest=manifest["devices_digest"],
        as_of=manifest["as_of"],
        timezone=manifest["timezone"],
        allow_gaps=bool(manifest.get("allow_gaps")),
    )
