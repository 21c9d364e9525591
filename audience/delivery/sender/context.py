"""Context that all calls of one worker share."""

from dataclasses import dataclass
from datetime import UTC, datetime

from audience.delivery.clock import Clock
from audience.delivery.ledger.connection import Ledger, Run
from audience.delivery.ledger.group_commit import GroupCommit
from audience.delivery.ledger.part_windows import PartWindows
from audience.delivery.ledger.transitions import Batch
from audience.delivery.prepare import PreparedRun
from audience.delivery.sender.unknown_ids import UnknownIdCounts
from audience.delivery.transport.http import Transport
from audience.delivery.transport.rate_limit import RateLimiter
from audience.delivery.transport.retry import RetryPolicy
from audience.errors import MessageError, Problem
from audience.vendors.delivery_spec import Payload, VendorSchedule


class StopRun(Exception):
    """Failure that every other batch would meet too, so that the run stops."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class SendContext:
    """Prepared run, its ledger and its connection, for one worker; *worker* is its number in the ledger."""

    prepared: PreparedRun
    run: Run
    worker: int
    retry: RetryPolicy
    group_commit: GroupCommit[Ledger]
    rate_limiter: RateLimiter
    transport: Transport
    windows: PartWindows
    clock: Clock
    unknown_ids: UnknownIdCounts

    def body_number(self, batch: Batch) -> int:
        """Return the number of the body that *batch* is sent."""
        return self.prepared.bodies.number_at(batch.first)

    def build_body(self, number: int, schedule: VendorSchedule | None = None, due_at: float | None = None) -> Payload:
        """Return a body of the message with its timestamps as of now; raise StopRun if it is too late for them.

        With *due_at*, the vendor keeps it by *schedule* until then.
        """
        delivery, body = self.prepared.delivery, self.prepared.bodies.bodies[number]
        if schedule is not None and due_at is not None:
            body = schedule.apply(body, datetime.fromtimestamp(due_at, UTC))
        try:
            return delivery.apply_timestamps(body, datetime.fromtimestamp(self.clock.wall(), UTC))
        except MessageError as error:
            raise StopRun(error.problems[0]) from error
