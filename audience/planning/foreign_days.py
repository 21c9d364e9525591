"""Convert days of attributes of instants to instants, or refuse them, where a vendor has days of another time zone.

The days that a vendor has were cut in one zone, which is that of the index. A question about the days of another zone
is answered from the instants of the index. A vendor that has the instants themselves, and whose own days begin at
midnight UTC, is asked for instants. One that cuts days itself is asked for those of its own zone only.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

from audience.errors import ExpressionError, Problem
from audience.index.schema.columns import Role
from audience.index.schema.value_types import DATE
from audience.language.as_of import AsOf
from audience.language.ast import Anniversary, Atom, Between, Compare, Expr, Tag, Within, map_atoms
from audience.language.printer import render
from audience.language.zones import DEFAULT_ZONE, load_zone
from audience.planning.refused_atoms import refuse_atoms
from audience.vendors.spec import Vendor

ZONES_BY_ASSUMPTION = {  # where a vendor cuts days, by the code of the assumption that says so
    "dates": DEFAULT_ZONE,
    "vendor-days": "Asia/Shanghai",
    "open-end": "Asia/Shanghai",
    "first-day": "Asia/Shanghai",
}


def refuse_foreign_days(vendor: Vendor, roles: Mapping[str, Role], asked: AsOf, index_timezone: str) -> Vendor:
    """Return *vendor* with an `emit` that refuses days of attributes of instants if they are of another zone.

    Args:
        vendor: Vendor to restrict.
        roles: Roles of the attributes of the index.
        asked: Question, with the zone whose days are meant.
        index_timezone: Time zone of the index.
    """
    instants = {name for name, role in roles.items() if role == "time"}
    if not instants:
        return vendor

    def find_problems(atom: Atom) -> list[Problem]:
        if getattr(atom, "type", None) not in instants or not _asks_for_days(atom):
            return []
        timezone = _find_zone(atom, vendor) or index_timezone
        if _have_same_days(asked, timezone):
            return []
        message = f"{render(atom)!r} asks for days of {asked.timezone}; {vendor.name} has days of {timezone}"
        return [Problem("other-timezone-days", message, getattr(atom, "span", None))]

    return refuse_atoms(vendor, find_problems)


def convert_days_to_instants(expr: Expr, vendor: Vendor, roles: Mapping[str, Role], asked: AsOf) -> Expr:
    """Return *expr* with instants for the days of attributes of instants that *vendor* has as such.

    Args:
        expr: Expression with relative times bound.
        vendor: Vendor whose functions translate the names of the catalog.
        roles: Roles of the attributes of the index.
        asked: Question, with the zone whose days are meant.
    """
    if asked.timezone == DEFAULT_ZONE or "time" not in roles.values():
        return expr
    from audience.index.query.instants import to_instants  # plans without such attributes do not load it

    def convert(atom: Atom) -> Expr:
        if roles.get(getattr(atom, "type", "")) == "time" and _asks_for_days(atom) and _has_instants(atom, vendor):
            with suppress(ExpressionError):  # the index refuses the day when it is asked
                return to_instants(atom, roles, asked.zone)
        return atom

    return map_atoms(expr, convert)


def _has_instants(atom: Atom, vendor: Vendor) -> bool:
    """Return whether *vendor* has the attribute of *atom* as instants, and begins its days at midnight UTC."""
    return _find_zone(atom, vendor) == DEFAULT_ZONE


def _find_zone(atom: Atom, vendor: Vendor) -> str | None:
    """Return the zone in which *vendor* itself cuts the days of *atom*; None if it has them from the index."""
    codes = (problem.code for problem in vendor.assumptions(atom))
    return next((ZONES_BY_ASSUMPTION[code] for code in codes if code in ZONES_BY_ASSUMPTION), None)


def _have_same_days(asked: AsOf, timezone: str) -> bool:
    """Return whether days of the question begin when those of *timezone* do, in winter and in summer."""
    if asked.timezone == timezone:
        return True
    other, half_year = load_zone(timezone), timedelta(182)
    moments = (asked.moment, asked.moment - half_year, asked.moment - 2 * half_year)
    return timezone != DEFAULT_ZONE and all(
        moment.astimezone(asked.zone).utcoffset() == moment.astimezone(other).utcoffset() for moment in moments
    )


def _asks_for_days(atom: Atom) -> bool:
    match atom:
        case Within() | Anniversary():
            return True
        case Tag(value=value) | Compare(value=value):
            return DATE.accepts(value)
        case Between(low=low, high=high):
            return DATE.accepts(low) or DATE.accepts(high)
    return False
