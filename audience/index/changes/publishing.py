"""Publish an index in an object store, copy one from there, and delete what no kept snapshot needs.

A publisher writes new objects, none of which replaces another, and then replaces the head if it is still the one that
it has read. Of two publishers at once one is refused, and what the other has published stays.

A publisher takes over only objects that the head names which it replaces; it writes all others again. So whoever
deletes objects needs no lock: an object that no kept snapshot names, and that is older than any publication that may
still be under way, is used by nobody.
"""

import errno
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from audience._fs.atomic import atomic_write
from audience._fs.checksums import hash128
from audience.errors import LockedError, OutputError, Problem
from audience.index.changes.maintenance import backup_snapshot, require_kept
from audience.index.ingest.shared.staged_build import StagedBuild
from audience.index.ingest.table_reading import TableReading
from audience.index.records.record_files import LIST_FILE, load_record_list, read_listed_file
from audience.index.storage.layout import (
    MANIFEST_FILE,
    PUBLISHED_FILE,
    RECORDS_FOLDER,
    SHARDS_FOLDER,
    history_file,
    record_file,
    shard_file,
)
from audience.index.storage.manifest import (
    Manifest,
    missing_index_error,
    parse_manifest,
    read_manifest,
    serialize_manifest,
)
from audience.index.storage.object_client import ObjectClient
from audience.index.storage.object_head import (
    DRAFT_OBJECTS,
    HEAD_FILE,
    HISTORY_OBJECTS,
    OPENING_OBJECTS,
    Head,
    KeptSnapshot,
    PushResult,
    history_key,
    opening_key,
    record_key,
    serialize_head,
    shard_key,
)
from audience.index.storage.object_storage import ObjectStorage, open_object_storage
from audience.index.storage.opening import join_opening_blocks
from audience.index.storage.published import LocalStorage, VersionedBytes, wrap_os_errors
from audience.index.storage.retention import MAX_KEPT_SNAPSHOTS, list_snapshot_numbers
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot, open_snapshot
from audience.index.storage.staged_storage import StagedStorage
from audience.progress import Progress

PROBE_FILE = "probe"
# Keys of an index, but the head; those of another one that is published below it have more parts, or other ones.
OWN_KEY_PATTERN = re.compile(
    rf"(?:{SHARDS_FOLDER}|{RECORDS_FOLDER})/[0-9a-f]{{32}}/[^/]+|{HISTORY_OBJECTS}/[0-9a-f]{{32}}\.json"
    rf"|{OPENING_OBJECTS}/[0-9a-f]{{32}}|{DRAFT_OBJECTS}/[0-9a-f]{{16}}/[^/]+"
)
MIN_AGE = timedelta(days=1)  # of an object that may be deleted; no publication takes so long


@dataclass(frozen=True, slots=True)
class PublishedHead:
    """Head that a publisher has read: what it is, its etag, and the manifest in it."""

    head: Head
    etag: str
    manifest: Manifest


def load_published(storage: ObjectStorage) -> PublishedHead | None:
    """Return what is published, or None.

    Raises:
        InvalidIndexError: The store cannot be read, or another version has written the index.
        DamagedError: The head is not what was written.
    """
    with wrap_os_errors(storage.location):
        try:
            head, etag = storage.load_head()
        except FileNotFoundError:
            return None
    manifest = parse_manifest(storage, MANIFEST_FILE, VersionedBytes(head.manifest.encode(), etag))
    return PublishedHead(head, etag, manifest)


def push_index(folder: Path, url: str | Path, *, may_replace: bool, progress: Progress) -> PushResult:
    """Publish the current snapshot of the index in *folder*, and its records, at *url*.

    Raises:
        LockedError: What is published was not pushed from this folder or pulled to it, or another publisher came first.
        DamagedError: A file of the index is not what was written.
        OutputError: The store refuses the objects, or has no conditional puts.
    """
    remote, local = open_object_storage(url), LocalStorage(folder)
    snapshot = open_snapshot(local)
    before = load_published(remote)
    if before is not None and not may_replace:
        _require_successor(local, snapshot.manifest, before.manifest, remote.location)
    return publish_snapshot(snapshot, remote, before, progress)


def publish_snapshot(
    snapshot: Snapshot, remote: ObjectStorage, before: PublishedHead | None, progress: Progress
) -> PushResult:
    """Publish *snapshot* and the records of its index in place of *before*.

    Raises:
        LockedError: Another publisher came first.
        DamagedError: A file of the index is not what was written.
        OutputError: The store refuses the objects, or has no conditional puts.
    """
    local = snapshot.storage
    assert isinstance(local, LocalStorage)
    number = snapshot.manifest.number if before is None else max(snapshot.manifest.number, before.head.number + 1)
    manifest = replace(snapshot.manifest, number=number)
    records = _read_record_list(local)
    devices = snapshot.device_count
    if before is not None and _is_same(manifest, before.manifest) and records == before.head.records:
        _record_publication(local, remote.location, before.manifest)
        return PushResult(remote.location, before.head.number, devices, 0, 0)
    data = serialize_manifest(manifest)
    with wrap_store_errors(remote):
        _require_conditional_puts(remote.client)
        known = {} if before is None else before.manifest.file_versions()
        files, nbytes, opening = _put_files(snapshot, manifest, remote.client, known, progress)
        _put_records(local, remote.client)
        remote.client.put(history_key(hash128(data)), data)
        kept = () if before is None else before.head.history
        history = (*kept, KeptSnapshot(number, hash128(data)))[-MAX_KEPT_SNAPSHOTS:]
        head = Head(data.decode(), records, history, opening, secrets.token_hex(8))
        _replace_head(remote, head, None if before is None else before.etag)
    _record_publication(local, remote.location, manifest)
    return PushResult(remote.location, number, devices, files, nbytes)


