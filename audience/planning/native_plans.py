"""Plans of native requests: one, or several disjoint ones, and ids for what they cannot express."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from audience.algebra.constraints import NO_CONSTRAINTS, AttributeConstraints, add_exhaustive_bound
from audience.algebra.cover import Cover, find_cover
from audience.algebra.equivalence import find_partition_violation
from audience.algebra.fitting import is_bounded
from audience.errors import ComplexityError, Problem
from audience.language.ast import Everyone, Expr, Ids, Nobody, Tag, all_of, or_terms, walk_operands
from audience.planning.catalog.declared import list_assumed_tags
from audience.planning.id_lists import find_id_list_cover
from audience.planning.index_values import list_index_assumptions
from audience.planning.plans import SENT_IN_SEQUENCE, TWO_SOURCES, Plan, PlanRequest
from audience.planning.platform_requests import PlatformAttribute, find_platform_cover
from audience.planning.synced_tags import find_stale, find_syncs, list_sync_assumptions
from audience.planning.verification import find_assumed_facts, find_contradiction, verify_plan
from audience.vendors import get_vendor
from audience.vendors.platform_field import platform_tags
from audience.vendors.relative_times import BOUND_TIME
from audience.vendors.spec import Restated, Unsupported

IMPLIED_BROADCAST = Problem(
    "implied-broadcast",
    "the expression includes every device without saying everyone",
    hint="write everyone to broadcast",
)


def build_plan(request: PlanRequest) -> Plan:
    """Return the verified plan, with the syncs that it rests on; raise ComplexityError if it is too large to verify."""
    return _name_syncs(request, _build_plan(request))


def _build_plan(request: PlanRequest) -> Plan:
    if _is_empty(request):
        return _plan_nothing(request)
    if _is_implied_broadcast(request):
        return request.plan_by_ids((IMPLIED_BROADCAST,))
    if foreign_ids := tuple(_foreign_id_problems(request)):
        return request.plan_by_ids(foreign_ids)
    candidate = _plan_native(request)
    return _verify_candidate(request, candidate) if candidate.native else candidate


def _is_empty(request: PlanRequest) -> bool:
    """Return whether no device can be in the audience; false if that is too complex to decide."""
    if any(_is_possible(term, request.constraints) for term in or_terms(request.constrained)):
        return False
    try:
        return find_partition_violation(Nobody(), [request.constrained], request.constraints) is None
    except ComplexityError:
        return False


def _is_possible(term: Expr, constraints: AttributeConstraints) -> bool:
    """Return whether *term* is a tag that some device can have; false if that needs a proof."""
    if not isinstance(term, Tag):
        return False
    values = constraints.values.get(term.type)
    return values is None or term.value in values


def _plan_nothing(request: PlanRequest) -> Plan:
    """Return a plan that sends nothing, or one by ids if the index has devices that should not exist."""
    nothing = request.plan_nothing()
    facts = find_assumed_facts(request, nothing, [])
    if contradiction := find_contradiction(request, nothing, facts):
        return request.plan_by_ids((contradiction,))
    if request.strict and facts:
        return request.plan_by_ids(facts)
    return replace(nothing, assumptions=facts)


def _is_implied_broadcast(request: PlanRequest) -> bool:
    """Return whether every device is in the audience although the expression is not `everyone`."""
    if request.expr == Everyone() or is_bounded(request.expanded):
        return False
    constraints = NO_CONSTRAINTS if request.platforms is None else request.platforms.constraints
    return find_partition_violation(Everyone(), [request.expanded], constraints) is None


def _foreign_id_problems(request: PlanRequest) -> Iterator[Problem]:
    """Yield a problem for each list of registration ids of another vendor, which this vendor must not get."""
    vendor = request.vendor.name
    is_foreign = not set(get_vendor(request.id_vendor).id_columns) & set(get_vendor(vendor).id_columns)
    id_lists = {
        node: None
        for node in walk_operands(request.simplified)
        if isinstance(node, Ids) and node.kind == "registration_id"
    }
    for ids in id_lists:
        if is_foreign or (request.index is not None and request.index.has_foreign_ids(ids, vendor)):
            message = f"{ids.kind}(…) contains ids that are not ids of {vendor}"
            yield Problem("other-vendors-ids", message, ids.span)


def _name_syncs(request: PlanRequest, planned: Plan) -> Plan:
    """Return *planned* with the syncs that its native requests rest on, and what a sync could still make native."""
    if planned.native:
        planned = replace(planned, synced=tuple(find_syncs(planned.request_exprs, request.synced, request.vouched)))
    if planned.by_ids is not None:
        planned = replace(planned, stale=tuple(find_stale([request.expanded], request.synced, request.vouched)))
    return planned


def _plan_native(request: PlanRequest) -> Plan:
    """Return a plan of one native request, or else of several."""
    if request.restated is not None and not find_stale([request.constrained], request.synced, request.vouched):
        return _plan_restated(request, request.restated)
    try:
        return _plan_single(request, request.constrained)
    except Unsupported as error:
        reasons = error.problems
    bounded_expr = _bound_not(request, request.constrained)
    if bounded_expr != request.constrained:
        with suppress(Unsupported):
            return _plan_single(request, bounded_expr)
    return _plan_split(request, bounded_expr, reasons)


def _plan_restated(request: PlanRequest, restated: Restated) -> Plan:
    """Return a plan that sends a payload back to its vendor, which counts its relative times itself."""
    vendor, form = request.vendor, request.constrained
    written = [assumption for assumption in vendor.assumptions(form) if assumption.code != BOUND_TIME]
    synced = list_sync_assumptions([form], request.synced, request.vouched, vendor)
    assumptions = (*written, *restated.assumptions, *synced)
    return Plan(vendor.name, request.expr, (restated.payload,), None, (), assumptions, (form,), index=request.index)


def _plan_single(request: PlanRequest, form: Expr) -> Plan:
    """Return a plan of one native request, or raise Unsupported."""
    payload = request.vendor.emit(form)
    assumptions = (*_list_assumed_tags(request, [form]), *request.vendor.assumptions(form))
    return Plan(request.vendor.name, request.expr, (payload,), None, (), assumptions, (form,), index=request.index)


def _list_assumed_tags(request: PlanRequest, parts: Iterable[Expr]) -> list[Problem]:
    parts = list(parts)
    assumptions = list_assumed_tags(parts, request.catalog, request.vendor, request.vouched)
    assumptions += list_sync_assumptions(parts, request.synced, request.vouched, request.vendor)
    return [*assumptions, *list_index_assumptions(parts, request.index_types, request.vendor)]


def _bound_not(request: PlanRequest, expr: Expr) -> Expr:
    """Return *expr*, bounded by all values of an exhaustive attribute if its NOT is otherwise unbounded."""
    if is_bounded(expr) or isinstance(expr, Everyone):
        return expr
    closed_types = request.constraints.exhaustive & request.constraints.values.keys()
    usable_types = [
        type_
        for type_ in sorted(closed_types)
        if all(_can_name(request, tag) for tag in request.constraints.all_tags(type_))
    ]
    return add_exhaustive_bound(expr, request.constraints, usable_types) or expr


def _can_name(request: PlanRequest, tag: Tag) -> bool:
    return not any(request.vendor.tag_problems(tag))


def _plan_split(request: PlanRequest, bounded_expr: Expr, reasons: tuple[Problem, ...]) -> Plan:
    """Return a plan of several disjoint native requests; what they cannot express is sent by ids.

    *reasons* are why one request is not enough.
    """
    cover = _find_cover(request, bounded_expr)
    if not cover.parts:
        return request.plan_by_ids(reasons)
    try:
        payloads = tuple(map(request.vendor.emit, cover.parts))
    except Unsupported as error:  # a limit that the shape does not express, such as the length of a request
        return request.plan_by_ids(tuple(dict.fromkeys((*reasons, *error.problems))))
    by_ids = None if cover.remainder == Nobody() else cover.remainder
    return Plan(
        vendor=request.vendor.name,
        expr=request.expr,
        native=payloads,
        by_ids=by_ids,
        reasons=() if by_ids is None else reasons,
        assumptions=_split_assumptions(request, cover),
        request_exprs=cover.parts,
        split_reasons=reasons if len(cover.parts) > 1 else (),
        is_minimal=cover.is_minimal,
        index=request.index,
    )


def _find_cover(request: PlanRequest, bounded_expr: Expr) -> Cover:
    """Split the audience into parts that each fit one request: by tags, by platforms, or the better of both."""
    if cover := find_id_list_cover(request.constrained, request.vendor, request.max_requests):
        return cover
    attribute = request.platforms
    if attribute is None or not platform_tags(request.constrained):
        return _find_tag_cover(request, bounded_expr, request.max_requests)
    cover = _find_platform_cover(request, attribute)
    if attribute.field.write is not None:
        return cover
    # Platforms are conditions like tags, so the rest may be expressed too.
    others = _find_tag_cover(request, cover.remainder, request.max_requests - len(cover.parts))
    parts = (*cover.parts, *others.parts)
    joined = Cover(parts, others.remainder, is_minimal=len(parts) <= 1)
    return min(
        [_find_tag_cover(request, bounded_expr, request.max_requests), joined],
        key=lambda cover: (cover.remainder != Nobody(), len(cover.parts) > request.max_requests, len(cover.parts)),
    )


def _find_tag_cover(request: PlanRequest, expr: Expr, max_parts: int) -> Cover:
    """Split *expr* into at most *max_parts* parts that each fit one request of the vendor."""
    return find_cover(
        expr,
        request.vendor.shape,
        lambda tag: _can_name(request, tag),
        request.all_constraints,
        max_parts=max_parts,
    )


def _find_platform_cover(request: PlanRequest, attribute: PlatformAttribute) -> Cover:
    """Split the audience into parts that are each narrowed to platforms."""

    def cover_rest(rest: Expr, platform: Expr) -> Cover:
        bounded_rest = _bound_not(request, rest)
        for form in dict.fromkeys([rest, bounded_rest]):
            with suppress(Unsupported):
                request.vendor.emit(all_of([form, platform]))
                return Cover((form,), Nobody(), is_minimal=True)
        return _find_tag_cover(request, bounded_rest, request.max_requests)

    return find_platform_cover(request.constrained, attribute, cover_rest, request.max_requests)


def _split_assumptions(request: PlanRequest, cover: Cover) -> tuple[Problem, ...]:
    """Return the distinct assumptions of the parts and of sending them separately."""
    assumptions = _list_assumed_tags(request, cover.parts)
    assumptions += [assumption for part in cover.parts for assumption in request.vendor.assumptions(part)]
    if len(cover.parts) > 1 or cover.remainder != Nobody():
        assumptions.append(SENT_IN_SEQUENCE)
    if cover.remainder != Nobody():
        assumptions.append(TWO_SOURCES)
    return tuple(dict.fromkeys(assumptions))


def _verify_candidate(request: PlanRequest, candidate: Plan) -> Plan:
    """Return the verified *candidate*, or a plan by ids if it is wrong for the index or too uncertain."""
    parsed = verify_plan(request.vendor, request.constrained, candidate, request.all_constraints, request.as_of)
    if facts := find_assumed_facts(request, candidate, parsed):
        if contradiction := find_contradiction(request, candidate, facts):
            return request.plan_by_ids((contradiction,))
        candidate = replace(candidate, assumptions=(*candidate.assumptions, *facts))
    if request.strict and candidate.assumptions:
        return request.plan_by_ids(candidate.assumptions)
    return candidate
