"""Compare a snapshot of the index with what was synced: which devices differ in the tags of an attribute."""

from collections.abc import Mapping
from dataclasses import dataclass

from audience.index.storage.bitmaps import BitMap
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Tag
from audience.tag_sync.changes import compare_tags
from audience.tag_sync.desired import digest_devices, read_desired_tags
from audience.tag_sync.state import AttributeSync, StateFacts, TagState
from audience.tag_sync.storage import load_state
from audience.tag_sync.tags import DeviceTags, Scope, TagNames
from audience.vendors.spec import Vendor

MAX_CACHED = 8  # comparisons

_known: dict[tuple[str, str, bool, str, frozenset[tuple[str, str]]], "Freshness"] = {}


@dataclass(frozen=True, slots=True)
class Freshness:
    """Devices that do not have at the vendor what the index says.

    Devices that the vendor did not know are not among them.

    Attributes:
        differing: For each tag, the devices that have it at one of the two only, or of which that is not known.
    """

    differing: Mapping[Tag, BitMap]

    def count_devices(self, scope: Scope) -> int:
        """Return the number of devices that differ in a tag of *scope*.

        >>> vip = Tag("tag", "vip")
        >>> Freshness({vip: BitMap([1, 2])}).count_devices(Scope(tags=frozenset({vip})))
        2
        """
        return len(BitMap.union(BitMap(), *(rows for tag, rows in self.differing.items() if tag in scope)))


def is_unchanged(facts: StateFacts, sync: AttributeSync, snapshot: Snapshot) -> bool:
    """Return whether a snapshot has the very devices that were synced, and no sync has begun since.

    Then no device differs, if the catalog still gives the same names.
    """
    is_unfinished = any(tag in sync.named.scope for tag in facts.unfinished.tags) or _overlap(facts, sync)
    return not is_unfinished and digest_devices(snapshot.manifest) == sync.devices_digest


def _overlap(facts: StateFacts, sync: AttributeSync) -> bool:
    scope, unfinished = sync.named.scope, facts.unfinished
    return bool(scope.types & unfinished.types) or any(tag in unfinished for tag in scope.tags)


def measure_freshness(facts: StateFacts, snapshot: Snapshot, names: TagNames, vendor: Vendor) -> Freshness:
    """Return which devices differ between the state of an application and *snapshot*. The last few are cached.

    Args:
        facts: Facts of the application.
        snapshot: Snapshot of the index that keeps the state.
        names: Tags to compare, with their names at *vendor* now.
        vendor: Vendor of the application.

    Raises:
        DamagedError: The file of the state is not what was written.
        PlanError: Devices that share an id have different tags.
    """
    naming = frozenset((name, named.naming) for name, named in names.attributes.items())
    key = snapshot.location, facts.checksum, facts.is_copy, digest_devices(snapshot.manifest), naming
    if key not in _known:
        state = load_state(snapshot.storage, facts.application)
        desired = read_desired_tags(snapshot, names.names, vendor, facts.application.key_type)
        while len(_known) >= MAX_CACHED:
            _known.pop(next(iter(_known)), None)
        _known[key] = find_differing(state, desired.tags, names)
    return _known[key]


def find_differing(state: TagState, wanted: DeviceTags, names: TagNames) -> Freshness:
    """Return which devices differ between *state* and *wanted*, both bound to ids of one kind."""
    changes = compare_tags(state, wanted, names.attributes)
    differing: dict[Tag, BitMap] = {}
    for tag, added, removed in zip(changes.tags, changes.added, changes.removed, strict=True):
        if rows := added | removed:
            differing[tag.tag] = differing.get(tag.tag, BitMap()) | rows
    return Freshness(differing)
