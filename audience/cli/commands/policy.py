"""Commands for the policies of an index, which apply to all that is sent to its devices."""

from contextlib import suppress
from typing import Annotated, Any

from audience.cli.declarations import Argument, Option
from audience.cli.options import EXPR_COMPLETION, IndexArgument, QuestionOptions, WaitOption
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.cli.segment_source import read_id_list
from audience.counts import format_count
from audience.errors import ExpressionError, PlanError, Problem
from audience.index.device_index import DeviceIndex
from audience.index.records.policy import Policy
from audience.language.as_of import AsOf
from audience.language.parser import parse
from audience.language.printer import render
from audience.planning.policies import bind_policy

PolicyNameArgument = Annotated[str, Argument(metavar="NAME", help="Name of the policy.")]


def run_policy_set(
    output: Output,
    index: IndexArgument,
    name: PolicyNameArgument,
    cap: Annotated[
        str | None,
        Option(
            "--cap",
            metavar="EXPR",
            help="What a device must fit.",
            autocompletion=EXPR_COMPLETION,
        ),
    ] = None,
    suppress_ids: Annotated[
        str | None,
        Option("--suppress", metavar="FILE", help="Ids that get nothing: a text file with one id a line, or a table."),
    ] = None,
    column: Annotated[
        str | None,
        Option(
            "--column",
            metavar="NAME",
            help="Id column of the index, and of a table, that the ids are of.",
            show_default="device ids of any column",
        ),
    ] = None,
    *,
    question: QuestionOptions,
    wait: WaitOption = 0,
) -> None:
    """Set a policy: a cap that devices must fit, or a list of ids that get nothing; replace one of that name."""
    device_index = DeviceIndex.open(index, threads=question.threads)
    asked = question.read(device_index.snapshot.timezone)
    if (cap is None) == (suppress_ids is None):
        message = "expected --cap EXPR or --suppress FILE" + ("" if cap is None else ", not both")
        hint = f"for example: audience policy set INDEX {name} --cap 'NOT opted_out'"
        raise PlanError(Problem("bad-option", message, hint=hint))
    if suppress_ids is None and column is not None:
        hint = "name the column in the expression"
        raise PlanError(Problem("bad-option", "--column needs --suppress FILE", hint=hint))
    if cap is not None:
        expr = parse(cap)
        device_index.set_policy(name, cap=expr, wait=wait)
        unmatched = device_index.find_unmatched(expr, as_of=asked.moment, timezone=asked.timezone, allow_gaps=True)
        output.print_warnings(unmatched)
    else:
        ids = read_id_list(suppress_ids or "", column, device_index.snapshot.manifest.columns)
        device_index.set_policy(name, suppress=ids, column=column or "registration_id", wait=wait)
    facts = _describe_policy(device_index.policies[name], device_index, asked)
    output.print_warnings(facts.pop("problems"))
    removed = "an unknown number" if facts["removed"] is None else f"{facts['removed']:,}"
    taken_out = f"{removed} of {format_count(len(device_index), 'device')}"
    output.print_result(facts, f"policy {name} set: {facts['policy']}; takes out {taken_out}")


def run_policy_list(output: Output, index: IndexArgument, *, question: QuestionOptions) -> None:
    """List the policies, with the devices that each takes out of all."""
    device_index = DeviceIndex.open(index, threads=question.threads)
    asked = question.read(device_index.snapshot.timezone)
    policies = device_index.policies.values()
    facts = [_describe_policy(policy, device_index, asked) for policy in policies]
    output.print_warnings([problem for each in facts for problem in each.pop("problems")])
    if any(_depends_on_question(policy, question, device_index) for policy in policies):
        output.print_notes([Problem("as-of", f"counted as of {asked}")])
    rows = [
        (each["name"], each["kind"], "unknown" if each["removed"] is None else f"{each['removed']:,}", each["policy"])
        for each in facts
    ]
    titles = ("policy", "kind", "takes out", "cap or list")
    output.print_result(facts, lambda: format_table(titles, rows, right_aligned=(2,)) if rows else "no policies")


def _describe_policy(policy: Policy, index: DeviceIndex, asked: AsOf) -> dict[str, Any]:
    """Return a policy, how many devices of the index it takes out, and why that is unknown, if it is."""
    facts = {"name": policy.name, "kind": policy.kind, "policy": str(policy), "column": policy.column}
    try:
        fitting = bind_policy(policy, index, asked)
    except ExpressionError as error:
        return {**facts, "bound": None, "removed": None, "problems": error.problems}
    removed = len(index) - index.count(fitting, **asked.to_arguments())
    return {**facts, "bound": render(fitting), "removed": removed, "problems": ()}


def _depends_on_question(policy: Policy, question: QuestionOptions, index: DeviceIndex) -> bool:
    """Return whether the moment is shown; not for a policy that refers to a segment which is gone."""
    with suppress(ExpressionError):
        return question.matter_for(policy.fitting, index.snapshot)
    return False


def run_policy_drop(output: Output, index: IndexArgument, name: PolicyNameArgument, wait: WaitOption = 0) -> None:
    """Delete a policy."""
    DeviceIndex.open(index).drop_policy(name, wait=wait)
    output.print_result({"name": name}, f"policy {name} deleted")
