"""Moment and time zone in which an expression is asked."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypedDict
from zoneinfo import ZoneInfo

from audience.argument_types import check_arguments
from audience.errors import ExpressionError, Problem
from audience.language.zones import DEFAULT_ZONE, EPOCH, LocalTimeError, find_instant, find_moment, load_zone

AS_OF_HINT = "write a moment like 2026-11-28T09:00+08:00"


class AsOfArguments(TypedDict, total=False):
    """Keyword arguments of a question; without them it is asked now, in the time zone of the index."""

    as_of: datetime
    timezone: str
    allow_gaps: bool


@dataclass(frozen=True, slots=True)
class AsOf:
    """Moment of a question, and the time zone whose days are meant.

    With *allow_gaps*, questions about events are answered although some of their days are not covered.

    >>> str(AsOf(datetime(2026, 11, 28, 1, tzinfo=UTC), load_zone("Asia/Shanghai")))
    '2026-11-28T09:00:00+08:00 Asia/Shanghai'
    """

    moment: datetime
    zone: ZoneInfo
    allow_gaps: bool = False

    @property
    def timezone(self) -> str:
        """Return the name of the time zone."""
        return self.zone.key

    @property
    def local_time(self) -> datetime:
        """Return the moment as clocks of the zone show it."""
        return self.moment.astimezone(self.zone)

    def to_arguments(self) -> AsOfArguments:
        """Return the keyword arguments of a method that asks then and there."""
        return {"as_of": self.moment, "timezone": self.timezone, "allow_gaps": self.allow_gaps}

    def __str__(self) -> str:
        gaps = ", gaps allowed" if self.allow_gaps else ""
        return f"{self.local_time.isoformat(timespec='seconds')} {self.timezone}{gaps}"


@check_arguments
def read_as_of(
    as_of: datetime | str | None = None,
    timezone: str | ZoneInfo | None = None,
    default_timezone: str = DEFAULT_ZONE,
    allow_gaps: bool = False,
) -> AsOf:
    """Return when and where a question is asked.

    Args:
        as_of: Moment, such as `2026-11-28T09:00+08:00`; without an offset it is wall-clock time of the zone, and a day
            is its first moment. None is now.
        timezone: Time zone, or its name. None is *default_timezone*.
        default_timezone: Time zone of the index.
        allow_gaps: Whether questions about events are answered although some of their days are not covered.

    Raises:
        ExpressionError: The moment or the time zone is invalid.

    >>> read_as_of("2026-11-28T09:00", "Asia/Shanghai").moment.isoformat()
    '2026-11-28T01:00:00+00:00'
    """
    zone = timezone if isinstance(timezone, ZoneInfo) else load_zone(default_timezone if timezone is None else timezone)
    if as_of is None:
        return AsOf(datetime.now(UTC), zone, allow_gaps)
    try:
        moment = find_moment(as_of, zone) if isinstance(as_of, str) else _to_utc(as_of, zone)
        moment.astimezone(zone)
    except LocalTimeError as error:
        raise ExpressionError(Problem("invalid-as-of", error.message, hint=error.hint)) from None
    except ValueError:
        message = f"{str(as_of)!r:.60} is not a moment"
        raise ExpressionError(Problem("invalid-as-of", message, hint=AS_OF_HINT)) from None
    except OverflowError:
        message = f"{str(as_of)!r:.60} is outside the years 1 to 9999 in {zone.key}"
        raise ExpressionError(Problem("invalid-as-of", message, hint=AS_OF_HINT)) from None
    return AsOf(moment, zone, allow_gaps)


def _to_utc(time: datetime, zone: ZoneInfo) -> datetime:
    return EPOCH + timedelta(microseconds=find_instant(time, zone))
