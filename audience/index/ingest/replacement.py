"""Replaced indexes: their segments are kept by the new build, and what it would lose is refused or described."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from audience.counts import format_count
from audience.errors import InvalidIndexError, Problem, TableError
from audience.index.ingest.events.carrying import find_common_column
from audience.index.records.policies import read_policies
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps, id_search, polars_bridge
from audience.index.storage.id_lists import map_id_list
from audience.index.storage.manifest import IdListFile
from audience.index.storage.published import LocalStorage
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot, open_snapshot
from audience.language.ast import ID_KINDS, Expr, Ids, Matches, Segment, Tag, atoms, walk_operands
from audience.language.attribute_names import UNTYPED
from audience.language.patterns import read_pattern
from audience.language.printer import render
from audience.language.validation import join_some

Loss: TypeAlias = Literal["devices", "names"]  # all devices; tags and attributes that policies or segments name


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


def parse_losses(names: Iterable[str]) -> frozenset[str]:
    """Return the losses that a build may make. Raises TableError for one that there is not.

    >>> sorted(parse_losses(["names", "devices"])), parse_losses("names")
    (['devices', 'names'], frozenset({'names'}))
    """
    losses = frozenset([names] if isinstance(names, str) else names)
    for name in losses - {*get_args(Loss)}:
        message = f"allow_loss is {name!r}, expected {' or '.join(get_args(Loss))}"
        raise TableError(Problem("bad-option", message, hint=f"write one of {', '.join(get_args(Loss))}"))
    return losses


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


def require_devices(replaced: ReplacedIndex, device_count: int, allowed: Collection[str]) -> None:
    """Raise TableError if no device takes the place of all those that there are, unless this is allowed."""
    old = replaced.snapshot
    is_filled = replaced.is_unreadable or (old is not None and old.device_count > 0)
    if device_count or not is_filled or "devices" in allowed:
        return
    held = "an index" if old is None else f"an index of {format_count(old.device_count, 'device')}"
    hint = "check the export of the table; an index without devices needs --allow-loss devices"
    raise TableError(Problem("lost-devices", f"the table has no devices, and would replace {held}", hint=hint))


def require_names(
    replaced: ReplacedIndex, shards: Sequence[Shard], columns: Sequence[Column], allowed: Collection[str]
) -> None:
    """Raise TableError if a policy or a segment names a tag or an attribute that is lost, unless this is allowed.

    `NOT dead` takes out nobody where no device has the tag any longer. A tag that has a column of its own is not lost:
    nobody has it now.
    """
    if replaced.snapshot is None or "names" in allowed:
        return
    flags = {column.name_in_table for column in columns if column.role == "tags"}
    tags = {tag: count for tag, count in find_lost_tags(replaced, shards).items() if tag not in flags}
    attributes = _list_names(replaced.snapshot.manifest.columns) - _list_names(columns) - {UNTYPED}
    if not tags and not attributes:
        return
    problems = [
        _lost_names_problem(place, names)
        for place, expr in _iter_named(replaced.snapshot)
        if (names := [*_find_named_tags(expr, tags), *_find_named_attributes(expr, attributes)])
    ]
    if problems:
        raise TableError(*problems)


def _iter_named(snapshot: Snapshot) -> Iterator[tuple[str, Expr]]:
    for policy in read_policies(snapshot.storage).values():
        yield f"policy {policy.name}", policy.fitting
    for name, expr in snapshot.segments.items():
        yield f"segment {render(Segment(name))}", expr


def _lost_names_problem(place: str, names: list[str]) -> Problem:
    message = f"{place} names {join_some(names)}, which the index has and the table has not"
    hint = (
        "keep the devices with `audience index update`, which leaves such tags; or pass --allow-loss names, "
        "and tag the devices again before anything is sent"
    )
    return Problem("lost-names", message, hint=hint)


def _find_named_tags(expr: Expr, tags: Mapping[str, int]) -> list[str]:
    """Return those of *tags* that *expr* has or matches, with the number of their devices."""
    named = set[str]()
    for node in walk_operands(expr):
        match node:
            case Tag(type=type_, value=value) if type_ == UNTYPED:
                named.add(value)
            case Matches(type=type_) if type_ == UNTYPED:
                pattern = read_pattern(node.pattern, node.ignores_case)
                named.update(tag for tag in tags if pattern.matches(tag))
    return describe_lost_tags({tag: count for tag, count in tags.items() if tag in named})


def _find_named_attributes(expr: Expr, attributes: Collection[str]) -> list[str]:
    nodes = walk_operands(expr)
    named = {node.kind if isinstance(node, Ids) else getattr(node, "type", "") for node in nodes}
    return sorted(named & {*attributes})


def find_lost_tags(replaced: ReplacedIndex, shards: Sequence[Shard]) -> dict[str, int]:
    """Return the bare tags that no device of *shards* has, with the number of the devices that had them."""
    tags = id_search.collect_tag_sources(shards)
    return {tag: count for tag, count in replaced.tag_counts.items() if count and tag not in tags}


def describe_lost_tags(tags: Mapping[str, int]) -> list[str]:
    """Return each tag with the number of its devices.

    >>> describe_lost_tags({"dead": 3})
    ['dead (3 devices)']
    """
    return [f"{tag} ({format_count(count, 'device')})" for tag, count in tags.items()]


def _list_names(columns: Iterable[Column]) -> set[str]:
    """Return the names by which expressions refer to *columns*."""
    return {name for column in columns for name in (column.name, *([column.name_in_table] if column.is_id else []))}


def describe_replacement(
    replaced: ReplacedIndex, shards: Sequence[Shard], columns: Iterable[Column], timezone: str
) -> str:
    """Return the segments that were kept, those that fit no longer, lost tags, and the time zone if it is another."""
    if replaced.is_unreadable:
        return "; segments and events lost: the replaced index could not be read"
    kept = [render(Segment(name)) for name in replaced.segments]
    columns = list(columns)
    known = _list_names(columns)
    unfit = [
        f"{render(Segment(name))} ({', '.join(missing)})"
        for name, expr in replaced.exprs.items()
        if (missing := _find_missing_columns(expr, known))
    ]
    lost = describe_lost_tags(find_lost_tags(replaced, shards))
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
