"""First blocks of all shards of a snapshot, side by side in one object, so that one request reads them.

Whoever asks anything of a shard needs its checksums, and what is before and behind the large columns of its files.
The manifest says where that is, so the object needs no directory. Its blocks are compared with the checksums of the
shard, as those of the files themselves.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

from audience.index.storage.layout import CHECKSUMS, DATA_FILES, ShardFiles
from audience.index.storage.manifest import Manifest
from audience.index.storage.verified_file import BLOCK_BYTES

MAX_WHOLE_BYTES = 2 << 20  # an object that is larger is read shard by shard

ReadRange = Callable[[int, int], memoryview | None]


@dataclass(frozen=True, slots=True)
class OpeningBlock:
    """Block of a file: its kind, its number, and its range in the file."""

    kind: str
    block: int
    start: int
    stop: int


def list_opening_blocks(files: ShardFiles) -> Iterator[OpeningBlock]:
    """Iterate over the blocks that every question to a shard needs, in the order in which they are stored."""
    for kind in (CHECKSUMS, *DATA_FILES):
        nbytes = files.file_sizes[kind]
        start, stop = files.data_ranges.get(kind, (nbytes, nbytes))
        count = -(-nbytes // BLOCK_BYTES)
        first = range(-(-start // BLOCK_BYTES))
        for block in (*first, *range(max(stop // BLOCK_BYTES, len(first)), count)):
            yield OpeningBlock(kind, block, block * BLOCK_BYTES, min((block + 1) * BLOCK_BYTES, nbytes))


class Opening:
    """Blocks of the object of a snapshot, which is read when the first of them is asked for.

    Args:
        manifest: Manifest of the snapshot.
        key_of: Returns the key of a file from its name and its version.
        read: Reads a range of the object; None if there is no such object.
    """

    def __init__(self, manifest: Manifest, key_of: Callable[[str, str], str], read: ReadRange):
        self._shards = manifest.shards
        self._key_of = key_of
        self._read = read
        self._lock = Lock()
        self._parts: dict[tuple[int, int], memoryview | None] = {}  # by range of the object

    @cached_property
    def _places(self) -> dict[tuple[str, int], tuple[int, int, tuple[int, int]]]:
        """Return for each key and block its start and stop in the object, and the range that is read with it."""
        spans = [_measure(files) for files in self._shards]
        total = sum(spans)
        places, at = {}, 0
        for files, nbytes in zip(self._shards, spans, strict=True):
            part = (0, total) if total <= MAX_WHOLE_BYTES else (at, at + nbytes)
            for each in list_opening_blocks(files):
                size = each.stop - each.start
                key = self._key_of(files.file_name(each.kind), files.checksum)
                places[key, each.block] = at, at + size, part
                at += size
        return places

    def find(self, key: str, block: int) -> memoryview | None:
        """Return a block of the object *key*, or None if it is not one of those that are stored together."""
        with self._lock:
            place = self._places.get((key, block))
            if place is None:
                return None
            start, stop, part = place
            if part not in self._parts:
                self._parts[part] = self._read(*part)
            data = self._parts[part]
            return None if data is None else data[start - part[0] : stop - part[0]]


def _measure(files: ShardFiles) -> int:
    return sum(each.stop - each.start for each in list_opening_blocks(files))


def join_opening_blocks(shards: Sequence[ShardFiles], read: Callable[[str, int, int], memoryview]) -> bytes:
    """Return the content of the object for *shards*; *read* returns a range of a file by its name."""
    return b"".join(
        read(files.file_name(each.kind), each.start, each.stop)
        for files in shards
        for each in list_opening_blocks(files)
    )
