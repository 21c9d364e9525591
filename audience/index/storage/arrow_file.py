"""Arrow files of one record batch whose buffers are read in place. The only module that imports pyarrow.

The data range of a file is the range of bytes that holds its large columns. Everything else (schema, metadata, small
columns) is verified and read when the file is opened, the data range only where a query needs it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, TypeAlias

from audience.index.storage.arrow_layout import BufferLocation, read_layout
from audience.lazy_imports import LazyModule, np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
else:
    pa = LazyModule("pyarrow")

LIBC = ctypes.CDLL(None) if os.name == "posix" else None
MADV_WILLNEED, MADV_DONTNEED = 3, 4  # on Linux and macOS
MADV_POPULATE_READ = 22  # on Linux from 5.14 on; elsewhere an unknown advice, which does nothing
TAKEN_SIZE = 1 << 16  # of a table that any number of 16 bits is a position of
MAX_ARROW_STRING_BYTES = 2**31 - 1  # of strings with 32-bit offsets, the only ones that Arrow joins

ArrowColumns: TypeAlias = "Mapping[str, pa.Array]"
NumberForm: TypeAlias = Literal["B", "I", "q", "Q"]  # of the module struct
ByteRange: TypeAlias = tuple[int, int]  # start and stop in a file
ArrowArray: TypeAlias = Any  # a pa.Array
StringArray: TypeAlias = Any  # a pa.LargeStringArray


def from_strings(strings: Sequence[str]) -> pa.Array:
    """Return an array of strings."""
    return _from_binary([string.encode() for string in strings], pa.large_string())


def from_numpy(values: NDArray[Any]) -> pa.Array:
    """Return an array of the type of *values*, which are numbers, without a copy."""
    type_ = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(type_, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def from_bytes(values: Iterable[bytes | None]) -> pa.Array:
    """Return an array of binary values."""
    return _from_binary(list(values), pa.large_binary())


def _from_binary(values: Sequence[bytes | None], type_: pa.DataType) -> pa.Array:
    """Return an array of *values*; `pa.array` would import pandas if it is installed, to see what they are."""
    is_present = [value is not None for value in values]
    validity = None if all(is_present) else pa.py_buffer(np.packbits(is_present, bitorder="little"))
    offset_type = np.int32 if type_ == pa.string() else np.int64
    offsets = np.cumsum([0, *(len(value or b"") for value in values)], dtype=offset_type)
    data = b"".join(value for value in values if value is not None)
    return pa.Array.from_buffers(type_, len(values), [validity, pa.py_buffer(offsets), pa.py_buffer(data)])


def join_arrays(arrays: Sequence[pa.Array]) -> pa.Array:
    """Return the elements of all *arrays* in one array."""
    return pa.concat_arrays(arrays)


def from_fixed_width(rows: NDArray[np.void]) -> pa.Array:
    """Return an array of strings that all have the same number of bytes."""
    offsets = np.arange(len(rows) + 1, dtype=np.int64) * rows.dtype.itemsize
    return pa.LargeStringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(rows))


def as_fixed_width(array: pa.Array) -> NDArray[np.void] | None:
    """Return strings, none of them null, as rows of bytes; None if their widths differ."""
    offsets, data = view_string_buffers(array)
    if offsets is None or len(offsets) < 2 or not offsets[1]:
        return None
    width = int(offsets[1])
    if offsets[-1] != width * len(array) or (np.diff(offsets) != width).any():
        return None
    return data[: offsets[-1]].view(f"V{width}")


def reorder_fixed_width(rows: NDArray[np.void], order: NDArray[np.uint32]) -> NDArray[np.void]:
    """Return *rows* in another order. Whole words are moved, which is twice as fast as bytes."""
    return np.take(_view_words(rows), order, axis=0).reshape(-1).view(rows.dtype)


def compare_fixed_width(
    first: NDArray[np.void], first_order: NDArray[np.uint32], second: NDArray[np.void], second_order: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether rows of *first* and *second*, which have one width, are equal, each in its order."""
    pairs = np.take(_view_words(first), first_order, axis=0) == np.take(_view_words(second), second_order, axis=0)
    is_equal: NDArray[np.bool_] = pairs.all(axis=1)
    return is_equal


def _view_words(rows: NDArray[np.void]) -> NDArray[Any]:
    """Return the words of each of *rows*, the largest of which it consists."""
    width = rows.dtype.itemsize
    word = next((word for word in (np.uint64, np.uint32) if width % np.dtype(word).itemsize == 0), np.uint8)
    return rows.view(word).reshape(len(rows), -1)


