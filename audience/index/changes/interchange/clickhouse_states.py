"""States of ClickHouse's `AggregateFunction(groupBitmap, UInt32)`, in rows of its format RowBinary.

    state of at most 32 values     0x00, their number (1 byte), the values (4 bytes each, little-endian)
    state of any number            0x01, the size in bytes (a varint), a bitmap in the portable roaring format
    row                            shard (4 bytes), column, attribute, value (each with its size), state

As in `src/AggregateFunctions/AggregateFunctionGroupBitmapData.h` of ClickHouse 26.9, tried with chdb.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audience.index.changes.interchange.portable_roaring import RoaringError, count_containers, read_portable

MAX_SMALL_VALUES = 32
SMALL, LARGE = 0, 1
MAX_VARINT_BYTES = 9


class StateRow(NamedTuple):
    """Row of a file of states, with its values."""

    shard: int
    column: str
    attribute: str
    value: str
    positions: NDArray[np.uint32]


def write_row(shard: int, texts: tuple[str, str, str], bitmap: bytes) -> bytes:
    """Return a row: the shard, the column, attribute and value, and the state of a portable *bitmap*."""
    encoded = [text.encode() for text in texts]
    head = b"".join(_varint(len(text)) + text for text in encoded)
    return shard.to_bytes(4, "little") + head + write_state(bitmap)


def write_state(bitmap: bytes) -> bytes:
    """Return the state of a portable *bitmap*.

    >>> from pyroaring import BitMap
    >>> write_state(BitMap([1, 256]).serialize()).hex()
    '00020100000000010000'
    """
    values = read_portable(bitmap)
    if len(values) <= MAX_SMALL_VALUES:
        return bytes((SMALL, len(values))) + values.astype("<u4").tobytes()
    return bytes((LARGE,)) + _varint(len(bitmap)) + bitmap


def iter_rows(file: Path, devices: Sequence[int]) -> Iterator[StateRow]:
    """Yield the rows of a file of states.

    Args:
        file: File.
        devices: Number of devices of each shard.

    Raises:
        RoaringError: The file is cut off, has other bytes, or a shard or positions that do not exist.
    """
    data, at = memoryview(file.read_bytes()), 0
    while at < len(data):
        reader = _StateReader(data, at)
        shard = int.from_bytes(reader.take(4), "little")
        column, attribute, value = (reader.take_text() for _ in range(3))
        if shard >= len(devices):
            raise RoaringError(f"a row is of shard {shard:,}, which the description does not have")
        yield StateRow(shard, column, attribute, value, reader.take_state(count_containers(devices[shard])))
        at = reader.at


class _StateReader:
    """Bytes of a file from the place *at* on."""

    def __init__(self, data: memoryview, at: int):
        self.data, self.at = data, at

    def take(self, nbytes: int) -> bytes:
        """Return the next bytes."""
        if self.at + nbytes > len(self.data):
            raise RoaringError("it is cut off")
        taken = bytes(self.data[self.at : self.at + nbytes])
        self.at += nbytes
        return taken

    def take_text(self) -> str:
        """Return the next text."""
        try:
            return self.take(self.take_varint()).decode()
        except UnicodeDecodeError:
            raise RoaringError("a text is not UTF-8") from None

    def take_varint(self) -> int:
        """Return the next number of 7 bits a byte, the lowest first."""
        number = 0
        for place in range(MAX_VARINT_BYTES):
            (byte,) = self.take(1)
            number |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return number
        raise RoaringError("a size has too many bytes")

    def take_state(self, container_count: int) -> NDArray[np.uint32]:
        """Return the values of the next state, in rising order."""
        (kind,) = self.take(1)
        if kind == LARGE:
            return read_portable(self.take(self.take_varint()), container_count)
        if kind != SMALL:
            raise RoaringError(f"a state is of the unknown kind {kind}")
        (count,) = self.take(1)
        values = np.sort(np.frombuffer(self.take(4 * count), "<u4").astype(np.uint32))
        if count > MAX_SMALL_VALUES or (values[1:] == values[:-1]).any():
            raise RoaringError("a small state has too many values, or one twice")
        return values


def _varint(number: int) -> bytes:
    parts = []
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
