"""Which columns of ids mean which devices, and the shares of devices that are taken by them."""

from collections.abc import Iterable

import numpy as np

from audience.index import bits, lookup
from audience.index.bits import BitMap
from audience.index.columns import ID_WORDS
from audience.index.shard import Shard
from audience.language.expr import Ids, Sample, Split
from audience.language.shares import bounds


def columns_of(ids: Ids, names: Iterable[str]) -> list[str]:
    """Which of the columns of ids *names* hold ids of that kind."""
    prefix = "id:" if ids.kind == "registration_id" else f"{ids.kind}:"
    return [name for name in names if name.startswith(prefix)]


def on_share(expr: Sample | Split, shard: Shard) -> BitMap:
    """The rows of *shard* on the share that *expr* means, dead ones too.

    A device is put to its place by the first of its ids, in the order in which a crowd prefers their columns.
    """
    found, left = BitMap(), bits.universe(shard.rows)
    for name in by_preference(shard.id_names):
        if left:
            table = shard.lookup(name)
            inside = lookup.on_share(table, expr.seed, bounds(expr))
            found |= bits.from_rows(np.sort(lookup.rows_of(table[inside]))) & left
            left -= bits.from_rows(np.sort(lookup.rows_of(table)))
    return found


def by_preference(names: Iterable[str]) -> list[str]:
    """The columns of devices' own ids among *names*: those of no vendor first."""
    own = [name for name in names if name.startswith("id:")]
    words = [f"id:{word}" for word in ID_WORDS if f"id:{word}" in own]
    return [*words, *(name for name in sorted(own) if name not in words)]
