"""Asks each device in turn, with plain sets: slow and obvious."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import combinations

from audience import And, Compare, Everyone, Ids, Nobody, Not, Or, Sample, Segment, Split, Tag, Within
from audience.language.bucketing import bucket_range


@dataclass(frozen=True)
class OracleDevice:
    """What one device has: tags as (type, value), ids by their kind, values of ordered attributes, places by seed."""

    tags: frozenset = frozenset()
    ids: dict = field(default_factory=dict)
    ages: tuple = ()
    days: tuple = ()
    versions: tuple = ()
    buckets: dict = field(default_factory=dict)


def is_inside(expr, device: OracleDevice, segments=None) -> bool:
    """Whether *device* is in the audience; *saved* has what segments stand for."""
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
        case Compare(type="age", operator=order, value=value):
            return any(_compare_values(age, order, float(value)) for age in device.ages)
        case Compare(type="active", operator=order, value=value):
            return any(_compare_values(day, order, date.fromisoformat(value)) for day in device.days)
        case Compare(type="version", operator=order, value=value):
            return any(_compare_values(_version_key(each), order, _version_key(value)) for each in device.versions)
        case Within(days=days, day=day):
            last = date.fromisoformat(day)
            return any(last - timedelta(days) < each <= last for each in device.days)
        case Segment(name=name):
            return is_inside(segments[name], device, segments)
        case Sample(seed=seed) | Split(seed=seed):
            first, end = bucket_range(expr)
            return first <= device.buckets[seed] < end
        case Not(term=term):
            return not is_inside(term, device, segments)
        case And(terms=terms):
            return all(is_inside(term, device, segments) for term in terms)
        case Or(terms=terms):
            return any(is_inside(term, device, segments) for term in terms)
    raise AssertionError(expr)


def _compare_values(value, operator, bound) -> bool:
    return {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}[operator]


def _version_key(text: str) -> tuple:
    """1.2 and 1.2.0 are of one rank."""
    numbers = [int(part) for part in text.split(".")]
    return tuple(numbers + [0] * (6 - len(numbers)))


def devices_of_all_tag_sets(tags: list) -> list[OracleDevice]:
    """A device for every subset of *tags*."""
    return [OracleDevice(tags=frozenset((tag.type, tag.value) for tag in subset)) for subset in all_subsets(tags)]


def all_subsets(items) -> list[tuple]:
    return [subset for size in range(len(items) + 1) for subset in combinations(items, size)]
