"""Wait for the moments of runs: what is due is sent, with policies checked again, until nothing is held any more.

Between two moments no worker is registered, so that a process that is killed then leaves nothing behind, and several of
them may wait at once.
"""

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeAlias

from audience.delivery.campaign_runs import load_all_statuses, require_created_folders
from audience.delivery.clock import Clock
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger
from audience.delivery.ledger.status import Status
from audience.delivery.ledger.transitions import is_cancelled

MAX_SLEEP_SECONDS = 20.0  # until the clock, and whether runs were cancelled, are looked at again

Statuses: TypeAlias = dict[str, Status]
Resume: TypeAlias = Callable[[Collection[str]], Statuses]


def wait_for_runs(
    folder: Path, resume: Resume, clock: Clock, on_wait: Callable[[Statuses], None] = lambda statuses: None
) -> Statuses:
    """Send what is due and wait for what is not, until nothing is held; return the statuses by vendor.

    Args:
        folder: Folder of a run or of a campaign.
        resume: Continues the runs of all vendors but those that it is given, which stopped.
        clock: Clock of the runs.
        on_wait: Called before each wait.

    A run that stopped waits for a human: it is not continued, and the others go on.
    """
    stopped = set[str]()
    while True:
        statuses = resume(stopped)
        stopped |= {vendor for vendor, status in statuses.items() if status.stop_reason is not None}
        moment = find_next_opening(statuses, stopped)
        if moment is None:
            return statuses
        on_wait(statuses)
        if not asyncio.run(_sleep_until(moment, folder, clock)):
            return load_all_statuses(folder, clock)


def find_next_opening(statuses: Statuses, stopped: Collection[str] = ()) -> float | None:
    """Return the next moment at which anything of the runs that go on may be sent; None if nothing is held."""
    waits = [status.waiting.opens_at for vendor, status in statuses.items() if vendor not in stopped]
    return min((moment for moment in waits if moment is not None), default=None)


async def _sleep_until(moment: float, folder: Path, clock: Clock) -> bool:
    """Sleep until *moment* by the wall clock, which may be set; return False once a run is cancelled."""
    while (remaining := moment - clock.wall()) > 0:
        if _is_any_cancelled(folder):
            return False
        await clock.sleep(min(remaining, MAX_SLEEP_SECONDS))
    return True


def _is_any_cancelled(folder: Path) -> bool:
    for run_folder in require_created_folders(folder):
        with Ledger(run_folder / LEDGER_FILE, write=False) as ledger:
            if is_cancelled(ledger):
                return True
    return False
