"""Find expressions that are valid, but probably not what their author means."""

from collections.abc import Collection, Iterator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from audience.algebra.constraints import NO_CONSTRAINTS, AttributeConstraints
from audience.algebra.equivalence import find_partition_violation
from audience.counts import format_count
from audience.errors import ComplexityError, Problem
from audience.index.query.empty_ranges import find_empty_ranges
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import (
    And,
    AttributeAtom,
    Everyone,
    Except,
    Expr,
    Limit,
    Nobody,
    Not,
    Or,
    Tag,
    Top,
    all_of,
    any_of,
    walk,
    walk_operands,
)
from audience.language.attribute_names import UNTYPED
from audience.language.binding import bind
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.planning.catalog.catalog import Catalog, expand_comparisons, unify_values, with_column_types
from audience.planning.catalog.references import expand_references
from audience.planning.event_mistakes import find_event_mistakes
from audience.planning.likely_mistakes import find_likely_mistakes, find_limit_problems
from audience.planning.planner import default_timezone

if TYPE_CHECKING:  # text is checked without an index too
    from audience.index.device_index import DeviceIndex

MAX_BRANCHES = 200  # an expression with more is not searched for redundant branches


def lint(
    expr: Expr,
    index: "DeviceIndex | None" = None,
    catalog: Catalog | None = None,
    limit: float | None = None,
    *,
    as_of: datetime | str | None = None,
    timezone: str | None = None,
    allow_gaps: bool = False,
) -> list[Problem]:
    """Return everything suspicious in *expr*.

    Args:
        expr: Expression to check.
        index: Index that is searched for tags and ids that no device has.
        catalog: Catalog with known attributes and their constraints.
        limit: Maximum fraction of all devices, from 0 to 1.
        as_of: Moment of the question, to which days and hours are relative. None is now.
        timezone: Name of the time zone whose days are meant. None is that of *index*, or UTC.
        allow_gaps: Whether days of events may be missing, as for `DeviceIndex.count`.

    >>> from audience.language.parser import parse
    >>> [problem.code for problem in lint(parse("a OR (a AND b)"))]
    ['redundant-branch']
    """
    if index is not None:
        expr = index.expand_segments(expr)
    expr = expand_references(expr, catalog)
    if index is not None:
        expr = index.expand_segments(expr)
    asked = read_as_of(as_of, timezone, default_timezone(index), allow_gaps)
    expr = bind(expr, asked.moment, asked.zone)
    roles = {} if index is None else index.snapshot.roles
    catalog = with_column_types(catalog, roles, asked.zone)
    problems = [*find_likely_mistakes(expr, asked.local_time), *find_event_mistakes(expr, asked)]
    problems += _find_logic_problems(unify_values(expr, catalog, roles, asked.zone), catalog)
    if catalog is not None:
        problems += _find_unknown_names(expr, catalog, known_types=roles)
    if index is None:
        roles = {} if catalog is None else {a.name: a.order for a in catalog.attributes.values() if a.order}
        problems += find_empty_ranges(expr, roles, frozenset())
    else:
        problems += index.find_unmatched(expr, **asked.to_arguments())
        problems += find_limit_problems(expr, partial(index.count, **asked.to_arguments()))
        problems += _find_size_problems(expr, index, asked, limit)
    return problems


def _find_logic_problems(expr: Expr, catalog: Catalog | None) -> Iterator[Problem]:
    """Yield problems that follow from the expression and the catalog's constraints alone."""
    constraints = NO_CONSTRAINTS if catalog is None else catalog.constraints
    expanded = expand_comparisons(expr, catalog)
    try:
        if _are_equivalent(expanded, Nobody(), constraints) and expr != Nobody():
            yield Problem("always-nobody", "no device can match", hint="correct it, or write nobody")
        elif _are_equivalent(expanded, Everyone(), constraints) and expr != Everyone():
            yield Problem("always-everyone", "every device matches", hint="correct it, or write everyone")
        else:
            yield from _find_redundant_branches(expanded, constraints)
            yield from _find_empty_operands(expanded, constraints)
    except ComplexityError as error:
        yield from error.problems


