"""Context that all calls of one worker share."""

from dataclasses import dataclass
from datetime import UTC, datetime

from audience.delivery.clock import Clock
from audience.delivery.ledger.connection import Run
from audience.delivery.ledger.group_commit import GroupCommit
from audience.delivery.ledger.transitions import Batch
from audience.delivery.prepare import PreparedRun
from audience.delivery.transport.http import Transport
from audience.delivery.transport.rate_limit import RateLimiter
from audience.delivery.transport.retry import RetryPolicy
from audience.errors import MessageError, Problem
from audience.vendors.delivery_spec import Payload


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
    group_commit: GroupCommit
    rate_limiter: RateLimiter
    transport: Transport
    clock: Clock

    def body_number(self, batch: Batch) -> int:
        """Return the number of the body that *batch* is sent."""
        return self.prepared.bodies.number_at(batch.first)

    def build_body(self, number: int) -> Payload:
        """Return a body of the message with its timestamps as of now; raise StopRun if it is too late for them."""
        body = self.prepared.bodies.bodies[number]
        try:
            return self.prepared.delivery.apply_timestamps(body, datetime.now(UTC))
        except MessageError as error:
            raise StopRun(error.problems[0]) from error
