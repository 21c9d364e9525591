"""Ids → the JSON of request bodies, many at once, without a Python object an id.

What a body holds around and between its ids is learned once from what the vendor's `listing` makes of a few ids. Ids
of one width that JSON writes as they are go straight from the mapped file into a buffer in which everything else
stands already; others are taken and joined by Arrow, and those that need escaping one by one.
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

Rows: TypeAlias = NDArray[np.uint32]
Parts: TypeAlias = Iterable[tuple[Shard, Rows]]

NEAR = 1 << 18  # bytes of bodies that are made at once: they stay in the processor's cache until they are copied on
ODD = ["Zz", " A\u0301 ", "007", "true", "😀", "0x1F", "a"]  # what a listing might sort, cut, spell or count otherwise
AT_ONCE = 1 << 16  # ids that are taken at once where they are of several widths


@dataclass(frozen=True, slots=True)
class Block:
    """Some bodies, each with a line feed behind it, one behind the other in *data*; *ends* has where each ends.

    The data may be written over once the next block is asked for. *ids* is how many ids the bodies list.
    """

    data: memoryview | bytes
    ends: Sequence[int]
    ids: int

    def bodies(self) -> Iterator[bytes]:
        """Each body by itself, without its line feed."""
        for start, stop in pairwise((0, *self.ends)):
            yield bytes(self.data[start : stop - 1])


@dataclass(frozen=True, slots=True)
class Frame:
    """What a body holds before, between and behind the escaped texts of its ids."""

    before: bytes
    between: bytes
    behind: bytes

    def filled(self, joined: bytes | memoryview) -> bytes:
        """The body of ids that are *joined* already."""
        return b"".join((self.before, joined, self.behind))

    def of(self, ids: Iterable[str]) -> bytes:
        return self.filled(self.between.join(map(escaped, ids)))


def escaped(text: str) -> bytes:
    r"""*text* as JSON writes it, without the quotes around it.

    >>> escaped('"四"')
    b'\\"\xe5\x9b\x9b\\"'
    """
    return orjson.dumps(text)[1:-1]


@lru_cache
def framed(listing: Callable[[Sequence[str]], Payload], batch: int) -> Frame | None:
    """What a body of *listing* holds around and between ids; None where it does more than to put them in a row.

    >>> from audience.vendors import vendor
    >>> framed(vendor("engagelab").listing, 1_000)
    Frame(before=b'{"to":{"registration_id":["', between=b'","', behind=b'"]}}')
    """
    marks = [f"<{number}>" for number in range(batch)]
    odd = [ODD[:batch], ODD[:batch][::-1], *([text] for text in ODD)]
    samples = (marks[:2], marks[:1], marks, ['a"\\\n四 b'], [" ", "\x7f"][:batch], *odd)
    try:
        said = [orjson.dumps(listing(ids)) for ids in samples]
    except (TypeError, ValueError):  # it takes ids of its own kind only
        return None
    before, found, rest = said[0].partition(b"<0>")
    between, found_too, behind = rest.partition(b"<1>")
    frame = Frame(before, between, behind)
    same = all(body == frame.of(ids) for body, ids in zip(said, samples, strict=True))
    return frame if found and found_too and same else None


def ids_of(body: bytes, to: Vendor) -> list[str]:
    r"""The ids that *body* lists, in their order, where it is one that `blocks` has made for *to*.

    >>> from audience.vendors import vendor
    >>> ids_of(b'{"to":{"registration_id":["r1","\\"","r2"]}}', vendor("engagelab"))
    ['r1', '"', 'r2']
    """
    frame = framed(to.listing, to.batch)
    if frame is None:
        said = to.parse(orjson.loads(body))
        return list(said.values) if isinstance(said, Ids) else []
    joined = body.rstrip(b"\n")[len(frame.before) :].removesuffix(frame.behind)
    found: list[str] = orjson.loads(b'["' + joined.replace(frame.between, b'","') + b'"]')
    return found


def blocks(parts: Parts, name: str, to: Vendor) -> Iterator[Block]:
    """The bodies that list the ids of the column *name* at the rows of *parts*; all but the last are full.

    Every id must be there and one that *to* can carry.
    """
    frame = framed(to.listing, to.batch)
    if frame is None:
        for ids in lists(parts, name, to.batch):
            yield block([orjson.dumps(to.listing(ids))], len(ids))
        return
    begun: list[bytes] = []  # the joined ids of a body that the next shard goes on with
    room = to.batch
    for shard, rows in parts:
        if begun:
            first, rows = rows[:room], rows[room:]
            begun.append(_joined(shard, name, first, frame))
            room -= len(first)
            if room:
                continue
            yield block([frame.filled(frame.between.join(begun))], to.batch)
        whole = len(rows) - len(rows) % to.batch
        yield from _full(shard, name, rows[:whole], to.batch, frame)
        begun = [_joined(shard, name, rows[whole:], frame)] if whole < len(rows) else []
        room = to.batch - (len(rows) - whole)
    if begun:
        yield block([frame.filled(frame.between.join(begun))], to.batch - room)


def lists(parts: Parts, name: str, batch: int) -> Iterator[list[str]]:
    """The ids of the column *name* at the rows of *parts*, *batch* in each list but the last."""
    begun: list[str] = []
    for shard, rows in parts:
        for some in stretches(rows, AT_ONCE):
            begun += shard.texts(name, some).to_pylist()
            whole = len(begun) - len(begun) % batch
            yield from (begun[at : at + batch] for at in range(0, whole, batch))
            begun = begun[whole:]
    if begun:
        yield begun


def stretches(rows: Rows, size: int) -> Iterator[Rows]:
    """*rows*, *size* at a time."""
    return (rows[at : at + size] for at in range(0, len(rows), size))


def block(bodies: Sequence[bytes], ids: int) -> Block:
    return Block(b"".join(body + b"\n" for body in bodies), np.cumsum([len(body) + 1 for body in bodies]).tolist(), ids)


def _joined(shard: Shard, name: str, rows: Rows, frame: Frame) -> bytes:
    """The ids of *rows*, escaped, with what stands between them."""
    texts = shard.texts(name, rows)
    if shard.plain(name) and (found := arrow_file.joined(texts, len(texts), frame.between)):
        return bytes(found[0])
    return frame.between.join(map(escaped, texts.to_pylist()))


def _full(shard: Shard, name: str, rows: Rows, batch: int, frame: Frame) -> Iterator[Block]:
    """The bodies of *rows*, which fill all of them."""
    if not len(rows):
        return
    matrix = shard.matrix(name, rows) if shard.plain(name) else None
    if matrix is not None:
        yield from _even(matrix, rows, batch, frame)
        return
    plain = shard.plain(name)
    for some in stretches(rows, max(1, AT_ONCE // batch) * batch):
        yield _uneven(shard.texts(name, some), batch, frame, plain)


def _even(matrix: NDArray[np.void], rows: Rows, batch: int, frame: Frame) -> Iterator[Block]:
    """Bodies of plain ids of one width, written over the last block's: all else is the same in each.

    np.take to memory that is near and from there to its place is faster than to index, which makes a new array each
    time, and than fields of a structured array, which move byte by byte; rows without a gap are copied at once.
    """
    width = matrix.dtype.itemsize
    blank = frame.filled(frame.between.join([bytes(width)] * batch)) + b"\n"
    count = max(1, min(NEAR // len(blank), len(rows) // batch))
    data = memoryview(bytearray(blank * count))
    steps = (len(blank), width + len(frame.between))
    places = np.ndarray((count, batch), matrix.dtype, data, len(frame.before), steps)
    near = np.empty((count, batch), matrix.dtype)
    for some in stretches(rows, count * batch):
        bodies = len(some) // batch
        if int(some[-1]) - int(some[0]) == len(some) - 1:
            places[:bodies] = matrix[some[0] : some[-1] + 1].reshape(bodies, batch)
        else:
            np.take(matrix, some.reshape(bodies, batch), out=near[:bodies], mode="clip")  # other modes copy once more
            places[:bodies] = near[:bodies]
        size = bodies * len(blank)
        yield Block(data[:size], range(len(blank), size + 1, len(blank)), len(some))


def _uneven(texts: arrow_file.Texts, batch: int, frame: Frame, plain: bool) -> Block:
    """Bodies of any ids."""
    found = arrow_file.joined(texts, batch, frame.between) if plain or arrow_file.plain(texts) else None
    if found is None:
        ids = texts.to_pylist()
        return block([frame.of(ids[at : at + batch]) for at in range(0, len(ids), batch)], len(ids))
    data, ends = found
    behind = frame.behind + b"\n"
    pieces = ((frame.before, data[start:stop], behind) for start, stop in pairwise(ends))
    around = len(frame.before) + len(behind)
    whole = [stop + around * number for number, stop in enumerate(ends)]
    return Block(b"".join(chain.from_iterable(pieces)), whole[1:], len(texts))
