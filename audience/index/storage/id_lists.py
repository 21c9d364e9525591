"""Lists of ids that the segments of an index name: each list is a file beside the shards, named by its checksum."""

import orjson

from audience._fs.checksums import hash128
from audience.index.storage.layout import SHARDS_FOLDER, shard_file
from audience.index.storage.manifest import IdListFile
from audience.index.storage.published import Storage
from audience.index.storage.verified_file import read_whole
from audience.language.ast import IdFile


def write_id_list(storage: Storage, file: IdFile) -> IdListFile:
    """Write the ids of *file*. A list that the index has already is not written again."""
    data = orjson.dumps(file.ids)
    checksum = hash128(data)
    name = f"{checksum}.ids.json"
    if name not in storage.list(SHARDS_FOLDER):
        storage.put(shard_file(name), data)
    return IdListFile(name, len(data), checksum, file.path, file.digest, file.is_list)


def read_id_list(storage: Storage, file: IdListFile) -> IdFile:
    """Return the ids of a list as the file that they were read from."""
    ids = tuple(orjson.loads(map_id_list(storage, file)))
    return IdFile(file.path, file.digest, ids, is_list=file.is_list)


def map_id_list(storage: Storage, file: IdListFile) -> memoryview:
    """Return the bytes of a list. Raises DamagedError if they are not what was written."""
    stored = storage.open(shard_file(file.name), file.nbytes, file.checksum)
    return read_whole(stored, file.checksum)
