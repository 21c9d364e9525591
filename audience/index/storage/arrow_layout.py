"""Where the columns of an Arrow file are, read without pyarrow, which takes 30 ms to import.

A file has one record batch, as `arrow_file` writes it: integers, strings and bytes, and lists of these. Its metadata
are tables of FlatBuffers; a field of one is found by its number in the schemas of Arrow (`File.fbs`, `Message.fbs`,
`Schema.fbs`).
"""

#   ARROW1 · message of the schema · message of the batch · its buffers · footer · length of the footer · ARROW1
#   footer                schema (1) · blocks of batches (3)
#   schema                fields (1) · metadata (2)
#   field                 name (0) · type of the type (2) · children (5)
#   message               header (2), a record batch
#   record batch          rows (0) · rows and nulls of each node (1) · place of each buffer (2)

from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from
from typing import TypeAlias

BufferLocation: TypeAlias = tuple[int, int]  # start in the file, and size in bytes

MAGIC = b"ARROW1"
INTEGER, BINARY, UTF8, LARGE_BINARY, LARGE_UTF8, LARGE_LIST = 2, 4, 5, 19, 20, 21  # types of Arrow
BUFFER_COUNTS = {INTEGER: 2, BINARY: 3, UTF8: 3, LARGE_BINARY: 3, LARGE_UTF8: 3, LARGE_LIST: 2}  # the first is of nulls
LOCATION_BYTES = 16
VECTOR_LENGTH_BYTES, VTABLE_HEADER_BYTES = 4, 4  # of FlatBuffers
PREFIX_BYTES = 8  # of a message: a mark, and its length


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """Column of an Arrow file.

    Attributes:
        buffers: Where its buffers are, and then those of the elements of lists; None for nulls if there are none.
        null_count: Number of its nulls.
        is_list: Whether each element is a list.
    """

    buffers: list[BufferLocation | None]
    null_count: int
    is_list: bool


@dataclass(frozen=True, slots=True)
class ArrowLayout:
    """Columns of an Arrow file by name, its number of rows, and the metadata that it was written with."""

    row_count: int
    columns: dict[str, ColumnLayout]
    metadata: bytes


def read_layout(data: memoryview) -> ArrowLayout:
    """Return where the columns of an Arrow file are, of which no other bytes are read than its metadata."""
    assert bytes(data[-len(MAGIC) :]) == MAGIC, "the file was verified"
    footer_end = len(data) - len(MAGIC) - 4
    footer = _Table.at(data, footer_end - int.from_bytes(data[footer_end : footer_end + 4], "little"))
    schema = footer.table(1)
    start, prefix_and_metadata = unpack_from("<qi", data, footer.vector(3)[0])
    batch = _Table.at(data, start + PREFIX_BYTES).table(2)
    nodes, buffers = batch.pairs(1), batch.pairs(2)
    body = start + prefix_and_metadata
    columns = {field.text(0): _read_column(field, nodes, buffers, body) for field in schema.tables(1)}
    metadata = {pair.text(0): pair.content(1) for pair in schema.tables(2)}
    return ArrowLayout(batch.number(0, "<q"), columns, metadata.get("audience", b""))


def _read_column(
    field: "_Table", nodes: Iterator[tuple[int, int]], buffers: Iterator[tuple[int, int]], body: int
) -> ColumnLayout:
    """Return the layout of a column, and take what belongs to it from *nodes* and *buffers*."""
    type_ = field.number(2, "<B")
    _, null_count = next(nodes)
    locations: list[BufferLocation | None] = []
    for _ in range(BUFFER_COUNTS[type_]):
        offset, size = next(buffers)
        locations.append((body + offset, size))
    if not null_count:
        locations[0] = None
    for child in field.tables(5):
        locations += _read_column(child, nodes, buffers, body).buffers
    return ColumnLayout(locations, null_count, type_ == LARGE_LIST)


class _Table:
    """Table of FlatBuffers at *place* of *data*; a field that was not written has its default."""

    def __init__(self, data: memoryview, place: int):
        self._data = data
        self._place = place
        self._vtable = place - int(unpack_from("<i", data, place)[0])
        self._vtable_bytes = int(unpack_from("<H", data, self._vtable)[0])

    @classmethod
    def at(cls, data: memoryview, reference: int) -> "_Table":
        """Return the table that the offset at *reference* leads to."""
        return cls(data, _follow(data, reference))

    def _find(self, field: int) -> int | None:
        """Return the place of a field, or None if it was not written."""
        at = VTABLE_HEADER_BYTES + 2 * field
        offset = int(unpack_from("<H", self._data, self._vtable + at)[0]) if at < self._vtable_bytes else 0
        return self._place + offset if offset else None

    def number(self, field: int, form: str) -> int:
        """Return an integer that is stored in *form*."""
        place = self._find(field)
        return 0 if place is None else int(unpack_from(form, self._data, place)[0])

    def vector(self, field: int) -> tuple[int, int]:
        """Return the place of the first element of a vector, and how many there are."""
        place = self._find(field)
        if place is None:
            return 0, 0
        start = _follow(self._data, place)
        return start + VECTOR_LENGTH_BYTES, int(unpack_from("<I", self._data, start)[0])

    def content(self, field: int) -> bytes:
        """Return a string as bytes."""
        start, count = self.vector(field)
        return bytes(self._data[start : start + count])

    def text(self, field: int) -> str:
        """Return a string."""
        return self.content(field).decode()

    def table(self, field: int) -> "_Table":
        """Return the table that a field refers to."""
        place = self._find(field)
        assert place is not None, "the field is always written"
        return _Table.at(self._data, place)

    def tables(self, field: int) -> "list[_Table]":
        """Return the tables of a vector."""
        start, count = self.vector(field)
        return [_Table.at(self._data, start + 4 * at) for at in range(count)]

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """Yield the pairs of 64-bit numbers of a vector."""
        start, count = self.vector(field)
        for at in range(count):
            yield unpack_from("<qq", self._data, start + LOCATION_BYTES * at)


def _follow(data: memoryview, reference: int) -> int:
    return reference + int(unpack_from("<I", data, reference)[0])
