"""Commands for the events of the devices of an index."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from audience.cli.cluster_options import ClusterOptions
from audience.cli.declarations import Argument, Option
from audience.cli.options import IgnoreOption, IndexArgument, WaitOption
from audience.cli.output.index import print_reading
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.cli.process_title import hide_passwords
from audience.cli.reading_options import EventFileOptions
from audience.counts import format_count
from audience.errors import Problem, TableError
from audience.index.changes.events.adding import EventsResult
from audience.index.changes.events.event_frames import Unknown
from audience.index.device_index import DeviceIndex
from audience.index.query.event_stats import EventStats
from audience.language.validation import join_some

EVENT_COMPLETION = "audience.cli.completion:complete_event"


def run_events_add(
    output: Output,
    index: IndexArgument,
    tables: Annotated[
        list[str] | None,
        Argument(metavar="[TABLE]", help="Parquet, CSV, NDJSON or Arrow IPC files, folders, globs or URLs."),
    ] = None,
    *,
    run: Annotated[
        list[Path] | None,
        Option(
            "--run",
            metavar="FOLDER",
            exists=True,
            help="Record whom the runs of this folder have reached, as event `delivered`. Repeatable.",
        ),
    ] = None,
    event: Annotated[
        str | None,
        Option("--event", metavar="NAME", help="Name of all events of the tables, which lack a column of it."),
    ] = None,
    event_column: Annotated[
        str | None,
        Option(
            "--event-column",
            metavar="COLUMN",
            help="Column of the names of events.",
            show_default="event, event_name or name",
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        Option("--id", metavar="COLUMN", help="Column of the ids.", show_default="one named as in the index"),
    ] = None,
    at_column: Annotated[
        str | None,
        Option(
            "--at",
            metavar="COLUMN",
            help="Column of the moments.",
            show_default="at, time or timestamp, or the only one with moments",
        ),
    ] = None,
    typed: Annotated[
        list[str] | None, Option("--typed", metavar="COLUMN", help="Read this property as text. Repeatable.")
    ] = None,
    number: Annotated[
        list[str] | None, Option("--number", metavar="COLUMN", help="Read this property as numbers. Repeatable.")
    ] = None,
    date: Annotated[
        list[str] | None, Option("--date", metavar="COLUMN", help="Read this property as days. Repeatable.")
    ] = None,
    ignore: IgnoreOption = None,
    batch: Annotated[
        str | None,
        Option(
            "--batch",
            metavar="NAME",
            help="Name of the batch; a batch is added once.",
            show_default="the digest of each file",
        ),
    ] = None,
    covers_to: Annotated[
        str | None,
        Option(
            "--covers-to",
            metavar="DAY",
            help="Day up to which all events of these names are there.",
            show_default="the day of the last event",
        ),
    ] = None,
    keep: Annotated[
        str | None, Option("--keep", metavar="DAYS", help="Keep so many days of these events from now on, as 90d.")
    ] = None,
    unknown: Annotated[
        str,
        Option(
            "--unknown", metavar="drop|keep", help="Drop events of unknown ids, or keep them until a device has it."
        ),
    ] = "drop",
    reading: EventFileOptions,
    wait: WaitOption = 0,
    cluster_options: ClusterOptions,
) -> None:
    """Add the events of tables: what devices did, when, and with which properties."""
    hide_passwords(tables or ())
    device_index = DeviceIndex.open(index)
    if run:
        if tables:
            message = "--run takes the events of a run, and tables have others"
            raise TableError(Problem("bad-option", message, hint="call the command once for each"))
        if cluster_options != ClusterOptions():
            message = "--run takes what this machine has sent, which no cluster reads"
            raise TableError(Problem("bad-option", message, hint="leave the options of the cluster out"))
        _record_runs(device_index, run, wait, output)
        return
    if not tables:
        hint = "name tables, or a folder of requests with --run"
        raise TableError(Problem("bad-option", "no table was named", hint=hint))
    before = device_index.snapshot.manifest.number
    with cluster_options.open() as cluster, output.show_progress() as progress:
        progress("reading events", 0, 0)
        result = device_index.add_events(
            tables,
            event,
            event_column=event_column,
            id_column=id_column,
            at_column=at_column,
            typed=typed or (),
            numbers=number or (),
            dates=date or (),
            ignore=ignore or (),
            batch=batch,
            covers_to=covers_to,
            keep=keep,
            unknown=cast(Unknown, unknown),
            wait=wait,
            progress=progress,
            cluster=cluster,
            **reading.to_arguments(),
        )
    if result.repeated and _is_gone(event, device_index):
        output.print_warnings([_forgotten_problem(event)])
    print_events_result(result, before, output)


def _is_gone(event: str | None, index: DeviceIndex) -> bool:
    """Return whether *index* has no event of that name any more, or, if each row has its own, none at all."""
    names = {stats.name for stats in index.events()}
    return not names if event is None else event not in names


def _forgotten_problem(event: str | None) -> Problem:
    """Return a warning that a batch which was added before adds nothing, although its events were forgotten."""
    message = f"the index has no {event or 'events'}: they were forgotten, and a batch that was added adds nothing"
    return Problem("forgotten-batch", message, hint="to add the table again, give it another name: --batch NAME")


def _record_runs(index: DeviceIndex, folders: Sequence[Path], wait: float, output: Output) -> None:
    """Record the runs of *folders* in *index*, and print how many ids are recorded in each state."""
    from audience.delivery.recorded_runs import record_runs  # loads slowly, and tables do not need it

    before, counts = index.snapshot.manifest.number, dict[str, int]()
    with output.show_progress() as progress:
        for folder in folders:
            recorded = record_runs(index, folder, wait=wait, progress=progress)
            output.print_warnings(recorded.problems)
            counts |= {state: counts.get(state, 0) + count for state, count in recorded.counts.items()}
    number = index.snapshot.manifest.number
    described = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    text = f"snapshot {number} is still current: nothing new to record"
    if number != before:
        text = f"snapshot {number}: delivered: {described or 'none'}"
    output.print_result({"snapshot": number, "recorded": counts}, text)


def print_events_result(result: EventsResult, before: int, output: Output) -> None:
    """Print what was added to an index whose snapshot was *before*."""
    names = ("snapshot", "added", "counts", "unknown", "unknown_ids", "waiting", "outdated", "future")
    facts: dict[str, Any] = {name: getattr(result, name) for name in (*names, "batches", "repeated")}
    if result.reading is not None:
        facts["reading"] = result.reading.to_json()
        print_reading(result.reading, output)
    output.print_warnings(list(_warnings(result)))
    counts = [f"{count:,} {name}" for name, count in sorted(result.counts.items())]
    text = f"{format_count(result.added, 'event')} added" + (f": {join_some(counts)}" if counts else "")
    if result.repeated:
        batches = f"{format_count(len(result.repeated), 'batch', 'batches')} added before"
        text = batches if not result.batches else f"{text}; {batches}"
    is_same = result.snapshot == before
    text = f"{text}: snapshot {before} is still current" if is_same else f"snapshot {result.snapshot}: {text}"
    output.print_result(facts, text)


def _warnings(result: EventsResult) -> Sequence[Problem]:
    warnings = []
    if result.unknown:
        kept = "kept until a device has the id" if result.waiting else "left out"
        message = f"{format_count(result.unknown, 'event')} of ids that no device has, {kept}: "
        hint = None if result.waiting else _hint_at_unknown(result)
        warnings.append(Problem("unknown-event-ids", message + join_some(list(result.unknown_ids)), hint=hint))
    if result.outdated:
        message = f"{format_count(result.outdated, 'event')} of days that are not kept any more, left out"
        warnings.append(Problem("outdated-events", message))
    if result.future:
        message = f"{format_count(result.future, 'event')} later than now; the days up to the last one count as covered"
        warnings.append(Problem("future-events", message))
    return warnings


def _hint_at_unknown(result: EventsResult) -> str:
    if result.batches:
        return "keep those of later batches until a device has the id: --unknown keep"
    return (
        "if they are ids of another kind, make them a column of the index (index build --key COLUMN), and add the "
        "batch again; or keep it until devices have the ids: --unknown keep"
    )


def run_events_list(output: Output, index: IndexArgument) -> None:
    """List the events with their devices, days, properties and sizes."""
    stats = DeviceIndex.open(index).events()
    titles = ("event", "devices", "events", "first day", "last day", "covered to", "kept", "properties", "MB")
    rows = [_list_row(each) for each in stats]
    output.print_result(
        [_to_json(each) for each in stats],
        lambda: format_table(titles, rows, right_aligned=(1, 2, 8)) if rows else "no events",
    )


def _list_row(stats: EventStats) -> tuple[str, ...]:
    return (
        stats.name,
        f"{stats.device_count:,}",
        f"{stats.event_count:,}",
        str(stats.first_day or "-"),
        str(stats.last_day or "-"),
        str(stats.covered_to or "-"),
        f"{stats.keep_days} days" if stats.keep_days else "all days",
        join_some(list(stats.properties)) if stats.properties else "-",
        f"{stats.nbytes / 1e6:,.1f}",
    )


def _to_json(stats: EventStats) -> dict[str, Any]:
    days = ("first_day", "last_day", "covered_from", "covered_to")
    return {
        "name": stats.name,
        "devices": stats.device_count,
        "events": stats.event_count,
        **{name: None if (day := getattr(stats, name)) is None else day.isoformat() for name in days},
        "keep_days": stats.keep_days,
        "properties": dict(stats.properties),
        "bytes": stats.nbytes,
    }


def run_events_forget(
    output: Output,
    index: IndexArgument,
    name: Annotated[
        str | None, Argument(metavar="[NAME]", help="Name of the events.", autocompletion=EVENT_COMPLETION)
    ] = None,
    before: Annotated[str | None, Option("--before", metavar="DAY", help="Forget the events before this day.")] = None,
    wait: WaitOption = 0,
) -> None:
    """Forget the events of a name, or those before a day; vacuum deletes them from older snapshots."""
    device_index = DeviceIndex.open(index)
    number = device_index.snapshot.manifest.number
    with output.show_progress() as progress:
        result = device_index.forget_events(name, before=before, wait=wait, progress=progress)
    facts = {"snapshot": result.snapshot, "forgotten": result.forgotten, "names": list(result.names)}
    if result.snapshot == number:
        output.print_result(facts, f"no changes: snapshot {number} is still current")
        return
    text = f"snapshot {result.snapshot}: {format_count(result.forgotten, 'event')} of {join_some(list(result.names))}"
    output.print_result(facts, f"{text} forgotten")
