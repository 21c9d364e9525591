"""Schedule of a run: when each of its parts is sent, and which calls the vendor keeps until then.

at        2026-12-01T09:00+08:00    a moment, for everybody
          2026-12-01T09:00          the local time of each device
          09:00                     the next such time where each device is
quiet     22:00-08:00               nothing is sent while clocks there show it
spread    2h                        the batches of a part are sent evenly over two hours, which quiet hours interrupt

EngageLab has schedules of its own, `/v4/schedules`. A call there has no key by which repeats are dropped, and its reply
no message id, so that a lost reply could not be resolved: its runs are held here. So are those of JPush, whose page of
`/v3/schedules` does not say of which zone their times are.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from itertools import groupby
from math import ceil
from typing import Any, TypeAlias

from audience.counts import format_count
from audience.delivery.ledger.planned import PlannedBatch, PlannedPart
from audience.delivery.send_windows import (
    QuietHours,
    find_local,
    find_open,
    find_quiet,
    find_time_of_day,
    is_quiet,
    read_quiet_hours,
    spread_moments,
)
from audience.errors import DeliveryError, Problem
from audience.language.zone_names import load_named_zone
from audience.messages.send_time import parse_send_time
from audience.requests.parts import Part

SendTime: TypeAlias = datetime | time
KeepsCall: TypeAlias = Callable[[PlannedBatch, float], bool]

MAX_SPREAD = timedelta(days=7)
MAX_SHOWN_ZONES = 3
_SPREAD = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a run is sent.

    Attributes:
        at: A moment; without an offset, the local time of each device; a time of day is the next one there. None is the
            start of the run.
        quiet: Quiet hours, by the clocks of each device.
        spread: How long a part takes, evenly.
        zone: Name of the time zone of all devices, if the requests are not divided by it.
        hold: Whether no call is left with the vendor until its time.

    >>> Schedule.from_json(Schedule(at=time(9), quiet=QuietHours(time(22), time(8))).to_json()).at
    datetime.time(9, 0)
    """

    at: SendTime | None = None
    quiet: QuietHours | None = None
    spread: timedelta | None = None
    zone: str | None = None
    hold: bool = False

    @property
    def is_immediate(self) -> bool:
        """Return whether everything is sent at once."""
        return self.at is None and self.quiet is None and self.spread is None

    @property
    def needs_zones(self) -> bool:
        """Return whether the time zone of each device matters."""
        return self.quiet is not None or (self.at is not None and self.at.tzinfo is None)

    def override(self, later: "Schedule") -> "Schedule":
        """Return this schedule with what *later* says in its place."""
        return Schedule(
            at=self.at if later.at is None else later.at,
            quiet=later.quiet or self.quiet,
            spread=later.spread or self.spread,
            zone=later.zone or self.zone,
            hold=later.hold or self.hold,
        )

    def to_document(self) -> dict[str, Any]:
        """Return the schedule as a JSON object, without what it does not say."""
        document = {
            "at": None if self.at is None else self.at.isoformat(),
            "quiet": None if self.quiet is None else str(self.quiet),
            "spread": None if self.spread is None else self.spread.total_seconds(),
            "zone": self.zone,
            "hold": self.hold or None,
        }
        return {name: value for name, value in document.items() if value is not None}

    def to_json(self) -> str:
        """Return the schedule as JSON."""
        return json.dumps(self.to_document())

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Schedule":
        """Return the schedule that `to_document` has written."""
        at, quiet, spread = document.get("at"), document.get("quiet"), document.get("spread")
        return cls(
            at=None if at is None else datetime.fromisoformat(at) if "T" in at else time.fromisoformat(at),
            quiet=None if quiet is None else read_quiet_hours(quiet),
            spread=None if spread is None else timedelta(seconds=spread),
            zone=document.get("zone"),
            hold=bool(document.get("hold")),
        )

    @classmethod
    def from_json(cls, text: str) -> "Schedule":
        """Return the schedule that `to_json` has written."""
        return cls.from_document(json.loads(text))


