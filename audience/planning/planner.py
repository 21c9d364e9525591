"""The decision: what a vendor says natively, and what goes by ids.

Every plan is proved before it is handed out: its payloads are read back with the vendor's own `parse`, and must share
no device and make up what was asked, for every device there could be. What cannot be proved goes by ids.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from audience.algebra.constraints import (
    NO_CONSTRAINTS,
    AttributeConstraints,
    add_exhaustive_bound,
    simplify_with_constraints,
)
from audience.algebra.cover import find_cover
from audience.algebra.equivalence import find_partition_violation
from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.errors import AudienceError, ComplexityError, PlanError, Problem, ProofError
from audience.language.ast import Compare, Everyone, Expr, Ids, Nobody, atoms, ensure_expr
from audience.language.parser import parse
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog, expand_comparisons
from audience.planning.catalog.vendor_names import with_catalog_names
from audience.vendors import get_vendor
from audience.vendors.spec import Payload, Unsupported, Vendor

if TYPE_CHECKING:  # a plan without an index loads none
    from audience.index.device_index import DeviceIndex

MAX_REQUESTS = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """How the devices that *expr* means are reached at *vendor*.

    *native* are wire-ready targeting objects, pairwise disjoint; *by_ids* is what is left to be resolved here, or
    None; *reasons* tell why. Without native parts and without *by_ids* nobody is meant and nothing is sent.

    *parts* are what each native object says, *split* why it took several, *least* whether fewer are known not to do;
    *conditions* are what the native objects take for granted.
    """

    vendor: str
    expr: Expr
    native: tuple[Payload, ...]
    by_ids: Expr | None
    reasons: tuple[Problem, ...]
    assumptions: tuple[Problem, ...] = ()
    request_exprs: tuple[Expr, ...] = ()
    split_reasons: tuple[Problem, ...] = ()
    is_minimal: bool = True
    index: "DeviceIndex | None" = field(default=None, repr=False, compare=False)

    def requests(self, index: "DeviceIndex | None" = None) -> Iterator[Payload]:
        """Wire-ready targeting objects: the native ones, then lists of at most the vendor's number of ids.

        Raises PlanError where ids are needed and there is no index.
        """
        index = index or self.index
        if self.by_ids is not None and index is None:
            raise PlanError(
                Problem("no-index", "this plan goes by ids, and there is no index to find them in"),
                *self.reasons,
            )
        return self._iter_requests(index)

    def _iter_requests(self, index: "DeviceIndex | None") -> Iterator[Payload]:
        yield from self.native
        if self.by_ids is not None and index is not None:
            from audience.requests.batching import iter_id_payloads  # here, as native requests need no index

            yield from iter_id_payloads(index.resolve(self.by_ids), self.vendor)


def plan(
    expr: Expr | str,
    vendor: str,
    index: "DeviceIndex | None" = None,
    catalog: Catalog | None = None,
    *,
    max_requests: int = MAX_REQUESTS,
    strict: bool = False,
    id_vendor: str | None = None,
) -> Plan:
    """Decide how *vendor* reaches the devices that *expr* means.

    *index* is where ids will be looked up, and where segments are saved; *catalog* has the vendor's names and what is
    known of attributes. At most *max_requests* are native. With *strict*, whatever a native request takes for granted
    is a reason to go by ids. *ids_of* is the vendor whose registration ids the expression names, where it is another.
    Raises PlanError for a vendor that is not known, or only read from.

    >>> plan("a AND NOT b", "engagelab").native
    ({'to': {'tag': ['a'], 'tag_not': ['b']}},)
    >>> plan("(a AND b) OR c", "engagelab").native
    ({'to': {'tag': ['c']}}, {'to': {'tag_and': ['a', 'b'], 'tag_not': ['c']}})
    >>> [problem.code for problem in plan("NOT b", "engagelab").reasons]
    ['not-alone']
    >>> plan("a AND NOT a", "tpns").native, plan("a AND NOT a", "tpns").by_ids
    ((), None)
    """
    meant = parse(expr) if isinstance(expr, str) else ensure_expr(expr)
    if index is not None:
        meant = index.expand_segments(meant)
    plain = simplify(nnf(simplify(meant)))
    facts = NO_CONSTRAINTS if catalog is None else catalog.constraints
    written = expand_comparisons(plain, catalog)
    asked = _PlanRequest(
        vendor=with_catalog_names(get_vendor(vendor, can="emit"), catalog),
        expr=meant,
        simplified=plain,
        expanded=written,
        constrained=simplify_with_constraints(written, facts),
        constraints=facts,
        max_requests=max_requests,
        index=index,
        id_vendor=id_vendor or vendor,
    )
    try:
        return _build_plan(asked, strict)
    except ComplexityError as error:
        return asked.plan_by_ids(error.problems)


@dataclass(frozen=True, slots=True)
class _PlanRequest:
    """What is asked of `plan`: *plain* is what is meant in few words, *written* with comparisons written out as
    values, *sharp* in fewer words still by what the catalog knows."""

    vendor: Vendor
    expr: Expr
    simplified: Expr
    expanded: Expr
    constrained: Expr
    constraints: AttributeConstraints
    max_requests: int
    index: "DeviceIndex | None"
    id_vendor: str

    def plan_by_ids(self, reasons: tuple[Problem, ...]) -> Plan:
        return Plan(self.vendor.name, self.expr, (), self.simplified, reasons, index=self.index)


def _build_plan(request: _PlanRequest, strict: bool) -> Plan:
    """The plan itself; BudgetError where it cannot be proved."""
    if _is_empty(request):
        return Plan(request.vendor.name, request.expr, (), None, (), index=request.index)
    if (
        request.expr != Everyone()
        and not is_bounded(nnf(request.expanded))
        and find_partition_violation(Everyone(), [request.expanded]) is None
    ):
        return request.plan_by_ids((IMPLIED_BROADCAST,))
    foreign = tuple(_foreign_id_problems(request))
    found = request.plan_by_ids(foreign) if foreign else _plan_native(request)
    if not found.native:
        return found
    said = verify_plan(request.vendor, request.constrained, found, request.constraints)
    if _depends_on_catalog(request, found, said):
        if contradiction := _find_catalog_contradiction(request, found):
            return request.plan_by_ids((contradiction,))
        found = replace(found, assumptions=(*found.assumptions, CATALOG_IS_TRUE))
    return request.plan_by_ids(found.assumptions) if strict and found.assumptions else found


def _find_catalog_contradiction(request: _PlanRequest, candidate: Plan) -> Problem | None:
    """The problem of a catalog that the index shows to be wrong for the devices that are meant."""
    if request.index is None:
        return None
    meant = request.index.resolve(request.simplified)
    parts = [request.index.resolve(part) for part in _add_id_part(candidate.request_exprs, candidate)]
    left = reduce(lambda rest, part: rest - part, parts, meant)
    others = sum(len(part - meant) for part in parts)
    again = sum(map(len, parts)) - others - (len(meant) - len(left))
    if not left and not others and not again:
        return None
    told = f"{len(left):,} would be left out, {others:,} others told, {again:,} told again"
    message = f"the index has {len(meant):,} devices that are meant; by what the catalog says {told}"
    hint = "mend the catalog: not all values are listed, not all devices have one, or some have several"
    return Problem("catalog-contradicted", message, hint=hint)


def _is_empty(request: _PlanRequest) -> bool:
    try:
        return find_partition_violation(Nobody(), [request.constrained], request.constraints) is None
    except ComplexityError:
        return False  # then the vendor is asked for an audience that may turn out to be empty


def _foreign_id_problems(request: _PlanRequest) -> Iterator[Problem]:
    """Registration ids of another vendor: here they would name nobody, or somebody else."""
    foreign = not set(get_vendor(request.id_vendor).id_columns) & set(get_vendor(request.vendor.name).id_columns)
    for ids in atoms(request.simplified):
        if isinstance(ids, Ids) and ids.kind == "registration_id":
            known = request.index is not None and request.index.has_foreign_ids(ids, request.vendor.name)
            if foreign or known:
                message = f"{ids.kind}(…) names devices by ids that are not those of {request.vendor.name}"
                yield Problem("other-vendors-ids", message, ids.span)


def _plan_native(request: _PlanRequest) -> Plan:
    """The plan of one request, or where one cannot say it, of several."""
    try:
        return _plan_single(request, request.constrained)
    except Unsupported as unsaid:
        why = unsaid.problems
    bound = _bound_not(request)
    if bound != request.constrained:
        with suppress(Unsupported):
            return _plan_single(request, bound)
    return _plan_split(request, bound, why)


def _plan_single(request: _PlanRequest, form: Expr) -> Plan:
    """The plan of one request; Unsaid where one cannot say *form*."""
    payload = request.vendor.emit(form)
    conditions = tuple(request.vendor.assumptions(form))
    return Plan(request.vendor.name, request.expr, (payload,), None, (), conditions, (form,), index=request.index)


def _bound_not(request: _PlanRequest) -> Expr:
    """What is asked, within the values of an exhaustive attribute where nothing else bounds its NOT."""
    if is_bounded(nnf(request.constrained)) or isinstance(request.constrained, Everyone):
        return request.constrained
    usable = [
        type_
        for type_ in request.constraints.exhaustive & request.constraints.values.keys()
        if not any(
            problem for tag in request.constraints.all_tags(type_) for problem in request.vendor.tag_problems(tag)
        )
    ]
    return add_exhaustive_bound(request.constrained, request.constraints, sorted(usable)) or request.constrained


def _plan_split(request: _PlanRequest, bounded_expr: Expr, reasons: tuple[Problem, ...]) -> Plan:
    """The plan of several requests that share no device, where *why* one does not do; what is left goes by ids."""
    to = request.vendor
    found = find_cover(
        bounded_expr,
        to.shape,
        lambda tag: not any(to.tag_problems(tag)),
        request.constraints,
        max_parts=request.max_requests,
    )
    if not found.parts:
        return request.plan_by_ids(reasons)
    try:
        payloads = tuple(map(to.emit, found.parts))
    except Unsupported as unsaid:  # of a limit that the shape does not know, as of a request's length
        return request.plan_by_ids(tuple(dict.fromkeys((*reasons, *unsaid.problems))))
    rest = None if found.remainder == Nobody() else found.remainder
    conditions = [condition for part in found.parts for condition in to.assumptions(part)]
    if len(found.parts) > 1 or rest is not None:
        conditions.append(SENT_IN_SEQUENCE)
    if rest is not None:
        conditions.append(TWO_SOURCES)
    return Plan(
        to.name,
        request.expr,
        payloads,
        rest,
        () if rest is None else reasons,
        tuple(dict.fromkeys(conditions)),
        found.parts,
        reasons if len(found.parts) > 1 else (),
        found.is_minimal,
        request.index,
    )


def _depends_on_catalog(request: _PlanRequest, candidate: Plan, parsed_exprs: list[Expr]) -> bool:
    """Whether the native requests mean what was asked only by what the catalog knows."""
    if request.constraints == NO_CONSTRAINTS:
        return False
    compares = any(isinstance(atom, Compare) for atom in atoms(request.simplified))
    return compares or find_partition_violation(request.expanded, _add_id_part(parsed_exprs, candidate)) is not None


def _add_id_part(parts: Iterable[Expr], candidate: Plan) -> list[Expr]:
    """*parts*, and what goes by ids."""
    return [*parts, *([] if candidate.by_ids is None else [candidate.by_ids])]


SENT_IN_SEQUENCE = Problem(
    "split", "the requests are sent one after the other; a device whose tags change meanwhile may be in two or in none"
)
TWO_SOURCES = Problem("two-sources", "the vendor's tags and those of the index agree for every device")
CATALOG_IS_TRUE = Problem(
    "catalog", "what the catalog says of values (closed, exclusive, exhaustive) is true of every device"
)
IMPLIED_BROADCAST = Problem(
    "implied-broadcast",
    "the expression comes to everyone without saying so",
    hint="write everyone to broadcast",
)


def translate(
    payload: Any,
    source: str,
    target: str,
    catalog: Catalog | None = None,
    *,
    max_requests: int = MAX_REQUESTS,
    strict: bool = False,
) -> Plan:
    """Read *payload* as the vendor *source* does, and plan it for the vendor *target*.

    >>> translate({"to": {"tag_and": ["a", "b"]}}, "engagelab", "emas").native
    ({'Target': 'TAG', 'TargetValue': '{"and":[{"tag":"a"},{"tag":"b"}]}'},)
    """
    meant = with_catalog_names(get_vendor(source), catalog).parse(payload)
    return plan(meant, target, catalog=catalog, max_requests=max_requests, strict=strict, id_vendor=source)


def verify_plan(
    vendor: Vendor, expr: Expr, candidate: Plan, constraints: AttributeConstraints = NO_CONSTRAINTS
) -> list[Expr]:
    """What the payloads of *found* say, read back: with what goes by ids they share no device and make up *meant*.

    Raises ProofError, an internal error, with a device on which they do not; BudgetError where that is too much to
    decide.
    """
    said = [_read_back(vendor, payload) for payload in candidate.native]
    differs = find_partition_violation(expr, _add_id_part(said, candidate), constraints)
    if differs is not None:
        device = ", ".join(sorted(map(render, differs))) or "no tag at all"
        message = f"what {vendor.name} would be sent is wrong for a device with {device}"
        raise ProofError(Problem("proof-failed", message, hint="please report this; nothing was written"))
    return said


def _read_back(vendor: Vendor, payload: Payload) -> Expr:
    try:
        return vendor.parse(payload)
    except PlanError:  # of another package that fails
        raise
    except AudienceError as error:
        message = f"what {vendor.name} would be sent cannot be read back: {error.code}"
        raise ProofError(
            Problem("unreadable-payload", message, hint="please report this; nothing was written")
        ) from error
