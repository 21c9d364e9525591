"""Calls as positions of ids and of tags, before they become requests.

A sync of a million devices has tens of thousands of calls with twenty million pairs. They are kept as slices of a few
arrays; ids and names are looked up when a call is made.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from audience._fs.checksums import new_hasher
from audience.index.storage.bitmaps import RowNumbers, rows_to_bitmap
from audience.tag_sync.tags import Rows, TagChanges
from audience.vendors.tag_spec import Grid, Pairs, TagCall, TagCallForm


def _no_rows() -> RowNumbers:
    return np.empty(0, dtype=np.uint32)


@dataclass(frozen=True, slots=True, eq=False)
class PackedGrid:
    """Changes that are alike: each device of *positions* gets, or loses, each of *tags*."""

    positions: RowNumbers = field(default_factory=_no_rows)
    tags: RowNumbers = field(default_factory=_no_rows)

    def __len__(self) -> int:
        return len(self.positions) * len(self.tags)


@dataclass(frozen=True, slots=True, eq=False)
class PackedPairs:
    """Changes that name the tag of each device: *positions* and *tags* are equally long."""

    positions: RowNumbers
    tags: RowNumbers

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, slots=True, eq=False)
class PackedCall:
    """One call, by positions in the ids and the tags of the changes.

    Attributes:
        form: Form of the call.
        added: Tags that it sets. Those that the device already has may be among them.
        removed: Tags that it removes. Those that the device has not may be among them.
    """

    form: TagCallForm
    added: PackedGrid | PackedPairs = field(default_factory=PackedGrid)
    removed: PackedGrid | PackedPairs = field(default_factory=PackedGrid)

    def to_call(self, changes: TagChanges, key_type: str = "registration_id") -> TagCall:
        """Return the content of the call, by ids and by the vendor's names."""
        return TagCall(
            form=self.form,
            added=_name_part(self.added, changes),
            removed=_name_part(self.removed, changes),
            key_type=key_type,
        )


@dataclass(frozen=True, eq=False)
class Packing:
    """Calls that make changes, in order.

    Attributes:
        calls: The calls. Those before make room for those after, so they are made in this order.
        find_minimum: Finds `minimum`, which may take longer than the packing.
    """

    calls: tuple[PackedCall, ...] = ()
    find_minimum: Callable[[], int] = int

    @cached_property
    def minimum(self) -> int:
        """Return the number of calls below which no calls of these forms make the changes."""
        return self.find_minimum()

    @property
    def count(self) -> int:
        """Return the number of calls."""
        return len(self.calls)

    @cached_property
    def digest(self) -> str:
        """Return the digest of all calls, in order."""
        hasher = new_hasher()
        for call in self.calls:
            hasher.update(call.form.name.encode())
            for part in (call.added, call.removed):
                hasher.update(f"|{type(part).__name__}|{len(part.positions)}|{len(part.tags)}|".encode())
                hasher.update(np.ascontiguousarray(part.positions, dtype="<u4").data)
                hasher.update(np.ascontiguousarray(part.tags, dtype="<u4").data)
        return hasher.hexdigest()


def collect_rows(calls: Iterable[PackedCall], tag_count: int) -> tuple[Rows, Rows]:
    """Return for each tag the devices that *calls* add it to, and those that they remove it from."""
    chosen = tuple(calls)
    return (
        _collect_parts((call.added for call in chosen), tag_count),
        _collect_parts((call.removed for call in chosen), tag_count),
    )


def _collect_parts(parts: Iterable[PackedGrid | PackedPairs], tag_count: int) -> Rows:
    pieces: list[list[RowNumbers]] = [[] for _ in range(tag_count)]
    for part in parts:
        match part:
            case PackedGrid():
                for tag in part.tags.tolist():
                    pieces[tag].append(part.positions)
            case PackedPairs():
                for tag in np.unique(part.tags).tolist():
                    pieces[tag].append(part.positions[part.tags == tag])
    return tuple(rows_to_bitmap(np.concatenate(rows)) if rows else rows_to_bitmap(_no_rows()) for rows in pieces)


def _name_part(part: PackedGrid | PackedPairs, changes: TagChanges) -> Grid | Pairs:
    ids: Sequence[str] = changes.ids.gather(part.positions).to_list() if len(part) else []
    names = [changes.tags[tag].name for tag in part.tags.tolist()] if len(part) else []
    match part:
        case PackedGrid():
            return Grid(tuple(ids), tuple(names))
        case PackedPairs():
            return Pairs(tuple(zip(ids, names, strict=True)))
