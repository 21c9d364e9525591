"""Windows of the parts of a run: what may be sent now, and which calls the vendor keeps."""

from collections.abc import Iterable
from datetime import timedelta
from math import inf

from audience.delivery.ledger.connection import Ledger, Run
from audience.delivery.ledger.planned import PlannedPart
from audience.delivery.ledger.transitions import SendWindow
from audience.delivery.schedule import Schedule, find_next_open, is_closed
from audience.vendors.delivery_spec import SendMethod


class PartWindows:
    """Windows of the parts of one run; *methods* are those that its calls are made with."""

    def __init__(self, schedule: Schedule, parts: Iterable[PlannedPart], methods: Iterable[SendMethod]):
        self._schedule = schedule
        self._zones = {number: part.zone for number, part in enumerate(parts, start=1)}
        schedules = [method.schedule for method in methods if method.schedule is not None]
        self._min_ahead = max((each.min_ahead for each in schedules), default=None)

    @property
    def shown_zone(self) -> str | None:
        """Name of the zone of all parts, or of the schedule; None if they differ or there is none."""
        zones = set(self._zones.values())
        return zones.pop() if len(zones) == 1 else None

    def look(self, now: float) -> SendWindow:
        """Return what may be sent now."""
        return SendWindow(_add(now, self._min_ahead), self.find_closed(now))

    def find_closed(self, now: float) -> frozenset[int]:
        """Return the numbers of the parts where it is quiet."""
        if self._schedule.quiet is None:
            return frozenset()
        closed = {zone for zone in set(self._zones.values()) if is_closed(self._schedule, zone, now)}
        return frozenset(number for number, zone in self._zones.items() if zone in closed)

    def find_next_open(self, part: int, now: float) -> float:
        """Return the first moment from *now* on that is not quiet where the devices of a part are."""
        return find_next_open(self._schedule, self._zones[part], now)


def load_windows(ledger: Ledger, run: Run, methods: Iterable[SendMethod] = ()) -> PartWindows:
    """Return the windows of the parts of *run*."""
    return PartWindows(Schedule.from_json(run.schedule), load_parts(ledger), methods)


def load_parts(ledger: Ledger) -> tuple[PlannedPart, ...]:
    """Return the parts of a run, in their order."""
    names = ("first", "stop", "variant", "language", "zone", "opens_at")
    return tuple(PlannedPart(**dict(zip(names, row, strict=True))) for row in ledger.query("list_parts"))


def _add(now: float, min_ahead: timedelta | None) -> float:
    return inf if min_ahead is None else now + min_ahead.total_seconds()
