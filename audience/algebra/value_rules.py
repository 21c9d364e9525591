"""Implications and exclusions between the conditions of one attribute.

    x < 3           implies  x < 5
    x:4             implies  x between 3 and 5, x >= 4
    x:guangdong     implies  x matches "gua*", which implies x matches "g*"
    x >= 3, x <= 5  imply    x between 3 and 5, if a device has one value
    x > 09:00 today implies  x > yesterday, if x is of instants: a day is all instants of that day

Operands are ordered only if the attribute is known to be of numbers, days, instants or versions. A rule that is not
known makes a proof fail, never wrong.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import combinations
from operator import itemgetter
from typing import Any, Protocol, TypeAlias

from audience.language.ast import (
    And,
    Anniversary,
    Atom,
    Between,
    Compare,
    CompareOp,
    Condition,
    Expr,
    Matches,
    Not,
    Tag,
    Within,
    any_of,
)
from audience.language.patterns import Pattern, read_pattern
from audience.language.windows import Comparison

MAX_PAIRS = 2_000  # of conditions of one attribute; with more, only ranges are compared with their own ends

Key: TypeAlias = Any  # a number, a day or a version
Bound: TypeAlias = tuple[Key, int]  # a key; 1 just above it, -1 just below it


class OperandKeys(Protocol):
    """Keys of the values of an ordered attribute."""

    @property
    def tag(self) -> Any:
        """Function that returns the key of a value."""

    @property
    def operand(self) -> Any:
        """Function that returns the key of an operand."""


@dataclass(frozen=True, slots=True)
class Range:
    """Values from *low* to *high*; None is without bound."""

    low: Bound | None = None
    high: Bound | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether no value is in the range."""
        return self.low is not None and self.high is not None and self.low > self.high

    def contains(self, other: "Range") -> bool:
        """Return whether every value of *other* is in this range."""
        return self.reaches_down_to(other) and self.reaches_up_to(other)

    def reaches_down_to(self, other: "Range") -> bool:
        """Return whether this range begins no later than *other*."""
        return self.low is None or (other.low is not None and self.low <= other.low)

    def reaches_up_to(self, other: "Range") -> bool:
        """Return whether this range ends no earlier than *other*."""
        return self.high is None or (other.high is not None and other.high <= self.high)

    def is_before(self, other: "Range") -> bool:
        """Return whether every value of this range is below every value of *other*."""
        return self.high is not None and other.low is not None and self.high < other.low


@dataclass(frozen=True, slots=True)
class Meaning:
    """Facts about the one value that fits a condition; a part of which nothing is known is None."""

    range: Range | None = None
    text: str | None = None
    pattern: Pattern | None = None
    month_day: str | None = None
    is_anniversary: bool = False

    def implies(self, other: "Meaning") -> bool:
        """Return whether a value that fits this condition also fits *other*."""
        if self.range is not None and other.range is not None and other.range.contains(self.range):
            return True
        if other.pattern is not None:
            if self.pattern is not None:
                return other.pattern.covers(self.pattern)
            return self.text is not None and other.pattern.matches(self.text)
        return other.is_anniversary and self.month_day == other.month_day

    def excludes(self, other: "Meaning") -> bool:
        """Return whether no value fits both conditions."""
        if self.range is not None and other.range is not None:
            return self.range.is_before(other.range) or other.range.is_before(self.range)
        if self.pattern is not None and other.pattern is not None:
            return _begin_differently(self.pattern, other.pattern)
        if self.pattern is not None and other.text is not None:
            return not self.pattern.matches(other.text)
        if self.text is not None and other.pattern is not None:
            return not other.pattern.matches(self.text)
        is_anniversary = self.is_anniversary or other.is_anniversary
        return is_anniversary and None not in (self.month_day, other.month_day) and self.month_day != other.month_day


def _begin_differently(lhs: Pattern, rhs: Pattern) -> bool:
    """Return whether the characters before the first wildcard of one pattern are never those of the other."""
    if lhs.ignores_case or rhs.ignores_case:
        return False
    return not lhs.prefix.startswith(rhs.prefix) and not rhs.prefix.startswith(lhs.prefix)


