"""Files of an index and what they hold.

    manifest.json             the current snapshot
    history/00000007.json     every kept snapshot, including the current one
    shards/                   files of the shards, which never change
    records/                  files outside snapshots, which hold ids and only the owner may read
    published.json            what was pushed to object stores, or pulled from them
    syncs/                    ledgers of the syncs of tags, one folder for each application of a vendor
    writer.lock               held by the process that changes the index; writer.json describes it
    emission.lock             held while requests are written under a cap on deliveries

A shard holds up to some millions of devices in four files:

    NAME.tags.arrow           attribute, value, column, cardinality, bitmap: one row for each bitmap, values in order;
                              and the ranks of an attribute of many texts, in the row before its bit slices
    NAME.ids.arrow            ids, one row for each device, in the order of the row numbers; and the numbers of the
                              devices, unless they are consecutive
    NAME.lookup.arrow         for each id column a table of hashes
    NAME.checksums.arrow      the checksum of each block of the other three

Bitmaps are in the portable roaring format (https://github.com/RoaringBitmap/RoaringFormatSpec), so that any Arrow
reader and any roaring library can use them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audience._fs.atomic import temp_path
from audience.index.schema.columns import Role

MANIFEST_FILE, HISTORY_FOLDER, SHARDS_FOLDER = "manifest.json", "history", "shards"
RECORDS_FOLDER = "records"
SYNCS_FOLDER = "syncs"
PUBLISHED_FILE = "published.json"
LOCK_FILE, LOCK_HOLDER_FILE = "writer.lock", "writer.json"
EMISSION_LOCK_FILE = "emission.lock"
OWNED_NAMES = frozenset(
    {
        MANIFEST_FILE,
        HISTORY_FOLDER,
        SHARDS_FOLDER,
        RECORDS_FOLDER,
        SYNCS_FOLDER,
        PUBLISHED_FILE,
        LOCK_FILE,
        LOCK_HOLDER_FILE,
        EMISSION_LOCK_FILE,
        temp_path(Path(MANIFEST_FILE)).name,
    }
)
TAGS, IDS, LOOKUP, CHECKSUMS = "tags", "ids", "lookup", "checksums"
DATA_FILES = (TAGS, IDS, LOOKUP)
NUMBER_COLUMN = "number"  # of the ids file; names of id columns have a colon
VALUE_COLUMNS = ("attribute", "value", "column", "cardinality")  # of the tags file, beside the bitmaps
RANK_COLUMN = "ranks"  # of the tags file; files of earlier versions lack it


def history_file(number: int) -> str:
    """Return the name of the manifest of snapshot *number*."""
    return f"{HISTORY_FOLDER}/{number:08}.json"


def record_file(name: str) -> str:
    """Return the name of a file in the folder of the records."""
    return f"{RECORDS_FOLDER}/{name}"


def shard_file(name: str) -> str:
    """Return the name of a file in the folder of the shards."""
    return f"{SHARDS_FOLDER}/{name}"


@dataclass(frozen=True, slots=True)
class BitSlicing:
    """Encoding of values as numbers of `bit_depth` binary digits, one bitmap for each digit.

    With a step, the value is `(base + step × number) / 10 ** scale`. Without one (0), the number is the rank of the
    value among the sorted values, which are stored beside the bitmaps. Ranks may also be stored row by row, without
    their highest bits (`storage/listed_ranks.py`).
    """

    bit_depth: int
    base: int = 0
    step: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True)
class StoredAttribute:
    """Attribute of a shard: the rows of the tags file from `start` up to `stop` are its values, in order.

    With bit slicing the values have no bitmaps of their own. The last rows are the bit slices, lowest bit first, after
    one row for the devices that have any value. `type_name` is the Polars type of the values.
    """

    #   row         value       bitmap           with bit slicing: values, then slices
    #   start       guangdong   rows ─┐          start       18            -
    #   start + 1   hunan       rows  │ one      …           …             -
    #   stop                          ┘ each     stop - n    "any value"   rows
    #                                            …           "digit 0"…    rows

    name: str
    role: Role
    start: int
    stop: int
    distinct_count: int
    is_single_valued: bool
    type_name: str
    bit_slicing: BitSlicing | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "StoredAttribute":
        """Return the attribute of which a file has these *fields*."""
        bit_slicing = fields["bit_slicing"]
        return cls(**{**fields, "bit_slicing": None if bit_slicing is None else BitSlicing(**bit_slicing)})

    @property
    def value_count(self) -> int:
        """Return the number of values that are stored as strings."""
        return self.stop - self.start - (0 if self.bit_slicing is None else self.bit_slicing.bit_depth + 1)


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """Entry of a shard in a manifest: its name, its number of rows, and its files.

    `file_sizes` and `data_ranges` are by kind of file; a data range holds the large columns of the file, in bytes from
    its start. `checksum` is that of the file of checksums. If the numbers of the devices are consecutive,
    `first_number` is that of the device in the first row; else it is None, and the file of ids has the numbers: their
    lower 32 bits if all are of one `partition`, else 64 bits, and that is None.
    """

    name: str
    row_count: int
    file_sizes: Mapping[str, int]
    data_ranges: Mapping[str, tuple[int, int]]
    checksum: str
    first_number: int | None
    partition: int | None

    def file_name(self, kind: str) -> str:
        """Return the name of a file in the folder of the shards."""
        return shard_file_name(self.name, kind)

    def file_names(self) -> list[str]:
        """Return the names of all files."""
        return [self.file_name(kind) for kind in (*DATA_FILES, CHECKSUMS)]


def shard_file_name(shard_name: str, kind: str) -> str:
    """Return the name of a file of a shard."""
    return f"{shard_name}.{kind}.arrow"


@dataclass(frozen=True, slots=True)
class IdColumnStats:
    """Properties that all ids of a column have.

    `fixed_width` is the size of each id in bytes, or None if the sizes differ or ids are missing. `is_json_safe` is
    True if JSON writes all ids without escapes. `byte_range` is the lowest and the highest of their bytes, or None if
    it is not known.
    """

    fixed_width: int | None
    is_json_safe: bool
    byte_range: tuple[int, int] | None = None

    def lacks_bytes(self, byte_values: bytes) -> bool:
        """Return whether it is known that no id has any of *byte_values*.

        >>> IdColumnStats(36, True, (ord("-"), ord("z"))).lacks_bytes(b" ,")
        True
        """
        if self.byte_range is None:
            return False
        lowest, highest = self.byte_range
        return not any(lowest <= value <= highest for value in byte_values)
