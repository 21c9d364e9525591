"""Command that writes the requests of one vendor to a folder."""

from pathlib import Path
from typing import Annotated

from audience.cli.activity import logged_as
from audience.cli.cluster_options import ClusterOptions
from audience.cli.declarations import Option
from audience.cli.delivery_options import ScheduleOptions
from audience.cli.division_options import DivisionOptions
from audience.cli.options import (
    AudienceArgument,
    OptionalIndexArgument,
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
from audience.errors import PlanError, Problem
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse
from audience.planning.planner import plan as make_plan
from audience.requests.named_targets import plan_named, write_named_requests
from audience.requests.writer import EmitResult, build_manifest, write_requests


@logged_as("emit")
def run_emit(
    output: Output,
    index: OptionalIndexArgument = None,
    expr: AudienceArgument = None,
    *,
    vendor: VendorOption,
    out: OutOption,
    without_index: Annotated[
        str | None,
        Option("--without-index", metavar="EXPR", help="Audience of names that no index has: ids, accounts, aliases."),
    ] = None,
    by_ids: Annotated[
        bool,
        Option("--by-ids", help="Send ids even where native requests are possible."),
    ] = False,
    options: IndexPlanOptions,
    division_options: DivisionOptions,
    schedule: ScheduleOptions,
    replace: ReplaceOption = False,
    cluster_options: ClusterOptions,
) -> None:
    """Write the targeting part of each request to a folder, as NDJSON with as many ids a line as the vendor takes."""
    if without_index is not None:
        _require_no_index_options(index, options, division_options, by_ids or cluster_options != ClusterOptions())
        _emit_named(without_index, vendor, out, replace, output)
        return
    if index is None or expr is None:
        raise PlanError(Problem("usage", "INDEX or EXPR is missing", hint="pass both, or --without-index EXPR"))
    opened, audience = DeviceIndex.open(index, threads=options.threads), parse(expr)
    division, moments = division_options.read([vendor]), schedule.read().to_document()
    with (
        cluster_options.open() as cluster,
        take_emission_turn(opened, [audience, *(options.cap or [])]),
        output.show_progress() as progress,
    ):
        replaced = list_replaced_emissions(out) if replace else []
        device_index = view_without_emissions(opened, out) if replace else opened
        asked = options.read(device_index.snapshot.timezone)
        plan = make_plan(audience, vendor, device_index, **options.to_index_arguments(asked))
        if by_ids and plan.native:
            plan = plan.sent_by_ids(Problem("by-ids", "requested with --by-ids"))
        result = write_requests(
            plan,
            device_index,
            out,
            division=division,
            schedule=moments,
            replace=replace,
            progress=progress,
            cluster=cluster,
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


def _require_no_index_options(
    index: Path | None, options: IndexPlanOptions, division_options: DivisionOptions, by_ids: bool
) -> None:
    """Raise PlanError for arguments that an emission without an index has no use for."""
    if index is not None:
        raise PlanError(Problem("usage", f"{index}: --without-index takes the audience, and no other argument"))
    if by_ids or options != IndexPlanOptions() or division_options != DivisionOptions():
        message = "--without-index goes with --vendor, --out and --replace only"
        raise PlanError(Problem("usage", message, hint="other options are about the devices of an index"))


def _emit_named(expr: str, vendor: str, out: Path, replace: bool, output: Output) -> None:
    planned = plan_named(expr, vendor)
    with output.show_progress() as progress:
        result = write_named_requests(planned, out, replace=replace, progress=progress)
    output.print_assumptions(planned.assumptions)
    output.print_result(build_manifest(result), f"{out}: {_summarize(result)}")


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
