"""Time at which a message is sent: a moment, or the local time of each device.

2026-12-01T09:00:00+08:00         a moment
2026-12-01T09:00 Asia/Shanghai    a moment, by the clocks of a zone
2026-12-01T09:00                  the local time of each device
"""

from datetime import datetime

from audience.errors import ExpressionError, MessageError, Problem
from audience.language.zones import LocalTimeError, find_instant, load_zone, parse_time

SEND_TIME_HINT = (
    'write "2026-12-01T09:00:00+08:00" or "2026-12-01T09:00 Asia/Shanghai" for a moment, '
    'and "2026-12-01T09:00" for the local time of each device'
)


def parse_send_time(text: str, path: str = "$.send_at") -> datetime:
    """Return the time that *text* names: a moment has an offset, the local time of each device has none.

    Raises:
        MessageError: It is neither.

    >>> parse_send_time("2026-12-01T09:00 Asia/Shanghai").isoformat()
    '2026-12-01T09:00:00+08:00'
    >>> parse_send_time("2026-12-01T09:00").isoformat()
    '2026-12-01T09:00:00'
    """
    written, _, zone_name = text.strip().partition(" ")
    try:
        time = parse_time(written)
        if not isinstance(time, datetime) or (zone_name and time.tzinfo is not None):
            raise ValueError(text)
        return _find_moment_of_zone(time, zone_name.strip()) if zone_name else time
    except LocalTimeError as error:
        raise MessageError(Problem("bad-send-time", error.message, path=path, hint=error.hint)) from error
    except ExpressionError as error:
        problem = error.problems[0]
        raise MessageError(Problem(problem.code, problem.message, path=path, hint=problem.hint)) from error
    except (ValueError, OverflowError) as error:
        message = f"expected a time to send at, got {text!r:.80}"
        raise MessageError(Problem("bad-send-time", message, path=path, hint=SEND_TIME_HINT)) from error


def _find_moment_of_zone(time: datetime, zone_name: str) -> datetime:
    zone = load_zone(zone_name)
    find_instant(time, zone)  # raises LocalTimeError where clocks show the time twice, or never
    return datetime.fromisoformat(time.replace(tzinfo=zone).isoformat())  # with its offset


def format_send_time(time: datetime) -> str:
    """Return *time* as `parse_send_time` reads it."""
    return time.isoformat()
