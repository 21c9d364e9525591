"""Where a run is: a copy of its folder does not go on with it, since both would tell the same people.

The ledger knows the mark beside it; each worker leaves another when it comes and when it goes. So a copy is noticed,
and an older ledger beside a newer mark. A folder that was moved to another disk or machine is a copy, too: only the
user knows that nothing is left where it was.

Not to be seen from here: the image of a whole disk that runs a second time on another machine, and an older ledger that
is put back into its file after its process was killed, when it was copied while that very process was at work.
"""

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from audience.delivery.ledger.connection import LEDGER_FILE, Ledger, wal_path
from audience.delivery.ledger.folder_marker import FolderMarker, create_marker, list_marker_names, read_fingerprint
from audience.errors import DeliveryError, Problem


@dataclass(frozen=True, slots=True)
class RunLocation:
    """Where a run was left: at which *mark*, in which *folder* of which *host*, *since* seconds since 1970."""

    marker: FolderMarker
    folder: Path
    host: str
    recorded_at: float


def load_location(ledger: Ledger) -> RunLocation:
    """Where the run of *ledger* was left."""
    [(name, found, folder, host, since)] = ledger.execute("SELECT mark, trace, folder, host, since FROM place")
    return RunLocation(FolderMarker(name, found), Path(os.fsdecode(folder)), host, since)


def ensure_not_copy(ledger: Ledger) -> None:
    """Raise DeliveryError where the folder of *ledger* is a copy of the one where the run was left."""
    problem = copy_problem(ledger)
    if problem is not None:
        raise DeliveryError(problem)


def copy_problem(ledger: Ledger) -> Problem | None:
    """That the folder of *ledger* is a copy of the one where the run was left; None where it is that one."""
    left, here = load_location(ledger), ledger.path.parent
    if read_fingerprint(here / left.marker.name) == left.marker.fingerprint and not _is_elsewhere(ledger, left):
        return None
    when = datetime.fromtimestamp(left.recorded_at, UTC).isoformat(timespec="seconds")
    if _is_same_folder(left, here):
        message = f"{here}: its files were changed or put back since the run was left at {when}"
        hint = f"where none was put back (chmod and touch change them, too): audience resume {here} --moved"
        return Problem("copied-run", message, hint=hint)
    message = f"{here} is a copy: the run was left on {left.host} in {left.folder} at {when}"
    hint = (
        "go on there: a copy does not know who was told since. Where it was moved, and none is left there, "
        f"and nobody was told since: audience resume {here} --moved"
    )
    return Problem("copied-run", message, hint=hint)


def elsewhere_problem(ledger: Ledger) -> Problem | None:
    """That the run of *ledger* still stands where it was left, and that is not here; else None."""
    left, here = load_location(ledger), ledger.path.parent
    if not _is_elsewhere(ledger, left):
        return None
    hint = f"do it there; or, where this is the one to go on with, remove {left.folder} first"
    return Problem("copied-run", f"{here} is a copy: the run is still in {left.folder}", hint=hint)


def relocate_run(ledger: Ledger) -> None:
    """The user says that the run has moved to where *ledger* is, and that none is left where it was.

    Within a transaction. Raises DeliveryError where the run still is there, or where *ledger* has lost what was written
    last: it was copied while a process was at work, or without the files beside it.
    """
    left, here = load_location(ledger), ledger.path.parent
    if (problem := elsewhere_problem(ledger)) is not None:
        raise DeliveryError(problem)
    if (lost := _torn_copy_reason(ledger, left)) is not None:
        hint = (
            f"copy the whole folder while nobody is at work. Who was told is not known from this one for certain: "
            f"audience status {here} shows what it has; emit anew without those"
        )
        raise DeliveryError(Problem("torn-run", f"{here} is no whole copy: {lost}", hint=hint))
    renew_marker(ledger)


def renew_marker(ledger: Ledger) -> Path:
    """The run is here, from now on, at a new mark; the one before, to be removed once that is written.

    Within a transaction, which keeps all others from making marks. Raises DeliveryError where none can be made.
    """
    here, before = ledger.path.parent, load_location(ledger).marker.name
    try:
        for stale in list_marker_names(here) - {before}:  # of those who died between making it and writing so
            (here / stale).unlink(missing_ok=True)
        mark = create_marker(here, "sent")
    except OSError as error:
        raise DeliveryError(Problem("cannot-write", f"{here}: {error.strerror or error}")) from error
    values = (mark.name, mark.fingerprint, os.fsencode(here.resolve()), socket.gethostname(), time.time())
    ledger.execute("UPDATE place SET mark = ?, trace = ?, folder = ?, host = ?, since = ?", *values)
    return here / before


def leave_marker(ledger: Ledger) -> None:
    """A worker goes: what was copied while it was at work is older than what stays here.

    Where no mark can be made, the one that it made when it came stays.
    """
    with suppress(DeliveryError, OSError):
        with ledger.transaction():
            before = renew_marker(ledger)
        before.unlink(missing_ok=True)


def _is_same_folder(location: RunLocation, folder: Path) -> bool:
    """Whether the run was left in the folder *here*, by this name or another; linked files make none the same."""
    try:
        return location.folder.samefile(folder)
    except OSError:
        return False


def _is_elsewhere(ledger: Ledger, location: RunLocation) -> bool:
    """Whether the same run still stands where it was left, and that is not here by another name."""
    other = location.folder / LEDGER_FILE
    if _is_same_folder(location, ledger.path.parent):
        return False
    try:
        if not other.is_file():
            return False
        with Ledger(other, write=False) as found:
            return found.load_run().id == ledger.load_run().id
    except (OSError, DeliveryError):  # that is none of ours, or not for us to see
        return False


def _torn_copy_reason(ledger: Ledger, location: RunLocation) -> str | None:
    """What shows that *ledger* is not as its last process has left it; None where nothing does."""
    here = ledger.path.parent
    if not (here / location.marker.name).is_file():  # it has gone since: another worker came, or this was copied alone
        return f"{location.marker.name} is not there, which {LEDGER_FILE} was left with"
    if newer := sorted(
        list_marker_names(here) - {location.marker.name}
    ):  # of who wrote a later ledger, or died before he wrote
        return f"{newer[0]} is of a process that {LEDGER_FILE} knows nothing of"
    if ledger.execute("SELECT 1 FROM worker WHERE ended IS NULL") and not ledger.has_wal:
        return f"a process died at it, and {wal_path(ledger.path).name} is not there"
    [(verdict,), *_] = ledger.execute("PRAGMA integrity_check(1)")
    return None if verdict == "ok" else f"{LEDGER_FILE} is damaged: {verdict}"
