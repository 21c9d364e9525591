"""Replaced indexes: their segments are kept by the new build, and the tags that are lost are described."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audience.counts import format_count
from audience.errors import InvalidIndexError
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps, id_search, polars_bridge
from audience.index.storage.published import LocalStorage
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import open_snapshot
from audience.language.ast import Segment, atoms
from audience.language.attribute_names import UNTYPED
from audience.language.parser import parse
from audience.language.printer import render
from audience.language.validation import join_some


@dataclass(frozen=True, slots=True)
class ReplacedIndex:
    """Index that a build replaces: the text of its segments, the number of devices with each bare tag, and its zone.

    `is_unreadable` is true if there is an index, and what it holds is unknown.
    """

    segments: Mapping[str, str] = field(default_factory=dict)
    tag_counts: Mapping[str, int] = field(default_factory=dict)
    timezone: str | None = None
    is_unreadable: bool = False


def read_replaced_index(path: Path) -> ReplacedIndex:
    """Return what is kept or reported of the index in *path*, if there is one."""
    if not path.exists():
        return ReplacedIndex()
    try:
        snapshot = open_snapshot(LocalStorage(path))
        counts = Counter[str]()
        for shard in snapshot.shards:
            counts.update(_count_tags(shard))
    except InvalidIndexError:  # it is damaged, or another version has written it
        return ReplacedIndex(is_unreadable=True)
    return ReplacedIndex(snapshot.manifest.segments, counts, snapshot.timezone)


def _count_tags(shard: Shard) -> dict[str, int]:
    stored = shard.attributes.get(UNTYPED)
    if stored is None:
        return {}
    tags = polars_bridge.read_value_table(shard)["value"].slice(stored.start, stored.value_count)
    live = (bitmaps.remove_rows(shard.load_bitmap(stored.start + at), shard.deleted) for at in range(len(tags)))
    return {tag: len(rows) for tag, rows in zip(tags, live, strict=True)}


def describe_replacement(
    replaced: ReplacedIndex, shards: Sequence[Shard], columns: Iterable[Column], timezone: str
) -> str:
    """Return the segments that were kept, those that fit no longer, lost tags, and the time zone if it is another."""
    if replaced.is_unreadable:
        return "; segments lost: the replaced index could not be read"
    kept = [render(Segment(name)) for name in replaced.segments]
    attributes = {column.name for column in columns if not column.is_id}
    unfit = [
        f"{render(Segment(name))} ({', '.join(missing)})"
        for name, text in replaced.segments.items()
        if (missing := _find_missing_attributes(text, attributes))
    ]
    tags = id_search.collect_tag_sources(shards)
    lost = [
        f"{tag} ({format_count(count, 'device')})"
        for tag, count in replaced.tag_counts.items()
        if count and tag not in tags
    ]
    parts = [("segments kept", kept), ("segments with attributes that are gone", unfit), ("tags lost", lost)]
    described = "".join(f"; {label}: {join_some(names)}" for label, names in parts if names)
    is_other_zone = replaced.timezone not in (None, timezone)
    return described + (f"; timezone {timezone} instead of {replaced.timezone}" if is_other_zone else "")


def _find_missing_attributes(text: str, attributes: Collection[str]) -> list[str]:
    types = {atom.type for atom in atoms(parse(text, folder=None)) if hasattr(atom, "type")}
    return sorted(types - {*attributes})
