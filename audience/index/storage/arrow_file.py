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
MADV_DONTNEED = 4  # MADV_DONTNEED of Linux and macOS

ArrowColumns: TypeAlias = Mapping[str, pa.Array]
ByteRange: TypeAlias = tuple[int, int]
ArrowArray: TypeAlias = Any  # an Arrow array
StringArray: TypeAlias = Any  # one of texts
BufferLocation: TypeAlias = tuple[int, int]  # where it starts in the file, and how many bytes it has


def from_strings(strings: Sequence[str]) -> pa.Array:
    return pa.array(strings, type=pa.large_string())


def from_numpy(values: NDArray[Any]) -> pa.Array:
    return pa.array(values)


def from_bytes(values: Iterable[bytes | None]) -> pa.Array:
    """An array of binary values."""
    return pa.array(list(values), type=pa.large_binary())


def from_fixed_width(rows: NDArray[np.void]) -> pa.Array:
    """An array of texts that all have the same number of bytes."""
    places = np.arange(len(rows) + 1, dtype=np.int64) * rows.dtype.itemsize
    return pa.LargeStringArray.from_buffers(len(rows), pa.py_buffer(places), pa.py_buffer(rows))


def as_fixed_width(array: pa.Array) -> NDArray[np.void] | None:
    """The texts of *array*, none of them null, as rows of bytes; None where their widths differ."""
    places, data = view_string_buffers(array)
    if places is None or len(places) < 2 or not places[1]:
        return None
    width = int(places[1])
    if places[-1] != width * len(array) or (np.diff(places) != width).any():
        return None
    return data[: places[-1]].view(f"V{width}")


def reorder_fixed_width(rows: NDArray[np.void], order: NDArray[np.uint32]) -> NDArray[np.void]:
    """The *rows* in another *order*; whole words are moved twice as fast as bytes."""
    width = rows.dtype.itemsize
    word = next((word for word in (np.uint64, np.uint32) if width % np.dtype(word).itemsize == 0), np.uint8)
    words = rows.view(word).reshape(len(rows), -1)
    return np.take(words, order, axis=0).reshape(-1).view(rows.dtype)


def build_lists(counts: NDArray[np.int64], values: pa.Array) -> pa.Array:
    """Lists of *counts* values each, as they follow in *values*."""
    places = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return pa.LargeListArray.from_arrays(pa.array(places), values)


def as_uint32(array: pa.Array) -> NDArray[np.uint32]:
    """The numbers of *array*, of 32 bits; where it is null, any."""
    return np.frombuffer(array.buffers()[1] or b"", dtype=np.uint32, count=len(array), offset=4 * array.offset)


class LazyStrings:
    """The texts of an Arrow array from *start* on, *count* of them, each read when it is asked for."""

    def __init__(self, array: pa.Array, start: int, count: int):
        self._array = array
        self._start = start
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: int) -> str:
        if not 0 <= position < self._count:
            raise IndexError(position)
        return self._array[self._start + position].as_py()  # type: ignore[no-any-return]


def view_string_buffers(array: pa.Array) -> tuple[NDArray[np.int64] | None, NDArray[np.uint8]]:
    """The offsets of the texts of *array* and their bytes; no offsets where it holds something else."""
    if array.type != pa.large_string():
        return None, np.empty(0, dtype=np.uint8)
    _, places, data = array.buffers()
    found = np.frombuffer(places, dtype=np.int64, count=len(array) + 1) if places else np.zeros(1, dtype=np.int64)
    return found, np.frombuffer(data, dtype=np.uint8) if data else np.empty(0, dtype=np.uint8)


def take_rows(array: pa.Array, rows: NDArray[np.uint32]) -> pa.Array:
    """The values of *array* at *rows*, in buffers of their own."""
    return array.take(pa.array(rows))


def null_strings(count: int) -> StringArray:
    """So many texts that are null."""
    return pa.nulls(count, pa.large_string())


def is_json_safe(array: StringArray) -> bool:
    """Whether JSON writes all texts of *array*, as it was `taken`, as they are."""
    return is_json_safe_bytes(view_string_buffers(array)[1])


def is_json_safe_bytes(data: NDArray[np.uint8]) -> bool:
    """Whether JSON writes all characters of *data* as they are."""
    return bool((data >= 0x20).all() and (data != ord('"')).all() and (data != ord("\\")).all())


