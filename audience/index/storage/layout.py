"""A shard: some millions of devices in files that never change, and what they hold.

    NAME.tags.arrow     attribute, value, column, cardinality, bitmap: one row a bitmap, values in their order
    NAME.ids.arrow      the ids, one row a device, in the order in which the shard numbers them
    NAME.lookup.arrow   for each column of ids its table of hashes
    NAME.sums.arrow     the checksum of each block of the three

Bitmaps are portable roaring bytes, so that any Arrow reader and any roaring library can use them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from audience.index.schema.columns import Role

TAGS, IDS, LOOKUP, SUMS = "tags", "ids", "lookup", "sums"
DATA = (TAGS, IDS, LOOKUP)
SHOWN = ("attribute", "value", "column", "cardinality")  # what stands beside the bitmaps


@dataclass(frozen=True, slots=True)
class Digits:
    """How numbers are kept as *count* binary digits: the number is `(base + step × digits) / 10 ** scale`.

    Without *step* the digits are the place of the value among the sorted values that are kept beside them.
    """

    count: int
    base: int = 0
    step: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a shard: rows *start* to *stop* of its tags are the values, in their order.

    With *digits* the values have no bitmaps of their own: the last rows are the binary digits, the lowest first, and
    one more before them says which devices have any value. *single* says that a device has one value at most, *type*
    is what Polars calls the values.
    """

    name: str
    role: Role
    start: int
    stop: int
    distinct: int
    single: bool
    type: str
    digits: Digits | None = None

    @property
    def written(self) -> int:
        """How many values are written down."""
        return self.stop - self.start - (0 if self.digits is None else self.digits.count + 1)


@dataclass(frozen=True, slots=True)
class Files:
    """What a snapshot knows of a shard: its name, its rows, and of each file the size, the body and a checksum."""

    name: str
    rows: int
    sizes: Mapping[str, int]
    bodies: Mapping[str, tuple[int, int]]
    sums: str

    def path(self, folder: Path, kind: str) -> Path:
        return folder / f"{self.name}.{kind}.arrow"

    def paths(self, folder: Path) -> list[Path]:
        return [self.path(folder, kind) for kind in (*DATA, SUMS)]


@dataclass(frozen=True, slots=True)
class IdFacts:
    """What is true of all ids of a column: the bytes of each where they are equally many, and whether JSON writes
    them as they are."""

    width: int | None
    plain: bool
