"""Input and output of the planner: a request for a plan, and the plan."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from audience.algebra.constraints import AttributeConstraints, merge_constraints
from audience.counts import format_count
from audience.errors import PlanError, Problem
from audience.html_table import format_html_table
from audience.language.as_of import AsOf, AsOfArguments
from audience.language.ast import Expr, Nobody
from audience.language.id_files import require_unchanged_files
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog
from audience.planning.platform_requests import PlatformAttribute
from audience.planning.policies import AppliedPolicy
from audience.planning.synced_tags import PlannedSync, StaleTags, SyncedTags, describe_syncs
from audience.planning.vouching import Vouched
from audience.vendors.spec import Payload, Restated, Vendor

if TYPE_CHECKING:  # plans can be made without an index
    from audience.index.device_index import DeviceIndex

SENT_IN_SEQUENCE = Problem(
    "split", "requests are sent one after the other; a device whose tags change in between may get two or none"
)
TWO_SOURCES = Problem("two-sources", "for every device, the vendor's tags equal those of the index")
CATALOG_IS_TRUE = Problem(
    "catalog", "for every device, the catalog's values, `exclusive` and `exhaustive` attributes are correct"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests that reach an audience at a vendor.

    A plan without native requests and without `by_ids` reaches no device: nothing is sent.

    Attributes:
        vendor: Name of the vendor.
        expr: Audience, with segments expanded and relative times bound.
        native: Targeting objects of the native requests, as they are sent. They share no device.
        by_ids: Remaining devices, which are sent as lists of ids, or None.
        reasons: Why devices are sent by ids.
        assumptions: Conditions under which the native requests are right.
        request_exprs: Expression of each native request.
        split_reasons: Why one native request was not enough.
        is_minimal: No fewer native requests are possible. If false, there may be.
        index: Index in which ids are looked up.
        as_of: Moment and time zone of the question.
        written: Audience before its relative times were bound; None if it has none.
        policies: Policies that apply, with the number of devices that each takes out. Under them, `by_ids` has the
            devices that fit.
        removed: Number of devices of the audience that the policies take out together.
        without_policies: Names of the policies of the index that were overridden.
        synced: Syncs of tags that the native requests rest on. They may go to the applications of these syncs only.
        stale: Tags that are not named natively because the vendor may not have them as the index has them.
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
    as_of: AsOf | None = field(default=None, compare=False)
    written: Expr | None = None
    policies: tuple[AppliedPolicy, ...] = ()
    removed: int = 0
    without_policies: tuple[str, ...] = ()
    synced: tuple[PlannedSync, ...] = ()
    stale: tuple[StaleTags, ...] = ()

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [("vendor", self.vendor), ("audience", render(self.written or self.expr))]
        if self.written is not None:
            rows += [("as of", str(self.as_of)), ("bound", render(self.expr))]
        rows += [
            (f"policy {policy.name}", f"{policy.policy}; takes out {format_count(policy.removed, 'device')}")
            for policy in self.policies
        ]
        rows += [("without policy", name) for name in self.without_policies]
        rows += [("native request", json.dumps(payload, ensure_ascii=False)) for payload in self.native]
        rows.append(("by ids", "none" if self.by_ids is None else render(self.by_ids)))
        rows += [("reason", reason.message) for reason in self.reasons]
        rows += [("synced", line) for line in describe_syncs(self.synced)]
        rows += [("assumption", assumption.message) for assumption in self.assumptions]
        return format_html_table("Plan", rows)

    @property
    def target(self) -> Expr:
        """Devices that the plan reaches: the audience, without those that policies take out."""
        if not self.policies:
            return self.expr
        return Nobody() if self.by_ids is None else self.by_ids

    @property
    def question(self) -> AsOfArguments:
        """Keyword arguments with which an index answers as of the moment of the plan."""
        return {} if self.as_of is None else self.as_of.to_arguments()

    def asked_as(self, other: "Plan") -> "Plan":
        """Return this plan with the question of *other*: its moment, its audience before binding, and its overrides."""
        return replace(self, as_of=other.as_of, written=other.written, without_policies=other.without_policies)

    def sent_by_ids(self, reason: Problem) -> "Plan":
        """Return this plan without native requests, because of *reason*."""
        if not self.native:
            reasons = self.reasons if self.by_ids is None else (*self.reasons, reason)
            return replace(self, reasons=reasons)
        return Plan(self.vendor, self.expr, (), self.expr, (reason,), index=self.index).asked_as(self)

    def requests(self, index: "DeviceIndex | None" = None) -> Iterator[Payload]:
        """Return the targeting objects of all requests, as they are sent: first native ones, then lists of ids.

        Args:
            index: Index in which ids are looked up, instead of the index of the plan.

        Raises:
            PlanError: Ids are needed and there is no index.
            ExpressionError: A file of ids has changed since it was read.
        """
        require_unchanged_files(self.expr)
        index = index or self.index
        if self.by_ids is not None and index is None:
            problem = Problem(
                "no-index", "the plan needs ids, but has no index to look them up in", hint="pass an index"
            )
            raise PlanError(problem, *self.reasons)
        return self._iter_requests(index)

    def _iter_requests(self, index: "DeviceIndex | None") -> Iterator[Payload]:
        yield from self.native
        if self.by_ids is not None and index is not None:
            from audience.requests.batching import batch_audience  # imported here: native requests do not need it

            yield from batch_audience(self.by_ids, self.vendor, partial(index.resolve, **self.question))

    def add_id_part(self, parts: Iterable[Expr]) -> list[Expr]:
        """Return *parts* followed by the expression that is sent by ids, if any."""
        return [*parts, *([] if self.by_ids is None else [self.by_ids])]


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Input of the planner, with the audience in four forms of the same meaning.

    Attributes:
        vendor: Vendor whose functions translate catalog names.
        platforms: Attribute whose values are the platforms of the vendor, or None.
        expr: Audience, with segments expanded and relative times bound.
        simplified: `expr` in negation normal form, simplified.
        expanded: `simplified` with comparisons replaced by values of the catalog.
        constrained: `expanded`, simplified further with `constraints`.
        constraints: Constraints of the catalog's attributes.
        max_requests: Maximum number of native requests.
        strict: Native requests that rest on assumptions are sent by ids instead.
        index: Index in which ids are looked up, or None.
        id_vendor: Vendor whose registration ids the expression contains.
        catalog: Catalog that declares which tags the vendor has, or None.
        vouched: Types of tags that the vendor has by the word of the user.
        restated: Payload that the expression was read from, if it is one of the same vendor.
        as_of: Moment and time zone of the question.
        index_types: Attributes of which `expanded` lists the values of the index in place of conditions.
        synced: Tags that were synced at the application of the requests.
    """

    vendor: Vendor
    platforms: PlatformAttribute | None
    expr: Expr
    simplified: Expr
    expanded: Expr
    constrained: Expr
    constraints: AttributeConstraints
    max_requests: int
    strict: bool
    index: "DeviceIndex | None"
    id_vendor: str
    restated: Restated | None
    catalog: Catalog | None
    vouched: Vouched
    as_of: AsOf
    index_types: frozenset[str]
    synced: SyncedTags = SyncedTags()

    @property
    def all_constraints(self) -> AttributeConstraints:
        """Constraints of the catalog's attributes, and of platforms at the vendor."""
        if self.platforms is None:
            return self.constraints
        return merge_constraints(self.constraints, self.platforms.constraints)

    def plan_nothing(self) -> Plan:
        """Return a plan that sends nothing."""
        return Plan(self.vendor.name, self.expr, (), None, (), index=self.index)

    def plan_by_ids(self, reasons: tuple[Problem, ...]) -> Plan:
        """Return a plan that sends the whole audience by ids."""
        return Plan(self.vendor.name, self.expr, (), self.simplified, reasons, index=self.index)
