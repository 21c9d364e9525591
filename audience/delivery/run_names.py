"""Names under which an index has recorded the runs of request folders."""

from pathlib import Path
from uuid import uuid4

import orjson

from audience._fs.atomic import write_new_file
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger, has_run
from audience.errors import DeliveryError, OutputError, Problem
from audience.index.changes.events.records_view import view_without_batches
from audience.index.device_index import DeviceIndex
from audience.requests.writer import EMISSION_FILE


def identify_emission(folder: Path) -> None:
    """Give the requests in *folder* an identity, unless they have one or a run."""
    if has_run(folder) or (folder / EMISSION_FILE).exists():
        return
    try:
        write_new_file(folder / EMISSION_FILE, orjson.dumps({"id": str(uuid4())}))
    except OutputError as error:
        if error.code != "exists":  # another process was quicker
            raise


def name_emission(folder: Path) -> str | None:
    """Return the name of the recorded batch of the requests in *folder* before their run; None if there is none."""
    try:
        return f"emission {orjson.loads((folder / EMISSION_FILE).read_bytes())['id']}"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "remove it, if the requests were recorded in no index"
        raise DeliveryError(Problem("damaged-plan", f"{folder / EMISSION_FILE} cannot be read", hint=hint)) from error


def name_run(run_id: str) -> str:
    """Return the name of the recorded batch of a run."""
    return f"run {run_id}"


def name_natives(batch_name: str) -> str:
    """Return the name of the recorded batch of the native requests of a run."""
    return f"{batch_name} native"


def view_without_run(index: DeviceIndex, *folders: Path) -> DeviceIndex:
    """Return *index* as if nothing of the requests in *folders* themselves were recorded.

    A run asks it whom it may reach: its own devices are recorded as emitted, and would be above every cap.
    """
    names = [name_emission(folder) for folder in folders]
    for folder in folders:
        if has_run(folder):
            with Ledger(folder / LEDGER_FILE, write=False) as ledger:
                names.append(name_run(ledger.load_run().id))
    known = [name for name in names if name is not None]
    snapshot = view_without_batches(index.snapshot, [*known, *map(name_natives, known)])
    return index if snapshot is index.snapshot else DeviceIndex(snapshot)
