"""Consolidation: what the ledger of a sync has recorded is applied to the state of its application.

Every sync begins with it, so that no process depends on the one before having ended in order.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from audience.delivery.clock import Moment
from audience.delivery.syncing.late_calls import find_late_until
from audience.delivery.syncing.ledger import SyncLedger
from audience.errors import LedgerError
from audience.index.storage.bitmaps import BitMap
from audience.tag_sync.changes import CallOutcomes, TagPairs, apply_calls, doubt_changes, find_changes
from audience.tag_sync.packing import Packing, collect_rows, pack_changes
from audience.tag_sync.state import TagState
from audience.tag_sync.tags import TagChanges
from audience.vendors.tag_spec import TagSpec


@dataclass(frozen=True, slots=True)
class Consolidated:
    """State of an application with what its last ledger has recorded.

    Attributes:
        state: The state.
        late_until: Moment by the boot clock up to which a call of an earlier process may arrive; None if none may.
    """

    state: TagState
    late_until: float | None


def consolidate(state: TagState, ledger_path: Path, spec: TagSpec, timeout: float, now: Moment) -> Consolidated:
    """Return *state* with the outcomes of the calls of its started sync, if it has one.

    If the ledger is lost, damaged or one of another sync, all changes of the sync are in doubt.

    Args:
        state: State of the application, as it was written.
        ledger_path: Its ledger.
        spec: How the vendor takes changes.
        timeout: Seconds in which a reply is waited for.
        now: The moment.
    """
    with _open_ledger(ledger_path) as ledger:
        is_first = state.number == 0 and ledger is None
        late_until = None if is_first else find_late_until(ledger, timeout, now)
        if state.started is None:
            return Consolidated(state, late_until)
        record = None if ledger is None else ledger.load_record()
        if ledger is None or record is None or record.number != state.number:
            return Consolidated(doubt_changes(state), late_until)
        return Consolidated(_apply_ledger(state, ledger, spec), late_until)


def _open_ledger(path: Path) -> AbstractContextManager[SyncLedger | None]:
    """Open the ledger at *path*; None if there is none, or none that can be read."""
    if not path.is_file():
        return nullcontext()
    try:
        ledger = SyncLedger(path)
        ledger.load_record()
    except LedgerError:
        return nullcontext()
    return ledger


def pack_for(changes: TagChanges, spec: TagSpec) -> Packing:
    """Return the calls for *changes* at the vendor of *spec*, which may be made in any order, and more than once."""
    limit = spec.max_tags_per_device
    return pack_changes(changes, spec.forms, max_tags_per_device=None if limit is None else limit.maximum)


def _apply_ledger(state: TagState, ledger: SyncLedger, spec: TagSpec) -> TagState:
    """Return *state* with the outcomes of the calls in *ledger*, the ledger of its started sync."""
    if not ledger.list_calls("done") and not ledger.list_calls("sent"):
        return state
    changes = find_changes(state)
    packing = pack_for(changes, spec)
    assert state.started is not None
    if {packing.digest} != {state.started.packing, ledger.load_record().packing}:
        return doubt_changes(state)
    return apply_outcomes(state, changes, packing, ledger)


def apply_outcomes(state: TagState, changes: TagChanges, packing: Packing, ledger: SyncLedger) -> TagState:
    """Return *state* with the outcomes that *ledger* has of the calls of *packing*, which are for *changes*."""
    done, sent = (
        TagPairs(*collect_rows((packing.calls[number] for number in ledger.list_calls(name)), len(changes.tags)))
        for name in ("done", "sent")
    )
    unknown = BitMap([position for (position,) in ledger.query("list_unknown_ids")])
    return apply_calls(state, changes, CallOutcomes(done=done, doubtful=sent, unknown_ids=unknown))
