"""Policies of an index, and their errors. Nothing here reads a file, so that plans without an index import little."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from audience.counts import format_count
from audience.errors import AudienceError, Problem
from audience.language.ast import Everyone, Expr, Ids, Not
from audience.language.printer import render
from audience.language.suggest import did_you_mean

PolicyKind: TypeAlias = Literal["cap", "suppress"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Rule for all that is sent to the devices of an index.

    Attributes:
        name: Name of the policy: plans show it, and `without_policies` overrides a policy by it.
        kind: `cap` or `suppress`.
        expr: What a device must fit, or the ids that get nothing; None for a list without ids.
        note: Shown in place of the expression, if that does not say what the policy is.
    """

    name: str
    kind: PolicyKind
    expr: Expr | None
    note: str = ""

    @property
    def fitting(self) -> Expr:
        """Return the expression of the devices that may get something.

        >>> from audience.language.parser import parse
        >>> render(Policy("consent", "cap", parse("NOT opted_out")).fitting)
        'NOT opted_out'
        >>> render(Policy("complaints", "suppress", parse("alias(u1)")).fitting)
        'NOT alias(u1)'
        """
        if self.expr is None:
            return Everyone()
        return self.expr if self.kind == "cap" else Not(self.expr)

    @property
    def id_count(self) -> int:
        """Return the number of ids of a suppression list."""
        return len(self.expr.values) if self.kind == "suppress" and isinstance(self.expr, Ids) else 0

    @property
    def column(self) -> str | None:
        """Return the name of the id column of a suppression list."""
        return self.expr.kind if self.kind == "suppress" and isinstance(self.expr, Ids) else None

    def __str__(self) -> str:
        if self.note:
            return self.note
        if self.kind == "cap" and self.expr is not None:
            return render(self.expr)
        return "no ids" if self.column is None else f"{format_count(self.id_count, 'id')} of {self.column}"


def unknown_policy_problem(name: str, known: Sequence[str]) -> Problem:
    """Return the problem of a name that no policy of the index has."""
    hint = did_you_mean(name, known) or (f"it has {', '.join(known)}" if known else "it has no policies")
    return Problem("unknown-policy", f"the index has no policy {name!r}", hint=hint)


def named_error(name: str, error: AudienceError) -> AudienceError:
    """Return *error* with the name of the policy in each message."""
    problems = (replace(problem, message=f"policy {name}: {problem.message}") for problem in error.problems)
    return type(error)(*problems)
