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

TAGS, IDS, LOOKUP, CHECKSUMS = "tags", "ids", "lookup", "checksums"
DATA_FILES = (TAGS, IDS, LOOKUP)
VALUE_COLUMNS = ("attribute", "value", "column", "cardinality")  # what stands beside the bitmaps


@dataclass(frozen=True, slots=True)
class BitSlicing:
    """How numbers are kept as *count* binary digits: the number is `(base + step × digits) / 10 ** scale`.

    Without *step* the digits are the place of the value among the sorted values that are kept beside them.
    """

    bit_depth: int
    base: int = 0
    step: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True)
class StoredAttribute:
    """One attribute of a shard: rows *start* to *stop* of its tags are the values, in their order.

    With *digits* the values have no bitmaps of their own: the last rows are the binary digits, the lowest first, and
    one more before them says which devices have any value. *single* says that a device has one value at most, *type*
    is what Polars calls the values.
    """

    name: str
    role: Role
    start: int
    stop: int
    distinct_count: int
    is_single_valued: bool
    type_name: str
    bit_slicing: BitSlicing | None = None

    @property
    def value_count(self) -> int:
        """How many values are written down."""
        return self.stop - self.start - (0 if self.bit_slicing is None else self.bit_slicing.bit_depth + 1)


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """What a snapshot knows of a shard: its name, its rows, and of each file the size, the body and a checksum."""

    name: str
    row_count: int
    file_sizes: Mapping[str, int]
    data_ranges: Mapping[str, tuple[int, int]]
    checksum: str

    def file_path(self, folder: Path, kind: str) -> Path:
        return folder / f"{self.name}.{kind}.arrow"

    def file_paths(self, folder: Path) -> list[Path]:
        return [self.file_path(folder, kind) for kind in (*DATA_FILES, CHECKSUMS)]


@dataclass(frozen=True, slots=True)
class IdColumnStats:
    """What is true of all ids of a column: the bytes of each where they are equally many, and whether JSON writes
    them as they are."""

    fixed_width: int | None
    is_json_safe: bool
