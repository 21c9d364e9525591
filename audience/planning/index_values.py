"""Write conditions that a vendor cannot express as the values of the index that fit.

version > 1.2        version:1.10 OR version:1.3        if the index has no other versions above 1.2
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from audience.errors import ExpressionError, Problem
from audience.language.ast import (
    Atom,
    Condition,
    Expr,
    Has,
    Tag,
    any_of,
    atoms,
    map_atoms,
)
from audience.language.attribute_names import UNTYPED
from audience.vendors.spec import Unsupported, Vendor

if TYPE_CHECKING:
    from audience.index.device_index import DeviceIndex

SPELLED_ROLES = ("number", "date")  # of which two spellings may be one value
MAX_LISTED_VALUES = 64  # more are not worth a request that is right only while the index has all of them


def write_out_index_values(expr: Expr, vendor: Vendor, index: "DeviceIndex") -> tuple[Expr, frozenset[str]]:
    """Return *expr* with what *vendor* cannot express written as values of *index*, and the attributes concerned.

    A condition stays if its values are too many or none, or if the vendor does not have all of their tags.
    """
    lists: dict[Atom, Expr] = {}
    for atom in atoms(expr):
        if isinstance(atom, Condition | Has) and is_refused(atom, vendor):
            tags = _list_tags(atom, vendor, index)
            if tags:
                lists[atom] = any_of(tags)
    types = frozenset(atom.type for atom in lists if isinstance(atom, Condition | Has))
    return map_atoms(expr, lambda atom: lists.get(atom, atom)), types


def list_spellings(expr: Expr, index: "DeviceIndex") -> dict[str, list[str]]:
    """Return the values of *index* that equal numbers and days of *expr*, by attribute, as the index spells them.

    A vendor has them as the table has them: 20 where an expression asks for 20.0.
    """
    from audience.index.query.matching_values import list_matching_values  # plans without an index do not load it

    roles, spellings = index.snapshot.roles, dict[str, list[str]]()
    for atom in atoms(expr):
        if isinstance(atom, Tag) and roles.get(atom.type) in SPELLED_ROLES:
            with suppress(ExpressionError):  # the index refuses the value when it is asked
                values = list_matching_values(atom, index.snapshot, MAX_LISTED_VALUES)
                spellings.setdefault(atom.type, []).extend(sorted(values or ()))
    return spellings


def is_refused(atom: Condition | Has, vendor: Vendor) -> bool:
    """Return whether *vendor* cannot express *atom* alone."""
    if isinstance(atom, Has) and atom.type == UNTYPED:
        return False
    try:
        vendor.emit(atom)
    except Unsupported:
        return True
    return False


def _list_tags(atom: Condition | Has, vendor: Vendor, index: "DeviceIndex") -> list[Tag]:
    """Return the tags of the values of *index* that fit *atom*; none if *vendor* does not have all of them."""
    from audience.index.query.matching_values import list_matching_values  # plans without an index do not load it

    values: list[str] | None = None
    with suppress(ExpressionError):  # the index refuses the operand when it is asked
        values = list_matching_values(atom, index.snapshot, MAX_LISTED_VALUES)
    tags = [Tag(atom.type, value, span=atom.span) for value in values or ()]
    return [] if any(problem for tag in tags for problem in vendor.tag_problems(tag)) else tags


def list_index_assumptions(parts: Iterable[Expr], types: frozenset[str], vendor: Vendor) -> list[Problem]:
    """Return what native requests of *parts* assume of the attributes *types*, of which they list values."""
    used = {atom.type for part in parts for atom in atoms(part) if isinstance(atom, Tag)} & types
    if not used:
        return []
    message = f"{vendor.name}'s devices have no other values of {', '.join(sorted(used))} than those of the index"
    return [Problem("index-values", message)]
