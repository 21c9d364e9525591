"""Files of events that wait for a device with their id."""

from audience._fs.checksums import hash128
from audience.index.storage.layout import shard_file
from audience.index.storage.manifest import WaitingEventFile
from audience.index.storage.published import Storage, damaged_error


def map_waiting_events(storage: Storage, file: WaitingEventFile) -> memoryview:
    """Return the bytes of the file. Raises DamagedError if they are not what was written."""
    stored = storage.open(shard_file(file.name), file.nbytes)
    stored.load(0, file.nbytes)
    if hash128(stored.data) != file.checksum:
        raise damaged_error(stored.path)
    return stored.data