def read_schedule(
    *,
    send_at: str | None = None,
    local_time: str | None = None,
    quiet: str | None = None,
    spread: str | None = None,
    timezone: str | None = None,
    hold: bool = False,
) -> Schedule:
    """Return the schedule of options as they are written.

    Raises:
        DeliveryError, MessageError, ExpressionError: An option is malformed, or two options exclude each other.

    >>> read_schedule(local_time="09:00", spread="2h").spread
    datetime.timedelta(seconds=7200)
    """
    if send_at is not None and local_time is not None:
        hint = "write one of them; --send-at without an offset is the local time of each device on that day"
        raise DeliveryError(Problem("bad-option", "--send-at and --local-time exclude each other", hint=hint))
    if timezone is not None:
        load_named_zone(timezone)
    at: SendTime | None = None if local_time is None else _read_time_of_day(local_time)
    return Schedule(
        at=at if send_at is None else parse_send_time(send_at, "--send-at"),
        quiet=None if quiet is None else read_quiet_hours(quiet),
        spread=None if spread is None else _read_spread(spread),
        zone=timezone,
        hold=hold,
    )


def _read_time_of_day(text: str) -> time:
    if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text) is None:
        hint = "write it like 09:00; for a day too, write --send-at 2026-12-01T09:00"
        raise DeliveryError(Problem("bad-send-time", f"expected a time of day, found {text!r:.40}", hint=hint))
    return time.fromisoformat(text)


def _read_spread(text: str) -> timedelta:
    match = _SPREAD.fullmatch(text.replace(" ", ""))
    spread = timedelta(0) if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})
    if not timedelta(0) < spread <= MAX_SPREAD:
        hint = f"write it like 2h or 90m; at most {MAX_SPREAD.days} days"
        raise DeliveryError(Problem("bad-option", f"expected how long sending takes, found {text!r:.40}", hint=hint))
    return spread


# Parts and batches. ---------------------------------------------------------------------------------------------------


def schedule_parts(schedule: Schedule, parts: Sequence[Part], now: float) -> list[PlannedPart]:
    """Return *parts* with the moment at which each opens.

    Raises:
        DeliveryError: The moment has passed, or the time zone of some devices is not known.
    """
    _require_zones(schedule, parts)
    planned = [_schedule_part(schedule, part, now) for part in parts]
    late = [part for part in planned if schedule.at is not None and _find_asked(schedule, part.zone, now) < now]
    if late:
        raise DeliveryError(_passed_problem(schedule, late, now))
    return planned


def _schedule_part(schedule: Schedule, part: Part, now: float) -> PlannedPart:
    zone = part.zone or schedule.zone
    asked = float(ceil(_find_asked(schedule, zone, now)))
    opens_at = find_open(asked, open_zone(zone), schedule.quiet)
    is_at_once = schedule.at is None and schedule.spread is None and opens_at == asked
    return PlannedPart(
        first=part.first,
        stop=part.stop,
        variant=part.variant,
        language=part.language,
        zone=zone,
        opens_at=None if is_at_once else opens_at,
    )


def _find_asked(schedule: Schedule, zone: str | None, now: float) -> float:
    """Return the moment that the schedule asks for in *zone*, which may be quiet there or have passed."""
    match schedule.at:
        case None:
            return now
        case time() as shown:
            return find_time_of_day(shown, open_zone(zone), now)
        case datetime(tzinfo=None) as shown:
            return find_local(shown, open_zone(zone))
        case moment:
            return moment.timestamp()


def open_zone(name: str | None) -> tzinfo:
    """Return the time zone with this name; UTC without one, where it does not matter."""
    return UTC if name is None else load_named_zone(name)


