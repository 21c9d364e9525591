"""Give references to one vendor the meaning that a catalog has for them.

[references.onesignal]
"Active Users" = "active >= 2020-04-01"         the value of a reference, and what it means
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from audience.errors import ExpressionError, Problem
from audience.language.ast import Expr, Reference, map_operands, walk_operands
from audience.language.parser import parse
from audience.language.printer import render
from audience.language.references import reference_problem
from audience.planning.catalog.catalog import Catalog, ReferenceMeanings

REFERENCES_TABLE = "references"  # the table of a catalog that is not an attribute


def find_meaning_problems(table: Any) -> Iterator[tuple[str, Problem]]:
    """Yield what is wrong with the table of references of a catalog, each with the key that it is about.

    >>> [(key, problem.code) for key, problem in find_meaning_problems({"onesignal": {"Active Users": "vip AND"}})]
    [('Active Users', 'missing-operand')]
    """
    for vendor, meanings in table.items() if isinstance(table, Mapping) else [("", table)]:
        if not isinstance(meanings, Mapping):
            hint = f'write [{REFERENCES_TABLE}.onesignal] above "NAME" = "EXPRESSION"'
            name = f"{REFERENCES_TABLE}.{vendor}".rstrip(".")
            yield vendor, Problem("wrong-type", f"{name}: expected a table of a vendor", hint=hint)
            continue
        for value, text in meanings.items():
            yield from ((value, problem) for problem in _meaning_problems(f"{REFERENCES_TABLE}.{vendor}.{value}", text))


def _meaning_problems(name: str, text: Any) -> Iterator[Problem]:
    if not isinstance(text, str):
        yield Problem("wrong-type", f"{name}: expected an expression in quotes, got {text!r:.60}")
        return
    try:
        expr = parse(text, folder=None)
    except ExpressionError as error:
        yield from (replace(problem, message=f"{name}: {problem.message}") for problem in error.problems)
        return
    for reference in _list_references(expr):
        message = f"{name}: the meaning of a reference cannot refer to a vendor"
        yield Problem("bad-reference", message, reference.span, hint="write what it means as tags and attributes")


def read_meanings(table: Mapping[str, Mapping[str, str]]) -> ReferenceMeanings:
    """Read the table of references of a catalog, in which no problem was found.

    >>> list(read_meanings({"onesignal": {"Active Users": "vip"}}))
    [('onesignal', 'Active Users')]
    """
    return {
        (vendor, value): parse(text, folder=None)
        for vendor, meanings in table.items()
        for value, text in meanings.items()
    }


def expand_references(expr: Expr, catalog: Catalog | None, keep_vendor: str | None = None) -> Expr:
    r"""Return *expr* with the references that *catalog* knows replaced by their meaning, but those of *keep_vendor*.

    >>> from audience.planning.catalog.loader import parse_catalog
    >>> catalog = parse_catalog('[references.onesignal]\n"Active Users" = "active >= 2020-04-01"')
    >>> active_users = Reference("onesignal", "segment", "Active Users")
    >>> render(expand_references(active_users, catalog))
    'active >= 2020-04-01'
    >>> expand_references(active_users, catalog, keep_vendor="onesignal") == active_users
    True
    """
    if catalog is None or not catalog.references:
        return expr
    meanings = catalog.references
    return map_operands(
        expr,
        lambda atom: (
            meanings.get((atom.vendor, atom.value), atom)
            if isinstance(atom, Reference) and atom.vendor != keep_vendor
            else atom
        ),
    )


def find_unknown_references(expr: Expr) -> list[Problem]:
    """Return a problem for each reference that is left in *expr*: without its vendor nobody can evaluate it."""
    return [reference_problem(reference) for reference in _list_references(expr)]


def _list_references(expr: Expr) -> list[Reference]:
    return list(dict.fromkeys(node for node in walk_operands(expr) if isinstance(node, Reference)))


def meaning_assumption(expr: Expr, catalog: Catalog | None, keep_vendor: str | None = None) -> list[Problem]:
    """Return the assumption that the references of *expr* which `expand_references` replaces mean what *catalog* says.

    The list is empty if there are none.
    """
    references = [reference for reference in _list_references(expr) if reference.vendor != keep_vendor]
    meanings = {} if catalog is None else catalog.references
    known = [
        f"{render(reference)} means {render(meanings[reference.vendor, reference.value])!r}"
        for reference in references
        if (reference.vendor, reference.value) in meanings
    ]
    return [Problem("reference-meaning", "; ".join(known))] if known else []
