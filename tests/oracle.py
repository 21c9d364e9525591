"""Asks each device in turn, with plain sets: slow and obvious."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import combinations

from audience import And, Compare, Everyone, Ids, Nobody, Not, Or, Sample, Segment, Split, Tag, Within
from audience.language.bucketing import bounds


@dataclass(frozen=True)
class Device:
    """What one device has: tags as (type, value), ids by their kind, values of ordered attributes, places by seed."""

    tags: frozenset = frozenset()
    ids: dict = field(default_factory=dict)
    ages: tuple = ()
    days: tuple = ()
    versions: tuple = ()
    places: dict = field(default_factory=dict)


def inside(expr, device: Device, saved=None) -> bool:
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
        case Compare(type="age", order=order, value=value):
            return any(_holds(age, order, float(value)) for age in device.ages)
        case Compare(type="active", order=order, value=value):
            return any(_holds(day, order, date.fromisoformat(value)) for day in device.days)
        case Compare(type="version", order=order, value=value):
            return any(_holds(_version(each), order, _version(value)) for each in device.versions)
        case Within(days=days, day=day):
            last = date.fromisoformat(day)
            return any(last - timedelta(days) < each <= last for each in device.days)
        case Segment(name=name):
            return inside(saved[name], device, saved)
        case Sample(seed=seed) | Split(seed=seed):
            first, end = bounds(expr)
            return first <= device.places[seed] < end
        case Not(term=term):
            return not inside(term, device, saved)
        case And(terms=terms):
            return all(inside(term, device, saved) for term in terms)
        case Or(terms=terms):
            return any(inside(term, device, saved) for term in terms)
    raise AssertionError(expr)


def _holds(value, order, bound) -> bool:
    return {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}[order]


def _version(text: str) -> tuple:
    """1.2 and 1.2.0 are of one rank."""
    numbers = [int(part) for part in text.split(".")]
    return tuple(numbers + [0] * (6 - len(numbers)))


def every_device(tags: list) -> list[Device]:
    """A device for every subset of *tags*."""
    return [Device(tags=frozenset((tag.type, tag.value) for tag in subset)) for subset in subsets(tags)]


def subsets(items) -> list[tuple]:
    return [subset for size in range(len(items) + 1) for subset in combinations(items, size)]
