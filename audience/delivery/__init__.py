"""Bodies → network: a ledger that remembers who was told, and the sending that can die at any moment."""

from audience.delivery.guards import Allowed
from audience.delivery.patience import Patience
from audience.delivery.run import Effort, cancel, resume, send, status
from audience.delivery.tally import Status, Trouble

__all__ = ["Allowed", "Effort", "Patience", "Status", "Trouble", "cancel", "resume", "send", "status"]
