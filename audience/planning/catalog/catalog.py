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

from audience.algebra.constraints import Facts
from audience.index.schema.columns import Role
from audience.index.schema.value_types import Texts, read, stretch
from audience.language.ast import Atom, Compare, Expr, Tag, Within, any_of, rewritten

MOST_DAYS = 31  # a longer stretch of days is not written out


@dataclass(frozen=True, slots=True)
class Attribute:
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

    attributes: Mapping[str, Attribute]
    text: str = field(default="", repr=False)

    @property
    def facts(self) -> Facts:
        """What follows for every device."""
        found = self.attributes.values()
        return Facts(
            frozenset(each.name for each in found if each.exclusive),
            frozenset(each.name for each in found if each.exhaustive),
            {each.name: each.values for each in found if each.values},
        )


def _readable(order: Any, value: str) -> bool:
    try:
        read(order, value)
    except ValueError:
        return False
    return True


def resolved(expr: Expr, catalog: Catalog | None) -> Expr:
    """*expr* with comparisons of closed attributes, and stretches of days, written out as lists of tags.

    >>> from audience.language.printer import render
    >>> from audience.planning.catalog.loader import loads
    >>> catalog = loads('[version]\\nvalues = ["1.0", "1.2", "1.10"]\\norder = "version"')
    >>> render(resolved(Compare("version", ">=", "1.2"), catalog))
    'version:1.2 OR version:1.10'
    """
    if catalog is None:
        return expr
    return rewritten(expr, lambda atom: _written_out(atom, catalog.attributes.get(getattr(atom, "type", ""))))


def _written_out(query: Atom, attribute: Attribute | None) -> Expr:
    if not isinstance(query, Compare | Within) or attribute is None or attribute.order is None:
        return query
    if attribute.values:
        order = cast(Role, attribute.order)
        start, stop = stretch(query, order, Texts(order, attribute.values))
        return any_of(Tag(query.type, value, span=query.span) for value in attribute.values[start:stop])
    if (
        isinstance(query, Within)
        and attribute.order == "date"
        and query.days <= MOST_DAYS
        and _readable("date", query.day)
    ):
        last = date.fromisoformat(query.day)
        days = [last - timedelta(days=query.days - 1 - ago) for ago in range(query.days)]
        return any_of(Tag(query.type, day.isoformat(), span=query.span) for day in days)
    return query
