"""Catalog: known constraints of attributes and their names at vendors.

    [province]                             an attribute
    values = ["guangdong", "hunan"]        closed: no other values exist
    exclusive = true                       a device has at most one value
    exhaustive = true                      a device has at least one value
    order = "version"                      or "number" or "date": `<` and `>` work if the attribute is closed
    at = ["onesignal"]                     these vendors have its tags, under its own name
    at = { onesignal = ["gu*", "hunan"] }  they have the tags of these values only; `*` and `?` match any text
    builtin = ["tpns"]                     it is what these vendors keep by themselves, as TPNS's xg_auto_province

    [province.names]                       names at vendors: a pattern or a table
    engagelab = "{type}_{value}"
    tpns = "xg_auto_province.{value}"      the vendor's own type comes before the first dot
    braze = "home.{type}:{value}"          or before the first colon, if the vendor has types of any name
    emas = { guangdong = "省份_广东", hunan = "省份_湖南" }

    [events.purchase]                      an event of the index that these vendors count too
    names = { airship = "bought" }

A vendor that has a name for a tag has the tag. The untyped tags are the attribute `tag`.
Names must be reversible: a catalog that gives one name to two tags is rejected.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TypeAlias
from zoneinfo import ZoneInfo

from audience.algebra.constraints import AttributeConstraints, ValueKeys, unify_spellings
from audience.index.query.instants import find_instants
from audience.index.schema.columns import Role
from audience.index.schema.instant_sets import contains
from audience.index.schema.value_types import DATE, SortedStrings, find_rank_range, value_type_of
from audience.language.ast import (
    Anniversary,
    Atom,
    Between,
    Compare,
    Condition,
    Expr,
    Matches,
    Tag,
    Within,
    any_of,
    map_atoms,
)
from audience.language.patterns import read_pattern
from audience.language.windows import Comparison
from audience.language.zones import UTC_ZONE, parse_instant
from audience.planning.catalog.name_index import NameIndex
from audience.planning.catalog.value_keys import find_value_keys, value_keys_of

MAX_LISTED_DAYS = 31  # a longer range of days is not expanded


@dataclass(frozen=True, slots=True)
class CatalogAttribute:
    """Attribute of a catalog.

    Attributes:
        name: Type of its tags; `tag` for untyped ones.
        values: All values of a closed attribute; None if there may be others.
        exclusive: Whether a device has at most one value.
        exhaustive: Whether a device has at least one value.
        order: How values compare.
        names: Pattern or table of names per vendor.
        at: Patterns of the values that a vendor has under the attribute's own name; None if it has all of them.
        builtin: Vendors that keep the attribute by themselves.
        zone: Time zone of the instants that the column of an index holds; None if it holds none.
    """

    name: str
    values: tuple[str, ...] | None = None
    exclusive: bool = False
    exhaustive: bool = False
    order: Role | None = None
    names: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    at: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    builtin: tuple[str, ...] = ()
    zone: ZoneInfo | None = None
    listed: frozenset[str] = field(init=False, repr=False, compare=False)
    _spellings: Mapping[Hashable, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "listed", frozenset(self.values or ()))
        spellings: dict[Hashable, str] = {}
        for value in self.named_values:
            spellings.setdefault(self._value_key(value), value)
        object.__setattr__(self, "_spellings", spellings)

    @property
    def keys(self) -> ValueKeys | None:
        """Return what decides whether two values are equal; None if their texts do."""
        return find_value_keys(self.order) if self.zone is None else find_value_keys("time", self.zone)

    def _value_key(self, value: str) -> Hashable:
        return value if self.keys is None else self.keys.tag(value)

    @property
    def named_values(self) -> Iterator[str]:
        """Yield the values that are listed, then those that have a name at a vendor."""
        yield from self.values or ()
        for naming in self.names.values():
            yield from naming if isinstance(naming, Mapping) else ()

    def spelling(self, value: str) -> str:
        """Return *value* as the catalog spells it, or unchanged if the catalog does not name it.

        >>> CatalogAttribute("age", ("18", "30.0"), order="number").spelling("30")
        '30.0'
        """
        return self._spellings.get(self._value_key(value), value)


@dataclass(frozen=True, slots=True)
class CatalogEvent:
    """Event of the index that vendors count too.

    Attributes:
        name: Its name in the index.
        at: Vendors that count it under the same name.
        names: Its names at other vendors.
    """

    name: str
    at: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def name_at(self, family: Sequence[str]) -> str | None:
        """Return its name at the first vendor of *family* that counts it, or None if none does.

        >>> CatalogEvent("purchase", names={"airship": "bought"}).name_at(("airship", "channel"))
        'bought'
        """
        named = (self.names.get(vendor, self.name if vendor in self.at else None) for vendor in family)
        return next((name for name in named if name is not None), None)


ReferenceMeanings: TypeAlias = Mapping[tuple[str, str], Expr]  # vendor and value of a reference → what it means


@dataclass(frozen=True, slots=True)
class Catalog:
    """Attributes by name, the meanings of references, events by name, and the text of the catalog."""

    attributes: Mapping[str, CatalogAttribute]
    references: ReferenceMeanings = field(default_factory=dict)
    events: Mapping[str, CatalogEvent] = field(default_factory=dict)
    text: str = field(default="", repr=False)
    name_indexes: dict[Hashable, NameIndex] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def constraints(self) -> AttributeConstraints:
        """Constraints that hold for every device."""
        attributes = self.attributes.values()
        return AttributeConstraints(
            frozenset(attribute.name for attribute in attributes if attribute.exclusive),
            frozenset(attribute.name for attribute in attributes if attribute.exhaustive),
            {attribute.name: attribute.values for attribute in attributes if attribute.values},
            {attribute.name: attribute.keys for attribute in attributes if attribute.keys is not None},
        )


def without_listed_values(catalog: Catalog) -> Catalog:
    """Return *catalog* in which no attribute lists its values; itself if none does."""
    if all(attribute.values is None for attribute in catalog.attributes.values()):
        return catalog
    attributes = {name: replace(attribute, values=None) for name, attribute in catalog.attributes.items()}
    return replace(catalog, attributes=attributes)


def with_column_types(catalog: Catalog | None, roles: Mapping[str, Role], zone: ZoneInfo = UTC_ZONE) -> Catalog | None:
    """Return *catalog* with the orders of the columns of an index, which decide whether two values are equal.

    An attribute keeps its order if its values are not values of the column, or if both order them alike.

    Args:
        catalog: Catalog.
        roles: Roles of the attributes of the index.
        zone: Time zone of the index.
    """
    if catalog is None:
        return None
    attributes = {
        name: _with_column_type(attribute, roles[name], zone) if name in roles else attribute
        for name, attribute in catalog.attributes.items()
    }
    return replace(catalog, attributes=attributes)


def _with_column_type(attribute: CatalogAttribute, role: Role, zone: ZoneInfo) -> CatalogAttribute:
    if role == "time":
        return _with_instants(attribute, zone)
    if role == attribute.order:
        return attribute
    if find_value_keys(role) is None:  # the index compares texts, as it does for versions
        return attribute if attribute.order == "version" else replace(attribute, order=None)
    value_type, key = value_type_of(role), value_keys_of(role).tag
    values = list(dict.fromkeys(attribute.named_values))
    if not all(map(value_type.accepts, values)) or len(set(map(key, values))) < len(values):
        return replace(attribute, order=None)
    listed = None if attribute.values is None else tuple(sorted(attribute.values, key=value_type.parse))
    return replace(attribute, order=role, values=listed)


def _with_instants(attribute: CatalogAttribute, zone: ZoneInfo) -> CatalogAttribute:
    """Return *attribute* for a column of instants: its values are days of *zone*, or timestamps."""
    if attribute.order == "date":
        return replace(attribute, zone=zone)
    values, key = list(dict.fromkeys(attribute.named_values)), value_keys_of("time", zone).tag
    if not all(_is_timestamp(value, zone) for value in values) or len(set(map(key, values))) < len(values):
        return replace(attribute, order=None)
    listed = attribute.values and tuple(sorted(attribute.values, key=lambda value: parse_instant(value, zone)))
    return replace(attribute, order="time", values=listed, zone=zone)


def _is_timestamp(value: str, zone: ZoneInfo) -> bool:
    with suppress(ValueError):
        parse_instant(value, zone)
        return True
    return False


def unify_values(
    expr: Expr,
    catalog: Catalog | None,
    roles: Mapping[str, Role],
    zone: ZoneInfo = UTC_ZONE,
    spellings: Mapping[str, Iterable[str]] | None = None,
) -> Expr:
    r"""Return *expr* with one spelling of each value: that of the catalog, or that of the index, or else the first.

    Args:
        expr: Expression.
        catalog: Catalog with the orders of the columns, see `with_column_types`.
        roles: Roles of the attributes of an index.
        zone: Time zone of the index.
        spellings: Values of the index by attribute, as it spells them.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> from audience.planning.catalog.loader import parse_catalog
    >>> catalog = parse_catalog('[age]\nvalues = ["18", "30.0"]\norder = "number"')
    >>> render(unify_values(parse("age:30 OR size:1 OR size:1.0"), catalog, {"size": "number"}))
    'age:30.0 OR size:1 OR size:1'
    """
    attributes = {} if catalog is None else catalog.attributes
    known = {name: find_value_keys(role, zone) for name, role in roles.items()}
    known |= {name: attribute.keys for name, attribute in attributes.items()}
    keys = {name: each for name, each in known.items() if each is not None}
    named_values = {name: tuple(attribute.named_values) for name, attribute in attributes.items()}
    for name, values in (spellings or {}).items():
        named_values[name] = (*named_values.get(name, ()), *values)
    return unify_spellings([expr], AttributeConstraints(values=named_values, keys=keys))[0]


def expand_comparisons(
    expr: Expr, catalog: Catalog | None, is_native: Callable[[Condition], bool] = lambda condition: False
) -> Expr:
    r"""Return *expr* with conditions of closed attributes and short ranges of days replaced by lists of tags.

    Args:
        expr: Expression in absolute times.
        catalog: Catalog with the values and orders of attributes.
        is_native: Returns whether a vendor has a form of its own for a range of days, which then stays.

    >>> from audience.language.printer import render
    >>> from audience.planning.catalog.loader import parse_catalog
    >>> catalog = parse_catalog('[version]\nvalues = ["1.0", "1.2", "1.10"]\norder = "version"')
    >>> render(expand_comparisons(Compare("version", ">=", "1.2"), catalog))
    'version:1.2 OR version:1.10'
    >>> render(expand_comparisons(Matches("version", "1.?"), catalog))
    'version:1.0 OR version:1.2'
    """
    if catalog is None:
        return expr

    def expand(atom: Atom) -> Expr:
        attribute = catalog.attributes.get(getattr(atom, "type", ""))
        if attribute is None or not isinstance(atom, Condition):
            return atom
        values = _find_listed_values(atom, attribute) if attribute.values else _list_days(atom, attribute)
        if values is None or (not attribute.values and is_native(atom)):
            return atom
        return any_of(Tag(atom.type, value, span=atom.span) for value in values)

    return map_atoms(expr, expand)


def _find_listed_values(atom: Condition, attribute: CatalogAttribute) -> Sequence[str] | None:
    """Return the values of a closed attribute that fit *atom*, or None if its values do not compare so."""
    values, order = attribute.values or (), attribute.order
    match atom:
        case Matches(pattern=pattern, ignores_case=ignores_case):
            if order not in (None, "version"):  # numbers and days are not texts
                return None
            matches = read_pattern(pattern, ignores_case).matches
            return [value for value in values if matches(value)]
        case Anniversary(window=Comparison(time=str() as month_day)):
            is_day = order == "date" and all(map(DATE.accepts, values))
            return [value for value in values if f"{DATE.parse(value):%m-%d}" == month_day] if is_day else None
        case Anniversary():
            return None
    if order is None:
        return None
    zone = attribute.zone
    if zone is not None and order == "time":
        fitting = find_instants(atom, zone)
        return [value for value in values if contains(fitting, parse_instant(value, zone))]
    if zone is not None and not all(map(DATE.accepts, _list_operands(atom))):
        return None  # the catalog lists days, and the question is about an instant
    start, stop = find_rank_range(atom, SortedStrings(value_type_of(order), values))
    return values[start:stop]


def _list_operands(atom: Compare | Within | Between) -> list[str]:
    match atom:
        case Compare(value=value):
            return [value]
        case Within(day=day):
            return [day]
        case Between(low=low, high=high):
            return [low, high]


def _list_days(atom: Condition, attribute: CatalogAttribute) -> Sequence[str] | None:
    """Return the days of a short range of days, as the catalog spells them; None if *atom* is another condition."""
    days = _find_day_range(atom) if attribute.order == "date" else None
    if days is None or days[1] - days[0] >= MAX_LISTED_DAYS:
        return None
    return [attribute.spelling(date.fromordinal(number).isoformat()) for number in range(days[0], days[1] + 1)]


def _find_day_range(atom: Condition) -> tuple[int, int] | None:
    """Return the ordinals of the first and the last day of a range of days, or None if *atom* is another condition."""
    match atom:
        case Within(days=days, day=day) if DATE.accepts(day):
            last = DATE.parse(day).toordinal()
            return max(last - days + 1, date.min.toordinal()), last
        case Between(low=low, high=high) if DATE.accepts(low) and DATE.accepts(high):
            first = DATE.parse(low).toordinal() + (atom.low_operator == "<")
            return first, DATE.parse(high).toordinal() - (atom.high_operator == "<")
    return None
