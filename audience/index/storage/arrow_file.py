"""The door to pyarrow: files of one record batch whose buffers can be read where they lie.

A file is its *frame* (schema, metadata, small columns) and its *body*, the stretch of bytes that holds its large
columns. The frame is checked and read as a whole, the body only where a question touches it.
"""

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

LIBC = ctypes.CDLL(None) if os.name == "posix" else None
DONT_NEED = 4  # MADV_DONTNEED of Linux and macOS

Columns: TypeAlias = Mapping[str, pa.Array]
Span: TypeAlias = tuple[int, int]
Column: TypeAlias = Any  # an Arrow array
Texts: TypeAlias = Any  # one of texts
Buffer: TypeAlias = tuple[int, int]  # where it starts in the file, and how many bytes it has


def from_texts(texts: Sequence[str]) -> pa.Array:
    return pa.array(texts, type=pa.large_string())


def from_numpy(values: NDArray[Any]) -> pa.Array:
    return pa.array(values)


def from_pieces(pieces: Iterable[bytes | None]) -> pa.Array:
    """An array of binary values."""
    return pa.array(list(pieces), type=pa.large_binary())


def from_matrix(texts: NDArray[np.void]) -> pa.Array:
    """An array of texts that all have the same number of bytes."""
    places = np.arange(len(texts) + 1, dtype=np.int64) * texts.dtype.itemsize
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(places), pa.py_buffer(texts))


def matrix(array: pa.Array) -> NDArray[np.void] | None:
    """The texts of *array*, none of them null, as rows of bytes; None where their widths differ."""
    places, data = texts(array)
    if places is None or len(places) < 2 or not places[1]:
        return None
    width = int(places[1])
    if places[-1] != width * len(array) or (np.diff(places) != width).any():
        return None
    return data[: places[-1]].view(f"V{width}")


def moved(rows: NDArray[np.void], order: NDArray[np.uint32]) -> NDArray[np.void]:
    """The *rows* in another *order*; whole words are moved twice as fast as bytes."""
    width = rows.dtype.itemsize
    word = next((word for word in (np.uint64, np.uint32) if width % np.dtype(word).itemsize == 0), np.uint8)
    words = rows.view(word).reshape(len(rows), -1)
    return np.take(words, order, axis=0).reshape(-1).view(rows.dtype)


def lists(counts: NDArray[np.int64], values: pa.Array) -> pa.Array:
    """Lists of *counts* values each, as they follow in *values*."""
    places = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return pa.LargeListArray.from_arrays(pa.array(places), values)


def numbers(array: pa.Array) -> NDArray[np.uint32]:
    """The numbers of *array*, of 32 bits; where it is null, any."""
    return np.frombuffer(array.buffers()[1] or b"", dtype=np.uint32, count=len(array), offset=4 * array.offset)


class Slice:
    """The texts of an Arrow array from *start* on, *count* of them, each read when it is asked for."""

    def __init__(self, array: pa.Array, start: int, count: int):
        self._array = array
        self._start = start
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> str:
        if not 0 <= place < self._count:
            raise IndexError(place)
        return self._array[self._start + place].as_py()  # type: ignore[no-any-return]


def texts(array: pa.Array) -> tuple[NDArray[np.int64] | None, NDArray[np.uint8]]:
    """The offsets of the texts of *array* and their bytes; no offsets where it holds something else."""
    if array.type != pa.large_string():
        return None, np.empty(0, dtype=np.uint8)
    _, places, data = array.buffers()
    found = np.frombuffer(places, dtype=np.int64, count=len(array) + 1) if places else np.zeros(1, dtype=np.int64)
    return found, np.frombuffer(data, dtype=np.uint8) if data else np.empty(0, dtype=np.uint8)


def taken(array: pa.Array, rows: NDArray[np.uint32]) -> pa.Array:
    """The values of *array* at *rows*, in buffers of their own."""
    return array.take(pa.array(rows))


def nothing(count: int) -> Texts:
    """So many texts that are null."""
    return pa.nulls(count, pa.large_string())


def plain(array: Texts) -> bool:
    """Whether JSON writes all texts of *array*, as it was `taken`, as they are."""
    return plain_bytes(texts(array)[1])


