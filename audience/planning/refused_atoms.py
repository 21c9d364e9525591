"""Refuse conditions for a reason that a plan finds out, beside those that a vendor gives itself."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from audience.errors import Problem
from audience.language.ast import Atom, Expr, Tag, atoms
from audience.vendors.spec import Payload, Unsupported, Vendor


def refuse_atoms(vendor: Vendor, find_problems: Callable[[Atom], Iterable[Problem]]) -> Vendor:
    """Return *vendor* with an `emit` that refuses expressions with a condition that *find_problems* has problems of."""

    def emit(expr: Expr) -> Payload:
        payload = vendor.emit(expr)
        if problems := [problem for atom in atoms(expr) for problem in find_problems(atom)]:
            raise Unsupported(problems)
        return payload

    def tag_problems(tag: Tag) -> list[Problem]:
        return [*vendor.tag_problems(tag), *find_problems(tag)]

    return replace(vendor, emit=emit, tag_problems=tag_problems)