def _require_zones(schedule: Schedule, parts: Sequence[Part]) -> None:
    divided = [part for part in parts if part.zone is not None]
    if schedule.zone is not None and len(divided) == len(parts):
        message = "the requests are divided by time zone already, so --timezone has no effect"
        raise DeliveryError(Problem("bad-option", message, hint="leave --timezone out"))
    if schedule.needs_zones and schedule.zone is None and len(divided) < len(parts):
        hint = "emit with --timezone-of ATTRIBUTE; or name one zone for all devices with --timezone, as Asia/Shanghai"
        raise DeliveryError(Problem("no-zone", "local time and quiet hours need the devices' time zone", hint=hint))


def _passed_problem(schedule: Schedule, late: Sequence[PlannedPart], now: float) -> Problem:
    assert schedule.at is not None
    zones = list(dict.fromkeys(part.zone for part in late if part.zone is not None))
    where = ""
    if zones and schedule.at.tzinfo is None:
        more = f" and {len(zones) - MAX_SHOWN_ZONES} more" if len(zones) > MAX_SHOWN_ZONES else ""
        devices = format_count(sum(part.stop - part.first for part in late), "id")
        where = f" in {', '.join(zones[:MAX_SHOWN_ZONES])}{more}, for {devices}"
    message = f"{schedule.at.isoformat()} has passed{where}"
    hint = f"it is {format_moment(now, late[0].zone)} now; name a later moment, or leave it out to send at once"
    return Problem("past", message, hint=hint)


def schedule_batches(
    schedule: Schedule, parts: Sequence[PlannedPart], batches: Iterable[PlannedBatch], keeps_call: KeepsCall
) -> Iterator[PlannedBatch]:
    """Yield *batches* with the moment of each.

    Args:
        schedule: The schedule.
        parts: Parts of the run.
        batches: Its batches, those of a part together.
        keeps_call: Returns whether the vendor keeps a call until a moment.
    """
    for number, group in groupby(batches, key=lambda batch: batch.part):
        part, of_part = parts[number - 1], [*group]
        if part.opens_at is None:
            yield from of_part
            continue
        seconds = 0.0 if schedule.spread is None else schedule.spread.total_seconds()
        moments = spread_moments(part.opens_at, seconds, len(of_part), open_zone(part.zone), schedule.quiet)
        for batch, moment in zip(of_part, moments, strict=True):
            at_vendor = not schedule.hold and keeps_call(batch, moment)
            yield replace(batch, not_before=moment, at_vendor=at_vendor)


# While it goes on. ----------------------------------------------------------------------------------------------------


def is_closed(schedule: Schedule, zone: str | None, now: float) -> bool:
    """Return whether it is quiet where the devices of a part are."""
    return is_quiet(now, open_zone(zone), schedule.quiet)


def find_next_open(schedule: Schedule, zone: str | None, now: float) -> float:
    """Return the first moment from *now* on that is not quiet where the devices of a part are."""
    return find_open(now, open_zone(zone), schedule.quiet)


def lifetime_warnings(schedule: Schedule, parts: Sequence[PlannedPart], seconds: int | None) -> list[Problem]:
    """Return a warning if a message that is kept for *seconds* may be shown in quiet hours."""
    if schedule.quiet is None or not seconds:
        return []
    for part in parts:
        opens_at = part.opens_at or 0.0
        zone = open_zone(part.zone)
        quiet_at = find_quiet(opens_at, zone, schedule.quiet)
        if opens_at and quiet_at < opens_at + seconds:
            message = f"time_to_live of {seconds:,} seconds reaches into quiet hours: {schedule.quiet}"
            hint = "a device that comes online then shows the message at once; shorten time_to_live"
            return [Problem("quiet-lifetime", message, hint=hint)]
    return []


def format_moment(moment: float, zone: str | None) -> str:
    """Return *moment* as clocks of *zone* show it, with its offset.

    >>> format_moment(0, "Asia/Shanghai"), format_moment(0, None)
    ('1970-01-01T08:00:00+08:00', '1970-01-01T00:00:00+00:00')
    """
    return datetime.fromtimestamp(moment, open_zone(zone)).isoformat(timespec="seconds")