def plain_bytes(data: NDArray[np.uint8]) -> bool:
    """Whether JSON writes all characters of *data* as they are."""
    return bool((data >= 0x20).all() and (data != ord('"')).all() and (data != ord("\\")).all())


def joined(array: Texts, each: int, between: bytes) -> tuple[memoryview, list[int]] | None:
    """The texts of *array*, as it was `taken`, *each* of them joined to one, and where these begin and end.

    None where they are too long for it.
    """
    from pyarrow import compute  # here, as it takes long to load and only ids that are told are joined

    places, data = texts(array)
    count, parts = len(array), -(-len(array) // each)
    if places is None or len(data) + count * len(between) > MOST:
        return None
    short = pa.StringArray.from_buffers(count, pa.py_buffer(places.astype(np.int32)), pa.py_buffer(data))
    ends = np.minimum(np.arange(parts + 1, dtype=np.int32) * each, count)
    found = compute.binary_join(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), short), between.decode())
    _, stops, joint = found.buffers()
    return memoryview(joint), np.frombuffer(stops, dtype=np.int32, count=parts + 1).tolist()


MOST = 2**31 - 1  # bytes of texts with short offsets, the only ones that are joined


def write(file: Path, columns: Columns, large: Iterable[str], facts: bytes = b"") -> Span:
    """Write *columns* to *file*, with *facts* beside them; the body that holds the columns *large*."""
    with pa.OSFile(str(file), "wb") as sink:
        _write(sink, columns, facts)
    with pa.memory_map(str(file)) as source:
        whole = source.read_buffer(source.size())
        batch = _batch(whole)
        return _body([batch.column(name) for name in large], whole)


def mapped(file: Path) -> memoryview:
    """The bytes of *file*, which stay readable without the file being open."""
    if not file.stat().st_size:
        return memoryview(b"")
    with pa.memory_map(str(file)) as source:
        return memoryview(source.read_buffer(source.size())).cast("B")


def released(data: memoryview) -> None:
    """Let the system take back the memory of *data*, which is `mapped`; what is read again comes from the file."""
    if LIBC is not None and len(data):
        LIBC.madvise(ctypes.c_void_p(pa.py_buffer(data).address), ctypes.c_size_t(len(data)), DONT_NEED)


def packed(columns: Columns) -> bytes:
    """What a file of *columns* holds."""
    sink = pa.BufferOutputStream()
    _write(sink, columns)
    return bytes(sink.getvalue())


def _write(sink: Any, columns: Columns, facts: bytes = b"") -> None:
    fields = [(name, array.type) for name, array in columns.items()]
    schema = pa.schema(fields, metadata={b"audience": facts} if facts else None)
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(list(columns.values()), schema=schema))


def _batch(data: Any) -> pa.RecordBatch:
    return pa.ipc.open_file(pa.py_buffer(data)).get_batch(0)


def _body(arrays: Iterable[pa.Array], whole: pa.Buffer) -> Span:
    """The stretch of *whole* that holds the buffers of *arrays*."""
    found = [buffer for array in arrays for buffer in array.buffers() if buffer is not None and buffer.size]
    if not found:
        return 0, 0
    first = min(buffer.address for buffer in found)
    last = max(buffer.address + buffer.size for buffer in found)
    return first - whole.address, last - whole.address


class Frame:
    """The record batch of a file whose frame has been checked."""

    def __init__(self, data: memoryview):
        self._whole = pa.py_buffer(data)
        reader = pa.ipc.open_file(self._whole)
        self.batch = reader.get_batch(0)
        self.facts: bytes = (reader.schema.metadata or {}).get(b"audience", b"")
        self.names: list[str] = reader.schema.names

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def column(self, name: str) -> pa.Array:
        return self.batch.column(name)

    def buffers(self, name: str) -> list[Buffer | None]:
        """Where the buffers of the column *name* lie in the file; None for one that is not there."""
        return [
            None if buffer is None else (buffer.address - self._whole.address, buffer.size)
            for buffer in self.column(name).buffers()
        ]


def offsets(data: memoryview, buffer: Buffer | None, count: int) -> NDArray[np.int64]:
    """The *count* + 1 offsets of an array of texts or bytes, as they lie in *data*."""
    if buffer is None or count == 0:
        return np.zeros(count + 1, dtype=np.int64)
    return np.frombuffer(data, dtype=np.int64, count=count + 1, offset=buffer[0])
