"""A loopback server that answers as the vendors do, reads their documents by itself, and counts who was told.

It shares no code with what writes requests, so that one checks the other.
"""

from audience.sandbox.faults import Fault
from audience.sandbox.population import Population
from audience.sandbox.sandbox import KEY, SECRET, Sandbox

__all__ = ["KEY", "SECRET", "Fault", "Population", "Sandbox"]
