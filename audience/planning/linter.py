"""Expressions that are legal, and yet hardly what was meant."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from audience.algebra.constraints import NO_CONSTRAINTS, AttributeConstraints
from audience.algebra.equivalence import find_partition_violation
from audience.errors import ComplexityError, Problem
from audience.language.ast import And, Everyone, Expr, Nobody, Not, Or, Tag, all_of, any_of, atoms, walk
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.planning.catalog.catalog import Catalog, expand_comparisons

if TYPE_CHECKING:  # a text is looked at without an index too
    from audience.index.device_index import DeviceIndex

MAX_BRANCHES = 200  # of an expression with more, the branches are not looked at one by one


def lint(
    expr: Expr, index: "DeviceIndex | None" = None, catalog: Catalog | None = None, limit: float | None = None
) -> list[Problem]:
    """Everything odd in *expr*; *limit* is the share of all devices that an audience should stay below.

    >>> from audience.language.parser import parse
    >>> [problem.code for problem in lint(parse("a OR (a AND b)"))]
    ['redundant-branch']
    """
    if index is not None:
        expr = index.expand_segments(expr)
    found = list(_find_logic_problems(expr, catalog))
    if catalog is not None:
        found += _find_unknown_names(expr, catalog)
    if index is not None:
        found += index.find_unmatched(expr)
        found += _find_size_problems(expr, index, limit)
    return found


def _find_logic_problems(expr: Expr, catalog: Catalog | None) -> Iterator[Problem]:
    """What follows from the words alone, and from what the catalog knows."""
    facts = NO_CONSTRAINTS if catalog is None else catalog.constraints
    written = expand_comparisons(expr, catalog)
    try:
        if _are_equivalent(written, Nobody(), facts) and expr != Nobody():
            yield Problem("always-nobody", "no device can be meant", hint="write nobody, if that is what you mean")
        elif _are_equivalent(written, Everyone(), facts) and expr != Everyone():
            yield Problem("always-everyone", "every device is meant", hint="write everyone, if that is what you mean")
        else:
            yield from _find_redundant_branches(written, facts)
    except ComplexityError as error:
        yield from error.problems


def _find_redundant_branches(expr: Expr, constraints: AttributeConstraints) -> Iterator[Problem]:
    """Branches without which the expression means the same; of one within another, the outer."""
    shorter = list(_iter_branch_removals(expr))
    told: set[int] = set()
    for branch, rest in shorter if len(shorter) <= MAX_BRANCHES else ():
        if id(branch) not in told and _are_equivalent(expr, rest, constraints):
            told.update(map(id, walk(branch)))
            yield Problem("redundant-branch", f"{render(branch)!r} changes nothing", getattr(branch, "span", None))


def _iter_branch_removals(expr: Expr) -> Iterator[tuple[Expr, Expr]]:
    """Each branch of *expr*, and *expr* without it."""
    match expr:
        case Not(term=term):
            yield from ((branch, Not(rest)) for branch, rest in _iter_branch_removals(term))
        case And(terms=terms) | Or(terms=terms):
            join = all_of if isinstance(expr, And) else any_of
            for at, term in enumerate(terms):
                before, after = terms[:at], terms[at + 1 :]
                yield term, join([*before, *after])
                yield from ((branch, join([*before, rest, *after])) for branch, rest in _iter_branch_removals(term))


def _are_equivalent(lhs: Expr, rhs: Expr, constraints: AttributeConstraints) -> bool:
    return find_partition_violation(lhs, [rhs], constraints) is None


def _find_unknown_names(expr: Expr, catalog: Catalog) -> Iterator[Problem]:
    """Attributes and values that the catalog does not know."""
    for tag in atoms(expr):
        if not isinstance(tag, Tag) or tag.type == UNTYPED:
            continue
        attribute = catalog.attributes.get(tag.type)
        if attribute is None:
            hint = did_you_mean(tag.type, catalog.attributes)
            yield Problem("not-in-catalog", f"the catalog has no attribute {tag.type!r}", tag.span, hint=hint)
        elif attribute.values and tag.value not in attribute.values:
            hint = did_you_mean(tag.value, attribute.values)
            yield Problem("not-in-catalog", f"{tag.type} is closed and has no {tag.value!r}", tag.span, hint=hint)


def _find_size_problems(expr: Expr, index: "DeviceIndex", limit: float | None) -> Iterator[Problem]:
    count = index.count(expr)
    if limit is not None and count > limit * len(index):
        share = f"{count:,} of {len(index):,} devices, {count / len(index):.1%}"
        yield Problem("too-many", f"{share}, are more than {limit:.1%}", hint="narrow it, or raise --limit")
