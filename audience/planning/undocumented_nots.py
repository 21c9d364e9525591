"""Handle the NOT of attributes for which no page of a vendor documents whether it matches a device without any value.

Our NOT matches such a device. So the NOT of an expression of ours is refused, and the audience is sent by ids. A NOT
that was read from the vendor's own payload goes back as it was, with an assumption.
"""

from collections.abc import Iterator
from dataclasses import replace

from audience.errors import Problem
from audience.language.ast import Expr, Not, Tag, walk
from audience.language.printer import render
from audience.vendors.spec import Payload, Unsupported, Vendor


def refuse_undocumented_nots(vendor: Vendor) -> Vendor:
    """Return *vendor* with an `emit` that refuses every NOT whose meaning is not documented."""
    if not vendor.undocumented_nots:
        return vendor

    def emit(expr: Expr) -> Payload:
        payload = vendor.emit(expr)
        problems = [_refusal(tag, vendor) for tag in _find_undocumented_nots(expr, vendor)]
        if problems:
            raise Unsupported(problems)
        return payload

    return replace(vendor, emit=emit)


def assume_undocumented_nots(vendor: Vendor) -> Vendor:
    """Return *vendor* with `assumptions` that name every NOT whose meaning is not documented."""

    def assumptions(expr: Expr) -> Iterator[Problem]:
        yield from vendor.assumptions(expr)
        for tag in _find_undocumented_nots(expr, vendor):
            message = (
                f"NOT {render(tag)} matches the devices without any {tag.type}, which no page of {vendor.title} says"
            )
            yield Problem("undocumented-not", message)

    return replace(vendor, assumptions=assumptions) if vendor.undocumented_nots else vendor


def _find_undocumented_nots(expr: Expr, vendor: Vendor) -> Iterator[Tag]:
    for node in walk(expr):
        match node:
            case Not(term=Tag() as tag) if tag.type in vendor.undocumented_nots:
                yield tag


def _refusal(tag: Tag, vendor: Vendor) -> Problem:
    message = (
        f"NOT {render(tag)}: whether it matches a device without any {tag.type} is not documented by {vendor.title}"
    )
    hint = "list the other values, or use an index to resolve it to ids"
    return Problem("undocumented-not", message, tag.span, hint=hint)
