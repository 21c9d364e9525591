"""Indexes that the service answers from, each at its current snapshot."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from types import MappingProxyType

from audience.errors import AudienceError, InvalidIndexError, Problem, ServiceError
from audience.index.device_index import DeviceIndex
from audience.index.storage.layout import history_file
from audience.index.storage.manifest import read_manifest
from audience.index.storage.snapshot import Snapshot, open_snapshot
from audience.language.suggest import did_you_mean
from audience.server.problems import HttpError

POLL_SECONDS = 0.5
INDEX_SUFFIX = ".index"
MAX_EARLIER = 8  # snapshots that stay open for callers that go on with an earlier one
logger = logging.getLogger("audience.server")


class ServedIndexes:
    """Indexes by name. A thread looks for newer snapshots.

    A snapshot is replaced by another one, as a new `DeviceIndex`; one that is in use never moves. An index that is
    damaged or gone is answered from the snapshot that is open, and its problem is kept for `problems`.

    >>> import polars, tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "devices.index"
    >>> index = DeviceIndex.build(polars.DataFrame({"token": ["t1"], "tags": [["male"]]}), folder)
    >>> served = ServedIndexes.open({"devices": folder})
    >>> index.save_segment("men", "male")
    >>> served.refresh("devices").snapshot.manifest.number, served.problems
    (2, {})
    """

    def __init__(self, indexes: Mapping[str, DeviceIndex]):
        self._current: Mapping[str, DeviceIndex] = MappingProxyType(dict(indexes))
        self._problems: dict[str, Problem] = {}
        self._earlier: dict[tuple[str, int, str], DeviceIndex] = {}
        self._lock = Lock()
        self._stop = Event()
        self._watcher: Thread | None = None

    @classmethod
    def open(cls, folders: Mapping[str, Path]) -> "ServedIndexes":
        """Open the indexes in *folders*, by name. Raises InvalidIndexError if one cannot be opened."""
        return cls({name: DeviceIndex.open(folder) for name, folder in folders.items()})

    @property
    def current(self) -> Mapping[str, DeviceIndex]:
        """Return the indexes by name, each at its current snapshot. The mapping never changes."""
        return self._current

    @property
    def problems(self) -> dict[str, Problem]:
        """Return what keeps an index from moving to its current snapshot, by its name."""
        return dict(self._problems)

    def refresh(self, name: str) -> DeviceIndex:
        """Look for a newer snapshot of an index at once, and return the index at its current one."""
        with self._lock:
            served = self._current[name]
            try:
                snapshot = open_snapshot(
                    served.snapshot.storage,
                    served.snapshot,
                    cache_bytes=served.snapshot.cache.max_bytes,
                    threads=served.snapshot.threads,
                )
            except AudienceError as error:
                self._keep_problem(name, error.problems[0])
                return served
            if self._problems.pop(name, None):
                logger.info("index %s can be read again", name)
            if snapshot is not served.snapshot:
                self._replace(name, DeviceIndex(snapshot))
            return self._current[name]

    def at_snapshot(self, name: str, number: int, checksum: str) -> DeviceIndex:
        """Return an index at the snapshot with this number and checksum.

        Raises:
            HttpError: The index keeps it no longer, or was built again.
        """
        index = self._current[name]
        if _is_snapshot(index, number, checksum):
            return index
        index = self._earlier.get((name, number, checksum)) or self.refresh(name)
        return index if _is_snapshot(index, number, checksum) else self._reopen(name, number, checksum)

    def watch(self, *others: Callable[[], None]) -> None:
        """Start the thread that looks for newer snapshots, and that calls *others* as often."""
        self._stop.clear()
        self._watcher = Thread(target=self._poll, args=(others,), name="audience-snapshots", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()

    def _poll(self, others: Sequence[Callable[[], None]]) -> None:
        while not self._stop.wait(POLL_SECONDS):
            for refresh in others:
                refresh()
            for name in self._current:
                self._refresh_safely(name)

    def _refresh_safely(self, name: str) -> None:
        """Refresh an index; whatever fails, the thread goes on and the index is answered as it is."""
        try:
            self.refresh(name)
        except Exception as error:  # noqa: BLE001 the thread must live, and the problem is shown
            self._keep_problem(name, Problem("unreadable", f"{name}: {type(error).__name__}: {error}"))

    def _keep_problem(self, name: str, problem: Problem) -> None:
        if self._problems.get(name) != problem:
            number = self._current[name].snapshot.manifest.number
            logger.error("index %s is answered from snapshot %d: %s", name, number, problem.message)
        self._problems[name] = problem

    def _replace(self, name: str, index: DeviceIndex) -> None:
        former = self._current[name]
        self._keep_earlier(name, former)
        self._current = MappingProxyType({**self._current, name: index})
        logger.info("index %s: snapshot %d", name, index.snapshot.manifest.number)

    def _keep_earlier(self, name: str, index: DeviceIndex) -> None:
        manifest = index.snapshot.manifest
        self._earlier[name, manifest.number, manifest.checksum] = index
        while len(self._earlier) > MAX_EARLIER:
            del self._earlier[next(iter(self._earlier))]

    def _reopen(self, name: str, number: int, checksum: str) -> DeviceIndex:
        current = self._current[name].snapshot
        try:
            manifest = read_manifest(current.storage, history_file(number))
            snapshot = Snapshot(current.storage, manifest, current, threads=current.threads)
        except InvalidIndexError:
            snapshot = current
        index = DeviceIndex(snapshot)
        if not _is_snapshot(index, number, checksum):
            message = f"snapshot {number} of {name} is no longer kept; the current one is {current.manifest.number}"
            raise HttpError(410, Problem("snapshot-gone", message, hint="ask again without the cursor"))
        with self._lock:
            self._keep_earlier(name, index)
        return index


def name_indexes(folders: list[Path]) -> dict[str, Path]:
    """Return the folders of indexes by name: that of the folder, without `.index`.

    Raises:
        ServiceError: Two indexes have one name, or one has none.

    >>> name_indexes([Path("data/devices.index")])
    {'devices': PosixPath('data/devices.index')}
    """
    named: dict[str, Path] = {}
    for folder in folders:
        name = folder.absolute().name.removesuffix(INDEX_SUFFIX) or folder.absolute().resolve().name
        if not name:
            hint = "name the folder of an index"
            raise ServiceError(Problem("no-index-name", f"{folder} has no name to serve the index under", hint=hint))
        if name in named:
            message = f"two indexes would have the name {name!r}: {named[name]} and {folder}"
            raise ServiceError(Problem("same-index-name", message, hint="rename one of the folders"))
        named[name] = folder
    return named


def find_index(name: str, indexes: Mapping[str, DeviceIndex]) -> DeviceIndex:
    """Return the index with this name. Raises HttpError if there is none."""
    if name not in indexes:
        hint = did_you_mean(name, indexes) or f"there is {', '.join(indexes)}"
        raise HttpError(404, Problem("unknown-index", f"there is no index {name!r:.80}", hint=hint))
    return indexes[name]


def _is_snapshot(index: DeviceIndex, number: int, checksum: str) -> bool:
    manifest = index.snapshot.manifest
    return manifest.number == number and manifest.checksum == checksum