def iter_value_rules(
    used_atoms: Sequence[Atom], keys: Mapping[str, OperandKeys], exclusive: frozenset[str]
) -> Iterator[Expr]:
    """Yield expressions that are true of every device, for the conditions among *used_atoms*.

    Args:
        used_atoms: Atoms.
        keys: Keys of ordered attributes.
        exclusive: Attributes of which a device has at most one value.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> used = [parse("city:guangdong"), parse('city matches "gua*"'), parse('city matches "hu*"')]
    >>> for rule in iter_value_rules(used, {}, frozenset({"city"})):
    ...     print(render(rule))
    city matches "gua*" OR NOT city:guangdong
    NOT (city:guangdong AND city matches "hu*")
    NOT (city matches "gua*" AND city matches "hu*")
    """
    yield from _iter_own_end_rules(used_atoms, exclusive)
    atoms_by_type: dict[str, list[Tag | Condition]] = {}
    for atom in used_atoms:
        if isinstance(atom, Tag | Condition):
            atoms_by_type.setdefault(atom.type, []).append(atom)
    for type_, same_type in atoms_by_type.items():
        condition_count = sum(isinstance(atom, Condition) for atom in same_type)
        if condition_count and len(same_type) * condition_count <= MAX_PAIRS:
            meanings = {atom: _describe(atom, keys.get(type_)) for atom in same_type}
            yield from _iter_pair_rules(meanings, type_ in exclusive)
            if type_ in exclusive:
                yield from _iter_joined_rules(meanings)


def _iter_own_end_rules(used_atoms: Sequence[Atom], exclusive: frozenset[str]) -> Iterator[Expr]:
    """Yield the rules of a range and the comparisons with its own ends, whatever the order of the attribute is."""
    known = set(used_atoms)
    for between in used_atoms:
        if not isinstance(between, Between):
            continue
        low_operator: CompareOp = ">=" if between.low_operator == "<=" else ">"
        ends: list[Expr] = [
            Compare(between.type, low_operator, between.low),
            Compare(between.type, between.high_operator, between.high),
        ]
        looser: list[Expr] = [Compare(between.type, ">=", between.low), Compare(between.type, "<=", between.high)]
        yield from (any_of([implied, Not(between)]) for implied in dict.fromkeys([*ends, *looser]) if implied in known)
        if between.type in exclusive and known.issuperset(ends):
            yield any_of([between, *map(Not, ends)])


def _iter_pair_rules(meanings: Mapping[Tag | Condition, Meaning], is_exclusive: bool) -> Iterator[Expr]:
    """Yield the rules of every two conditions of an attribute, and of its tags and conditions."""
    for atom, meaning in meanings.items():
        if meaning.range is not None and meaning.range.is_empty:
            yield Not(atom)
    for (lhs, left), (rhs, right) in combinations(meanings.items(), 2):
        if isinstance(lhs, Tag) and isinstance(rhs, Tag):
            continue
        if not isinstance(rhs, Tag) and left.implies(right):
            yield any_of([rhs, Not(lhs)])
        if not isinstance(lhs, Tag) and right.implies(left):
            yield any_of([lhs, Not(rhs)])
        if is_exclusive and left.excludes(right):
            yield Not(And((lhs, rhs)))


def _iter_joined_rules(meanings: Mapping[Tag | Condition, Meaning]) -> Iterator[Expr]:
    """Yield that one value is in a range if it is above one end and below the other."""
    ranges = {atom: meaning.range for atom, meaning in meanings.items() if meaning.range is not None}
    for whole_atom, whole in ranges.items():
        if isinstance(whole_atom, Tag) or whole.low is None or whole.high is None:
            continue
        lows = [(each.low, atom) for atom, each in ranges.items() if each.high is None and whole.reaches_down_to(each)]
        highs = [(each.high, atom) for atom, each in ranges.items() if each.low is None and whole.reaches_up_to(each)]
        if lows and highs:
            (_, low), (_, high) = min(lows, key=itemgetter(0)), max(highs, key=itemgetter(0))
            yield any_of([whole_atom, Not(low), Not(high)])


