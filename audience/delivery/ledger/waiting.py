"""Parts of a run that wait for their moment: batches that are held here, and calls that the vendor keeps."""

from dataclasses import dataclass

from audience.delivery.ledger.connection import Ledger, Run
from audience.delivery.ledger.part_windows import load_windows
from audience.delivery.ledger.transitions import SendWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Batches of a run that wait for their moment.

    Attributes:
        held_batches: Batches that are held here.
        held_ids: Their ids, those included that will be left out.
        kept_batches: Batches whose call the vendor has accepted and delivers later.
        kept_ids: Their ids.
        opens_at: Next moment at which a held batch may be sent; None if none is held.
        due_at: Next moment at which the vendor delivers one; None if it keeps none.
        ends_at: Last moment of them all.
        zone: Name of a time zone to show them in.
    """

    held_batches: int = 0
    held_ids: int = 0
    kept_batches: int = 0
    kept_ids: int = 0
    opens_at: float | None = None
    due_at: float | None = None
    ends_at: float | None = None
    zone: str | None = None

    @property
    def batches(self) -> int:
        """Number of batches that wait."""
        return self.held_batches + self.kept_batches


NOTHING_WAITS = Waiting()


def load_waiting(ledger: Ledger, run: Run, now: float) -> Waiting:
    """Return what of *run* waits for its moment; of a run that is cancelled, only what the vendor keeps."""
    kept_batches, kept_ids, due_at, last_due = ledger.query("count_kept", now=now)[0]
    windows = load_windows(ledger, run)
    held = [] if run.cancelled_at is not None else _list_held(ledger, now, windows.look(now))
    opens = [windows.find_next_open(part, now) if moment is None else moment for part, _, _, moment, _ in held]
    ends = [moment for *_, moment in held if moment is not None] + opens + ([] if last_due is None else [last_due])
    return Waiting(
        held_batches=sum(batches for _, batches, *_ in held),
        held_ids=sum(ids for _, _, ids, *_ in held),
        kept_batches=kept_batches,
        kept_ids=kept_ids,
        opens_at=min(opens, default=None),
        due_at=due_at,
        ends_at=max(ends, default=None),
        zone=windows.shown_zone,
    )


def _list_held(
    ledger: Ledger, now: float, window: SendWindow
) -> list[tuple[int, int, int, float | None, float | None]]:
    values = window.to_values()
    return ledger.query("list_waiting", now=now, closed_parts=values["closed_parts"])
