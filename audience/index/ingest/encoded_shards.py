"""Tables of devices encoded and written as shards."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from audience.index.ingest.encode import DeviceTable, count_rows, encode_shard
from audience.index.storage import shard_writer
from audience.index.storage.device_numbers import DeviceNumbers, NumberSequence
from audience.index.storage.layout import ShardFiles
from audience.index.storage.published import Storage
from audience.index.storage.shard_writer import PendingShard


def name_shard(snapshot_number: int, count: int) -> str:
    """Return the name of a shard that has *count* shards of its snapshot before it.

    >>> name_shard(7, 12)
    '00000007-00012'
    """
    return f"{snapshot_number:08}-{count:05}"


def write_shards(
    chunks: Iterable[tuple[int, DeviceTable]], storage: Storage, snapshot_number: int, numbers: NumberSequence
) -> Iterator[ShardFiles]:
    """Write a shard of each of *chunks*, whose devices take the next *numbers*.

    Three steps overlap: while one chunk is read, the one before is encoded, and the one before that is synced to disk.
    """
    with ThreadPoolExecutor(1) as encoder, ThreadPoolExecutor(1) as committer:
        pending: Future[PendingShard] | None = None
        committed: list[Future[ShardFiles]] = []
        for count, (_, table) in enumerate(chunks):
            if pending is not None:
                committed.append(committer.submit(pending.result().commit))
            name, first_number = name_shard(snapshot_number, count), numbers.take(count_rows(table))
            pending = encoder.submit(_encode_and_write, storage, name, table, first_number)
        if pending is not None:
            committed.append(committer.submit(pending.result().commit))
        yield from (future.result() for future in committed)


def _encode_and_write(storage: Storage, shard_name: str, table: DeviceTable, numbers: DeviceNumbers) -> PendingShard:
    shard = encode_shard(table, numbers)
    return shard_writer.write_shard_files(
        storage, shard_name, shard.row_count, shard.numbers, shard.attributes, shard.id_columns
    )


def write_shard(storage: Storage, shard_name: str, table: DeviceTable, numbers: DeviceNumbers) -> ShardFiles:
    """Write *table* as the shard *shard_name*; *numbers* are those of its devices."""
    return _encode_and_write(storage, shard_name, table, numbers).commit()
