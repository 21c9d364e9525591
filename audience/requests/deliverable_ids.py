"""Which ids the lists of a vendor can carry, without looking at each where the facts of a shard tell."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.storage import bitmaps, polars_bridge
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.shard import FEW, Shard
from audience.requests.json_bodies import AT_ONCE, Rows, stretches
from audience.vendors.spec import SPACE, Vendor

AT_A_TIME = 1 << 12  # ids of one width that are looked at while they are near


def carried(shard: Shard, name: str, found: BitMap, to: Vendor) -> BitMap:
    """The rows of *found* that have an id in the column *name* which the lists of *to* can carry.

    What none holds that begins like a character that is forbidden need not be looked at one by one.
    """
    width = shard.width(name)
    short = to.id_length is None or (width is not None and width <= to.id_length)
    if not found or (short and not to.id_forbids and (width is not None or shard.full(name))):
        return found
    signs = bytes({char.encode()[0] for char in to.id_forbids + SPACE})
    if short and width is not None and len(found) * FEW > shard.rows and not shard.holds(name, signs):
        return found
    rows = bitmaps.rows_of(found)
    matrix = shard.matrix(name, rows) if short else None
    doubtful = stretches(rows, AT_ONCE) if matrix is None else _doubtful(matrix, rows, signs)
    wrong = [some[_suspects(polars_bridge.to_series(shard.texts(name, some)), to).to_numpy()] for some in doubtful]
    left = bitmaps.from_rows(np.concatenate([rows[:0], *wrong]))
    return found - left if left else found


def _doubtful(matrix: NDArray[np.void], rows: Rows, signs: bytes) -> Iterator[Rows]:
    """Stretches of *rows* with any of the bytes *signs*.

    To find one byte in many takes a tenth of the time that it takes to bring them near.
    """
    width = matrix.dtype.itemsize
    data = bytearray(AT_A_TIME * width)
    near = np.frombuffer(data, matrix.dtype)
    for some in stretches(rows, AT_A_TIME):
        np.take(matrix, some, out=near[: len(some)], mode="clip")
        if any(data.find(sign, 0, len(some) * width) >= 0 for sign in signs):
            yield some


def _suspects(ids: pl.Series, to: Vendor) -> pl.Series:
    """Which ids cannot be carried, a column at a time; `Vendor.uncarriable` says why, one at a time."""
    wrong = ids.is_null()
    if to.id_length is not None:
        wrong |= (ids.str.len_chars() > to.id_length).fill_null(False)
    if to.id_forbids:
        wrong |= (ids != ids.str.strip_chars(SPACE)).fill_null(False)
    for char in to.id_forbids:
        wrong |= ids.str.contains(char, literal=True).fill_null(False)
    return wrong
