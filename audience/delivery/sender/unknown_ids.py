"""Bound of the ids that a vendor does not know: a run with the wrong column of ids stops early.

Such a run would make about two calls for each id, as a vendor that names no ids lets every batch be halved down to one.
"""

from dataclasses import dataclass, field

from audience.counts import format_count
from audience.delivery.ledger.status import Status
from audience.delivery.ledger.transitions import StateAfterCall, Transition
from audience.errors import Problem

FIRST_IDS = 10_000  # ids of which an answer is known before the share of unknown ones is looked at


@dataclass(slots=True)
class UnknownIdCounts:
    """Counts of the ids that the vendor has accepted, and of those that it does not know.

    Attributes:
        max_share: Share of unknown ids at which the run stops.
        id_columns: Columns that ids for the vendor come from, for the hint.
        reached: Number of ids that the vendor has accepted.
        unknown: Number of ids that the vendor does not know.
    """

    max_share: float
    id_columns: tuple[str, ...] = ()
    reached: int = field(default=0)
    unknown: int = field(default=0)

    def add_status(self, status: Status) -> None:
        """Add what is known from earlier workers of the run."""
        self.reached += status.id_counts["accepted"]
        self.unknown += sum(status.invalid_id_counts.values())

    def add_outcome(self, transition: Transition, state: StateAfterCall) -> None:
        """Add what a call has shown, whose batch has reached *state*."""
        if state in ("accepted", "rejected"):
            self.unknown += len(transition.invalid_ids)
        if state == "accepted":
            self.reached += max(0, len(transition.batch.valid_positions()) - len(transition.invalid_ids))

    def find_problem(self) -> Problem | None:
        """Return a problem if more ids are unknown than the share allows.

        >>> UnknownIdCounts(0.02, reached=9_799, unknown=200).find_problem()
        >>> UnknownIdCounts(1, unknown=20_000).find_problem()
        >>> print(UnknownIdCounts(0.02, ("tpns_token",), reached=9_799, unknown=201).find_problem())
        too-many-unknown: the vendor does not know 201 of 10,000 ids, more than 2%
           = hint: check the column of the ids: they come from tpns_token; to go on, pass --max-unknown 100%
        """
        answered = self.reached + self.unknown
        if answered < FIRST_IDS or self.unknown <= self.max_share * answered:
            return None
        message = f"the vendor does not know {self.unknown:,} of {format_count(answered, 'id')}"
        columns = " or ".join(self.id_columns)
        hint = f"check the column of the ids: they come from {columns}; to go on, pass --max-unknown 100%"
        return Problem("too-many-unknown", f"{message}, more than {100 * self.max_share:.4g}%", hint=hint)
