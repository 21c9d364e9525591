"""Detection of copied runs: both copies would message the same devices, so only the original is resumed.

The ledger records a marker file beside it, and every worker replaces the marker when it starts and when it ends. A
copied folder has other fingerprints, and an older ledger does not match a newer marker. A folder that was moved to
another disk or machine is a copy too: only the user knows that no other copy exists.

Two cases are not detected: a cloned disk image that runs on another machine; and an older ledger that is written over
the current one after its process was killed, if it was copied while that same process was running.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from audience.delivery.ledger.commit_count import is_behind
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger
from audience.delivery.ledger.folder_marker import (
    FolderMarker,
    create_marker,
    list_marker_names,
    location_values,
    read_fingerprint,
)
from audience.delivery.sqlite_file import wal_path
from audience.errors import DeliveryError, Problem


@dataclass(frozen=True, slots=True)
class RunLocation:
    """Folder and host where a worker last left a run, with its marker; *recorded_at* is a Unix timestamp."""

    marker: FolderMarker
    folder: Path
    host: str
    recorded_at: float


def load_location(ledger: Ledger) -> RunLocation:
    """Load the location that *ledger* records for its run."""
    [(name, fingerprint, folder, host, recorded_at)] = ledger.query("load_location")
    return RunLocation(FolderMarker(name, fingerprint), Path(os.fsdecode(folder)), host, recorded_at)


def ensure_not_copy(ledger: Ledger) -> None:
    """Raise DeliveryError if the folder of *ledger* is a copy."""
    if (problem := copy_problem(ledger)) is not None:
        raise DeliveryError(problem)


def copy_problem(ledger: Ledger) -> Problem | None:
    """Return a problem if the folder of *ledger* is a copy of the recorded one, else None."""
    location, folder = load_location(ledger), ledger.path.parent
    fingerprint = read_fingerprint(folder / location.marker.name)
    if fingerprint == location.marker.fingerprint and not _is_elsewhere(ledger, location):
        return None
    recorded = datetime.fromtimestamp(location.recorded_at, UTC).isoformat(timespec="seconds")
    if _is_same_folder(location, folder):
        message = f"{folder}: its files were changed or restored since the run was left at {recorded}"
        hint = (
            f"if no file was restored (chmod and touch change files too), run `audience resume {folder} --moved`; "
            "a restored ledger does not know what was sent since"
        )
        return Problem("copied-run", message, hint=hint)
    message = f"{folder} is a copy: the run was left on {location.host} in {location.folder} at {recorded}"
    hint = (
        "resume the original: a copy does not know what was sent since. If you moved the folder, no other copy exists, "
        f"and nothing was sent since, run `audience resume {folder} --moved`"
    )
    return Problem("copied-run", message, hint=hint)


def elsewhere_problem(ledger: Ledger) -> Problem | None:
    """Return a problem if the run of *ledger* still exists in another folder, else None."""
    location, folder = load_location(ledger), ledger.path.parent
    if not _is_elsewhere(ledger, location):
        return None
    hint = f"use {location.folder}; or, to continue with this copy, remove {location.folder} first"
    return Problem("copied-run", f"{folder} is a copy: the run is still in {location.folder}", hint=hint)


def relocate_run(ledger: Ledger) -> None:
    """Record that the run has moved to the folder of *ledger*, on the user's word. Call it within a transaction.

    Raises DeliveryError as `require_movable` does.
    """
    require_movable(ledger)
    renew_marker(ledger)


def require_movable(ledger: Ledger) -> None:
    """Raise DeliveryError if the run of *ledger* cannot be continued in its folder, even on the user's word.

    It still exists in the recorded folder then, or the copy is incomplete: it was made while a process was working, or
    without the files beside the ledger.
    """
    location, folder = load_location(ledger), ledger.path.parent
    if (problem := elsewhere_problem(ledger)) is not None:
        raise DeliveryError(problem)
    if (reason := _torn_copy_reason(ledger, location)) is not None:
        hint = (
            "copy the whole folder again while no worker is running. If that is impossible: this ledger may miss calls "
            f"that were made, so list its batches with `audience status {folder}` and emit again without those devices"
        )
        raise DeliveryError(Problem("torn-run", f"{folder} is an incomplete copy: {reason}", hint=hint))


def renew_marker(ledger: Ledger) -> Path:
    """Record the folder of *ledger* with a new marker; return the old marker, to be removed after the commit.

    Call it within a transaction, which keeps other workers from renewing the marker at the same time. Raises
    DeliveryError if the marker cannot be created.
    """
    folder, old_name = ledger.path.parent, load_location(ledger).marker.name
    try:
        for stale in list_marker_names(folder) - {old_name}:  # their process died before it recorded them
            (folder / stale).unlink(missing_ok=True)
        marker = create_marker(folder, "sent")
    except OSError as error:
        raise DeliveryError(Problem("cannot-write", f"{folder}: {error.strerror or error}")) from error
    ledger.query("update_location", **location_values(folder, marker, ledger.clock.wall()))
    return folder / old_name


def leave_marker(ledger: Ledger) -> None:
    """Renew the marker as a worker ends, so that any copy made while it worked is older than this folder.

    If no marker can be created, the one of the worker's start stays.
    """
    with suppress(DeliveryError, OSError):
        with ledger.transaction():
            old_marker = renew_marker(ledger)
        old_marker.unlink(missing_ok=True)


def _is_same_folder(location: RunLocation, folder: Path) -> bool:
    """Return whether *folder* is the recorded one, maybe under another name; a folder of hard links is not."""
    try:
        return location.folder.samefile(folder)
    except OSError:
        return False


def _is_elsewhere(ledger: Ledger, location: RunLocation) -> bool:
    """Return whether the recorded folder is another one that still has this run."""
    recorded_ledger = location.folder / LEDGER_FILE
    if _is_same_folder(location, ledger.path.parent):
        return False
    try:
        if not recorded_ledger.is_file():
            return False
        with Ledger(recorded_ledger, write=False) as recorded:
            return recorded.load_run().id == ledger.load_run().id
    except (OSError, DeliveryError):  # not a ledger, or not readable by this user
        return False


def _torn_copy_reason(ledger: Ledger, location: RunLocation) -> str | None:
    """Return why *ledger* is not in the state that its last process left, or None."""
    folder = ledger.path.parent
    if not (folder / location.marker.name).is_file():  # a later worker removed it, or only the ledger was copied
        return f"{location.marker.name}, which {LEDGER_FILE} records, is missing"
    newer = sorted(list_marker_names(folder) - {location.marker.name})
    if newer:  # a later ledger recorded it, or its process died before it could
        return f"{newer[0]} belongs to a process that {LEDGER_FILE} does not list"
    for name, commits in ledger.query("list_unended_commits"):
        if is_behind(commits, folder / name, has_log=ledger.has_wal):
            return (
                f"a worker died, and {wal_path(ledger.path).name}, which had its last writes, is missing or incomplete"
            )
    [(verdict,), *_] = ledger.query("check_integrity")
    return None if verdict == "ok" else f"{LEDGER_FILE} is damaged: {verdict}"
