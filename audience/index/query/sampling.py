"""Find the rows of a sample or split."""

import numpy as np

from audience.index.schema.columns import by_preference
from audience.index.storage import bitmaps, id_lookup
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.shard import Shard
from audience.language.ast import Sample, Split
from audience.language.bucketing import bounds


def on_share(expr: Sample | Split, shard: Shard) -> BitMap:
    """The rows of *shard* on the share that *expr* means, dead ones too.

    A device is put to its place by the first of its ids, in the order in which a crowd prefers their columns.
    """
    found, left = BitMap(), bitmaps.universe(shard.rows)
    for name in by_preference(shard.id_names):
        if left:
            table = shard.lookup(name)
            inside = id_lookup.on_share(table, expr.seed, bounds(expr))
            found |= bitmaps.from_rows(np.sort(id_lookup.rows_of(table[inside]))) & left
            left -= bitmaps.from_rows(np.sort(id_lookup.rows_of(table)))
    return found
