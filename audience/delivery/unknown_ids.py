"""Ids that vendors did not know in the runs of a folder, for a change of the index that leaves them out of later sends.

A device that the vendor names because it is not subscribed is among them: it cannot be reached either. A call that was
rejected as a whole says nothing about its ids, and a vendor that names no unknown ids has none here.
"""

from pathlib import Path

from audience.delivery.campaign_runs import require_created_folders
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger
from audience.delivery.ledger.left_out import find_reason
from audience.delivery.ledger.workers import require_complete
from audience.errors import Problem
from audience.requests.reader import read_manifest_summary


def explain_no_unknown_ids(folder: str | Path) -> Problem:
    """Return why the runs of *folder* name no unknown ids: there are none, or the vendors do not say which they are."""
    vendors = [read_manifest_summary(each)[0] for each in require_created_folders(Path(folder))]
    silent = [each.title for each in vendors if each.delivery is not None and not each.delivery.reports_unknown_ids]
    if not silent:
        return Problem("no-ids", "the vendor knew all ids of the run")
    verb = "does" if len(silent) == 1 else "do"
    message = f"{' and '.join(silent)} {verb} not name ids that do not exist: which are unknown is not in the run"
    hint = "find devices that are gone where the vendor lists them, and pass their ids with --ids FILE"
    return Problem("no-ids", message, hint=hint)


def load_unknown_ids(folder: str | Path) -> list[str]:
    """Return the ids that the vendors of the runs of *folder* did not know, each once, in the order of the runs.

    Ids that policies have left out are not among them.

    Args:
        folder: Folder of a run or of a campaign.

    Raises:
        DeliveryError: The folder has no run, or the ledger of one misses calls.
    """
    ids: dict[str, None] = {}
    for run_folder in require_created_folders(Path(folder)):
        with Ledger(run_folder / LEDGER_FILE, write=False) as ledger, ledger.read_transaction():
            require_complete(ledger)
            rows = ledger.query("list_invalid_ids_with_codes")
        ids |= dict.fromkeys(identifier for identifier, code in rows if find_reason(code) is None)
    return list(ids)
