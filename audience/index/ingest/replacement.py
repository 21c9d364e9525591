"""Replaced indexes: their segments are kept by the new build, and the tags that are lost are described."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audience.counts import format_count
from audience.errors import InvalidIndexError
from audience.index.ingest.events.carrying import find_common_column
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps, id_search, polars_bridge
from audience.index.storage.id_lists import map_id_list
from audience.index.storage.manifest import IdListFile
from audience.index.storage.published import LocalStorage
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot, open_snapshot
from audience.language.ast import ID_KINDS, Expr, Ids, Segment, atoms
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.language.validation import join_some


@dataclass(frozen=True, slots=True)
class ReplacedIndex:
    """Index that a build replaces: its segments, the number of devices with each bare tag, and its zone.

    `segments` has their text, `segment_files` the lists of ids that they name, and `id_lists` the bytes of these.
    `snapshot` has the events.
    `is_unreadable` is true if there is an index, and what it holds is unknown.
    """

    segments: Mapping[str, str] = field(default_factory=dict)
    tag_counts: Mapping[str, int] = field(default_factory=dict)
    timezone: str | None = None
    is_unreadable: bool = False
    exprs: Mapping[str, Expr] = field(default_factory=dict)
    segment_files: Mapping[str, tuple[IdListFile, ...]] = field(default_factory=dict)
    id_lists: Mapping[str, memoryview] = field(default_factory=dict)
    snapshot: Snapshot | None = None


def read_replaced_index(path: Path) -> ReplacedIndex:
    """Return what is kept or reported of the index in *path*, if there is one."""
    if not path.exists():
        return ReplacedIndex()
    try:
        snapshot = open_snapshot(LocalStorage(path))
        counts = Counter[str]()
        for shard in snapshot.shards:
            counts.update(_count_tags(shard))
        lists = {name: map_id_list(snapshot.storage, file) for name, file in snapshot.manifest.id_lists().items()}
    except InvalidIndexError:  # it is damaged, or another version has written it
        return ReplacedIndex(is_unreadable=True)
    return ReplacedIndex(
        snapshot.manifest.segments,
        counts,
        snapshot.timezone,
        exprs=dict(snapshot.segments),
        segment_files=snapshot.manifest.segment_files,
        id_lists=lists,
        snapshot=snapshot,
    )


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
        return "; segments and events lost: the replaced index could not be read"
    kept = [render(Segment(name)) for name in replaced.segments]
    columns = list(columns)
    known = {name for column in columns for name in (column.name, *([column.name_in_table] if column.is_id else []))}
    unfit = [
        f"{render(Segment(name))} ({', '.join(missing)})"
        for name, expr in replaced.exprs.items()
        if (missing := _find_missing_columns(expr, known))
    ]
    tags = id_search.collect_tag_sources(shards)
    lost = [
        f"{tag} ({format_count(count, 'device')})"
        for tag, count in replaced.tag_counts.items()
        if count and tag not in tags
    ]
    parts = [("segments kept", kept), ("segments with attributes that are gone", unfit), ("tags lost", lost)]
    described = "".join(f"; {label}: {join_some(names)}" for label, names in parts if names)
    described += _describe_lost_events(replaced, columns)
    is_other_zone = replaced.timezone not in (None, timezone)
    return described + (f"; timezone {timezone} instead of {replaced.timezone}" if is_other_zone else "")


def _describe_lost_events(replaced: ReplacedIndex, columns: Sequence[Column]) -> str:
    """Return the names of events that cannot be carried over, because no id column has devices of both indexes."""
    old = replaced.snapshot
    if old is None or not old.events.files or find_common_column(old.id_columns, columns) is not None:
        return ""
    return f"; events lost: {join_some(old.events.names())}, there is no id column in common"


def _find_missing_columns(expr: Expr, known: Collection[str]) -> list[str]:
    types = {atom.kind if isinstance(atom, Ids) else getattr(atom, "type", "") for atom in atoms(expr)}
    return sorted(types - {"", *ID_KINDS, *known})
