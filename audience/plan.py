"""The decision: what a vendor says natively, and what goes by ids.

Every plan is proved before it is handed out: its payloads are read back with the vendor's own `parse`, and must share
no device and make up what was asked, for every device there could be. What cannot be proved goes by ids.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from audience.algebra.cover import cover
from audience.algebra.equivalence import unshared
from audience.algebra.normal import nnf
from audience.algebra.simplify import simplify
from audience.batches import bodies
from audience.errors import AudienceError, BudgetError, PlanError, Problem, ProofError
from audience.index import DeviceIndex
from audience.language.expr import Everyone, Expr, Nobody
from audience.language.parse import parse
from audience.language.render import render
from audience.vendors import vendor as record
from audience.vendors.base import Payload, Unsaid, Vendor, dump

MOST_REQUESTS = 16


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
    conditions: tuple[Problem, ...] = ()
    parts: tuple[Expr, ...] = ()
    split: tuple[Problem, ...] = ()
    least: bool = True
    index: DeviceIndex | None = field(default=None, repr=False, compare=False)

    def requests(self, index: DeviceIndex | None = None) -> Iterator[Payload]:
        """Wire-ready targeting objects: the native ones, then lists of at most the vendor's number of ids.

        Raises PlanError where ids are needed and there is no index.
        """
        index = index or self.index
        if self.by_ids is not None and index is None:
            raise PlanError(
                Problem("no-index", "this plan goes by ids, and there is no index to find them in"),
                *self.reasons,
            )
        return self._requests(index)

    def _requests(self, index: DeviceIndex | None) -> Iterator[Payload]:
        yield from self.native
        if self.by_ids is not None and index is not None:
            yield from bodies(index.resolve(self.by_ids), self.vendor)


def plan(
    expr: Expr | str,
    vendor: str,
    index: DeviceIndex | None = None,
    *,
    max_requests: int = MOST_REQUESTS,
    strict: bool = False,
) -> Plan:
    """Decide how *vendor* reaches the devices that *expr* means; *index* is where ids will be looked up.

    At most *max_requests* are native. With *strict*, whatever a native request takes for granted is a reason to go
    by ids.

    >>> plan("a AND NOT b", "engagelab").native
    ({'to': {'tag': ['a'], 'tag_not': ['b']}},)
    >>> plan("(a AND b) OR c", "engagelab").native
    ({'to': {'tag': ['c']}}, {'to': {'tag_and': ['a', 'b'], 'tag_not': ['c']}})
    >>> [problem.code for problem in plan("NOT b", "engagelab").reasons]
    ['not-alone']
    >>> plan("a AND NOT a", "tpns").native, plan("a AND NOT a", "tpns").by_ids
    ((), None)
    """
    to = record(vendor)
    meant = parse(expr) if isinstance(expr, str) else expr
    simple = simplify(nnf(simplify(meant)))
    if simple == Nobody():
        return Plan(to.name, meant, (), None, (), index=index)
    by_ids = Plan(to.name, meant, (), simple, (), index=index)
    try:
        found = _whole(to, meant, simple, index) or _several(to, meant, simple, max_requests, index)
        said = prove(to, simple, found)
    except BudgetError as error:
        return replace(by_ids, reasons=error.problems)
    if strict and found.conditions:
        return replace(by_ids, reasons=found.conditions)
    if Everyone() in said and meant != Everyone():
        return replace(by_ids, reasons=(IMPLIED_BROADCAST,))
    return found


def _whole(to: Vendor, meant: Expr, simple: Expr, index: DeviceIndex | None) -> Plan | None:
    """The plan of one request, or None where one cannot say it."""
    try:
        payload = to.emit(simple)
    except Unsaid:
        return None
    return Plan(to.name, meant, (payload,), None, (), tuple(to.conditions(simple)), (simple,), index=index)


def _several(to: Vendor, meant: Expr, simple: Expr, most: int, index: DeviceIndex | None) -> Plan:
    """The plan of several requests that share no device; what none of them says goes by ids."""
    why = _why_not(to, simple)
    found = cover(simple, to.shape, lambda tag: not any(to.unnamed(tag)), most=most)
    if not found.parts:
        return Plan(to.name, meant, (), simple, why, index=index)
    rest = None if found.rest == Nobody() else found.rest
    conditions = [condition for part in found.parts for condition in to.conditions(part)]
    if len(found.parts) > 1 or rest is not None:
        conditions.append(ONE_AFTER_THE_OTHER)
    if rest is not None:
        conditions.append(TWO_SOURCES)
    return Plan(
        to.name,
        meant,
        tuple(to.emit(part) for part in found.parts),
        rest,
        () if rest is None else why,
        tuple(dict.fromkeys(conditions)),
        found.parts,
        why if len(found.parts) > 1 else (),
        found.least,
        index,
    )


def _why_not(to: Vendor, simple: Expr) -> tuple[Problem, ...]:
    """Every reason why one request cannot say *simple* as it stands."""
    try:
        to.emit(simple)
    except Unsaid as unsaid:
        return unsaid.problems
    return ()


ONE_AFTER_THE_OTHER = Problem(
    "split", "the requests are sent one after the other; a device whose tags change meanwhile may be in two or in none"
)
TWO_SOURCES = Problem("two-sources", "the vendor's tags and those of the index agree for every device")
IMPLIED_BROADCAST = Problem(
    "implied-broadcast",
    "the expression comes to everyone without saying so",
    hint="write everyone to broadcast",
)


def translate(
    payload: Any, source: str, target: str, *, max_requests: int = MOST_REQUESTS, strict: bool = False
) -> Plan:
    """Read *payload* as the vendor *source* does, and plan it for the vendor *target*.

    >>> translate({"to": {"tag_and": ["a", "b"]}}, "engagelab", "emas").native
    ({'Target': 'TAG', 'TargetValue': '{"and":[{"tag":"a"},{"tag":"b"}]}'},)
    """
    return plan(record(source).parse(payload), target, max_requests=max_requests, strict=strict)


def prove(to: Vendor, meant: Expr, found: Plan) -> list[Expr]:
    """What the payloads of *found* say, read back: with what goes by ids they share no device and make up *meant*.

    Raises ProofError, an internal error, with a device on which they do not; BudgetError where that is too much to
    decide.
    """
    said = [_read_back(to, payload) for payload in found.native]
    differs = unshared(meant, [*said, *([] if found.by_ids is None else [found.by_ids])])
    if differs is not None:
        device = ", ".join(sorted(map(render, differs))) or "no tag at all"
        payloads = " and ".join(map(dump, found.native))
        raise ProofError(Problem("not-what-was-said", f"{payloads} are wrong for a device with {device}"))
    return said


def _read_back(to: Vendor, payload: Payload) -> Expr:
    try:
        return to.parse(payload)
    except AudienceError as error:
        raise ProofError(Problem("unreadable-payload", f"{dump(payload)} cannot be read back: {error}")) from error
