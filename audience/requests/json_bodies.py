"""JSON request bodies of ids, many at once, without a Python object for each id.

The text around and between the ids is learned from a few bodies that the vendor's `target_ids` builds. Ids of one
width that need no escaping are copied from the mapped file into a buffer that holds the rest of the bodies already.
Other ids are joined by Arrow, and ids that need escaping one by one.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby, pairwise
from typing import Generic, TypeAlias, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from audience.index.schema.columns import IdColumn
from audience.index.storage import arrow_file
from audience.index.storage.bitmaps import RowNumbers
from audience.index.storage.id_arrays import IDS_PER_SLICE, iter_slices
from audience.index.storage.shard import Shard
from audience.language.ast import Ids, Or
from audience.vendors.spec import Payload, Vendor

ShardRows: TypeAlias = Iterable[tuple[Shard, RowNumbers]]
SourceT = TypeVar("SourceT")

BLOCK_BYTES = 1 << 18  # size of a block of bodies, which fits into the processor's cache
TEMPLATE_PROBES = ["Zz", " A\u0301 ", "007", "true", "😀", "0x1F", "a"]  # ids that a vendor might sort, trim or convert


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
        terms = expr.terms if isinstance(expr, Or) else (expr,)  # several lists, where one list takes fewer ids
        lists = [term for term in terms if isinstance(term, Ids)]
        return [value for each in lists for value in each.values] if len(lists) == len(terms) else []
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


@dataclass(frozen=True, slots=True)
class StartedBody:
    """Escaped ids of a body that is not full yet, joined, and their number."""

    joined_ids: bytes = b""
    id_count: int = 0


class _PieceReader(Generic[SourceT]):
    """Reader of some rows at a time from pieces, which are rows with the ids or the shard that they belong to."""

    def __init__(self, pieces: Iterable[tuple[SourceT, RowNumbers]]):
        self._pieces = iter(pieces)
        self._unread: list[tuple[SourceT, RowNumbers]] = []  # what is left of the last piece

    def read(self, count: int) -> list[tuple[SourceT, RowNumbers]]:
        """Return pieces with the next *count* rows; fewer only at the end."""
        read: list[tuple[SourceT, RowNumbers]] = []
        for source, rows in chain(self._unread, self._pieces):
            read.append((source, rows[:count]))
            self._unread = [(source, rows[count:])] if len(rows) > count else []
            count -= min(count, len(rows))
            if not count:
                break
        return read


def _iter_template_blocks(
    shard_rows: ShardRows, id_column: IdColumn, max_ids: int, template: BodyTemplate
) -> Iterator[BodyBlock]:
    """Yield the bodies of all shards; a body may begin in one shard and end in a later one.

    Consecutive shards whose ids have one width, and need no escaping, are read as one.

    shard 1   |----|----|--            full bodies, then the start of one
    shard 2     ##|----|----|-         its end, full bodies, the start of the next
    """
    started = StartedBody()
    present = ((shard, rows) for shard, rows in shard_rows if len(rows))
    for key, pieces in groupby(present, lambda piece: _copyable_width(piece[0], id_column) or piece[0].name):
        if isinstance(key, int):
            started = yield from _iter_fixed_width_blocks(pieces, id_column, key, started, max_ids, template)
        else:
            started = yield from _iter_variable_width_blocks(pieces, id_column, started, max_ids, template)
    if started.id_count:
        yield make_body_block([template.fill(started.joined_ids)], started.id_count)


def _copyable_width(shard: Shard, id_column: IdColumn) -> int | None:
    """Return the width of the ids of a column if they have one and need no escaping."""
    return shard.id_width(id_column) if shard.is_json_safe(id_column) else None


def _append_ids(started: StartedBody, joined_ids: bytes, id_count: int, template: BodyTemplate) -> StartedBody:
    """Return *started* with more ids."""
    if not started.id_count or not id_count:
        return started if started.id_count else StartedBody(joined_ids, id_count)
    return StartedBody(template.separator.join((started.joined_ids, joined_ids)), started.id_count + id_count)


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


def _iter_variable_width_blocks(
    pieces: Iterable[tuple[Shard, RowNumbers]],
    id_column: IdColumn,
    started: StartedBody,
    ids_per_body: int,
    template: BodyTemplate,
) -> Generator[BodyBlock, None, StartedBody]:
    """Yield the full bodies of *pieces*, of which *started* is the beginning. Return the body that is not full."""
    reader = _PieceReader(pieces)
    if started.id_count:
        for shard, rows in reader.read(ids_per_body - started.id_count):
            started = _append_ids(started, _join_ids(shard, id_column, rows, template), len(rows), template)
        if started.id_count < ids_per_body:
            return started
        yield make_body_block([template.fill(started.joined_ids)], ids_per_body)
    started = StartedBody()
    bodies_at_once = max(1, IDS_PER_SLICE // ids_per_body)
    while chunks := reader.read(bodies_at_once * ids_per_body):
        ((shard, rows),) = chunks
        full = len(rows) - len(rows) % ids_per_body
        if full:
            ids = shard.take_ids(id_column, rows[:full])
            yield _make_variable_width_block(ids, ids_per_body, template, shard.is_json_safe(id_column))
        if full < len(rows):
            started = StartedBody(_join_ids(shard, id_column, rows[full:], template), len(rows) - full)
    return started


def _join_ids(shard: Shard, id_column: IdColumn, rows: RowNumbers, template: BodyTemplate) -> bytes:
    """Return the escaped ids of *rows*, joined by the separator."""
    return template.separator.join(map(escape_json, shard.take_ids(id_column, rows).to_pylist()))


def _iter_fixed_width_blocks(
    pieces: Iterable[tuple[Shard, RowNumbers]],
    id_column: IdColumn,
    width: int,
    started: StartedBody,
    ids_per_body: int,
    template: BodyTemplate,
) -> Generator[BodyBlock, None, StartedBody]:
    """Yield the full bodies of *pieces*, of which *started* is the beginning. Return the body that is not full.

    All ids have one width and need no escaping. The bodies are in one buffer that is reused, and only the ids differ
    between blocks. A strided view of the buffer is a matrix of the places of the ids:

    buffer    {"to":["······","······","······"]}⏎{"to":["······","······","······"]}⏎
    slots             [0, 0]   [0, 1]   [0, 2]             [1, 0]   [1, 1]   [1, 2]
    """
    reader = _PieceReader((_read_id_matrix(shard, id_column, rows), rows) for shard, rows in pieces)
    if started.id_count:
        head = _take_ids(reader.read(ids_per_body - started.id_count), np.empty(ids_per_body, f"V{width}"))
        started = _append_ids(started, template.separator.join(head.tolist()), len(head), template)
        if started.id_count < ids_per_body:
            return started
        yield make_body_block([template.fill(started.joined_ids)], ids_per_body)
    body_bytes = len(template.fill(b"")) + (width + len(template.separator)) * ids_per_body
    taken = np.empty(max(1, BLOCK_BYTES // body_bytes) * ids_per_body, f"V{width}")
    buffer, slots = memoryview(b""), np.empty((0, ids_per_body), taken.dtype)
    while chunks := reader.read(len(taken)):
        id_count = sum(len(rows) for _, rows in chunks)
        bodies, left = divmod(id_count, ids_per_body)
        if bodies and not buffer:
            buffer, slots = _make_slots(bodies, ids_per_body, width, template)
        ids = _take_ids(chunks, taken)
        slots[:bodies] = ids[: id_count - left].reshape(bodies, ids_per_body)
        if bodies:
            size = len(buffer) // len(slots)
            yield BodyBlock(buffer[: bodies * size], range(size, bodies * size + 1, size), id_count - left)
        if left:
            return StartedBody(template.separator.join(ids[id_count - left :].tolist()), left)
    return StartedBody()


def _read_id_matrix(shard: Shard, id_column: IdColumn, rows: RowNumbers) -> NDArray[np.void]:
    matrix = shard.fixed_width_ids(id_column, rows)
    assert matrix is not None
    return matrix


def _make_slots(
    bodies: int, ids_per_body: int, width: int, template: BodyTemplate
) -> tuple[memoryview, NDArray[np.void]]:
    """Return a buffer of some bodies with blank ids, each followed by a line feed, and a matrix of the ids in it."""
    blank_body = template.fill(template.separator.join([bytes(width)] * ids_per_body)) + b"\n"
    buffer = memoryview(bytearray(blank_body * bodies))
    strides = (len(blank_body), width + len(template.separator))
    return buffer, np.ndarray((bodies, ids_per_body), f"V{width}", buffer, len(template.prefix), strides)


def _take_ids(pieces: Sequence[tuple[NDArray[np.void], RowNumbers]], taken: NDArray[np.void]) -> NDArray[np.void]:
    """Return the ids of *pieces*, mostly in *taken*; consecutive rows of one piece are not copied.

    `np.take` into an array in the cache of the processor is faster than indexing, which allocates one each time. It
    is faster than fields of a structured array too, which move byte by byte.
    """
    start = 0
    for id_matrix, rows in pieces:
        first, last = int(rows[0]), int(rows[-1])
        if len(pieces) == 1 and last - first == len(rows) - 1:
            return id_matrix[first : last + 1]
        stop = start + len(rows)
        np.take(id_matrix, rows, out=taken[start:stop], mode="clip")  # other modes buffer the output
        start = stop
    return taken[:start]


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