def _require_successor(local: LocalStorage, current: Manifest, published: Manifest, url: str) -> None:
    """Raise LockedError unless the index has gone on from what is *published*."""
    numbers = list_snapshot_numbers(local, current)
    if any(_is_same(read_manifest(local, history_file(number)), published) for number in numbers):
        return
    if _read_publications(local).get(url) == published.checksum:
        return
    message = f"{url} has snapshot {published.number}, which this index does not come from"
    hint = "pull it and change that copy; or publish this index in its place: --replace"
    raise LockedError(Problem("other-publication", message, hint=hint))


def _is_same(manifest: Manifest, other: Manifest) -> bool:
    """Return whether two manifests are the same but for their numbers, which a push may raise."""
    return replace(manifest, number=0) == replace(other, number=0)


def _read_record_list(local: LocalStorage) -> str | None:
    try:
        return local.read(record_file(LIST_FILE)).data.decode()
    except FileNotFoundError:
        return None


def _put_files(
    snapshot: Snapshot, manifest: Manifest, client: ObjectClient, known: Mapping[str, str], progress: Progress
) -> tuple[int, int, str]:
    """Write the files of a snapshot that the store does not have, each verified.

    Return their number, their size, and the checksum of the object with the first blocks.
    """
    versions, sizes = manifest.file_versions(), manifest.file_sizes()
    staged = _find_staged(snapshot)
    data_of, done, count = dict[str, memoryview](), 0, 0
    total = sum(sizes.values()) - sum(sum(shard.files.file_sizes.values()) for shard in staged.values())
    for name, data in snapshot.iter_files(without={shard.name for shard in staged.values()}):
        data_of[name] = data
        if known.get(name) != versions[name]:
            client.put(shard_key(name, versions[name]), data)
            count, done = count + 1, done + len(data)
        progress("writing objects", done, total)

    def read(name: str, start: int, stop: int) -> memoryview:
        return staged[name].read_bytes(name, start, stop) if name in staged else data_of[name][start:stop]

    _require_stored(client, staged.values())
    opening = join_opening_blocks(manifest.shards, read)
    client.put(opening_key(hash128(opening)), opening)
    return count, done, hash128(opening)


def _find_staged(snapshot: Snapshot) -> dict[str, Shard]:
    """Return the shards that workers have put to the store already, by the names of their files."""
    storage = snapshot.storage
    if not isinstance(storage, StagedStorage):
        return {}
    staged = [shard for shard in snapshot.shards if not storage.has_file(shard_file(shard.files.file_names()[0]))]
    return {name: shard for shard in staged for name in shard.files.file_names()}


def _require_stored(client: ObjectClient, staged: Collection[Shard]) -> None:
    """Raise OutputError if an object of a shard is gone, which a vacuum does if its build takes longer than a day."""
    stored = {each.key: each.nbytes for each in client.list(SHARDS_FOLDER)} if staged else {}
    for shard in staged:
        files = shard.files
        for kind, nbytes in files.file_sizes.items():
            key = shard_key(files.file_name(kind), files.checksum)
            if stored.get(key) != nbytes:
                message = f"{client.path_of(key)} is not there any more"
                hint = "start the build again: it goes on from the shards that are there"
                raise OutputError(Problem("cannot-write", message, hint=hint))


def _put_records(local: LocalStorage, client: ObjectClient) -> None:
    for entry in load_record_list(local).files.values():
        client.put(record_key(entry.file_name, entry.checksum), read_listed_file(local, entry))


def _require_conditional_puts(client: ObjectClient) -> None:
    """Raise OutputError if the store ignores conditions: two publishers would overwrite each other."""
    client.put(PROBE_FILE, b"1")
    for expected in (None, '"0123456789abcdef0123456789abcdef"'):
        try:
            client.swap(PROBE_FILE, b"2", expected)
        except FileExistsError:
            continue
        message = f"{client.url}: the store ignores the conditions of a put, so publishers would overwrite each other"
        hint = "use a store with conditional puts, such as S3, GCS, Azure or MinIO"
        raise OutputError(Problem("no-conditional-put", message, hint=hint))


