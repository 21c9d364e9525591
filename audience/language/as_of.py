"""Moment and time zone in which an expression is asked."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from audience.errors import ExpressionError, Problem
from audience.language.suggest import did_you_mean

DEFAULT_TIMEZONE = "UTC"


@dataclass(frozen=True, slots=True)
class AsOf:
    """Moment of a question, and the time zone whose days are meant.

    >>> str(AsOf(datetime(2026, 11, 28, 1, tzinfo=UTC), load_zone("Asia/Shanghai")))
    '2026-11-28T09:00:00+08:00 Asia/Shanghai'
    """

    moment: datetime
    zone: ZoneInfo

    def __str__(self) -> str:
        local = self.moment.astimezone(self.zone)
        return f"{local.isoformat(timespec='seconds')} {self.zone.key}"


def read_as_of(
    as_of: datetime | str | None = None, timezone: str | None = None, default_timezone: str = DEFAULT_TIMEZONE
) -> AsOf:
    """Return when and where a question is asked.

    Args:
        as_of: Moment, such as `2026-11-28T09:00+08:00`; without an offset it is wall-clock time of the zone. None is
            now.
        timezone: Name of the time zone. None is *default_timezone*.
        default_timezone: Time zone of the index.

    Raises:
        ExpressionError: The moment or the time zone is invalid.

    >>> read_as_of("2026-11-28T09:00", "Asia/Shanghai").moment.isoformat()
    '2026-11-28T01:00:00+00:00'
    """
    zone = load_zone(default_timezone if timezone is None else timezone)
    if as_of is None:
        return AsOf(datetime.now(UTC), zone)
    moment = _parse_moment(as_of) if isinstance(as_of, str) else as_of
    return AsOf((moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC), zone)


def load_zone(name: str) -> ZoneInfo:
    """Return the time zone *name*, such as `Asia/Shanghai`.

    Raises:
        ExpressionError: There is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean(name, available_timezones()) or "use a name like Asia/Shanghai, Europe/Berlin or UTC"
        raise ExpressionError(Problem("unknown-zone", f"unknown time zone {name!r:.60}", hint=hint)) from None


def _parse_moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        hint = "write a moment like 2026-11-28T09:00+08:00"
        raise ExpressionError(Problem("invalid-as-of", f"{text!r:.60} is not a moment", hint=hint)) from None
