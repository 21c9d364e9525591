"""Batches of events that are recorded by id: what happened to the devices with these ids, whichever the index has.

A batch has a name and a version: a newer version replaces it. Its events lie in parts of a million, each in two files:

    hashes    the hash of each id, in rising order, by which few ids are found without reading the others
    rows      id, moment and properties of each event, in the order of the hashes, as Arrow IPC
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

import numpy as np
import polars as pl

from audience.index.records.record_files import (
    RecordContent,
    RecordFile,
    RecordList,
    load_record_list,
    read_listed_file,
    replace_record_files,
)
from audience.index.storage.id_column import hash_ids
from audience.index.storage.id_lookup import HashTable
from audience.index.storage.published import Storage

ID, AT = "id", "at"  # columns of the rows, beside the properties: strings, and microseconds since 1970 in UTC
MAX_PART_ROWS = 1 << 20
RECORD_PREFIX = "record:"  # of the names of recorded batches among the events of a snapshot
KIND = "recorded events"  # of files, among the facts of the list


@dataclass(frozen=True, slots=True)
class RecordedBatch:
    """Batch of recorded events.

    Attributes:
        name: Name of the batch, which its versions share.
        version: Changes whenever the events do.
        event: Name of the events.
        id_column: Id column of the index that the ids are of, as shards store it: `id:tpns`.
        properties: Names of the properties; their values are strings.
    """

    name: str
    version: str
    event: str
    id_column: str
    properties: tuple[str, ...]

    @property
    def batch_name(self) -> str:
        """Return the name of the batch among the events of a snapshot."""
        return f"{RECORD_PREFIX}{self.name}@{self.version}"


@dataclass(frozen=True)
class RecordedPart:
    """Part of a recorded batch, whose files are read and verified when they are needed."""

    storage: Storage
    hash_file: RecordFile
    row_file: RecordFile

    @property
    def row_count(self) -> int:
        """Return the number of events."""
        return self.hash_file.nbytes // np.dtype(np.uint64).itemsize

    @cached_property
    def hashes(self) -> HashTable:
        """Return the hash of the id of each event, in rising order."""
        return np.frombuffer(read_listed_file(self.storage, self.hash_file), dtype=np.uint64)

    def has_any(self, hashes: HashTable) -> bool:
        """Return whether the id of any event has one of *hashes*."""
        starts = np.searchsorted(self.hashes, hashes)
        return bool((np.searchsorted(self.hashes, hashes, side="right") > starts).any())

    def read_rows(self) -> pl.DataFrame:
        """Return the columns `id`, `at` and those of the properties."""
        return pl.read_ipc(BytesIO(read_listed_file(self.storage, self.row_file)))


def list_recorded_batches(listed: RecordList) -> dict[str, RecordedBatch]:
    """Return the recorded batches by name."""
    return {batch.name: batch for entry in listed.files.values() if (batch := _read_batch(entry.facts)) is not None}


def list_parts(storage: Storage, listed: RecordList, name: str) -> list[RecordedPart]:
    """Return the parts of the recorded batch *name*."""
    parts = list[RecordedPart]()
    while (file := listed.files.get(_file_name(name, len(parts), "hashes"))) is not None:
        parts.append(RecordedPart(storage, file, listed.files[_file_name(name, len(parts), "rows")]))
    return parts


def write_recorded_batches(
    storage: Storage,
    batches: Iterable[tuple[RecordedBatch, Iterable[pl.DataFrame]]],
    dropped: Collection[str] = (),
) -> RecordList:
    """Write batches in place of their older versions, and drop others, all at once. Return the new list of files.

    Args:
        storage: Storage of the index, which the caller has locked.
        batches: Batches, each with its events: the columns `id`, `at` and those of the properties, some rows at a time.
            One without events is kept too, so that its version is known.
        dropped: Names of batches to drop.
    """
    batches, listed = list(batches), load_record_list(storage)
    contents = (
        content
        for batch, frames in batches
        for part, rows in enumerate(_iter_parts(batch, frames))
        for content in _encode(batch, part, rows)
    )
    names = [*dropped, *(batch.name for batch, _ in batches)]
    return replace_record_files(storage, contents, [file for name in names for file in _file_names(listed, name)])


def remove_recorded_ids(storage: Storage, ids: pl.Series) -> dict[str, int]:
    """Remove the events of *ids* from all recorded batches. Return the number of them by the name of the batch.

    The caller has locked the index. Batches keep their version: what a snapshot has of them is removed there.
    """
    listed, removed = load_record_list(storage), dict[str, int]()
    contents = list[RecordContent]()
    for batch in list_recorded_batches(listed).values():
        for number, part in enumerate(list_parts(storage, listed, batch.name)):
            if not part.has_any(hash_ids(ids)):
                continue
            rows = part.read_rows()
            kept = rows.filter(~pl.col(ID).is_in(ids.implode()))
            if len(kept) < len(rows):
                removed[batch.name] = removed.get(batch.name, 0) + len(rows) - len(kept)
                contents += _encode(batch, number, kept)
    if contents:
        replace_record_files(storage, contents)
    return removed


def _iter_parts(batch: RecordedBatch, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield the rows of *frames* in parts; at least one, which may be empty."""
    schema = pl.Schema({ID: pl.String, AT: pl.Int64, **dict.fromkeys(batch.properties, pl.String)})
    pending, row_count, part_count = [pl.DataFrame(schema=schema)], 0, 0
    for frame in frames:
        pending.append(frame.select(schema.names()))
        row_count += len(frame)
        if row_count >= MAX_PART_ROWS:
            yield pl.concat(pending)
            pending, row_count, part_count = [], 0, part_count + 1
    if row_count or not part_count:
        yield pl.concat(pending)


def _encode(batch: RecordedBatch, part: int, rows: pl.DataFrame) -> list[RecordContent]:
    """Return the two files of a part."""
    hashes = hash_ids(rows[ID])
    order = np.argsort(hashes, kind="stable")
    in_order = rows[pl.Series(order)] if len(rows) else rows
    facts = {
        "kind": KIND,
        "batch": batch.name,
        "version": batch.version,
        "event": batch.event,
        "id_column": batch.id_column,
        "properties": list(batch.properties),
        "rows": len(rows),
    }
    buffer = BytesIO()
    in_order.with_columns(pl.col(name).cast(pl.Categorical) for name in batch.properties).write_ipc(
        buffer, compression="zstd"
    )
    return [
        RecordContent(_file_name(batch.name, part, "hashes"), hashes[order].tobytes(), facts),
        RecordContent(_file_name(batch.name, part, "rows"), buffer.getvalue(), facts),
    ]


def _file_name(name: str, part: int, kind: str) -> str:
    return f"{name}#{part} {kind}"


def _file_names(listed: RecordList, name: str) -> list[str]:
    """Return the names of the files of the recorded batch *name*."""
    return [
        file
        for file, entry in listed.files.items()
        if (batch := _read_batch(entry.facts)) is not None and batch.name == name
    ]


def _read_batch(facts: Mapping[str, object]) -> RecordedBatch | None:
    """Return the batch that a file of the list is of; None for a file of another kind."""
    if facts.get("kind") != KIND:
        return None
    properties = facts["properties"]
    assert isinstance(properties, list)
    return RecordedBatch(
        str(facts["batch"]),
        str(facts["version"]),
        str(facts["event"]),
        str(facts["id_column"]),
        tuple(map(str, properties)),
    )
