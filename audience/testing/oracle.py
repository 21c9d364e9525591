"""Slow and obvious oracle: evaluates an expression for one device at a time, with plain sets.

It covers the attributes `age` (numbers), `active` (dates) and `version` (versions); any other type is a tag.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import combinations
from typing import Any, TypeVar

from audience.language.ast import (
    And,
    Compare,
    Everyone,
    Expr,
    Has,
    Ids,
    Nobody,
    Not,
    Or,
    Sample,
    Segment,
    Split,
    Tag,
    Within,
)
from audience.language.bucketing import bucket_range

T = TypeVar("T")


@dataclass(frozen=True)
class OracleDevice:
    """Device as the oracle sees it.

    Attributes:
        tags: Tags, as (type, value).
        ids: Ids by kind.
        ages: Values of the attribute `age`.
        days: Values of the attribute `active`.
        versions: Values of the attribute `version`.
        buckets: Position in [0, 1) by the seed of a sample or split.
    """

    tags: frozenset[tuple[str, str]] = frozenset()
    ids: Mapping[str, Iterable[str]] = field(default_factory=dict)
    ages: tuple[float, ...] = ()
    days: tuple[date, ...] = ()
    versions: tuple[str, ...] = ()
    buckets: Mapping[str, Any] = field(default_factory=dict)


def is_inside(expr: Expr, device: OracleDevice, segments: Mapping[str, Expr] | None = None) -> bool:
    """Return whether *device* is in the audience *expr*.

    Args:
        expr: Expression to evaluate.
        device: Device with a bucket for each seed in *expr*.
        segments: Saved expressions by the name of their segment.

    >>> from audience import parse
    >>> device = OracleDevice(tags=frozenset({("tag", "vip")}), ages=(30,))
    >>> is_inside(parse("vip AND age >= 18"), device), is_inside(parse("NOT vip"), device)
    (True, False)
    """
    match expr:
        case Everyone():
            return True
        case Nobody():
            return False
        case Tag(type="age", value=value):
            return any(age == float(value) for age in device.ages)
        case Tag(type="active", value=value):
            return any(day == date.fromisoformat(value) for day in device.days)
        case Tag(type=type_, value=value):
            return (type_, value) in device.tags
        case Ids(kind=kind, values=values):
            return any(value in device.ids.get(kind, ()) for value in values)
        case Compare(type="age", operator=operator, value=value):
            return any(_compare_values(age, operator, float(value)) for age in device.ages)
        case Compare(type="active", operator=operator, value=value):
            return any(_compare_values(day, operator, date.fromisoformat(value)) for day in device.days)
        case Compare(type="version", operator=operator, value=value):
            bound = _version_key(value)
            return any(_compare_values(_version_key(version), operator, bound) for version in device.versions)
        case Within(days=days, day=day):
            last = date.fromisoformat(day)
            return any(last - timedelta(days) < active <= last for active in device.days)
        case Has(type="age"):
            return bool(device.ages)
        case Has(type="active"):
            return bool(device.days)
        case Has(type="version"):
            return bool(device.versions)
        case Has(type=type_):
            return any(tag_type == type_ for tag_type, _ in device.tags) or any(device.ids.get(type_, ()))
        case Segment(name=name):
            return is_inside((segments or {})[name], device, segments)
        case Sample(seed=seed) | Split(seed=seed):
            first, end = bucket_range(expr)
            return bool(first <= device.buckets[seed] < end)
        case Not(term=term):
            return not is_inside(term, device, segments)
        case And(terms=terms):
            return all(is_inside(term, device, segments) for term in terms)
        case Or(terms=terms):
            return any(is_inside(term, device, segments) for term in terms)
    raise AssertionError(expr)


def _compare_values(value: Any, operator: str, bound: Any) -> bool:
    return bool({"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}[operator])


def _version_key(version: str) -> tuple[int, ...]:
    """Return the sort key of *version*: 1.2 and 1.2.0 have the same one."""
    numbers = [int(part) for part in version.split(".")]
    return tuple(numbers + [0] * (6 - len(numbers)))


def devices_of_all_tag_sets(tags: Iterable[Tag]) -> list[OracleDevice]:
    """Return a device for every subset of *tags*.

    >>> [len(device.tags) for device in devices_of_all_tag_sets([Tag("tag", "a"), Tag("tag", "b")])]
    [0, 1, 1, 2]
    """
    return [OracleDevice(tags=frozenset((tag.type, tag.value) for tag in subset)) for subset in all_subsets(tags)]


def all_subsets(items: Iterable[T]) -> list[tuple[T, ...]]:
    """Return every subset of *items*, the smallest first.

    >>> all_subsets("ab")
    [(), ('a',), ('b',), ('a', 'b')]
    """
    items = list(items)
    return [subset for size in range(len(items) + 1) for subset in combinations(items, size)]
