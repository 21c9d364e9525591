"""Bodies → network: a ledger that remembers who was told, and the sending that can die at any moment."""

from typing import TYPE_CHECKING

from audience.late import late

if TYPE_CHECKING:  # the names of HOMES, for those who read types
    from audience.delivery.ledger.status import Status, Trouble
    from audience.delivery.runs import cancel, resume, send, status
    from audience.delivery.safety_limits import Allowed
    from audience.delivery.sender.worker import Effort
    from audience.delivery.transport.retry import Patience

__all__ = ["Allowed", "Effort", "Patience", "Status", "Trouble", "cancel", "resume", "send", "status"]

HOMES = {  # loaded when they are asked for: a plan is priced without what sends it
    "audience.delivery.safety_limits": "Allowed",
    "audience.delivery.transport.retry": "Patience",
    "audience.delivery.runs": "cancel resume send status",
    "audience.delivery.ledger.status": "Status Trouble",
    "audience.delivery.sender.worker": "Effort",
}
late(__name__, HOMES)
