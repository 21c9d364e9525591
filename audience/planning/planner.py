"""The decision: what a vendor says natively, and what goes by ids.

Every plan is proved before it is handed out: its payloads are read back with the vendor's own `parse`, and must share
no device and make up what was asked, for every device there could be. What cannot be proved goes by ids.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from audience.algebra.constraints import NONE, Facts, bind, sharpen
from audience.algebra.cover import cover
from audience.algebra.equivalence import unshared
from audience.algebra.fitting import bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.simplify import simplify
from audience.errors import AudienceError, BudgetError, PlanError, Problem, ProofError
from audience.language.ast import Compare, Everyone, Expr, Ids, Nobody, atoms, checked
from audience.language.parser import parse
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog, resolved
from audience.planning.catalog.vendor_names import speaking
from audience.vendors import sendable
from audience.vendors import vendor as record
from audience.vendors.spec import Payload, Unsaid, Vendor

if TYPE_CHECKING:  # a plan without an index loads none
    from audience.index.device_index import DeviceIndex

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
        return self._requests(index)

    def _requests(self, index: "DeviceIndex | None") -> Iterator[Payload]:
        yield from self.native
        if self.by_ids is not None and index is not None:
            from audience.requests.batching import bodies  # here, as native requests need no index

            yield from bodies(index.resolve(self.by_ids), self.vendor)


def plan(
    expr: Expr | str,
    vendor: str,
    index: "DeviceIndex | None" = None,
    catalog: Catalog | None = None,
    *,
    max_requests: int = MOST_REQUESTS,
    strict: bool = False,
    ids_of: str | None = None,
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
    meant = parse(expr) if isinstance(expr, str) else checked(expr)
    if index is not None:
        meant = index.expanded(meant)
    plain = simplify(nnf(simplify(meant)))
    facts = NONE if catalog is None else catalog.facts
    written = resolved(plain, catalog)
    asked = _Asked(
        to=speaking(sendable(vendor), catalog),
        meant=meant,
        plain=plain,
        written=written,
        sharp=sharpen(written, facts),
        facts=facts,
        most=max_requests,
        index=index,
        ids_of=ids_of or vendor,
    )
    try:
        return _decided(asked, strict)
    except BudgetError as error:
        return asked.by_ids(error.problems)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of `plan`: *plain* is what is meant in few words, *written* with comparisons written out as
    values, *sharp* in fewer words still by what the catalog knows."""

    to: Vendor
    meant: Expr
    plain: Expr
    written: Expr
    sharp: Expr
    facts: Facts
    most: int
    index: "DeviceIndex | None"
    ids_of: str

    def by_ids(self, reasons: tuple[Problem, ...]) -> Plan:
        return Plan(self.to.name, self.meant, (), self.plain, reasons, index=self.index)


def _decided(asked: _Asked, strict: bool) -> Plan:
    """The plan itself; BudgetError where it cannot be proved."""
    if _comes_to_nobody(asked):
        return Plan(asked.to.name, asked.meant, (), None, (), index=asked.index)
    if asked.meant != Everyone() and not bounded(nnf(asked.written)) and unshared(Everyone(), [asked.written]) is None:
        return asked.by_ids((IMPLIED_BROADCAST,))
    foreign = tuple(_foreign_ids(asked))
    found = asked.by_ids(foreign) if foreign else _said(asked)
    if not found.native:
        return found
    said = prove(asked.to, asked.sharp, found, asked.facts)
    if _leans_on_facts(asked, found, said):
        if contradiction := _contradicted(asked, found):
            return asked.by_ids((contradiction,))
        found = replace(found, conditions=(*found.conditions, FACTS))
    return asked.by_ids(found.conditions) if strict and found.conditions else found


def _contradicted(asked: _Asked, found: Plan) -> Problem | None:
    """The problem of a catalog that the index shows to be wrong for the devices that are meant."""
    if asked.index is None:
        return None
    meant = asked.index.resolve(asked.plain)
    parts = [asked.index.resolve(part) for part in _with_rest(found.parts, found)]
    left = reduce(lambda rest, part: rest.without(part), parts, meant)
    others = sum(len(part.without(meant)) for part in parts)
    again = sum(map(len, parts)) - others - (len(meant) - len(left))
    if not left and not others and not again:
        return None
    told = f"{len(left):,} would be left out, {others:,} others told, {again:,} told again"
    message = f"the index has {len(meant):,} devices that are meant; by what the catalog says {told}"
    hint = "mend the catalog: not all values are listed, not all devices have one, or some have several"
    return Problem("catalog-contradicted", message, hint=hint)


def _comes_to_nobody(asked: _Asked) -> bool:
    try:
        return unshared(Nobody(), [asked.sharp], asked.facts) is None
    except BudgetError:
        return False  # then the vendor is asked for an audience that may turn out to be empty


def _foreign_ids(asked: _Asked) -> Iterator[Problem]:
    """Registration ids of another vendor: here they would name nobody, or somebody else."""
    foreign = not set(record(asked.ids_of).known_by) & set(record(asked.to.name).known_by)
    for ids in atoms(asked.plain):
        if isinstance(ids, Ids) and ids.kind == "registration_id":
            known = asked.index is not None and asked.index.holds_others(ids, asked.to.name)
            if foreign or known:
                message = f"{ids.kind}(…) names devices by ids that are not those of {asked.to.name}"
                yield Problem("other-vendors-ids", message, ids.span)


