"""Read bitmaps that others have written: the portable roaring format, every byte of it checked.

CRoaring trusts the cardinalities in a bitmap, and writes beyond its buffers if they are wrong. The format:
https://github.com/RoaringBitmap/RoaringFormatSpec, read 2026-11-29.
"""

import numpy as np
from numpy.typing import NDArray

COOKIE_WITH_RUNS, COOKIE = 12347, 12346
MIN_CONTAINERS_WITH_OFFSETS = 4  # in a bitmap with runs
MAX_CONTAINERS = CONTAINER_VALUES = 1 << 16
MAX_ARRAY_VALUES = 4_096
BITSET_BYTES = 8_192


def count_containers(size: int) -> int:
    """Return the number of containers that values below *size* may be in."""
    return -(-size // CONTAINER_VALUES)


class RoaringError(ValueError):
    """Bytes that are not a bitmap."""


class _ByteReader:
    """Bytes that are read from their start to their end."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, dtype: str, count: int) -> NDArray[np.int64]:
        """Return the next *count* numbers of a type."""
        nbytes = np.dtype(dtype).itemsize * count
        if self.at + nbytes > len(self.data):
            raise RoaringError("it is cut off")
        numbers = np.frombuffer(self.data, dtype, count, self.at)
        self.at += nbytes
        return numbers.astype(np.int64)


def read_portable(data: bytes, container_count: int = MAX_CONTAINERS) -> NDArray[np.uint32]:
    """Return the values of the bitmap in *data*, in rising order.

    Args:
        data: Bitmap.
        container_count: Number of containers that values may be in. Runs of a few bytes have billions of values in all.

    Raises:
        RoaringError: *data* is anything else than one bitmap in the portable format, or has a container beyond.

    >>> from pyroaring import BitMap
    >>> read_portable(BitMap([1, 5, 1 << 20]).serialize()).tolist()
    [1, 5, 1048576]
    """
    reader = _ByteReader(data)
    (cookie,) = reader.take("<u4", 1)
    if cookie & 0xFFFF == COOKIE_WITH_RUNS:
        count = int(cookie >> 16) + 1
        flags = reader.take("u1", (count + 7) // 8).astype(np.uint8)
        has_runs = np.unpackbits(flags, bitorder="little")[:count].astype(bool)
    elif cookie == COOKIE:
        count = int(reader.take("<u4", 1)[0])
        has_runs = np.zeros(min(count, MAX_CONTAINERS), dtype=bool)
    else:
        raise RoaringError("it does not begin as one")
    if count > MAX_CONTAINERS:
        raise RoaringError(f"it says that it has {count:,} containers")
    head = reader.take("<u2", 2 * count).reshape(count, 2)
    if (np.diff(head[:, 0]) <= 0).any():
        raise RoaringError("its containers are not in order")
    if count and head[-1, 0] >= container_count:
        raise RoaringError(f"it has positions from {int(head[-1, 0]) << 16:,} on, where no device is")
    has_offsets = cookie == COOKIE or count >= MIN_CONTAINERS_WITH_OFFSETS
    offsets = reader.take("<u4", count) if has_offsets else None
    return _read_containers(reader, head, has_runs, offsets)


def _read_containers(
    reader: _ByteReader, head: NDArray[np.int64], has_runs: NDArray[np.bool_], offsets: NDArray[np.int64] | None
) -> NDArray[np.uint32]:
    parts = [np.empty(0, dtype=np.int64)]
    for number, (key, last) in enumerate(head.tolist()):
        if offsets is not None and offsets[number] != reader.at:
            raise RoaringError("a container is not where it says")
        values = _read_runs(reader) if has_runs[number] else _read_values(reader, last + 1)
        if len(values) != last + 1:
            raise RoaringError(f"a container has {len(values):,} values and says {last + 1:,}")
        parts.append(values + (key << 16))
    if reader.at != len(reader.data):
        raise RoaringError("more bytes follow it")
    return np.concatenate(parts).astype(np.uint32)


def _read_values(reader: _ByteReader, count: int) -> NDArray[np.int64]:
    if count > MAX_ARRAY_VALUES:
        bits = np.unpackbits(reader.take("u1", BITSET_BYTES).astype(np.uint8), bitorder="little")
        return np.flatnonzero(bits).astype(np.int64)
    values = reader.take("<u2", count)
    if (np.diff(values) <= 0).any():
        raise RoaringError("values are not in order")
    return values


def _read_runs(reader: _ByteReader) -> NDArray[np.int64]:
    (count,) = reader.take("<u2", 1)
    starts, lengths = (reader.take("<u2", 2 * int(count)).reshape(-1, 2) + np.array([0, 1])).T
    stops = starts + lengths
    if (starts[1:] < stops[:-1]).any() or (stops > 1 << 16).any():
        raise RoaringError("runs overlap")
    if not len(starts):
        return np.empty(0, dtype=np.int64)
    before = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    values = np.repeat(starts - before, lengths) + np.arange(lengths.sum(), dtype=np.int64)
    return values.astype(np.int64)
