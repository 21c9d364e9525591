"""Bodies → network: a ledger that remembers who was told, and the sending that can die at any moment."""

from typing import TYPE_CHECKING

from audience.late import late

if TYPE_CHECKING:  # the names of HOMES, for those who read types
    from audience.delivery.guards import Allowed
    from audience.delivery.patience import Patience
    from audience.delivery.run import cancel, resume, send, status
    from audience.delivery.tally import Status, Trouble
    from audience.delivery.work import Effort

__all__ = ["Allowed", "Effort", "Patience", "Status", "Trouble", "cancel", "resume", "send", "status"]

HOMES = {  # loaded when they are asked for: a plan is priced without what sends it
    "audience.delivery.guards": "Allowed",
    "audience.delivery.patience": "Patience",
    "audience.delivery.run": "cancel resume send status",
    "audience.delivery.tally": "Status Trouble",
    "audience.delivery.work": "Effort",
}
late(__name__, HOMES)
