"""Emulated push vendors on a loopback port.

The sandbox answers as the vendors do, parses their documents on its own, and counts deliveries by device. It shares no
code with the modules that write requests, so that each checks the other.
"""

from audience.sandbox.faults import Fault
from audience.sandbox.population import Population
from audience.sandbox.sandbox import KEY, SECRET, Sandbox

__all__ = ["KEY", "SECRET", "Fault", "Population", "Sandbox"]