def build_lists(counts: NDArray[np.int64], values: pa.Array) -> pa.Array:
    """Return lists of *counts* consecutive elements of *values* each."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return pa.LargeListArray.from_arrays(from_numpy(offsets), values)


def as_lists(array: pa.Array) -> pa.Array:
    """Return strings as lists of one element each, null for null; lists as they are."""
    if pa.types.is_large_list(array.type):
        return array
    offsets = from_numpy(np.arange(len(array) + 1, dtype=np.int64))
    return pa.LargeListArray.from_arrays(offsets, array, mask=array.is_null() if array.null_count else None)


def is_list(array: pa.Array) -> bool:
    """Return whether each element is a list."""
    return bool(pa.types.is_large_list(array.type))


def from_bits(words: NDArray[np.uint64], start: int, stop: int) -> pa.Array:
    """Return Booleans, the bits of *words* from *start* up to *stop*, the lowest one first, without a copy."""
    return pa.BooleanArray.from_buffers(pa.bool_(), stop - start, [None, pa.py_buffer(words)], offset=start)


def stream_batches(names: Sequence[str], types: Sequence[pa.DataType], batches: Iterable[Sequence[pa.Array]]) -> Any:
    """Return a reader of record batches, each of which is built when it is read."""
    schema = pa.schema(list(zip(names, types, strict=True)))
    built = (pa.record_batch(list(arrays), schema=schema) for arrays in batches)
    return pa.RecordBatchReader.from_batches(schema, built)


def id_type(has_lists: bool) -> pa.DataType:
    """Return the type of a column of ids: strings, or lists of them."""
    return pa.large_list(pa.large_string()) if has_lists else pa.large_string()


def as_uint32(array: pa.Array) -> NDArray[np.uint32]:
    """Return 32-bit numbers without a copy, as `to_numpy` would import pandas; a null is an arbitrary number."""
    return np.frombuffer(array.buffers()[1] or b"", dtype=np.uint32, count=len(array), offset=4 * array.offset)


class LazyStrings:
    """Sequence of the strings of a column of a file, from *start* on, each converted when it is indexed.

    The bytes of the string at *position* of the column are *text* from `offsets[position]` on.
    """

    def __init__(self, offsets: memoryview, text: memoryview, start: int, count: int):
        self._offsets = offsets
        self._text = text
        self._start = start
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: int) -> str:
        if not 0 <= position < self._count:
            raise IndexError(position)
        at = self._start + position
        return str(self._text[self._offsets[at] : self._offsets[at + 1]], "utf-8")


def view_string_buffers(array: pa.Array) -> tuple[NDArray[np.int64] | None, NDArray[np.uint8]]:
    """Return the offsets and the bytes of strings; the offsets are None if *array* holds something else."""
    if array.type != pa.large_string():
        return None, np.empty(0, dtype=np.uint8)
    _, offsets, data = array.buffers()
    view = np.frombuffer(offsets, dtype=np.int64, count=len(array) + 1) if offsets else np.zeros(1, dtype=np.int64)
    return view, np.frombuffer(data, dtype=np.uint8) if data else np.empty(0, dtype=np.uint8)


def take_rows(array: pa.Array, rows: NDArray[np.uint32]) -> pa.Array:
    """Return the elements of *array* at *rows* in new buffers."""
    return array.take(from_numpy(rows))


def take_bytes(table: NDArray[np.uint8], positions: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return the elements of *table*, which has `TAKEN_SIZE`, at *positions*.

    It takes half of the time of numpy, which makes numbers of 64 bits of the positions first.
    """
    from pyarrow import compute  # loads slowly, and only some conditions need it

    assert len(table) == TAKEN_SIZE, "positions are not compared with the length"
    taken = compute.take(from_numpy(table), from_numpy(positions), boundscheck=False)
    return np.frombuffer(taken.buffers()[1] or b"", dtype=np.uint8)[: len(positions)]


def null_bytes(count: int) -> pa.Array:
    """Return an array of nulls of the type of `from_bytes`."""
    return pa.nulls(count, pa.large_binary())


def null_strings(count: int) -> StringArray:
    """Return an array of nulls of type string."""
    return pa.nulls(count, pa.large_string())


def is_json_safe(array: StringArray) -> bool:
    """Return whether JSON writes all strings of an array from `take_rows` without escapes."""
    return is_json_safe_bytes(view_string_buffers(array)[1])


def is_json_safe_bytes(data: NDArray[np.uint8]) -> bool:
    """Return whether JSON writes all characters of *data* without escapes."""
    return bool((data >= 0x20).all() and (data != ord('"')).all() and (data != ord("\\")).all())


