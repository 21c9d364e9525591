"""Names of time zones as apps and tables write them: IANA names in any case, and offsets from UTC.

Asia/Shanghai, asia/shanghai    Asia/Shanghai
+08:00, +0800, +8, UTC+8        +08:00
GMT+8, GMT+08:00                +08:00, as phones write it
Etc/GMT+8                       Etc/GMT+8, which is behind UTC: the time zone database turns the sign around
"""

import re
from datetime import timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from audience.errors import ExpressionError
from audience.language.zones import list_zone_names, unknown_zone_problem

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
MIN_OFFSET, MAX_OFFSET = timedelta(hours=-12), timedelta(hours=14)  # of inhabited places


def normalize_zone_name(text: str) -> str | None:
    """Return the name of a time zone, or an offset such as `+08:00`; None if *text* is neither.

    >>> [normalize_zone_name(text) for text in ("asia/shanghai", "GMT+8", "+0530", "UTC", "Etc/GMT-8", "Mars/Base")]
    ['Asia/Shanghai', '+08:00', '+05:30', 'UTC', 'Etc/GMT-8', None]
    """
    text = text.strip()
    if (name := _names_by_spelling().get(text.replace(" ", "_").casefold())) is not None:
        return name
    if text in ("Z", "z"):
        return "UTC"
    match = _OFFSET.fullmatch(text)
    if match is None:
        return None
    sign, hours, minutes = match[1], int(match[2]), int(match[3] or 0)
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if sign == "-" else 1)
    if not MIN_OFFSET <= offset <= MAX_OFFSET:
        return None
    return f"{sign}{hours:02}:{minutes:02}" if offset else "UTC"


@lru_cache(1_024)
def load_named_zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name or an offset.

    Raises:
        ExpressionError: *name* is neither.

    >>> load_named_zone("GMT+8"), load_named_zone("Asia/Shanghai").key
    (datetime.timezone(datetime.timedelta(seconds=28800)), 'Asia/Shanghai')
    """
    normalized = normalize_zone_name(name)
    if normalized is None:
        raise ExpressionError(unknown_zone_problem(name))
    match = _OFFSET.fullmatch(normalized)
    if match is None:
        return ZoneInfo(normalized)
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


@lru_cache(1)
def _names_by_spelling() -> dict[str, str]:
    return {name.casefold(): name for name in sorted(list_zone_names())}
