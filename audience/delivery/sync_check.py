"""Second check of synced tags: a native request leaves only while the vendor has the tags that it was planned with.

A native request reaches the devices that have its tags when it is sent. The manifest names the sync that has set them.
The request leaves only if the keys are of that application and one of these holds:

    no sync of its tags has begun since       the vendor has what was planned, whatever the index has now
    a later sync has set the same tags        the snapshots have the same devices
    a later sync has changed other devices    each request has the same devices in both snapshots
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audience.delivery.clock import Clock
from audience.errors import DamagedError, DeliveryError, ExpressionError, InvalidIndexError, Problem
from audience.index.device_index import DeviceIndex
from audience.index.query.snapshot_diff import diff_snapshots
from audience.index.storage.kept_snapshots import open_kept_snapshot
from audience.index.storage.published import Storage, open_storage
from audience.language.as_of import read_as_of
from audience.language.parser import parse
from audience.planning.synced_tags import (
    STALE_AT_VENDOR,
    describe_open_sync,
    find_ended_sync,
    format_timestamp,
    is_being_synced,
)
from audience.requests.emitted_syncs import EmittedSync, SyncedRequests
from audience.tag_sync.desired import digest_devices
from audience.tag_sync.state import Application, AttributeSync, StateFacts
from audience.tag_sync.storage import list_states

OTHER_APPLICATION = "other-application"
EMIT_AGAIN = "run `audience emit` again: the plan sends ids then, or rests on the tags of now"


@dataclass(frozen=True, slots=True)
class SyncCheck:
    """Check of the native requests of one run.

    Attributes:
        requests: What they rest on.
        syncs: Syncs of the application of the run.
        application: The application.
        index: Path of the index with the states of its syncs.
        clock: Clock of the run.
    """

    requests: SyncedRequests
    syncs: tuple[EmittedSync, ...]
    application: Application
    index: str
    clock: Clock
    _proved: set[str] = field(default_factory=set, init=False, repr=False, compare=False)  # checksums of states

    def find_problem(self) -> Problem | None:
        """Return why a native request must not leave now, or None.

        Raises:
            DamagedError: A file of the index is not what was written.
        """
        try:
            return self._compare_states()
        except DamagedError:
            raise
        except InvalidIndexError as error:
            return _unknown_state(error.problems[0].message)

    def _compare_states(self) -> Problem | None:
        storage = _open_states(self.index)
        facts = _find_facts(storage, self.application)
        if facts is None:
            return _stale(self.syncs[0], f"{self.index} knows of no sync at {self.application.host} any more")
        latest = [find_ended_sync(facts, sync.group) for sync in self.syncs]
        for planned, ended in zip(self.syncs, latest, strict=True):
            if reason := _find_open_sync(facts, planned, ended, self.clock.wall()):
                return _stale(planned, reason)
        ended_syncs = [ended for ended in latest if ended is not None]
        if facts.checksum not in self._proved and (reason := self._find_change(ended_syncs)):
            return _stale(self.syncs[0], reason)
        self._proved.add(facts.checksum)
        return None

    def _find_change(self, latest: Sequence[AttributeSync]) -> str | None:
        """Return how the audience of a request may have changed by later syncs, or None."""
        for planned, ended in zip(self.syncs, latest, strict=True):
            if ended.named.naming != planned.naming:
                return f"a sync has given {planned.group} other names"
        if all(
            ended.devices_digest == planned.devices_digest for planned, ended in zip(self.syncs, latest, strict=True)
        ):
            return None
        ended_at = format_timestamp(max(ended.ended_at for ended in latest))
        moved = f"it was synced again at {ended_at}"
        if len({ended.devices_digest for ended in latest}) > 1:
            return f"{moved}, and not all tags of the request to one snapshot"
        try:
            changed = self._count_changed(latest[0])
        except (InvalidIndexError, ExpressionError) as error:
            return f"{moved}, and whether it has changed the audience is not known: {error.problems[0].message}"
        return f"{moved}, and {changed:,} devices of the audience changed" if changed else None

    def _count_changed(self, latest: AttributeSync) -> int:
        """Return how many devices came or went between the snapshots of the plan and of the *latest* sync.

        Raises:
            InvalidIndexError: A snapshot is not kept, or another index is in its place.
        """
        requests = self.requests
        snapshot = DeviceIndex.open(self.index).snapshot
        asked = read_as_of(requests.as_of, requests.timezone, snapshot.timezone, allow_gaps=requests.allow_gaps)
        for number, digest in (
            (requests.snapshot, requests.devices_digest),
            (latest.snapshot, latest.devices_digest),
        ):
            if digest_devices(open_kept_snapshot(snapshot, number).manifest) != digest:
                message = f"snapshot {number} of {self.index} has other devices"
                raise InvalidIndexError(Problem("no-snapshot", message))
        diffs = [
            diff_snapshots(parse(expr, folder=None), snapshot, requests.snapshot, latest.snapshot, asked)
            for expr in requests.exprs
        ]
        return sum(len(diff.came) + len(diff.went) for diff in diffs)


def start_sync_check(requests: SyncedRequests, application: Application, index: Path | None, clock: Clock) -> SyncCheck:
    """Return the check of native requests that rest on syncs.

    Args:
        requests: What they rest on.
        application: Application of the credentials.
        index: Path of the index, if it is no longer where the requests were emitted from.
        clock: Clock of the run.

    Raises:
        DeliveryError: The keys are of another application, or it is not known where the index is.
    """
    groups = {sync.group for sync in requests.syncs}
    syncs = tuple(sync for sync in requests.syncs if sync.application == application.digest)
    if {sync.group for sync in syncs} != groups:
        raise DeliveryError(_other_application(requests, application))
    path = requests.index if index is None else str(index)
    if path is None:
        raise DeliveryError(_unknown_state("the manifest has no path of an index"))
    return SyncCheck(requests, syncs, application, path, clock)


def require_fresh(check: SyncCheck | None) -> None:
    """Raise DeliveryError if a native request must not leave now."""
    problem = None if check is None else check.find_problem()
    if problem is not None:
        raise DeliveryError(problem)


def _open_states(path: str) -> Storage:
    """Open the storage of the index at *path*. Raises InvalidIndexError if there is none."""
    storage = open_storage(path)
    if not storage.exists():
        hint = "if the index was moved, pass --index PATH"
        raise InvalidIndexError(Problem("no-index", f"the index {path} does not exist", hint=hint))
    return storage


def _find_facts(storage: Storage, application: Application) -> StateFacts | None:
    states = (facts for facts in list_states(storage) if facts.application.digest == application.digest)
    return next(states, None)


def _find_open_sync(facts: StateFacts, planned: EmittedSync, ended: AttributeSync | None, now: float) -> str | None:
    """Return why the vendor may have tags of two snapshots, or None."""
    if is_being_synced(facts, planned.group):
        return describe_open_sync(facts)
    if ended is None:
        return "its sync was forgotten"
    if ended.effective_at > now:
        return f"pushes may follow older tags until {format_timestamp(ended.effective_at)}"
    return None


def _stale(planned: EmittedSync, reason: str) -> Problem:
    message = f"the vendor may not have {planned.group} as it was planned: {reason}"
    return Problem(STALE_AT_VENDOR, message, hint=EMIT_AGAIN)


def _other_application(requests: SyncedRequests, application: Application) -> Problem:
    hosts = ", ".join(sorted({sync.host for sync in requests.syncs}))
    names = ", ".join(dict.fromkeys(str(sync.group) for sync in requests.syncs))
    message = (
        f"the native requests rest on {names}, synced for an application at {hosts}; "
        f"the keys are of another one, at {application.host}"
    )
    hint = "send with the keys of that application; or run `audience sync` for this one, and emit again"
    return Problem(OTHER_APPLICATION, message, hint=hint)


def _unknown_state(reason: str) -> Problem:
    message = f"whether the vendor still has the synced tags is not known: {reason}"
    return Problem("no-sync-state", message, hint="name the index with --index PATH; or emit with --by-ids")
