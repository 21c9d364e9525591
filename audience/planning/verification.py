"""Verify a plan: read its payloads back and prove that they reach the audience, each device once."""

import warnings
from collections.abc import Iterable
from dataclasses import replace
from functools import reduce

from audience.algebra.constraints import NO_CONSTRAINTS, AttributeConstraints, build_constraint_expr
from audience.algebra.equivalence import find_partition_violation
from audience.counts import format_count
from audience.errors import AudienceError, ComplexityError, PayloadWarning, PlanError, Problem, ProofError
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import (
    Anniversary,
    Atom,
    Between,
    Compare,
    Expr,
    Matches,
    Tag,
    Within,
    all_of,
    atoms,
    map_atoms,
)
from audience.language.attribute_names import UNTYPED
from audience.language.binding import bind
from audience.language.printer import render
from audience.planning.catalog.references import expand_references, find_unknown_references
from audience.planning.id_lists import exclusive_lists, single_id_facts
from audience.planning.plans import CATALOG_IS_TRUE, Plan, PlanRequest
from audience.vendors.spec import Payload, Vendor

REPORT_HINT = "report this bug; nothing was written"


def verify_plan(
    vendor: Vendor,
    expr: Expr,
    candidate: Plan,
    constraints: AttributeConstraints = NO_CONSTRAINTS,
    as_of: AsOf | None = None,
) -> list[Expr]:
    """Prove that the requests of *candidate* are disjoint and together reach *expr*.

    Args:
        vendor: Vendor that reads the payloads back.
        expr: Audience that must be reached.
        candidate: Plan with native payloads and an expression that is sent by ids.
        constraints: Devices that contradict them are ignored.
        as_of: Moment and time zone to which days and hours in payloads are relative.

    Returns:
        The expression of each payload, as the vendor reads it.

    Raises:
        ProofError: The plan is wrong, which is an internal error. The message names a device that it is wrong for.
        ComplexityError: The plan is too large to prove.
    """
    asked = as_of or read_as_of()
    parsed = [bind(_read_back(vendor, payload), asked.moment, asked.zone) for payload in candidate.native]
    counterexample = _find_violation(vendor, expr, candidate.add_id_part(parsed), constraints)
    if counterexample is not None:
        device = ", ".join(sorted(map(render, counterexample))) or "no tag at all"
        message = f"the requests to {vendor.name} are wrong for a device with {device}"
        raise ProofError(Problem("proof-failed", message, hint=REPORT_HINT))
    return parsed


def _find_violation(
    vendor: Vendor, expr: Expr, parts: list[Expr], constraints: AttributeConstraints
) -> frozenset[Atom] | None:
    """Return the atoms of a device for which *parts* are wrong, as the vendor sees it, or None."""
    known = _build_viewed_constraints(vendor, (expr, *parts), constraints)
    possible = all_of([known, *exclusive_lists(vendor, parts)])
    target, *parts = (map_atoms(each, vendor.view) for each in (expr, *parts))
    violation = find_partition_violation(target, parts, constraints, possible)
    if violation is None or not vendor.has_single_values:
        return violation
    exprs = (target, *parts, possible)
    types = {atom.type for each in exprs for atom in atoms(each) if isinstance(atom, Tag)} - {UNTYPED}
    single_values = replace(constraints, exclusive=constraints.exclusive | types)
    return find_partition_violation(target, parts, single_values, possible)


def _build_viewed_constraints(vendor: Vendor, exprs: Iterable[Expr], constraints: AttributeConstraints) -> Expr:
    """Return the constraints of those tags that *vendor* views as other conditions, written in its view."""
    used_atoms = dict.fromkeys(atom for expr in exprs for atom in atoms(expr))
    changed = [atom for atom in used_atoms if isinstance(atom, Tag) and vendor.view(atom) != atom]
    return map_atoms(build_constraint_expr(changed, constraints), vendor.view)


