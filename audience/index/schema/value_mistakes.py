"""Suggest what to write instead of a value that an attribute cannot have."""

import re
import unicodedata
from calendar import monthrange
from contextlib import suppress
from datetime import date, datetime

from audience.language.ast import Between, Compare, Tag, Within
from audience.language.event_atoms import read_number
from audience.language.printer import quote_name
from audience.language.token_reader import NAMED_TIMES

FLAGS = {"true": "1", "yes": "1", "false": "0", "no": "0"}  # words for the numbers of a column of 0 and 1
UNITS = {"w": "weeks", "m": "months", "y": "years"}
NUMBER_RANGE = re.compile(r"([0-9.]*[0-9])(?:-|\.\.+)([0-9.]*[0-9])")
SHORT_TIME = re.compile(r"[+-]?([0-9]{1,4})(d|w|days?|weeks?|months?|years?)?")
YEAR_FIRST = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})")
DAY_FIRST = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
WILD_VERSION = re.compile(r"([0-9]+(?:\.[0-9]+)*)\.[x*]", re.I)


def suggest_number(query: Tag | Compare | Between, value: str) -> str | None:
    """Return a hint at what was probably meant by *value*, which is not a number.

    >>> suggest_number(Tag("age", "18-25"), "18-25"), suggest_number(Tag("vip", "yes"), "yes")
    ('write age between 18 and 25', 'write vip = 1')
    """
    name, ascii_value = quote_name(query.type), unicodedata.normalize("NFKC", value)
    if (flag := FLAGS.get(value.lower())) is not None:
        return f"write {name} = {flag}"
    if ascii_value != value and read_number(ascii_value) is not None:
        return f"write {ascii_value}"
    if found := NUMBER_RANGE.fullmatch(value):
        return f"write {name} between {found[1]} and {found[2]}"
    if value.endswith("+") and read_number(value[:-1]) is not None:
        return f"write {name} >= {value[:-1]}"
    if value.endswith("%") and read_number(value[:-1]) is not None:
        return f"write the number alone: {value[:-1]}"
    return None


def suggest_version(query: Tag | Compare | Between, value: str) -> str | None:
    """Return a hint at what was probably meant by *value*, which is not a version.

    >>> suggest_version(Tag("version", "5.2.x"), "5.2.x")
    'write version matches "5.2.*"'
    """
    found = WILD_VERSION.fullmatch(value)
    if found is None:
        return None
    name = quote_name(query.type)
    return f'write {name} matches "{found[1]}.*"' if isinstance(query, Tag) else f"write {found[1]}"


def suggest_day(query: Tag | Compare | Between | Within, value: str) -> str | None:
    """Return a hint at what was probably meant by *value*, which is not a day.

    >>> suggest_day(Compare("active", ">", "7"), "7"), suggest_day(Tag("active", "2026/11/28"), "2026/11/28")
    ('write active > 7 days ago', 'write 2026-11-28')
    >>> suggest_day(Tag("active", "today"), "today"), suggest_day(Tag("active", "2026-02-30"), "2026-02-30")
    ('write active = today, without quotes', 'that month ends on 2026-02-28')
    """
    operator = query.operator if isinstance(query, Compare) else "="
    name = quote_name(query.type)
    if value.lower() in NAMED_TIMES:
        is_compared = isinstance(query, Tag | Compare)
        return f"write {name} {operator} {value}, without quotes" if is_compared else f"write {value} without quotes"
    if (found := SHORT_TIME.fullmatch(value)) and isinstance(query, Tag | Compare):
        return f"write {name} {operator} {found[1]} {UNITS.get((found[2] or 'd')[0], 'days')} ago"
    return _suggest_other_format(value)


def _suggest_other_format(value: str) -> str | None:
    """Return a hint at the day that *value* has in another format."""
    with suppress(ValueError):
        moment = datetime.fromisoformat(value)
        return f"write the day alone: {moment.date()}"
    found = YEAR_FIRST.fullmatch(value)
    swapped = DAY_FIRST.fullmatch(value)
    year, month, day = map(int, found.groups() if found else reversed(swapped.groups() if swapped else (0, 0, 0)))
    if not 1 <= month <= 12 or not year:
        return None
    last = monthrange(year, month)[1]
    if day > last:
        return f"that month ends on {date(year, month, last)}"
    return f"write {date(year, month, day)}" if day else None
