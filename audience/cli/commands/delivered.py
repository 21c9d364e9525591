"""Command that lists the ids of a run with the outcome of each."""

from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Option
from audience.cli.delivery_options import FolderArgument
from audience.cli.output.frames import TableFormat, choose_format, print_table, write_table
from audience.cli.output.writer import Output
from audience.counts import format_count
from audience.delivery import campaign_runs
from audience.delivery.deliveries import (
    DELIVERY_SCHEMA,
    DELIVERY_STATES,
    NativeOutcome,
    count_states,
    iter_deliveries,
    list_native_outcomes,
)
from audience.errors import Problem


def run_delivered(
    output: Output,
    folder: FolderArgument,
    state: Annotated[
        list[str] | None,
        Option(
            "--state",
            metavar="STATE",
            help="Only ids that are delivered, scheduled, rejected, in-doubt or not-sent. Repeatable.",
            show_default="all of them",
        ),
    ] = None,
    out: Annotated[
        Path | None, Option("-o", "--out", metavar="FILE", help="New file to write.", show_default="standard output")
    ] = None,
    format: Annotated[
        TableFormat | None,
        Option("--format", help="Format of the table.", show_default="that of the name of FILE, or csv"),
    ] = None,
) -> None:
    """List the ids of a folder's runs by what became of them: delivered, scheduled, rejected, in doubt or not sent.

    Devices of native requests are not listed, because the vendor finds them itself.
    """
    format_ = choose_format(out, format, "ndjson" if output.as_json else "csv")
    output.print_warnings([*campaign_runs.all_copy_warnings(folder), *_native_warnings(list_native_outcomes(folder))])
    counts: dict[tuple[str, str], int] = {}
    with output.show_progress() as progress:
        frames = count_states(iter_deliveries(folder, state or DELIVERY_STATES, progress), counts)
        if out is None:
            print_table(frames, DELIVERY_SCHEMA, format_)
            return
        write_table(frames, DELIVERY_SCHEMA, out, format_)
    facts = [{"vendor": vendor, "state": name, "ids": count} for (vendor, name), count in counts.items()]
    text = ", ".join(f"{count:,} {name} at {vendor}" for (vendor, name), count in counts.items())
    output.print_result({"file": str(out), "ids": facts}, f"{out}: {text or 'no ids'}")


def _native_warnings(outcomes: list[NativeOutcome]) -> list[Problem]:
    """Return a warning for each vendor and state of native requests, whose devices have no ids here."""
    counts: dict[tuple[str, str], int] = {}
    for outcome in outcomes:
        counts[outcome.vendor, outcome.state] = counts.get((outcome.vendor, outcome.state), 0) + 1
    hint = "the vendor finds their devices; emit with --by-ids where a list of them is needed"
    return [
        Problem("native", f"{vendor}: {format_count(count, 'native request')} {state}, without ids", hint=hint)
        for (vendor, state), count in counts.items()
    ]
