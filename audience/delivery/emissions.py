"""Emissions: requests that were written under a cap on deliveries count as delivered until their run is over.

So of two runs that are emitted side by side, the second does not see the devices of the first as free.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from audience._fs.locks import try_lock
from audience.counts import format_count
from audience.delivery.ledger.connection import has_run
from audience.delivery.run_names import name_emission, name_natives, view_without_run
from audience.errors import DeliveryError, ExpressionError, LockedError, Problem
from audience.index.changes.events.recording import DEFAULT_WAIT_SECONDS, Recording, record_events
from audience.index.device_index import DeviceIndex
from audience.index.query.events.validation import DELIVERED
from audience.index.storage.layout import EMISSION_LOCK_FILE
from audience.language.ast import EventAtom, Expr, walk_operands
from audience.language.parser import to_expr
from audience.planning.policies import AppliedPolicy
from audience.progress import ignore_progress
from audience.requests.campaign import run_folders


def list_replaced_emissions(folder: Path) -> list[str]:
    """Return the names of the recorded emissions in *folder*, which other requests will replace."""
    names = list[str | None]()
    with suppress(DeliveryError):  # whether the folder may be replaced is checked when it is written
        names = [name_emission(each) for each in run_folders(folder) if each.is_dir() and not has_run(each)]
    return [name for name in names if name is not None]


def view_without_emissions(index: DeviceIndex, folder: Path) -> DeviceIndex:
    """Return *index* as if nothing were recorded of the requests in *folder*, which others will replace."""
    if not list_replaced_emissions(folder):
        return index
    for run_folder in run_folders(folder):
        index = view_without_run(index, run_folder)
    return index


@contextmanager
def take_emission_turn(
    index: DeviceIndex, exprs: Iterable[Expr | str], wait: float = DEFAULT_WAIT_SECONDS
) -> Iterator[None]:
    """Let requests under a cap on deliveries be written and recorded one after the other; *index* becomes current.

    Args:
        index: Index whose deliveries are counted. Its policies are such caps, too.
        exprs: Audience and caps of the requests.
        wait: Seconds to wait for others.

    Raises:
        LockedError: Others write requests for longer than *wait*.
    """
    standing = [policy.fitting for policy in index.policies.values()]
    if not any(_may_ask_about_deliveries(expr, index) for expr in [*exprs, *standing]):
        yield
        return
    folder = Path(index.folder)
    with try_lock(folder / EMISSION_LOCK_FILE, wait) as acquired:
        if not acquired:
            message = f"{folder}: other requests under a cap on deliveries are being written"
            raise LockedError(Problem("locked", message, hint="try again when they are done"))
        index.refresh()
        yield


def _may_ask_about_deliveries(expr: Expr | str, index: DeviceIndex) -> bool:
    try:
        return asks_about_deliveries(index.expand_segments(to_expr(expr)))
    except ExpressionError:
        return True  # the plan says what is wrong with it, and which cap it is


def register_emission(
    index: DeviceIndex,
    folder: Path,
    policies: Iterable[AppliedPolicy],
    replaced: Iterable[str] = (),
    *,
    audience: Expr | None = None,
    wait: float = DEFAULT_WAIT_SECONDS,
) -> Problem | None:
    """Record the requests in *folder* in *index* if their audience or one of their *policies* asks about deliveries.

    Return a note about what was recorded.

    Args:
        index: Index of the policies; it moves to the new snapshot.
        folder: Folder of a run or of a campaign, just written.
        policies: Policies under which the requests were written.
        replaced: Names of recorded emissions that are gone.
        audience: Audience of the requests, with segments expanded.
        wait: Seconds to wait for another writer of the index.

    Raises:
        LockedError: Another process changes the index for longer than *wait*.
    """
    gone = [each for name in replaced for each in (name, name_natives(name))]
    if gone:
        record_events(index.snapshot, lambda snapshot: Recording(dropped=gone), wait, ignore_progress)
        index.refresh()
    exprs = [*(policy.fitting for policy in policies), *([] if audience is None else [audience])]
    if not any(map(asks_about_deliveries, exprs)):
        return None
    from audience.delivery.recorded_runs import record_emitted  # imports what runs need, also to send

    device_count = sum(record_emitted(index, folder, wait=wait).counts.values())
    if not device_count:
        return None
    count = format_count(device_count, "device")
    message = f"recorded in {index.folder}: {count} of these requests, which count as delivered until they are sent"
    hint = f"if they are not sent, run `audience cancel {folder} --record {index.folder}`"
    return Problem("emitted", message, hint=hint)


def asks_about_deliveries(expr: Expr) -> bool:
    """Return whether *expr* counts what was delivered."""
    return any(isinstance(node, EventAtom) and node.events.name == DELIVERED for node in walk_operands(expr))
