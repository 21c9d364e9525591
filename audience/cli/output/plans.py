"""What commands print of plans: what a vendor is sent, how that came about, and why not otherwise."""

from typing import Any

from audience.cli.output.report import problem_json
from audience.errors import Problem
from audience.language.ast import Atom, Expr, Ids, map_atoms
from audience.language.printer import render
from audience.planning.plans import Plan
from audience.vendors.payload_reader import dump_json

MAX_LISTED_IDS, FIRST_LISTED_IDS = 20, 8  # that a list on a screen may have, and how many of a longer one are shown


def format_plan_summary(plan: Plan) -> str:
    """What a vendor could say, or all the reasons why not."""
    if plan.native and plan.by_ids is None:
        many = "" if len(plan.native) == 1 else f" in {len(plan.native)} requests"
        lines = [f"{plan.vendor}: natively{many}", *(f"  {dump_json(payload)}" for payload in plan.native)]
        return "\n".join([*lines, *(f"  assumed: {condition.message}" for condition in plan.assumptions)])
    if plan.by_ids is None:
        return f"{plan.vendor}: nobody is meant, nothing to send"
    how = f"{len(plan.native)} native, the rest by ids" if plan.native else "by ids"
    return "\n".join(
        [f"{plan.vendor}: {how}, because", *(f"  - {format_problem_line(reason)}" for reason in plan.reasons)]
    )


def format_plan_details(plan: Plan) -> str:
    """How *plan* came about: why it was split, what each request says, what was proved, what is taken for granted."""
    lines = [f"asked      {render_shortened(plan.expr)}"]
    lines += [f"one is not enough: {format_problem_line(reason)}" for reason in plan.split_reasons]
    lines += [
        f"request {number:<2} {render_shortened(part)}" for number, part in enumerate(plan.request_exprs, start=1)
    ]
    if plan.by_ids is not None:
        lines.append(f"by ids     {render_shortened(plan.by_ids)}")
        lines += [f"  because  {format_problem_line(reason)}" for reason in plan.reasons]
    if len(plan.request_exprs) > 1:
        lines.append(
            "fewest     " + ("no fewer requests do" if plan.is_minimal else "not known: none were found in time")
        )
    if plan.native:
        lines.append("proved     read back, they share no device and make up what was asked")
    return "\n".join([*lines, *(f"assumed    {condition.message}" for condition in plan.assumptions)])


def render_shortened(expr: Expr) -> str:
    """*expr* for people to read: of many ids only the first ones, and how many more there are.

    >>> render_shortened(Ids("account", tuple(f"a{number}" for number in range(1_000))))
    'account(a0, a1, a2, a3, a4, a5, a6, a7, "… 992 more")'
    """
    return render(map_atoms(expr, _shorten_ids))


def _shorten_ids(atom: Atom) -> Expr:
    match atom:
        case Ids(kind=kind, values=values) if len(values) > MAX_LISTED_IDS:
            return Ids(kind, (*values[:FIRST_LISTED_IDS], f"… {len(values) - FIRST_LISTED_IDS:,} more"))
    return atom


def format_problem_line(problem: Problem) -> str:
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.code}: {problem.message}{hint}"


def plan_json(plan: Plan) -> dict[str, Any]:
    """*plan* for machines."""
    return {
        "requests": len(plan.native),
        "native": list(plan.native),
        "by_ids": None if plan.by_ids is None else render(plan.by_ids),
        "reasons": [problem_json(reason) for reason in plan.reasons],
        "assumptions": [problem_json(condition) for condition in plan.assumptions],
        "request_exprs": [render(part) for part in plan.request_exprs],
        "split_reasons": [problem_json(reason) for reason in plan.split_reasons],
        "is_minimal": plan.is_minimal,
    }