def _said(asked: _Asked) -> Plan:
    """The plan of one request, or where one cannot say it, of several."""
    try:
        return _whole(asked, asked.sharp)
    except Unsaid as unsaid:
        why = unsaid.problems
    bound = _bound(asked)
    if bound != asked.sharp:
        with suppress(Unsaid):
            return _whole(asked, bound)
    return _several(asked, bound, why)


def _whole(asked: _Asked, form: Expr) -> Plan:
    """The plan of one request; Unsaid where one cannot say *form*."""
    payload = asked.to.emit(form)
    conditions = tuple(asked.to.conditions(form))
    return Plan(asked.to.name, asked.meant, (payload,), None, (), conditions, (form,), index=asked.index)


def _bound(asked: _Asked) -> Expr:
    """What is asked, within the values of an exhaustive attribute where nothing else bounds its NOT."""
    if bounded(nnf(asked.sharp)) or isinstance(asked.sharp, Everyone):
        return asked.sharp
    usable = [
        type_
        for type_ in asked.facts.exhaustive & asked.facts.values.keys()
        if not any(problem for tag in asked.facts.tags(type_) for problem in asked.to.unnamed(tag))
    ]
    return bind(asked.sharp, asked.facts, sorted(usable)) or asked.sharp


def _several(asked: _Asked, bound: Expr, why: tuple[Problem, ...]) -> Plan:
    """The plan of several requests that share no device, where *why* one does not do; what is left goes by ids."""
    to = asked.to
    found = cover(bound, to.shape, lambda tag: not any(to.unnamed(tag)), asked.facts, most=asked.most)
    if not found.parts:
        return asked.by_ids(why)
    try:
        payloads = tuple(map(to.emit, found.parts))
    except Unsaid as unsaid:  # of a limit that the shape does not know, as of a request's length
        return asked.by_ids(tuple(dict.fromkeys((*why, *unsaid.problems))))
    rest = None if found.rest == Nobody() else found.rest
    conditions = [condition for part in found.parts for condition in to.conditions(part)]
    if len(found.parts) > 1 or rest is not None:
        conditions.append(ONE_AFTER_THE_OTHER)
    if rest is not None:
        conditions.append(TWO_SOURCES)
    return Plan(
        to.name,
        asked.meant,
        payloads,
        rest,
        () if rest is None else why,
        tuple(dict.fromkeys(conditions)),
        found.parts,
        why if len(found.parts) > 1 else (),
        found.least,
        asked.index,
    )


def _leans_on_facts(asked: _Asked, found: Plan, said: list[Expr]) -> bool:
    """Whether the native requests mean what was asked only by what the catalog knows."""
    if asked.facts == NONE:
        return False
    compares = any(isinstance(atom, Compare) for atom in atoms(asked.plain))
    return compares or unshared(asked.written, _with_rest(said, found)) is not None


def _with_rest(parts: Iterable[Expr], found: Plan) -> list[Expr]:
    """*parts*, and what goes by ids."""
    return [*parts, *([] if found.by_ids is None else [found.by_ids])]


ONE_AFTER_THE_OTHER = Problem(
    "split", "the requests are sent one after the other; a device whose tags change meanwhile may be in two or in none"
)
TWO_SOURCES = Problem("two-sources", "the vendor's tags and those of the index agree for every device")
FACTS = Problem("catalog", "what the catalog says of values (closed, exclusive, exhaustive) is true of every device")
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
    max_requests: int = MOST_REQUESTS,
    strict: bool = False,
) -> Plan:
    """Read *payload* as the vendor *source* does, and plan it for the vendor *target*.

    >>> translate({"to": {"tag_and": ["a", "b"]}}, "engagelab", "emas").native
    ({'Target': 'TAG', 'TargetValue': '{"and":[{"tag":"a"},{"tag":"b"}]}'},)
    """
    meant = speaking(record(source), catalog).parse(payload)
    return plan(meant, target, catalog=catalog, max_requests=max_requests, strict=strict, ids_of=source)


def prove(to: Vendor, meant: Expr, found: Plan, facts: Facts = NONE) -> list[Expr]:
    """What the payloads of *found* say, read back: with what goes by ids they share no device and make up *meant*.

    Raises ProofError, an internal error, with a device on which they do not; BudgetError where that is too much to
    decide.
    """
    said = [_read_back(to, payload) for payload in found.native]
    differs = unshared(meant, _with_rest(said, found), facts)
    if differs is not None:
        device = ", ".join(sorted(map(render, differs))) or "no tag at all"
        message = f"what {to.name} would be sent is wrong for a device with {device}"
        raise ProofError(Problem("not-what-was-said", message, hint="please report this; nothing was written"))
    return said


def _read_back(to: Vendor, payload: Payload) -> Expr:
    try:
        return to.parse(payload)
    except PlanError:  # of another package that fails
        raise
    except AudienceError as error:
        message = f"what {to.name} would be sent cannot be read back: {error.code}"
        raise ProofError(
            Problem("unreadable-payload", message, hint="please report this; nothing was written")
        ) from error
