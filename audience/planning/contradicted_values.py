"""Refuse conditions where the index shows that a vendor does not have the values as the index has them.

A vendor that keeps one value of an attribute cannot have those of a device with several. Whether it takes the versions
1.2 and 1.2.0 for equal is not documented, so it cannot compare with one of them where devices have the other.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from audience.errors import ExpressionError, Problem
from audience.language.ast import Atom, Between, Compare, Has
from audience.language.printer import render
from audience.planning.refused_atoms import refuse_atoms
from audience.vendors.spec import Vendor

if TYPE_CHECKING:
    from audience.index.device_index import DeviceIndex

MAX_SPELLINGS = 64  # of one version


def refuse_contradicted_values(vendor: Vendor, index: "DeviceIndex") -> Vendor:
    """Return *vendor* with an `emit` that refuses what it assumes of values, and the devices of *index* contradict."""
    several = index.snapshot.multi_valued_attributes

    def find_problems(atom: Atom) -> Iterator[Problem]:
        type_ = getattr(atom, "type", None)
        is_existence = isinstance(atom, Has)  # a device with several values has one of them at the vendor
        if type_ in several and not is_existence and _assumes(atom, "one-value", vendor):
            message = f"{render(atom)!r}: devices have several values of {type_}, of which {vendor.title} keeps one"
            yield Problem("values-contradicted", message, getattr(atom, "span", None))
        if isinstance(atom, Compare | Between) and _assumes(atom, "version-spelling", vendor):
            yield from _find_spellings(atom, vendor, index)

    return refuse_atoms(vendor, find_problems)


def _assumes(atom: Atom, code: str, vendor: Vendor) -> bool:
    """Return whether a request of *vendor* for *atom* has an assumption with *code*."""
    return any(problem.code == code for problem in vendor.assumptions(atom))


def _find_spellings(atom: Compare | Between, vendor: Vendor, index: "DeviceIndex") -> Iterator[Problem]:
    """Yield a problem for a bound of *atom* that a device has in another spelling."""
    from audience.index.query.matching_values import list_matching_values  # plans without an index do not load it

    for bound in (atom.value,) if isinstance(atom, Compare) else (atom.low, atom.high):
        values: list[str] | None = []
        with suppress(ExpressionError):  # the index refuses the bound when it is asked
            values = list_matching_values(Between(atom.type, bound, bound), index.snapshot, MAX_SPELLINGS)
        if other := next((value for value in values or () if value != bound), None):
            message = f"{render(atom)!r}: devices have {other}; whether {vendor.title} takes it for {bound} is unknown"
            yield Problem("values-contradicted", message, atom.span)
