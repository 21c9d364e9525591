"""Refuse to compare versions where a vendor compares numbers.

A vendor compares the versions that it keeps by itself as versions. The keys that you set there it compares as
numbers, by which 1.10 is less than 1.2. Of versions such as v1.2 and 1.2rc1 no vendor documents the order. Whether
a vendor takes 1.2 and 1.2.0 for equal is not documented.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeGuard

from audience.errors import Problem
from audience.index.schema.columns import Role
from audience.language.ast import Atom, Between, Compare, Expr, atoms
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.vendor_names import is_own_key
from audience.vendors.spec import Payload, Unsupported, Vendor

PLAIN_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*")
VERSION_TYPES = frozenset({"version", "os_version", "sdk_version"})


def refuse_version_comparisons(vendor: Vendor, catalog: Catalog | None, roles: Mapping[str, Role]) -> Vendor:
    """Return *vendor* with an `emit` that refuses comparisons of versions in keys that are not its own.

    Its `assumptions` name the spelling of the versions that it compares.

    Args:
        vendor: Vendor whose functions translate the names of *catalog*.
        catalog: Catalog with the orders of attributes.
        roles: Roles of the columns of an index.
    """
    if vendor.supported.isdisjoint((Compare, Between)):
        return vendor

    def emit(expr: Expr) -> Payload:
        payload = vendor.emit(expr)
        problems = [_refusal(compare, vendor) for compare in _find_own_versions(expr, vendor, catalog, roles)]
        builtin = (atom for atom in atoms(expr) if _is_builtin_version(atom, vendor, catalog))
        problems += [
            _odd_version(compare, vendor) for compare in builtin if not all(map(_is_plain, _bounds_of(compare)))
        ]
        if problems:
            raise Unsupported(problems)
        return payload

    def assumptions(expr: Expr) -> Iterator[Problem]:
        yield from vendor.assumptions(expr)
        if types := dict.fromkeys(atom.type for atom in atoms(expr) if _is_builtin_version(atom, vendor, catalog)):
            message = f"no version is spelled in two ways, such as 1.2 and 1.2.0, in {', '.join(sorted(types))}"
            yield Problem("version-spelling", message)

    return replace(vendor, emit=emit, assumptions=assumptions)


def _find_own_versions(
    expr: Expr, vendor: Vendor, catalog: Catalog | None, roles: Mapping[str, Role]
) -> Iterator[Compare | Between]:
    """Yield the comparisons of *expr* of which a key of the customer has the versions."""
    for atom in atoms(expr):
        if not isinstance(atom, Compare | Between):
            continue
        attribute = None if catalog is None else catalog.attributes.get(atom.type)
        order = roles.get(atom.type) if attribute is None else attribute.order
        if order == "version" and not _is_builtin(atom, vendor, catalog):
            yield atom


def _is_builtin_version(atom: Atom, vendor: Vendor, catalog: Catalog | None) -> TypeGuard[Compare | Between]:
    return isinstance(atom, Compare | Between) and atom.type in VERSION_TYPES and _is_builtin(atom, vendor, catalog)


def _is_builtin(compare: Compare | Between, vendor: Vendor, catalog: Catalog | None) -> bool:
    """Return whether the vendor keeps what *compare* compares by itself."""
    attribute = None if catalog is None else catalog.attributes.get(compare.type)
    return compare.type in vendor.builtins and (attribute is None or not is_own_key(attribute, vendor))


def _refusal(compare: Compare | Between, vendor: Vendor) -> Problem:
    message = f"{render(compare)!r} compares versions; {vendor.title} compares the keys that you set as numbers"
    return Problem("no-ranges", message, compare.span, hint="list the versions in a catalog, or use an index")


def _odd_version(compare: Compare | Between, vendor: Vendor) -> Problem:
    message = f"{render(compare)!r}: {vendor.title} documents the order of versions of numbers and dots only"
    return Problem("no-ranges", message, compare.span, hint="write a version like 1.2.0, or use an index")


def _bounds_of(compare: Compare | Between) -> tuple[str, ...]:
    return (compare.value,) if isinstance(compare, Compare) else (compare.low, compare.high)


def _is_plain(version: str) -> bool:
    """Return whether *version* is digits and dots; `v1.2` and `1.2rc1` have an order here, and none at a vendor."""
    return PLAIN_VERSION.fullmatch(version) is not None
