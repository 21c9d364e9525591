"""Context that all calls of one sync share."""

from dataclasses import dataclass, field

from audience.delivery.clock import Clock
from audience.delivery.ledger.group_commit import GroupCommit
from audience.delivery.sender.unknown_ids import UnknownIdCounts
from audience.delivery.syncing.ledger import SyncLedger
from audience.delivery.transport.http import Transport
from audience.delivery.transport.rate_limit import RateLimiter
from audience.delivery.transport.retry import RetryPolicy
from audience.errors import Problem
from audience.tag_sync.tags import TagChanges
from audience.vendors.delivery_spec import Credentials
from audience.vendors.tag_spec import TagSpec


class StopSync(Exception):
    """Failure that every other call would meet too, so that the sync stops."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncContext:
    """Changes of one sync, its ledger and its connection.

    Attributes:
        number: Number of the sync of its application.
        vendor: Name of the vendor, for the log.
        spec: How the vendor takes changes of tags.
        changes: The changes.
        key_type: Kind of the ids.
        credentials: Credentials of the application.
        retry: Retries and timeouts.
        group_commit: Writer of the ledger.
        rate_limiter: Rate limits.
        transport: Connection to the vendor.
        clock: Clock of the sync.
        unknown_ids: Numbers of ids that the vendor knows, and does not.
        unknown_positions: Positions of ids that it does not know, which later calls leave out.
    """

    number: int
    vendor: str
    spec: TagSpec
    changes: TagChanges
    key_type: str
    credentials: Credentials
    retry: RetryPolicy
    group_commit: GroupCommit[SyncLedger]
    rate_limiter: RateLimiter
    transport: Transport
    clock: Clock
    unknown_ids: UnknownIdCounts
    unknown_positions: set[int] = field(default_factory=set)
