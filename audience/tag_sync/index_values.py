"""Values of attributes in an index, each as one tag with its rows in a shard, whatever form they are stored in."""

from collections.abc import Callable, Collection, Iterator

import numpy as np

from audience.errors import PlanError, Problem
from audience.index.ingest.cast import format_values
from audience.index.ingest.decode import decode_rows
from audience.index.query.attribute_rows import bit_slices
from audience.index.schema.columns import Column
from audience.index.storage.bitmaps import BitMap, bitmap_to_rows, remove_rows, rows_to_bitmap
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.packed_numbers import read_numbers
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Tag
from audience.tag_sync.tags import Scope

MAX_VALUES = 100_000  # of one attribute; each would be a tag of its own at the vendor


def list_index_tags(snapshot: Snapshot, scope: Scope) -> list[Tag]:
    """Return the tags of *scope* that devices of *snapshot* have, as the index spells them, in order.

    Raises:
        PlanError: An attribute has too many values for a tag each.
    """
    found: dict[str, set[str]] = {}
    for shard in snapshot.shards:
        for tag, rows in iter_tag_rows(shard, scope.__contains__, scope_types(scope)):
            if remove_rows(rows, shard.deleted):
                found.setdefault(tag.type, set()).add(tag.value)
                _require_few(tag.type, len(found[tag.type]))
    return [Tag(type_, value) for type_ in sorted(found) for value in sorted(found[type_])]


def scope_types(scope: Scope) -> frozenset[str]:
    """Return the attributes that *scope* has any tag of."""
    return scope.types | {tag.type for tag in scope.tags}


def iter_tag_rows(
    shard: Shard, is_wanted: Callable[[Tag], bool], types: Collection[str]
) -> Iterator[tuple[Tag, BitMap]]:
    """Yield each wanted tag of some attributes of a shard with its rows, deleted ones among them.

    A tag that two columns of the table have is yielded twice.

    Raises:
        PlanError: An attribute has too many values for a tag each.
    """
    for name in sorted(types & shard.attributes.keys()):
        attribute = shard.attributes[name]
        if attribute.bit_slicing is not None:
            tags = _iter_sliced_tags(shard, attribute)
            yield from ((tag, rows) for tag, rows in tags if is_wanted(tag))
            continue
        texts = shard.attribute_values(attribute)
        tags_by_row = {attribute.start + rank: Tag(name, texts[rank]) for rank in range(len(texts))}
        wanted = [row for row, tag in tags_by_row.items() if is_wanted(tag)]
        for row, bitmap in zip(wanted, shard.load_bitmaps(wanted), strict=True):
            yield tags_by_row[row], bitmap


def _iter_sliced_tags(shard: Shard, attribute: StoredAttribute) -> Iterator[tuple[Tag, BitMap]]:
    """Yield each value of an attribute that is stored as bit slices, with its rows."""
    present, slices = bit_slices(attribute, shard)
    rows = bitmap_to_rows(present)
    ranks = read_numbers(slices, shard.row_count)[rows]
    order = np.argsort(ranks, kind="stable")
    _, starts = np.unique(ranks[order], return_index=True)
    _require_few(attribute.name, len(starts))
    by_value = [rows[group] for group in np.split(order, starts[1:])] if len(rows) else []
    firsts = np.array([group[0] for group in by_value], dtype=np.uint32)
    texts = dict(zip(np.sort(firsts).tolist(), _read_texts(shard, attribute, np.sort(firsts)), strict=True))
    for group in by_value:
        yield Tag(attribute.name, texts[int(group[0])]), rows_to_bitmap(group)


def _read_texts(shard: Shard, attribute: StoredAttribute, rows: np.ndarray) -> list[str]:
    """Return the value of each of *rows*, which rise, as the index spells it."""
    column = Column(attribute.name, attribute.role, attribute.name)
    return format_values(decode_rows(shard, rows, [column], {})[column]).to_list()


def _require_few(attribute: str, count: int) -> None:
    if count > MAX_VALUES:
        message = f"{attribute} has more than {MAX_VALUES:,} values, and each would be a tag of its own"
        hint = "sync an attribute of ranges instead, or single tags: --attributes"
        raise PlanError(Problem("too-many-values", message, hint=hint))