def _describe(atom: Tag | Condition, keys: OperandKeys | None) -> Meaning:
    """Return what is known of a condition; of one that no rule is about, nothing."""
    compares_text = keys is None or isinstance(keys.tag("1"), str)
    match atom:
        case Matches(pattern=pattern, ignores_case=ignores_case) if compares_text:
            return Meaning(pattern=read_pattern(pattern, ignores_case))
        case Anniversary(window=Comparison(time=str() as month_day)) if atom.is_absolute:
            return Meaning(month_day=month_day, is_anniversary=True)
        case Tag(value=value):
            key = _order_key(value, keys)
            day = f"{key:%m-%d}" if isinstance(key, date) else None
            return Meaning(_find_range(atom, keys), value if compares_text else None, month_day=day)
        case Compare() | Within() | Between():
            return Meaning(_find_range(atom, keys))
    return Meaning()


def _find_range(atom: Tag | Compare | Within | Between, keys: OperandKeys | None) -> Range | None:
    """Return the range of the values that fit *atom*, or None if the order of the attribute is not known."""
    operand = atom.day if isinstance(atom, Within) else atom.low if isinstance(atom, Between) else atom.value
    if instants := _find_instants(operand, keys):
        return _find_instant_range(atom, instants, keys)
    key = _order_key(operand, keys)
    if key is None:
        return None
    match atom:
        case Tag():
            return Range((key, 0), (key, 0))
        case Compare(operator="<" | "<="):
            return Range(high=(key, -1 if atom.operator == "<" else 0))
        case Compare():
            return Range(low=(key, 1 if atom.operator == ">" else 0))
        case Within(days=days):
            days_back = min(days - 1, key.toordinal() - 1) if isinstance(key, date) else None
            return None if days_back is None else Range((key - timedelta(days_back), 0), (key, 0))
        case Between():
            high = _order_key(atom.high, keys)
            low = key, 1 if atom.low_operator == "<" else 0
            return None if high is None else Range(low, (high, -1 if atom.high_operator == "<" else 0))


def _find_instant_range(
    atom: Tag | Compare | Within | Between, instants: tuple[int, int], keys: OperandKeys | None
) -> Range | None:
    """Return the range of the instants that fit *atom*, whose first operand is the half-open range *instants*."""
    start, stop = instants
    match atom:
        case Tag():
            return Range((start, 0), (stop, -1))
        case Compare(operator="<" | "<="):
            return Range(high=(start if atom.operator == "<" else stop, -1))
        case Compare():
            return Range(low=(stop if atom.operator == ">" else start, 0))
        case Within(days=days, day=day):
            first = _find_instants(_days_before(day, days - 1), keys)
            return Range((first[0], 0), (stop, -1)) if first else None
        case Between():
            high = _find_instants(atom.high, keys)
            low = start if atom.low_operator == "<=" else stop
            return Range((low, 0), (high[1] if atom.high_operator == "<=" else high[0], -1)) if high else None


def _find_instants(text: str, keys: OperandKeys | None) -> tuple[int, int] | None:
    """Return the instants that *text* means, which are a single range; None if they are not, or it means none."""
    key = None if keys is None else keys.operand(text)
    match key:
        case ((int() as start, int() as stop),):
            return start, stop
    return None


def _days_before(day: str, days: int) -> str:
    """Return the day that is *days* days before *day*, or no text if the calendar begins later."""
    ordinal = date.fromisoformat(day).toordinal() - days
    return date.fromordinal(ordinal).isoformat() if ordinal >= 1 else ""


def _order_key(text: str, keys: OperandKeys | None) -> Key | None:
    """Return the key by which *text* is ordered, or None if it has none; a timestamp is not ordered among days."""
    key: Hashable = None if keys is None else keys.operand(text)
    return None if isinstance(key, str | tuple | datetime) else key
