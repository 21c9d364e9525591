"""Decide how a vendor reaches an audience: by native requests, by lists of ids, or by both.

    expr ──normalize──▶ simplified ──expand comparisons──▶ expanded ──apply constraints──▶ constrained
                                                                                               │
    Plan ◀──verify── expressions ◀──parse── payloads ◀──emit── one request, or disjoint parts ◀┘

Every plan is verified before it is returned: its payloads, read back by the vendor's own parser, must be disjoint and
make up the audience for every possible device. What cannot be verified is sent by ids.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from audience.algebra.constraints import NO_CONSTRAINTS, apply_constraints
from audience.algebra.normal_forms import nnf, write_out_thresholds
from audience.algebra.simplification import simplify
from audience.argument_types import check_arguments
from audience.errors import ComplexityError, ExpressionError, Problem
from audience.index.schema.columns import TEXT_ROLES
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Expr, Tag
from audience.language.binding import bind, forget_other_moments
from audience.language.id_files import require_unchanged_files
from audience.language.parser import to_expr
from audience.language.platforms import PLATFORM_TYPE
from audience.language.vocabulary import canonicalize_values
from audience.language.zones import DEFAULT_ZONE
from audience.planning.catalog.catalog import Catalog, expand_comparisons, unify_values, with_column_types
from audience.planning.catalog.declared import is_declared, restrict_to_declared
from audience.planning.catalog.events import with_declared_events
from audience.planning.catalog.references import expand_references, find_unknown_references, meaning_assumption
from audience.planning.catalog.vendor_names import with_catalog_names
from audience.planning.contradicted_values import refuse_contradicted_values
from audience.planning.foreign_days import convert_days_to_instants, refuse_foreign_days
from audience.planning.id_columns import describe_known_calls, refuse_id_columns, require_known_calls
from audience.planning.index_values import is_refused, list_spellings, write_out_index_values
from audience.planning.native_plans import build_plan
from audience.planning.plans import Plan, PlanRequest
from audience.planning.platform_requests import find_platform_attribute
from audience.planning.policies import choose_policies
from audience.planning.policy_plans import plan_under_policies
from audience.planning.synced_tags import SyncedTags, find_stale, find_syncs, refuse_stale_tags
from audience.planning.undocumented_nots import assume_undocumented_nots, refuse_undocumented_nots
from audience.planning.version_comparisons import refuse_version_comparisons
from audience.planning.vouching import VendorHas, resolve_vendor_has
from audience.vendors import get_vendor
from audience.vendors.spec import Restated, Vendor
from audience.vendors.wrapping import guard_emit

if TYPE_CHECKING:  # plans can be made without an index
    from audience.index.device_index import DeviceIndex

MAX_REQUESTS = 16


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
    expr, foreign_meanings = _expand_audience(expr, vendor, index, catalog)
    expr = forget_other_moments(expr, asked.moment, asked.zone)
    require_unchanged_files(expr)
    written, expr = expr, bind(expr, asked.moment, asked.zone)
    roles = {} if index is None else index.snapshot.roles
    loaded, catalog = catalog, with_column_types(catalog, roles, asked.zone)
    spellings = {} if index is None else list_spellings(expr, index)
    record = _describe_vendor(vendor, id_vendor, catalog, index)
    named = refuse_version_comparisons(with_catalog_names(record, catalog), catalog, roles)
    converted = convert_days_to_instants(expr, named, roles, asked)
    simplified = simplify(nnf(simplify(unify_values(converted, catalog, roles, asked.zone, spellings))))
    known_types = [*roles, *(() if catalog is None else catalog.attributes)]
    request = PlanRequest(
        vendor=named,
        platforms=find_platform_attribute(record, catalog),
        expr=expr,
        simplified=simplified,
        expanded=simplified,
        constrained=simplified,
        constraints=NO_CONSTRAINTS if catalog is None else catalog.constraints,
        max_requests=max_requests,
        strict=strict,
        index=index,
        id_vendor=id_vendor or vendor,
        restated=_restate(payload, vendor) if id_vendor == vendor else None,
        catalog=catalog,
        vouched=resolve_vendor_has(vendor_has, expr, known_types),
        as_of=asked,
        index_types=frozenset(),
    )
    if index is not None:
        request = _restrict_to_index(request, record, index)
    choice = choose_policies(index, caps, without_policies)
    planned = plan_under_policies(request, choice) if choice.policies else _plan_at_applications(request, loaded)
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


def _expand_audience(
    expr: Expr, vendor: str, index: "DeviceIndex | None", catalog: Catalog | None
) -> tuple[Expr, list[Problem]]:
    """Return *expr* without segments and references to other vendors, and what these references are assumed to mean."""
    if index is not None:
        expr = index.expand_segments(expr)
    else:  # an index has the values as its table spells them
        expr = canonicalize_values(expr, excluded_types=() if catalog is None else catalog.attributes)
    foreign_meanings = meaning_assumption(expr, catalog, keep_vendor=vendor)
    expr = expand_references(expr, catalog, keep_vendor=vendor)
    if index is not None:
        expr = index.expand_segments(expr)  # those that the meaning of a reference names
        require_known_calls(expr, index.snapshot.manifest.columns)
    return expr, foreign_meanings


def _describe_vendor(
    vendor: str, id_vendor: str | None, catalog: Catalog | None, index: "DeviceIndex | None"
) -> Vendor:
    """Return what *vendor* can express, with its undocumented NOTs only if the expression was read from its payload."""
    record = get_vendor(vendor, can="emit")
    record = assume_undocumented_nots(record) if id_vendor == vendor else refuse_undocumented_nots(record)
    return with_declared_events(record, catalog, frozenset() if index is None else _find_forgetful_events(index))


def _find_forgetful_events(index: "DeviceIndex") -> frozenset[str]:
    """Return the events of which *index* keeps the latest days only, while a vendor counts them all."""
    log = index.snapshot.events
    return frozenset(name for name in log.names() if log.coverage(name).first_day is not None)


def _restrict_to_index(request: PlanRequest, record: Vendor, index: "DeviceIndex") -> PlanRequest:
    """Return *request* with a vendor that expresses only what it is known to have of the attributes of *index*."""
    catalog, vouched, asked = request.catalog, request.vouched, request.as_of
    vendor = restrict_to_declared(request.vendor, catalog, vouched, partial(_has_devices, index, asked))
    vendor = refuse_id_columns(vendor, index.snapshot.manifest.columns)
    vendor = refuse_foreign_days(vendor, index.snapshot.roles, asked, index.snapshot.timezone)
    vendor = refuse_contradicted_values(vendor, index)
    has_platforms = PLATFORM_TYPE in vouched or _declares_platforms(record, catalog)
    return replace(request, vendor=vendor, platforms=request.platforms if has_platforms else None)


def _plan_at_applications(request: PlanRequest, catalog: Catalog | None) -> Plan:
    """Return the plan for the application at which the most is native, with all applications at which it holds.

    *catalog* is the catalog before the plan adds the types of columns: the tags were synced with this one.
    """
    if request.index is None:
        return _plan_at(request, SyncedTags())
    from audience.planning.sync_states import load_synced_tags  # loads slowly, as the index does

    applications = load_synced_tags(request.index, get_vendor(request.vendor.name), catalog) or [SyncedTags()]
    plans = [_plan_at(request, synced) for synced in applications]
    best = min(range(len(plans)), key=lambda number: (plans[number].by_ids is not None, not plans[number].native))
    exprs, vouched = plans[best].request_exprs, request.vouched
    others = [synced for number, synced in enumerate(applications) if number != best]
    syncs = [find_syncs(exprs, synced, vouched) for synced in others if not find_stale(exprs, synced, vouched)]
    return replace(plans[best], synced=(*plans[best].synced, *chain.from_iterable(syncs)))


def _plan_at(request: PlanRequest, synced: SyncedTags) -> Plan:
    """Return the plan for the application of *synced*."""
    vendor = refuse_stale_tags(request.vendor, synced, request.vouched)
    expanded = _expand(replace(request, vendor=vendor, synced=synced))
    try:
        return build_plan(expanded)
    except ComplexityError as error:
        return expanded.plan_by_ids(error.problems)


def _expand(request: PlanRequest) -> PlanRequest:
    """Return *request* with conditions written out as values where the vendor has none, and constraints applied."""
    vendor = replace(request.vendor, emit=guard_emit(request.vendor.emit, request.vendor))
    simplified, catalog, index_types = request.simplified, request.catalog, frozenset[str]()
    expanded = expand_comparisons(simplified, catalog, lambda atom: not is_refused(atom, vendor))
    expanded = simplified if expanded is simplified else simplify(nnf(expanded))
    with suppress(ComplexityError):  # a vendor refuses a threshold with too many clauses, with the reason
        expanded = write_out_thresholds(expanded)
    if request.index is not None:
        listed, index_types = write_out_index_values(expanded, vendor, request.index)
        expanded = simplify(nnf(listed)) if index_types else expanded
    constrained = apply_constraints(expanded, request.constraints)
    return replace(request, vendor=vendor, expanded=expanded, constrained=constrained, index_types=index_types)


def _has_devices(index: "DeviceIndex", asked: AsOf, tag: Tag) -> bool:
    """Return whether any device of *index* has *tag*; False if the index cannot have it."""
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
