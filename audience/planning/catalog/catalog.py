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

A vendor that has a name for a tag has the tag. The untyped tags are the attribute `tag`.
Names must be reversible: a catalog that gives one name to two tags is rejected.
"""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from audience.algebra.constraints import AttributeConstraints, ValueKeys, unify_spellings
from audience.index.query.instants import find_instants
from audience.index.schema.columns import Role
from audience.index.schema.instant_sets import contains, find_instant
from audience.index.schema.value_types import DATE, SortedStrings, find_rank_range, value_type_of
from audience.language.ast import Atom, Compare, Expr, Tag, Within, any_of, map_atoms
from audience.language.zones import UTC_ZONE
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


ReferenceMeanings: TypeAlias = Mapping[tuple[str, str], Expr]  # vendor and value of a reference → what it means


@dataclass(frozen=True, slots=True)
class Catalog:
    """Attributes by name, the meanings of references, and the text of the catalog."""

    attributes: Mapping[str, CatalogAttribute]
    references: ReferenceMeanings = field(default_factory=dict)
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
    listed = attribute.values and tuple(sorted(attribute.values, key=lambda value: find_instant(value, zone)))
    return replace(attribute, order="time", values=listed, zone=zone)


def _is_timestamp(value: str, zone: ZoneInfo) -> bool:
    with suppress(ValueError):
        find_instant(value, zone)
        return True
    return False


def unify_values(expr: Expr, catalog: Catalog | None, roles: Mapping[str, Role], zone: ZoneInfo = UTC_ZONE) -> Expr:
    r"""Return *expr* with one spelling of each value: that of the catalog, or else the first.

    Args:
        expr: Expression.
        catalog: Catalog with the orders of the columns, see `with_column_types`.
        roles: Roles of the attributes of an index.
        zone: Time zone of the index.

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
    return unify_spellings([expr], AttributeConstraints(values=named_values, keys=keys))[0]


def expand_comparisons(expr: Expr, catalog: Catalog | None) -> Expr:
    r"""Return *expr* with comparisons of closed attributes and short ranges of days replaced by lists of tags.

    >>> from audience.language.printer import render
    >>> from audience.planning.catalog.loader import parse_catalog
    >>> catalog = parse_catalog('[version]\nvalues = ["1.0", "1.2", "1.10"]\norder = "version"')
    >>> render(expand_comparisons(Compare("version", ">=", "1.2"), catalog))
    'version:1.2 OR version:1.10'
    """
    if catalog is None:
        return expr
    return map_atoms(expr, lambda atom: _expand_atom(atom, catalog.attributes.get(getattr(atom, "type", ""))))


def _expand_atom(atom: Atom, attribute: CatalogAttribute | None) -> Expr:
    if not isinstance(atom, Compare | Within) or attribute is None or attribute.order is None:
        return atom
    if attribute.zone is not None and attribute.order == "time":
        return _expand_instants(atom, attribute, attribute.zone)
    if attribute.zone is not None and isinstance(atom, Compare) and not DATE.accepts(atom.value):
        return atom  # the catalog lists days, and the question is about an instant
    if attribute.values:
        sorted_values = SortedStrings(value_type_of(attribute.order), attribute.values)
        start, stop = find_rank_range(atom, sorted_values)
        values = attribute.values[start:stop]
    elif isinstance(atom, Within) and attribute.order == "date" and _is_short_range(atom):
        last_day = date.fromisoformat(atom.day)
        day_count = min(atom.days, last_day.toordinal())  # there are no days before 0001-01-01
        days = [last_day - timedelta(days=days_ago) for days_ago in reversed(range(day_count))]
        values = tuple(attribute.spelling(day.isoformat()) for day in days)
    else:
        return atom
    return any_of(Tag(atom.type, value, span=atom.span) for value in values)


def _expand_instants(atom: Compare | Within, attribute: CatalogAttribute, zone: ZoneInfo) -> Expr:
    """Return the listed timestamps that fit *atom*; *atom* itself if others may fit too."""
    if not attribute.values:
        return atom
    fitting = find_instants(atom, zone)
    values = [value for value in attribute.values if contains(fitting, find_instant(value, zone))]
    return any_of(Tag(atom.type, value, span=atom.span) for value in values)


def _is_short_range(within: Within) -> bool:
    return within.days <= MAX_LISTED_DAYS and DATE.accepts(within.day)
