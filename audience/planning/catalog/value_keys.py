"""Compare the values of ordered attributes as numbers, days and versions instead of texts.

number     30, 30.0 and 3e1 are one value
date       2020-04-08 and 20200408 are one day
version    1.2 and 1.2.0 rank alike and may be one version, but they are two tags, as at every vendor
time       a day covers the timestamps of that day
"""

from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from functools import lru_cache

from audience.algebra.constraints import ValueKey, ValueKeys
from audience.index.schema.columns import Role
from audience.index.schema.value_types import DATE, NUMBER, TIME, VERSION

MAX_CACHED_KEYS = 16_384


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


def _parse_day(text: str) -> Hashable:
    value = TIME.parse_operand(text)
    return value.date() if isinstance(value, datetime) else value


_number_key, _date_key, _time_key, _version_key, _day_key = map(
    _key_or_text, (NUMBER.parse, DATE.parse, TIME.parse_operand, VERSION.parse, _parse_day)
)
VALUE_KEYS: Mapping[Role | None, ValueKeys] = {
    "number": ValueKeys(_number_key, _number_key, _number_key, has_equal_tags=True),
    "date": ValueKeys(_date_key, _date_key, _day_key, has_equal_tags=True),
    "time": ValueKeys(_time_key, _time_key, _day_key, has_equal_tags=True),
    "version": ValueKeys(tag=_text_key, operand=_version_key, overlap=_version_key),
}
TEXT_KEYS = ValueKeys(tag=_text_key, operand=_text_key, overlap=_text_key)


def value_keys_of(order: Role | None) -> ValueKeys:
    """Return the keys of an attribute with this order; without one, the texts.

    >>> value_keys_of("number").tag("30.0") == value_keys_of("number").tag("30")
    True
    >>> value_keys_of("version").tag("1.2.0") == value_keys_of("version").tag("1.2")
    False
    """
    return VALUE_KEYS.get(order, TEXT_KEYS)
