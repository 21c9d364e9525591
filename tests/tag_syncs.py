"""Syncs of tags without a network: a vendor's tags as a dict, changed as the calls of a sync would change them."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from audience import DeviceIndex, get_vendor
from audience.index.storage.bitmaps import BitMap
from audience.planning.catalog.catalog import Catalog
from audience.planning.tag_names import resolve_tag_names
from audience.tag_sync.changes import CallOutcomes, TagPairs, apply_calls, end_sync, find_changes, start_sync
from audience.tag_sync.desired import read_desired_tags
from audience.tag_sync.state import Application, TagState
from audience.tag_sync.storage import load_state, save_state
from audience.tag_sync.tags import Rows, TagChanges

HOST = "https://push.example"


@dataclass
class VendorTags:
    """Tags of the devices of one application, by id, and the application."""

    vendor: str
    digest: str = "a" * 64
    key_type: str = "registration_id"
    tags: dict[str, set[str]] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()

    @property
    def application(self) -> Application:
        """Return the application."""
        family = get_vendor(self.vendor).tags.family
        return Application(family=family, digest=self.digest, host=HOST, key_type=self.key_type)

    def sync(
        self,
        index: DeviceIndex,
        catalog: Catalog | None,
        attributes: Iterable[str] | None = None,
        *,
        share: int = 1,
        ends: bool = True,
        is_read: bool = False,
        ended_at: float | None = None,
        effective_in: float = 0.0,
    ) -> TagState:
        """Make the tags those of *index*; every *share*-th change only, and without an end if not *ends*."""
        vendor = get_vendor(self.vendor)
        names = resolve_tag_names(attributes, vendor, catalog, index.snapshot)
        desired = read_desired_tags(index.snapshot, names.names, vendor, self.key_type)
        state = start_sync(
            load_state(index.snapshot.storage, self.application),
            desired.tags,
            names.attributes,
            snapshot=desired.snapshot,
            devices_digest=desired.devices_digest,
            started_at=time.time(),
            is_read=is_read,
        )
        changes = find_changes(state)
        done = TagPairs(_take(changes.added, share), _take(changes.removed, share))
        unknown = BitMap(at for at, id_ in enumerate(changes.ids) if id_ in self.unknown)
        self.apply(changes, done)
        nothing = TagPairs(*[tuple(BitMap() for _ in changes.tags)] * 2)
        state = apply_calls(state, changes, CallOutcomes(done=done, doubtful=nothing, unknown_ids=unknown))
        if ends:
            state = end_sync(state, ended_at=ended_at or time.time())
            state = replace(
                state,
                attributes={
                    name: replace(sync, effective_at=sync.ended_at + effective_in)
                    for name, sync in state.attributes.items()
                },
            )
        return save_state(index.snapshot.storage, state)

    def apply(self, changes: TagChanges, done: TagPairs) -> None:
        """Set and remove the tags of *done* at the devices that the vendor knows."""
        ids = changes.ids.to_list()
        for at, tag in enumerate(changes.tags):
            for row in done.removed[at]:
                self.tags.get(ids[row], set()).discard(tag.name)
            for row in done.added[at]:
                if ids[row] not in self.unknown:
                    self.tags.setdefault(ids[row], set()).add(tag.name)


def _take(rows: Rows, share: int) -> Rows:
    return tuple(BitMap([row for at, row in enumerate(bitmap) if at % share == 0]) for bitmap in rows)
