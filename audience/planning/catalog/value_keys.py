"""Compare the values of ordered attributes as numbers, days, instants and versions instead of texts.

number     30, 30.0 and 3e1 are one value
date       2020-04-08 and 20200408 are one day
version    1.2 and 1.2.0 rank alike and may be one version, but they are two tags, as at every vendor
time       two timestamps are one value if they are one instant; a day is all instants of that day of the zone
"""

from collections.abc import Callable, Hashable
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from audience.algebra.constraints import ValueKey, ValueKeys
from audience.index.schema.columns import Role
from audience.index.schema.instant_sets import instants_of
from audience.index.schema.value_types import DATE, NUMBER, VERSION
from audience.language.zones import DAY, EPOCH_ORDINAL, UTC_ZONE, find_instant, offset_at, parse_time

MAX_CACHED_KEYS = 16_384
MAX_CACHED_ZONES = 64


def _key_or_text(parse: Callable[[str], Hashable]) -> ValueKey:
    """Return a function that returns the parsed text, or the text itself if it is not a value of the type."""

    @lru_cache(MAX_CACHED_KEYS)
    def key(text: str) -> Hashable:
        try:
            return parse(text)
        except ValueError:
            return text

    return key


def _text_key(text: str) -> str:
    return text


_number_key, _date_key, _version_key = map(_key_or_text, (NUMBER.parse, DATE.parse, VERSION.parse))
NUMBER_KEYS = ValueKeys(_number_key, _number_key, _number_key, has_equal_tags=True)
VERSION_KEYS = ValueKeys(tag=_text_key, operand=_version_key, overlap=_version_key)
TEXT_KEYS = ValueKeys(tag=_text_key, operand=_text_key, overlap=_text_key)


@lru_cache(MAX_CACHED_ZONES)
def _date_keys(zone: ZoneInfo) -> ValueKeys:
    """Return the keys of days, which overlap the timestamps of the day in *zone*."""
    return ValueKeys(_date_key, _date_key, _key_or_text(lambda text: _find_day(text, zone)), has_equal_tags=True)


@lru_cache(MAX_CACHED_ZONES)
def _time_keys(zone: ZoneInfo) -> ValueKeys:
    """Return the keys of instants and of days of *zone*."""
    key = _key_or_text(lambda text: instants_of(text, zone))
    return ValueKeys(key, key, _key_or_text(lambda text: _find_day(text, zone)), has_equal_tags=True)


def _find_day(text: str, zone: ZoneInfo) -> int:
    """Return the number of a day, or of the day in *zone* on which an instant is."""
    time = parse_time(text)
    if not isinstance(time, datetime):
        return time.toordinal()
    instant = find_instant(time, zone)
    return (instant + offset_at(instant, zone)) // DAY + EPOCH_ORDINAL


def find_value_keys(order: Role | None, zone: ZoneInfo = UTC_ZONE) -> ValueKeys | None:
    """Return the keys of an attribute with this order, or None if its values are compared as texts."""
    match order:
        case "number":
            return NUMBER_KEYS
        case "date":
            return _date_keys(zone)
        case "time":
            return _time_keys(zone)
        case "version":
            return VERSION_KEYS
    return None


def value_keys_of(order: Role | None, zone: ZoneInfo = UTC_ZONE) -> ValueKeys:
    """Return the keys of an attribute with this order; without one, the texts.

    Args:
        order: Order of the values.
        zone: Time zone of days and of timestamps without a zone.

    >>> value_keys_of("number").tag("30.0") == value_keys_of("number").tag("30")
    True
    >>> value_keys_of("version").tag("1.2.0") == value_keys_of("version").tag("1.2")
    False
    >>> shanghai = ZoneInfo("Asia/Shanghai")
    >>> len({value_keys_of("time", shanghai).tag(text) for text in ("2020-04-08T08:00", "2020-04-08T00:00Z")})
    1
    """
    return find_value_keys(order, zone) or TEXT_KEYS
