"""What is kept of an index: its history, older snapshots restored, copies, and files that nobody needs any more."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audience._fs.atomic import new_folder, sync
from audience.errors import IndexFolderError, Problem
from audience.index.storage.snapshot import (
    FOLDERS,
    HISTORY,
    MANIFEST,
    SHARDS,
    Manifest,
    Snapshot,
    current,
    opened,
    publish,
    publish_next,
    read,
)
from audience.index.storage.write_lock import writing


@dataclass(frozen=True, slots=True)
class Moment:
    """One snapshot of an index: its number, when and by what it was made, and its devices."""

    number: int
    made: str
    what: str
    devices: int


def history(folder: Path) -> list[Moment]:
    """The snapshots that are kept, the oldest first; the last one is current."""
    manifests = [_manifest(folder, number) for number in _numbers(folder, current(folder))]
    return [Moment(each.number, each.made, each.what, each.devices) for each in manifests]


def _numbers(folder: Path, last: Manifest) -> list[int]:
    """The numbers of the snapshots that are kept, up to *last*; one beyond it was never published."""
    numbers = [int(file.stem) for file in (folder / HISTORY).glob("*.json") if file.stem.isdecimal()]
    return sorted(number for number in numbers if number <= last.number)


def _manifest(folder: Path, number: int) -> Manifest:
    return read(folder / HISTORY / f"{number:08}.json")


def restore(folder: Path, number: int, wait: float) -> int:
    """Make the snapshot *number* current again, as a new one; the number of that."""
    with writing(folder, "restore", wait) as manifest:
        numbers = _numbers(folder, manifest)
        if number not in numbers:
            known = ", ".join(map(str, numbers))
            problem = Problem("no-snapshot", f"{folder} keeps no snapshot {number}", hint=f"it keeps {known}")
            raise IndexFolderError(problem)
        old = _manifest(folder, number)
        Snapshot(folder, old).check()
        return publish_next(folder, manifest, old, f"restore {number}: {old.what}")


def backup(folder: Path, to: Path) -> int:
    """Copy the current snapshot, and it alone, to the new folder *to*; the number of the snapshot.

    Writers may go on meanwhile. Raises DamagedError where what is to be copied is not what was written.
    """
    snapshot = opened(folder)
    with new_folder(to, marks=FOLDERS) as draft:
        for name in (SHARDS, HISTORY):
            (draft / name).mkdir()
        for name, data in snapshot.contents():
            (draft / SHARDS / name).write_bytes(data)
        publish(draft, snapshot.manifest)
    return snapshot.manifest.number


def vacuum(folder: Path, keep: int, wait: float) -> list[str]:
    """Forget all snapshots but the last *keep*, and remove the files that no other needs; their names."""
    if keep < 1:
        raise IndexFolderError(Problem("bad-option", f"{keep} snapshots cannot be kept", hint="keep 1 at least"))
    with writing(folder, "vacuum", wait) as manifest:
        kept = [_manifest(folder, number) for number in _numbers(folder, manifest)[-keep:]]
        names = {name for each in kept for name in each.files()}
        manifests = {f"{each.number:08}.json" for each in kept}
        gone = [*_removed(folder / HISTORY, manifests), *_removed(folder / SHARDS, names)]
        for draft in folder.glob(f".{MANIFEST}.draft"):
            draft.unlink()
        return gone


def _removed(folder: Path, kept: set[str]) -> Iterator[str]:
    """Remove all files of *folder* but those *kept*; what is left there is synced before anything else is removed."""
    for file in sorted(folder.iterdir()):
        if file.name not in kept:
            file.unlink()
            yield file.name
    sync(folder)
