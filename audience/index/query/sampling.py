"""Find the rows of a sample or split."""

import numpy as np

from audience.index.schema.columns import rank_id_columns
from audience.index.storage import bitmaps, id_lookup
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.shard import Shard
from audience.language.ast import Sample, Split
from audience.language.bucketing import bucket_range


def sample_rows(expr: Sample | Split, shard: Shard) -> BitMap:
    """Return the rows of *shard* whose bucket is in the range of *expr*, including deleted rows.

    The bucket of a device is computed from its first id, in the order in which `rank_id_columns` prefers the columns.
    """
    sampled, unassigned = BitMap(), bitmaps.full_bitmap(shard.row_count)
    for column in rank_id_columns(shard.id_columns):
        if unassigned:
            table = shard.read_hash_table(column)
            in_bucket = id_lookup.is_in_bucket(table, expr.seed, bucket_range(expr))
            sampled |= bitmaps.rows_to_bitmap(np.sort(id_lookup.rows_of_table(table[in_bucket]))) & unassigned
            unassigned -= bitmaps.rows_to_bitmap(np.sort(id_lookup.rows_of_table(table)))
    return sampled
