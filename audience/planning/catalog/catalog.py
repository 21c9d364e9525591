"""The user's table of attributes: what is known of them, and what each vendor calls them.

    [province]                             an attribute
    values = ["guangdong", "hunan"]        closed: there are no other values
    exclusive = true                       a device has at most one of them
    exhaustive = true                      a device has at least one
    order = "version"                      or "number" or "date": it answers < and > where it is closed

    [province.names]                       what vendors call it: a pattern, or a table
    engagelab = "{type}_{value}"
    tpns = "xg_auto_province.{value}"      a type of the vendor's own stands before the first dot
    braze = "home.{type}:{value}"          and where it has types of any name, before the first colon
    emas = { guangdong = "省份_广东", hunan = "省份_湖南" }

Names can be read back, so no two tags share one; a catalog in which they do is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, cast

from audience.algebra.constraints import AttributeConstraints
from audience.index.schema.columns import Role
from audience.index.schema.value_types import SortedStrings, find_rank_range, parse_value
from audience.language.ast import Atom, Compare, Expr, Tag, Within, any_of, map_atoms

MAX_LISTED_DAYS = 31  # a longer stretch of days is not written out


@dataclass(frozen=True, slots=True)
class CatalogAttribute:
    """One attribute of a catalog; *names* has a pattern or a table for each vendor that calls it something."""

    name: str
    values: tuple[str, ...] | None = None
    exclusive: bool = False
    exhaustive: bool = False
    order: str | None = None
    names: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Attributes by their names, and the text they were read from."""

    attributes: Mapping[str, CatalogAttribute]
    text: str = field(default="", repr=False)

    @property
    def constraints(self) -> AttributeConstraints:
        """What follows for every device."""
        found = self.attributes.values()
        return AttributeConstraints(
            frozenset(each.name for each in found if each.exclusive),
            frozenset(each.name for each in found if each.exhaustive),
            {each.name: each.values for each in found if each.values},
        )


def _can_parse(order: Any, value: str) -> bool:
    try:
        parse_value(order, value)
    except ValueError:
        return False
    return True


def expand_comparisons(expr: Expr, catalog: Catalog | None) -> Expr:
    """*expr* with comparisons of closed attributes, and stretches of days, written out as lists of tags.

    >>> from audience.language.printer import render
    >>> from audience.planning.catalog.loader import parse_catalog
    >>> catalog = parse_catalog('[version]\\nvalues = ["1.0", "1.2", "1.10"]\\norder = "version"')
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
        order = cast(Role, attribute.order)
        start, stop = find_rank_range(atom, order, SortedStrings(order, attribute.values))
        return any_of(Tag(atom.type, value, span=atom.span) for value in attribute.values[start:stop])
    if (
        isinstance(atom, Within)
        and attribute.order == "date"
        and atom.days <= MAX_LISTED_DAYS
        and _can_parse("date", atom.day)
    ):
        last = date.fromisoformat(atom.day)
        days = [last - timedelta(days=atom.days - 1 - ago) for ago in range(atom.days)]
        return any_of(Tag(atom.type, day.isoformat(), span=atom.span) for day in days)
    return atom
