"""Find the rows of a sample or split."""

import numpy as np

from audience.index.schema.columns import rank_id_columns
from audience.index.storage import bitmaps, id_lookup
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.shard import Shard
from audience.language.ast import Sample, Split
from audience.language.bucketing import bucket_range


def sample_rows(expr: Sample | Split, shard: Shard) -> BitMap:
    """The rows of *shard* on the share that *expr* means, dead ones too.

    A device is put to its place by the first of its ids, in the order in which a crowd prefers their columns.
    """
    found, left = BitMap(), bitmaps.full_bitmap(shard.row_count)
    for name in rank_id_columns(shard.id_column_names):
        if left:
            table = shard.read_hash_table(name)
            inside = id_lookup.is_in_bucket(table, expr.seed, bucket_range(expr))
            found |= bitmaps.rows_to_bitmap(np.sort(id_lookup.rows_of_table(table[inside]))) & left
            left -= bitmaps.rows_to_bitmap(np.sort(id_lookup.rows_of_table(table)))
    return found
