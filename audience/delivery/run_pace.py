"""Pace of a run: how fast it is sent now, how fast its vendor allows, and how long the rest takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from audience.delivery.costs import method_by_name
from audience.delivery.ledger.connection import Ledger, Run
from audience.delivery.ledger.status import Status
from audience.delivery.transport.rate_limit import call_interval
from audience.requests.writer import first_request_file
from audience.vendors import get_vendor, require_delivery
from audience.vendors.delivery_spec import Payload, RateLimit

WINDOW_SECONDS = 10.0  # over which the rate is measured
MIN_CALLS_MEASURED = 3  # fewer say nothing about the rate
SAMPLE_ID = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Pace of a run that is being sent.

    Attributes:
        calls_per_second: Calls that were settled, over the last seconds.
        ids_per_second: Ids and native requests in them.
        limit: Lowest rate limit of the vendor for calls of this run; None if it documents none.
        seconds_left: How long the rest takes at this rate, or at the limit as long as too few calls are settled.
    """

    calls_per_second: float
    ids_per_second: float
    limit: RateLimit | None
    seconds_left: float | None


def measure_pace(ledger: Ledger, folder: Path, status: Status) -> Pace | None:
    """Return the pace of the run in *folder*; None while nobody sends it."""
    started = [worker.started_at for worker in status.workers if worker.is_alive]
    if not started:
        return None
    now = ledger.clock.wall()
    since = max(now - WINDOW_SECONDS, min(started))
    [(calls, ids)] = ledger.query("count_settled_since", since=since)
    seconds = max(now - since, 1e-3)
    limit = _find_lowest_limit(ledger.load_run(), folder)
    rate = calls / seconds if calls >= MIN_CALLS_MEASURED else 0 if limit is None else 1 / call_interval(limit)
    return Pace(
        calls_per_second=calls / seconds,
        ids_per_second=ids / seconds,
        limit=limit,
        seconds_left=status.pending / rate if rate else None,
    )


def _find_lowest_limit(run: Run, folder: Path) -> RateLimit | None:
    """Return the rate limit that allows the fewest calls; that of lists of ids if there are any."""
    vendor = get_vendor(run.vendor)
    delivery = require_delivery(vendor)
    method, targets = delivery.native_method, _read_first_targets(folder)
    if run.id_count:
        method, targets = method_by_name(delivery, run.method), (vendor.target_ids([SAMPLE_ID]),)
    limits: Sequence[RateLimit] = method.rate_limits(targets) if targets else ()
    return max(limits, key=call_interval, default=None)


def _read_first_targets(folder: Path) -> tuple[Payload, ...]:
    """Return the targets of the first request, which is a native one if there are any."""
    try:
        with first_request_file(folder).open("rb") as stream:
            return (orjson.loads(stream.readline()),)
    except (OSError, ValueError):
        return ()
