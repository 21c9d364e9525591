"""Command that writes the requests of one vendor to a folder."""

from typing import Annotated

from audience.cli.declarations import Option
from audience.cli.delivery_options import ScheduleOptions
from audience.cli.division_options import DivisionOptions
from audience.cli.options import (
    ExprArgument,
    IndexArgument,
    OutOption,
    ReplaceOption,
    VendorOption,
)
from audience.cli.output.expressions import print_question
from audience.cli.output.parts import format_parts
from audience.cli.output.plans import merge_missing_names, print_policies
from audience.cli.output.writer import NOTHING_TO_SEND, Output
from audience.cli.plan_options import IndexPlanOptions
from audience.counts import format_count
from audience.delivery.emissions import (
    list_replaced_emissions,
    register_emission,
    take_emission_turn,
    view_without_emissions,
)
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse
from audience.planning.planner import plan as make_plan
from audience.requests.writer import EmitResult, build_manifest, write_requests


def run_emit(
    output: Output,
    index: IndexArgument,
    expr: ExprArgument,
    vendor: VendorOption,
    out: OutOption,
    *,
    by_ids: Annotated[
        bool,
        Option("--by-ids", help="Send ids even where native requests are possible."),
    ] = False,
    options: IndexPlanOptions,
    division_options: DivisionOptions,
    schedule: ScheduleOptions,
    replace: ReplaceOption = False,
) -> None:
    """Write the targeting part of each request to a folder, as NDJSON with at most 1,000 ids a line."""
    opened, audience = DeviceIndex.open(index, threads=options.threads), parse(expr)
    division, moments = division_options.read([vendor]), schedule.read().to_document()
    with take_emission_turn(opened, [audience, *(options.cap or [])]), output.show_progress() as progress:
        replaced = list_replaced_emissions(out) if replace else []
        device_index = view_without_emissions(opened, out) if replace else opened
        asked = options.read(device_index.snapshot.timezone)
        plan = make_plan(audience, vendor, device_index, **options.to_index_arguments(asked))
        if by_ids and plan.native:
            plan = plan.sent_by_ids(Problem("by-ids", "requested with --by-ids"))
        result = write_requests(
            plan, device_index, out, division=division, schedule=moments, replace=replace, progress=progress
        )
        note = register_emission(opened, out, plan.policies, replaced, audience=plan.expr)
    output.print_notes([] if note is None else [note])
    reasons = result.reasons if output.as_json else merge_missing_names(result.reasons, plan.vendor)
    output.print_warnings([*device_index.find_unmatched(audience, **asked.to_arguments()), *reasons])
    output.print_assumptions(result.assumptions)
    print_policies(plan.policies, plan.without_policies, output)
    if options.matter_for(audience, device_index.snapshot):
        print_question(plan.expr, asked, output)
    parts = [] if division is None else [f"{format_parts(result.parts, division)}\n"]
    output.print_result(build_manifest(result), lambda: f"{''.join(parts)}{out}: {_summarize(result)}")


def _summarize(result: EmitResult) -> str:
    """Return the number of devices, of requests by kind, and of devices without a valid id."""
    requests = [format_count(result.native, "native request")] if result.native else []
    if result.batches:
        requests.append(f"{format_count(result.batches, 'request')} with {format_count(result.id_count, 'id')}")
    if not requests:
        return NOTHING_TO_SEND.message
    skipped = f"; {format_count(result.skipped_count, 'device')} skipped" if result.skipped_count else ""
    held_out = f"; {result.held_out:,} held out" if result.held_out else ""
    return f"{format_count(result.devices, 'device')}; {', '.join(requests)}{skipped}{held_out}"
