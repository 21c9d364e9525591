"""Checksums of the blocks of a shard's files: a file of their own, whose checksum is in the manifest."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate, pairwise

from audience.index.storage.arrow_file import ArrowTable
from audience.index.storage.layout import DATA_FILES
from audience.index.storage.published import StoredFile
from audience.index.storage.verified_file import VerifiedFile, hash_blocks, read_whole


def open_checksum_file(file: StoredFile, checksum: str) -> VerifiedFile:
    """Return the file of checksums, which is read as a whole and compared with its own *checksum* first."""
    return VerifiedFile(file, partial(_hash_checksums, file, checksum))


def _hash_checksums(file: StoredFile, checksum: str) -> Sequence[int]:
    return hash_blocks(read_whole(file, checksum))


def read_block_checksums(file: VerifiedFile) -> dict[str, memoryview]:
    """Return the checksums of each data file; in the file of checksums, they follow those of the data file before."""
    table = ArrowTable(file.read(0, len(file.data)))
    file_numbers, checksums = bytes(table.view_numbers("file", "B")), table.view_numbers("xxh3", "Q")
    bounds = [0, *accumulate(file_numbers.count(number) for number in range(len(DATA_FILES)))]
    return {kind: checksums[start:stop] for kind, (start, stop) in zip(DATA_FILES, pairwise(bounds), strict=True)}


def checksums_of_file(load: Callable[[], Mapping[str, memoryview]], kind: str) -> memoryview:
    """Return the checksums of the blocks of one data file; *load* returns those of all."""
    return load()[kind]