def _read_back(vendor: Vendor, payload: Payload) -> Expr:
    """Parse a payload that was just emitted."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PayloadWarning)  # the assumptions of the plan have what is uncertain
            return vendor.parse(payload)
    except PlanError:  # raised by the vendor of another package that fails to load
        raise
    except AudienceError as error:
        message = f"the request to {vendor.name} cannot be read back: {error.code}"
        raise ProofError(Problem("unreadable-payload", message, hint=REPORT_HINT)) from error


def find_assumed_facts(request: PlanRequest, candidate: Plan, parsed: list[Expr]) -> tuple[Problem, ...]:
    """Return the facts without which the native requests do not reach the audience: of the catalog, of platforms."""
    parts = candidate.add_id_part(parsed)
    single_ids = tuple(single_id_facts(request.vendor, parts))
    if _names_no_facts(request, parts):
        return single_ids  # all else is proved already

    def is_wrong_with(constraints: AttributeConstraints) -> bool:
        try:
            return _find_violation(request.vendor, request.expanded, parts, constraints) is not None
        except ComplexityError:  # only all constraints together make the proof small enough
            return True

    has_catalog = request.constraints != NO_CONSTRAINTS
    compares = has_catalog and any(_leans_on_values(atom, request.constraints) for atom in atoms(request.simplified))
    if not compares and not is_wrong_with(NO_CONSTRAINTS):
        return single_ids
    facts = []
    if compares or (has_catalog and (request.platforms is None or is_wrong_with(request.platforms.constraints))):
        facts.append(CATALOG_IS_TRUE)
    if request.platforms is not None and is_wrong_with(request.constraints):
        facts.append(request.platforms.assumption)
    return (*(facts or [CATALOG_IS_TRUE]), *single_ids)


def _names_no_facts(request: PlanRequest, parts: list[Expr]) -> bool:
    """Return whether there is no catalog, and neither the audience nor its *parts* name a platform."""
    if request.constraints != NO_CONSTRAINTS:
        return False
    type_ = None if request.platforms is None else request.platforms.type
    return type_ is None or all(
        getattr(atom, "type", "") != type_ for expr in (request.expanded, *parts) for atom in atoms(expr)
    )


def _leans_on_values(atom: Atom, constraints: AttributeConstraints) -> bool:
    """Return whether *atom* is written out as the values that a catalog lists."""
    if isinstance(atom, Within | Between | Matches | Anniversary):
        return atom.type in constraints.values
    return isinstance(atom, Compare)


def find_contradiction(request: PlanRequest, candidate: Plan, facts: tuple[Problem, ...]) -> Problem | None:
    """Return a problem if the index shows that the plan is wrong, as one of *facts* does not hold."""
    if request.index is None:
        return None
    target, *exprs = (
        bind(expand_references(expr, request.catalog), request.as_of.moment, request.as_of.zone)
        for expr in (request.simplified, *candidate.add_id_part(candidate.request_exprs))
    )
    if any(find_unknown_references(expr) for expr in (target, *exprs)):
        return None  # the index does not know those devices
    when = request.as_of.to_arguments()
    audience = request.index.resolve(target, **when)
    parts = [request.index.resolve(expr, **when) for expr in exprs]
    missing = len(reduce(lambda remaining, part: remaining - part, parts, audience))
    extra = sum(len(part - audience) for part in parts)
    duplicated = sum(map(len, parts)) - extra - (len(audience) - missing)
    counts = {"missing": missing, "outside the audience": extra, "duplicated": duplicated}
    differences = [f"{format_count(count, 'device')} {name}" for name, count in counts.items() if count]
    if not differences:
        return None
    if not facts:
        message = f"the proof of this plan does not match the index: {', '.join(differences)}"
        return Problem("proof-contradicted", message, hint="report this bug; the audience is right by ids")
    if single_ids := [fact for fact in facts if fact.code == "single-id"]:
        message = f"{single_ids[0].message}; by the index, not so: {', '.join(differences)}"
        return Problem("ids-contradicted", message, hint="correct the table, or leave it to the ids")
    if CATALOG_IS_TRUE not in facts:
        message = f"{facts[0].message}; by the index, not so: {', '.join(differences)}"
        hint = "give every device one platform in the table, or leave it to the ids"
        return Problem("platform-contradicted", message, hint=hint)
    message = f"the catalog does not match the index: {', '.join(differences)}"
    hint = (
        "correct the catalog: an attribute is not `exclusive` or not `exhaustive`, or its `values` are incomplete; "
        "`audience catalog init INDEX` shows what the index holds"
    )
    return Problem("catalog-contradicted", message, hint=hint)
