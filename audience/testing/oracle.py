"""Slow and obvious oracle: evaluates an expression for one device at a time, with plain sets.

It covers the attributes `age` (numbers), `active` (dates) and `version` (versions); any other type is a tag. What a
limit chooses depends on all devices: they are given as the *population*.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import combinations
from typing import Any, TypeVar

from audience.language.ast import (
    And,
    Anniversary,
    Between,
    Compare,
    Everyone,
    Except,
    Expr,
    Has,
    Ids,
    Limit,
    Matches,
    Nobody,
    Not,
    Or,
    Sample,
    Segment,
    Split,
    Tag,
    Threshold,
    Top,
    Within,
)
from audience.language.bucketing import bucket_range
from audience.language.patterns import fold_case

T = TypeVar("T")
TOP_SEED = "top"  # of the order of devices with equal values


@dataclass(frozen=True)
class OracleDevice:
    """Device as the oracle sees it.

    Attributes:
        tags: Tags, as (type, value).
        ids: Ids by kind.
        ages: Values of the attribute `age`.
        days: Values of the attribute `active`.
        versions: Values of the attribute `version`.
        buckets: Position in [0, 1) by the seed of a sample, split or limit.
    """

    tags: frozenset[tuple[str, str]] = frozenset()
    ids: Mapping[str, Iterable[str]] = field(default_factory=dict)
    ages: tuple[float, ...] = ()
    days: tuple[date, ...] = ()
    versions: tuple[str, ...] = ()
    buckets: Mapping[str, Any] = field(default_factory=dict)


def is_inside(
    expr: Expr,
    device: OracleDevice,
    segments: Mapping[str, Expr] | None = None,
    population: Sequence[OracleDevice] = (),
) -> bool:
    """Return whether *device* is in the audience *expr*.

    Args:
        expr: Expression to evaluate.
        device: Device with a bucket for each seed in *expr*.
        segments: Saved expressions by the name of their segment.
        population: All devices, *device* among them; only limits need them.

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
            bound = version_key(value)
            return any(_compare_values(version_key(version), operator, bound) for version in device.versions)
        case Between():
            return any(_is_between(value, expr) for value in _values_of(expr.type, device))
        case Matches(type=type_, pattern=pattern, ignores_case=ignores_case):
            texts = [value for tag_type, value in device.tags if tag_type == type_]
            return any(is_text_match(pattern, text, ignores_case) for text in texts)
        case Anniversary(window=window):
            return any(f"{day:%m-%d}" == getattr(window, "time", None) for day in device.days)
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
            return is_inside((segments or {})[name], device, segments, population)
        case Limit(term=term, count=count, seed=seed):
            inside = [other for other in population if is_inside(term, other, segments, population)]
            return any(device is chosen for chosen in sorted(inside, key=lambda one: _position(one, seed))[:count])
        case Top(term=term, count=count, by=by, order=order):
            best = max if order == "top" else min
            inside = [other for other in population if is_inside(term, other, segments, population)]
            valued = [other for other in inside if _values_of(by, other)]
            valued.sort(key=lambda one: _position(one, TOP_SEED))
            valued.sort(key=lambda one: best(_values_of(by, one)), reverse=order == "top")
            return any(device is chosen for chosen in valued[:count])
        case Sample(seed=seed) | Split(seed=seed):
            first, end = bucket_range(expr)
            return bool(first <= device.buckets[seed] < end)
        case Not(term=term):
            return not is_inside(term, device, segments, population)
        case And(terms=terms):
            return all(is_inside(term, device, segments, population) for term in terms)
        case Or(terms=terms):
            return any(is_inside(term, device, segments, population) for term in terms)
        case Except(term=term, excluded=excluded):
            return is_inside(term, device, segments, population) and not is_inside(
                excluded, device, segments, population
            )
        case Threshold(operator=operator, count=count, terms=terms):
            found = sum(is_inside(term, device, segments, population) for term in terms)
            return {"at least": found >= count, "at most": found <= count, "exactly": found == count}[operator]
    raise AssertionError(expr)


def _values_of(type_: str, device: OracleDevice) -> list[Any]:
    """Return the values of an ordered attribute, as they are compared."""
    versions = [version_key(version) for version in device.versions]
    return list({"age": device.ages, "active": device.days, "version": versions}[type_])


def _is_between(value: Any, between: Between) -> bool:
    parse: Any = {"age": float, "active": date.fromisoformat, "version": version_key}[between.type]
    low, high = parse(between.low), parse(between.high)
    is_above = value > low or (between.low_operator == "<=" and value == low)
    return is_above and (value < high or (between.high_operator == "<=" and value == high))


def _tokens_of(pattern: str) -> list[tuple[str, bool]]:
    """Return the characters of *pattern*, and whether each is a wildcard."""
    tokens, characters = list[tuple[str, bool]](), iter(pattern)
    for character in characters:
        tokens.append((next(characters), False) if character == "\\" else (character, character in "*?"))
    return tokens


def is_text_match(pattern: str, text: str, ignores_case: bool) -> bool:
    """Return whether the whole of *text* fits *pattern*."""
    return _is_match(_tokens_of(pattern), text, ignores_case)


def _is_match(tokens: list[tuple[str, bool]], text: str, ignores_case: bool) -> bool:
    if not tokens:
        return not text
    (character, is_wildcard), *rest = tokens
    if is_wildcard and character == "*":
        return any(_is_match(rest, text[start:], ignores_case) for start in range(len(text) + 1))
    if not text:
        return False
    is_equal = text[0] == character or (ignores_case and fold_case(text[0]) == fold_case(character))
    return (is_wildcard or is_equal) and _is_match(rest, text[1:], ignores_case)


def _position(device: OracleDevice, seed: str) -> tuple[Any, str]:
    """Return the order of *device* under *seed*: its bucket, then its id."""
    return device.buckets[seed], next(iter(device.ids.get("registration_id", ())), "")


def _compare_values(value: Any, operator: str, bound: Any) -> bool:
    return bool({"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}[operator])


def version_key(version: str) -> tuple[int, ...]:
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
