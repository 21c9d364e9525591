"""The decision: what a vendor says natively, and what goes by ids.

Every native payload is proved before it is handed out: it is read back with the vendor's own `parse`, and must
mean what was asked for every device there could be. What cannot be proved goes by ids.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from audience.algebra.equivalence import witness
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


@dataclass(frozen=True, slots=True)
class Plan:
    """How the devices that *expr* means are reached at *vendor*.

    *native* are wire-ready targeting objects, pairwise disjoint; *by_ids* is what is left to be resolved here, or
    None; *reasons* tell why. Without native parts and without *by_ids* nobody is meant and nothing is sent.
    """

    vendor: str
    expr: Expr
    native: tuple[Payload, ...]
    by_ids: Expr | None
    reasons: tuple[Problem, ...]
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


def plan(expr: Expr | str, vendor: str, index: DeviceIndex | None = None) -> Plan:
    """Decide how *vendor* reaches the devices that *expr* means; *index* is where ids will be looked up.

    >>> plan("a AND NOT b", "engagelab").native
    ({'to': {'tag': ['a'], 'tag_not': ['b']}},)
    >>> [problem.code for problem in plan("NOT b", "engagelab").reasons]
    ['not-alone']
    >>> plan("a AND NOT a", "tpns").native, plan("a AND NOT a", "tpns").by_ids
    ((), None)
    """
    to = record(vendor)
    meant = parse(expr) if isinstance(expr, str) else expr
    simple = simplify(nnf(simplify(meant)))
    if simple == Nobody():
        return Plan(to.name, meant, (), None, (), index)
    try:
        payload = to.emit(simple)
        broadcast = prove(to, simple, payload) == Everyone()
    except Unsaid as unsaid:
        return Plan(to.name, meant, (), simple, unsaid.problems, index)
    except BudgetError as error:
        return Plan(to.name, meant, (), simple, error.problems, index)
    if broadcast and meant != Everyone():
        return Plan(to.name, meant, (), simple, (IMPLIED_BROADCAST,), index)
    return Plan(to.name, meant, (payload,), None, (), index)


IMPLIED_BROADCAST = Problem(
    "implied-broadcast",
    "the expression comes to everyone without saying so",
    hint="write everyone to broadcast",
)


def translate(payload: Any, source: str, target: str) -> Plan:
    """Read *payload* as the vendor *source* does, and plan it for the vendor *target*.

    >>> translate({"to": {"tag_and": ["a", "b"]}}, "engagelab", "emas").native
    ({'Target': 'TAG', 'TargetValue': '{"and":[{"tag":"a"},{"tag":"b"}]}'},)
    """
    return plan(record(source).parse(payload), target)


def prove(to: Vendor, meant: Expr, payload: Payload) -> Expr:
    """Read *payload* back; ProofError, with a device on which the two differ, unless it means *meant*."""
    try:
        said = to.parse(payload)
    except AudienceError as error:
        raise ProofError(Problem("unreadable-payload", f"{dump(payload)} cannot be read back: {error}")) from error
    differs = witness(meant, said)
    if differs is not None:
        device = ", ".join(sorted(map(render, differs))) or "no tag at all"
        raise ProofError(Problem("not-what-was-said", f"{dump(payload)} differs for a device with {device}"))
    return said
