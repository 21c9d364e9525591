"""Policies in plans: the devices that do not fit are taken out of the audience, before a limit chooses among the rest.

    male limit 50000 seed summer        under a cap and a suppression list:
    (male AND NOT opted_out AND NOT registration_id(@complaints)) limit 50000 seed summer

No vendor knows whom a policy takes out, so that under one everything is sent by ids.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from audience.algebra.simplification import simplify
from audience.errors import ExpressionError, PlanError, Problem
from audience.index.records.policy import Policy, named_error, unknown_policy_problem
from audience.language.as_of import AsOf
from audience.language.ast import Expr, Ids, Limit, Nobody, Not, Top, all_of, map_operands
from audience.language.parser import to_expr
from audience.language.printer import render

if TYPE_CHECKING:  # plans can be made without an index
    from audience.index.device_index import DeviceIndex

UNDER_POLICY = Problem("policy", "under a policy everything is sent by ids: no vendor knows whom it takes out")


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """Policies that apply to one plan.

    Attributes:
        standing: Policies of the index.
        own: Caps of the plan alone, called `cap 1`, `cap 2`, ….
        overridden: Names of the policies of the index that do not apply.
    """

    standing: tuple[Policy, ...] = ()
    own: tuple[Policy, ...] = ()
    overridden: tuple[str, ...] = ()

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Return all policies that apply."""
        return self.standing + self.own


@dataclass(frozen=True, slots=True)
class AppliedPolicy:
    """Policy of a plan, and what it takes out.

    Attributes:
        policy: The policy, as it was set.
        is_standing: Whether it is one of the index, and not a cap of the plan alone.
        fitting: Expression of the devices that fit, as of the moment of the plan.
        removed: Number of devices of the audience that it takes out. Those that do not fit two policies count in both.
    """

    policy: Policy
    is_standing: bool
    fitting: Expr
    removed: int

    @property
    def name(self) -> str:
        """Return the name of the policy."""
        return self.policy.name

    def __str__(self) -> str:
        return f"{self.name}: {self.policy}"

    def to_json(self) -> dict[str, str | int]:
        """Return what plans and manifests say about the policy."""
        return {
            "name": self.name,
            "kind": self.policy.kind,
            "policy": str(self.policy),
            "bound": render(self.fitting),
            "removed": self.removed,
        }


@dataclass(frozen=True, slots=True)
class RestrictedAudience:
    """Audience without the devices that policies take out, `removed` together."""

    expr: Expr
    policies: tuple[AppliedPolicy, ...]
    removed: int


def choose_policies(
    index: "DeviceIndex | None", caps: Iterable[Expr | str] = (), without: Iterable[str] = ()
) -> PolicyChoice:
    """Return the policies of *index* but those in *without*, and those of *caps*.

    Raises:
        PlanError: The index has no policy of a name in *without*, or there are names or caps and no index.
        ExpressionError: A cap is not an expression.
    """
    exprs = list(map(to_expr, [caps] if isinstance(caps, Expr | str) else caps))
    names = tuple(dict.fromkeys([without] if isinstance(without, str) else without))
    if index is None:
        if exprs or names:
            message = "policies need an index, which knows whom they take out"
            raise PlanError(Problem("no-index", message, hint="pass an index"))
        return PolicyChoice()
    standing = index.policies
    if unknown := [unknown_policy_problem(name, list(standing)) for name in names if name not in standing]:
        raise PlanError(*unknown)
    own = tuple(Policy(f"cap {number}", "cap", expr) for number, expr in enumerate(exprs, start=1))
    return PolicyChoice(tuple(policy for policy in standing.values() if policy.name not in names), own, names)


def restrict_audience(expr: Expr, choice: PolicyChoice, index: "DeviceIndex", asked: AsOf) -> RestrictedAudience:
    """Return the devices of *expr* that fit all policies of *choice*, and how many each takes out.

    Args:
        expr: Audience, with segments expanded and relative times bound.
        choice: The policies.
        index: Index that answers them.
        asked: When and where they are asked.

    Raises:
        ExpressionError: The index cannot answer a policy any more; the message names the policy.
    """
    whole = expr.term if isinstance(expr, Limit | Top) else expr
    when = asked.to_arguments()
    fitting_exprs = [bind_policy(policy, index, asked) for policy in choice.policies]
    applied = tuple(
        AppliedPolicy(policy, policy in choice.standing, fitting, index.count(all_of([whole, Not(fitting)]), **when))
        for policy, fitting in zip(choice.policies, fitting_exprs, strict=True)
    )
    removed = index.count(all_of([whole, Not(all_of(fitting_exprs))]), **when)
    remaining = simplify(all_of([whole, *fitting_exprs]))
    if isinstance(expr, Limit | Top) and remaining != Nobody():
        remaining = replace(expr, term=remaining)
    return RestrictedAudience(remaining, applied, removed)


def bind_policy(policy: Policy, index: "DeviceIndex", asked: AsOf) -> Expr:
    """Return the devices that fit *policy* then and there.

    Raises:
        ExpressionError: The index cannot answer it any more; the message names the policy.
    """
    when = asked.to_arguments()
    try:
        fitting = index.bind(policy.fitting, **when)
        index.count(fitting, **when)
    except ExpressionError as error:
        raise named_error(policy.name, error) from None
    return fitting


def render_with_ids(expr: Expr) -> str:
    """Return the text of *expr* with the ids of files in place of the files, which may be gone when it is read."""
    return render(map_operands(expr, lambda atom: replace(atom, files=()) if isinstance(atom, Ids) else atom))
