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

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TypeAlias

from audience.algebra.constraints import AttributeConstraints
from audience.index.schema.columns import Role
from audience.index.schema.value_types import DATE, SortedStrings, find_rank_range, value_type_of
from audience.language.ast import Atom, Compare, Expr, Tag, Within, any_of, map_atoms

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
    """

    name: str
    values: tuple[str, ...] | None = None
    exclusive: bool = False
    exhaustive: bool = False
    order: Role | None = None
    names: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    at: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    builtin: tuple[str, ...] = ()
    listed: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "listed", frozenset(self.values or ()))


ReferenceMeanings: TypeAlias = Mapping[tuple[str, str], Expr]  # vendor and value of a reference → what it means


@dataclass(frozen=True, slots=True)
class Catalog:
    """Attributes by name, the meanings of references, and the text of the catalog."""

    attributes: Mapping[str, CatalogAttribute]
    references: ReferenceMeanings = field(default_factory=dict)
    text: str = field(default="", repr=False)

    @property
    def constraints(self) -> AttributeConstraints:
        """Constraints that hold for every device."""
        attributes = self.attributes.values()
        return AttributeConstraints(
            frozenset(attribute.name for attribute in attributes if attribute.exclusive),
            frozenset(attribute.name for attribute in attributes if attribute.exhaustive),
            {attribute.name: attribute.values for attribute in attributes if attribute.values},
        )


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
    if attribute.values:
        sorted_values = SortedStrings(value_type_of(attribute.order), attribute.values)
        start, stop = find_rank_range(atom, sorted_values)
        values = attribute.values[start:stop]
    elif isinstance(atom, Within) and attribute.order == "date" and _is_short_range(atom):
        last_day = date.fromisoformat(atom.day)
        days = [last_day - timedelta(days=days_ago) for days_ago in reversed(range(atom.days))]
        values = tuple(day.isoformat() for day in days)
    else:
        return atom
    return any_of(Tag(atom.type, value, span=atom.span) for value in values)


def _is_short_range(within: Within) -> bool:
    return within.days <= MAX_LISTED_DAYS and DATE.accepts(within.day)
