"""Files of events that wait for a device with their id."""

from audience.index.storage.layout import shard_file
from audience.index.storage.manifest import WaitingEventFile
from audience.index.storage.published import Storage
from audience.index.storage.verified_file import read_whole


def map_waiting_events(storage: Storage, file: WaitingEventFile) -> memoryview:
    """Return the bytes of the file. Raises DamagedError if they are not what was written."""
    stored = storage.open(shard_file(file.name), file.nbytes, file.checksum)
    return read_whole(stored, file.checksum)
