"""File of the deleted rows of a snapshot: one bitmap for each shard that has any."""

from __future__ import annotations

from collections.abc import Mapping

from audience._fs.checksums import hash128
from audience.index.storage import arrow_file, bitmaps
from audience.index.storage.arrow_file import ArrowTable
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.layout import shard_file
from audience.index.storage.manifest import DeletedRowsFile
from audience.index.storage.published import Storage
from audience.index.storage.verified_file import read_whole
from audience.lazy_imports import np


def write_deleted_rows(storage: Storage, number: int, deleted: Mapping[str, BitMap]) -> DeletedRowsFile | None:
    """Write the deleted rows of snapshot *number*, by name of shard. Return None if there are none."""
    by_shard = {name: bitmap for name, bitmap in deleted.items() if bitmap}
    if not by_shard:
        return None
    name = f"{number:08}.deleted.arrow"
    cardinalities = np.array([len(bitmap) for bitmap in by_shard.values()], dtype=np.uint32)
    columns = {
        "shard": arrow_file.from_strings(list(by_shard)),
        "cardinality": arrow_file.from_numpy(cardinalities),
        "bitmap": arrow_file.from_bytes(map(bitmaps.serialize_bitmap, by_shard.values())),
    }
    data = arrow_file.to_ipc_bytes(columns)
    storage.put(shard_file(name), data)
    return DeletedRowsFile(name, len(data), hash128(data))


def read_deleted_rows(storage: Storage, file: DeletedRowsFile | None) -> dict[str, BitMap]:
    """Return the deleted rows by name of shard."""
    if file is None:
        return {}
    table = ArrowTable(map_deleted_rows(storage, file))
    names, blobs = (table.column(name).to_pylist() for name in ("shard", "bitmap"))
    return {
        name: bitmaps.deserialize_bitmap(memoryview(blob), file.name) for name, blob in zip(names, blobs, strict=True)
    }


def map_deleted_rows(storage: Storage, file: DeletedRowsFile) -> memoryview:
    """Return the bytes of the file. Raises DamagedError if they are not what was written."""
    stored = storage.open(shard_file(file.name), file.nbytes, file.checksum)
    return read_whole(stored, file.checksum)