def join_strings(array: StringArray, group_size: int, separator: bytes) -> tuple[memoryview, list[int]] | None:
    """Join each *group_size* consecutive strings of an array from `take_rows`.

    Returns:
        The joined bytes, and the offsets of the groups in them; None if Arrow cannot join so many bytes.
    """
    from pyarrow import compute  # loads slowly, and only sending by ids needs it

    offsets, data = view_string_buffers(array)
    count, group_count = len(array), -(-len(array) // group_size)
    if offsets is None or len(data) + count * len(separator) > MAX_ARROW_STRING_BYTES:
        return None
    strings = pa.StringArray.from_buffers(count, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data))
    group_offsets = np.minimum(np.arange(group_count + 1, dtype=np.int32) * group_size, count)
    groups = pa.ListArray.from_arrays(from_numpy(group_offsets), strings)
    _, stops, joined = compute.call_function(
        "binary_join", [groups, _from_binary([separator], pa.string())[0]]
    ).buffers()
    return memoryview(joined), np.frombuffer(stops, dtype=np.int32, count=group_count + 1).tolist()


def write_arrow_file(
    file: Path, columns: ArrowColumns, large_columns: Iterable[str], metadata: bytes = b""
) -> ByteRange:
    """Write *columns* and *metadata* to *file*. Return the data range, which holds the *large_columns*."""
    with pa.OSFile(str(file), "wb") as sink:
        _write_batch(sink, columns, metadata)
    with pa.memory_map(str(file)) as source:
        file_buffer = source.read_buffer(source.size())
        batch = pa.ipc.open_file(file_buffer).get_batch(0)
        return _find_data_range([batch.column(name) for name in large_columns], file_buffer)


class TableWriter(Protocol):
    """Writer of a file, to which tables of one schema are added; it ends with its context."""

    def __enter__(self) -> TableWriter:
        """Return the writer."""

    def __exit__(self, *exception: object) -> None:
        """Complete the file."""

    def write_table(self, table: Any) -> None:
        """Add the rows of *table*."""


def open_parquet_writer(file: BinaryIO, empty: Any) -> TableWriter:
    """Return a writer of Parquet with the schema of *empty*."""
    from pyarrow import parquet  # loads slowly, and only exports need it

    writer: TableWriter = parquet.ParquetWriter(file, empty.schema, compression="zstd", compression_level=1)
    return writer


def open_ipc_writer(file: BinaryIO, empty: Any) -> TableWriter:
    """Return a writer of an Arrow IPC file with the schema of *empty*."""
    writer: TableWriter = pa.ipc.new_file(file, empty.schema)
    return writer


def iter_tables(path: Path, max_rows: int) -> Iterator[Any]:
    """Yield the batches of an Arrow IPC file as tables of *max_rows* rows; an empty file has none.

    The caller has written tables of so many rows, and a last one of fewer, each in one batch or in several.
    """
    if not path.stat().st_size:
        return
    with pa.memory_map(str(path)) as source:
        reader, batches = pa.ipc.open_file(source), []
        for number in range(reader.num_record_batches):
            batches.append(reader.get_batch(number))
            if sum(len(batch) for batch in batches) >= max_rows:
                yield pa.Table.from_batches(batches)
                batches = []
        if batches:
            yield pa.Table.from_batches(batches)


def map_file(file: Path) -> memoryview:
    """Map *file* into memory. The bytes stay readable after the file is closed or deleted.

    If Arrow maps a file, the system reads the whole of it ahead.
    """
    with file.open("rb") as opened:
        if not os.fstat(opened.fileno()).st_size:
            return memoryview(b"")
        return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))


def map_descriptor(descriptor: int, nbytes: int) -> memoryview:
    """Map *nbytes* bytes of an open file into memory, to be read."""
    return memoryview(mmap.mmap(descriptor, nbytes, access=mmap.ACCESS_READ)) if nbytes else memoryview(b"")


class _Buffer(ctypes.Structure):
    """Buffer of an object, as Python's C interface describes it."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in ("format", "shape", "strides", "suboffsets", "internal")),
    )


def _find_address(data: memoryview) -> int:
    """Return the address of *data*, which may be read-only; pyarrow and NumPy can say it, but are slow to import."""
    buffer = _Buffer()
    if ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(data), ctypes.byref(buffer), 0):
        raise BufferError("no buffer")
    try:
        return int(buffer.buf)
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))


def evict_pages(data: memoryview) -> None:
    """Let the operating system take back the memory of a mapped file; later reads come from the file again."""
    if LIBC is not None and len(data):
        LIBC.madvise(ctypes.c_void_p(_find_address(data)), ctypes.c_size_t(len(data)), MADV_DONTNEED)


def load_pages(data: memoryview) -> None:
    """Read a part of a mapped file, which begins with a page, into memory, without Python's lock."""
    if LIBC is not None and len(data):
        address, size = ctypes.c_void_p(_find_address(data)), ctypes.c_size_t(len(data))
        LIBC.madvise(address, size, MADV_WILLNEED)
        LIBC.madvise(address, size, MADV_POPULATE_READ)


