"""Files that an index keeps outside its snapshots: no restore, build, compaction or vacuum changes or loses them.

    records/records.json      the current files by name, each with its size and checksum
    records/00000003-0        a file, which never changes; a newer version of it is another file

A change writes new files, replaces the list by compare-and-swap, and deletes the files that the list no longer names.
So a reader finds all files of one change or none. Only the owner may read them: they hold ids.

A name is any text, such as `policies.json`. A program that changes a file reads it under the lock of the index:

    with lock_for_update(storage, "policy set", wait):
        policies = parse(read_record_file(storage, "policies.json"))
        replace_record_files(storage, [RecordContent("policies.json", serialize({**policies, name: policy}))])
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from audience._fs.checksums import hash128
from audience.errors import DamagedError, InvalidIndexError, Problem
from audience.index.storage.checked_json import read_checked, serialize_checked
from audience.index.storage.layout import RECORDS_FOLDER, record_file
from audience.index.storage.published import Storage, VersionedBytes, damaged_error, wrap_os_errors

LIST_FILE = "records.json"
LIST_VERSION = 1


class RecordContent(NamedTuple):
    """Content of a file to write: its name, its bytes, and facts for the list, which are JSON values."""

    name: str
    data: bytes
    facts: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class RecordFile:
    """Entry of a file in the list: where its bytes are, their size and checksum, and facts of its writer."""

    file_name: str
    nbytes: int
    checksum: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordList:
    """List of the current files by name. `number` counts the changes; `etag` is None before the first one."""

    number: int = 0
    files: Mapping[str, RecordFile] = field(default_factory=dict)
    etag: str | None = field(default=None, compare=False)


def load_record_list(storage: Storage) -> RecordList:
    """Return the current list; it is empty if nothing was ever recorded.

    Raises:
        DamagedError: The list is not what was written.
        InvalidIndexError: It cannot be read, or another version has written it.
    """
    name = record_file(LIST_FILE)
    with wrap_os_errors(storage.path_of(name)):
        content = _read_list(storage, name)
    if content is None:
        return RecordList()
    body = read_checked(content.data, "records", storage.path_of(name))
    if body["version"] != LIST_VERSION:
        message = f"{storage.path_of(name)} was written by another version of audience"
        raise InvalidIndexError(Problem("other-format", message, hint="use the version that has written it"))
    files = {each: RecordFile(**entry) for each, entry in body["files"].items()}
    return RecordList(body["number"], files, content.etag)


def _read_list(storage: Storage, name: str) -> VersionedBytes | None:
    """Return the list; None if nothing was ever recorded. Raises DamagedError if there are files without a list."""
    try:
        return storage.read(name)
    except FileNotFoundError:
        if not _has_files(storage):
            return None
    try:
        return storage.read(name)  # written in between: the first list is there before the first file
    except FileNotFoundError as error:
        raise damaged_error(storage.path_of(name)) from error


def read_record_file(storage: Storage, name: str) -> bytes | None:
    """Return the current content of the file *name*, or None if there is none.

    Raises:
        DamagedError: The file or the list is not what was written.
    """
    listed = load_record_list(storage)
    while (entry := listed.files.get(name)) is not None:
        try:
            return read_listed_file(storage, entry)
        except DamagedError:
            newer = load_record_list(storage)  # the file was deleted because a newer version has replaced it
            if newer == listed:
                raise
            listed = newer
    return None


def read_listed_file(storage: Storage, entry: RecordFile) -> bytes:
    """Return the content of a file of the list. Raises DamagedError if it is missing or not what was written."""
    path = storage.path_of(record_file(entry.file_name))
    with wrap_os_errors(path):
        try:
            data = storage.read(record_file(entry.file_name), entry.checksum).data
        except FileNotFoundError as error:
            raise damaged_error(path) from error
    if len(data) != entry.nbytes or hash128(data) != entry.checksum:
        raise damaged_error(path)
    return data


def replace_record_files(
    storage: Storage, contents: Iterable[RecordContent], removed: Collection[str] = ()
) -> RecordList:
    """Write *contents* and drop the files *removed*, all at once. Return the new list.

    A process that dies leaves the old files or the new ones. Each of *contents* is written before the next one is
    asked for, so that one of them is in memory at a time.

    Args:
        storage: Storage of the index, which the caller has locked.
        contents: Files to write; one of the same name is replaced.
        removed: Names of files to drop; one that there is not is ignored.
    """
    current = load_record_list(storage)
    etag = current.etag or storage.swap(record_file(LIST_FILE), _serialize_list(0, {}), None)  # before the first file
    number = current.number + 1
    files = {name: entry for name, entry in current.files.items() if name not in removed}
    for position, content in enumerate(contents):
        file_name = f"{number:08}-{position}"
        storage.put(record_file(file_name), content.data)
        files[content.name] = RecordFile(file_name, len(content.data), hash128(content.data), dict(content.facts))
    if files == current.files:
        return current
    etag = storage.swap(record_file(LIST_FILE), _serialize_list(number, files), etag)
    _delete_unlisted(storage, files.values())
    return RecordList(number, files, etag)


def replace_facts(storage: Storage, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Replace the facts of some files in the list, all at once; their content stays. The caller has the lock."""
    current = load_record_list(storage)
    changed = {name: replace(current.files[name], facts=dict(each)) for name, each in facts.items()}
    storage.swap(
        record_file(LIST_FILE), _serialize_list(current.number + 1, {**current.files, **changed}), current.etag
    )


def verify_record_files(storage: Storage) -> list[str]:
    """Read every file and compare it with its checksum. Return their names below the folder of the index.

    Raises:
        DamagedError: A file is missing or not what was written.
    """
    listed = load_record_list(storage)
    for entry in listed.files.values():
        read_listed_file(storage, entry)
    names = [LIST_FILE, *(entry.file_name for entry in listed.files.values())] if listed.etag else []
    return [record_file(name) for name in sorted(names)]


def copy_record_files(source: Storage, target: Storage) -> None:
    """Copy all current files to another index, verified.

    Raises:
        DamagedError: A file is missing or not what was written.
    """
    files = load_record_list(source).files
    if files:
        contents = (RecordContent(name, read_listed_file(source, entry), entry.facts) for name, entry in files.items())
        replace_record_files(target, contents)


def _has_files(storage: Storage) -> bool:
    """Return whether the folder has a file that was published."""
    try:
        return any(not name.startswith(".") for name in storage.list(RECORDS_FOLDER))
    except FileNotFoundError:
        return False


def _delete_unlisted(storage: Storage, entries: Iterable[RecordFile]) -> None:
    """Delete what older versions and interrupted processes have left."""
    listed = {LIST_FILE, *(entry.file_name for entry in entries)}
    storage.delete(RECORDS_FOLDER, [name for name in storage.list(RECORDS_FOLDER) if name not in listed])


def _serialize_list(number: int, files: Mapping[str, RecordFile]) -> bytes:
    body = {
        "version": LIST_VERSION,
        "number": number,
        "files": {name: asdict(entry) for name, entry in files.items()},
    }
    return serialize_checked("records", body)
