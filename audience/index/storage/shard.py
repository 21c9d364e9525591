"""A shard, open for reading: its bitmaps, its ids, and where they are, each checked before it is trusted."""

from bisect import bisect_left
from collections.abc import Iterator
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from audience._fs.checksums import digest
from audience.index.storage import arrow_file, bitmaps, id_lookup
from audience.index.storage.arrow_file import Frame
from audience.index.storage.bitmaps import BitMap, Bits, Choice
from audience.index.storage.cache import Cache
from audience.index.storage.layout import DATA, IDS, LOOKUP, SUMS, TAGS, Attribute, Digits, Files, IdFacts
from audience.index.storage.verified_file import SoundFile, checksums, damaged
from audience.language.ast import Compare, Expr, Within
from audience.language.attribute_names import BARE

MOST_REMEMBERED = 4_096  # expressions
FEW = 64  # where fewer rows than one in so many are wanted, only the blocks that hold them are read


class Shard:
    """A shard, open for reading, without the rows *dead*; what is read of it is checked first, and kept."""

    def __init__(self, folder: Path, files: Files, dead: BitMap | None = None, cache: Cache | None = None):
        self.files = files
        self.name = files.name
        self.rows = files.rows
        self.cache = cache or Cache(0)
        self.dead = dead if dead else None
        self.devices = files.rows - len(dead or ())
        self.places: dict[tuple[str, str], int] = {}  # where the tags that were asked for have their bitmaps
        self.choices: dict[Compare | Within, Choice | None] = {}  # what comparisons that were asked for mean
        self.operands: dict[int, tuple[Expr, list[Bits | Choice]]] = {}  # of expressions that were asked, by identity
        self._sums = SoundFile(files.path(folder, SUMS), files.sizes[SUMS], lambda: self._own_sums)
        self._files = {kind: self._open(folder, kind) for kind in DATA}
        self._loaded: dict[int, BitMap] = {}
        self.series: dict[str, Any] = {}  # columns that Polars was asked for
        self._held: dict[tuple[str, bytes], bool] = {}

    def _open(self, folder: Path, kind: str) -> SoundFile:
        return SoundFile(self.files.path(folder, kind), self.files.sizes[kind], lambda: self._block_sums[kind])

    @cached_property
    def _own_sums(self) -> NDArray[np.uint64]:
        """The checksums of the file of checksums, which the snapshot vouches for."""
        if digest(self._sums.data) != self.files.sums:
            raise damaged(self._sums.path)
        return checksums(self._sums.data)

    @cached_property
    def _block_sums(self) -> dict[str, NDArray[np.uint64]]:
        frame = Frame(self._sums.part(0, len(self._sums.data)))
        files, sums = (frame.column(name).to_numpy() for name in ("file", "xxh3"))
        return {kind: sums[files == number] for number, kind in enumerate(DATA)}

    def _frame(self, kind: str) -> Frame:
        """All of a file but its body, which is left unread."""
        file, (start, stop) = self._files[kind], self.files.bodies[kind]
        file.part(0, start)
        file.part(stop, len(file.data))
        return Frame(file.data)

    def without(self, dead: BitMap | None, cache: Cache | None = None) -> "Shard":
        """The same shard with other *dead* rows; what was read of it is shared, what was found in it is not."""
        other = copy(self)
        other.cache = cache or Cache(0)
        other.dead = dead if dead else None
        other.devices = self.rows - len(dead or ())
        vars(other).pop("everyone", None)
        return other

    @cached_property
    def everyone(self) -> BitMap:
        """All rows but the dead."""
        return bitmaps.universe(self.rows) - (self.dead or BitMap())

    @cached_property
    def _tags(self) -> Frame:
        return self._frame(TAGS)

    @cached_property
    def attributes(self) -> dict[str, Attribute]:
        """What is known of the devices, by name."""
        found = orjson.loads(self._tags.facts)
        return {each["name"]: Attribute(**{**each, "digits": _digits(each["digits"])}) for each in found}

    def shown(self, name: str) -> arrow_file.Column:
        """The column *name* of what stands beside the bitmaps."""
        return self._tags.column(name)

    @cached_property
    def _counts(self) -> NDArray[np.uint32]:
        """How many rows each bitmap has."""
        return arrow_file.numbers(self.shown("cardinality"))

    @cached_property
    def _values(self) -> arrow_file.Column:
        return self.shown("value")

    @cached_property
    def _stretches(self) -> tuple[int, list[int]]:
        """Where the bytes of the bitmaps begin, and the offsets of each."""
        places, data = self._tags.buffers("bitmap")[1:]
        found = arrow_file.offsets(self._files[TAGS].data, places, len(self._tags))
        return data[0] if data else 0, found.tolist()

    @cached_property
    def sizes(self) -> list[int]:
        """The bytes of every bitmap."""
        return np.diff(self._stretches[1]).tolist()

    def values(self, attribute: Attribute) -> arrow_file.Slice:
        """The values of *attribute* that are written down, in their order."""
        return arrow_file.Slice(self._values, attribute.start, attribute.written)

    def remember(self, expr: Expr, operands: list[Bits | Choice]) -> None:
        """Keep the stored bitmaps that are the operands of the object *expr*."""
        if len(self.operands) >= MOST_REMEMBERED:
            self.operands.clear()
        self.operands[id(expr)] = expr, operands

    def tagged(self, name: str) -> BitMap:
        """The rows with the bare tag *name*, dead ones too."""
        attribute = self.attributes.get(BARE)
        if attribute is None:
            return BitMap()
        place = bisect_left(values := self.values(attribute), name)
        there = place < len(values) and values[place] == name
        return self.bitmap(attribute.start + place) if there else BitMap()

    def bitmap(self, row: int) -> BitMap:
        """The bitmap of row *row* of the tags, read and checked once; it must not be changed."""
        found = self._loaded.get(row)
        if found is None:
            found = self._loaded[row] = self._read(row)
        return found

    def _read(self, row: int) -> BitMap:
        first, places = self._stretches
        data = self._files[TAGS].part(first + places[row], first + places[row + 1])
        attribute, value = (self.shown(name)[row].as_py() for name in ("attribute", "value"))
        what = f", the bitmap of {attribute}:{value},"
        bitmap = bitmaps.load(data, f"{self._files[TAGS].path}{what}")
        if len(bitmap) != self._counts[row]:
            raise damaged(self._files[TAGS].path, what)
        return bitmap

    @cached_property
    def _ids(self) -> Frame:
        return self._frame(IDS)

    @property
    def id_names(self) -> list[str]:
        """The columns of ids: their kind, a colon, and their name."""
        return self._ids.names

    @cached_property
    def _id_facts(self) -> dict[str, IdFacts]:
        return {name: IdFacts(**facts) for name, facts in orjson.loads(self._ids.facts).items()}

    def ids(self, name: str) -> arrow_file.Column | None:
        """The column *name* of the ids; all of it is checked. None where it has no such ids."""
        if name not in self._ids.names:
            return None
        for buffer in self._ids.buffers(name):
            if buffer is not None:
                self._files[IDS].part(buffer[0], sum(buffer))
        return self._ids.column(name)

    def texts(self, name: str, rows: NDArray[np.uint32]) -> arrow_file.Texts:
        """The ids of *rows* as an Arrow array of its own; nothing of the column *name* is kept."""
        if name not in self._ids.names:
            return arrow_file.nothing(len(rows))
        if (matrix := self.matrix(name, rows)) is not None:
            return arrow_file.from_matrix(matrix[rows])
        data = self._files[IDS].data
        valid, places, body = self._ids.buffers(name)
        for buffer in (valid, places):
            if buffer is not None:
                self._files[IDS].part(buffer[0], sum(buffer))
        if body is not None and len(rows):
            ends = arrow_file.offsets(data, places, self.rows)
            self._files[IDS].part(body[0] + int(ends[rows[0]]), body[0] + int(ends[rows[-1] + 1]))
        return arrow_file.taken(self._ids.column(name), rows)

    def matrix(self, name: str, rows: NDArray[np.uint32]) -> NDArray[np.void] | None:
        """The ids of the column *name* as bytes of one width, checked where *rows* are; None where widths differ."""
        facts = self._id_facts.get(name)
        if facts is None or not facts.width:
            return None
        data = self._ids.buffers(name)[2]
        assert data is not None
        if len(rows) * FEW > self.rows:
            self._files[IDS].part(data[0], sum(data))
        else:
            self._files[IDS].touch(data[0] + rows.astype(np.int64) * facts.width, facts.width)
        return np.frombuffer(self._files[IDS].data, dtype=f"V{facts.width}", count=self.rows, offset=data[0])

    def width(self, name: str) -> int | None:
        """The bytes of each id of the column *name*, where every device has one and they are equally long."""
        return self._id_facts[name].width if name in self._id_facts else None

    def holds(self, name: str, signs: bytes) -> bool:
        """Whether any id of the column *name* has one of the bytes *signs*; they are looked at once."""
        if (name, signs) not in self._held:
            body = self._ids.buffers(name)[2]
            self._held[name, signs] = body is not None and self._files[IDS].holds(body[0], sum(body), signs)
        return self._held[name, signs]

    def full(self, name: str) -> bool:
        """Whether every device has an id in the column *name*."""
        return name in self._ids.names and not self._ids.column(name).null_count

    def plain(self, name: str) -> bool:
        """Whether JSON writes all ids of the column *name* as they are."""
        return name in self._id_facts and self._id_facts[name].plain

    @cached_property
    def _lookup(self) -> Frame:
        return self._frame(LOOKUP)

    def lookup(self, name: str) -> id_lookup.Entries:
        """The table of the hashes of the column *name*, dead rows and all."""
        start, stop = orjson.loads(self._lookup.facts).get(name, (0, 0))
        buffer = self._lookup.buffers("entry")[1]
        if buffer is None or start == stop:
            return np.empty(0, dtype=np.uint64)
        first = buffer[0] + 8 * start
        return np.frombuffer(self._files[LOOKUP].part(first, first + 8 * (stop - start)), dtype=np.uint64)

    def contents(self) -> Iterator[tuple[str, memoryview]]:
        """The name and the bytes of every file."""
        for file in (self._sums, *self._files.values()):
            yield file.path.name, file.data

    def forget(self) -> None:
        """Give back the memory of what was read of the files; it stays readable."""
        for file in self._files.values():
            file.forget()

    def check(self) -> None:
        """Read every file whole; DamagedError for the first that is not sound."""
        for file in (self._sums, *self._files.values()):
            file.check()


def _digits(found: dict[str, int] | None) -> Digits | None:
    return None if found is None else Digits(**found)