def _replace_head(remote: ObjectStorage, head: Head, expected: str | None) -> None:
    """Replace the head. Raises LockedError if it is no longer the expected one."""
    data = serialize_head(head)
    try:
        remote.client.swap(HEAD_FILE, data, expected)
    except OSError as error:
        if _is_head(remote, head):  # the put was repeated after its reply was lost
            return
        if not isinstance(error, FileExistsError):
            raise
        message = f"{remote.location}: another publisher came first, and what it has published stays"
        hint = "nothing was lost; pull what is published, change it, and push again"
        raise LockedError(Problem("publish-conflict", message, hint=hint)) from None


def _is_head(remote: ObjectStorage, head: Head) -> bool:
    with suppress(OSError):
        return remote.load_head()[0] == head
    return False


def _record_publication(local: LocalStorage, url: str, published: Manifest) -> None:
    """Note in the folder that what is published comes from it, or it from that: the next push goes on from there."""
    publications = {**_read_publications(local), url: published.checksum}
    atomic_write(local.folder / PUBLISHED_FILE, orjson.dumps(publications, option=orjson.OPT_INDENT_2))


def _read_publications(local: LocalStorage) -> dict[str, str]:
    try:
        publications = orjson.loads((local.folder / PUBLISHED_FILE).read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return publications if isinstance(publications, dict) else {}


def pull_index(url: str | Path, folder: Path) -> int:
    """Copy the current snapshot and the records of a published index to the new *folder*, verified.

    Return the number of the snapshot.

    Raises:
        InvalidIndexError: Nothing is published there.
        DamagedError: A file is not what was written.
        OutputError: *folder* exists or cannot be written.
    """
    remote = open_object_storage(url)
    number = backup_snapshot(remote, folder)
    local = LocalStorage(folder)
    manifest = open_snapshot(local).manifest
    _record_publication(local, remote.location, manifest)
    return number


def build_published(
    url: str | Path,
    build: Callable[[Path, bool, StagedBuild | None], TableReading],
    *,
    may_replace: bool,
    is_staged: bool,
    progress: Progress,
) -> TableReading:
    """Build an index in a temporary folder and publish it at *url*. Return how its table was read.

    Args:
        url: Place of the index.
        build: Builds the index in a folder; in place of the one there, if its second argument is true. With a third
            one, the processes of a cluster put its shards to the store.
        may_replace: Replace what is published; its segments, events and records stay, as in a folder.
        is_staged: Whether processes that do not see the folder write the shards.
        progress: Progress callback.

    Raises:
        OutputError: There is an index, and it may not be replaced; or the store refuses the objects.
        LockedError: Another publisher came first.
    """
    remote = open_object_storage(url)
    before = load_published(remote)
    if before is not None and not may_replace:
        raise OutputError(Problem("exists", f"{remote.location} already exists", hint="replace it with --replace"))
    staged = StagedBuild(remote) if is_staged else None
    with TemporaryDirectory(prefix="audience-") as scratch:
        folder = Path(scratch) / "devices.index"
        if before is not None:
            backup_snapshot(remote, folder)
        reading = build(folder, before is not None, staged)
        storage = LocalStorage(folder) if staged is None else StagedStorage(folder, remote)
        publish_snapshot(open_snapshot(storage), remote, before, progress)
    if staged is not None:
        staged.remove_drafts()
    return reading


def vacuum_published(url: str, keep: int) -> list[str]:
    """Keep the last *keep* snapshots, and delete the objects that none of them needs. Return the keys of these.

    Objects of the last day stay: they may belong to a publication that is under way.

    Raises:
        LockedError: A publisher came first.
    """
    require_kept(keep)
    remote = open_object_storage(url)
    before = load_published(remote)
    if before is None:
        raise missing_index_error(remote)
    head = replace(before.head, history=before.head.history[-keep:], publication=secrets.token_hex(8))
    with wrap_store_errors(remote):
        _replace_head(remote, head, before.etag)
        objects = list(remote.client.list())
        now = next((each.modified for each in objects if each.key == HEAD_FILE), None)  # by the clock of the store
        needed = _list_needed(remote, head, before.manifest)
        unneeded = [
            each.key
            for each in objects
            if OWN_KEY_PATTERN.fullmatch(each.key)
            and each.key not in needed
            and now is not None
            and now - each.modified > MIN_AGE
        ]
        remote.client.delete(unneeded)
    return unneeded


def _list_needed(remote: ObjectStorage, head: Head, current: Manifest) -> set[str]:
    """Return the keys of all objects that the kept snapshots need."""
    manifests = [current]
    manifests += [read_manifest(remote, history_file(kept.number)) for kept in head.history[:-1]]
    needed = {shard_key(*file) for manifest in manifests for file in manifest.file_versions().items()}
    records = load_record_list(remote).files.values()
    needed |= {record_key(entry.file_name, entry.checksum) for entry in records}
    return needed | {history_key(kept.checksum) for kept in head.history} | {opening_key(head.opening)}


@contextmanager
def wrap_store_errors(remote: ObjectStorage) -> Iterator[None]:
    """Raise OutputError for errors of the store, which FileNotFoundError is not."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        place = remote.location if error.errno == errno.ENXIO else error.filename or remote.location
        raise OutputError(Problem("cannot-write", f"{place}: {error.strerror or error}")) from error
