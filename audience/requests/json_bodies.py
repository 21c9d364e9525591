"""JSON request bodies of ids, many at once, without a Python object for each id.

The text around and between the ids is learned from a few bodies that the vendor's `target_ids` builds. Ids of one
width that need no escaping are copied from the mapped file into a buffer that holds the rest of the bodies already.
Other ids are joined by Arrow, and ids that need escaping one by one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from typing import TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from audience.index.storage import arrow_file
from audience.index.storage.shard import Shard
from audience.language.ast import Ids
from audience.vendors.spec import Payload, Vendor

BodyRows: TypeAlias = NDArray[np.uint32]
ShardRows: TypeAlias = Iterable[tuple[Shard, BodyRows]]

CACHE_BLOCK_BYTES = (
    1 << 18
)  # bytes of bodies that are made at once: they stay in the processor's cache until they are copied on
TEMPLATE_PROBES = [
    "Zz",
    " A\u0301 ",
    "007",
    "true",
    "😀",
    "0x1F",
    "a",
]  # what a listing might sort, cut, spell or count otherwise
IDS_PER_SLICE = 1 << 16  # ids that are taken at once where they are of several widths


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
    marks = [f"<{number}>" for number in range(max_ids)]
    odd = [TEMPLATE_PROBES[:max_ids], TEMPLATE_PROBES[:max_ids][::-1], *([text] for text in TEMPLATE_PROBES)]
    samples = (marks[:2], marks[:1], marks, ['a"\\\n四 b'], [" ", "\x7f"][:max_ids], *odd)
    try:
        said = [orjson.dumps(target_ids(ids)) for ids in samples]
    except (TypeError, ValueError):  # it takes ids of its own kind only
        return None
    before, found, rest = said[0].partition(b"<0>")
    between, found_too, behind = rest.partition(b"<1>")
    frame = BodyTemplate(before, between, behind)
    same = all(body == frame.format(ids) for body, ids in zip(said, samples, strict=True))
    return frame if found and found_too and same else None


def extract_ids(body: bytes, vendor: Vendor) -> list[str]:
    r"""Return the ids that *body* lists, in order; the inverse of `iter_body_blocks`.

    >>> from audience.vendors import get_vendor
    >>> extract_ids(b'{"to":{"registration_id":["r1","\\"","r2"]}}', get_vendor("engagelab"))
    ['r1', '"', 'r2']
    """
    frame = learn_template(vendor.target_ids, vendor.max_ids)
    if frame is None:
        said = vendor.parse(orjson.loads(body))
        return list(said.values) if isinstance(said, Ids) else []
    joined = body.rstrip(b"\n")[len(frame.prefix) :].removesuffix(frame.suffix)
    found: list[str] = orjson.loads(b'["' + joined.replace(frame.separator, b'","') + b'"]')
    return found


def iter_body_blocks(shard_rows: ShardRows, id_column: str, vendor: Vendor) -> Iterator[BodyBlock]:
    """Yield the bodies that list the ids at *shard_rows*; all but the last are full.

    Every id must exist and be deliverable at *vendor*.
    """
    frame = learn_template(vendor.target_ids, vendor.max_ids)
    if frame is None:
        for ids in iter_id_lists(shard_rows, id_column, vendor.max_ids):
            yield make_body_block([orjson.dumps(vendor.target_ids(ids))], len(ids))
        return
    begun: list[bytes] = []  # the joined ids of a body that the next shard goes on with
    room = vendor.max_ids
    for shard, rows in shard_rows:
        if begun:
            first, rows = rows[:room], rows[room:]
            begun.append(_join_ids(shard, id_column, first, frame))
            room -= len(first)
            if room:
                continue
            yield make_body_block([frame.fill(frame.separator.join(begun))], vendor.max_ids)
        whole = len(rows) - len(rows) % vendor.max_ids
        yield from _iter_full_blocks(shard, id_column, rows[:whole], vendor.max_ids, frame)
        begun = [_join_ids(shard, id_column, rows[whole:], frame)] if whole < len(rows) else []
        room = vendor.max_ids - (len(rows) - whole)
    if begun:
        yield make_body_block([frame.fill(frame.separator.join(begun))], vendor.max_ids - room)


def iter_id_lists(shard_rows: ShardRows, id_column: str, max_ids: int) -> Iterator[list[str]]:
    """Yield the ids at *shard_rows* in lists of *max_ids*; only the last may be shorter."""
    begun: list[str] = []
    for shard, rows in shard_rows:
        for some in slice_rows(rows, IDS_PER_SLICE):
            begun += shard.take_ids(id_column, some).to_pylist()
            whole = len(begun) - len(begun) % max_ids
            yield from (begun[at : at + max_ids] for at in range(0, whole, max_ids))
            begun = begun[whole:]
    if begun:
        yield begun


def slice_rows(rows: BodyRows, size: int) -> Iterator[BodyRows]:
    """Yield slices of at most *size* rows."""
    return (rows[at : at + size] for at in range(0, len(rows), size))


def make_body_block(bodies: Sequence[bytes], id_count: int) -> BodyBlock:
    """Return a block of *bodies*."""
    return BodyBlock(
        b"".join(body + b"\n" for body in bodies), np.cumsum([len(body) + 1 for body in bodies]).tolist(), id_count
    )


def _join_ids(shard: Shard, id_column: str, rows: BodyRows, template: BodyTemplate) -> bytes:
    """Return the escaped ids of *rows*, joined by the separator."""
    texts = shard.take_ids(id_column, rows)
    if shard.is_json_safe(id_column) and (found := arrow_file.join_strings(texts, len(texts), template.separator)):
        return bytes(found[0])
    return template.separator.join(map(escape_json, texts.to_pylist()))


def _iter_full_blocks(
    shard: Shard, id_column: str, rows: BodyRows, ids_per_body: int, template: BodyTemplate
) -> Iterator[BodyBlock]:
    """Yield the full bodies of *rows*."""
    if not len(rows):
        return
    matrix = shard.fixed_width_ids(id_column, rows) if shard.is_json_safe(id_column) else None
    if matrix is not None:
        yield from _iter_fixed_width_blocks(matrix, rows, ids_per_body, template)
        return
    plain = shard.is_json_safe(id_column)
    for some in slice_rows(rows, max(1, IDS_PER_SLICE // ids_per_body) * ids_per_body):
        yield _make_variable_width_block(shard.take_ids(id_column, some), ids_per_body, template, plain)


def _iter_fixed_width_blocks(
    id_matrix: NDArray[np.void], rows: BodyRows, ids_per_body: int, template: BodyTemplate
) -> Iterator[BodyBlock]:
    """Yield bodies of ids of one width that need no escaping, in one buffer that is reused.

    Only the ids differ between blocks. `np.take` into a small buffer and a copy from there is faster than indexing,
    which allocates an array each time. It is faster than fields of a structured array too, which move byte by byte.
    Consecutive rows are copied at once.
    """
    width = id_matrix.dtype.itemsize
    blank = template.fill(template.separator.join([bytes(width)] * ids_per_body)) + b"\n"
    count = max(1, min(CACHE_BLOCK_BYTES // len(blank), len(rows) // ids_per_body))
    data = memoryview(bytearray(blank * count))
    steps = (len(blank), width + len(template.separator))
    places = np.ndarray((count, ids_per_body), id_matrix.dtype, data, len(template.prefix), steps)
    near = np.empty((count, ids_per_body), id_matrix.dtype)
    for some in slice_rows(rows, count * ids_per_body):
        bodies = len(some) // ids_per_body
        if int(some[-1]) - int(some[0]) == len(some) - 1:
            places[:bodies] = id_matrix[some[0] : some[-1] + 1].reshape(bodies, ids_per_body)
        else:
            np.take(
                id_matrix, some.reshape(bodies, ids_per_body), out=near[:bodies], mode="clip"
            )  # other modes copy once more
            places[:bodies] = near[:bodies]
        size = bodies * len(blank)
        yield BodyBlock(data[:size], range(len(blank), size + 1, len(blank)), len(some))


def _make_variable_width_block(
    strings: arrow_file.StringArray, ids_per_body: int, template: BodyTemplate, json_safe: bool
) -> BodyBlock:
    """Return the bodies of any ids."""
    found = (
        arrow_file.join_strings(strings, ids_per_body, template.separator)
        if json_safe or arrow_file.is_json_safe(strings)
        else None
    )
    if found is None:
        ids = strings.to_pylist()
        return make_body_block(
            [template.format(ids[at : at + ids_per_body]) for at in range(0, len(ids), ids_per_body)], len(ids)
        )
    data, ends = found
    behind = template.suffix + b"\n"
    pieces = ((template.prefix, data[start:stop], behind) for start, stop in pairwise(ends))
    around = len(template.prefix) + len(behind)
    whole = [stop + around * number for number, stop in enumerate(ends)]
    return BodyBlock(b"".join(chain.from_iterable(pieces)), whole[1:], len(strings))
