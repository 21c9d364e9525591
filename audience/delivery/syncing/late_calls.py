"""Calls whose replies were lost: they may arrive at the vendor later than calls that were made after them.

A call that sets a tag must not arrive after one that removes it. So a sync to other tags begins when every lost call
of the syncs before it has arrived or never will. A sync to the same tags need not wait.
"""

from audience.delivery.clock import Moment
from audience.delivery.syncing.ledger import SyncLedger, SyncRecord

LATE_MARGIN_SECONDS = 15.0  # for the connection, before the seconds in which a reply is waited for


def find_late_until(ledger: SyncLedger | None, timeout: float, now: Moment) -> float | None:
    """Return the moment by the boot clock up to which a call of an earlier process may arrive; None if none may.

    Args:
        ledger: Ledger of the last sync; None if it is lost, and calls may have been made at any time.
        timeout: Seconds in which a reply is waited for.
        now: The moment.
    """
    if ledger is None:
        return now.boot + timeout + LATE_MARGIN_SECONDS
    record = ledger.load_record()
    [(uncertain,)] = ledger.query("find_last_uncertain")
    until = _find_until(record, uncertain, now)
    return until if until is not None and until > now.boot else None


def _find_until(record: SyncRecord, uncertain: float | None, now: Moment) -> float | None:
    if uncertain is None and record.late_until is None:
        return None
    longest = record.timeout + LATE_MARGIN_SECONDS
    if record.boot_id != now.boot_id:
        return longest  # by the clock of this start: whatever left before it has left by then
    until = max(uncertain + longest if uncertain is not None else 0.0, record.late_until or 0.0)
    return min(until, now.boot + longest)
