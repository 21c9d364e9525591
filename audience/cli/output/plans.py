"""Text of plans: native requests, ids, and the reasons."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from audience.cli.output.expressions import render_shortened
from audience.cli.output.writer import NOTHING_TO_SEND, Output
from audience.counts import format_call_bound, format_count
from audience.errors import ExpressionError, Problem
from audience.language.ast import Tag
from audience.language.attribute_names import UNTYPED
from audience.language.parser import parse
from audience.planning.plans import Plan
from audience.planning.policies import AppliedPolicy
from audience.planning.synced_tags import describe_syncs
from audience.vendors.payload_reader import dump_json

if TYPE_CHECKING:  # only plans with stale tags weigh a sync
    from audience.delivery.sync_costs import WeighedSync

MISSING_NAME = "no-name"  # code of a tag that has no name at a vendor


def format_plan_summary(plan: Plan) -> str:
    """Return the native requests of *plan*, or the reasons why it needs ids."""
    if plan.by_ids is None and not plan.native:
        return f"{plan.vendor}: {NOTHING_TO_SEND.message}"
    if plan.by_ids is None:
        count = "" if len(plan.native) == 1 else f" in {len(plan.native)} requests"
        lines = [f"{plan.vendor}: natively{count}", *(f"  {dump_json(payload)}" for payload in plan.native)]
        lines += [f"  synced: {line}" for line in describe_syncs(plan.synced)]
        return "\n".join([*lines, *(f"  assumed: {assumption.message}" for assumption in plan.assumptions)])
    how = f"{len(plan.native)} native, the rest by ids" if plan.native else "by ids"
    reasons = [f"  - {format_problem_line(reason)}" for reason in merge_missing_names(plan.reasons, plan.vendor)]
    return "\n".join([f"{plan.vendor}: {how}, because", *reasons])


def format_plan_details(plan: Plan) -> str:
    """Return how *plan* was made: the requests, why there are several, the ids, the check and the assumptions."""
    lines = [] if plan.written is None else [f"as of      {plan.as_of}"]
    lines.append(f"expression {render_shortened(plan.written or plan.expr)}")
    lines += [] if plan.written is None else [f"bound      {render_shortened(plan.expr)}"]
    lines += format_policies(plan.policies, plan.without_policies)
    lines += [
        f"split      {format_problem_line(reason)}" for reason in merge_missing_names(plan.split_reasons, plan.vendor)
    ]
    lines += [
        f"request {number:<2} {render_shortened(expr)}" for number, expr in enumerate(plan.request_exprs, start=1)
    ]
    if plan.by_ids is not None:
        lines.append(f"by ids     {render_shortened(plan.by_ids)}")
        lines += [
            f"  because  {format_problem_line(reason)}" for reason in merge_missing_names(plan.reasons, plan.vendor)
        ]
    if len(plan.request_exprs) > 1:
        minimal = "no smaller number of requests is possible" if plan.is_minimal else "unknown: the search timed out"
        lines.append(f"minimal    {minimal}")
    if plan.native:
        lines.append("verified   parsed back, the requests are disjoint and equal the expression")
    lines += [f"synced     {line}" for line in describe_syncs(plan.synced)]
    return "\n".join([*lines, *(f"assumed    {assumption.message}" for assumption in plan.assumptions)])


def format_weighed_sync(weighed: "WeighedSync") -> str:
    """Return whether a sync and then native requests are cheaper than ids, on one line."""
    sync = weighed.sync
    names, calls = ", ".join(sync.attributes), format_call_bound(sync.calls, sync.min_calls)
    delay = f", {sync.delay:,.0f} of them until pushes follow the sync" if sync.delay else ""
    then = f"{format_count(weighed.calls, 'call')} in {weighed.seconds:,.1f} seconds{delay}"
    now = f"{format_count(weighed.calls_now, 'call')} in {weighed.seconds_now:,.1f} seconds"
    verdict = "sync first" if weighed.is_cheaper else "send by ids"
    return f"a sync of {names} ({calls}) and the requests after it: {then}; by ids: {now}. Cheaper: {verdict}"


def format_policies(policies: Iterable[AppliedPolicy], without: Iterable[str]) -> list[str]:
    """Return a line for each policy of a plan, with what it takes out, and for each that was overridden."""
    applied = [f"policy     {policy}; takes out {format_count(policy.removed, 'device')}" for policy in policies]
    return [*applied, *(f"overridden policy {name}" for name in without)]


def print_policies(policies: Iterable[AppliedPolicy], without: Iterable[str], output: Output) -> None:
    """Print what policies took out of an audience, and which were overridden; JSON has it in its result."""
    notes = [Problem("policy", f"{policy}; took out {format_count(policy.removed, 'device')}") for policy in policies]
    if not output.as_json:
        output.print_notes([*notes, *(Problem("policy", f"{name} was overridden") for name in without)])


def merge_missing_names(problems: Sequence[Problem], vendor: str) -> Sequence[Problem]:
    """Return *problems* with those about tags that *vendor* has no names for merged into one.

    A plan has one such problem for each tag, and one catalog entry for each type of tag resolves them.
    """
    types, others = split_missing_names(problems)
    if len(problems) - len(others) < 2:
        return problems
    message = f"{vendor} has no names for {', '.join(types)}"
    return [Problem(MISSING_NAME, message, hint="add them to a catalog"), *others]


def split_missing_names(problems: Sequence[Problem]) -> tuple[list[str], list[Problem]]:
    """Return the types of tags that have no name at the vendor, and all other problems."""
    types = [_missing_tag_type(problem) for problem in problems]
    others = [problem for problem, type_ in zip(problems, types, strict=True) if not type_]
    return [*dict.fromkeys(filter(None, types))], others


def _missing_tag_type(problem: Problem) -> str:
    """Return the type of the tag without a name that *problem* points at, else ""."""
    if problem.code != MISSING_NAME or problem.span is None:
        return ""
    try:
        tag = parse(problem.span.excerpt, folder=None)
    except ExpressionError:
        return ""
    return tag.type if isinstance(tag, Tag) and tag.type != UNTYPED else ""


def format_problem_line(problem: Problem) -> str:
    """Return *problem* on one line, with its hint in parentheses."""
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.code}: {problem.message}{hint}"
