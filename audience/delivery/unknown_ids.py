"""Ids that vendors did not know in the runs of a folder, for a change of the index that leaves them out of later sends.

A device that the vendor names because it is not subscribed is among them: it cannot be reached either. A call that was
rejected as a whole says nothing about its ids, and a vendor that names no unknown ids has none here.
"""

from pathlib import Path

from audience.delivery.campaign_runs import require_created_folders
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger
from audience.delivery.ledger.left_out import find_reason
from audience.delivery.ledger.workers import require_complete


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