def _find_empty_operands(expr: Expr, constraints: AttributeConstraints) -> Iterator[Problem]:
    """Yield limits of which the audience that they choose from is empty."""
    for node in walk_operands(expr):
        if isinstance(node, Limit | Top) and _are_equivalent(node.term, Nobody(), constraints):
            message = f"{render(node)!r} chooses from nobody"
            yield Problem("always-nobody", message, node.span, hint="correct it, or write nobody")


def _find_redundant_branches(expr: Expr, constraints: AttributeConstraints) -> Iterator[Problem]:
    """Yield branches that can be removed without changing the meaning, but none inside another such branch."""
    removals = list(_iter_branch_removals(expr))
    if len(removals) > MAX_BRANCHES:
        return
    reported: set[int] = set()
    for branch, shorter in removals:
        if id(branch) not in reported and _are_equivalent(expr, shorter, constraints):
            reported.update(map(id, walk(branch)))
            message = f"{render(branch)!r} changes nothing"
            yield Problem("redundant-branch", message, getattr(branch, "span", None), hint="remove it")


def _iter_branch_removals(expr: Expr) -> Iterator[tuple[Expr, Expr]]:
    """Yield each branch of *expr* with *expr* without it, outer branches first."""
    match expr:
        case Not(term=term):
            yield from ((branch, Not(shorter)) for branch, shorter in _iter_branch_removals(term))
        case And(terms=terms) | Or(terms=terms):
            join = all_of if isinstance(expr, And) else any_of
            for position, term in enumerate(terms):
                before, after = terms[:position], terms[position + 1 :]
                yield term, join([*before, *after])
                for branch, shorter in _iter_branch_removals(term):
                    yield branch, join([*before, shorter, *after])
        case Except(term=term, excluded=excluded):
            yield excluded, term
            yield from ((branch, Except(shorter, excluded)) for branch, shorter in _iter_branch_removals(term))
            yield from ((branch, Except(term, shorter)) for branch, shorter in _iter_branch_removals(excluded))


def _are_equivalent(lhs: Expr, rhs: Expr, constraints: AttributeConstraints) -> bool:
    return find_partition_violation(lhs, [rhs], constraints) is None


def _find_unknown_names(expr: Expr, catalog: Catalog, known_types: Collection[str]) -> Iterator[Problem]:
    """Yield attributes and values that are not in the catalog; an attribute of *known_types* need not be there."""
    for atom in dict.fromkeys(node for node in walk_operands(expr) if isinstance(node, AttributeAtom)):
        if atom.type == UNTYPED:
            continue
        attribute = catalog.attributes.get(atom.type)
        if attribute is None and atom.type in known_types:
            continue
        if attribute is None:
            hint = did_you_mean(atom.type, catalog.attributes)
            yield Problem("not-in-catalog", f"attribute {atom.type!r} is not in the catalog", atom.span, hint=hint)
        elif isinstance(atom, Tag) and attribute.values and attribute.spelling(atom.value) not in attribute.listed:
            hint = did_you_mean(atom.value, attribute.values)
            message = f"value {atom.value!r} of {atom.type} is not in the catalog"
            yield Problem("not-in-catalog", message, atom.span, hint=hint)


def _find_size_problems(expr: Expr, index: "DeviceIndex", asked: AsOf, limit: float | None) -> Iterator[Problem]:
    count = index.count(expr, **asked.to_arguments())
    if limit is not None and count > limit * len(index):
        devices = format_count(len(index), "device")
        message = f"the audience has {count:,} of {devices}, {count / len(index):.1%}, above {limit:.1%}"
        yield Problem("too-many", message, hint="narrow it, or raise --limit")