def join_strings(array: StringArray, group_size: int, separator: bytes) -> tuple[memoryview, list[int]] | None:
    """The texts of *array*, as it was `taken`, *each* of them joined to one, and where these begin and end.

    None where they are too long for it.
    """
    from pyarrow import compute  # here, as it takes long to load and only ids that are told are joined

    places, data = view_string_buffers(array)
    count, parts = len(array), -(-len(array) // group_size)
    if places is None or len(data) + count * len(separator) > MAX_ARROW_STRING_BYTES:
        return None
    short = pa.StringArray.from_buffers(count, pa.py_buffer(places.astype(np.int32)), pa.py_buffer(data))
    ends = np.minimum(np.arange(parts + 1, dtype=np.int32) * group_size, count)
    found = compute.binary_join(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), short), separator.decode())
    _, stops, joint = found.buffers()
    return memoryview(joint), np.frombuffer(stops, dtype=np.int32, count=parts + 1).tolist()


MAX_ARROW_STRING_BYTES = 2**31 - 1  # bytes of texts with short offsets, the only ones that are joined


def write_arrow_file(
    file: Path, columns: ArrowColumns, large_columns: Iterable[str], metadata: bytes = b""
) -> ByteRange:
    """Write *columns* to *file*, with *facts* beside them; the body that holds the columns *large*."""
    with pa.OSFile(str(file), "wb") as sink:
        _write_batch(sink, columns, metadata)
    with pa.memory_map(str(file)) as source:
        whole = source.read_buffer(source.size())
        batch = _read_batch(whole)
        return _find_data_range([batch.column(name) for name in large_columns], whole)


def map_file(file: Path) -> memoryview:
    """The bytes of *file*, which stay readable without the file being open."""
    if not file.stat().st_size:
        return memoryview(b"")
    with pa.memory_map(str(file)) as source:
        return memoryview(source.read_buffer(source.size())).cast("B")


def evict_pages(data: memoryview) -> None:
    """Let the system take back the memory of *data*, which is `mapped`; what is read again comes from the file."""
    if LIBC is not None and len(data):
        LIBC.madvise(ctypes.c_void_p(pa.py_buffer(data).address), ctypes.c_size_t(len(data)), MADV_DONTNEED)


def to_ipc_bytes(columns: ArrowColumns) -> bytes:
    """What a file of *columns* holds."""
    sink = pa.BufferOutputStream()
    _write_batch(sink, columns)
    return bytes(sink.getvalue())


def _write_batch(sink: Any, columns: ArrowColumns, metadata: bytes = b"") -> None:
    fields = [(name, array.type) for name, array in columns.items()]
    schema = pa.schema(fields, metadata={b"audience": metadata} if metadata else None)
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(list(columns.values()), schema=schema))


def _read_batch(data: Any) -> pa.RecordBatch:
    return pa.ipc.open_file(pa.py_buffer(data)).get_batch(0)


def _find_data_range(arrays: Iterable[pa.Array], file_buffer: pa.Buffer) -> ByteRange:
    """The stretch of *whole* that holds the buffers of *arrays*."""
    found = [buffer for array in arrays for buffer in array.buffers() if buffer is not None and buffer.size]
    if not found:
        return 0, 0
    first = min(buffer.address for buffer in found)
    last = max(buffer.address + buffer.size for buffer in found)
    return first - file_buffer.address, last - file_buffer.address


class ArrowTable:
    """The record batch of a file whose frame has been checked."""

    def __init__(self, data: memoryview):
        self._file_buffer = pa.py_buffer(data)
        reader = pa.ipc.open_file(self._file_buffer)
        self.batch = reader.get_batch(0)
        self.metadata: bytes = (reader.schema.metadata or {}).get(b"audience", b"")
        self.column_names: list[str] = reader.schema.names

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def column(self, name: str) -> pa.Array:
        return self.batch.column(name)

    def buffer_locations(self, name: str) -> list[BufferLocation | None]:
        """Where the buffers of the column *name* lie in the file; None for one that is not there."""
        return [
            None if buffer is None else (buffer.address - self._file_buffer.address, buffer.size)
            for buffer in self.column(name).buffers()
        ]


def read_offsets(data: memoryview, buffer: BufferLocation | None, count: int) -> NDArray[np.int64]:
    """The *count* + 1 offsets of an array of texts or bytes, as they lie in *data*."""
    if buffer is None or count == 0:
        return np.zeros(count + 1, dtype=np.int64)
    return np.frombuffer(data, dtype=np.int64, count=count + 1, offset=buffer[0])
