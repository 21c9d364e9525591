"""Retention of snapshots: which older ones are kept, and deletion of all files that no kept snapshot needs.

A writer that publishes a snapshot deletes the oldest ones when they are too many or their files take too much room, so
that an index that changes all day stays within a multiple of its size.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from audience.errors import InvalidIndexError
from audience.index.storage.layout import HISTORY_FOLDER, SHARDS_FOLDER, history_file
from audience.index.storage.manifest import Manifest, parse_manifest, publish_manifest, timestamp_now
from audience.index.storage.published import Storage

MAX_KEPT_SNAPSHOTS = 64
MAX_SURPLUS_SNAPSHOTS = 16  # so many more may be there before the oldest are deleted together
MIN_KEPT_SNAPSHOTS = 2  # the current one, and the one before the last change
MIN_OLD_BYTES = 1 << 19  # older snapshots may take so much even of a small index
NOTABLE_FRACTION = 64  # a change that replaces this part of an index is followed by a look at the room


def list_snapshot_numbers(storage: Storage, current: Manifest) -> list[int]:
    """Return the numbers of the kept snapshots; a file with a higher number than *current* was never published."""
    stems = [name.removesuffix(".json") for name in storage.list(HISTORY_FOLDER) if name.endswith(".json")]
    numbers = [int(stem) for stem in stems if stem.isdecimal()]
    return sorted(number for number in numbers if number <= current.number)


def expire_snapshots(storage: Storage, previous: Manifest, current: Manifest) -> None:
    """Delete the oldest snapshots if there are too many, or if their files take more room than the current one.

    Args:
        storage: Storage of the index, which the caller has locked.
        previous: Manifest that *current* has just replaced.
        current: Current manifest.
    """
    numbers = list_snapshot_numbers(storage, current)
    replaced_bytes = sum(_sizes_of(previous, current.file_names()).values())
    is_notable = replaced_bytes * NOTABLE_FRACTION > sum(current.file_sizes().values())
    if is_notable or len(numbers) > MAX_KEPT_SNAPSHOTS + MAX_SURPLUS_SNAPSHOTS:
        with suppress(InvalidIndexError):  # a damaged manifest is kept, for `check` and `history` to name it
            delete_snapshots(storage, _select_affordable(storage, current, numbers))


def _select_affordable(storage: Storage, current: Manifest, numbers: Sequence[int]) -> list[Manifest]:
    """Return the newest snapshots whose files, without those of *current*, take at most as much room as these."""
    budget = max(sum(current.file_sizes().values()), MIN_OLD_BYTES)
    needed, kept = current.file_names(), list[Manifest]()
    for number in reversed(numbers[-MAX_KEPT_SNAPSHOTS:]):
        content = storage.read(history_file(number))
        manifest = parse_manifest(storage, history_file(number), content)
        more = _sizes_of(manifest, needed)
        budget -= sum(more.values()) + len(content.data)
        if budget < 0 and len(kept) >= MIN_KEPT_SNAPSHOTS:
            break
        needed |= more.keys()
        kept.append(manifest)
    return kept


def _sizes_of(manifest: Manifest, without: Iterable[str]) -> dict[str, int]:
    """Return the sizes of the files of a snapshot that are not among *without*."""
    names = set(without)
    return {name: nbytes for name, nbytes in manifest.file_sizes().items() if name not in names}


def delete_snapshots(storage: Storage, kept: Sequence[Manifest]) -> list[str]:
    """Delete all snapshots but those *kept*, and all files that none of these needs. Return the names of the files."""
    history_files = {Path(history_file(manifest.number)).name for manifest in kept}
    deleted = _delete_other_files(storage, HISTORY_FOLDER, history_files)  # before the files that they name
    deleted += _delete_other_files(storage, SHARDS_FOLDER, {name for old in kept for name in old.file_names()})
    storage.delete_manifest_draft()
    return deleted


def _delete_other_files(storage: Storage, folder: str, kept_names: set[str]) -> list[str]:
    """Delete all files of *folder* but *kept_names*, durably. Return their names."""
    names = [name for name in storage.list(folder) if name not in kept_names]
    storage.delete(folder, names)
    return names


def publish_successor(storage: Storage, previous: Manifest, manifest: Manifest, description: str) -> Manifest:
    """Publish the content of *manifest* as the snapshot that follows *previous*, and let old snapshots expire.

    Numbers of devices that *previous* or an earlier snapshot has given are not given again, and no change of segments
    is lost.
    """
    successor = replace(
        manifest,
        number=previous.number + 1,
        created=timestamp_now(),
        description=description,
        next_number=max(manifest.next_number, previous.next_number),
        segment_changes=max(manifest.segment_changes, previous.segment_changes),
    )
    published = publish_manifest(storage, successor, previous)
    expire_snapshots(storage, previous, published)
    return published
