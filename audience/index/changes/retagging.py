"""Rewrite a shard with other bare tags: rows, ids and all other bitmaps stay as they are."""

from collections.abc import Iterable, Mapping
from operator import itemgetter

import polars as pl

from audience.index.schema.columns import Column
from audience.index.storage import polars_bridge
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.published import Storage
from audience.index.storage.shard import Shard
from audience.index.storage.shard_writer import EncodedAttribute, write_retagged_files
from audience.language.attribute_names import UNTYPED


def retag_shard(
    shard: Shard,
    rows: BitMap,
    column_of_tag: Mapping[str, Column],
    tags_to_add: Iterable[str],
    tags_to_remove: Iterable[str],
    destination: tuple[Storage, str],
) -> Shard:
    """Write *shard* with the tags of *rows* changed as a new shard, without its deleted rows being dropped.

    Args:
        shard: Shard to rewrite.
        rows: Rows whose tags change; none of them is deleted.
        column_of_tag: Column of the table to which each tag belongs.
        tags_to_add: Tags that the rows get.
        tags_to_remove: Tags that the rows lose.
        destination: Storage of the new shard, and its name.
    """
    storage, name = destination
    bitmaps = _read_tag_bitmaps(shard)
    for tag in tags_to_add:
        others = {key for key in bitmaps if key[0] == tag and key[1] != column_of_tag[tag].name_in_table}
        for other in others:  # only deleted rows have the tag there
            del bitmaps[other]
        key = tag, column_of_tag[tag].name_in_table
        bitmaps[key] = bitmaps.get(key, BitMap()) | rows
    removed = set(tags_to_remove)
    for key in bitmaps:
        if key[0] in removed:
            bitmaps[key] = bitmaps[key] - rows
    files = write_retagged_files(storage, name, shard, _encode_tags(bitmaps)).commit()
    return Shard(storage, files, shard.deleted)


def _read_tag_bitmaps(shard: Shard) -> dict[tuple[str, str], BitMap]:
    """Return the bitmap of each bare tag, by the tag and the column of the table that it comes from."""
    stored = shard.attributes.get(UNTYPED)
    if stored is None:
        return {}
    values = polars_bridge.read_value_table(shard).slice(stored.start, stored.value_count)
    keys = values.select("value", "column").rows()
    return {key: shard.load_bitmap(stored.start + at) for at, key in enumerate(keys)}


def _encode_tags(bitmaps: Mapping[tuple[str, str], BitMap]) -> EncodedAttribute:
    present = sorted(((tag, column, bitmap) for (tag, column), bitmap in bitmaps.items() if bitmap), key=itemgetter(0))
    tags = pl.Series([tag for tag, _, _ in present], dtype=pl.String)
    sources = [column for _, column, _ in present]
    return EncodedAttribute(
        UNTYPED, "tags", tags, sources, [bitmap for _, _, bitmap in present], len(present), False, "String"
    )
