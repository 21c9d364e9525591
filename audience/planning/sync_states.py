"""States of synced tags, compared with the snapshot that a plan asks.

A snapshot with the devices that were synced needs no comparison. Otherwise the tags of an attribute are read from the
index and compared with those that the vendor is known to have, device by device.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from time import time

from audience._fs.checksums import hash128
from audience.counts import format_count
from audience.errors import PlanError, Problem
from audience.index.device_index import DeviceIndex
from audience.index.query.vendor_id_columns import find_id_column
from audience.index.schema.columns import SHARED_ID_ROLES
from audience.index.storage.bitmaps import BitMap
from audience.language.ast import AttributeAtom, Expr, Has, Not, Tag, all_of
from audience.planning.catalog.catalog import Catalog, with_column_types
from audience.planning.catalog.value_keys import value_keys_of
from audience.planning.catalog.vendor_names import to_vendor_tag
from audience.planning.synced_tags import SyncedTags, TagGroup, group_of
from audience.planning.tag_names import find_call_problems, format_vendor_name, has_same_naming, name_index_tags
from audience.tag_sync.changes import compare_tags
from audience.tag_sync.desired import digest_devices, read_desired_tags
from audience.tag_sync.state import AttributeSync, StateFacts, TagState
from audience.tag_sync.storage import list_states, load_state
from audience.tag_sync.tags import NamedScope, Scope
from audience.vendors import get_vendor, vendor_names
from audience.vendors.spec import Vendor
from audience.vendors.tag_spec import TagSpec

MAX_KEPT_STATES = 64  # of which comparisons are kept; a new state of an application is another one


def load_synced_tags(index: DeviceIndex, vendor: Vendor, catalog: Catalog | None) -> list[SyncedTags]:
    """Return the tags that were synced at each application of *vendor*, the one that was synced last first.

    Args:
        index: Index that the tags were synced from.
        vendor: Vendor, as `get_vendor` returns it.
        catalog: Catalog of the plan, as it was written.

    Raises:
        DamagedError: The records of the index are not what was written.
    """
    if vendor.tags is None:
        return []
    storage, family = index.snapshot.storage, vendor.tags.family
    states = [facts for facts in list_states(storage) if facts.application.family == family]
    states.sort(key=_find_last_end, reverse=True)
    applications = [IndexedApplication(facts, index, vendor, catalog) for facts in states]
    now = time()
    return [
        SyncedTags(here, tuple(each for each in applications if each is not here), now, here.find_name)
        for here in applications
    ]


def _find_last_end(facts: StateFacts) -> float:
    return max((sync.ended_at for sync in facts.attributes.values()), default=0.0)


@dataclass(slots=True)
class _Comparisons:
    """Results of comparisons of one state, kept without its ids and bitmaps."""

    tags: Mapping[str, Tag] | None = None
    differences: dict[tuple[str, TagGroup, str], str | None] = field(default_factory=dict)


@lru_cache(maxsize=MAX_KEPT_STATES)
def _keep_comparisons(location: str, checksum: str) -> _Comparisons:
    """Return what is known of the state with this *checksum* of the index at *location*."""
    return _Comparisons()


@dataclass(frozen=True, eq=False)
class IndexedApplication:
    """Application at which tags were synced, compared with the snapshot of an index.

    Attributes:
        facts: What is known of its syncs.
        index: The index.
        vendor: Vendor of the application.
        catalog: Catalog with the names of tags, as it was written.
    """

    facts: StateFacts
    index: DeviceIndex
    vendor: Vendor
    catalog: Catalog | None

    @cached_property
    def _typed_catalog(self) -> Catalog | None:
        return with_column_types(self.catalog, self.index.snapshot.roles, self.index.snapshot.zone)

    @cached_property
    def _catalog_digest(self) -> str:
        return hash128(repr(self.catalog).encode())

    @cached_property
    def _state(self) -> TagState:
        return load_state(self.index.snapshot.storage, self.facts.application)

    @cached_property
    def _comparisons(self) -> _Comparisons:
        return _keep_comparisons(self.index.snapshot.location, self.facts.checksum)

    @cached_property
    def _tags(self) -> Mapping[str, Tag]:
        """Return the tags that the vendor may have at any device, by its names for them."""
        if self._comparisons.tags is None:
            known, doubtful, wanted = self._state.known, self._state.doubtful, self._state.wanted
            every = zip(known.tags, known.rows, doubtful, wanted or known.rows, strict=True)
            self._comparisons.tags = {tag.name: tag.tag for tag, *rows in every if any(rows)}
        return self._comparisons.tags

    def find_name(self, tag: Tag) -> str:
        """Return the name that the catalog gives to *tag*."""
        return format_vendor_name(self._find_vendor_tag(tag))

    def _find_vendor_tag(self, tag: Tag) -> Tag:
        catalog = self._typed_catalog
        return tag if catalog is None else to_vendor_tag(tag, catalog, self.vendor)

    def has_same_names(self, sync: AttributeSync) -> bool:
        """Return whether the catalog still gives the tags of *sync* the names that they had then."""
        return has_same_naming(sync.named, self.vendor, self.catalog, self.index.snapshot)

    def find_tag(self, name: str) -> Tag | None:
        """Return the tag of the index of which the vendor's *name* was set at any device, or None."""
        return self._tags.get(name)

    def find_name_problem(self, tag: Tag) -> Problem | None:
        """Return why no call can set *tag*, or None."""
        return next(find_call_problems(self._find_vendor_tag(tag), self.vendor), None)

    def has_other_spelling(self, tag: Tag) -> bool:
        """Return whether the sync has set the value of *tag* under another name, as the index spells it otherwise."""
        role = self.index.snapshot.roles.get(tag.type)
        if role not in ("number", "date", "time"):
            return False
        key = value_keys_of(role, self.index.snapshot.zone).tag
        names = {
            name
            for name, synced in self._tags.items()
            if synced.type == tag.type and key(synced.value) == key(tag.value)
        }
        return not names <= {self.find_name(tag)}

    def find_difference(self, sync: AttributeSync, atom: AttributeAtom) -> str | None:
        """Return how the tags at the vendor that *atom* is about differ from those of the index, or None."""
        digest, group = digest_devices(self.index.snapshot.manifest), group_of(atom)
        if sync.devices_digest == digest and self._has_one_id_column() and not self._may_be_left_out(atom):
            return None
        differences, key = self._comparisons.differences, (digest, group, self._catalog_digest)
        if key not in differences:
            differences[key] = self._compare(group)
        reason = differences[key]
        return None if reason is None else f"{reason} since the sync to snapshot {sync.snapshot:,}"

    def _may_be_left_out(self, atom: AttributeAtom) -> bool:
        """Return whether devices have a tag that the vendor lacks, as another tag may have had its name there."""
        return isinstance(atom, Tag) and self.find_tag(self.find_name(atom)) is None and self.index.count(atom) > 0

    def _has_one_id_column(self) -> bool:
        """Return whether the versions of the vendor that share the application have the same ids in the index."""
        id_columns = self.index.snapshot.id_columns
        if sum(column.is_device_id for column in id_columns) == 1:
            return True
        vendors = [name for name in vendor_names() if (spec := get_vendor(name).tags) and self._is_of_family(spec)]
        return len({find_id_column(id_columns, name) for name in vendors}) == 1

    def _is_of_family(self, spec: TagSpec) -> bool:
        return spec.family == self.facts.application.family

    def _compare(self, group: TagGroup) -> str | None:
        scope = scope_of(group)
        snapshot, key_type = self.index.snapshot, self.facts.application.key_type
        try:
            names = name_index_tags(scope, self.vendor, self.catalog, snapshot)
            desired = read_desired_tags(snapshot, names, self.vendor, key_type)
        except PlanError as error:
            return f"it cannot be synced ({error.problems[0].message})"
        changes = compare_tags(self._state, desired.tags, {str(group): NamedScope(scope, "")})
        changed = BitMap.union(BitMap(), *changes.added, *changes.removed)
        return f"{format_count(len(changed), 'device')} changed" if changed else None

    def count_without_key(self, group: TagGroup) -> int:
        """Return the devices with tags of *group* that have an id, and nothing to which tags are bound there."""
        key_type, snapshot = self.facts.application.key_type, self.index.snapshot
        if key_type not in SHARED_ID_ROLES:
            return 0
        tagged: Expr = Has(group.type) if group.value is None else Tag(group.type, group.value)
        column = find_id_column(snapshot.id_columns, self.vendor.name)
        return self.index.count(all_of([tagged, Has(column.name), Not(Has(key_type))]))


def scope_of(group: TagGroup) -> Scope:
    """Return the scope of a sync that sets the tags of *group*."""
    if group.value is None:
        return Scope(types=frozenset({group.type}))
    return Scope(tags=frozenset({Tag(group.type, group.value)}))