def to_ipc_bytes(columns: ArrowColumns, metadata: bytes = b"") -> bytes:
    """Return *columns* and *metadata* as the content of an Arrow file."""
    sink = pa.BufferOutputStream()
    _write_batch(sink, columns, metadata)
    return bytes(sink.getvalue())


def iter_ipc_stream(tables: Iterable[pa.Table]) -> Iterator[bytes]:
    """Return *tables* of one schema as a stream in the IPC format, a piece for each; the first one may have no rows."""
    sink = _PieceSink()
    writer = None
    for table in tables:
        if writer is None:
            writer = pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), table.schema)
        writer.write_table(table)
        yield sink.take()
    if writer is not None:
        writer.close()
        yield sink.take()


class _PieceSink:
    """File that is written to, and read piece by piece."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep *data*."""
        self._pieces.append(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: pieces are taken as they are."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _write_batch(sink: Any, columns: ArrowColumns, metadata: bytes = b"") -> None:
    fields = [(name, array.type) for name, array in columns.items()]
    schema = pa.schema(fields, metadata={b"audience": metadata} if metadata else None)
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(list(columns.values()), schema=schema))


def _find_data_range(arrays: Iterable[pa.Array], file_buffer: pa.Buffer) -> ByteRange:
    """Return the range of the file that holds the buffers of *arrays*."""
    buffers = [buffer for array in arrays for buffer in array.buffers() if buffer is not None and buffer.size]
    if not buffers:
        return 0, 0
    first = min(buffer.address for buffer in buffers)
    last = max(buffer.address + buffer.size for buffer in buffers)
    return first - file_buffer.address, last - file_buffer.address


class ArrowTable:
    """Record batch of a file whose bytes outside the data range are verified."""

    def __init__(self, data: memoryview):
        self._data = data
        self._layout = read_layout(data)
        self.metadata = self._layout.metadata
        self.column_names = list(self._layout.columns)

    def __len__(self) -> int:
        return self._layout.row_count

    @cached_property
    def _batch(self) -> pa.RecordBatch:
        return pa.ipc.open_file(pa.py_buffer(self._data)).get_batch(0)

    def column(self, name: str) -> pa.Array:
        """Return a column as an Arrow array, without reading it."""
        return self._batch.column(name)

    def buffer_locations(self, name: str) -> list[BufferLocation | None]:
        """Return where in the file the buffers of a column are; None for a buffer that it does not have."""
        return self._layout.columns[name].buffers

    def has_nulls(self, name: str) -> bool:
        """Return whether a column has any null."""
        return self._layout.columns[name].null_count > 0

    def has_lists(self, name: str) -> bool:
        """Return whether each element of a column is a list."""
        return self._layout.columns[name].is_list

    def view_numbers(self, name: str, form: NumberForm) -> memoryview:
        """Return the numbers of a column, which have *form*, without a copy; a null is any number."""
        return _view(self._data, self.buffer_locations(name)[1], form)

    def view_strings(self, name: str) -> tuple[memoryview, memoryview]:
        """Return the offsets of a column of strings, one more than there are strings, and their bytes."""
        _, offsets, text = self.buffer_locations(name)
        return view_offsets(self._data, offsets), _view(self._data, text, "B")


def view_offsets(data: memoryview, buffer: BufferLocation | None) -> memoryview:
    """Return the offsets of strings or bytes, one more than there are of them, without a copy of *data*."""
    return _view(data, buffer, "q") if buffer is not None and buffer[1] else memoryview(bytes(8)).cast("q")


def _view(data: memoryview, buffer: BufferLocation | None, form: NumberForm) -> memoryview:
    start, size = buffer or (0, 0)
    return data[start : start + size].cast(form)


def read_offsets(data: memoryview, buffer: BufferLocation | None, count: int) -> NDArray[np.int64]:
    """Return the *count* + 1 offsets of an array of strings or bytes, without a copy of *data*."""
    if buffer is None or count == 0:
        return np.zeros(count + 1, dtype=np.int64)
    return np.frombuffer(data, dtype=np.int64, count=count + 1, offset=buffer[0])
