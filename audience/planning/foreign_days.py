"""Refuse days of another time zone than that of the index where a vendor has an attribute of instants.

The days that a vendor has were cut in one zone, which is that of the index. A question about the days of another zone
is answered from the instants of the index.
"""

from collections.abc import Mapping
from dataclasses import replace

from audience.errors import Problem
from audience.index.schema.columns import Role
from audience.index.schema.value_types import DATE
from audience.language.as_of import AsOf
from audience.language.ast import Anniversary, Atom, Between, Compare, Expr, Tag, Within, atoms
from audience.language.printer import render
from audience.vendors.spec import Payload, Unsupported, Vendor


def refuse_foreign_days(vendor: Vendor, roles: Mapping[str, Role], asked: AsOf, index_timezone: str) -> Vendor:
    """Return *vendor* with an `emit` that refuses days of attributes of instants if they are of another zone.

    Args:
        vendor: Vendor to restrict.
        roles: Roles of the attributes of the index.
        asked: Question, with the zone whose days are meant.
        index_timezone: Time zone of the index.
    """
    instants = {name for name, role in roles.items() if role == "time"}
    if not instants or asked.timezone == index_timezone:
        return vendor

    def find_problems(atom: Atom) -> list[Problem]:
        if getattr(atom, "type", None) not in instants or not _asks_for_days(atom):
            return []
        message = f"{render(atom)!r} asks for days of {asked.timezone}; {vendor.name} has days of {index_timezone}"
        return [Problem("other-timezone-days", message, getattr(atom, "span", None))]

    def emit(expr: Expr) -> Payload:
        payload = vendor.emit(expr)
        if problems := [problem for atom in atoms(expr) for problem in find_problems(atom)]:
            raise Unsupported(problems)
        return payload

    def tag_problems(tag: Tag) -> list[Problem]:
        return [*vendor.tag_problems(tag), *find_problems(tag)]

    return replace(vendor, emit=emit, tag_problems=tag_problems)


def _asks_for_days(atom: Atom) -> bool:
    match atom:
        case Within() | Anniversary():
            return True
        case Tag(value=value) | Compare(value=value):
            return DATE.accepts(value)
        case Between(low=low, high=high):
            return DATE.accepts(low) or DATE.accepts(high)
    return False
