"""Decide how a vendor reaches an audience: by native requests, by lists of ids, or by both.

    expr ──normalize──▶ simplified ──expand comparisons──▶ expanded ──apply constraints──▶ constrained
                                                                                               │
    Plan ◀──verify── expressions ◀──parse── payloads ◀──emit── one request, or disjoint parts ◀┘

Every plan is verified before it is returned: its payloads, read back by the vendor's own parser, must be disjoint and
make up the audience for every possible device. What cannot be verified is sent by ids.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from audience.algebra.constraints import NO_CONSTRAINTS, AttributeConstraints, add_exhaustive_bound, apply_constraints
from audience.algebra.cover import Cover, find_cover
from audience.algebra.equivalence import find_partition_violation
from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import nnf, write_out_thresholds
from audience.algebra.simplification import simplify
from audience.argument_types import check_arguments
from audience.errors import ComplexityError, ExpressionError, Problem
from audience.index.schema.columns import TEXT_ROLES
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Everyone, Expr, Ids, Nobody, Tag, all_of, or_terms, walk_operands
from audience.language.binding import bind, forget_other_moments
from audience.language.id_files import require_unchanged_files
from audience.language.parser import to_expr
from audience.language.platforms import PLATFORM_TYPE
from audience.language.vocabulary import canonicalize_values
from audience.language.zones import DEFAULT_ZONE
from audience.planning.catalog.catalog import Catalog, expand_comparisons, unify_values, with_column_types
from audience.planning.catalog.declared import is_declared, list_assumed_tags, restrict_to_declared
from audience.planning.catalog.events import with_declared_events
from audience.planning.catalog.references import expand_references, find_unknown_references, meaning_assumption
from audience.planning.catalog.vendor_names import with_catalog_names
from audience.planning.foreign_days import refuse_foreign_days
from audience.planning.id_columns import describe_known_calls, refuse_id_columns, require_known_calls
from audience.planning.id_lists import find_id_list_cover
from audience.planning.index_values import is_refused, list_index_assumptions, write_out_index_values
from audience.planning.plans import SENT_IN_SEQUENCE, TWO_SOURCES, Plan, PlanRequest
from audience.planning.platform_requests import PlatformAttribute, find_platform_attribute, find_platform_cover
from audience.planning.policies import choose_policies
from audience.planning.policy_plans import plan_under_policies
from audience.planning.undocumented_nots import assume_undocumented_nots, refuse_undocumented_nots
from audience.planning.verification import find_assumed_facts, find_contradiction, verify_plan
from audience.planning.version_comparisons import refuse_version_comparisons
from audience.planning.vouching import VendorHas, Vouched, resolve_vendor_has
from audience.vendors import get_vendor
from audience.vendors.platform_field import platform_tags
from audience.vendors.relative_times import BOUND_TIME
from audience.vendors.spec import Restated, Unsupported, Vendor
from audience.vendors.wrapping import guard_emit

if TYPE_CHECKING:  # plans can be made without an index
    from audience.index.device_index import DeviceIndex

MAX_REQUESTS = 16
IMPLIED_BROADCAST = Problem(
    "implied-broadcast",
    "the expression includes every device without saying everyone",
    hint="write everyone to broadcast",
)


@check_arguments
def plan(
    expr: Expr | str,
    vendor: str,
    index: "DeviceIndex | None" = None,
    catalog: Catalog | None = None,
    *,
    max_requests: int = MAX_REQUESTS,
    strict: bool = False,
    id_vendor: str | None = None,
    vendor_has: VendorHas = None,
    payload: Any = None,
    as_of: datetime | str | None = None,
    timezone: str | None = None,
    allow_gaps: bool = False,
    caps: Iterable[Expr | str] = (),
    without_policies: Iterable[str] = (),
) -> Plan:
    """Plan the requests with which *vendor* reaches the devices of *expr*.

    With an *index*, a native request names only tags that the vendor has: those that *catalog* declares there, and
    those of the types in *vendor_has*. Without an index, the vendor is assumed to have the tags. If policies of the
    index or *caps* apply, everything is sent by ids.

    Args:
        expr: Audience, as an expression or text.
        vendor: Name of the vendor.
        index: Index in which ids are looked up and segments are saved.
        catalog: Which vendors have which attributes, under which names, and their constraints.
        max_requests: Maximum number of native requests.
        strict: Send by ids whatever rests on assumptions.
        id_vendor: Vendor whose registration ids the expression contains, if it is another one. *vendor* itself, if the
            expression was read from its payload: what it leaves undocumented then goes back as it was.
        vendor_has: Types of tags that the vendor has although the catalog does not say so; "all" for every type.
        payload: Payload of *id_vendor* that *expr* was read from. It goes back to that vendor with its own operators.
        as_of: Moment of the question, to which days and hours are relative. None is now.
        timezone: Name of the time zone whose days are meant. None is that of *index*, or UTC.
        allow_gaps: Whether days of events may be missing, as for `DeviceIndex.count`.
        caps: What a device must fit besides the policies of *index*.
        without_policies: Names of policies of *index* that do not apply.

    Raises:
        ExpressionError: The moment or the time zone is invalid, or the index cannot answer a policy.
        PlanError: The vendor is unknown or read-only, *vendor_has* has an unknown type, or there is no such policy.

    >>> plan("a AND NOT b", "engagelab").native
    ({'to': {'tag': ['a'], 'tag_not': ['b']}},)
    >>> plan("(a AND b) OR c", "engagelab").native
    ({'to': {'tag': ['c']}}, {'to': {'tag_and': ['a', 'b'], 'tag_not': ['c']}})
    >>> [problem.code for problem in plan("NOT b", "engagelab").reasons]
    ['not-alone']
    >>> plan("a AND NOT a", "tpns").native, plan("a AND NOT a", "tpns").by_ids
    ((), None)
    >>> from audience.language.printer import render
    >>> render(plan("active within 7 days", "tpns", as_of="2026-11-28T12:00").expr)
    'active within 7 days of 2026-11-28'
    """
    expr = to_expr(expr)
    asked = read_as_of(as_of, timezone, default_timezone(index), allow_gaps)
    if index is not None:
        expr = index.expand_segments(expr)
    if index is None:  # an index has the values as its table spells them
        expr = canonicalize_values(expr, excluded_types=() if catalog is None else catalog.attributes)
    foreign_meanings = meaning_assumption(expr, catalog, keep_vendor=vendor)
    expr = expand_references(expr, catalog, keep_vendor=vendor)
    if index is not None:
        expr = index.expand_segments(expr)  # those that the meaning of a reference names
        require_known_calls(expr, index.snapshot.manifest.columns)
    expr = forget_other_moments(expr, asked.moment, asked.zone)
    require_unchanged_files(expr)
    written, expr = expr, bind(expr, asked.moment, asked.zone)
    roles = {} if index is None else index.snapshot.roles
    catalog = with_column_types(catalog, roles, asked.zone)
    constraints = NO_CONSTRAINTS if catalog is None else catalog.constraints
    simplified = simplify(nnf(simplify(unify_values(expr, catalog, roles, asked.zone))))
    record = get_vendor(vendor, can="emit")
    record = assume_undocumented_nots(record) if id_vendor == vendor else refuse_undocumented_nots(record)
    record = with_declared_events(record, catalog, frozenset() if index is None else _find_forgetful_events(index))
    named_vendor = refuse_version_comparisons(with_catalog_names(record, catalog), catalog, roles)
    known_types = [*roles, *(() if catalog is None else catalog.attributes)]
    vouched = resolve_vendor_has(vendor_has, expr, known_types)
    platforms = find_platform_attribute(record, catalog)
    if index is not None and not (PLATFORM_TYPE in vouched or _declares_platforms(record, catalog)):
        platforms = None
    if index is not None:
        named_vendor = _restrict_to_index(named_vendor, catalog, vouched, index, asked)
        named_vendor = refuse_foreign_days(named_vendor, roles, asked, index.snapshot.timezone)
    planned_vendor = replace(named_vendor, emit=guard_emit(named_vendor.emit, named_vendor))
    expanded = expand_comparisons(simplified, catalog, lambda atom: not is_refused(atom, planned_vendor))
    expanded = simplified if expanded is simplified else simplify(nnf(expanded))
    with suppress(ComplexityError):  # a vendor refuses a threshold with too many clauses, with the reason
        expanded = write_out_thresholds(expanded)
    index_types: frozenset[str] = frozenset()
    if index is not None:
        listed, index_types = write_out_index_values(expanded, planned_vendor, index)
        expanded = simplify(nnf(listed)) if index_types else expanded
    request = PlanRequest(
        vendor=planned_vendor,
        platforms=platforms,
        expr=expr,
        simplified=simplified,
        expanded=expanded,
        constrained=apply_constraints(expanded, constraints),
        constraints=constraints,
        max_requests=max_requests,
        strict=strict,
        index=index,
        id_vendor=id_vendor or vendor,
        restated=_restate(payload, vendor) if id_vendor == vendor else None,
        catalog=catalog,
        vouched=vouched,
        as_of=asked,
        index_types=index_types,
    )
    choice = choose_policies(index, caps, without_policies)
    try:
        planned = plan_under_policies(request, choice) if choice.policies else _build_plan(request)
    except ComplexityError as error:
        planned = request.plan_by_ids(error.problems)
    planned = _expand_id_references(planned, catalog, asked)
    if index is not None:
        planned = describe_known_calls(planned)
    return replace(
        planned,
        assumptions=(*planned.assumptions, *foreign_meanings),
        as_of=asked,
        written=None if written is expr else written,
        without_policies=choice.overridden,
    )


def default_timezone(index: "DeviceIndex | None") -> str:
    """Return the time zone of *index*, or UTC."""
    return DEFAULT_ZONE if index is None else index.snapshot.timezone


def _find_forgetful_events(index: "DeviceIndex") -> frozenset[str]:
    """Return the events of which *index* keeps the latest days only, while a vendor counts them all."""
    log = index.snapshot.events
    return frozenset(name for name in log.names() if log.coverage(name).first_day is not None)


def _restrict_to_index(
    vendor: Vendor, catalog: Catalog | None, vouched: Vouched, index: "DeviceIndex", asked: AsOf
) -> Vendor:
    """Return *vendor* with what it is known to have of what *index* has."""
    declared = restrict_to_declared(vendor, catalog, vouched, partial(_has_devices, index, asked))
    return refuse_id_columns(declared, index.snapshot.manifest.columns)


def _has_devices(index: "DeviceIndex", asked: AsOf, tag: Tag) -> bool:
    """Return whether *index* has the attribute of *tag*, the value is one of its kind, and a device has it."""
    from audience.index.query.attribute_rows import has_tag  # loads slowly, and plans without an index do not need it

    is_text = index.snapshot.roles.get(tag.type) in TEXT_ROLES
    if is_text and not any(has_tag(tag, shard) for shard in index.snapshot.shards):
        return False
    with suppress(ExpressionError):
        return index.count(tag, **asked.to_arguments()) > 0
    return False


def _declares_platforms(vendor: Vendor, catalog: Catalog | None) -> bool:
    """Return whether *catalog* says that the platforms of devices are those in a field of *vendor*."""
    names = () if vendor.platforms is None else vendor.platforms.names
    return any(is_declared(Tag(PLATFORM_TYPE, name), catalog, vendor) for name in names)


@check_arguments
def translate(
    payload: Any,
    source: str,
    target: str,
    catalog: Catalog | None = None,
    *,
    max_requests: int = MAX_REQUESTS,
    strict: bool = False,
    vendor_has: VendorHas = None,
    as_of: datetime | str | None = None,
    timezone: str | None = None,
    allow_gaps: bool = False,
) -> Plan:
    """Parse a *payload* of the vendor *source* and plan it for the vendor *target*, which is assumed to have the tags.

    >>> translate({"to": {"tag_and": ["a", "b"]}}, "engagelab", "emas").native
    ({'Target': 'TAG', 'TargetValue': '{"and":[{"tag":"a"},{"tag":"b"}]}'},)
    """
    expr = with_catalog_names(with_declared_events(get_vendor(source), catalog), catalog).parse(payload)
    return plan(
        expr,
        target,
        catalog=catalog,
        max_requests=max_requests,
        strict=strict,
        id_vendor=source,
        vendor_has=vendor_has,
        payload=payload,
        as_of=as_of,
        timezone=timezone,
        allow_gaps=allow_gaps,
    )


def _restate(payload: Any, vendor: str) -> Restated | None:
    """Return the targeting of a *payload* of *vendor* with its own operators, if the vendor can restate it."""
    restate = get_vendor(vendor).restate
    return None if payload is None or restate is None else restate(payload)


def _expand_id_references(candidate: Plan, catalog: Catalog | None, asked: AsOf) -> Plan:
    """Return *candidate* with the references that are sent by ids replaced by their meaning.

    A reference without a meaning is a reason: no index can look its devices up.
    """
    if candidate.by_ids is None:
        return candidate
    by_ids = bind(expand_references(candidate.by_ids, catalog), asked.moment, asked.zone)
    reasons = dict.fromkeys([*candidate.reasons, *find_unknown_references(by_ids)])
    assumptions = (*candidate.assumptions, *meaning_assumption(candidate.by_ids, catalog))
    return replace(candidate, by_ids=by_ids, reasons=tuple(reasons), assumptions=assumptions)


def _build_plan(request: PlanRequest) -> Plan:
    """Return the verified plan, or raise ComplexityError if it is too large to verify."""
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


def _plan_native(request: PlanRequest) -> Plan:
    """Return a plan of one native request, or else of several."""
    if request.restated is not None:
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
    assumptions = (*written, *restated.assumptions)
    return Plan(vendor.name, request.expr, (restated.payload,), None, (), assumptions, (form,), index=request.index)


def _plan_single(request: PlanRequest, form: Expr) -> Plan:
    """Return a plan of one native request, or raise Unsupported."""
    payload = request.vendor.emit(form)
    assumptions = (*_list_assumed_tags(request, [form]), *request.vendor.assumptions(form))
    return Plan(request.vendor.name, request.expr, (payload,), None, (), assumptions, (form,), index=request.index)


def _list_assumed_tags(request: PlanRequest, parts: Iterable[Expr]) -> list[Problem]:
    parts = list(parts)
    assumptions = list_assumed_tags(parts, request.catalog, request.vendor, request.vouched)
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
