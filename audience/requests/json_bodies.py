"""JSON request bodies of ids, many at once, without a Python object for each id.

The text around and between the ids is learned from a few bodies that the vendor's `target_ids` builds. Ids of one
width that need no escaping are copied from the mapped file into a buffer that holds the rest of the bodies already.
Other ids are joined by Arrow, and ids that need escaping one by one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from typing import TypeAlias, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from audience.index.schema.columns import IdColumn
from audience.index.storage import arrow_file
from audience.index.storage.bitmaps import RowNumbers
from audience.index.storage.shard import Shard
from audience.language.ast import Ids
from audience.vendors.spec import Payload, Vendor

ShardRows: TypeAlias = Iterable[tuple[Shard, RowNumbers]]
SliceT = TypeVar("SliceT", list[str], RowNumbers)

BLOCK_BYTES = 1 << 18  # size of a block of bodies, which fits into the processor's cache
IDS_PER_SLICE = 1 << 16  # ids of several widths that are taken at once
TEMPLATE_PROBES = ["Zz", " A\u0301 ", "007", "true", "😀", "0x1F", "a"]  # ids that a vendor might sort, trim or convert


def iter_slices(values: SliceT, size: int) -> Iterator[SliceT]:
    """Yield slices of at most *size* values."""
    return (values[start : start + size] for start in range(0, len(values), size))


@dataclass(frozen=True, slots=True)
class BodyBlock:
    """Some bodies, each followed by a line feed.

    The data is valid until the next block is requested, because the buffer is reused.

    Attributes:
        data: The bodies, one after the other.
        ends: End of each body in *data*, after its line feed.
        id_count: Number of ids in all bodies.
    """

    data: memoryview | bytes
    ends: Sequence[int]
    id_count: int

    def iter_bodies(self) -> Iterator[bytes]:
        """Yield each body without its line feed."""
        for start, stop in pairwise((0, *self.ends)):
            yield bytes(self.data[start : stop - 1])


@dataclass(frozen=True, slots=True)
class BodyTemplate:
    """Text of a body before, between and after its escaped ids."""

    prefix: bytes
    separator: bytes
    suffix: bytes

    def fill(self, joined_ids: bytes | memoryview) -> bytes:
        """Return the body with ids that are joined already."""
        return b"".join((self.prefix, joined_ids, self.suffix))

    def format(self, ids: Iterable[str]) -> bytes:
        """Return the body with *ids*."""
        return self.fill(self.separator.join(map(escape_json, ids)))


def escape_json(string: str) -> bytes:
    r"""Return *string* as JSON without the quotes around it.

    >>> escape_json('"四"')
    b'\\"\xe5\x9b\x9b\\"'
    """
    return orjson.dumps(string)[1:-1]


@lru_cache
def learn_template(target_ids: Callable[[Sequence[str]], Payload], max_ids: int) -> BodyTemplate | None:
    """Return the template of the bodies of *target_ids*; None if it does more than list the ids.

    >>> from audience.vendors import get_vendor
    >>> learn_template(get_vendor("engagelab").target_ids, 1_000)
    BodyTemplate(prefix=b'{"to":{"registration_id":["', separator=b'","', suffix=b'"]}}')
    """
    samples = _sample_id_lists(max_ids)
    try:
        bodies = [orjson.dumps(target_ids(ids)) for ids in samples]
    except (TypeError, ValueError):  # it accepts only ids of its own kind
        return None
    prefix, has_first, remaining = bodies[0].partition(b"<0>")
    separator, has_second, suffix = remaining.partition(b"<1>")
    template = BodyTemplate(prefix, separator, suffix)
    is_exact = all(body == template.format(ids) for body, ids in zip(bodies, samples, strict=True))
    return template if has_first and has_second and is_exact else None


def _sample_id_lists(max_ids: int) -> list[list[str]]:
    """Return lists of ids: the first shows the places of ids, the others that nothing else in a body depends on them.

    body        {"to":{"registration_id":["<0>","<1>"]}}
    prefix      {"to":{"registration_id":["
    separator                                ","
    suffix                                         "]}}
    """
    marks = [f"<{number}>" for number in range(max_ids)]
    probes = TEMPLATE_PROBES[:max_ids]
    escaped = ['a"\\\n四 b']
    invisible = [" ", "\x7f"][:max_ids]
    single_probes = ([probe] for probe in TEMPLATE_PROBES)
    return [marks[:2], marks[:1], marks, escaped, invisible, probes, probes[::-1], *single_probes]


def extract_ids(body: bytes, vendor: Vendor) -> list[str]:
    r"""Return the ids that *body* lists, in order; the inverse of `iter_body_blocks`.

    >>> from audience.vendors import get_vendor
    >>> extract_ids(b'{"to":{"registration_id":["r1","\\"","r2"]}}', get_vendor("engagelab"))
    ['r1', '"', 'r2']
    """
    template = learn_template(vendor.target_ids, vendor.max_ids)
    if template is None:
        expr = vendor.parse(orjson.loads(body))
        return list(expr.values) if isinstance(expr, Ids) else []
    joined = body.rstrip(b"\n")[len(template.prefix) :].removesuffix(template.suffix)
    ids: list[str] = orjson.loads(b'["' + joined.replace(template.separator, b'","') + b'"]')
    return ids


def iter_body_blocks(shard_rows: ShardRows, id_column: IdColumn, vendor: Vendor) -> Iterator[BodyBlock]:
    """Yield the bodies that list the ids at *shard_rows*; all but the last are full.

    Every id must exist and be deliverable at *vendor*.
    """
    template = learn_template(vendor.target_ids, vendor.max_ids)
    if template is not None:
        yield from _iter_template_blocks(shard_rows, id_column, vendor.max_ids, template)
        return
    for ids in iter_id_lists(shard_rows, id_column, vendor.max_ids):
        yield make_body_block([orjson.dumps(vendor.target_ids(ids))], len(ids))


def _iter_template_blocks(
    shard_rows: ShardRows, id_column: IdColumn, max_ids: int, template: BodyTemplate
) -> Iterator[BodyBlock]:
    """Yield the bodies of all shards; a body may begin in one shard and end in a later one.

    shard 1   |----|----|--            full bodies, then the start of one
    shard 2     ##|----|----|-         its end, full bodies, the start of the next
    """
    started: list[bytes] = []  # joined ids of the body that continues in the next shard
    room = max_ids  # ids that still fit into that body
    for shard, rows in shard_rows:
        if not len(rows):
            continue
        if started:
            head, rows = rows[:room], rows[room:]
            started.append(_join_ids(shard, id_column, head, template))
            room -= len(head)
            if room:
                continue
            yield make_body_block([template.fill(template.separator.join(started))], max_ids)
        full = len(rows) - len(rows) % max_ids
        yield from _iter_full_blocks(shard, id_column, rows[:full], max_ids, template)
        started = [_join_ids(shard, id_column, rows[full:], template)] if full < len(rows) else []
        room = max_ids - (len(rows) - full)
    if started:
        yield make_body_block([template.fill(template.separator.join(started))], max_ids - room)


def iter_id_lists(shard_rows: ShardRows, id_column: IdColumn, max_ids: int) -> Iterator[list[str]]:
    """Yield the ids at *shard_rows* in lists of *max_ids*; only the last may be shorter."""
    buffered: list[str] = []
    for shard, rows in shard_rows:
        for chunk in iter_slices(rows, IDS_PER_SLICE):
            buffered += shard.take_ids(id_column, chunk).to_pylist()
            full = len(buffered) - len(buffered) % max_ids
            yield from iter_slices(buffered[:full], max_ids)
            buffered = buffered[full:]
    if buffered:
        yield buffered


def make_body_block(bodies: Sequence[bytes], id_count: int) -> BodyBlock:
    """Return a block of *bodies*."""
    ends = np.cumsum([len(body) + 1 for body in bodies]).tolist()
    return BodyBlock(b"".join(body + b"\n" for body in bodies), ends, id_count)


def _join_ids(shard: Shard, id_column: IdColumn, rows: RowNumbers, template: BodyTemplate) -> bytes:
    """Return the escaped ids of *rows*, joined by the separator."""
    ids = shard.take_ids(id_column, rows)
    if shard.is_json_safe(id_column) and (joined := arrow_file.join_strings(ids, len(ids), template.separator)):
        return bytes(joined[0])
    return template.separator.join(map(escape_json, ids.to_pylist()))


def _iter_full_blocks(
    shard: Shard, id_column: IdColumn, rows: RowNumbers, ids_per_body: int, template: BodyTemplate
) -> Iterator[BodyBlock]:
    """Yield the full bodies of *rows*."""
    if not len(rows):
        return
    is_json_safe = shard.is_json_safe(id_column)
    id_matrix = shard.fixed_width_ids(id_column, rows) if is_json_safe else None
    if id_matrix is not None:
        yield from _iter_fixed_width_blocks(id_matrix, rows, ids_per_body, template)
        return
    for chunk in iter_slices(rows, max(1, IDS_PER_SLICE // ids_per_body) * ids_per_body):
        yield _make_variable_width_block(shard.take_ids(id_column, chunk), ids_per_body, template, is_json_safe)


def _iter_fixed_width_blocks(
    id_matrix: NDArray[np.void], rows: RowNumbers, ids_per_body: int, template: BodyTemplate
) -> Iterator[BodyBlock]:
    """Yield bodies of ids of one width that need no escaping, in one buffer that is reused.

    Only the ids differ between blocks. A strided view of the buffer is a matrix of the places of the ids:

    buffer    {"to":["······","······","······"]}⏎{"to":["······","······","······"]}⏎
    slots             [0, 0]   [0, 1]   [0, 2]             [1, 0]   [1, 1]   [1, 2]

    `np.take` into a small matrix and a copy from there is faster than indexing, which allocates an array each time.
    It is faster than fields of a structured array too, which move byte by byte. Consecutive rows are copied at once.
    """
    width = id_matrix.dtype.itemsize
    blank_body = template.fill(template.separator.join([bytes(width)] * ids_per_body)) + b"\n"
    count = max(1, min(BLOCK_BYTES // len(blank_body), len(rows) // ids_per_body))
    buffer = memoryview(bytearray(blank_body * count))
    strides = (len(blank_body), width + len(template.separator))
    slots = np.ndarray((count, ids_per_body), id_matrix.dtype, buffer, len(template.prefix), strides)
    taken = np.empty((count, ids_per_body), id_matrix.dtype)
    for chunk in iter_slices(rows, count * ids_per_body):
        bodies = len(chunk) // ids_per_body
        first, last = int(chunk[0]), int(chunk[-1])
        if last - first == len(chunk) - 1:
            slots[:bodies] = id_matrix[first : last + 1].reshape(bodies, ids_per_body)
        else:
            row_matrix = chunk.reshape(bodies, ids_per_body)
            np.take(id_matrix, row_matrix, out=taken[:bodies], mode="clip")  # other modes buffer the output
            slots[:bodies] = taken[:bodies]
        size = bodies * len(blank_body)
        yield BodyBlock(buffer[:size], range(len(blank_body), size + 1, len(blank_body)), len(chunk))


def _make_variable_width_block(
    ids: arrow_file.StringArray, ids_per_body: int, template: BodyTemplate, json_safe: bool
) -> BodyBlock:
    """Return the bodies of any ids."""
    joined = None
    if json_safe or arrow_file.is_json_safe(ids):
        joined = arrow_file.join_strings(ids, ids_per_body, template.separator)
    if joined is None:
        return make_body_block(list(map(template.format, iter_slices(ids.to_pylist(), ids_per_body))), len(ids))
    data, joined_ends = joined
    suffix = template.suffix + b"\n"
    parts = ((template.prefix, data[start:stop], suffix) for start, stop in pairwise(joined_ends))
    overhead = len(template.prefix) + len(suffix)
    ends = [end + overhead * number for number, end in enumerate(joined_ends)]
    return BodyBlock(b"".join(chain.from_iterable(parts)), ends[1:], len(ids))
