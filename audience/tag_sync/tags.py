"""Tags of devices at a vendor, as bitmaps over a list of ids, and changes of them.

The bitmaps have a row for each id of a sorted list:

    ids      r1 r2 r3 r4 …            each id once, in rising order; a position in it is a row of every bitmap
    tags     vip      → vip           the tag of the index and the vendor's name for it
             city:bj  → city_bj
    rows     {0, 2}, {1, 2, 3}        one bitmap of positions for each tag
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import TypeAlias

import polars as pl

from audience.errors import Problem
from audience.index.storage.bitmaps import BitMap
from audience.language.ast import Tag

Rows: TypeAlias = tuple[BitMap, ...]  # for each tag, the positions of the devices


@dataclass(frozen=True, slots=True)
class SyncedTag:
    """Tag of the index and the vendor's *name* for it."""

    tag: Tag
    name: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Tags that a sync is about: all of some attributes, and single tags of others.

    Attributes:
        types: Attributes of which all values are synced.
        tags: Single tags, of other attributes.

    >>> vip = Tag("tag", "vip")
    >>> scope = Scope(frozenset({"province"}), frozenset({vip}))
    >>> vip in scope, Tag("tag", "new") in scope, Tag("province", "hunan") in scope
    (True, False, True)
    """

    types: frozenset[str] = frozenset()
    tags: frozenset[Tag] = frozenset()

    def __contains__(self, tag: Tag) -> bool:
        return tag.type in self.types or tag in self.tags

    def __or__(self, other: "Scope") -> "Scope":
        return Scope(self.types | other.types, self.tags | other.tags)

    def __sub__(self, other: "Scope") -> "Scope":
        return Scope(self.types - other.types, frozenset(tag for tag in self.tags if tag not in other))

    def __bool__(self) -> bool:
        return bool(self.types or self.tags)

    def overlaps(self, other: "Scope") -> bool:
        """Return whether a tag may be in both.

        >>> Scope(frozenset({"tag"})).overlaps(Scope(tags=frozenset({Tag("tag", "vip")})))
        True
        """
        has_type = not self.types.isdisjoint(other.types)
        return has_type or any(tag in other for tag in self.tags) or any(tag in self for tag in other.tags)


@dataclass(frozen=True, slots=True)
class NamedScope:
    """One attribute, or one bare tag, of a sync.

    Attributes:
        scope: Its tags.
        naming: Digest of what the catalog says of its names at the vendor. While it and the devices of the index are
            the same, so are the names of all values.
    """

    scope: Scope
    naming: str


@dataclass(frozen=True, slots=True)
class LeftOutTag:
    """Tag of the index that cannot be set at the vendor, with the reason. No native request names it either."""

    tag: Tag
    problem: Problem


@dataclass(frozen=True, slots=True)
class TagNames:
    """Tags of an index that a sync is about, with their names at a vendor.

    Attributes:
        attributes: Tags that are synced, by the name of their attribute, such as `province`. The bare tag vip has the
            name `tag:vip`.
        names: The vendor's name for each tag of the index. Two spellings of one number have one name.
        left_out: Tags without a name.
        others: Tags that the catalog also names at the vendor, and the sync is not about.
    """

    attributes: Mapping[str, NamedScope] = field(default_factory=dict)
    names: Mapping[Tag, "SyncedTag"] = field(default_factory=dict)
    left_out: tuple[LeftOutTag, ...] = ()
    others: Scope = field(default_factory=Scope)

    @property
    def scope(self) -> Scope:
        """Return all tags that the sync is about."""
        return join_scopes(named.scope for named in self.attributes.values())


def join_scopes(scopes: Iterable[Scope]) -> Scope:
    """Return all tags of *scopes*."""
    return reduce(Scope.__or__, scopes, Scope())


@dataclass(frozen=True, slots=True)
class DeviceTags:
    """Which devices have which tags.

    Attributes:
        ids: Ids as the vendor knows them, each once, sorted.
        tags: Tags, each once.
        rows: For each of *tags*, the positions in *ids* of the devices that have it.
    """

    ids: pl.Series = field(default_factory=lambda: pl.Series("id", [], pl.String))
    tags: tuple[SyncedTag, ...] = ()
    rows: Rows = ()


@dataclass(frozen=True, slots=True)
class TagChanges:
    """Changes that make the tags at the vendor those of the index.

    Attributes:
        ids: Ids of all devices that the vendor or the index has, each once, sorted.
        tags: Tags that the vendor or the index has, each once.
        added: For each tag, the devices to set it for, including devices that may already have it.
        removed: For each tag, the devices that lose it.
        present: For each tag, the devices that have it at the vendor and keep it: a call may set it again.
        others: For each tag that the changes are not about, the devices that may have it: they count where a vendor
            bounds the tags of a device.
        accepted: For each tag, whether the vendor has certainly taken it for a device before.
    """

    ids: pl.Series
    tags: tuple[SyncedTag, ...]
    added: Rows
    removed: Rows
    present: Rows
    others: Rows = ()
    accepted: tuple[bool, ...] = ()
